"""The cheapest temperatures of all zones: one linear programme over the horizon.

    min  sum price h P + discomfort h (over + under) + demand charge (peak - peak so far) + excess
    A(k+1) = a A(k) + b M(k) + drive(k) + d (Qh(k) - Qc(k)),   M(k+1) = m M(k) + n A(k+1)   (floors that heat: Qh in M too)
    low - under <= A(k+1) <= high + over,     sum Qc / Cc + sum Qh / Ch <= 1  for each unit
    P = fan + Qc (1/COP + fan share) + Qh (1/COP + fan share),   P + base <= peak,  <= limit + excess
Zones meet only in their unit's capacity and in the power: neighbours' walls would cost sixteen
times the time. The band is soft, so there is a plan from every temperature.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from agent.planner.hvac_case import HvacCase, UnitCase, ZoneCase
from agent.planner.hvac_model import FloatArray
from agent.planner.hvac_schedule import LEAST_SPREAD_K, BoolArray, comfort_limits

FULL_SHARE = 0.98
MANY_ZONES = 8
LONGEST_S = (
    20.0  # of one solve by the wall, on a machine that has other work; then the best plain schedule is sent
)
_KINDS = 7  # columns of a zone: cooling, heating, air, mass, over, under, and how its heat turns
# Of the energy of a quarter hour, for each kilowatt more or less than in the one before. Corners of the programme
# heat two halls by turns where both at half would cost the same, and no thermostat follows that without a peak.
TURN_SHARE = 0.1
_ANY_KW = 1e6  # the first quarter hour may begin anywhere


LEAST_KW = 1e-3  # less is rounding of the solver


@dataclass(frozen=True, slots=True)
class PlannedZone:
    """Optimal course of a zone: air at the end of each step [degC], heating less cooling [kW].

    `at_capacity`: the unit gives all it has.
    """

    air_degc: FloatArray
    heat_kw: FloatArray
    at_capacity: BoolArray


def stored_limits(zone: ZoneCase) -> tuple[FloatArray, FloatArray]:
    """How far a zone may be cooled and heated ahead: to the comfort band's edges without people; with
    people only so far that the other set-point still stands in the band. (low, high) by step, [degC]."""
    low, high = comfort_limits(zone.zone)
    return (
        np.where(zone.wanted, zone.low_degc + LEAST_SPREAD_K, low),
        np.where(zone.wanted, zone.high_degc - LEAST_SPREAD_K, high),
    )


def furthest(zone: ZoneCase, *, warm: bool) -> tuple[FloatArray, BoolArray]:
    """The warmest (coldest) course of a zone that is heated (cooled) no further than `stored_limits`, [degC];
    and the steps in which none that keeps to them passes them by itself.

    A zone's air rises with all that came before: held at the limit at all times, it is above every other course.
    """
    low, high = stored_limits(zone)
    limit = high if warm else low
    model, air, mass = zone.model, zone.air_degc, zone.mass_degc
    course, kept = np.empty(limit.size), np.zeros(limit.size, dtype=np.bool_)
    for k in range(limit.size):
        free = model.air_of_air[k] * air + model.air_of_mass[k] * mass + model.drive_degc[k]
        air = max(free, limit[k]) if warm else min(free, limit[k])
        mass = model.mass_of_mass * mass + model.mass_of_air * air
        course[k], kept[k] = air, air == limit[k]
    return course, kept


class _Rows:
    """Triplets of a sparse matrix, row block by row block."""

    def __init__(self) -> None:
        self.row: list[FloatArray] = []
        self.column: list[FloatArray] = []
        self.value: list[FloatArray] = []
        self.right: list[FloatArray] = []
        self.count = 0

    def block(self, right: FloatArray, *parts: tuple[FloatArray, FloatArray | float, int]) -> None:
        """Rows of one a step; each part is (columns by row, values, rows to leave out at the start)."""
        rows = np.arange(self.count, self.count + right.size, dtype=np.float64)
        for columns, values, skipped in parts:
            kept = rows[skipped:]
            self.row.append(kept)
            self.column.append(columns[: kept.size])
            self.value.append(np.broadcast_to(np.asarray(values, dtype=np.float64), right.shape)[skipped:])
        self.right.append(right)
        self.count += right.size


def optimal_course(case: HvacCase) -> Mapping[str, PlannedZone] | None:
    """The optimum by zone; None where HiGHS gives none.

    A linear programme would cool a night's worth into a hall until it is a cellar. So the band ends where a
    set-point may not ask for more, in the steps in which no zone gets there by itself. Should a solution
    still cool below (or heat above) in others, the band ends there in a second, of the units concerned: the
    others keep their course and are part of the base load.
    """
    ended, idle = _ended(case)
    planned = _solve(ended, idle)
    if planned is None:
        return None
    bounded = _bounded(case, ended, planned)
    if not bounded:
        return planned
    concerned = {unit.name for unit in bounded}
    others = (_power_kw(unit, planned) for unit in case.units if unit.name not in concerned)
    again = _solve(
        replace(case, units=bounded, base_kw=case.base_kw + sum(others, np.zeros(case.base_kw.size))),
        idle._replace(firm=False),
    )
    return None if again is None else {**planned, **again}


def _power_kw(unit: UnitCase, planned: Mapping[str, PlannedZone]) -> FloatArray:
    """Electrical power of a unit under a course, fan included."""
    power = np.where(unit.people, unit.unit.fan_kw, 0.0)
    for zone in unit.zones:
        heat = planned[zone.name].heat_kw
        power = power + np.maximum(heat, 0.0) * unit.heating_electric
        power = power + np.maximum(-heat, 0.0) * unit.cooling_electric
    return power


class _Idle(NamedTuple):
    """Zones that stay in their band without cooling however far they are heated ahead, and the other way round.

    Their columns are left out: a third of them, and a quarter of the time. `firm`: that edge of the band is
    not soft either; the zone left to itself keeps it, so there still is a plan.
    """

    uncooled: frozenset[str]
    unheated: frozenset[str]
    firm: bool


def _ended(case: HvacCase) -> tuple[HvacCase, _Idle]:
    """The case with bands that end at what may be stored, where that forbids nothing else."""
    uncooled, unheated = set(), set()
    units = []
    for unit in case.units:
        zones = []
        for zone in unit.zones:
            (low, high), (lowest, highest) = stored_limits(zone), (zone.low_degc, zone.high_degc)
            coldest, cold = furthest(zone, warm=False)
            warmest, warm = furthest(zone, warm=True)
            if (warmest <= highest).all():
                uncooled.add(zone.name)
            if (coldest >= lowest).all():
                unheated.add(zone.name)
            zones.append(
                replace(
                    zone,
                    low_degc=np.where(cold, np.clip(low, lowest, highest), lowest),
                    high_degc=np.where(warm, np.clip(high, lowest, highest), highest),
                )
            )
        units.append(replace(unit, zones=tuple(zones)))
    return replace(case, units=tuple(units)), _Idle(frozenset(uncooled), frozenset(unheated), True)


def _bounded(case: HvacCase, ended: HvacCase, planned: Mapping[str, PlannedZone]) -> tuple[UnitCase, ...]:
    """The units whose solution passes what set-points of `case` may ask for, with bands that end there."""
    units = []
    for unit, now in zip(case.units, ended.units, strict=True):
        beyond = False
        zones = []
        for zone, band in zip(unit.zones, now.zones, strict=True):
            low, high = stored_limits(zone)
            course = planned[zone.name]
            cold = _stored(zone, course.heat_kw < -LEAST_KW) & (course.air_degc < low - 0.05)
            warm = _stored(zone, course.heat_kw > LEAST_KW) & (course.air_degc > high + 0.05)
            beyond = beyond or bool(cold.any() or warm.any())
            zones.append(
                replace(
                    band,
                    low_degc=np.where(cold, np.minimum(low, zone.high_degc), band.low_degc),
                    high_degc=np.where(warm, np.maximum(high, zone.low_degc), band.high_degc),
                )
            )
        if beyond:
            units.append(replace(now, zones=tuple(zones)))
    return tuple(units)


def _stored(zone: ZoneCase, acts: BoolArray) -> BoolArray:
    """Steps that feel what the unit does: with people those it acts in, without also those after."""
    felt = acts.copy()
    for k in range(1, felt.size):
        if felt[k - 1] and not zone.wanted[k] and not zone.wanted[k - 1]:
            felt[k] = True
    return felt


def _solve(case: HvacCase, idle: _Idle) -> Mapping[str, PlannedZone] | None:
    # scipy costs 0.7 s and 38 MiB: a site without HVAC does not pay it.
    from scipy.optimize import linprog
    from scipy.sparse import coo_array

    steps, h = case.outdoor_degc.size, case.step_h
    zones = [(unit, zone) for unit in case.units for zone in unit.zones]
    k = np.arange(steps, dtype=np.float64)
    kinds = _KINDS - (not _turns_count(case))
    size = kinds * steps * len(zones)
    excess, peak = size + k, np.array([size + steps], dtype=np.float64)
    columns = size + steps + 1
    cost, upper = np.zeros(columns), np.full(columns, np.inf)
    lower = np.zeros(columns)
    equal, below, power = _Rows(), _Rows(), []
    for index, (unit, zone) in enumerate(zones):
        cool, heat, air, mass, over, under, *turn = (
            kinds * steps * index + kind * steps + k for kind in range(kinds)
        )
        model = zone.model
        first = np.zeros(steps)
        first[0] = model.air_of_air[0] * zone.air_degc + model.air_of_mass[0] * zone.mass_degc
        equal.block(
            model.drive_degc + first,
            (air, 1.0, 0),
            (air, -model.air_of_air, 1),
            (mass, -model.air_of_mass, 1),
            (cool, model.air_of_kw, 0),
            (heat, -model.air_of_heating, 0),
        )
        start = np.zeros(steps)
        start[0] = model.mass_of_mass * zone.mass_degc
        slab = ((heat, -model.mass_of_heating, 0),) if model.mass_of_heating else ()
        equal.block(
            start, (mass, 1.0, 0), (mass, -model.mass_of_mass, 1), (air, -model.mass_of_air, 0), *slab
        )
        below.block(zone.high_degc, (air, 1.0, 0), (over, -1.0, 0))
        below.block(-zone.low_degc, (air, -1.0, 0), (under, -1.0, 0))
        for which, values in ((air, -np.inf), (mass, -np.inf)):
            lower[which.astype(int)] = values
        upper[cool.astype(int)], upper[heat.astype(int)] = unit.cooling_kw, unit.heating_kw
        if zone.name in idle.uncooled:
            upper[cool.astype(int)] = 0.0
            if idle.firm:
                upper[over.astype(int)] = 0.0
        if zone.name in idle.unheated:
            upper[heat.astype(int)] = 0.0
            if idle.firm:
                upper[under.astype(int)] = 0.0
        cost[cool.astype(int)] = case.price_per_kwh * unit.cooling_electric * h
        cost[heat.astype(int)] = case.price_per_kwh * unit.heating_electric * h
        cost[over.astype(int)] = cost[under.astype(int)] = case.discomfort_per_kh * zone.weight * h
        if turn:
            changed = ((heat, 1.0, 0), (heat, -1.0, 1), (cool, -1.0, 0), (cool, 1.0, 1))
            for sign in (1.0, -1.0):
                below.block(
                    np.where(k > 0, 0.0, _ANY_KW),
                    *((column, sign * value, skipped) for column, value, skipped in changed),
                    (turn[0], -1.0, 0),
                )
            turned = TURN_SHARE * h * float(np.mean(np.abs(case.price_per_kwh)))
            cost[turn[0].astype(int)] = turned * np.minimum(unit.cooling_electric, unit.heating_electric)
        power += [(cool, unit.cooling_electric, 0), (heat, unit.heating_electric, 0)]
    _unit_capacity(case, below, steps, k, kinds)
    fans = sum((np.where(u.people, u.unit.fan_kw, 0.0) for u in case.units), np.zeros(steps))
    cost[excess.astype(int)] = case.over_limit_per_kwh * h
    if case.limit_kw is not None:
        below.block(case.limit_kw - case.base_kw - fans, *power, (excess, -1.0, 0))
    else:
        upper[excess.astype(int)] = 0.0
    lower[-1] = case.peak_so_far_kw
    cost[-1] = case.demand_charge_per_kw
    if case.demand_charge_per_kw > 0:
        below.block(-case.base_kw - fans, *power, (np.repeat(peak, steps), -1.0, 0))

    def matrix(rows: _Rows) -> object:
        place = (np.concatenate(rows.row).astype(int), np.concatenate(rows.column).astype(int))
        return coo_array((np.concatenate(rows.value), place), shape=(rows.count, columns)).tocsr()

    result = linprog(
        cost,
        A_ub=matrix(below),
        b_ub=np.concatenate(below.right),
        A_eq=matrix(equal),
        b_eq=np.concatenate(equal.right),
        bounds=np.column_stack([lower, upper]),
        # A peak over many zones is what the simplex is slow at: half the time by interior points.
        method="highs-ipm" if case.demand_charge_per_kw > 0 and len(zones) > MANY_ZONES else "highs",
        options={"time_limit": LONGEST_S},
    )
    if result.status != 0 or result.x is None:
        return None
    blocks = np.asarray(result.x[:size]).reshape(len(zones), kinds, steps)
    used = dict.fromkeys((unit.name for unit in case.units), np.zeros(steps))
    for (unit, _), block in zip(zones, blocks, strict=True):
        share = block[0] / np.maximum(unit.cooling_kw, 1e-9) + block[1] / np.maximum(unit.heating_kw, 1e-9)
        used[unit.name] = used[unit.name] + share
    return {
        zone.name: PlannedZone(block[2], block[1] - block[0], used[unit.name] > FULL_SHARE)
        for (unit, zone), block in zip(zones, blocks, strict=True)
    }


def _turns_count(case: HvacCase) -> bool:
    """Where a peak costs; many zones even each other out, and cannot spare the time."""
    return case.demand_charge_per_kw > 0 and sum(len(unit.zones) for unit in case.units) <= MANY_ZONES


def _unit_capacity(case: HvacCase, below: _Rows, steps: int, k: FloatArray, kinds: int) -> None:
    """A unit's zones share its capacity, and what it heats it cannot cool."""
    index = 0
    for unit in case.units:
        parts = []
        for _ in unit.zones:
            start = kinds * steps * index
            if unit.unit.cooling_kw > 0:
                parts.append((start + k, 1.0 / unit.cooling_kw, 0))
            if unit.unit.heating_kw > 0:
                parts.append((start + steps + k, 1.0 / unit.heating_kw, 0))
            index += 1
        if parts:
            below.block(np.ones(steps), *parts)
