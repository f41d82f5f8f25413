"""Did the plant do what it was told? A machine that does not follow is set aside, for longer each time."""

from __future__ import annotations

from dataclasses import dataclass

from agent.control.memory import StationMemory
from agent.control.orders import Order
from agent.control.view import Fleet, StationView

# Beyond the machine's own times: two polls and a slow controller.
_GRACE_S = 15.0
_FIRST_BAR_S = 300.0
_LONGEST_BAR_S = 7200.0
# This many failures in a row on one machine, and the failures are forgotten after a good hour.
_FORGET_S = 3600.0


@dataclass(slots=True)
class _Watch:
    wanted_run: bool | None = None
    wanted_since_s: float = 0.0
    failures: int = 0
    last_failure_s: float = float("-inf")
    failed: bool = False
    # A failure counts until then even when nothing is ordered any more.
    counts_until_s: float = float("-inf")


class EffectWatch:
    """Compares orders that were sent with what the machines report afterwards."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._watches = tuple(_Watch() for _ in range(fleet.count))

    def failing(self, now_s: float) -> int:
        """Machines that failed to follow, now or so lately that another try would be too early."""
        return sum(watch.failed or now_s < watch.counts_until_s for watch in self._watches)

    def forget_orders(self) -> None:
        """Nothing is ordered any more: what a machine does now says nothing about following.

        Its last failure goes on counting for its time, so that control does not come back at once.
        """
        for watch in self._watches:
            watch.wanted_run, watch.failed = None, False

    def check(self, view: StationView, memory: StationMemory) -> tuple[str, ...]:
        """Set machines aside that did not follow; a note for each that was found now."""
        notes: list[str] = []
        now_s = view.at_s
        for index, watch in enumerate(self._watches):
            if watch.wanted_run is None:
                continue
            seen, machine = view.machines[index], self._fleet.machines[index]
            if seen.running is None:
                continue
            if seen.running == watch.wanted_run:
                # Standing still when told to is no proof that a machine starts.
                if watch.wanted_run or now_s >= watch.counts_until_s:
                    watch.failed, watch.counts_until_s = False, float("-inf")
                if now_s - watch.last_failure_s > _FORGET_S:
                    watch.failures = 0
                continue
            allowed_s = _GRACE_S + (machine.start_s if watch.wanted_run else machine.blowdown_s)
            if now_s - watch.wanted_since_s < allowed_s or watch.failed:
                continue
            watch.failed = True
            watch.failures += 1
            watch.last_failure_s = now_s
            bar_s = min(_FIRST_BAR_S * 2.0 ** (watch.failures - 1), _LONGEST_BAR_S)
            watch.counts_until_s = now_s + bar_s
            verb = "start" if watch.wanted_run else "stop"
            past = memory.machines[index]
            if watch.wanted_run:
                past.barred_until_s = now_s + bar_s
                past.barred_why = f"did not {verb} when told, {watch.failures} time(s)"
            notes.append(f"{self._fleet.names[index]} did not {verb} within {allowed_s:.0f} s")
        return tuple(notes)

    def sent(self, view: StationView, orders: tuple[Order | None, ...]) -> None:
        """Remember what went out this tick."""
        for watch, order in zip(self._watches, orders, strict=True):
            wanted = None if order is None else order.run
            if wanted != watch.wanted_run:
                watch.wanted_run, watch.wanted_since_s, watch.failed = wanted, view.at_s, False
