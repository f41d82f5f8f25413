"""From the greedy schedule to a near-optimal one: the order of the search.

First the machine sets (with the receiver's pressure where that matters), then rounds along the
storage path of the best dispatch: sets and pressure again, pairs, and small changes priced by
dispatch. docs/planner.md tells why in this order and what each part is worth.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from random import Random

import numpy as np

from agent.planner.coarse import block_starts, coarsened
from agent.planner.commit import greedy
from agent.planner.dispatch import Dispatch
from agent.planner.kicks import flip_blocks, kick
from agent.planner.levels import (
    best_sets_and_levels,
    corridor_grid,
    even_grid,
    slack_kw,
    storage_matters,
)
from agent.planner.one_machine import replan_machine
from agent.planner.polish import polish
from agent.planner.search import LEAST_GAIN_EUR, Search, faulty_machines, repaired
from agent.planner.set_dp import best_sets
from agent.planner.stage import Stage, delivered_flow, flat_path, make_stage, stage_total
from agent.planner.tables import Bools, Floats, Tables, compile_tables

# Up to this many machines the pressure joins the programme over all sets.
LEVEL_MACHINES = 6
# Above it, groups of this many are planned with the pressure.
LEVEL_GROUP = 5
# How far the storage is taken as a trader when pairs and small changes are proposed.
PAIR_ELASTICITIES = (0.3, 0.1)
CHANGE_ELASTICITIES = (0.1,)
# Peak targets to try, as shares of the way from the present peak down to the one already paid.
TARGET_SHARES = (0.0, 0.1, 0.3, 0.6)
LARGE_TARGET_SHARES = (0.0, 0.3)
# Pressure programmes in a row: repeated along the new path, or over different groups.
LEVEL_TURNS = 2
# A peak paid already is no target where it is a smaller share of what no schedule undercuts: the first days of a month.
# One that is nearer still is: without it one of 104 stations lost 0.9 %.
OUT_OF_REACH_SHARE = 0.5
MOST_ROUNDS = 12
# Merged steps are used where they are at most this share of the steps, with this share of the budget.
MERGED_SHARE = 0.75
MERGED_BUDGET = 0.2
# A smaller budget is spent on merged steps only where they are few.
MERGED_LEAST_SWEEPS = 20
MERGED_SMALL_SHARE = 0.4
FLIPS = 12
# Stage costs differ by less than this through rounding.
_STAGE_GAIN_EUR = 1e-5


def improve(search: Search, on: Bools) -> None:
    """Search from a schedule to be priced; `search.best` holds the result."""
    search.price(on)
    if search.best is None or not search.may_sweep():
        return
    rng = Random(7)
    _from_merged_steps(search)
    _first(search, on, rng)
    _rounds(search, rng)


def _first(search: Search, on: Bools, rng: Random) -> None:
    """Sets of machines, with the receiver's pressure where it matters, under the paid peak or, far above it, the present one."""
    tables = search.tables
    if search.best is None:
        return
    target_kw = _paid_peak(search)
    if target_kw < OUT_OF_REACH_SHARE * _least_peak_kw(tables):
        # Each step above its target is charged the whole peak's price: air that is missing would look cheaper.
        target_kw = _best_peak(search)
    stage = search.stage_of(search.best, peak_target_kw=target_kw)
    if storage_matters(tables) and tables.count <= LEVEL_MACHINES:
        everyone = list(range(tables.count))
        search.price(*sweep_levels(search, stage, on, everyone, even_grid(tables, search.budget.levels)))
    else:
        search.price(sweep_pairs(search, stage, sweep_sets(search, stage, on, rng)))


def _from_merged_steps(search: Search) -> None:
    """Price the schedule of the problem on merged steps, where there is something to merge.

    Its programmes and sweeps count as the share of the steps that they work on.
    """
    tables = search.tables
    starts = block_starts(tables)
    most = MERGED_SHARE if search.budget.sweeps >= MERGED_LEAST_SWEEPS else MERGED_SMALL_SHARE
    if len(starts) > most * tables.steps:
        return
    share = len(starts) / tables.steps
    merged = compile_tables(coarsened(tables, starts))
    budget = replace(
        search.budget,
        lps=max(int(search.budget.lps * MERGED_BUDGET / share), 2),
        sweeps=max(int(search.budget.sweeps * MERGED_BUDGET / share), 2),
        kicks=0,
    )
    coarse = Search(merged, Dispatch(merged), budget)
    improve(coarse, greedy(merged, flat_path(merged)[0]))
    search.lps += int(np.ceil(coarse.lps * share))
    search.sweeps += int(np.ceil(coarse.sweeps * share))
    if coarse.best is not None:
        lengths = np.diff(np.append(starts, tables.steps))
        expanded = np.repeat(coarse.best_on, lengths, axis=0)
        if not faulty_machines(tables, expanded):
            search.price(expanded)


