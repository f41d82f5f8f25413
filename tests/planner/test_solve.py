"""Plans worked by hand, wishes beyond the instance format, and the ladder of statuses."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.planner.budget import Budget
from agent.planner.dispatch import Bounds, Dispatch
from agent.planner.exact import solve_exact
from agent.planner.problem import (
    CurvePoint,
    Inertia,
    MachineState,
    PlanMachine,
    Window,
    balance_hours,
)
from agent.planner.result import PlanStatus
from agent.planner.solve import plan_station
from agent.planner.tables import Floats, compile_tables
from tests.planner.stations import load_unload, problem_of, random_case, station


def _series(on: tuple[bool, ...]) -> list[int]:
    return [int(value) for value in on]


def test_the_smaller_machine_runs_alone_when_it_suffices() -> None:
    problem = station((load_unload("big", 20.0), load_unload("small", 8.0)), [6.0, 6.0])

    plan = plan_station(problem)

    # Small at 6: 12 + 4.5 x 6 = 39 kW; big: 30 + 27 = 57 kW. Two hours at 0.1 and one start of 1.
    assert _series(plan.on["small"]) == [1, 1]
    assert _series(plan.on["big"]) == [0, 0]
    assert plan.total_eur == pytest.approx(2 * 3.9 + 1.0)
    assert plan.status is PlanStatus.OPTIMISED


def test_a_machine_runs_through_a_lull_that_is_cheaper_than_a_restart() -> None:
    machine = load_unload("A", 10.0, running=True, start_cost_eur=2.0)
    problem = station((machine,), [8.0, 0.0, 8.0])

    plan = plan_station(problem)

    # Idle hour: 15 kW x 0.1 = 1.5 EUR, a restart costs 2 EUR.
    assert _series(plan.on["A"]) == [1, 1, 1]


def test_a_machine_stops_in_a_lull_that_is_dearer_than_a_restart() -> None:
    machine = load_unload("A", 10.0, running=True, start_cost_eur=1.4)
    problem = station((machine,), [8.0, 0.0, 8.0])

    plan = plan_station(problem)

    assert _series(plan.on["A"]) == [1, 0, 1]
    assert [order.step for order in plan.start_orders] == [2]


def test_reserve_keeps_a_second_machine_running_where_its_price_is_high_enough() -> None:
    pair = (load_unload("A", 10.0, running=True), load_unload("B", 10.0, running=True))
    # B idle costs 1.5 EUR/h; 1 m3/min of reserve short for an hour costs 60 x 0.15 = 9 EUR.
    wanted = station(pair, [9.5], reserve_m3_min=(1.5,))

    plan = plan_station(wanted)

    assert (_series(plan.on["A"]), _series(plan.on["B"])) == ([1], [1])


def test_unavailable_beats_forced_and_forced_beats_minimum_times() -> None:
    machine = PlanMachine(
        machine_id="A",
        curve=load_unload("A", 10.0).curve,
        state=MachineState(running=False, in_state_min=0.0),
        min_down_min=120.0,
        forced_on=(Window(1, 4),),
        unavailable=(Window(2, 3),),
    )
    problem = station((machine,), [0.0] * 5)

    plan = plan_station(problem)

    assert _series(plan.on["A"]) == [0, 1, 0, 1, 0]


def test_the_plan_in_force_is_kept_while_leaving_it_gains_less_than_the_inertia() -> None:
    near = (load_unload("A", 10.0, start_cost_eur=1.0), load_unload("B", 10.0, start_cost_eur=1.1))
    free = station(near, [8.0, 8.0])
    held = replace(free, inertia=Inertia(on={"A": (False, False), "B": (True, True)}, flip_cost_eur=0.2))

    # Free: A, 0.1 EUR cheaper to start. Held: leaving B means four flips of 0.2 EUR.
    assert _series(plan_station(free).on["A"]) == [1, 1]
    assert _series(plan_station(held).on["B"]) == [1, 1]
    assert plan_station(held).cost.wishes_eur == pytest.approx(0.0)


def test_preference_moves_the_load_and_is_not_counted_as_money() -> None:
    twins = (load_unload("A", 10.0), load_unload("B", 10.0))
    ahead = balance_hours(twins, {"A": 9000.0, "B": 7000.0}, eur_h_per_1000_h=0.1)
    plan = plan_station(station(ahead, [8.0, 8.0]))

    # A is 1,000 h above the mean: +0.1 EUR/h; B -0.1. B runs: 2 h x (15 + 36 kW) x 0.1 + 1 start.
    assert _series(plan.on["B"]) == [1, 1]
    assert plan.total_eur == pytest.approx(2 * 5.1 + 1.0)
    assert plan.cost.wishes_eur == pytest.approx(-0.2)


def test_a_start_is_ordered_its_lead_time_before_it_delivers() -> None:
    machine = load_unload("A", 10.0, lead_time_min=10.0)
    problem = station((machine,), [0.0, 8.0])

    plan = plan_station(problem)

    assert [(o.step, o.order_min) for o in plan.start_orders] == [(1, 50.0)]


def test_demand_above_capacity_is_a_best_effort_with_every_short_step_named() -> None:
    problem = station((load_unload("A", 10.0),), [8.0, 14.0])

    plan = plan_station(problem)

    assert plan.status is PlanStatus.BEST_EFFORT
    assert [(s.step, round(s.missing_m3_min, 6)) for s in plan.shortages] == [(1, 4.0)]
    assert "every machine runs" in plan.reasons[0]


class _BrokenBody:
    """A solver that never reaches an optimum."""

    def solve(self, bounds: Bounds) -> tuple[float, Floats, Floats] | None:
        return None


def test_a_solver_that_fails_leaves_the_greedy_plan_with_a_reason() -> None:
    problem = station((load_unload("A", 10.0), load_unload("B", 10.0)), [8.0, 14.0])
    dispatch = Dispatch(compile_tables(problem))
    dispatch.body = _BrokenBody()

    plan = plan_station(problem, dispatch=dispatch)

    assert plan.status is PlanStatus.GREEDY
    assert sum(plan.flow_m3_min[key][1] for key in ("A", "B")) == pytest.approx(14.0)
    assert "dispatch" in plan.reasons[0]


@pytest.mark.parametrize("seed", range(8))
def test_small_random_stations_are_planned_within_a_hair_of_the_exact_optimum(seed: int) -> None:
    problem = problem_of(random_case(seed + 40, machines=3, steps=24))
    tables = compile_tables(problem)
    dispatch = Dispatch(tables)
    exact = solve_exact(tables, dispatch, time_limit_s=20.0)

    plan = plan_station(problem)

    assert exact is not None
    assert plan.total_eur >= exact.bound_eur - 1e-3
    assert plan.total_eur <= exact.cost_eur + 0.004 * abs(exact.cost_eur)


def test_a_tenth_of_the_budget_is_still_close_and_counted() -> None:
    problem = problem_of(random_case(77, machines=6, steps=60))
    budget = Budget.full(6)

    full = plan_station(problem, budget=budget)
    tenth = plan_station(problem, budget=budget.tenth())

    assert tenth.effort.lps <= budget.tenth().lps
    assert tenth.effort.sweeps <= budget.tenth().sweeps
    assert tenth.effort.lps < full.effort.lps / 4
    assert full.total_eur <= tenth.total_eur <= full.total_eur * 1.03


def test_scipy_alone_gives_a_plan_as_good_as_highspy() -> None:
    problem = problem_of(random_case(5, machines=4, steps=24))

    plain = plan_station(problem, dispatch=Dispatch(compile_tables(problem), prefer_highspy=False))
    usual = plan_station(problem)

    assert plain.total_eur == pytest.approx(usual.total_eur, rel=3e-3)


def test_a_problem_whose_series_differ_in_length_is_refused() -> None:
    problem = station((load_unload("A", 10.0),), [1.0, 1.0])

    with pytest.raises(ValueError, match="3 values for 2 steps"):
        replace(problem, demand_m3_min=(1.0, 2.0, 3.0))


def test_a_single_point_curve_is_a_machine_with_one_flow() -> None:
    fixed = PlanMachine(machine_id="A", curve=(CurvePoint(5.0, 30.0),), state=MachineState(running=False))

    plan = plan_station(station((fixed,), [5.0, 4.0]))

    # At 4 m3/min of demand 1 m3/min is blown off.
    assert plan.flow_m3_min["A"] == pytest.approx((5.0, 5.0))
    assert np.array(plan.vent_m3_min) == pytest.approx([0.0, 1.0])
