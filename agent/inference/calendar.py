"""Local calendar columns on a UTC grid: the one definition that training and the gateway share.

The grid is UTC, so a day of 23 or 25 h shifts no lag; the columns are local, so a shift that starts at six
starts at six in summer as well. Change the meaning of a column and CALENDAR_VERSION together: the version is
part of a model's schema, and a gateway refuses a model made with another one.
"""

from collections.abc import Collection
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

CALENDAR_VERSION = 1
CALENDAR_COLUMNS = ("minute_of_day", "weekday", "day_of_year", "holiday")


def calendar_columns(
    first_at: datetime, step_s: int, length: int, *, tz: str, holidays: Collection[date] = ()
) -> NDArray[np.float32]:
    """[length, 4]: minute of the local day, weekday (Monday 0), day of the year, 1 on a holiday or plant shutdown.

    Row i describes the instant first_at + i*step_s. `holidays` are local dates.
    Raises zoneinfo.ZoneInfoNotFoundError for an unknown zone.
    """
    first_s = int(first_at.timestamp())
    stamps_s = first_s + step_s * np.arange(length, dtype=np.int64)
    local_s = stamps_s + _offsets_s(stamps_s, tz)
    days = local_s // 86_400
    out = np.empty((length, 4), dtype=np.float32)
    out[:, 0] = (local_s % 86_400) // 60
    out[:, 1] = (days + 3) % 7  # 1970-01-01 was a Thursday
    closed = frozenset(holidays)
    unique_days, where = np.unique(days, return_inverse=True)
    dates = [date(1970, 1, 1) + timedelta(days=int(day)) for day in unique_days]
    out[:, 2] = np.array([each.timetuple().tm_yday for each in dates], dtype=np.float32)[where]
    out[:, 3] = np.array([each in closed for each in dates], dtype=np.float32)[where]
    return out


def _offsets_s(stamps_s: NDArray[np.int64], tz: str) -> NDArray[np.int64]:
    days, where = np.unique(stamps_s // 86_400, return_inverse=True)
    begins, ends = (np.array([_offset_s(int(d) * 96, tz) for d in each]) for each in (days, days + 1))
    offsets = begins[where]
    # Only on a day that ends with another offset does the hour matter. Every zone in use changes on a quarter of
    # an hour of UTC, so one look-up a quarter is exact.
    changing = (begins != ends)[where]
    offsets[changing] = [_offset_s(int(each) // 900, tz) for each in stamps_s[changing]]
    return np.asarray(offsets, dtype=np.int64)


@lru_cache(maxsize=20_000)
def _offset_s(quarter: int, tz: str) -> int:
    offset = datetime.fromtimestamp(quarter * 900, UTC).astimezone(ZoneInfo(tz)).utcoffset()
    return int(offset.total_seconds()) if offset is not None else 0


def day_types(calendar: NDArray[np.float32]) -> NDArray[np.int64]:
    """0 working day, 1 Saturday, 2 Sunday or holiday, one for each row of calendar_columns."""
    weekday = calendar[:, 1].astype(np.int64)
    kind = np.maximum(weekday - 4, 0)
    return np.where(calendar[:, 3] > 0, 2, kind)
