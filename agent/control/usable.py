"""Which machines may not run, must run and run now: looked at when something has happened or a time is over."""

from __future__ import annotations

from typing import NamedTuple

from agent.control.memory import HOUR_S, StationMemory
from agent.control.view import Fleet, States, StationView


class Usable(NamedTuple):
    """Bits: may not run, must run, runs. They hold as long as the states stand, until `until_s`."""

    barred: int
    held: int
    running: int
    states: States
    until_s: float


class UsableWatch:
    """The last look, and whether it still holds."""

    def __init__(self, fleet: Fleet, memory: StationMemory) -> None:
        self._fleet, self._memory = fleet, memory
        self._last: Usable | None = None

    def forget(self) -> None:
        """Something has happened that the machines' states do not tell: an override, a machine set aside."""
        self._last = None

    def now(self, view: StationView) -> Usable:
        """The bits of this tick."""
        last = self._last
        if last is None or view.states != last.states or view.at_s >= last.until_s:
            last = self._last = usable(self._fleet, self._memory, view)
        return last


def usable(fleet: Fleet, memory: StationMemory, view: StationView) -> Usable:
    """Look at every machine."""
    states, now_s = view.states, view.at_s
    barred, held, running = states.silent | states.tripped | states.unready, 0, 0
    # Each time at which one of the bits changes by itself.
    ends_s: list[float] = []
    for index, (machine, past) in enumerate(zip(fleet.machines, memory.machines, strict=True)):
        bit = 1 << index
        out = barred & bit or machine.locked_out or past.locked_out
        ends_s.append(past.override_until_s)
        if now_s < past.override_until_s:
            held |= bit if past.override_run else 0
            barred |= bit if past.override_run is False else 0
        if out:
            barred |= bit
            continue
        ends_s.append(past.barred_until_s)
        if states.running & bit:
            running |= bit
            if past.stuck_unloaded and now_s < past.barred_until_s:
                barred |= bit
            ends_s.append(past.since_s + machine.min_run_s)
            if now_s < past.since_s + machine.min_run_s:
                held |= bit
            continue
        ends_s.append(past.since_s + machine.min_stop_s)
        limit = machine.max_starts_per_hour
        limited = past.starts_within(now_s, HOUR_S) >= limit
        if limited:
            # Where no start at all is allowed there is none to wait for.
            ends_s.append(past.starts_s[-limit] + HOUR_S if limit else float("inf"))
        if now_s < past.barred_until_s or now_s < past.since_s + machine.min_stop_s or limited:
            barred |= bit
    until_s = min((end_s for end_s in ends_s if end_s > now_s), default=float("inf"))
    return Usable(barred, held & ~barred, running, states, until_s)