def improve_from(search: Search, on: Bools) -> None:
    """Search in the neighbourhood of a good schedule: rounds alone."""
    search.price(on)
    if search.best is not None:
        _rounds(search, Random(7))


def _rounds(search: Search, rng: Random) -> None:
    """Go round the moves until a whole round has gained nothing, or the budget is used up."""
    moves = _moves(search, rng)
    idle = 0
    for turn in range(MOST_ROUNDS * len(moves)):
        if search.best is None or not search.may_sweep() or not search.may_price():
            return
        before = search.best.cost_eur
        moves[turn % len(moves)]()
        idle = 0 if search.best.cost_eur < before - LEAST_GAIN_EUR else idle + 1
        if idle >= len(moves):
            return


def _moves(search: Search, rng: Random) -> list[Callable[[], None]]:
    """The moves of a round, coarse ones first."""

    def plan_sets() -> None:
        if search.best is not None:
            stage = search.stage_of(search.best, peak_target_kw=_best_peak(search))
            candidate = sweep_sets(search, stage, search.best_on, rng)
            search.price(sweep_pairs(search, stage, candidate))

    def plan_levels(share: float) -> None:
        if share == 0.0 or _best_peak(search) > _paid_peak(search) + 1e-6:
            _level_round(search, share, rng)

    moves: list[Callable[[], None]] = [plan_sets]
    if storage_matters(search.tables):
        shares: tuple[float, ...] = (
            TARGET_SHARES if search.tables.count <= LEVEL_MACHINES else LARGE_TARGET_SHARES
        )
        if search.tables.problem.demand_charge is None:
            shares = (0.0,)
        moves = [partial(plan_levels, share) for share in shares]
    moves += [partial(price_pairs, search, elastic) for elastic in PAIR_ELASTICITIES]
    moves.append(lambda: flip_blocks(search, _best_peak(search), tries=FLIPS))
    moves += [partial(_polish, search, elastic) for elastic in CHANGE_ELASTICITIES]
    moves.append(lambda: kick(search, _best_peak(search), pairs_once, tries=search.budget.kicks))
    return moves


def _polish(search: Search, elastic: float) -> None:
    while polish(search, elastic, _best_peak(search), tries=12):
        pass


def _level_round(search: Search, share: float, rng: Random) -> None:
    """Sets and pressure along the best path, everyone or some groups, under one peak target."""
    tables = search.tables
    small = tables.count <= LEVEL_MACHINES
    for turn in range(LEVEL_TURNS):
        if search.best is None or not search.may_sweep() or not search.may_price():
            return
        before = search.best.cost_eur
        peak, paid = _best_peak(search), _paid_peak(search)
        target = peak - share * (peak - paid) + slack_kw(tables) if np.isfinite(peak) else peak
        stage = search.stage_of(search.best, peak_target_kw=target)
        group = list(range(tables.count)) if small else _group(search, search.best_on, turn, rng, LEVEL_GROUP)
        grid = corridor_grid(tables, search.best.pressure, narrow=not small)
        search.price(*sweep_levels(search, stage, search.best_on, group, grid))
        if small and search.best.cost_eur > before - LEAST_GAIN_EUR:
            return


def _paid_peak(search: Search) -> float:
    charge = search.tables.problem.demand_charge
    return charge.peak_so_far_kw if charge is not None else np.inf


def _least_peak_kw(tables: Tables) -> float:
    """A billing peak that no schedule undercuts, storage aside: all air by the best machine at its best, [kW]."""
    kw_min_m3 = min(
        p.power_kw / p.flow_m3_min for m in tables.problem.machines for p in m.curve if p.flow_m3_min > 0.0
    )
    energy_kwh = (kw_min_m3 * tables.demand + tables.other_kw) * tables.hours
    mean_kw = np.bincount(tables.interval_of_step, weights=energy_kwh) / tables.interval_hours
    return float(mean_kw.max())


