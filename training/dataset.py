"""Telemetry files to a regular UTC grid: CSV or Parquet, local or UTC stamps, gaps kept as gaps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from agent.errors import DataError
from training.stamps import grid_slots, parse_times
from training.table import is_numbers, numeric, read_table

Column = NDArray[np.float64]

# A known series that is written once an hour holds for that hour; a longer gap is a gap.
KNOWN_HOLD_S = 3 * 3600
SHORTEST_STEP_S, LONGEST_STEP_S = 60, 6 * 3600
MOST_STEPS = 4_000_000


@dataclass(frozen=True)
class Frame:
    """Columns on one regular UTC grid; row i holds for [first_at + i*step_s, ...). NaN is missing.

    `notes` say what had to be put right in the file.
    """

    first_at: datetime
    step_s: int
    columns: Mapping[str, Column]
    notes: tuple[str, ...] = ()

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
    known: Sequence[str] = (),
) -> Frame:
    """Read the named columns and put them on a grid of `step_s`; finer data become means, coarser ones are held.

    `columns` are measured; `known` are known ahead as well, and hold over gaps of up to three hours. Times as in
    `training.stamps`; a known column of text becomes the rank of its values in alphabetical order.
    Raises DataError with the names that do exist when a column is missing, and where a measured one holds text.
    """
    check_step(step_s)
    check_zone(tz)
    doubled = [name for name in known if name in columns]
    if doubled:
        raise DataError(
            f"{', '.join(doubled)} is the target and cannot be known ahead",
            where="--known",
            fix="leave it out: past values of the target are used anyway",
        )
    table = read_table(path, (time_column, *columns, *known))
    notes = []
    try:
        stamps = parse_times(table[time_column], tz)
    except (ValueError, TypeError, OverflowError) as error:
        raise DataError(
            f"column {time_column} holds no time stamps: {error}",
            where=str(path),
            fix="use ISO 8601, or seconds since 1970",
        ) from error
    kept = _plausible(stamps)
    if not kept.all():
        notes.append(f"{int((~kept).sum())} rows without a readable, plausible time are left out")
        table, stamps = table[kept], stamps[kept]
    slot, phase_s = grid_slots(stamps, step_s)
    first, length = int(slot.min()), int(slot.max() - slot.min()) + 1
    if length > MOST_STEPS:
        raise DataError(
            f"stamps span {length} steps",
            where=str(path),
            fix="look for a wrong year, or give a longer --step",
        )
    hold = _native_step_s(stamps) // step_s
    if hold > 1:
        notes.append(
            f"the data come every {hold * step_s} s: each value holds for {hold} steps of {step_s} s"
        )
        length += hold - 1
    repeated = int(stamps.duplicated().sum())
    if repeated:
        notes.append(f"{repeated} rows repeat a time; their means are used")
    for name in columns:
        if not is_numbers(table[name]):
            raise DataError(
                f"{name} holds text, such as {table[name].dropna().iloc[0]!r}",
                where=str(path),
                fix="name a column of numbers as the target",
            )
    out = {}
    for name in (*columns, *known):
        values = _on_grid(numeric(table[name]), slot - first, length)
        most_s = max(KNOWN_HOLD_S, hold * step_s) if name in known else hold * step_s
        out[name] = _held(values, max(0, most_s // step_s - 1))
    first_at = datetime.fromtimestamp(first * step_s + phase_s, UTC)
    return Frame(first_at, step_s, out, tuple(notes))


def check_step(step_s: int) -> None:
    """Raises DataError for a step that does not divide a day, or that no forecast is made for."""
    if not SHORTEST_STEP_S <= step_s <= LONGEST_STEP_S or 86_400 % step_s:
        raise DataError(
            f"a step of {step_s} s",
            where="--step",
            fix="give one of 1 min to 6 h that divides a day, such as 5min, 15min, 30min, 1h",
        )


def check_zone(tz: str) -> None:
    """Raises DataError for a time zone that is not known here."""
    try:
        ZoneInfo(tz)
    except (OSError, ValueError) as error:  # ZoneInfoNotFoundError is a KeyError, its cause an OSError
        raise _unknown_zone(tz) from error
    except KeyError as error:
        raise _unknown_zone(tz) from error


def _unknown_zone(tz: str) -> DataError:
    return DataError(f"no time zone {tz!r}", where="--tz", fix="use a name such as Europe/Berlin or UTC")


def _plausible(stamps: "pd.Series[pd.Timestamp]") -> NDArray[np.bool_]:
    """True where a stamp is there and not years from the others: a clock that starts at 1970, a year mistyped."""
    known = stamps.notna().to_numpy()
    seconds = np.where(known, stamps.astype("int64").to_numpy() / 1e9, np.nan)
    low, high = np.nanquantile(seconds, [0.01, 0.99])
    slack = 0.05 * (high - low) + 30 * 86_400
    return np.asarray(known & (seconds >= low - slack) & (seconds <= high + slack))


def _native_step_s(stamps: "pd.Series[pd.Timestamp]") -> int:
    gaps = np.diff(np.unique(stamps.astype("int64").to_numpy() // 1_000_000_000))
    return int(np.median(gaps)) if len(gaps) else 0


def _on_grid(values: Column, place: NDArray[np.int64], length: int) -> Column:
    good = np.isfinite(values)
    count = np.bincount(place[good], minlength=length)
    total = np.bincount(place[good], weights=values[good], minlength=length)
    return np.asarray(np.divide(total, count, out=np.full(length, np.nan), where=count > 0))


def _held(values: Column, most: int) -> Column:
    """Each value carried over at most `most` missing steps after it."""
    if most <= 0:
        return values
    place = np.arange(len(values))
    last = np.maximum.accumulate(np.where(np.isfinite(values), place, -1))
    near = (last >= 0) & (place - last <= most)
    return np.where(near, values[np.maximum(last, 0)], np.nan)


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
