"""When a site may be changed: maintenance window, interlocks, room on the disk. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from agent.config.parts import WeekTime
from agent.update.job import Job, WaitFor

_MINUTE = timedelta(minutes=1)
_WEEK_MIN = 7 * 24 * 60


def window_reason(window: Sequence[WeekTime], timezone: str, now: datetime) -> str:
    """Why not now, by the site's clock on the wall; "" inside a span, or where there is none."""
    if not window:
        return ""
    local = now.astimezone(ZoneInfo(timezone))
    if _inside(window, local):
        return ""
    ahead = local.replace(second=0, microsecond=0)
    for _ in range(_WEEK_MIN):
        # In UTC, so that an hour that daylight saving leaves out or repeats is stepped through once.
        ahead = (ahead.astimezone(ZoneInfo("UTC")) + _MINUTE).astimezone(ZoneInfo(timezone))
        if _inside(window, ahead):
            return f"{WaitFor.WINDOW.value}: opens {ahead:%a %d %b %H:%M}"
    return f"{WaitFor.WINDOW.value}: never opens"


def _inside(window: Sequence[WeekTime], local: datetime) -> bool:
    return any(span.contains(local.weekday(), local.hour * 60 + local.minute) for span in window)


def interlock_reason(interlocks: Sequence[str]) -> str:
    """Why not now, because of what the plant does; "" when nothing speaks against it."""
    return f"{WaitFor.INTERLOCK.value}: {'; '.join(interlocks)}" if interlocks else ""


def rejection(
    job: Job, *, kinds: Sequence[str], taken_counter: int, now: datetime, free_bytes: int, reserve_bytes: int
) -> str:
    """Why a job is not for this site; "" when it is."""
    if job.kind.value not in kinds:
        return f"the site takes no {job.kind.value} updates ([updates] kinds)"
    if job.counter <= taken_counter:
        return f"counter {job.counter} is not above {taken_counter}, which was taken before"
    if job.not_after is not None and now > job.not_after:
        return f"not_after {job.not_after:%Y-%m-%d %H:%M}Z has passed"
    # Twice: the files, and what is made of them.
    need = 2 * job.length + reserve_bytes
    if free_bytes < need:
        return f"the disk has {free_bytes / 1e6:.0f} MB left, {need / 1e6:.0f} MB are needed"
    return ""
