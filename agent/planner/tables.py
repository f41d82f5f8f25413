"""The station problem as arrays: shapes are N steps x n machines unless said otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from agent.planner.machine_schedule import MachineRules, unavoidable_faults
from agent.planner.problem import PlanMachine, StationProblem, Window
from agent.planner.real_curves import TABLED_MACHINES, RealPower, Sections, make_sections, real_power_of
from agent.planner.timing import MachineTimes, machine_times

Floats: TypeAlias = NDArray[np.float64]
Bools: TypeAlias = NDArray[np.bool_]
Ints: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Tables:
    """Everything the search reads, computed once per problem.

    Pieces (K of them) are those of the lower convex hulls, ordered by slope; `slopes_kw_m3_min`
    are the S distinct slopes including 0 (air blown off costs nothing more), rising.
    `profit_kw` [S, n] is min over flow of (power - slope * flow) on the hull: the hull's conjugate.
    `unavoidable` [n] counts the rules of time that contradictory windows break in any schedule.
    `sections` are the dispatch programme's pieces, `hulls` [points, 2] flow and power; `real` is the power of sets on the curves as they
    are, None where all are convex or the machines too many.
    """

    problem: StationProblem
    step_min: Floats
    start_min: Floats
    hours: Floats
    price_eur_kwh: Floats
    demand: Floats
    reserve: Floats
    other_kw: Floats
    flow_min: Floats
    flow_full: Floats
    power_min: Floats
    piece_machine: Ints
    piece_width: Floats
    piece_slope: Floats
    slopes: Floats
    profit_kw: Floats
    must_on: Bools
    must_off: Bools
    forced_flow: Floats
    is_forced_flow: Bools
    forced_power: Floats
    start_eur: Floats
    on_eur: Floats
    inertia_constant_eur: float
    initially_on: Bools
    relaxed: tuple[MachineTimes, ...]
    rules: tuple[MachineRules, ...]
    cuts_stop: Bools
    unavoidable: tuple[int, ...]
    interval_of_step: Ints
    interval_hours: Floats
    convex: bool
    sections: Sections
    hulls: tuple[Floats, ...]
    real: RealPower | None

    @property
    def steps(self) -> int:
        """Number of steps N."""
        return len(self.step_min)

    @property
    def usual_step_min(self) -> float:
        """Median length of a step, the longer one of two (numpy's own median loads masked arrays)."""
        return float(np.sort(self.step_min)[self.steps // 2])

    @property
    def count(self) -> int:
        """Number of machines n."""
        return len(self.flow_full)


def lower_hull(points: list[tuple[float, float]]) -> list[tuple[float, float]]:
    """Lower convex hull of points sorted by their first coordinate (monotone chain)."""
    hull: list[tuple[float, float]] = []
    for x, y in points:
        while len(hull) >= 2:
            (x0, y0), (x1, y1) = hull[-2], hull[-1]
            if (y1 - y0) * (x - x0) >= (y - y0) * (x1 - x0):
                hull.pop()
            else:
                break
        hull.append((x, y))
    return hull


def mask(windows: tuple[Window, ...], steps: int) -> Bools:
    """True in the steps that lie in one of the windows; windows may reach beyond the plan."""
    inside = np.zeros(steps, dtype=bool)
    for window in windows:
        inside[max(window.first_step, 0) : max(window.end_step, 0)] = True
    return inside


def _forced_flow(machine: PlanMachine, steps: int) -> Floats:
    """The manual flow step by step, NaN where there is none; the first window listed wins."""
    flow = np.full(steps, np.nan)
    for window in reversed(machine.forced_flow):
        flow[max(window.first_step, 0) : max(window.end_step, 0)] = window.flow_m3_min
    return flow


def compile_tables(problem: StationProblem) -> Tables:
    """The problem's arrays."""
    steps = problem.steps
    machines = problem.machines
    count = len(machines)
    step_min = np.array(problem.step_min, dtype=float)
    start_min = np.concatenate([[0.0], np.cumsum(step_min)])
    hours = step_min / 60.0
    price = np.array(problem.energy_price_eur_kwh) + problem.co2_price_eur_kg * np.array(problem.co2_kg_kwh)

    pieces: list[tuple[float, int, float]] = []
    hulls: list[list[tuple[float, float]]] = []
    convex = True
    for index, machine in enumerate(machines):
        hull = lower_hull([(p.flow_m3_min, p.power_kw) for p in machine.curve])
        hulls.append(hull)
        for point in machine.curve:
            on_hull = np.interp(point.flow_m3_min, [x for x, _ in hull], [y for _, y in hull])
            convex = convex and point.power_kw <= float(on_hull) + 1e-6
        for (x0, y0), (x1, y1) in pairwise(hull):
            pieces.append(((y1 - y0) / (x1 - x0), index, x1 - x0))
    pieces.sort()
    slopes = np.array(sorted({0.0} | {round(slope, 12) for slope, _, _ in pieces}))
    profit = np.array([[min(y - s * x for x, y in hull) for hull in hulls] for s in slopes]).reshape(
        len(slopes), count
    )

    must_off = np.zeros((steps, count), dtype=bool)
    must_on = np.zeros((steps, count), dtype=bool)
    forced = np.full((steps, count), np.nan)
    forced_power = np.zeros((steps, count))
    start_eur = np.zeros((steps, count))
    on_eur = np.zeros((steps, count))
    inertia_constant = 0.0
    relaxed: list[MachineTimes] = []
    rules: list[MachineRules] = []
    for index, machine in enumerate(machines):
        off = mask(machine.unavailable, steps)
        flow = _forced_flow(machine, steps)
        flow[off] = np.nan
        on = (mask(machine.forced_on, steps) | np.isfinite(flow)) & ~off
        must_off[:, index], must_on[:, index], forced[:, index] = off, on, flow
        for step in np.flatnonzero(np.isfinite(flow)):
            forced_power[step, index] = machine.power_kw(float(flow[step]))
        start_eur[:, index] = machine.start_cost_eur + price * machine.start_energy_kwh
        on_eur[:, index] = (machine.run_cost_eur_h + machine.preference_eur_h) * hours
        inertia = problem.inertia
        if inertia is not None and machine.machine_id in inertia.on:
            previous = np.array(inertia.on[machine.machine_id][:steps], dtype=bool)
            on_eur[: len(previous), index] += inertia.flip_cost_eur * np.where(previous, -1.0, 1.0)
            inertia_constant += inertia.flip_cost_eur * float(previous.sum())
        free, apart = (
            machine_times(machine, start_min, must_on=on, must_off=off, strict=strict)
            for strict in (False, True)
        )
        relaxed.append(free)
        rules.append(MachineRules(machine, start_min, on, off, free, apart))

    charge = problem.demand_charge
    interval = np.zeros(steps, dtype=np.int64)
    if charge is not None:
        _, interval = np.unique(np.floor((start_min[:-1] + 1e-9) / charge.interval_min), return_inverse=True)
    return Tables(
        problem=problem,
        step_min=step_min,
        start_min=start_min,
        hours=hours,
        price_eur_kwh=price,
        demand=np.array(problem.demand_m3_min, dtype=float),
        reserve=np.array(problem.reserve_m3_min, dtype=float),
        other_kw=np.array(problem.other_load_kw, dtype=float),
        flow_min=np.array([m.flow_min_m3_min for m in machines], dtype=float),
        flow_full=np.array([m.flow_full_m3_min for m in machines], dtype=float),
        power_min=np.array([m.curve[0].power_kw for m in machines], dtype=float),
        piece_machine=np.array([i for _, i, _ in pieces], dtype=np.int64),
        piece_width=np.array([w for _, _, w in pieces], dtype=float),
        piece_slope=np.array([s for s, _, _ in pieces], dtype=float),
        slopes=slopes,
        profit_kw=profit,
        must_on=must_on,
        must_off=must_off,
        forced_flow=np.where(np.isfinite(forced), forced, 0.0),
        is_forced_flow=np.isfinite(forced),
        forced_power=forced_power,
        start_eur=start_eur,
        on_eur=on_eur,
        inertia_constant_eur=inertia_constant,
        initially_on=np.array([m.state.running for m in machines], dtype=bool),
        relaxed=tuple(relaxed),
        rules=tuple(rules),
        cuts_stop=np.array([one.cuts_stop for one in relaxed], dtype=bool).reshape(count, steps).T,
        unavoidable=tuple(unavoidable_faults(one) for one in rules),
        interval_of_step=interval,
        interval_hours=np.bincount(interval, weights=hours).astype(float),
        convex=convex,
        sections=make_sections(machines, hulls, pieces),
        hulls=tuple(np.array(hull) for hull in hulls),
        real=real_power_of(tuple(tuple(machine.curve) for machine in machines))
        if not convex and count <= TABLED_MACHINES
        else None,
    )
