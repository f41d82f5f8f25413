"""Several stations under one meter: one site limit, one billing peak.

Each station is planned while the others' power counts as other load of the site; a new plan is
taken when it makes the whole site cheaper. Cost falls with every plan taken, so the stations do
not peak together without one of them gaining from it. HVAC enters as part of the other load.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from agent.planner.budget import Budget
from agent.planner.evaluate import CostSplit, evaluate
from agent.planner.problem import StationProblem
from agent.planner.result import StationPlanResult
from agent.planner.solve import plan_station
from agent.planner.tables import Floats, compile_tables

_LEAST_GAIN_EUR = 1e-6


class SitePlan(NamedTuple):
    """Plans in the order of the stations, the site's cost and what the coordination was worth.

    `total_eur` counts the demand charge and the site limit once; `apart_eur` is what the same
    stations cost when each is planned as if it were alone.
    """

    plans: tuple[StationPlanResult, ...]
    total_eur: float
    apart_eur: float
    rounds: int


def plan_site(
    problems: Sequence[StationProblem],
    *,
    budget: Budget | None = None,
    most_rounds: int = 4,
) -> SitePlan:
    """Plan all stations of a site. `other_load_kw` of each is the site's load without any station.

    The stations must share steps, other load, demand charge and site limit: ValueError otherwise.
    """
    if not problems:
        raise ValueError("a site plan needs at least one station")
    first = problems[0]
    for problem in problems[1:]:
        for name in ("step_min", "other_load_kw", "demand_charge", "site_limit_kw"):
            if getattr(problem, name) != getattr(first, name):
                raise ValueError(f"stations '{first.name}' and '{problem.name}' differ in {name}")
    plans = [plan_station(problem, budget=budget) for problem in problems]
    apart = _site_cost(problems, plans)
    best = apart
    rounds = 0
    for _ in range(most_rounds if len(problems) > 1 else 0):
        rounds += 1
        gained = False
        for index, problem in enumerate(problems):
            trial = list(plans)
            trial[index] = plan_station(_beside(problem, plans, index), budget=budget)
            cost = _site_cost(problems, trial)
            if cost < best - _LEAST_GAIN_EUR:
                plans, best, gained = trial, cost, True
        if not gained:
            break
    final = [_seen_whole(problems, plans, index) for index in range(len(plans))]
    return SitePlan(tuple(final), best, apart, rounds)


def _beside(problem: StationProblem, plans: list[StationPlanResult], index: int) -> StationProblem:
    """The station's problem with the other stations' power as other load."""
    others = np.array(problem.other_load_kw)
    for number, plan in enumerate(plans):
        if number != index:
            others = others + np.array(plan.power_kw)
    return replace(problem, other_load_kw=tuple(others.tolist()))


def _outcome_cost(problem: StationProblem, plan: StationPlanResult) -> CostSplit:
    tables = compile_tables(problem)
    on = np.array([plan.on[key] for key in problem.machine_ids], dtype=bool).T
    flow: Floats = np.array([plan.flow_m3_min[key] for key in problem.machine_ids]).T
    shape = (problem.steps, len(problem.machines))
    vent = np.array(plan.vent_m3_min)
    return evaluate(tables, on.reshape(shape), flow.reshape(shape), vent).cost


def _site_cost(problems: Sequence[StationProblem], plans: list[StationPlanResult]) -> float:
    """Cost of the whole site: shared charges once, wishes included."""
    total = 0.0
    for index, problem in enumerate(problems):
        cost = _outcome_cost(_beside(problem, plans, index), plans[index])
        total += cost.total_eur + cost.wishes_eur
        if index > 0:
            total -= cost.demand_charge_eur + cost.site_limit_eur
    return total


def _seen_whole(
    problems: Sequence[StationProblem], plans: list[StationPlanResult], index: int
) -> StationPlanResult:
    """The plan with its costs as they are beside the final plans of the others."""
    cost = _outcome_cost(_beside(problems[index], plans, index), plans[index])
    return replace(plans[index], cost=cost)
