"""The best sequence of machine sets and receiver pressures on a small station, minimum times aside.

Where the receiver can carry a good part of a step's flow, which machines run and when it is filled
is one question. The pressure is cut into levels; a step's flow follows from the level it begins
and the level it ends with.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.planner.dispatch import pressure_band
from agent.planner.machine_schedule import FORBIDDEN_EUR
from agent.planner.set_dp import set_before, subset_bits, switch_in_place
from agent.planner.stage import Stage, narrowed
from agent.planner.tables import Bools, Floats, Tables

# A level programme pays where the band holds more than this share of a step's full flow.
_USEFUL_SHARE = 0.03
# Corridor around a path, in shares of the band: fine near the path, coarse away from it.
_CORRIDOR = (-0.45, -0.2, -0.08, -0.03, 0.0, 0.03, 0.08, 0.2, 0.45)
_NARROW_CORRIDOR = (-0.3, -0.1, -0.03, 0.0, 0.03, 0.1, 0.3)
_FINEST = 0.03


def storage_matters(tables: Tables) -> bool:
    """Does the band between least and highest pressure hold a noticeable share of a step's flow?"""
    receiver = tables.problem.receiver
    band_bar = receiver.pressure_max_bar - receiver.pressure_min_bar
    held_m3 = receiver.volume_m3 / receiver.atmosphere_bar * band_bar
    step_m3 = float(tables.flow_full.sum()) * tables.usual_step_min
    return held_m3 > _USEFUL_SHARE * step_m3


def slack_kw(tables: Tables) -> float:
    """Power [kW] that the grid's coarseness moves: a peak exceeded by less is no peak."""
    receiver = tables.problem.receiver
    machines = tables.problem.machines
    specific = sum(m.curve[-1].power_kw for m in machines) / max(sum(tables.flow_full), 1e-9)
    band_bar = receiver.pressure_max_bar - receiver.pressure_min_bar
    spacing_m3 = receiver.volume_m3 / receiver.atmosphere_bar * band_bar * _FINEST
    return float(specific * spacing_m3 / tables.usual_step_min)


def even_grid(tables: Tables, levels: int) -> Floats:
    """Levels [N + 1, levels] spread evenly over the band; row 0 is the starting pressure."""
    low, high = pressure_band(tables)
    shares = np.linspace(0.0, 1.0, levels)
    grid = low[:, None] + (high - low)[:, None] * shares
    receiver = tables.problem.receiver
    # The starting pressure and the one wanted at the end are levels of their own.
    for wanted in (receiver.pressure_init_bar, receiver.pressure_end_min_bar):
        inside = np.clip(wanted, low, high)
        nearest = np.argmin(np.abs(grid - inside[:, None]), axis=1)
        grid[np.arange(tables.steps), nearest] = inside
    return _with_start(tables, grid)


def corridor_grid(tables: Tables, pressure: Floats, *, narrow: bool = False) -> Floats:
    """Levels [N + 1, L] around a path [N] of end-of-step pressures; row 0 is the start.

    `narrow` takes fewer levels: half the work.
    """
    low, high = pressure_band(tables)
    shares = np.array(_NARROW_CORRIDOR if narrow else _CORRIDOR)
    grid = pressure[:, None] + (high - low)[:, None] * shares
    return _with_start(tables, np.clip(grid, low[:, None], high[:, None]))


def _with_start(tables: Tables, grid: Floats) -> Floats:
    start = np.full((1, grid.shape[1]), tables.problem.receiver.pressure_init_bar)
    return np.concatenate([start, grid])


