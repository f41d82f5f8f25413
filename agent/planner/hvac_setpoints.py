"""From planned temperatures to what may leave the box: set-points, enable and a reason for each step."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np

from agent.config.site import Hvac, Unit, Zone, ZoneModel
from agent.domain import ZoneStep
from agent.planner.hvac_case import Course, HvacCase, ZoneCase
from agent.planner.hvac_droop import DEFAULT_DROOP_K, PlannedAir, droop_at, ramp_k
from agent.planner.hvac_lp import LEAST_KW, PlannedZone, stored_limits
from agent.planner.hvac_model import FloatArray
from agent.planner.hvac_schedule import (
    LEAST_SPREAD_K,
    BoolArray,
    SetPoints,
    comfort_limits,
    setback_limits,
)

NOTICED_K = 0.15  # a set-point further than this inside the band stores heat or cold on purpose
LEAST_HEAT_SHARE = 0.01  # of a unit's capacity; less is rounding
OCCUPIED_STEP_K = 1.0  # people feel more than this in a quarter of an hour
ENABLE_RESERVE_K = 1.0  # a unit stays enabled while a zone is this near its set-back edge
LEAST_OFF_S = 1800.0
BLIND_K = (
    0.2  # further inside the band where no plan sees the zone: sensors and thermostats are off by tenths
)
FLOOR_CALL_K = 1.5  # told so far above the air, any thermostat calls
FLOOR_STEPS = 3.0  # of full output owed or given in advance before a floor is switched


def sent(zone: Zone, wanted: SetPoints, people: BoolArray, planned: PlannedAir | None = None) -> SetPoints:
    """The set-points that bring the air where it is wanted.

    A thermostat lets the air slip beyond its set-point by a droop that is learned with the zone's model;
    so much earlier it is told; without a plan (`planned`) by all the droop there may be. At the set-back's edges nobody minds the droop, and it saves energy.
    """
    model = zone.model or ZoneModel(air_kwh_per_k=1.0, ua_kw_per_k=1.0)
    # Where nobody can plan (no temperature, no weather) comfort comes before what a few tenths cost.
    share = None if planned is None else planned.share
    of_heating, of_cooling = droop_at(model, share, wanted.heating_degc.size, at_most=True)
    if planned is None:
        of_heating, of_cooling = of_heating + BLIND_K, of_cooling + BLIND_K
    else:
        later_heating, later_cooling = ramp_k(model, planned, people)
        of_heating, of_cooling = of_heating - later_heating, of_cooling - later_cooling
    if model.slab_share > 0:
        # By day a floor's thermostat may be told lower by what the floor still holds. Until the air is there it may not:
        # it would let go, and what the floor holds comes hours later.
        there = people & (np.ones_like(people) if planned is None else planned.air_degc > wanted.heating_degc)
        of_heating = np.where(there, of_heating, np.maximum(of_heating, DEFAULT_DROOP_K))
    floor, ceiling = setback_limits(zone)
    low, high = wanted.heating_degc, wanted.cooling_degc
    room = np.maximum(0.0, 0.5 * (high - low - LEAST_SPREAD_K))
    coldest, warmest = comfort_limits(zone)
    heating = low + np.where(low > floor + 0.05, np.minimum(of_heating, room), 0.0)
    heating = np.where(low <= warmest, np.minimum(heating, warmest), low)
    cooling = high - np.where(high < ceiling - 0.05, np.minimum(of_cooling, room), 0.0)
    cooling = np.where(high >= coldest, np.maximum(cooling, coldest), high)
    return SetPoints(_tenths(heating), _tenths(np.maximum(cooling, heating + LEAST_SPREAD_K)))


def planned_air(case: HvacCase, course: Course, unit: Unit, name: str) -> PlannedAir | None:
    """What a course says of a zone; None where it does not have it."""
    for mine in case.units:
        for zone in mine.zones:
            if zone.name == name:
                heat = course.units[mine.name].heat_kw[name]
                most = np.where(heat > 0, max(unit.heating_kw, 1e-6), max(unit.cooling_kw, 1e-6))
                share = np.clip(heat / most, -1.0, 1.0)
                return PlannedAir(share, course.units[mine.name].air_degc[name], zone.air_degc)
    return None


def _by_runs(share: FloatArray) -> BoolArray:
    """Steps of full output that give what the shares of it [n] come to, switched seldom: a floor evens them out."""
    owed, on = 0.0, False
    runs = np.zeros(share.size, dtype=np.bool_)
    for k, part in enumerate(share.tolist()):
        owed += part
        on = owed > 0.5 * FLOOR_STEPS if not on else owed > 0.5
        runs[k] = on
        owed -= on
    return runs


def planned_setpoints(
    zone: ZoneCase, planned: PlannedZone, people: BoolArray, heating_kw: FloatArray
) -> SetPoints:
    """Set-points under which a thermostat does what was planned.

    Where the plan cools, the cooling set-point is the planned temperature; where it heats, the
    heating set-point; the other one, and both where the zone floats, stand at the edge of the band,
    so that weather the plan did not know is met by the thermostat. A floor is felt hours later: no set-point near
    the air brings its heat, so it is told well above where it shall run and the band's edge where not.
    `heating_kw`: what the unit can give the zone, by step.
    """
    low, high = zone.low_degc, zone.high_degc
    floor, ceiling = setback_limits(zone.zone)
    coldest, warmest = stored_limits(zone)
    cools, heats = planned.heat_kw < -LEAST_KW, planned.heat_kw > LEAST_KW
    # Out of the band by choice (a peak, a limit), not for want of capacity: then the choice is kept.
    chosen = ~planned.at_capacity
    cooling = np.where(cools, np.where(chosen, planned.air_degc, np.minimum(planned.air_degc, high)), high)
    heating = np.where(heats, np.where(chosen, planned.air_degc, np.maximum(planned.air_degc, low)), low)
    if zone.model.mass_of_heating > 0:
        share = np.maximum(planned.heat_kw, 0.0) / np.maximum(heating_kw, 1e-6)
        heating = np.where(_by_runs(share), np.maximum(planned.air_degc, low) + FLOOR_CALL_K, low)
    cooling = np.clip(cooling, np.minimum(coldest, high), ceiling)
    heating = np.clip(heating, floor, np.maximum(warmest, low))
    for k in range(1, people.size):
        if people[k] and people[k - 1]:
            cooling[k] = np.clip(
                cooling[k], cooling[k - 1] - OCCUPIED_STEP_K, cooling[k - 1] + OCCUPIED_STEP_K
            )
            heating[k] = np.clip(
                heating[k], heating[k - 1] - OCCUPIED_STEP_K, heating[k - 1] + OCCUPIED_STEP_K
            )
    heating = np.where(cools, np.minimum(heating, cooling - LEAST_SPREAD_K), heating)
    cooling = np.maximum(cooling, heating + LEAST_SPREAD_K)
    return SetPoints(_tenths(heating), _tenths(cooling))


def _tenths(degc: FloatArray) -> FloatArray:
    return np.asarray(np.round(degc, 1), dtype=np.float64)


def enabled_steps(
    hvac: Hvac,
    unit: str,
    setpoints: Mapping[str, SetPoints],
    people: Mapping[str, BoolArray],
    case: HvacCase | None,
    course: Course | None,
    step_s: float,
) -> BoolArray:
    """Steps in which a unit is enabled: with people, with work, and near a set-back edge.

    Off only where every zone was planned, and for no shorter than the unit's least stop time.
    """
    names = [name for name, zone in hvac.zones.items() if zone.unit == unit]
    steps = next((p.heating_degc.size for p in setpoints.values()), 0)
    on = np.ones(steps, dtype=np.bool_)
    if hvac.units[unit].enable is None or case is None or course is None or unit not in course.units:
        return on
    done = course.units[unit]
    if set(names) != set(done.air_degc):
        return on
    mine = next(u for u in case.units if u.name == unit)
    settings = hvac.units[unit]
    on = np.logical_or.reduce([people[name] for name in names])
    least_kw = LEAST_HEAT_SHARE * max(settings.cooling_kw, settings.heating_kw)
    for zone in mine.zones:
        air = done.air_degc[zone.name]
        floor, ceiling = setback_limits(zone.zone)
        on |= np.abs(done.heat_kw[zone.name]) > least_kw
        on |= (air < floor + ENABLE_RESERVE_K) | (air > ceiling - ENABLE_RESERVE_K)
    on = _lengthened(on, max(1, int(np.ceil(settings.min_run_s / step_s))))
    off = max(LEAST_OFF_S, settings.min_stop_s)
    return _gaps_closed(on, int(np.ceil(off / step_s)))


def _lengthened(on: BoolArray, least: int) -> BoolArray:
    """Each run of True carried on to at least `least` steps."""
    out = on.copy()
    for k in np.flatnonzero(on & ~np.concatenate([[False], on[:-1]])):
        out[k : k + least] = True
    return out


def _gaps_closed(on: BoolArray, least: int) -> BoolArray:
    """Gaps shorter than `least` steps filled, but for one that reaches the end of the horizon."""
    out = on.copy()
    last_on = None
    for k in np.flatnonzero(on):
        if last_on is not None and 1 < k - last_on <= least:
            out[last_on:k] = True
        last_on = int(k)
    return out


def reasons_of(
    zone: Zone,
    setpoints: SetPoints,
    people: BoolArray,
    heat_kw: FloatArray | None,
    at: datetime,
    step_s: float,
) -> list[str]:
    """One short reason a step: what the zone is doing, and for whose sake."""
    low, high = comfort_limits(zone)
    floor, ceiling = setback_limits(zone)
    out: list[str] = []
    coming: int | None = None
    for k in range(people.size - 1, -1, -1):
        if people[k]:
            coming = k
            if heat_kw is not None and heat_kw[k] < 0 and setpoints.cooling_degc[k] < high - NOTICED_K:
                out.append("cooling ahead within the comfort band")
            elif heat_kw is not None and heat_kw[k] > 0 and setpoints.heating_degc[k] > low + NOTICED_K:
                out.append("heating ahead within the comfort band")
            elif heat_kw is not None and (
                setpoints.heating_degc[k] < low - 0.05 or setpoints.cooling_degc[k] > high + 0.05
            ):
                out.append("less than comfort: the site's power limit or peak")
            else:
                out.append("comfort")
            continue
        held = setpoints.heating_degc[k] > floor + 0.05 or setpoints.cooling_degc[k] < ceiling - 0.05
        if held and coming is not None:
            when = (at + timedelta(seconds=coming * step_s)).astimezone(UTC)
            out.append(f"start ahead of people at {when:%H:%M} UTC")
        elif held:
            out.append("stored for the hours to come")
        else:
            out.append("set-back")
    return out[::-1]


def zone_steps(
    at: datetime, step_s: float, setpoints: SetPoints, enabled: BoolArray, reasons: Sequence[str]
) -> tuple[ZoneStep, ...]:
    """The steps of a zone; neighbours that say the same are one."""
    steps: list[ZoneStep] = []
    for k, reason in enumerate(reasons):
        step = ZoneStep(
            at + timedelta(seconds=k * step_s),
            round(float(setpoints.heating_degc[k]), 1),
            round(float(setpoints.cooling_degc[k]), 1),
            bool(enabled[k]),
            reason,
        )
        if not steps or replace(step, at=steps[-1].at) != steps[-1]:
            steps.append(step)
    return tuple(steps)
