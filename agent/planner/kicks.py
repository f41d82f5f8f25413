"""Leaving a local optimum: force a run away or a pause shut, plan the others around it, price it.

Every run and pause of the best schedule is a kick. Those that the stage costs think cheapest come
first; a kick that gains is kept at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np

from agent.planner.one_machine import machine_costs
from agent.planner.polish import Change, flipped
from agent.planner.search import LEAST_GAIN_EUR, Search, faulty_machines, repaired
from agent.planner.stage import Stage, stage_total
from agent.planner.tables import Bools, Tables

# Added to the wrong state while a change is forced: above any gain, small in single precision.
_FORCE_EUR = 1e3
# A kick that costs more than this share of the plan is not followed up.
_HOPELESS_SHARE = 0.006


def blocks(tables: Tables, on: Bools) -> list[Change]:
    """Every run and every pause of every machine that no window fixes, as a change."""
    found: list[Change] = []
    for machine in range(tables.count):
        series = on[:, machine]
        edges = np.flatnonzero(series[1:] != series[:-1]) + 1
        bounds = [0, *edges.tolist(), tables.steps]
        for begin, end in pairwise(bounds):
            fixed = tables.must_on if series[begin] else tables.must_off
            if not fixed[begin:end, machine].any():
                found.append(Change(0.0, (machine,), begin, end))
    return found


def ranked(stage: Stage, on: Bools, found: list[Change]) -> list[Change]:
    """The changes with what they cost on the stage, others unchanged, cheapest first."""
    sums: dict[int, np.ndarray] = {}
    for machine in {change.machines[0] for change in found}:
        off_eur, on_eur = machine_costs(stage, on, machine)
        turn = np.where(on[:, machine], off_eur - on_eur, on_eur - off_eur)
        sums[machine] = np.concatenate([[0.0], np.cumsum(turn)])
    return sorted(
        Change(
            float(sums[c.machines[0]][c.end] - sums[c.machines[0]][c.begin]),
            c.machines,
            c.begin,
            c.end,
        )
        for c in found
    )


def forced(stage: Stage, on: Bools, change: Change) -> Stage:
    """The stage with the change's opposite made dear."""
    on_eur = stage.on_eur.copy()
    machine = change.machines[0]
    wrong = _FORCE_EUR if on[change.begin, machine] else -_FORCE_EUR
    on_eur[change.begin : change.end, machine] += wrong
    return replace(stage, on_eur=on_eur)


def flip_blocks(search: Search, peak_kw: float, *, tries: int) -> None:
    """Price runs dropped and pauses filled, nothing else changed, until `tries` in a row miss."""
    if search.best is None:
        return
    stage = search.stage_of(search.best, peak_target_kw=peak_kw)
    misses = 0
    for change in ranked(stage, search.best_on, blocks(search.tables, search.best_on)):
        if not search.may_price() or misses >= tries:
            break
        candidate = flipped(search.best_on, change)
        if not faulty_machines(search.tables, candidate, change.machines):
            before = search.best.cost_eur
            search.price(candidate)
            misses = 0 if search.best.cost_eur < before - LEAST_GAIN_EUR else misses + 1


def kick(
    search: Search,
    peak_kw: float,
    plan_around: Callable[[Search, Stage, Bools], Bools],
    *,
    tries: int,
) -> None:
    """Force the cheapest changes one by one, plan around each, keep what gains."""
    if search.best is None:
        return
    stage = search.stage_of(search.best, peak_target_kw=peak_kw)
    present = stage_total(stage, search.best_on)
    for change in ranked(stage, search.best_on, blocks(search.tables, search.best_on))[:tries]:
        if not search.may_sweep() or not search.may_price():
            break
        machine, on = change.machines[0], search.best_on
        if on[change.begin : change.end, machine].any() != on[change.begin, machine]:
            continue
        bent = forced(stage, on, change)
        candidate = repaired(bent, flipped(on, change), change.machines)
        candidate = plan_around(search, bent, candidate)
        if stage_total(stage, candidate) > present + _HOPELESS_SHARE * abs(present):
            continue
        before = search.best.cost_eur
        answer = search.price(candidate)
        if answer is not None and before <= answer.cost_eur < before * (1 + _HOPELESS_SHARE):
            along = search.stage_of(answer, peak_target_kw=peak_kw)
            search.price(plan_around(search, forced(along, on, change), candidate))
        if search.best.cost_eur < before - LEAST_GAIN_EUR:
            stage = search.stage_of(search.best, peak_target_kw=peak_kw)
            present = stage_total(stage, search.best_on)
