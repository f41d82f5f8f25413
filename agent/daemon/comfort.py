"""The zones of a site between ticks: weather, schedule, guard, hand-back."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Hvac, Site
from agent.control.comfort import ComfortGuard
from agent.control.comfort_limits import as_left_behind
from agent.control.comfort_sensor import STALE_HOLD_S
from agent.control.demand_limit import DemandLimit, ZoneLook
from agent.control.mode import ModeSwitch
from agent.daemon.hvac_memory import OBSERVED_DAYS, HvacMemory, site_past
from agent.daemon.site_power import SitePower
from agent.daemon.weather import WeatherDesk
from agent.domain import Command, HvacPlan, Mode, Quality, Reading, Snapshot, ZoneStep
from agent.log import get_logger
from agent.planner.hvac import HvacState, plan_hvac
from agent.planner.hvac_excitation import excited
from agent.planner.hvac_schedule import is_occupied, occupancy_grid
from agent.planner.prices import price_grid
from agent.planner.switchback import arm_at
from agent.planner.switchback import days as switchback_days
from agent.store.history import History
from agent.store.tags import MODE_CODES, mode_tag

log = get_logger(__name__)

Floats = NDArray[np.float64]
Events = list[tuple[str, datetime, dict[str, object]]]

STEP_S = 900
STEPS = 96
KEPT_STEPS = 4  # a plan is made anew each hour,
SURPRISE_K = 0.25  # and a quarter hour after a zone was this far from what it expected
PEOPLE_STAY = timedelta(minutes=15)  # after a contact last reported them outside their hours
_MASS_H = 12.0
_TEST = "switchback test: the site's own turn"
_BLIND = "no zone temperature is known"
_ANSWERS = timedelta(seconds=STALE_HOLD_S)  # a device that was heard within this is there
_LEARNING = "no zone has a model yet: learning from the past"


class HvacRuntime:
    """Plan, guard and mode of all zones."""

    def __init__(self, site: Site, writable: frozenset[str], models: Path | None = None) -> None:
        assert site.hvac is not None
        self._hvac: Hvac = as_left_behind(site.hvac)
        site = site.model_copy(update={"hvac": self._hvac})
        self._site = site
        self._closed = frozenset(site.site.closed_days)
        self._guard = ComfortGuard(self._hvac, writable, site.points, site.site.timezone, self._closed)
        self.switch = ModeSwitch(Mode(self._hvac.mode))
        self._memory = HvacMemory(site, models)
        self._power = SitePower(site)
        self._limit = DemandLimit(site.tariff.demand_interval_min * 60.0)
        self._peak_kw = site.tariff.peak_so_far_kw
        self._learning = self.switch.ceiling is Mode.CONTROL and not self._memory.has_model
        if self._learning:
            self.switch.wish(Mode.ADVISE, _LEARNING)
        self._test = switchback_days(self._hvac, site.site.timezone)
        self._arm: str | None = None
        self.plan: HvacPlan | None = None
        self.notes: list[str] = []
        self.weather = WeatherDesk(self._hvac)
        self._zone_names = tuple(self._hvac.zones)
        self._said: dict[str, str] = {}
        self._plan_slot: int | None = None
        self._planned_on: tuple[object, ...] = ()
        self._was_controlling = False
        self._snapshot: Snapshot | None = None
        # Set by the daemon on the wall clock: planning then goes on in a thread while the loop ticks.
        self.defer: Callable[[Callable[[], HvacPlan]], None] | None = None
        self._fresh: HvacPlan | None = None
        self._heard_at: dict[str, datetime] = {}
        self._people_at: dict[str, datetime] = {}

    def readings(self, at: datetime) -> dict[str, Reading]:
        """What the agent works out itself, to be kept and sent like any reading."""
        mode = Reading(MODE_CODES[self.switch.mode], Quality.GOOD, at)
        return {mode_tag("hvac"): mode, **self.weather.readings(at)}

    @property
    def was_controlling(self) -> bool:
        """Whether set-points of ours stand in the units."""
        return self._was_controlling

    def take_forecast(self, at: datetime, series: Mapping[str, Sequence[tuple[datetime, float]]]) -> None:
        """A provider's forecast by tag (outdoor temperature, sun), issued at `at`."""
        self.weather.take_tags(at, series)

    def tick(self, snapshot: Snapshot, history: History, events: Events) -> list[Command]:
        """Decide this tick; commands where the mode allows them."""
        self.notes = []
        self._snapshot = snapshot
        faults = {name: self._guard.sensor_fault(name, snapshot) for name in self._zone_names}
        for name, fault in faults.items():
            self._say_once(f"zone {name}", fault, events, snapshot.at)
        self._listen(snapshot)
        self._limit.interval.look(snapshot.at, self._power.now_kw(snapshot))
        for what, text in self._memory.doubts().items():
            self._say_once(what, text, events, snapshot.at)
        trouble = _BLIND if all(faults.values()) else ""
        if self.switch.update(snapshot.at.timestamp(), trouble):
            fields: dict[str, object] = {
                "station": "hvac",
                "mode": self.switch.mode.value,
                "why": self.switch.why,
            }
            events.append(("mode_changed", snapshot.at, fields))
            log.warning("mode_changed", **fields)
        if self._learning and self._memory.has_model:
            self._learning = False
            if self.switch.wished_why == _LEARNING:  # nobody has wished otherwise since
                self.switch.wish(Mode.CONTROL, "models of the zones were learned")
                events.append(
                    ("note", snapshot.at, {"station": "hvac", "text": "zone models learned: control"})
                )
        self._take_turns(snapshot.at, events)
        slot = int(snapshot.at.timestamp() // STEP_S)
        if slot != self._plan_slot:
            self._plan_slot = slot
            if self._still_holds(snapshot, faults):
                return self._commands(snapshot, faults, events)
            self._planned_on = self._circumstances(snapshot, faults)
            job = self._job(snapshot, history, faults, events)
            if self.defer is None:
                self.adopt(job())
            else:
                self.defer(job)
        if self._fresh is not None:
            self._take_over(self._fresh, snapshot.at, events)
            self._fresh = None
        return self._commands(snapshot, faults, events)

    def _take_turns(self, at: datetime, events: Events) -> None:
        """A switchback test: its blocks go to the site's own control and to the agent by turns."""
        arm = arm_at(self._test, at) if self._test else None
        if arm == self._arm:
            return
        self._arm = arm
        # Whoever has wished for less in the meantime, or learning, stands above the test.
        if arm == "site" and self.switch.wished is Mode.CONTROL:
            self.switch.wish(Mode.ADVISE, _TEST)
        elif arm != "site" and self.switch.wished_why == _TEST:
            self.switch.wish(Mode.CONTROL, "switchback test: the agent's turn")
        events.append(("note", at, {"station": "hvac", "text": f"switchback test: {arm or 'over'}"}))

    def _circumstances(self, snapshot: Snapshot, faults: Mapping[str, str]) -> tuple[object, ...]:
        """What makes a plan an old one when it changes."""
        contacts = tuple(self._people_in(name, snapshot.at) for name in self._zone_names)
        lost = tuple(bool(faults[name]) for name in self._zone_names)
        return self.switch.mode, self._memory.models, contacts, lost, snapshot.at.date()

    def _still_holds(self, snapshot: Snapshot, faults: Mapping[str, str]) -> bool:
        """Whether the plan goes on: the zones are where it expected them, and nothing else has changed.

        A plan made anew each quarter hour finds another of many that cost alike, and shuffles set-points.
        """
        plan = self.plan
        if (
            plan is None
            or not plan.expected_degc
            or self._planned_on != self._circumstances(snapshot, faults)
        ):
            return False
        passed = int((snapshot.at - plan.made_at).total_seconds() // STEP_S)
        if passed < 1 or passed >= KEPT_STEPS:
            return False
        for name, expected in plan.expected_degc.items():
            now = self._guard.temp_degc(name)
            if now is None or abs(now - expected[passed - 1]) > SURPRISE_K:
                return False
        return True

    def wrote(self, tag: str, value: float | None) -> None:
        """A set-point was written and read back; None: it was handed back."""
        self._guard.wrote(tag, value)

    def hand_back(self, snapshot: Snapshot) -> list[Command]:
        """Every set-point that was written, back to what stood there."""
        self._was_controlling = False
        self._limit.clear()
        return self._guard.hand_back_all(snapshot)

    def rows(self) -> list[tuple[str, str, str, str, str]]:
        """Name, temperature, set-points and reason of each zone, for people."""
        out = []
        for name, zone in self._hvac.zones.items():
            value = None if self._snapshot is None else self._snapshot.value(zone.temp)
            step = self._step(name)
            out.append(
                (
                    name,
                    "unknown" if value is None else f"{value:.1f} degC",
                    "" if step is None else f"{step.heating_setpoint_degc:.1f}",
                    "" if step is None else f"{step.cooling_setpoint_degc:.1f}",
                    "" if step is None else step.reason[:50],
                )
            )
        return out

    def _step(self, name: str) -> ZoneStep | None:
        if self.plan is None or self._snapshot is None:
            return None
        return self.plan.step_at(name, self._snapshot.at)

    def _commands(self, snapshot: Snapshot, faults: Mapping[str, str], events: Events) -> list[Command]:
        # Whatever else brought a fall-back about, the ledger say, ends in hands off.
        blind = self.switch.mode is Mode.FALLBACK and self.switch.why == _BLIND
        held = (
            self._held(snapshot.at, faults, blind=blind)
            if blind or self.switch.mode is Mode.CONTROL
            else set()
        )
        self._say_once("kept at comfort by the calendar", ", ".join(sorted(held)), events, snapshot.at)
        if self.switch.mode is not Mode.CONTROL and not held:
            return self.hand_back(snapshot) if self._was_controlling else self._guard.owed(snapshot)
        if self.plan is None:
            return []
        self._was_controlling = True
        steps = {
            name: None if faults[name] and name not in held else self.plan.step_at(name, snapshot.at)
            for name in self._zone_names
        }
        steps |= self._relieved(snapshot, steps, events)
        commands, refusals = self._guard.commands(snapshot, steps, self.plan.plan_id)
        text = "; ".join(f"{r.subject}: {r.rule}" for r in refusals)
        self._say_once("refusals", text, events, snapshot.at)
        return commands

    def _relieved(
        self, snapshot: Snapshot, steps: Mapping[str, ZoneStep | None], events: Events
    ) -> dict[str, ZoneStep]:
        """Steps that stand in for the planned ones while the running billing interval would end too high."""
        assert self.plan is not None
        looks, hvac = {}, self._memory.hvac
        for name, step in steps.items():
            temp = self._guard.temp_degc(name)
            if step is not None and temp is not None:
                zone = hvac.zones[name]
                looks[name] = ZoneLook(temp, self._guard.people(zone, snapshot), step)
        drawn = {
            name: value
            for name, unit in hvac.units.items()
            if (value := snapshot.value(unit.power)) is not None
        }
        accepted_kw = self._accepted_kw()
        relieved = self._limit.steps(snapshot.at, hvac, looks, drawn, accepted_kw)
        text = "zones are told less than planned" if self._limit.held else ""
        if accepted_kw is not None and self._power.now_kw(snapshot) is None:
            text = "not watched while the power of a unit or machine is unknown"
        self._say_once("billing interval", text, events, snapshot.at)
        return relieved

    def _accepted_kw(self) -> float | None:
        """The mean that a billing interval may reach, [kW]: what was paid or what the plan cannot avoid; None: any."""
        tariff = self._site.tariff
        if self.plan is None or self.plan.peak_kw is None or not tariff.demand_charge_per_kw:
            return tariff.site_limit_kw
        accepted = max(self._peak_kw, self.plan.peak_kw)
        return accepted if tariff.site_limit_kw is None else min(accepted, tariff.site_limit_kw)

    def _people_in(self, name: str, at: datetime) -> bool:
        """Whether the zone's contact reports people; outside their hours for a while after it last did.

        A motion detector says nothing while somebody sits still. Last seen in their hours or just after, they have gone home.
        """
        seen_at = self._people_at.get(name)
        if seen_at is None or at == seen_at:
            return seen_at is not None
        zone, timezone = self._hvac.zones[name], self._site.site.timezone
        return at - seen_at <= PEOPLE_STAY and not is_occupied(
            zone, timezone, seen_at - PEOPLE_STAY, self._closed
        )

    def _listen(self, snapshot: Snapshot) -> None:
        """Which zones' devices answer (one of their set-points in force is read), and which have people in."""
        for name, zone in self._hvac.zones.items():
            if (snapshot.value(zone.occupied) or 0.0) >= 0.5:
                self._people_at[name] = snapshot.at
            points = (zone.heating_setpoint, zone.cooling_setpoint)
            if any(snapshot.value(tag) is not None for tag in points):
                self._heard_at[name] = snapshot.at

    def _held(self, at: datetime, faults: Mapping[str, str], *, blind: bool) -> set[str]:
        """Zones without a temperature that are not let go: their devices answer, and the site asks for it.

        `blind`: in the fall-back of a site without any, until it is over; those that see again are not let go meanwhile.
        """
        if self._hvac.fallback != "comfort":
            return set()
        heard = {name for name, heard_at in self._heard_at.items() if at - heard_at <= _ANSWERS}
        return heard if blind else {name for name in heard if faults[name]}

    def adopt(self, plan: HvacPlan) -> None:
        """A plan that was made, here or in a thread; the next tick takes it over."""
        self._fresh = plan

    def _take_over(self, plan: HvacPlan, at: datetime, events: Events) -> None:
        self.plan = plan
        fields: dict[str, object] = {
            "plan": plan.plan_id,
            "status": plan.status.value,
            "cost": plan.cost,
            "peak_kw": None if plan.peak_kw is None else round(plan.peak_kw, 1),
            "weather": self.weather.text,
            "reasons": list(plan.reasons),
            "sent": plan.sent,
            "schedules": {name: list(costs) for name, costs in plan.schedules.items()},
        }
        events.append(("hvac_plan", at, fields))
        self.notes += [f"hvac: {reason}" for reason in plan.reasons]

    def _job(
        self, snapshot: Snapshot, history: History, faults: Mapping[str, str], events: Events
    ) -> Callable[[], HvacPlan]:
        """Planning as a closed piece of work on values of now."""
        at = datetime.fromtimestamp(int(snapshot.at.timestamp() // STEP_S) * STEP_S, snapshot.at.tzinfo)
        site, hvac = self._site, self._hvac
        temps: dict[str, float | None] = {}
        masses: dict[str, float] = {}
        people: dict[str, bool] = {}
        for name, zone in hvac.zones.items():
            temps[name] = None if faults[name] else self._guard.temp_degc(name)
            # Without a model's own estimate (below) the air's mean of half a day stands for the mass.
            mass = self._mean(history, zone.temp, snapshot.at, hours=_MASS_H)
            if mass is not None:
                masses[name] = mass
            people[name] = self._people_in(name, snapshot.at)
        lesson = self._memory.lesson(history, snapshot.at)
        past = site_past(site, history, snapshot.at, OBSERVED_DAYS, stuck=self._memory.stuck)
        peak_kw = (
            self._power.peak_so_far_kw(history, snapshot.at) if site.tariff.demand_charge_per_kw else 0.0
        )
        self._peak_kw = max(site.tariff.peak_so_far_kw, peak_kw)
        base_kw = self._power.air_kw(history, at, steps=STEPS, step_s=STEP_S)
        weather = self.weather.forecast(snapshot, history, events, steps=STEPS, step_s=STEP_S)

        def job() -> HvacPlan:
            if lesson is not None:
                lesson()
            seen = self._memory.estimates(past)
            state = HvacState(
                temp_degc=temps,
                mass_degc={**masses, **{name: value.mass_degc for name, value in seen.items()}},
                occupied_now=people,
                unexplained={name: value.unexplained for name, value in seen.items()},
                base_kw=base_kw,
                peak_so_far_kw=peak_kw,
                present=self._memory.present(at, STEPS, STEP_S),
                error_k=self._memory.error_k,
                reach=self._memory.reach,
                least_draw=self._memory.least_draw,
            )
            hvac = self._memory.hvac
            timezone = site.site.timezone
            hours = {
                name: occupancy_grid(z, timezone, at, STEPS, STEP_S, self._closed)
                for name, z in hvac.zones.items()
            }
            price = price_grid(site.tariff, timezone, at, STEPS, STEP_S)
            plan = plan_hvac(hvac, site.tariff, state, weather, hours, price, at, STEP_S)
            return excited(plan, hvac, timezone, self._closed)

        return job

    @staticmethod
    def _mean(history: History, tag: str, at: datetime, *, hours: float) -> float | None:
        values = history.series(tag, at - timedelta(hours=hours), at, STEP_S).values
        known = values[np.isfinite(values)]
        return float(known.mean()) if known.size else None

    def _say_once(self, what: str, text: str, events: Events, at: datetime) -> None:
        if self._said.get(what, "") == text:
            return
        self._said[what] = text
        if text:
            events.append(("note", at, {"station": "hvac", "text": f"{what}: {text}"}))
            self.notes.append(f"hvac: {what}: {text}")
