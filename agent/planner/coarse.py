"""The problem on longer steps: short steps merged, for a first schedule on fine grids.

On steps of minutes the receiver moves little in one step and much in an hour; a programme that
looks step by step misses that. Merged steps see it, and cost less. What they find is a schedule of
the fine problem as well, since merged steps begin where fine ones do.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from agent.planner.problem import ForcedFlow, Inertia, StationProblem, Window
from agent.planner.tables import Floats, Ints, Tables

# Merged steps are at most this long.
BLOCK_MIN = 15.0


def block_starts(tables: Tables) -> Ints:
    """First step of every merged step; windows, planned inertia and billing intervals are kept."""
    keep = np.zeros(tables.steps, dtype=bool)
    keep[0] = True
    forced = np.where(tables.is_forced_flow, tables.forced_flow, -1.0)
    for flags in (tables.must_on, tables.must_off, forced):
        keep[1:] |= (flags[1:] != flags[:-1]).any(axis=1)
    keep[1:] |= tables.interval_of_step[1:] != tables.interval_of_step[:-1]
    starts = [0]
    for step in range(1, tables.steps):
        length = tables.start_min[step + 1] - tables.start_min[starts[-1]]
        if keep[step] or length > BLOCK_MIN + 1e-9:
            starts.append(step)
    return np.array(starts)


def coarsened(tables: Tables, starts: Ints) -> StationProblem:
    """The problem on the merged steps: means of demand, reserve, prices and loads over time."""
    problem = tables.problem
    hours = np.add.reduceat(tables.hours, starts)

    def mean(series: tuple[float, ...]) -> tuple[float, ...]:
        values: Floats = np.add.reduceat(np.array(series) * tables.hours, starts) / hours
        return tuple(values.tolist())

    block_of = np.searchsorted(starts, np.arange(tables.steps + 1), side="right") - 1
    block_of[-1] = len(starts)

    def window(first: int, end: int) -> tuple[int, int]:
        return int(block_of[min(first, tables.steps)]), int(block_of[min(end, tables.steps)])

    machines = tuple(
        replace(
            machine,
            unavailable=tuple(Window(*window(*one)) for one in machine.unavailable),
            forced_on=tuple(Window(*window(*one)) for one in machine.forced_on),
            forced_flow=tuple(
                ForcedFlow(*window(one.first_step, one.end_step), one.flow_m3_min)
                for one in machine.forced_flow
            ),
        )
        for machine in problem.machines
    )
    return replace(
        problem,
        step_min=tuple((60.0 * hours).tolist()),
        demand_m3_min=mean(problem.demand_m3_min),
        reserve_m3_min=mean(problem.reserve_m3_min),
        energy_price_eur_kwh=mean(problem.energy_price_eur_kwh),
        co2_kg_kwh=mean(problem.co2_kg_kwh),
        other_load_kw=mean(problem.other_load_kw),
        machines=machines,
        inertia=_merged(problem.inertia, starts, tables.steps),
    )


def _merged(inertia: Inertia | None, starts: Ints, steps: int) -> Inertia | None:
    """The plan in force at the merged steps' starts, for those it reaches wholly."""
    if inertia is None:
        return None
    ends = np.append(starts[1:], steps)
    lengths = ends - starts
    return Inertia(
        on={
            key: tuple(on[start] for start, end in zip(starts, ends, strict=True) if end <= len(on))
            for key, on in inertia.on.items()
        },
        flip_cost_eur=inertia.flip_cost_eur * float(np.mean(lengths)),
    )
