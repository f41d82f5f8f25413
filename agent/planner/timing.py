"""When a machine may change its state: minimum times, windows, starts per hour.

A machine that switches at step t is held until its release step; `MachineTimes` gives that step
for every t, so that a dynamic programme can jump over the hold. Unavailability ends a minimum
run. A forced window ends a minimum stop only where nothing else is left (precedence: unavailable >
forced > minimum times): a stop that runs into a window is dear, and a fault where it was a choice.

Starts per hour are exact in `time_faults`; inside the programmes they are left out (`relaxed`)
or replaced by a safe rule (`strict`): starts at least 60/max minutes apart, and in the first hour
only where the known past starts leave room for every start that this spacing would allow.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.planner.problem import PlanMachine

# Minutes: below any step length, above the rounding of summed step lengths.
_EPS_MIN = 1e-6


@dataclass(frozen=True)
class MachineTimes:
    """Release steps of one machine.

    `on_release[t]` is the first step at which a machine started at t may stop, `off_release[t]`
    the reverse; both lie in t+1 .. N. `initial_release` is the same for the state at the start.
    `may_start[t]` is False where the strict rule forbids a start; `cuts_stop[t]` is True where a
    machine stopped at t is forced to run again before its minimum stop is over.
    """

    on_release: tuple[int, ...]
    off_release: tuple[int, ...]
    initial_release: int
    may_start: tuple[bool, ...]
    cuts_stop: tuple[bool, ...]


class TimeFault(NamedTuple):
    """A broken rule of time: which, at which step, by how much."""

    rule: str
    step: int
    amount: float


def _first_true(flags: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For every step t the first step >= t at which the flag is set, N where there is none."""
    steps = len(flags)
    found = np.append(np.flatnonzero(flags), steps)
    following: NDArray[np.int64] = found[np.searchsorted(found, np.arange(steps + 1))]
    return following


def machine_times(
    machine: PlanMachine,
    start_min: NDArray[np.float64],
    *,
    must_on: NDArray[np.bool_],
    must_off: NDArray[np.bool_],
    strict: bool,
) -> MachineTimes:
    """Release steps of the machine on a grid whose step t spans start_min[t] .. start_min[t+1]."""
    begin = start_min[:-1]
    steps = len(begin)
    down_min = machine.min_down_min
    if strict and machine.max_starts_per_hour > 0:
        down_min = max(down_min, 60.0 / machine.max_starts_per_hour - machine.min_up_min)
    next_off = _first_true(must_off)
    next_on = _first_true(must_on)
    later = np.arange(1, steps + 1)
    on_release = np.searchsorted(begin, begin + machine.min_up_min - _EPS_MIN)
    on_release = np.minimum(np.maximum(on_release, later), np.maximum(next_off[1:], later))
    off_release = np.searchsorted(begin, begin + down_min - _EPS_MIN)
    forced_on = np.maximum(next_on[1:], later)
    whole_stop = np.searchsorted(begin, begin + machine.min_down_min - _EPS_MIN)
    cuts_stop = (forced_on < whole_stop) & (forced_on < steps)
    off_release = np.minimum(np.maximum(off_release, later), forced_on)

    state = machine.state
    if state.running:
        wait_min = machine.min_up_min - state.in_state_min
        breaker = int(next_off[0])
    else:
        wait_min = max(machine.min_down_min - state.in_state_min, machine.lead_time_min)
        breaker = int(next_on[0])
    initial = int(np.searchsorted(begin, wait_min - _EPS_MIN)) if wait_min > 0 else 0
    return MachineTimes(
        on_release=tuple(on_release.tolist()),
        off_release=tuple(off_release.tolist()),
        initial_release=min(initial, breaker),
        may_start=_may_start(machine, begin, strict=strict),
        cuts_stop=tuple(cuts_stop.tolist()),
    )


def _may_start(machine: PlanMachine, begin: NDArray[np.float64], *, strict: bool) -> tuple[bool, ...]:
    limit = machine.max_starts_per_hour
    if limit == 0:
        return (False,) * len(begin)
    if not strict or min(machine.state.starts_ago_min, default=60.0) >= 60.0:
        return (True,) * len(begin)
    allowed: list[bool] = []
    for now in begin:
        past = sum(1 for ago in machine.state.starts_ago_min if now + ago < 60.0 - _EPS_MIN)
        planned = math.floor((float(now) + _EPS_MIN) * limit / 60.0) + 1
        allowed.append(past == 0 or past + planned <= limit)
    return tuple(allowed)


def first_fault(
    machine: PlanMachine,
    start_min: NDArray[np.float64],
    on: NDArray[np.bool_],
    *,
    must_on: NDArray[np.bool_],
    must_off: NDArray[np.bool_],
) -> TimeFault | None:
    """The first rule of time that the schedule `on` breaks, None when it keeps them all."""
    return next(time_faults(machine, start_min, on, must_on=must_on, must_off=must_off), None)


def time_faults(
    machine: PlanMachine,
    start_min: NDArray[np.float64],
    on: NDArray[np.bool_],
    *,
    must_on: NDArray[np.bool_],
    must_off: NDArray[np.bool_],
) -> Iterator[TimeFault]:
    """Every rule of time that the schedule `on` breaks, step by step.

    Only unavailability excuses anything: it may cut a minimum run. A forced start that cuts a
    minimum stop or exceeds the starts per hour is a fault, even where the windows leave no choice.
    """
    begin = start_min[:-1].tolist()
    state = machine.state
    running = state.running
    since_min = -state.in_state_min
    starts = [-ago for ago in state.starts_ago_min]
    first_change = True
    off, wanted = must_off.tolist(), must_on.tolist()
    for step, value in enumerate(on.tolist()):
        now = begin[step]
        if value and off[step]:
            yield TimeFault("unavailable", step, 1.0)
        if not value and wanted[step]:
            yield TimeFault("forced", step, 1.0)
        if value == running:
            continue
        if value:
            wait_min = machine.min_down_min - (now - since_min)
            if first_change:
                wait_min = max(wait_min, machine.lead_time_min - now)
            if wait_min > _EPS_MIN:
                yield TimeFault("min_down", step, wait_min)
            starts.append(now)
            recent = sum(1 for start in starts if now - start < 60.0 - _EPS_MIN)
            if recent > machine.max_starts_per_hour:
                yield TimeFault("starts_per_hour", step, float(recent - machine.max_starts_per_hour))
        else:
            wait_min = machine.min_up_min - (now - since_min)
            if wait_min > _EPS_MIN and not off[step]:
                yield TimeFault("min_up", step, wait_min)
        running = value
        since_min = now
        first_change = False
