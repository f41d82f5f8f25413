"""What has to be remembered of the machines between ticks: starts, stops, holds, overrides."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from agent.control.view import StationView

HOUR_S = 3600.0
DAY_S = 86400.0


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
    override_run: bool | None = None
    override_until_s: float = float("-inf")

    def starts_within(self, now_s: float, span_s: float) -> int:
        """Starts in the last `span_s`."""
        return sum(1 for s in self.starts_s if now_s - s < span_s)


class StationMemory:
    """Updated from what the machines say, never from what was ordered: a restart of the agent or a
    start by hand counts like any other.
    """

    def __init__(self, count: int) -> None:
        self.machines = tuple(MachineMemory() for _ in range(count))
        self.last_start_s = float("-inf")

    def observe(self, view: StationView) -> None:
        """Take in one tick."""
        now_s = view.at_s
        for past, machine in zip(self.machines, view.machines, strict=True):
            running = machine.running
            if running is None:
                continue
            if not past.known:
                past.known, past.running = True, running
                past.unloaded_since_s = now_s if running and not machine.loaded else float("inf")
                continue
            if running != past.running:
                past.running, past.since_s = running, now_s
                if running:
                    past.starts_s.append(now_s)
                    self.last_start_s = now_s
            while past.starts_s and now_s - past.starts_s[0] > DAY_S:
                past.starts_s.popleft()
            if not running or machine.loaded:
                past.unloaded_since_s = float("inf")
            elif past.unloaded_since_s == float("inf"):
                past.unloaded_since_s = now_s

    def override(self, index: int, *, run: bool | None, until_s: float) -> None:
        """An operator's word for one machine: run, stop, or (None) leave it alone, until `until_s`."""
        past = self.machines[index]
        past.override_run, past.override_until_s = run, until_s
