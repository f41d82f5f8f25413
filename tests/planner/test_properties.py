"""Every problem gets a feasible plan, honestly priced, the same one each time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.planner.budget import Budget
from agent.planner.result import PlanStatus
from agent.planner.solve import plan_station
from tests.planner.scoring import judge, least_broken
from tests.planner.stations import document, problem_of, random_case

_SMALL = Budget(lps=8, sweeps=10)


@settings(max_examples=120, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 10**6),
    machines=st.integers(1, 6),
    steps=st.integers(1, 40),
    odd=st.booleans(),
    load=st.sampled_from([0.0, 0.4, 0.8, 1.6]),
)
def test_a_plan_keeps_every_rule_and_costs_what_it_says(
    seed: int, machines: int, steps: int, odd: bool, load: float
) -> None:
    case = random_case(seed, machines=machines, steps=steps, odd=odd, load=load)
    problem = problem_of(case)

    plan = plan_station(problem, budget=_SMALL)

    verdict = judge(case, document(plan))
    named = {(rule.machine_id, rule.step) for rule in plan.broken}
    assert {(machine, step) for _, machine, step in verdict.broken} <= named
    assert odd or not plan.broken or any("contradictory" in reason for reason in plan.reasons)
    assert plan.total_eur == pytest.approx(verdict.cost_eur, rel=1e-6, abs=1e-5)
    short = verdict.missing_m3 > 1e-2
    assert (plan.status is PlanStatus.BEST_EFFORT) or not short


@settings(max_examples=60, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 9))
def test_only_rules_that_no_series_could_keep_are_broken(seed: int, steps: int) -> None:
    case = random_case(seed, machines=1, steps=steps, odd=True)

    plan = plan_station(problem_of(case), budget=_SMALL)

    verdict = judge(case, document(plan))
    assert len(verdict.broken) == least_broken(case["machines"][0], case["step_minutes"])


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), machines=st.integers(1, 5), steps=st.integers(1, 30))
def test_the_same_problem_gives_the_same_plan_twice(seed: int, machines: int, steps: int) -> None:
    problem = problem_of(random_case(seed, machines=machines, steps=steps))

    first = plan_station(problem, budget=_SMALL)
    second = plan_station(problem, budget=_SMALL)

    assert first == second


@settings(max_examples=25, deadline=None, derandomize=True)
@given(seed=st.integers(0, 10**6), machines=st.integers(2, 5), steps=st.integers(2, 30))
def test_more_budget_is_never_worse_than_greedy_alone(seed: int, machines: int, steps: int) -> None:
    problem = problem_of(random_case(seed, machines=machines, steps=steps))

    greedy = plan_station(problem, budget=Budget.greedy_only())
    better = plan_station(problem, budget=_SMALL)

    assert better.total_eur <= greedy.total_eur + 1e-6


def test_a_long_horizon_of_500_steps_is_planned_feasibly() -> None:
    case = random_case(11, machines=4, steps=500)

    plan = plan_station(problem_of(case), budget=Budget.quick())

    assert judge(case, document(plan)).broken == []


def test_all_machines_unavailable_is_a_best_effort_with_the_shortage_named() -> None:
    case = random_case(3, machines=3, steps=6)
    for machine in case["machines"]:
        machine["unavailable"] = [[0, 6]]

    plan = plan_station(problem_of(case))

    assert plan.status is PlanStatus.BEST_EFFORT
    assert not any(np.array(list(plan.on.values())).ravel())
    assert "capacity short" in plan.reasons[0]


def test_all_machines_forced_run_all_the_time() -> None:
    case = random_case(4, machines=3, steps=8)
    for machine in case["machines"]:
        machine["unavailable"] = []
        machine["forced_on"] = [[0, 8]]

    plan = plan_station(problem_of(case))

    assert all(all(series) for series in plan.on.values())


def test_no_machine_at_all_is_a_best_effort_not_an_exception() -> None:
    case = random_case(5, machines=1, steps=4)
    case["machines"] = []

    plan = plan_station(problem_of(case))

    assert plan.status is PlanStatus.BEST_EFFORT
    assert plan.on == {}
