"""The tick: sense, store, decide, guard, actuate, report. The same loop on a wall and a simulated clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from agent.clock import Clock
from agent.config.site import Site
from agent.control.gate import Gate, allow_list
from agent.daemon.actuation import Actuation
from agent.daemon.comfort import HvacRuntime
from agent.daemon.known import known_ahead
from agent.daemon.life import LifeSigns
from agent.daemon.outlook import STEP_S, DemandForecast
from agent.daemon.overrides import Overrides
from agent.daemon.planned_demand import PlannedDemand
from agent.daemon.production import ProductionPlan
from agent.daemon.recall import recall_habit, recall_machines, recall_wander
from agent.daemon.replanning import plan_event, plan_work, share_a_meter, wants_plan
from agent.daemon.report import Reporter
from agent.daemon.rhythm import Nightly, night_work, tell_alarm, tell_forecast
from agent.daemon.runtime import StationRuntime, station_runtimes
from agent.daemon.site_power import beside_stations
from agent.daemon.spoken import spoken
from agent.domain import Command, HvacPlan, Mode, Plan, Quality, Reading, Snapshot, unknown
from agent.drivers.base import Driver
from agent.inference.model import Model
from agent.log import get_logger
from agent.store.history import History
from agent.store.ledger import Ledger
from agent.store.tags import MODE_CODES, hour_wander_tags, starts_habit_tag, usual_demand_tag

log = get_logger(__name__)

_HISTORY_DAYS = 56


class Daemon:
    """One site's agent. `tick` is one period; `run` repeats it; `stop` hands everything back."""

    def __init__(
        self,
        site: Site,
        clock: Clock,
        drivers: Mapping[str, Driver],
        *,
        history: History,
        ledger: Ledger,
        reporter: Reporter | None = None,
        models: dict[str, Model] | None = None,
        forecasters: dict[str, DemandForecast] | None = None,
        plan_in_thread: bool = False,
        production: ProductionPlan | None = None,
        zone_models: Path | None = None,
        overrides_folder: Path | None = None,
    ) -> None:
        self.site, self.clock, self.drivers = site, clock, dict(drivers)
        self.history, self.ledger, self.reporter = history, ledger, reporter
        allowed = allow_list(site)
        self.production = production
        self._production_version = 0
        self.stations = station_runtimes(site, allowed, models or {}, forecasters)
        for runtime in self.stations.values():
            runtime.foresight.known = known_ahead(site, runtime.station, production)
            runtime.foresight.planned = None if production is None else PlannedDemand(production)
            runtime.foresight.beside = beside_stations(site, history)
        self.overrides = Overrides(self.stations, overrides_folder)
        self.hvac = (
            HvacRuntime(site, allowed, zone_models) if site.hvac is not None and site.hvac.zones else None
        )
        self._plan_in_thread = plan_in_thread
        self._one_meter = share_a_meter(site)
        self._nightly = Nightly(site.site.timezone, clock.now())
        self._jobs: set[asyncio.Task[None]] = set()
        if self.hvac is not None and plan_in_thread:
            self.hvac.defer = self._defer_zones
        self._failure: BaseException | None = None
        self.signs = LifeSigns()
        self._actuation = Actuation(
            Gate(allowed, site.points),
            self.drivers,
            self.signs,
            None if self.hvac is None else self.hvac.wrote,
        )
        self.snapshot: Snapshot | None = None
        self.ticks = 0
        self.late_ticks = 0
        self.notes: list[str] = []

    async def start(self) -> None:
        """Open the links and take over what the store remembers."""
        await asyncio.gather(*(driver.connect() for driver in self.drivers.values()))
        now = self.clock.now()
        for runtime in self.stations.values():
            grid = self.history.series(runtime.demand_tag, now - timedelta(days=_HISTORY_DAYS), now, STEP_S)
            if np.isfinite(grid.values).any():
                runtime.foresight.history.load(grid.start_at, [float(v) for v in grid.values])
            recall_machines(runtime, self.history, now, hours_days=self.site.storage.history_days)
            self._learn_habit(runtime, now)
            days = self.site.storage.history_days
            runtime.control.hour_peak.recall(recall_wander(runtime, self.history, now, days=days))
        self.overrides.begin(now)
        # Here it stalls nobody; in the loop a long ledger would cost ticks.
        verdict = self.ledger.verify()
        if not verdict.ok:
            log.error("ledger_broken", rows=verdict.rows, bad_seq=verdict.bad_seq, reason=verdict.reason)
        self.ledger.append(
            "ledger_verified", now, {"ok": verdict.ok, "rows": verdict.rows, "bad_seq": verdict.bad_seq}
        )
        self.ledger.append(
            "agent_started", now, {"site": self.site.site.id, "ticks_every_s": self.site.tick_s}
        )
        log.info(
            "agent_started", site=self.site.site.id, stations=len(self.stations), tick_s=self.site.tick_s
        )

    async def run(self, stopped: asyncio.Event, *, until: datetime | None = None) -> None:
        """Tick on a fixed grid until told to stop. A tick that comes late is not made up for."""
        period = timedelta(seconds=self.site.tick_s)
        due = self.clock.now()
        while not stopped.is_set() and (until is None or due < until):
            await self.tick()
            due += period + timedelta(seconds=self._follow_clock())
            now = self.clock.now()
            if now > due:
                missed = (now - due) // period
                self.late_ticks += missed
                due += missed * period
            await self._sleep(due, stopped)

    def _follow_clock(self) -> float:
        """Take over a clock that was set; the rhythm moves along with it."""
        step_s = self.clock.correct()
        if step_s:
            log.warning("clock_set", step_s=round(step_s, 1))
            self.ledger.append("clock_set", self.clock.now(), {"step_s": round(step_s, 1)})
        return step_s

    async def _sleep(self, due: datetime, stopped: asyncio.Event) -> None:
        sleeper = asyncio.ensure_future(self.clock.sleep_until(due))
        waiter = asyncio.ensure_future(stopped.wait())
        try:
            await asyncio.wait({sleeper, waiter}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sleeper, waiter):
                task.cancel()
            await asyncio.gather(sleeper, waiter, return_exceptions=True)

    async def tick(self) -> None:
        """One period of the control loop."""
        if self._failure is not None:
            raise self._failure
        snapshot = self.snapshot = await self._sense()
        self.signs.sensed(snapshot)
        self.notes = []
        events: list[tuple[str, datetime, dict[str, object]]] = []
        commands: list[Command] = []
        derived: dict[str, Reading] = {}
        if self.production is not None:
            self._look_at_production(self.production, snapshot.at, events)
        self.overrides.step(snapshot.at, events)
        for runtime in self.stations.values():
            commands += self._decide(runtime, snapshot, events, derived)
        if self.hvac is not None:
            commands += self.hvac.tick(snapshot, self.history, events)
            self.notes += self.hvac.notes
            derived.update(self.hvac.readings(snapshot.at))
        modes = {
            runtime.mode_tag: Reading(MODE_CODES[runtime.mode], Quality.GOOD, snapshot.at)
            for runtime in self.stations.values()
        }
        self.history.record(Snapshot(snapshot.at, {**snapshot.readings, **derived, **modes}))
        await self._actuation.out(snapshot, commands, events, self.clock.now())
        if self._nightly.due(snapshot.at):
            for runtime in self.stations.values():
                # Weeks of minutes are read: not in a tick that steers.
                if runtime.mode in (Mode.OBSERVE, Mode.ADVISE):
                    self._learn_habit(runtime, snapshot.at)
            night_work(list(self.stations.values()), self.history, snapshot.at, events)
        if events:
            self.notes += spoken(events)
            self._keep(events, snapshot)
        if self.reporter is not None:
            self.reporter.report(self, derived, events)
        self.ticks += 1

    async def stop(self, reason: str) -> None:
        """Hand back every machine and set-point, then close. Safe to call whatever state things are in."""
        for job in self._jobs:
            job.cancel()
        now = self.clock.now()
        snapshot = self.snapshot or Snapshot(now, {})
        commands: list[Command] = []
        for runtime in self.stations.values():
            if runtime.was_controlling:
                commands += runtime.writer.hand_back(Snapshot(now, snapshot.readings), reason)
                runtime.was_controlling = False
        if self.hvac is not None:
            commands += self.hvac.hand_back(snapshot)
        events: list[tuple[str, datetime, dict[str, object]]] = []
        await self._actuation.out(Snapshot(now, snapshot.readings), commands, events, self.clock.now())
        await asyncio.gather(*(driver.release() for driver in self.drivers.values()))
        self.history.flush()
        events.append(("agent_stopped", now, {"reason": reason, "ticks": self.ticks}))
        self.ledger.append_all(events)
        await asyncio.gather(*(driver.close() for driver in self.drivers.values()))
        log.info("agent_stopped", reason=reason, ticks=self.ticks, late_ticks=self.late_ticks)

    def _learn_habit(self, runtime: StationRuntime, now: datetime) -> None:
        days = self.site.storage.history_days
        runtime.control.start_price.learn(recall_habit(runtime, self.history, now, days=days))

    def wish_mode(self, station_id: str, mode: Mode, why: str) -> bool:
        """A wish from outside for a station (or "hvac"); False above the site's own consent."""
        switch = (
            self.hvac.switch
            if station_id == "hvac" and self.hvac is not None
            else self.stations[station_id].control.switch
        )
        granted = switch.wish(mode, why)
        self.ledger.append(
            "mode_wish",
            self.clock.now(),
            {"station": station_id, "mode": mode.value, "why": why, "granted": granted},
        )
        return granted

    def _keep(self, events: list[tuple[str, datetime, dict[str, object]]], snapshot: Snapshot) -> None:
        """Write the tick's events down; a command that cannot be recorded must not be followed by another."""
        lost = self.ledger.lost
        self.ledger.append_all(events)
        if self.ledger.lost == lost:
            return
        now_s = snapshot.at.timestamp()
        for runtime in self.stations.values():
            runtime.control.switch.fall_now(now_s, "the ledger has no room: commands cannot be recorded")
        if self.hvac is not None:
            self.hvac.switch.fall_now(now_s, "the ledger has no room: commands cannot be recorded")
        log.error("ledger_full", lost=self.ledger.lost, consequence="control is handed back")

    async def _sense(self) -> Snapshot:
        parts = await asyncio.gather(*(driver.read(driver.tags) for driver in self.drivers.values()))
        at = self.clock.now()
        readings: dict[str, Reading] = {}
        for part in parts:
            readings.update(part)
        return Snapshot(at, readings)

    def _decide(
        self,
        runtime: StationRuntime,
        snapshot: Snapshot,
        events: list[tuple[str, datetime, dict[str, object]]],
        derived: dict[str, Reading],
    ) -> list[Command]:
        control, foresight = runtime.control, runtime.foresight
        result = runtime.last = control.tick(snapshot, foresight.plan, foresight.look_ahead(snapshot.at))
        at, at_s = snapshot.at, snapshot.at.timestamp()
        demand = None if result.demand is None else result.demand.fast_m3_min
        foresight.observe(at_s, demand)
        derived[runtime.demand_tag] = (
            unknown(at) if demand is None else Reading(demand, Quality.UNCERTAIN, at)
        )
        habit = control.start_price.habit
        if habit is not None:
            # Kept as long as anything is, and so beyond the weeks that it was seen in.
            starts, usual = starts_habit_tag(runtime.station_id), usual_demand_tag(runtime.station_id)
            derived[starts] = Reading(habit.starts_per_day, Quality.UNCERTAIN, at)
            derived[usual] = Reading(habit.mean_demand_m3_min, Quality.UNCERTAIN, at)
        wander = control.hour_peak.learned
        if wander is not None:
            for tag, value in zip(hour_wander_tags(runtime.station_id), wander, strict=True):
                derived[tag] = Reading(value, Quality.UNCERTAIN, at)
        if foresight.forecast_due(at_s) and foresight.renew_forecast(at) and foresight.forecast is not None:
            tell_forecast(runtime, foresight.forecast, events, at)
        if not runtime.planning and wants_plan(runtime, result, at):
            self._plan(runtime, at, events)
        if result.mode_changed:
            fields: dict[str, object] = {
                "station": runtime.station_id,
                "mode": result.mode.value,
                "why": result.mode_why,
            }
            events.append(("mode_changed", at, fields))
            log.warning("mode_changed", **fields)
        tell_alarm(runtime, result.alarm, events, at)
        self.notes += [f"{runtime.station_id}: {note}" for note in result.notes]
        events += [("note", at, {"station": runtime.station_id, "text": note}) for note in result.notes]
        refused = "; ".join(f"{r.subject} {r.wish}: {r.rule}" for r in result.refusals)
        self._once(runtime, "refusals", refused, events, at)
        if result.orders is not None:
            runtime.was_controlling = True
            plan_id = foresight.plan.plan_id if foresight.plan is not None else ""
            reason = result.notes[-1] if result.notes else "hold the band"
            return runtime.writer.commands(
                snapshot, result.orders, tick_s=self.site.tick_s, reason=reason, plan_id=plan_id
            )
        if runtime.was_controlling:
            runtime.was_controlling = False
            return runtime.writer.hand_back(snapshot, result.mode_why)
        return []

    def _plan(
        self, runtime: StationRuntime, at: datetime, events: list[tuple[str, datetime, dict[str, object]]]
    ) -> None:
        """Renew the day's plan: here on a simulated clock, in a thread on the wall clock."""
        peers = [each for each in self.stations.values() if each is not runtime] if self._one_meter else []
        work = plan_work(runtime, peers, at)
        if work is None:
            return
        planned, job = work
        if not self._plan_in_thread:
            events += _adopted(planned, job())
            return
        for each in planned:
            each.planning = True
        self._spawn(self._plan_apart(planned, job))

    def _spawn(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._jobs.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        """A fault in a planner is a fault of the program: it ends the loop, and systemd starts anew."""
        self._jobs.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = task.exception()

    def _defer_zones(self, job: Callable[[], HvacPlan]) -> None:
        async def apart() -> None:
            assert self.hvac is not None
            self.hvac.adopt(await asyncio.to_thread(job))

        self._spawn(apart())

    async def _plan_apart(
        self, planned: Sequence[StationRuntime], job: Callable[[], tuple[Plan, ...]]
    ) -> None:
        try:
            plans = await asyncio.to_thread(job)
        finally:
            for each in planned:
                each.planning = False
        self.ledger.append_all(_adopted(planned, plans))

    def _look_at_production(
        self,
        plan: ProductionPlan,
        at: datetime,
        events: list[tuple[str, datetime, dict[str, object]]],
    ) -> None:
        events += plan.look(at)
        if plan.version != self._production_version:
            self._production_version = plan.version
            for runtime in self.stations.values():
                runtime.foresight.hurry()

    @staticmethod
    def _once(
        runtime: StationRuntime,
        kind: str,
        text: str,
        events: list[tuple[str, datetime, dict[str, object]]],
        at: datetime,
    ) -> None:
        if runtime.said.get(kind, "") == text:
            return
        runtime.said[kind] = text
        if text:
            events.append((kind, at, {"station": runtime.station_id, "text": text}))


def _adopted(
    planned: Sequence[StationRuntime], plans: tuple[Plan, ...]
) -> list[tuple[str, datetime, dict[str, object]]]:
    """Put the plans in force; the events that tell of them."""
    for each, plan in zip(planned, plans, strict=True):
        each.foresight.plan = plan
    return [plan_event(plan, each.plan_watch.why) for each, plan in zip(planned, plans, strict=True)]
