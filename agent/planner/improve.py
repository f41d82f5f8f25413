"""From the greedy schedule to a near-optimal one: the search's programme, in order.

Rounds of (machine sets, pairs, dispatch) along the storage path of the last dispatch, then
polishing priced by dispatch. docs/planner.md tells why this order.
"""

from __future__ import annotations

import numpy as np

from agent.planner.one_machine import replan_machine
from agent.planner.polish import polish
from agent.planner.search import Search, repaired
from agent.planner.set_dp import best_sets
from agent.planner.levels import best_sets_and_levels, corridor_grid, even_grid, slack_kw, storage_matters
from agent.planner.stage import Stage, delivered_flow, make_stage, switching_eur
from agent.planner.tables import FORBIDDEN_EUR, Bools, Floats

_STAGE_GAIN_EUR = 1e-5
LEVEL_MACHINES = 6
ELASTIC = (0.0, 0.3, 0.1, 0.03)
TARGET_SHARES = (0.0, 0.1, 0.3, 0.6)
POLISH = (0.03, 0.2, 1.0)


def stage_total(stage: Stage, on: Bools) -> float:
    """Cost of a schedule in stage terms; FORBIDDEN_EUR for each must that is missed."""
    tables = stage.tables
    missed = float((tables.must_on & ~on).sum())
    return float(stage.cost(on).sum() + switching_eur(tables, on).sum()) + FORBIDDEN_EUR * missed


def sweep_pairs(search: Search, stage: Stage, on: Bools) -> Bools:
    """Re-plan pairs of machines until nothing gains or the sweeps are used up."""
    if search.tables.count < 2:
        return sweep_singles(search, stage, on)
    total = stage_total(stage, on)
    while search.may_sweep():
        search.sweeps += 1
        plans = search.pair_programme(on).best(
            stage, on, least_gain_eur=_STAGE_GAIN_EUR, at_most=5
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
    size = search.budget.group
    for turn in range(max(2, 3 * tables.count // search.budget.group)):
        if not search.may_sweep():
            break
        search.sweeps += 1
        candidate = repaired(stage, best_sets(stage, on, _group(search, on, turn, rng, size)))
        cost = stage_total(stage, candidate)
        if cost < total - _STAGE_GAIN_EUR:
            on, total = candidate, cost
    return on


def _group(
    search: Search, on: Bools, turn: int, rng: np.random.Generator, size: int
) -> list[int]:
    """Machines to plan together: first those that switch most, then drawn at random."""
    count = search.tables.count
    if turn == 0:
        switches = (on[1:] != on[:-1]).sum(axis=0)
        return sorted(np.argsort(-switches, kind="stable")[:size].tolist())
    return sorted(rng.choice(count, size=size, replace=False).tolist())


def sweep_levels(
    search: Search, stage: Stage, on: Bools, group: list[int], grid: Floats
) -> Bools:
    """Sets and receiver pressure of a group together, then pairs along the pressure found."""
    search.sweeps += 1
    first, pressure = best_sets_and_levels(stage, on, group, grid)
    along = make_stage(
        search.tables,
        delivered=delivered_flow(search.tables, pressure),
        pressure=pressure,
        peak_target_kw=stage.peak_target_kw,
    )
    return sweep_pairs(search, along, repaired(along, first))


def improve(search: Search, on: Bools) -> None:
    """Run the search from a priced schedule; `search.best` holds the result."""
    rng = np.random.default_rng(7)
    tables = search.tables
    charge = tables.problem.demand_charge
    target_kw = charge.peak_so_far_kw if charge is not None else np.inf
    answer = search.price(on)
    if answer is None:
        return
    everyone = list(range(tables.count))
    with_storage = storage_matters(tables)
    small = tables.count <= LEVEL_MACHINES
    stage = search.stage_of(answer, peak_target_kw=target_kw)
    if small and with_storage:
        candidate = sweep_levels(search, stage, search.best_on, everyone, even_grid(tables))
    else:
        candidate = sweep_sets(search, stage, search.best_on, rng)
        candidate = sweep_pairs(search, stage, candidate)
    search.price(candidate)
    for turn in range(12):
        if search.best is None or not search.may_sweep() or not search.may_price():
            return
        before = search.best.cost_eur
        if with_storage:
            for share in TARGET_SHARES if charge is not None else (0.0,):
                for inner in range(3 if small else 4):
                    last = search.best.cost_eur
                    if charge is not None:
                        target_kw = search.best.peak_kw - share * (
                            search.best.peak_kw - charge.peak_so_far_kw
                        ) + slack_kw(tables)
                    stage = search.stage_of(search.best, peak_target_kw=target_kw)
                    grid = corridor_grid(tables, search.best.pressure)
                    group = (
                        everyone
                        if small
                        else _group(search, search.best_on, turn + inner, rng, 5)
                    )
                    search.price(sweep_levels(search, stage, search.best_on, group, grid))
                    if small and search.best.cost_eur > last - 1e-6:
                        break
            if charge is not None:
                target_kw = search.best.peak_kw
        else:
            stage = search.stage_of(search.best, peak_target_kw=target_kw)
            candidate = search.best_on
            if turn == 0:
                candidate = sweep_sets(search, stage, candidate, rng)
            search.price(sweep_pairs(search, stage, candidate))
        for elastic in ELASTIC:
            price_pairs(search, elastic, target_kw)
        for elastic in POLISH:
            while polish(search, elastic, target_kw, tries=12):
                pass
        if search.best.cost_eur > before - 1e-6:
            return


def price_pairs(search: Search, elastic: float, target_kw: float) -> None:
    """Price the most promising re-planned pairs one by one, keep what gains, until none does."""
    if search.tables.count < 2:
        return
    while search.best is not None and search.may_sweep() and search.may_price():
        before = search.best.cost_eur
        on = search.best_on
        stage = search.stage_of(search.best, peak_target_kw=target_kw, elastic=elastic)
        search.sweeps += 1
        plans = search.pair_programme(on).best(
            stage, on, least_gain_eur=_STAGE_GAIN_EUR, at_most=6
        )
        for plan in plans:
            candidate = search.best_on.copy()
            candidate[:, plan.first] = plan.on_first
            candidate[:, plan.second] = plan.on_second
            search.price(repaired(stage, candidate))
        if search.best.cost_eur > before - 1e-6:
            return
