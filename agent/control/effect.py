"""Did the plant do what it was told? A machine that does not follow is set aside, for longer each time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from agent.control.memory import StationMemory
from agent.control.orders import Order
from agent.control.view import Fleet, MachineView, States, StationView
from agent.planner.part_load import KINDS

# Beyond the machine's own times: two polls and a slow controller.
_GRACE_S = 15.0
_FIRST_BAR_S = 300.0
_LONGEST_BAR_S = 7200.0
# Failures in a row count until a good hour has passed.
_FORGET_S = 3600.0
_NEVER_S = float("-inf")
# One machine alone comes to three failures an hour (300, 600, 1200 s set aside): more is the station.
STATION_FAILURES_AN_HOUR = 5


@dataclass(slots=True)
class _Wanted:
    """One order of a machine (run, or load) and since when it stands."""

    value: bool | None = None
    since_s: float = 0.0
    failed: bool = False

    def order(self, now_s: float, *, value: bool | None) -> None:
        if value != self.value:
            self.value, self.since_s, self.failed = value, now_s, False


@dataclass(slots=True)
class _Watch:
    run: _Wanted = field(default_factory=_Wanted)
    load: _Wanted = field(default_factory=_Wanted)
    failures: int = 0
    lacking: str = ""
    last_failure_s: float = float("-inf")
    # A failure counts until then even when nothing is ordered any more.
    counts_until_s: float = float("-inf")
    # Why it cannot follow, by its own word.
    out: str = ""

    def follows(self, seen: MachineView) -> bool:
        """It does what it was told, and nothing is held against it: there is nothing to look at, as mostly."""
        run, load = self.run, self.load
        return (
            seen.running is run.value
            and (load.value is None or seen.loaded is load.value)
            and not (self.failures or self.lacking or run.failed or load.failed)
        )


class EffectWatch:
    """Compares orders that were sent with what the machines report afterwards."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._watches = tuple(_Watch() for _ in range(fleet.count))
        # Without an unloading valve "loaded" says nothing of its own.
        self._valved = tuple(KINDS[machine.control].unloads for machine in fleet.machines)
        self._failed_at_s: deque[float] = deque()
        self._ever_failed = False
        # States at which all machines followed; None as soon as an order has changed.
        self._followed: States | None = None
        self._last_sent: tuple[list[tuple[bool, bool] | None], States] | None = None

    def failing(self, now_s: float) -> int:
        """Machines that failed to follow, now or so lately that another try would be too early."""
        if not self._ever_failed:
            return 0
        return sum([w.run.failed or w.load.failed or now_s < w.counts_until_s for w in self._watches])

    def failed_this_hour(self, now_s: float) -> int:
        """Failures to follow of all machines in the last hour."""
        while self._failed_at_s and now_s - self._failed_at_s[0] > _FORGET_S:
            self._failed_at_s.popleft()
        return len(self._failed_at_s)

    def forget_orders(self) -> None:
        """Nothing is ordered any more: what a machine does now says nothing about following.

        Its last failure goes on counting for its time, so that control does not come back at once.
        """
        for watch in self._watches:
            watch.run, watch.load = _Wanted(), _Wanted()
        self._followed = self._last_sent = None

    def check(self, view: StationView, memory: StationMemory) -> tuple[str, ...]:
        """Set machines aside that did not follow; a note for each that was found now."""
        if view.states == self._followed:
            # The same orders, and nobody has done anything since: as mostly.
            return ()
        notes: list[str] = []
        now_s, all_follow = view.at_s, True
        for index, watch in enumerate(self._watches):
            seen, past = view.machines[index], memory.machines[index]
            if seen.running is None:
                all_follow = False
                continue
            if seen.tripped or seen.ready is False or watch.out:
                notes += self._by_its_own_word(index, watch, seen)
            if watch.out:
                all_follow = False
                continue
            if past.stuck_loaded and not seen.loaded:
                past.stuck_loaded = False
            if past.stuck_unloaded and (seen.loaded or now_s >= past.barred_until_s):
                past.stuck_unloaded = False
            if watch.follows(seen):
                all_follow = all_follow and not (past.stuck_loaded or past.stuck_unloaded)
                continue
            all_follow = False
            verb, allowed_s = self._not_followed(index, watch, seen, now_s)
            if not verb:
                continue
            self._ever_failed = True
            watch.failures += 1
            watch.lacking = verb
            watch.last_failure_s = now_s
            self._failed_at_s.append(now_s)
            bar_s = min(_FIRST_BAR_S * 2.0 ** (watch.failures - 1), _LONGEST_BAR_S)
            watch.counts_until_s = now_s + bar_s
            if verb != "stop":
                past.barred_until_s = now_s + bar_s
                past.barred_why = f"did not {verb} when told, {watch.failures} time(s)"
                past.stuck_loaded, past.stuck_unloaded = verb == "unload", verb == "load"
            notes.append(f"{self._fleet.names[index]} did not {verb} within {allowed_s:.0f} s")
        self._followed = view.states if all_follow else None
        return tuple(notes)

    def defied(self, view: StationView) -> dict[int, str]:
        """Machines that run or deliver although told not to, and what each was told."""
        told: dict[int, str] = {}
        for index, (watch, seen) in enumerate(zip(self._watches, view.machines, strict=True)):
            if watch.run.value is False and seen.running:
                told[index] = "stop"
            elif watch.load.value is False and seen.running and seen.loaded:
                told[index] = "unload"
        return told

    def sent(self, view: StationView, orders: tuple[Order | None, ...]) -> None:
        """Remember what went out this tick."""
        # A drive's share moves every tick; following is about running and loading.
        said = [None if order is None else (order.run, order.load) for order in orders]
        if (said, view.states) == self._last_sent:
            return
        self._last_sent = said, view.states
        now_s = view.at_s
        rows = zip(self._watches, orders, view.machines, self._valved, strict=True)
        for watch, order, seen, valved in rows:
            run = None if order is None else order.run
            # Loading is asked of a machine that runs; until then the start is what is waited for.
            load = order.load if order is not None and run and seen.running and valved else None
            if run is not watch.run.value:
                watch.run.order(now_s, value=run)
                self._followed = None
            if load is not watch.load.value:
                watch.load.order(now_s, value=load)
                self._followed = None

    def _by_its_own_word(self, index: int, watch: _Watch, seen: MachineView) -> tuple[str, ...]:
        """A machine that trips or is not ready has answered: what it does is no failure to follow."""
        out = (
            "tripped"
            if seen.tripped
            else "not ready: in local mode or blocked"
            if seen.ready is False
            else ""
        )
        # That a machine which nobody wants blows down is no news.
        told = out not in (watch.out, "") and (watch.run.value or bool(seen.running))
        watch.out = out
        if out:
            watch.run, watch.load = _Wanted(), _Wanted()
        return (f"{self._fleet.names[index]} is {out}",) if told else ()

    def _not_followed(self, index: int, watch: _Watch, seen: MachineView, now_s: float) -> tuple[str, float]:
        """(what the machine did not do, the time it had); ("", 0) while it follows or has time."""
        machine = self._fleet.machines[index]
        run, load = watch.run, watch.load
        if run.value is None:
            return "", 0.0
        if seen.running != run.value:
            allowed_s = _GRACE_S + (machine.start_s if run.value else machine.blowdown_s)
            if now_s - run.since_s < allowed_s or run.failed:
                return "", 0.0
            run.failed = True
            return ("start" if run.value else "stop"), allowed_s
        run.failed = False
        if load.value is not None and seen.loaded is not None and seen.loaded != load.value:
            # A start just made still has to build up its pressure, a sump to blow down.
            allowed_s = _GRACE_S + machine.start_s + (machine.reload_s if load.value else 0.0)
            if now_s - load.since_s < allowed_s or load.failed:
                return "", 0.0
            load.failed = True
            return ("load" if load.value else "unload"), allowed_s
        load.failed = False
        # Standing still when told to is no proof that a machine starts, nor idling that it loads.
        lacking = watch.lacking
        if not lacking or {"start": run.value, "load": load.value, "unload": load.value is False}.get(
            lacking, True
        ):
            watch.counts_until_s = _NEVER_S
        if now_s - watch.last_failure_s > _FORGET_S:
            watch.failures = 0
        return "", 0.0
