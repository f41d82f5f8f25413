"""Days, weeks and months of the site's own calendar, clock changes and all."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

Step = Literal["day", "week", "month"]


class Period(NamedTuple):
    """A stretch of the calendar, UTC, cut to the span asked for. `whole` where nothing was cut."""

    label: str
    from_at: datetime
    to_at: datetime
    whole: bool

    @property
    def hours(self) -> float:
        """Length: 23 or 25 h on days on which the clock changes."""
        return (self.to_at - self.from_at).total_seconds() / 3600.0


def periods(from_at: datetime, to_at: datetime, timezone: str, by: Step) -> tuple[Period, ...]:
    """The days, weeks (from Monday) or months of local time that share a minute with the span."""
    zone = ZoneInfo(timezone)
    first = _begin(from_at.astimezone(zone).date(), by)
    out: list[Period] = []
    while True:
        after = _next(first, by)
        begin, end = (datetime.combine(day, time(), zone).astimezone(UTC) for day in (first, after))
        if begin >= to_at:
            return tuple(out)
        out.append(
            Period(_label(first, by), max(begin, from_at), min(end, to_at), begin >= from_at and end <= to_at)
        )
        first = after


def _begin(day: date, by: Step) -> date:
    if by == "day":
        return day
    return day - timedelta(days=day.weekday()) if by == "week" else day.replace(day=1)


def _next(day: date, by: Step) -> date:
    if by == "month":
        return (day + timedelta(days=32)).replace(day=1)
    return day + timedelta(days=1 if by == "day" else 7)


def _label(day: date, by: Step) -> str:
    if by == "day":
        return day.isoformat()
    if by == "month":
        return f"{day:%Y-%m}"
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"
