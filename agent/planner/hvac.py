"""The day's set-points of all zones: the cheapest of four schedules, all costed in the same model.

Present: what stands there without the agent, where it is known. Plain: comfort set-points while people
are in, set-back otherwise. Optimum start: the same, with each start of people met just in time.
Optimised: the planned temperatures of a linear programme. The more elaborate one goes out only where it
wins by more than the model is worth (hvac_choice.py).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import numpy as np

from agent.config.site import Hvac, Tariff, Zone
from agent.domain import HvacPlan, PlanStatus, ZoneStep
from agent.planner.hvac_case import (
    Course,
    HvacCase,
    metered_kw,
    simulate,
    unit_case,
    zone_case,
)
from agent.planner.hvac_choice import choose, unserved_kh
from agent.planner.hvac_comfort import comfort_weight
from agent.planner.hvac_lp import optimal_course
from agent.planner.hvac_lumps import UNSEEN, LeastDraw
from agent.planner.hvac_model import FloatArray
from agent.planner.hvac_present import as_held, may_be_sent
from agent.planner.hvac_reach import UnitReach
from agent.planner.hvac_residual import Unexplained, unexplained_course
from agent.planner.hvac_schedule import (
    BoolArray,
    SetPoints,
    brought_forward,
    occupancy_grid,
    scheduled,
)
from agent.planner.hvac_search import shaved
from agent.planner.hvac_setpoints import (
    enabled_steps,
    planned_air,
    planned_setpoints,
    reasons_of,
    sent,
    zone_steps,
)
from agent.planner.hvac_start import fixed_start_s, optimum_start, starting

__all__ = ["HvacState", "WeatherForecast", "baseline_hvac", "occupancy_grid", "plan_hvac"]

STEP_S = 900.0
VALID_S = 2 * 3600.0
CONTACT_HOLD_S = 3600.0  # a contact that says "people" is believed for so long ahead
POOR_COMFORT_KH = 1.0
# Quarter hours draw more than planned (doors, thermostats), and the highest of a month is paid: what the limiter of the
# running interval (control/demand_limit.py) cannot take back is kept free, or the peak rises a little each day.
PEAK_RESERVE = 0.04
PLAUSIBLE_DEGC = (-40.0, 60.0)
NAMES = {
    "present": "the present schedule",
    "plain": "set-back and comfort set-points",
    "start": "set-back + optimum start",
    "lp": "optimised",
}


@dataclass(frozen=True, slots=True)
class HvacState:
    """What is known of the zones now. A temperature of None is unknown.

    `mass_degc`: the fabric, as followed by hvac_observer.py; the air's where missing.
    `unexplained`: heat that the model does not explain, likewise. `peak_so_far_kw`: the billing
    period's peak as measured; the tariff's own counts where it is higher. `occupied_now`: what occupancy
    contacts say. `base_kw`: what the rest of the site will draw, one value a step, for the demand charge and
    the site's limit. `present`: the set-points that would stand there without the agent, one pair a step;
    a zone of which they are not known is missing. `error_k`: what a zone's model missed on days held back,
    by lead. `reach`: how much of its unit's capacity each zone was seen to get. `least_draw`: what each unit draws
    at least while it runs.
    """

    temp_degc: Mapping[str, float | None]
    mass_degc: Mapping[str, float] = field(default_factory=dict)
    occupied_now: Mapping[str, bool] = field(default_factory=dict)
    base_kw: FloatArray | None = None
    unexplained: Mapping[str, Unexplained] = field(default_factory=dict)
    peak_so_far_kw: float = 0.0
    present: Mapping[str, SetPoints] = field(default_factory=dict)
    error_k: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    reach: Mapping[str, UnitReach] = field(default_factory=dict)
    least_draw: Mapping[str, LeastDraw] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WeatherForecast:
    """Outdoor temperature, global irradiance and wind, one value a step. None is unknown."""

    temp_degc: FloatArray | None
    sun_w_m2: FloatArray | None = None
    source: str = ""
    wind_m_s: FloatArray | None = None


def plan_hvac(
    hvac: Hvac,
    tariff: Tariff,
    state: HvacState,
    forecast: WeatherForecast | None,
    occupied: Mapping[str, BoolArray],
    price: FloatArray,
    at: datetime,
    step_s: float = STEP_S,
) -> HvacPlan:
    """The plan of all zones from `at` on, one set-point pair a step; `price` gives the number of steps.

    `price` is per kWh. Whatever the world says, there is a plan: a zone whose temperature or model is
    missing, or any zone without weather, gets set-back and a fixed start two hours ahead, twelve over a floor that heats.
    """
    steps = int(np.size(price))
    if steps == 0 or not hvac.zones:
        return HvacPlan(_plan_id(at), at, at + timedelta(seconds=VALID_S), PlanStatus.NONE, {})
    people = {name: _due(occupied.get(name), steps) for name in hvac.zones}
    for name, zone in hvac.zones.items():
        if zone.occupied is not None and state.occupied_now.get(name, False):
            people[name][: max(1, round(CONTACT_HOLD_S / step_s))] = True
    outdoor = _filled(forecast.temp_degc if forecast else None, steps, PLAUSIBLE_DEGC)
    notes = {
        name: why
        for name in hvac.zones
        if (why := _unplannable(hvac.zones[name], state.temp_degc.get(name), outdoor))
    }
    fixed = {
        name: starting(hvac.zones[name], people[name], round(fixed_start_s(hvac.zones[name]) / step_s))
        for name in notes
    }
    reasons: list[str] = []
    if len(notes) == len(hvac.zones) or outdoor is None:
        return _plan(hvac, at, step_s, fixed, people, PlanStatus.GREEDY, notes, reasons, None, None)
    case = _case(hvac, tariff, state, forecast, outdoor, people, price, step_s, set(notes))
    plain = {z.name: starting(z.zone, z.wanted, 0) for u in case.units for z in u.zones}
    if any(zone.model is not None and zone.model.neighbours_kw_per_k for zone in hvac.zones.values()):
        # Walls couple zones, and coupled zones cost sixteen times the time: each sees the others as the
        # plain schedule would have them.
        near = {n: air for unit in simulate(case, plain).units.values() for n, air in unit.air_degc.items()}
        case = _case(hvac, tariff, state, forecast, outdoor, people, price, step_s, set(notes), near)
    start = optimum_start(case, people, step_s)
    candidates = {"plain": (plain, simulate(case, plain)), "start": (start, simulate(case, start))}
    optimum = optimal_course(case)
    status = PlanStatus.OPTIMISED if optimum is not None else PlanStatus.GREEDY
    if optimum is not None:
        lp = {
            zone.name: planned_setpoints(
                zone, optimum[zone.name], people[zone.name], unit.heating_kw / len(unit.zones)
            )
            for unit in case.units
            for zone in unit.zones
        }
        candidates["lp"] = shaved(case, lp, simulate(case, lp))
    else:
        reasons.append("the linear programme gave no result: the best plain schedule is sent")
    zones = {zone.name: zone.zone for unit in case.units for zone in unit.zones}
    found = {name: state.present[name] for name in zones if name in state.present}
    unsent = ""
    if len(found) < len(zones):
        unknown = f" of {len(zones) - len(found)} zones" if found else ""
        unsent = f"the present schedule{unknown} is not known: it was not compared"
    else:
        held = {name: as_held(zones[name], points) for name, points in found.items()}
        candidates["present"] = (held, simulate(case, held))
        if not may_be_sent(zones, found, people):
            unsent = (
                "the present schedule leaves the site's limits or the comfort band: compared, not to be sent"
            )
    choice = choose(
        case,
        {name: course for name, (_, course) in candidates.items() if name != "present" or not unsent},
        state.error_k,
    )
    chosen = choice.name
    setpoints, course = candidates[chosen]
    reasons.append(
        f"{NAMES[chosen]} is sent: "
        + ", ".join(
            f"{NAMES[name]} {other.energy_cost:.2f} {tariff.currency} and {other.discomfort_kh:.1f} K h out of the band"
            for name, (_, other) in candidates.items()
        )
    )
    if choice.cheapest != chosen:
        reasons.append(
            f"{NAMES[choice.cheapest]} would be better by {choice.cheaper_by:.2f} {tariff.currency} with comfort "
            f"priced: less than the model may be wrong ({choice.margin:.2f})"
        )
    if unsent:
        reasons.append(unsent)
    unserved = unserved_kh(case, course)
    if unserved > POOR_COMFORT_KH:
        reasons.append(
            f"{unserved:.1f} K h of it are warmth without cooling or cold without heating: no plan helps"
        )
    if course.discomfort_kh - unserved > POOR_COMFORT_KH:
        status = PlanStatus.BEST_EFFORT
        reasons.append(
            f"comfort cannot be held everywhere: {course.discomfort_kh - unserved:.1f} K h out of the band are expected"
        )
    if case.demand_charge_per_kw > 0:
        paid_kw = max(tariff.peak_so_far_kw, state.peak_so_far_kw)
        highest_kw = float(metered_kw(case, course.units).max())
        reasons.append(
            f"highest quarter hour expected: {highest_kw:.1f} kW; in this billing period so far {paid_kw:.1f} kW"
        )
    as_found = found if chosen == "present" else {}
    setpoints = {**fixed, **setpoints}
    plan = _plan(hvac, at, step_s, setpoints, people, status, notes, reasons, case, course, as_found)
    costs = {
        name: (round(other.energy_cost, 4), round(other.discomfort_kh, 3))
        for name, (_, other) in candidates.items()
    }
    return replace(plan, schedules=costs, sent=chosen)


def baseline_hvac(
    hvac: Hvac,
    occupied: Mapping[str, BoolArray],
    at: datetime,
    step_s: float = STEP_S,
    *,
    start_ahead_s: float = 0.0,
) -> HvacPlan:
    """The plain schedule: comfort set-points while people are in and `start_ahead_s` before, set-back otherwise.

    Always enabled. With a start ahead of one to two hours it is what many sites run today.
    """
    zones = {}
    for name, zone in hvac.zones.items():
        people = occupied[name]
        comfort = brought_forward(people, round(start_ahead_s / step_s))
        why = reasons_of(zone, scheduled(zone, comfort), people, None, at, step_s)
        zones[name] = zone_steps(at, step_s, scheduled(zone, comfort), np.ones_like(people), why)
    status = PlanStatus.GREEDY if zones else PlanStatus.NONE
    return HvacPlan(_plan_id(at), at, at + timedelta(seconds=VALID_S), status, zones, ("plain schedule",))


def _plan_id(at: datetime) -> str:
    return f"hvac-{at.astimezone(UTC):%Y%m%dT%H%M%SZ}"


def _plan(
    hvac: Hvac,
    at: datetime,
    step_s: float,
    setpoints: Mapping[str, SetPoints],
    people: Mapping[str, BoolArray],
    status: PlanStatus,
    notes: Mapping[str, str],
    reasons: Sequence[str],
    case: HvacCase | None,
    course: Course | None,
    as_found: Mapping[str, SetPoints] | None = None,
) -> HvacPlan:
    on = {unit: enabled_steps(hvac, unit, setpoints, people, case, course, step_s) for unit in hvac.units}
    zones: dict[str, tuple[ZoneStep, ...]] = {}
    for name, zone in hvac.zones.items():
        heat = None
        if course is not None and name not in notes and zone.unit in course.units:
            heat = course.units[zone.unit].heat_kw.get(name)
        if as_found and name in as_found:
            why = [NAMES["present"]] * people[name].size
            zones[name] = zone_steps(at, step_s, as_found[name], on[zone.unit], why)
            continue
        why = reasons_of(zone, setpoints[name], people[name], heat, at, step_s)
        foreseen = (
            None if case is None or course is None else planned_air(case, course, hvac.units[zone.unit], name)
        )
        points = sent(zone, setpoints[name], people[name], foreseen)
        zones[name] = zone_steps(at, step_s, points, on[zone.unit], why)
    return HvacPlan(
        _plan_id(at),
        at,
        at + timedelta(seconds=VALID_S),
        status,
        zones,
        (*reasons, *(f"{name}: {why}" for name, why in notes.items())),
        None if course is None else round(course.energy_cost, 4),
        dict(notes),
        {}
        if course is None
        else {
            name: tuple(round(degc, 2) for degc in air.tolist())
            for unit in course.units.values()
            for name, air in unit.air_degc.items()
        },
        peak_kw=None if case is None or course is None else float(metered_kw(case, course.units).max()),
    )


def _due(hours: BoolArray | None, steps: int) -> BoolArray:
    """When people are due; at all hours where nothing tells."""
    people = np.ones(steps, dtype=np.bool_)
    if hours is not None:
        people[: hours.size] = hours[:steps]
    return people


def _unplannable(zone: Zone, temp_degc: float | None, outdoor: FloatArray | None) -> str:
    """Why a zone gets a fixed start; empty where it can be planned."""
    tail = f"set-back with a fixed start {fixed_start_s(zone) / 3600.0:.0f} h before people come"
    if zone.model is None:
        return f"no model of this zone: {tail}"
    if (
        temp_degc is None
        or not np.isfinite(temp_degc)
        or not PLAUSIBLE_DEGC[0] < temp_degc < PLAUSIBLE_DEGC[1]
    ):
        return f"zone temperature unknown: {tail}"
    if outdoor is None:
        return f"no weather forecast: {tail}"
    return ""


def _filled(values: FloatArray | None, steps: int, limits: tuple[float, float]) -> FloatArray | None:
    """`steps` values, gaps and impossible ones bridged, the last one held; None where there is none."""
    if values is None:
        return None
    known = np.asarray(values, dtype=np.float64)[:steps]
    good = np.flatnonzero(np.isfinite(known) & (known >= limits[0]) & (known <= limits[1]))
    if good.size == 0:
        return None
    return np.interp(np.arange(steps, dtype=np.float64), good.astype(np.float64), known[good])


def _case(
    hvac: Hvac,
    tariff: Tariff,
    state: HvacState,
    forecast: WeatherForecast | None,
    outdoor: FloatArray,
    people: Mapping[str, BoolArray],
    price: FloatArray,
    step_s: float,
    left_out: set[str],
    near: Mapping[str, FloatArray] | None = None,
) -> HvacCase:
    steps = outdoor.size
    sun = _filled(forecast.sun_w_m2 if forecast else None, steps, (0.0, 1500.0))
    wind = _filled(forecast.wind_m_s if forecast else None, steps, (0.0, 75.0))
    prices = _filled(price, steps, (-100.0, 100.0))
    if prices is None:
        prices = np.full(steps, tariff.energy_price_per_kwh)
    base = _filled(state.base_kw, steps, (0.0, 1e6))
    if near is None:
        near = {
            name: np.full(steps, temp)
            for name, temp in state.temp_degc.items()
            if temp is not None and name not in left_out
        }
    units = []
    for unit_name, unit in hvac.units.items():
        cases = []
        served = sum(zone.unit == unit_name for zone in hvac.zones.values())
        size_kw = max(unit.cooling_kw, unit.heating_kw) / max(served, 1)
        for name, zone in hvac.zones.items():
            temp = state.temp_degc.get(name)
            if zone.unit != unit_name or name in left_out or temp is None:
                continue
            wanted = brought_forward(people[name], 1)
            mass = state.mass_degc.get(name, temp)
            cases.append(
                zone_case(
                    name,
                    zone,
                    air_degc=temp,
                    mass_degc=mass if np.isfinite(mass) else temp,
                    outdoor_degc=outdoor,
                    sun_w_m2=sun if sun is not None else np.zeros(steps),
                    occupied=people[name],
                    wanted=wanted,
                    band=scheduled(zone, wanted),
                    step_s=step_s,
                    more_kw=unexplained_course(state.unexplained.get(name, Unexplained()), steps, step_s),
                    neighbours_degc=near,
                    weight=comfort_weight(zone.model, unit, size_kw),
                    wind_m_s=wind,
                )
            )
        if cases:
            someone = np.logical_or.reduce([people[case.name] for case in cases])
            seen = [state.reach[case.name] for case in cases if case.name in state.reach]
            least = state.least_draw.get(unit_name, UNSEEN)
            units.append(unit_case(unit_name, unit, cases, someone, outdoor, seen, least))
    return HvacCase(
        tuple(units),
        outdoor,
        prices + tariff.co2_kg_per_kwh * tariff.co2_price_per_kg,
        base if base is not None else np.zeros(steps),
        step_s / 3600.0,
        tariff.demand_charge_per_kw * (1.0 + PEAK_RESERVE),
        max(tariff.peak_so_far_kw, state.peak_so_far_kw) / (1.0 + PEAK_RESERVE),
        tariff.site_limit_kw,
    )
