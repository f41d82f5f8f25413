"""Telemetry files to a regular UTC grid: CSV or Parquet, local or UTC stamps, gaps kept as gaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agent.errors import DataError

Column = NDArray[np.float64]


@dataclass(frozen=True)
class Frame:
    """Columns on one regular UTC grid; row i holds for [first_at + i*step_s, ...). NaN is missing."""

    first_at: datetime
    step_s: int
    columns: Mapping[str, Column]

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values())))

    @property
    def end_at(self) -> datetime:
        return self.first_at + timedelta(seconds=self.rows * self.step_s)

    def at(self, row: int) -> datetime:
        return self.first_at + timedelta(seconds=row * self.step_s)

    def row_of(self, at: datetime) -> int:
        """The row whose interval holds `at`; may lie outside."""
        return int((at - self.first_at).total_seconds() // self.step_s)


def load_frame(
    path: Path,
    *,
    time_column: str,
    columns: Sequence[str],
    step_s: int,
    tz: str = "UTC",
    sheet_note: str = "",
) -> Frame:
    """Read the named columns and put them on a grid of `step_s`; finer data become means.

    Stamps without an offset are local time of `tz`: the hour that a clock change repeats is read as its second
    pass, the hour it skips moves on by one. A text column becomes the rank of its values in alphabetical order.
    Raises DataError with the names that do exist when a column is missing.
    """
    where = f"{path}{sheet_note}"
    try:
        table = pd.read_parquet(path) if path.suffix.lower() in {".parquet", ".pq"} else pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read the data: {error}", where=where, fix="give a readable CSV or Parquet file"
        ) from error
    if time_column not in table.columns and table.index.name == time_column:
        table = table.reset_index()
    missing = [name for name in (time_column, *columns) if name not in table.columns]
    if missing:
        there = ", ".join(str(name) for name in table.columns)
        raise DataError(f"no column {', '.join(missing)}", where=where, fix=f"name one of: {there}")
    try:
        stamps = parse_times(table[time_column], tz)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"column {time_column} holds no time stamps: {error}", where=where, fix="use ISO 8601"
        ) from error
    if not len(stamps):
        raise DataError("the file has no rows", where=where, fix="export a longer span")
    slot = stamps.astype("int64").to_numpy() // 1_000_000_000 // step_s
    first, last = int(slot.min()), int(slot.max())
    length = last - first + 1
    if length > 40 * 366 * 86_400 // step_s:
        raise DataError(
            f"stamps span {length} steps", where=where, fix="look for a wrong year in the time column"
        )
    out = {}
    for name in columns:
        values = _numeric(table[name])
        good = np.isfinite(values)
        count = np.bincount(slot[good] - first, minlength=length)
        total = np.bincount(slot[good] - first, weights=values[good], minlength=length)
        out[name] = np.divide(total, count, out=np.full(length, np.nan), where=count > 0)
    return Frame(datetime.fromtimestamp(first * step_s, UTC), step_s, out)


def parse_times(column: "pd.Series[str]", tz: str) -> "pd.Series[pd.Timestamp]":
    """UTC stamps of a text or datetime column, nanoseconds."""
    parsed = pd.to_datetime(
        column, utc=bool(_has_offset(column)), format="ISO8601" if column.dtype == object else None
    )
    if parsed.dt.tz is None:
        ambiguous = np.zeros(len(parsed), dtype=bool)
        parsed = parsed.dt.tz_localize(tz, ambiguous=ambiguous, nonexistent="shift_forward")
    return parsed.dt.tz_convert("UTC").astype("datetime64[ns, UTC]")


def _has_offset(column: "pd.Series[str]") -> bool:
    if column.dtype != object or not len(column):
        return getattr(column.dtype, "tz", None) is not None
    text = str(column.iloc[0])
    return text.endswith("Z") or "+" in text[10:] or "-" in text[10:]


def _numeric(column: "pd.Series[float]") -> Column:
    if pd.api.types.is_numeric_dtype(column) or pd.api.types.is_bool_dtype(column):
        return np.asarray(column.to_numpy(dtype=np.float64, na_value=np.nan))
    as_number = pd.to_numeric(column, errors="coerce")
    if as_number.notna().any():
        return np.asarray(as_number.to_numpy(dtype=np.float64))
    codes = pd.Categorical(column).codes.astype(np.float64)
    return np.asarray(np.where(codes < 0, np.nan, codes), dtype=np.float64)


def country_holidays(
    country: str, first: date, last: date, subdivision: str | None = None
) -> frozenset[date]:
    """Public holidays between two dates by the `holidays` package. Raises DataError for an unknown country."""
    import holidays  # the package loads tables of every country: only when asked for

    try:
        table = holidays.country_holidays(country, subdiv=subdivision, years=range(first.year, last.year + 1))
    except NotImplementedError as error:
        raise DataError(
            f"no holidays known for {country}", where="--country", fix="use an ISO 3166 code such as DE"
        ) from error
    return frozenset(day for day in table if first <= day <= last)
