"""The dynamic programmes against exhaustive search on stations small enough for it."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from agent.planner.one_machine import machine_costs, plan_machine, replan_machine
from agent.planner.problem import StationProblem
from agent.planner.search import faulty_machines
from agent.planner.set_dp import best_sets
from agent.planner.stage import Stage, flat_path, make_stage, stage_total
from agent.planner.tables import Bools, Tables, compile_tables
from agent.planner.two_machines import PairProgramme, Pairs, decision_points
from tests.planner.stations import problem_of, random_case


def _random(seed: int, *, machines: int, steps: int, **changes: Any) -> StationProblem:
    case = random_case(seed, machines=machines, steps=steps)
    for machine in case["machines"]:
        machine["max_starts_per_hour"] = 60
        machine.update(changes)
    return problem_of(case)


def _stage(problem: StationProblem) -> tuple[Tables, Stage]:
    tables = compile_tables(problem)
    delivered, pressure = flat_path(tables)
    target = problem.demand_charge.peak_so_far_kw if problem.demand_charge else np.inf
    return tables, make_stage(tables, delivered=delivered, pressure=pressure, peak_target_kw=target)


def _schedules(steps: int) -> list[tuple[bool, ...]]:
    return list(itertools.product((False, True), repeat=steps))


def _cheapest(tables: Tables, stage: Stage, on: Bools, free: list[int], *, timed: bool = True) -> float:
    """Least stage cost over all schedules of the free machines, by trying each of them."""
    best = np.inf
    options: list[list[tuple[bool, ...]]] = []
    for machine in free:
        kept: list[tuple[bool, ...]] = []
        for series in _schedules(tables.steps):
            trial = on.copy()
            trial[:, machine] = series
            if not timed or machine not in faulty_machines(tables, trial):
                kept.append(series)
        options.append(kept)
    for choice in itertools.product(*options):
        trial = on.copy()
        for machine, series in zip(free, choice, strict=True):
            trial[:, machine] = series
        best = min(best, stage_total(stage, trial))
    return best


@pytest.mark.parametrize("seed", range(12))
def test_one_machine_is_planned_as_well_as_by_trying_every_schedule(seed: int) -> None:
    tables, stage = _stage(_random(seed, machines=2, steps=9))
    on = np.zeros((9, 2), dtype=bool)
    on[:, 1] = replan_machine(stage, on, 1)

    on[:, 0] = replan_machine(stage, on, 0)

    assert faulty_machines(tables, on) == []
    assert stage_total(stage, on) == pytest.approx(_cheapest(tables, stage, on, [0]), abs=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_a_pair_is_planned_as_well_as_by_trying_every_pair_of_schedules(seed: int) -> None:
    tables, stage = _stage(_random(seed + 100, machines=3, steps=6))
    on = np.zeros((6, 3), dtype=bool)
    for machine in range(3):
        on[:, machine] = replan_machine(stage, on, machine)
    before = stage_total(stage, on)
    pairs = Pairs(np.array([0, 0, 1]), np.array([1, 2, 2]))
    programme = PairProgramme(tables, pairs, np.arange(6), tables.relaxed)

    plans = programme.best(stage, on, least_gain_eur=-1e-3, at_most=3)

    assert len(plans) == 3
    for plan in plans:
        trial = on.copy()
        trial[:, plan.first] = plan.on_first
        trial[:, plan.second] = plan.on_second
        exact = _cheapest(tables, stage, on, [plan.first, plan.second])
        assert faulty_machines(tables, trial) == []
        assert stage_total(stage, trial) == pytest.approx(exact, abs=1e-6)
        assert before - plan.gain_eur == pytest.approx(exact, abs=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_machine_sets_are_planned_as_well_as_by_trying_every_sequence(seed: int) -> None:
    problem = _random(seed + 200, machines=2, steps=6, min_up_min=0.0, min_down_min=0.0)
    tables, stage = _stage(problem)
    start = np.zeros((6, 2), dtype=bool)

    on = best_sets(stage, start, [0, 1])

    exact = _cheapest(tables, stage, start, [0, 1], timed=False)
    assert stage_total(stage, on) == pytest.approx(exact, abs=1e-6)


def test_thinned_decision_points_keep_every_switch_of_the_present_plan() -> None:
    problem = _random(7, machines=2, steps=60)
    tables = compile_tables(problem)
    on = np.zeros((60, 2), dtype=bool)
    on[17:31, 0] = True
    on[44:, 1] = True

    points = decision_points(tables, on, at_most=30).tolist()

    assert points[0] == 0
    assert {17, 31, 44} <= set(points)
    assert len(points) < 60


def test_a_start_limit_is_kept_where_the_cheapest_schedule_would_break_it() -> None:
    case = random_case(1, machines=1, steps=8)
    case["step_minutes"] = [10.0] * 8
    machine = case["machines"][0]
    machine.update(
        min_up_min=0.0,
        min_down_min=0.0,
        max_starts_per_hour=1,
        unavailable=[],
        forced_on=[],
        forced_flow=[],
        init={"on": False, "minutes_in_state": 90.0, "starts_minutes_ago": []},
    )
    tables = compile_tables(problem_of(case))
    # Wanted in steps 0, 2, 4: three starts within 40 min, one is allowed.
    wanted = np.array([1, 0, 1, 0, 1, 0, 0, 0], dtype=float)

    series = np.array([plan_machine(tables, 100 * wanted, 90 * (1 - wanted), 0)]).T

    assert faulty_machines(tables, series) == []


def test_costs_of_one_machine_off_and_on_are_those_of_the_whole_schedule() -> None:
    tables, stage = _stage(_random(31, machines=3, steps=5))
    on = np.ones((5, 3), dtype=bool)

    off_eur, on_eur = machine_costs(stage, on, 1)

    with_it, without = on.copy(), on.copy()
    without[:, 1] = False
    others = (stage.on_eur * without).sum(axis=1)
    assert on_eur + others == pytest.approx(stage.cost(with_it))
    must = np.where(tables.must_on[:, 1], 1e8, 0.0)
    assert off_eur + others - must == pytest.approx(stage.cost(without))
