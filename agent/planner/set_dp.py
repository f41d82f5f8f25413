"""The best sequence of machine sets, minimum times left aside: exact over all subsets of a group.

Start costs are taken one machine at a time (n 2^n work a step instead of 4^n). On small stations
with a useful receiver the pressure joins the state, so that storage is used where it pays.
"""

from __future__ import annotations

import numpy as np

from agent.planner.dispatch import pressure_band
from agent.planner.stage import Stage
from agent.planner.tables import FORBIDDEN_EUR, Bools, Floats, Ints, Tables


def best_sets(stage: Stage, on: Bools, group: list[int]) -> Bools:
    """Schedule [N, n] with the group's machines at their best, the others as in `on`."""
    tables = stage.tables
    others = on.copy()
    others[:, group] = False
    use = others.astype(float)
    costs = subset_costs(
        stage,
        group,
        lines=stage.lines(others),
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
    stage: Stage, group: list[int], *, lines: Floats, full: Floats, base: Floats, flow: Floats
) -> Floats:
    """Step costs [N, 2^g] of all subsets of the group on top of machines given by lines, full, base."""
    tables = stage.tables
    power = None
    for s in range(lines.shape[1]):
        line = lines[:, s, None]
        for machine in group:
            line = np.concatenate([line, line + stage.profit_kw[:, s, machine, None]], axis=1)
        power = line if power is None else np.maximum(power, line, out=power)
    assert power is not None
    full_s, base_s = full[:, None], base[:, None]
    extra = np.zeros((tables.steps, 1))
    for machine in group:
        full_s = np.concatenate([full_s, full_s + stage.full[:, machine, None]], axis=1)
        base_s = np.concatenate([base_s, base_s + stage.base[:, machine, None]], axis=1)
        off = np.where(tables.must_on[:, machine], FORBIDDEN_EUR, 0.0)[:, None]
        extra = np.concatenate([extra + off, extra + stage.on_eur[:, machine, None]], axis=1)
    return stage.charge(power, full_s, base_s, flow[:, None]) + extra


def _sequence(tables: Tables, costs: Floats, group: list[int]) -> Ints:
    """Cheapest subset per step for step costs [N, 2^g] and start prices."""
    steps, size = costs.shape
    bits = len(group)
    start = tables.start_eur[:, group]
    subsets = np.arange(size)
    first = sum(1 << bit for bit, m in enumerate(group) if tables.initially_on[m])
    value = np.full(size, FORBIDDEN_EUR * 1e3)
    value[first] = 0.0
    came = np.empty((steps, size), dtype=np.int64)
    for t in range(steps):
        source = subsets.copy()
        for bit in range(bits):
            # Axis 1 of the reshaped view is the bit: stopping is free, starting costs.
            cost = value.reshape(-1, 2, 1 << bit)
            back = source.reshape(-1, 2, 1 << bit)
            off, on = cost[:, 0], cost[:, 1]
            started = off + start[t, bit]
            stop, begin = on < off, started < on
            off_source, on_source = back[:, 0].copy(), back[:, 1].copy()
            value = np.stack([np.where(stop, on, off), np.where(begin, started, on)], axis=1)
            source = np.stack(
                [
                    np.where(stop, on_source, off_source),
                    np.where(begin, off_source, on_source),
                ],
                axis=1,
            )
            value, source = value.reshape(-1), source.reshape(-1)
        came[t] = source
        value = value + costs[t]
    chosen = np.empty(steps, dtype=np.int64)
    here = int(np.argmin(value))
    for t in range(steps - 1, -1, -1):
        chosen[t] = here
        here = int(came[t, here])
    return chosen
