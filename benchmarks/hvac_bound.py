"""The least that any controller could pay for a world: its true halls, weather and people, all known beforehand.

A linear programme over the whole span, quarter hour by quarter hour, in the halls' own three nodes: what is met is
taken from a run, so that doors and crowds are the true ones. Units give any output up to their capacity, at the
efficiency of full load, whatever their thermostats and timers are: a bound from below. With people the air may be out
of its band by so many kelvin hours in all as is given; without, it stays within the set-back's edges and is not heated
or cooled beyond the comfort band. Nothing counts after the end.
"""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import csr_array, lil_array

from agent.config.site import Tariff
from agent.planner.hvac_model import cooling_capacity_kw, cooling_cop, heating_capacity_kw, heating_cop
from agent.planner.hvac_schedule import comfort_limits, setback_limits
from agent.planner.prices import price_grid
from twin.hvac import STEP_S, HvacTwin
from twin.hvac_trial import BILLED_S, TIMEZONE, Control, Scene
from twin.hvac_world import HallTwin

Array = NDArray[np.float64]
_NODES = 3  # air, mass, shell
_PER_QUARTER = round(BILLED_S / STEP_S)


class Bill(NamedTuple):
    """What a span costs: energy by the hour, and its highest quarter hour, in the tariff's currency."""

    energy: float
    demand: float

    @property
    def total(self) -> float:
        return self.energy + self.demand


class _Met(NamedTuple):
    """What the halls met: x' = a x + sum b q + d for each quarter hour, x all nodes of all halls, q mean heat by hall."""

    a: Array
    b: Array
    d: Array
    start: Array
    outdoor_degc: Array
    people: NDArray[np.bool_]  # at the end of each quarter hour, by hall
    fan_kw: Array  # that runs for people's sake, all units
    free_degc: Array  # the air by hall if no unit did anything


def least_bill(twin: HvacTwin, scene: Scene, tariff: Tariff, control: Control, discomfort_kh: float) -> Bill:
    """The cheapest bill from the scene's start to its end with at most so much discomfort.

    `twin` is lived through under `control` once, to see what comes; give a branch.
    """
    met = _met(twin, scene, control)
    return _solved(
        twin, met, price_grid(tariff, TIMEZONE, scene.start_at, len(met.a), BILLED_S), tariff, discomfort_kh
    )


def _met(twin: HvacTwin, scene: Scene, control: Control) -> _Met:
    halls = _halls(twin)
    size = _NODES * len(halls)
    quarters = round((scene.end_at - scene.start_at).total_seconds() / BILLED_S)
    start = np.array([value for hall in halls for value in (hall.air_degc, hall.mass_degc, hall.shell_degc)])
    a, b, d = (
        np.empty((quarters, size, size)),
        np.empty((quarters, size, len(halls))),
        np.empty((quarters, size)),
    )
    outdoor, fan = np.empty(quarters), np.zeros(quarters)
    people = np.zeros((quarters, len(halls)), dtype=np.bool_)
    at = scene.start_at
    for k in range(quarters):
        whole, heat, rest = np.eye(size), np.zeros((size, len(halls))), np.zeros(size)
        seen = []
        for step in range(_PER_QUARTER):
            if step * STEP_S % 300.0 == 0.0:
                control(twin, at)
            at += timedelta(seconds=STEP_S)
            twin.advance_to(at)
            now, of_heat, drive = _step(halls)
            whole, heat, rest = now @ whole, now @ heat + of_heat, now @ rest + drive
            seen.append(twin.outdoor.temp_degc)
            for unit in twin.units.values():
                if any(twin.zones[name].occupied for name in unit.thermostats):
                    fan[k] += unit.unit.fan_kw / _PER_QUARTER
        a[k], b[k], d[k] = whole, heat, rest
        outdoor[k] = np.mean(seen)
        people[k] = [hall.occupied for hall in halls]
    free, x = np.empty((quarters, len(halls))), start
    for k in range(quarters):
        x = a[k] @ x + d[k]
        free[k] = x[::_NODES]
    return _Met(a, b, d, start, outdoor, people, fan, free)


def _halls(twin: HvacTwin) -> list[HallTwin]:
    halls = [zone for zone in twin.zones.values() if isinstance(zone, HallTwin)]
    assert len(halls) == len(twin.zones)
    return halls