def best_sets_and_levels(stage: Stage, on: Bools, group: list[int], grid: Floats) -> tuple[Bools, Floats]:
    """Schedule [N, n] and end-of-step pressure [N]: the group at its best, the others as in `on`.

    `grid` [N + 1, L] are the pressures to choose from at the start and at the end of each step.
    """
    tables = stage.tables
    receiver = tables.problem.receiver
    steps, count = tables.steps, len(group)
    size, levels = 1 << count, grid.shape[1]
    others = on.copy()
    others[:, group] = False
    store = receiver.volume_m3 / receiver.atmosphere_bar / tables.step_min
    leak = receiver.leak_m3_min_bar * (grid[1:] - receiver.pressure_ref_bar)
    manual = (tables.forced_flow * tables.is_forced_flow).sum(axis=1)
    # flow [N, level before, level after]
    flow = (
        (tables.demand - manual)[:, None, None]
        + leak[:, None, :]
        + store[:, None, None] * (grid[1:, None, :] - grid[:-1, :, None])
    )
    costs = _costs(stage, others, group, flow, grid[1:])
    first = sum(1 << bit for bit, m in enumerate(group) if tables.initially_on[m])
    value = np.full((size, levels), FORBIDDEN_EUR * 1e3)
    value[first] = 0.0
    start = tables.start_eur[:, group]
    before = np.empty((steps, size, levels))
    switched = np.empty((steps, size, levels))
    reached = np.empty((levels, size, levels))
    for t in range(steps):
        before[t] = value
        switched[t] = value
        switch_in_place(switched[t], start[t].tolist())
        np.add(switched[t].T[:, :, None], costs[t], out=reached)
        value = reached.min(axis=0)
    chosen = np.empty(steps, dtype=np.int64)
    pressure = np.empty(steps)
    here, level = (int(x) for x in np.unravel_index(int(np.argmin(value)), value.shape))
    for t in range(steps - 1, -1, -1):
        chosen[t], pressure[t] = here, grid[t + 1, level]
        level = int(np.argmin(switched[t, here] + costs[t, :, here, level]))
        here = set_before(before[t, :, level], start[t], here, float(switched[t, here, level]))
    planned = others
    planned[:, group] = (chosen[:, None] >> np.arange(count)[None, :]) & 1
    return planned, pressure


def _hull_power(
    stage: Stage, use: NDArray[Any], group: list[int], flows: NDArray[Any], shape: tuple[int, ...]
) -> NDArray[Any]:
    """Power [N, level before, 2^g, level after] on the convex hulls."""
    profit_before = np.einsum("tsn,tn->ts", stage.profit_kw, use)
    power: NDArray[Any] = np.full(shape, -np.inf, dtype=np.float32)
    line = np.empty(shape, dtype=np.float32)
    for s in range(stage.slopes.shape[1]):
        profit = profit_before[:, s, None]
        for machine in group:
            profit = np.concatenate([profit, profit + stage.profit_kw[:, s, machine, None]], axis=1)
        sloped = stage.slopes[:, s, None, None, None] * flows
        np.add(sloped, profit[:, None, :, None], out=line)
        np.maximum(power, line, out=power)
    return power


def _costs(stage: Stage, others: Bools, group: list[int], flow: Floats, grid: Floats) -> Floats:
    """Step costs [N, level before, 2^g, level after]; `grid` [N, L] at the ends of the steps.

    In single precision: these costs only propose, and half the memory is half the time.
    """
    stage = narrowed(stage)
    flow = flow.astype(np.float32)
    grid = grid.astype(np.float32)
    tables = stage.tables
    steps, levels, size = tables.steps, grid.shape[1], 1 << len(group)
    use = others.astype(np.float32)
    pressure_kw = tables.problem.receiver.power_kw_bar * (grid - tables.problem.receiver.pressure_ref_bar)
    flows = flow[:, :, None, :]
    if tables.real is None:
        power = _hull_power(stage, use, group, flows, (steps, levels, size, levels))
    else:
        sets = subset_bits(stage, group, others)[:, None, :, None]
        power = stage.real_power(sets, flows).astype(np.float32)
    full = (stage.full * use).sum(axis=1, keepdims=True)
    base = (stage.base * use).sum(axis=1, keepdims=True)
    extra = np.zeros((steps, 1), dtype=np.float32)
    for machine in group:
        full = np.concatenate([full, full + stage.full[:, machine, None]], axis=1)
        base = np.concatenate([base, base + stage.base[:, machine, None]], axis=1)
        off = stage.off_eur[:, machine, None]
        extra = np.concatenate([extra + off, extra + stage.on_eur[:, machine, None]], axis=1)
    # The stage's own pressure term belongs to its path: exchange it for the level's.
    above = pressure_kw[:, None, None, :]
    shift = above - (stage.fixed_kw - stage.manual_kw)[:, None, None, None]
    cost = stage.charge_at(power, full[:, None, :, None], base[:, None, :, None], flows, shift)
    cost += extra[:, None, :, None] + stage.energy_eur_kw[:, None, None, None] * above
    return cost
