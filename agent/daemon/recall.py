"""What the store knows of the time before this process: a restart forgives neither starts nor hours, and forgets no habit."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from agent.control.hour_peak import HourWander
from agent.control.memory import DAY_S, Past
from agent.control.start_price import StartHabit
from agent.daemon.runtime import StationRuntime
from agent.domain import Mode
from agent.savings.kpi import starts_by_minute
from agent.savings.measured import Flags, Floats
from agent.store.history import History
from agent.store.tags import MODE_CODES, hour_wander_tags, starts_habit_tag, usual_demand_tag

_MINUTE_S = 60.0
_HOUR_MIN = 60
_WHOLE, _NONE = 0.999, 0.001
# A habit is what was seen of a working week at least.
_HABIT_DAYS = 5.0


def recall_machines(runtime: StationRuntime, history: History, now: datetime, *, hours_days: int) -> None:
    """Give the station's memory what the store knows of each machine."""
    modes = history.series(runtime.mode_tag, now - timedelta(seconds=DAY_S), now).values
    # What the site's own control started wore the motor, and is no reason to starve the plant under ours: it counts
    # for the hour, which is about heat, and not for the day.
    theirs = np.isin(modes, [MODE_CODES[Mode.OBSERVE], MODE_CODES[Mode.ADVISE]])
    for index, machine in enumerate(runtime.station.machines.values()):
        past = past_of(history, machine.tag("running"), now, hours_days=hours_days, theirs=theirs)
        if past is not None:
            runtime.control.memory.recall(index, past)


def past_of(
    history: History, running_tag: str, now: datetime, *, hours_days: int, theirs: Flags | None = None
) -> Past | None:
    """Last state, starts of the last day and hours run of the machine; None where the last day is unknown.

    Of the minutes `theirs`, in which another control had the machine, only the last hour's starts are told.
    """
    grid = history.series(running_tag, now - timedelta(seconds=DAY_S), now)
    share = grid.values
    known = np.flatnonzero(np.isfinite(share))
    if len(known) == 0:
        return None
    begin_s, last = grid.start_at.timestamp(), int(known[-1])
    running = _ends_running(share, last)
    # A minute's starts are dated to its end: the limits they count for then end a little late, never early.
    started = starts_by_minute(share[:, None])[:, 0] > 0.0
    if theirs is not None:
        started[:-_HOUR_MIN] &= ~theirs[:-_HOUR_MIN]
    starts = np.flatnonzero(started)
    other = np.flatnonzero(np.isfinite(share) & ((share < _WHOLE) if running else (share > _NONE)))
    since = begin_s + _MINUTE_S * (other[-1] + 1.0) if len(other) else begin_s
    minutes = history.series(running_tag, now - timedelta(days=hours_days), now).values
    return Past(
        running=running,
        since_s=float(since),
        starts_s=tuple(float(begin_s + _MINUTE_S * (at + 1.0)) for at in starts),
        hours_run_h=float(np.nansum(minutes)) * _MINUTE_S / 3600.0,
    )


def recall_habit(runtime: StationRuntime, history: History, now: datetime, *, days: int) -> StartHabit | None:
    """How the station was run while the agent only watched: from these days' minutes while the store has them, else
    as it was worked out from them before. None where neither is known.
    """
    begin = now - timedelta(days=days)
    modes = history.series(runtime.mode_tag, begin, now).values
    watched = np.isin(modes, [MODE_CODES[Mode.OBSERVE], MODE_CODES[Mode.ADVISE]])
    tags = [machine.tag("running") for machine in runtime.station.machines.values()]
    running = np.column_stack([history.series(tag, begin, now).values for tag in tags])
    demand = history.series(runtime.demand_tag, begin, now).values
    starts = starts_by_minute(running)
    seen = watched & np.isfinite(starts).all(axis=1) & np.isfinite(demand)
    if seen.sum() * _MINUTE_S >= _HABIT_DAYS * DAY_S:
        per_day = float(starts[seen].sum()) * DAY_S / (float(seen.sum()) * _MINUTE_S)
        return StartHabit(per_day, float(demand[seen].mean()))
    kept = [
        history.series(tag(runtime.station_id), begin, now).values
        for tag in (starts_habit_tag, usual_demand_tag)
    ]
    known = np.flatnonzero(np.isfinite(kept[0]) & np.isfinite(kept[1]))
    return StartHabit(float(kept[0][known[-1]]), float(kept[1][known[-1]])) if len(known) else None


def recall_wander(
    runtime: StationRuntime, history: History, now: datetime, *, days: int
) -> HourWander | None:
    """How far an hour's peak passed what was expected, as it was known last; None where nothing was kept."""
    begin = now - timedelta(days=days)
    kept = [history.series(tag, begin, now).values for tag in hour_wander_tags(runtime.station_id)]
    known = np.flatnonzero(np.logical_and.reduce([np.isfinite(values) for values in kept]))
    return HourWander(*(float(values[known[-1]]) for values in kept)) if len(known) else None


def _ends_running(share: Floats, last: int) -> bool:
    """State at the end of the last known minute; in a mixed one it was started if it ran more than before."""
    if share[last] > _WHOLE:
        return True
    if share[last] < _NONE:
        return False
    before = share[last - 1] if last > 0 and np.isfinite(share[last - 1]) else 0.0
    return bool(share[last] > before)
