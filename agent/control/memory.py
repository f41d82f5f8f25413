"""What has to be remembered of the machines between ticks: starts, stops, holds, overrides."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.control.orders import Order
from agent.control.view import States, StationView

HOUR_S = 3600.0
DAY_S = 86400.0
# A tick counts for no more than this: what happened in a longer gap is not known.
_LONGEST_TICK_S = 120.0
_NEVER_S, _NOT_NOW_S = float("-inf"), float("inf")


@dataclass(slots=True)
class MachineMemory:
    """One machine's past as it was seen, in epoch seconds."""

    running: bool = False
    known: bool = False
    since_s: float = float("-inf")
    unloaded_since_s: float = float("inf")
    starts_s: deque[float] = field(default_factory=deque)
    barred_until_s: float = float("-inf")
    barred_why: str = ""
    # Runs, but does not unload or load when told: it is stopped instead, or counts for nothing while set aside.
    stuck_loaded: bool = False
    stuck_unloaded: bool = False
    override_run: bool | None = None
    override_until_s: float = float("-inf")
    override_text: str = ""
    # When the operator took the machine out: the others are given time to take over what it delivers.
    taken_out_s: float = float("-inf")
    locked_out: bool = False
    ordered_start_s: float = float("-inf")
    hours_run_h: float = 0.0

    def starts_within(self, now_s: float, span_s: float) -> int:
        """Starts in the last `span_s`."""
        since_s, count = now_s - span_s, 0
        for at_s in reversed(self.starts_s):
            if at_s <= since_s:
                break
            count += 1
        return count

    def overridden(self, now_s: float) -> bool | None:
        """The operator's word that holds now: run, stop, or None."""
        return self.override_run if now_s < self.override_until_s else None


class Past(NamedTuple):
    """One machine before this process began, as the store has it: its last state, and since when."""

    running: bool
    since_s: float
    starts_s: tuple[float, ...]
    hours_run_h: float


class StationMemory:
    """Updated from what the machines say, never from what was ordered: a restart of the agent or a
    start by hand counts like any other.
    """

    def __init__(self, count: int) -> None:
        self.machines = tuple(MachineMemory() for _ in range(count))
        self.last_start_s = float("-inf")
        self.starts_seen = 0
        self._last_s: float | None = None
        # What was seen and sent last: as long as both stand there is nothing to remember but hours.
        self._states: States | None = None
        self._sent: list[bool] | None = None
        self._turning: tuple[MachineMemory, ...] = ()

    def observe(self, view: StationView) -> None:
        """Take in one tick."""
        now_s = view.at_s
        passed_s = 0.0 if self._last_s is None else min(max(now_s - self._last_s, 0.0), _LONGEST_TICK_S)
        passed_h = passed_s / HOUR_S
        self._last_s = now_s
        if view.states == self._states:
            for past in self._turning:
                past.hours_run_h += passed_h
            return
        self._states, self._sent = view.states, None
        self._turning = tuple([p for p, m in zip(self.machines, view.machines, strict=True) if m.running])
        for past, machine in zip(self.machines, view.machines, strict=True):
            running = machine.running
            if running is None:
                continue
            if not past.known:
                past.known, past.running = True, running
                past.unloaded_since_s = now_s if running and not machine.loaded else _NOT_NOW_S
                continue
            if running:
                past.hours_run_h += passed_h
            if running != past.running:
                past.running, past.since_s = running, now_s
                if running:
                    while past.starts_s and now_s - past.starts_s[0] > DAY_S:
                        past.starts_s.popleft()
                    past.starts_s.append(now_s)
                    self.last_start_s = now_s
                    self.starts_seen += 1
            if not running or machine.loaded:
                past.unloaded_since_s = _NOT_NOW_S
            elif past.unloaded_since_s == _NOT_NOW_S:
                past.unloaded_since_s = now_s

    def sent(self, orders: Sequence[Order | None], now_s: float) -> None:
        """Orders went out: a start that a slow controller has not shown yet counts for the gap between starts."""
        run = [order is not None and order.run for order in orders]
        if run == self._sent:
            return
        self._sent = run
        for past, told in zip(self.machines, run, strict=True):
            if not told:
                past.ordered_start_s = _NEVER_S
            elif not past.running and past.ordered_start_s == _NEVER_S:
                past.ordered_start_s = now_s

    def start_gap_end_s(self, index: int, gap_s: float) -> float:
        """Until when no start of machine `index` may follow what the others have started or been told to.

        Where it has been told to start itself, what the others were told later does not count.
        """
        if self.machines[index].ordered_start_s != _NEVER_S:
            return self.last_start_s + gap_s
        ordered_s = max(
            (past.ordered_start_s for i, past in enumerate(self.machines) if i != index),
            default=float("-inf"),
        )
        return max(self.last_start_s, ordered_s) + gap_s

    def recall(self, index: int, past: Past) -> None:
        """Take over what the store knows of the time before this process: a restart forgives no start."""
        memory = self.machines[index]
        self._states = self._sent = None
        # If it was started or stopped meanwhile, the first tick sees a change, and that counts as one of now.
        memory.known, memory.running = True, past.running
        memory.since_s, memory.hours_run_h = past.since_s, past.hours_run_h
        memory.starts_s = deque(sorted(past.starts_s))
        if memory.starts_s:
            self.last_start_s = max(self.last_start_s, memory.starts_s[-1])

    def override(self, index: int, *, run: bool | None, until_s: float, text: str = "") -> None:
        """An operator's word for one machine: run, stop, or (None) leave it alone, until `until_s`."""
        past = self.machines[index]
        past.override_run, past.override_until_s, past.override_text = run, until_s, text
        past.taken_out_s = self._now_s if run is False else float("-inf")

    def lock_out(self, index: int, *, locked: bool, text: str = "") -> None:
        """Lock a machine out for maintenance, or release it. It has no end: somebody may stand inside."""
        past = self.machines[index]
        past.locked_out = locked
        past.override_text = text
        past.taken_out_s = self._now_s if locked else float("-inf")

    @property
    def _now_s(self) -> float:
        return float("-inf") if self._last_s is None else self._last_s
