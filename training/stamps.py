"""Time columns as people export them: ISO text, day-first or month-first dates, epochs, spreadsheet days, local clocks."""

import re

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Stamps = "pd.Series[pd.Timestamp]"

# A number is an epoch in the unit whose plausible range holds it; below that, a spreadsheet's day count.
_EPOCHS = ((1e8, 1e11, "s"), (1e11, 1e14, "ms"), (1e14, 1e17, "us"), (1e17, 9e18, "ns"))
_SPREADSHEET_DAYS = (20_000, 80_000)
_OFFSET = re.compile(r"(?:Z|[+-]\d{2}:?\d{2}(?::\d{2})?)\s*$")
_ORDERS = {
    "day first": ("%d.%m.%Y %H:%M:%S", "%d.%m.%Y %H:%M", "%d/%m/%Y %H:%M:%S", "%d/%m/%Y %H:%M", "%d-%m-%Y %H:%M"),
    "month first": ("%m/%d/%Y %H:%M:%S", "%m/%d/%Y %H:%M", "%m/%d/%Y %I:%M:%S %p", "%m/%d/%Y %I:%M %p", "%m-%d-%Y %H:%M"),
    "year first": ("%Y/%m/%d %H:%M:%S", "%Y/%m/%d %H:%M", "%Y.%m.%d %H:%M", "%Y%m%d %H:%M", "%Y%m%d%H%M"),
}  # fmt: skip


def parse_times(column: "pd.Series[str]", tz: str) -> "pd.Series[pd.Timestamp]":
    """UTC stamps, NaT where a cell cannot be read. Stamps without an offset are local time of `tz`.

    The hour that a clock change repeats is its first pass where a stamp comes for the first time, else its second;
    the hour it skips moves on by one. Raises ValueError when hardly a cell is a time.
    """
    parsed = _parsed(column)
    if not len(parsed) or parsed.notna().mean() < 0.5:
        raise ValueError(f"{int(parsed.isna().sum())} of {len(parsed)} cells are no time")
    if parsed.dt.tz is None:
        first_pass = (~parsed.duplicated(keep="first") & parsed.duplicated(keep=False)).to_numpy()
        parsed = parsed.dt.tz_localize(tz, ambiguous=first_pass, nonexistent="shift_forward")
    return parsed.dt.tz_convert("UTC").astype("datetime64[ns, UTC]")


def _parsed(column: "pd.Series[str]") -> "pd.Series[pd.Timestamp]":
    if pd.api.types.is_datetime64_any_dtype(column):
        return column
    if not pd.api.types.is_numeric_dtype(column):
        text = column.astype("string").str.strip()
        as_number = pd.to_numeric(text, errors="coerce")
        # Twelve or fourteen digits that begin with a year are a date written together.
        together = text.str.fullmatch(r"(?:19|20)\d{6}(?:\d{4}(?:\d{2})?)?").mean() > 0.5
        if together or as_number.notna().mean() < 0.5:
            return _from_text(text.astype(object).where(text.notna(), None))
        column = as_number
    number = column.astype("float64")
    middle = float(np.nanmedian(np.abs(number))) if number.notna().any() else 0.0
    for low, high, unit in _EPOCHS:
        if low <= middle < high:
            # Whole nanoseconds by integers: a float holds an epoch to the microsecond only.
            per_s = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[unit]
            return pd.to_datetime((number / per_s).round(3), unit="s", utc=True, errors="coerce")
    if _SPREADSHEET_DAYS[0] <= middle < _SPREADSHEET_DAYS[1]:
        day_zero = pd.Timestamp("1899-12-30")
        return (day_zero + pd.to_timedelta((number * 86_400).round(), unit="s")).astype("datetime64[ns]")
    raise ValueError("the numbers are neither epochs nor a spreadsheet's days")


def _from_text(text: "pd.Series[str]") -> "pd.Series[pd.Timestamp]":
    known = text.dropna().astype(str)
    aware = bool(len(known)) and bool(known.str.contains(_OFFSET).mean() > 0.5)
    iso = pd.to_datetime(text, utc=aware, format="ISO8601", errors="coerce")
    if iso.notna().mean() > 0.5 * text.notna().mean():
        return iso
    best, best_rank = iso, (0.0, 0.0)
    for forms in _ORDERS.values():
        for form in forms:
            parsed = pd.to_datetime(text, format=form, errors="coerce")
            rank = (float(parsed.notna().mean()), _regularity(parsed))
            # 01/02/2026 alone does not tell day from month: the order that gives the evener spacing is meant.
            if rank > best_rank:
                best, best_rank = parsed, rank
    return best


def _regularity(parsed: "pd.Series[pd.Timestamp]") -> float:
    """The share of neighbouring rows that lie as far apart as most do."""
    gaps = parsed.dropna().astype("datetime64[ns]").astype("int64").diff().dropna()
    return float((gaps == gaps.median()).mean()) if len(gaps) else 0.0


def grid_slots(stamps: "pd.Series[pd.Timestamp]", step_s: int) -> tuple[NDArray[np.int64], int]:
    """The grid slot of each stamp and the grid's phase in seconds: slot i begins at phase + i*step_s since 1970.

    Data that keep their own phase (always seven minutes past, say) keep it; a stamp a moment early still counts.
    """
    stamps_ns = stamps.astype("int64").to_numpy()
    stamps_s = stamps_ns // 1_000_000_000
    phases, counts = np.unique(stamps_s % step_s, return_counts=True)
    phase = int(phases[counts.argmax()]) if counts.max() >= 0.8 * len(stamps_s) else 0
    early_s = min(30, step_s // 50)
    return (stamps_s - phase + early_s) // step_s, phase
