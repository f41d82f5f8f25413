"""Curves with a dent are planned and dispatched as they are, not on their convex hulls."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from agent.planner.dispatch import Dispatch
from agent.planner.dispatch_real import dispatch_real
from agent.planner.exact import solve_exact
from agent.planner.problem import CurvePoint, MachineState, PlanMachine, StationProblem
from agent.planner.real_curves import RealPower, convex_runs
from agent.planner.set_dp import best_sets
from agent.planner.solve import plan_station
from agent.planner.stage import flat_path, make_stage
from agent.planner.tables import compile_tables
from tests.planner.scoring import judge
from tests.planner.stations import document, load_unload, problem_of, random_case, station

# Full flow 10 at 100 kW, throttled to 5 at 90 kW, unloaded 20 kW.
_THROTTLED = (CurvePoint(0.0, 20.0), CurvePoint(5.0, 90.0), CurvePoint(10.0, 100.0))


def _throttled(key: str, *, running: bool = False) -> PlanMachine:
    return PlanMachine(key, _THROTTLED, MachineState(running=running, in_state_min=600.0))


def _vsd(key: str, full: float, *, running: bool = False) -> PlanMachine:
    curve = (CurvePoint(0.2 * full, 2.0 * full), CurvePoint(full, 10.0 * full))
    return PlanMachine(key, curve, MachineState(running=running, in_state_min=600.0))


def test_a_curve_is_cut_where_its_slope_falls() -> None:
    # Slopes 3, 1, 2: the fall is at flow 1.
    points = [CurvePoint(0, 0), CurvePoint(1, 3), CurvePoint(2, 4), CurvePoint(3, 6)]

    runs = convex_runs(points)

    assert [[p.flow_m3_min for p in run] for run in runs] == [[0, 1], [1, 2, 3]]


def test_tabled_power_of_a_set_is_the_cheapest_split_of_its_flow() -> None:
    machines = (_throttled("A"), _throttled("B"), _vsd("C", 6.0))
    real = RealPower([m.curve for m in machines])
    fine = np.linspace(0.0, 1.0, 201)

    for bits, flow in itertools.product(range(1, 8), (1.0, 4.7, 9.3, 15.0)):
        chosen = [m for i, m in enumerate(machines) if bits >> i & 1]
        if flow > sum(m.flow_full_m3_min for m in chosen):
            continue
        # Brute force: all but the last at any of 201 flows, the last takes the rest.
        spans = [m.flow_min_m3_min + fine * (m.flow_full_m3_min - m.flow_min_m3_min) for m in chosen[:-1]]
        best = np.inf
        for flows in itertools.product(*spans):
            rest = flow - sum(flows)
            if rest <= chosen[-1].flow_full_m3_min + 1e-9:
                power = sum(m.power_kw(float(q)) for m, q in zip(chosen[:-1], flows, strict=True))
                best = min(best, power + chosen[-1].power_kw(float(rest)))

        tabled = float(real.at(np.array([bits]), np.array([flow]))[0])

        # Table and brute force are both grids: half a percent of full power between them.
        assert tabled == pytest.approx(best, abs=1.2)


def test_full_load_of_a_set_is_tabled_exactly() -> None:
    real = RealPower([_throttled("A").curve, _vsd("B", 6.1).curve])

    assert real.at(np.array([3]), np.array([16.1]))[0] == pytest.approx(100.0 + 61.0)
    assert real.at(np.array([1]), np.array([10.0]))[0] == pytest.approx(100.0)


def test_trading_takes_the_grid_flow_at_which_power_and_trade_together_are_least() -> None:
    machines = (_throttled("A"), _throttled("B"), _vsd("C", 6.0))
    real = RealPower([m.curve for m in machines])
    rng = np.random.default_rng(3)
    sets = rng.integers(0, 8, size=(40, 4))
    flow = rng.uniform(0.0, 26.0, size=(40, 1))
    low, high = np.full((40, 1), 4.0), rng.uniform(5.0, 12.0, size=(40, 1))

    traded = real.traded(sets, flow, low, high)

    grid = np.arange(real.power.shape[1]) * real.spacing
    for step, column in np.ndindex(sets.shape):
        one, asked = int(sets[step, column]), float(flow[step, 0])
        own = [q for q in (*grid, float(real.full_flow[one])) if q <= real.full_flow[one] + 1e-9]
        flows = np.array([*own, asked] if asked <= real.full_flow[one] else own)
        power = real.at(np.full(len(flows), one), flows)
        missing = asked - flows
        trade = np.where(missing > 0, missing * high[step, 0], missing * low[step, 0])
        assert traded[step, column] == pytest.approx(float((power + trade).min()))


def test_the_same_machines_share_one_table_from_plan_to_plan() -> None:
    problem = station((_throttled("A"), _vsd("B", 6.1)), [5.0, 7.0])
    later = station((_throttled("A"), _vsd("B", 6.1)), [9.0, 2.0])

    assert compile_tables(problem).real is compile_tables(later).real


def test_the_set_programme_takes_the_machine_that_is_cheap_at_part_load() -> None:
    # 5 m3/min: throttled 90 kW (60 on its hull), VSD of 8 takes 50 kW (convex: 16..80 kW).
    # A VSD at 11.5 kW per m3/min: 5 m3/min take 70 kW, dearer than the hull says of A.
    dear = PlanMachine(
        "B",
        (CurvePoint(1.0, 18.0), CurvePoint(8.0, 109.0)),
        MachineState(running=False, in_state_min=600.0),
    )
    problem = station((_throttled("A"), dear), [5.0])
    tables = compile_tables(problem)
    delivered, pressure = flat_path(tables)
    stage = make_stage(tables, delivered=delivered, pressure=pressure, peak_target_kw=np.inf)

    on = best_sets(stage, np.zeros((1, 2), dtype=bool), [0, 1])

    assert on.tolist() == [[False, True]]


def test_dispatch_lets_one_throttled_machine_swing_and_fills_the_other() -> None:
    # 15 m3/min from two: one full (100 kW), one at 5 (90 kW), or both at 7.5 (95 kW each): 190 kW.
    # 18: full + 8 (96 kW) = 196 kW; both at 9 (98 kW) = 196 kW. 12: full + 2 (48 kW) = 148 kW,
    # both at 6 (92 kW) = 184 kW. Their hulls: 20 + 8 per m3/min.
    problem = station((_throttled("A", running=True), _throttled("B", running=True)), [12.0])
    dispatch = Dispatch(compile_tables(problem))

    priced = dispatch_real(dispatch, np.ones((1, 2), dtype=bool), at_most_eur=np.inf)

    assert priced.answer is not None
    assert sorted(priced.answer.flow[0].tolist()) == pytest.approx([2.0, 10.0])
    assert priced.answer.cost_eur == pytest.approx(14.8)


def test_a_schedule_whose_bound_is_too_dear_is_not_dispatched_further() -> None:
    problem = station((_throttled("A", running=True),), [5.0])
    dispatch = Dispatch(compile_tables(problem))

    priced = dispatch_real(dispatch, np.ones((1, 1), dtype=bool), at_most_eur=1.0)

    assert not priced.exact
    assert priced.solves == 1


def _with_dents(problem: StationProblem) -> StationProblem:
    """Every machine cycles: a third of its flow takes most of its power."""
    machines = []
    for machine in problem.machines:
        (_, low), (full, high) = machine.curve[0], machine.curve[-1]
        points = (CurvePoint(0.0, low), CurvePoint(0.35 * full, 0.8 * high), CurvePoint(full, high))
        machines.append(replace(machine, curve=points))
    return replace(problem, machines=tuple(machines))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_plans_with_dents_come_close_to_the_exact_model(seed: int) -> None:
    rng = np.random.default_rng(seed)
    machines = tuple(load_unload(f"M{i}", float(full)) for i, full in enumerate(rng.uniform(5, 14, size=3)))
    problem = _with_dents(station(machines, rng.uniform(4, 22, size=10).tolist()))
    tables = compile_tables(problem)
    exact = solve_exact(tables, Dispatch(tables), time_limit_s=20.0)

    plan = plan_station(problem)

    assert exact is not None
    assert not tables.convex
    assert exact.cost_eur * (1 - 2e-4) <= plan.total_eur <= exact.cost_eur * 1.002


def test_a_plan_with_dents_costs_what_an_independent_scorer_says() -> None:
    case = random_case(21, machines=4, steps=24)
    for machine in case["machines"]:
        full, power = machine["curve"][-1]
        machine["curve"] = [[0.0, 0.2 * power], [0.4 * full, 0.8 * power], [full, power]]
        machine["forced_flow"] = []

    plan = plan_station(problem_of(case))

    verdict = judge(case, document(plan))
    assert verdict.broken == []
    assert plan.total_eur == pytest.approx(verdict.cost_eur, rel=1e-6)
