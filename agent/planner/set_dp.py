"""The best sequence of machine sets, minimum times left aside: exact over all subsets of a group.

Start costs are taken one machine at a time (n 2^n work a step instead of 4^n). On small stations
with a useful receiver the pressure joins the state, so that storage is used where it pays.
"""

from __future__ import annotations

import numpy as np

from agent.planner.machine_schedule import FORBIDDEN_EUR
from agent.planner.stage import Stage
from agent.planner.tables import Bools, Floats, Ints, Tables

# Up to so many sets a table of all changes is quicker than going machine by machine.
_CHANGE_SETS = 128


def best_sets(stage: Stage, on: Bools, group: list[int]) -> Bools:
    """Schedule [N, n] with the group's machines at their best, the others as in `on`."""
    tables = stage.tables
    others = on.copy()
    others[:, group] = False
    use = others.astype(float)
    costs = subset_costs(
        stage,
        group,
        others=others,
        full=(stage.full * use).sum(axis=1),
        base=(stage.base * use).sum(axis=1),
        flow=stage.flow,
    )
    chosen = _sequence(tables, costs, group)
    planned = others
    for bit, machine in enumerate(group):
        planned[:, machine] = (chosen >> bit) & 1
    return planned


def subset_costs(
    stage: Stage, group: list[int], *, others: Bools, full: Floats, base: Floats, flow: Floats
) -> Floats:
    """Step costs [N, 2^g] of all subsets of the group on top of `others`, who give full and base."""
    tables = stage.tables
    if tables.real is None:
        power = _hull_power(stage, group, stage.lines(others))
    else:
        power = stage.real_power(subset_bits(stage, group, others), flow[:, None])
    full_s, base_s = full[:, None], base[:, None]
    extra = np.zeros((tables.steps, 1))
    for machine in group:
        full_s = np.concatenate([full_s, full_s + stage.full[:, machine, None]], axis=1)
        base_s = np.concatenate([base_s, base_s + stage.base[:, machine, None]], axis=1)
        off = stage.off_eur[:, machine, None]
        extra = np.concatenate([extra + off, extra + stage.on_eur[:, machine, None]], axis=1)
    return stage.charge(power, full_s, base_s, flow[:, None]) + extra


def _hull_power(stage: Stage, group: list[int], lines: Floats) -> Floats:
    """Power [N, 2^g] on the hulls of all subsets of the group on top of the lines [N, S]."""
    power = np.full((len(lines), 1 << len(group)), -np.inf)
    for s in range(lines.shape[1]):
        line = lines[:, s, None]
        for machine in group:
            line = np.concatenate([line, line + stage.profit_kw[:, s, machine, None]], axis=1)
        np.maximum(power, line, out=power)
    return power


def subset_bits(stage: Stage, group: list[int], others: Bools) -> Ints:
    """Sets of bits [N, 2^g] of all subsets of the group on top of the others' schedule."""
    sets = stage.sets_of(others)[:, None]
    for machine in group:
        sets = np.concatenate([sets, sets | stage.bits[:, machine, None]], axis=1)
    return sets


def _sequence(tables: Tables, costs: Floats, group: list[int]) -> Ints:
    """Cheapest subset per step for step costs [N, 2^g] and start prices."""
    steps, size = costs.shape
    start = tables.start_eur[:, group]
    first = sum(1 << bit for bit, m in enumerate(group) if tables.initially_on[m])
    before = np.empty((steps + 1, size))
    before[0] = FORBIDDEN_EUR * 1e3
    before[0, first] = 0.0
    advance = _by_change if size <= _CHANGE_SETS else _by_machine
    advance(before, costs, start)
    chosen = np.empty(steps, dtype=np.int64)
    here = int(np.argmin(before[steps]))
    for t in range(steps - 1, -1, -1):
        chosen[t] = here
        here = set_before(before[t], start[t], here, float(before[t + 1, here] - costs[t, here]))
    return chosen


def _by_change(before: Floats, costs: Floats, start: Floats) -> None:
    """Fill `before` [N + 1, S] step by step from the price of every change of sets: few sets, two calls a step."""
    size = costs.shape[1]
    bits = (np.arange(size)[:, None] >> np.arange(start.shape[1])) & 1
    work = np.empty((size, size))
    change: dict[bytes, Floats] = {}
    for t in range(len(costs)):
        key = start[t].tobytes()
        if key not in change:
            # [from, to]: what the machines cost that the change starts.
            change[key] = np.einsum("fg,tg,g->ft", 1 - bits, bits, start[t])
        np.add(change[key], before[t][:, None], out=work)
        np.minimum.reduce(work, axis=0, out=before[t + 1])
        before[t + 1] += costs[t]


def _by_machine(before: Floats, costs: Floats, start: Floats) -> None:
    """As `_by_change`, as `switch_in_place` does it: on one work array whose halves are cut once."""
    size, count = costs.shape[1], start.shape[1]
    work, started = np.empty(size), np.empty(size // 2)
    halves = [work.reshape(-1, 2, 1 << bit) for bit in range(count)]
    cuts = [(half[:, 0], half[:, 1], started.reshape(half[:, 0].shape)) for half in halves]
    for t, prices in enumerate(start):
        work[:] = before[t]
        for (off, on, dearer), price in zip(cuts, prices, strict=True):
            np.add(off, price, out=dearer)
            np.minimum(off, on, out=off)
            np.minimum(on, dearer, out=on)
        np.add(work, costs[t], out=before[t + 1])


def switch_in_place(value: Floats, start_eur: list[float]) -> None:
    """Cheapest cost of each set after switching [2^g, L]: stopping is free, starting costs."""
    for bit, price in enumerate(start_eur):
        halves = value.reshape(-1, 2, 1 << bit, value.shape[-1])
        off, on = halves[:, 0], halves[:, 1]
        started = off + price
        np.minimum(off, on, out=off)
        np.minimum(on, started, out=on)


def set_before(before: Floats, start_eur: Floats, after: int, reached: float) -> int:
    """The set [of 2^g costs `before`] from which `after` was reached most cheaply, at `reached`.

    Among equals the same set again, then the lowest.
    """
    if before[after] <= reached + 1e-9:
        return after
    started = np.zeros(1)
    for bit, price in enumerate(start_eur.tolist()):
        added = price if after >> bit & 1 else 0.0
        started = np.concatenate([started + added, started])
    return int(np.argmin(before + started))