def _step(halls: list[HallTwin]) -> tuple[Array, Array, Array]:
    """One step of 30 s of all halls as a matrix of their nodes, one of their units' heat, and the rest."""
    h = STEP_S / 3600.0
    size = _NODES * len(halls)
    whole, heat, rest = np.eye(size), np.zeros((size, len(halls))), np.zeros(size)
    place = {id(hall): _NODES * index for index, hall in enumerate(halls)}
    for index, twin in enumerate(halls):
        hall, around, air = twin.hall, twin.around, _NODES * index
        assert around is not None
        mass, shell = air + 1, air + 2
        c = h / hall.air_kwh_per_k
        heat[air, index] = c
        rest[air] = c * (around.air_kw + around.leak_ua * around.outdoor_degc)
        whole[air, air] -= c * (hall.mass_ua + hall.shell_inside_ua + around.leak_ua)
        whole[air, mass] += c * hall.mass_ua
        whole[air, shell] += c * hall.shell_inside_ua
        for other, ua in twin.neighbours:
            # A hall that comes later in the row sees its neighbour's air of this step: half a minute, left out.
            whole[air, air] -= c * ua
            whole[air, place[id(other)]] += c * ua
        c = h / hall.mass_kwh_per_k
        whole[mass, mass] -= c * hall.mass_ua
        whole[mass, air] += c * hall.mass_ua
        rest[mass] = c * around.mass_kw
        c = h / hall.shell_kwh_per_k
        whole[shell, shell] -= c * (hall.shell_inside_ua + hall.shell_outside_ua)
        whole[shell, air] += c * hall.shell_inside_ua
        rest[shell] = c * hall.shell_outside_ua * around.shell_air_degc
    return whole, heat, rest


def _solved(twin: HvacTwin, met: _Met, price: Array, tariff: Tariff, discomfort_kh: float) -> Bill:
    """Columns: nodes, heating, cooling, degrees beyond the band (each by quarter hour), and the peak."""
    halls = _halls(twin)
    quarters, size = met.d.shape
    n, hours = len(halls), BILLED_S / 3600.0
    wide = size + 3 * n
    columns = wide * quarters + 1
    lower, upper, cost = np.zeros(columns), np.full(columns, np.inf), np.zeros(columns)
    equal, right = lil_array((size * quarters, columns)), np.empty(size * quarters)
    below, most = lil_array((quarters * (2 * n + 1) + 1, columns)), np.zeros(quarters * (2 * n + 1) + 1)
    electric = [_electric(twin, hall, met.outdoor_degc) for hall in halls]
    for k in range(quarters):
        at = wide * k
        lower[at : at + size] = -np.inf
        rows = slice(size * k, size * (k + 1))
        equal[rows, at : at + size] = np.eye(size)
        equal[rows, at + size : at + size + n] = -met.b[k]
        equal[rows, at + size + n : at + size + 2 * n] = met.b[k]
        right[rows] = met.d[k]
        if k:
            equal[rows, at - wide : at - wide + size] = -met.a[k]
        else:
            right[rows] += met.a[0] @ met.start
        row = quarters * 2 * n + k
        most[row] = -met.fan_kw[k]
        below[row, columns - 1] = -1.0
        for j, hall in enumerate(halls):
            heating_kw, heating, cooling_kw, cooling = (values[k] for values in electric[j])
            fan_kw = 0.0 if met.people[k, j] else twin.units[hall.zone.unit].unit.fan_kw
            of_heat = heating + fan_kw / max(heating_kw, 1e-9)
            of_cool = cooling + fan_kw / max(cooling_kw, 1e-9)
            heat, cool, out = at + size + j, at + size + n + j, at + size + 2 * n + j
            upper[heat], upper[cool] = heating_kw, cooling_kw
            cost[heat], cost[cool] = price[k] * of_heat * hours, price[k] * of_cool * hours
            below[row, heat], below[row, cool] = of_heat, of_cool
            low, high = _band(hall, met.free_degc[k, j], people=bool(met.people[k, j]))
            air, first = at + _NODES * j, 2 * (n * k + j)
            below[first, air], below[first, out], most[first] = 1.0, -1.0, high
            below[first + 1, air], below[first + 1, out], most[first + 1] = -1.0, -1.0, -low
            if met.people[k, j]:
                below[quarters * (2 * n + 1), out] = hours
            else:
                upper[out] = 0.0
    most[-1] = discomfort_kh
    cost[-1] = tariff.demand_charge_per_kw
    result = linprog(
        cost,
        A_ub=csr_array(below),
        b_ub=most,
        A_eq=csr_array(equal),
        b_eq=right,
        bounds=np.column_stack([lower, upper]),
    )
    if result.x is None:
        raise RuntimeError(f"no bill of least cost: {result.message}")
    peak_cost = tariff.demand_charge_per_kw * float(result.x[-1])
    return Bill(float(result.fun) - peak_cost + float(price @ met.fan_kw) * hours, peak_cost)


def _electric(twin: HvacTwin, hall: HallTwin, outdoor_degc: Array) -> tuple[Array, Array, Array, Array]:
    """Capacity in heating [kW], electricity per heat, and the same in cooling, of the unit as built at full load."""
    unit = twin.units[hall.zone.unit].unit
    return (
        heating_capacity_kw(unit, outdoor_degc),
        1.0 / heating_cop(unit, outdoor_degc),
        cooling_capacity_kw(unit, outdoor_degc),
        1.0 / cooling_cop(unit, outdoor_degc),
    )


def _band(hall: HallTwin, free_degc: float, *, people: bool) -> tuple[float, float]:
    low, high = comfort_limits(hall.zone)
    if people:
        return low, high
    floor, ceiling = setback_limits(hall.zone)
    return max(floor, min(low, free_degc)), min(ceiling, max(high, free_degc))