def _best_peak(search: Search) -> float:
    if search.best is None or search.tables.problem.demand_charge is None:
        return np.inf
    return search.best.peak_kw


def sweep_levels(
    search: Search, stage: Stage, on: Bools, group: list[int], grid: Floats
) -> tuple[Bools, Floats | None]:
    """Sets and receiver pressure of a group together, then pairs along the pressure found."""
    if not search.may_sweep():
        return on, None
    search.sweeps += 1
    tables = search.tables
    planned, pressure = best_sets_and_levels(stage, on, group, grid)
    along = make_stage(
        tables,
        delivered=delivered_flow(tables, pressure),
        pressure=pressure,
        peak_target_kw=stage.peak_target_kw,
    )
    return sweep_pairs(search, along, repaired(along, planned, group)), pressure


def sweep_sets(search: Search, stage: Stage, on: Bools, rng: Random) -> Bools:
    """Set programmes: over all machines of a small station, over groups of a large one."""
    count, size = search.tables.count, search.budget.group
    if not search.may_sweep():
        return on
    if count <= size + 2:
        search.sweeps += 1
        return repaired(stage, best_sets(stage, on, list(range(count))))
    total = stage_total(stage, on)
    # A small budget keeps most of its sweeps for the receiver and the pairs.
    for turn in range(max(2, min(3 * count // size, search.budget.sweeps // 3))):
        if not search.may_sweep():
            break
        search.sweeps += 1
        candidate = best_sets(stage, on, _group(search, on, turn, rng, size))
        candidate = repaired(stage, candidate)
        cost = stage_total(stage, candidate)
        if cost < total - _STAGE_GAIN_EUR:
            on, total = candidate, cost
    return on


def _group(search: Search, on: Bools, turn: int, rng: Random, size: int) -> list[int]:
    """Machines to plan together: first those that switch most, then drawn at random."""
    count = search.tables.count
    size = min(size, count)
    if turn == 0:
        switches = (on[1:] != on[:-1]).sum(axis=0)
        chosen: list[int] = np.argsort(-switches, kind="stable")[:size].tolist()
    else:
        chosen = rng.sample(range(count), size)
    return sorted(chosen)


def pairs_once(search: Search, stage: Stage, on: Bools) -> Bools:
    """One sweep over the pairs of machines."""
    return sweep_pairs(search, stage, on, at_most=1)


def sweep_pairs(search: Search, stage: Stage, on: Bools, *, at_most: int | None = None) -> Bools:
    """Re-plan pairs of machines until nothing gains or the sweeps are used up."""
    if search.tables.count < 2:
        return sweep_singles(search, stage, on)
    total = stage_total(stage, on)
    for _ in range(search.budget.pair_turns if at_most is None else at_most):
        if not search.may_sweep():
            break
        search.sweeps += 1
        before = total
        for plan in search.pair_programme(on).best(stage, on, least_gain_eur=_STAGE_GAIN_EUR, at_most=5):
            candidate = on.copy()
            candidate[:, plan.first] = plan.on_first
            candidate[:, plan.second] = plan.on_second
            candidate = repaired(stage, candidate, (plan.first, plan.second))
            cost = stage_total(stage, candidate)
            if cost < total - _STAGE_GAIN_EUR:
                on, total = candidate, cost
        if total == before:
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
        if total == before:
            break
    return on


def price_pairs(search: Search, elastic: float) -> None:
    """Price the most promising re-planned pairs one by one, keep what gains, until none does."""
    if search.tables.count < 2:
        return
    while search.best is not None and search.may_sweep() and search.may_price():
        before = search.best.cost_eur
        stage = search.stage_of(search.best, peak_target_kw=_best_peak(search), elastic=elastic)
        search.sweeps += 1
        on = search.best_on
        for plan in search.pair_programme(on).best(stage, on, least_gain_eur=_STAGE_GAIN_EUR, at_most=6):
            candidate = search.best_on.copy()
            candidate[:, plan.first] = plan.on_first
            candidate[:, plan.second] = plan.on_second
            search.price(repaired(stage, candidate, (plan.first, plan.second)))
        if search.best.cost_eur > before - LEAST_GAIN_EUR:
            return
