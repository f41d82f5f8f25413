"""From the greedy schedule to a near-optimal one: the search's programme, in order.

Rounds of (machine sets, pairs, dispatch) along the storage path of the last dispatch, then
polishing priced by dispatch. docs/planner.md tells why this order.
"""

from __future__ import annotations

import numpy as np

from agent.planner.one_machine import replan_machine
from agent.planner.search import Search, repaired
from agent.planner.set_dp import best_sets
from agent.planner.stage import Stage, switching_eur
from agent.planner.tables import FORBIDDEN_EUR, Bools
from agent.planner.two_machines import Pairs, best_pairs, decision_points

_STAGE_GAIN_EUR = 1e-5


def stage_total(stage: Stage, on: Bools) -> float:
    """Cost of a schedule in stage terms; FORBIDDEN_EUR for each must that is missed."""
    tables = stage.tables
    missed = float((tables.must_on & ~on).sum())
    return float(stage.cost(on).sum() + switching_eur(tables, on).sum()) + FORBIDDEN_EUR * missed


def sweep_pairs(search: Search, stage: Stage, on: Bools) -> Bools:
    """Re-plan pairs of machines until nothing gains or the sweeps are used up."""
    tables = search.tables
    first, second = np.triu_indices(tables.count, 1)
    pairs = Pairs(first, second)
    total = stage_total(stage, on)
    while search.may_sweep():
        search.sweeps += 1
        points = decision_points(tables, on, at_most=112)
        plans = best_pairs(
            stage,
            on,
            pairs,
            tables.relaxed,
            points=points,
            least_gain_eur=_STAGE_GAIN_EUR,
            at_most=max(4, tables.count),
        )
        gained = False
        for plan in plans:
            candidate = on.copy()
            candidate[:, plan.first] = plan.on_first
            candidate[:, plan.second] = plan.on_second
            candidate = repaired(stage, candidate)
            cost = stage_total(stage, candidate)
            if cost < total - _STAGE_GAIN_EUR:
                on, total, gained = candidate, cost, True
        if not gained:
            break
    return on


def sweep_singles(search: Search, stage: Stage, on: Bools) -> Bools:
    """Re-plan machine by machine until nothing gains or the sweeps are used up."""
    total = stage_total(stage, on)
    on = on.copy()
    while search.may_sweep():
        search.sweeps += 1
        before = total
        for machine in range(search.tables.count):
            candidate = on.copy()
            candidate[:, machine] = replan_machine(stage, on, machine)
            cost = stage_total(stage, candidate)
            if cost < total - _STAGE_GAIN_EUR:
                on, total = candidate, cost
        if total > before - _STAGE_GAIN_EUR:
            break
    return on


def sweep_sets(search: Search, stage: Stage, on: Bools, rng: np.random.Generator) -> Bools:
    """Set programmes: over all machines of a small station, over groups of a large one."""
    tables = search.tables
    if tables.count <= search.budget.group + 2:
        search.sweeps += 1
        return repaired(stage, best_sets(stage, on, list(range(tables.count))))
    total = stage_total(stage, on)
    for turn in range(max(2, 3 * tables.count // search.budget.group)):
        if not search.may_sweep():
            break
        search.sweeps += 1
        candidate = repaired(stage, best_sets(stage, on, _group(search, on, turn, rng)))
        cost = stage_total(stage, candidate)
        if cost < total - _STAGE_GAIN_EUR:
            on, total = candidate, cost
    return on


def _group(search: Search, on: Bools, turn: int, rng: np.random.Generator) -> list[int]:
    """Machines to plan together: first those that switch most, then drawn at random."""
    count, size = search.tables.count, search.budget.group
    if turn == 0:
        switches = (on[1:] != on[:-1]).sum(axis=0)
        return sorted(np.argsort(-switches, kind="stable")[:size].tolist())
    return sorted(rng.choice(count, size=size, replace=False).tolist())


def improve(search: Search, on: Bools) -> None:
    """Run the search from a priced schedule; `search.best` holds the result."""
    rng = np.random.default_rng(7)
    charge = search.tables.problem.demand_charge
    target_kw = charge.peak_so_far_kw if charge is not None else np.inf
    answer = search.price(on)
    for turn in range(4):
        if answer is None or not search.may_sweep() or not search.may_price():
            return
        stage = search.stage_of(answer, peak_target_kw=target_kw)
        candidate = sweep_sets(search, stage, search.best_on, rng)
        candidate = sweep_pairs(search, stage, candidate)
        before = search.best.cost_eur if search.best else np.inf
        answer = search.price(candidate)
        if answer is not None and charge is not None:
            target_kw = answer.peak_kw
        if search.best is None or (turn and search.best.cost_eur > before - 1e-6):
            return
