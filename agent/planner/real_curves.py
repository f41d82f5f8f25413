"""Power curves as they are, not their convex hulls: for machines whose curve has a dent.

A machine that cycles, throttles or blows down takes more at part load than the line between its
best points says. Two views of such curves: convex sections, within which the dispatch programme is
exact once a section is chosen, and the least power of every set of machines over a grid of flows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.planner.problem import CurvePoint, PlanMachine

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Up to this many machines the power of every set is tabled: 2^12 sets of 128 flows are 4 MB.
TABLED_MACHINES = 12
# Numbers in the table; the grid is as fine as that allows.
_MOST_VALUES = 600_000
_FINEST_GRID, _COARSEST_GRID = 257, 129
_SAME_SLOPE = 1e-9
# Values worked on at once in a sum over the grid: what fits the processor's cache.
_BLOCK_VALUES = 50_000


@dataclass(frozen=True)
class Sections:
    """Pieces of the dispatch programme: the convex hulls' and those of the curves' convex sections.

    Section 0 of every machine is its hull; a curve with a dent has sections 1, 2, ... of its own.
    `machine`, `width`, `slope`, `section` [L] per piece; `base_flow`, `base_power`, `top_flow`
    [n, C] per machine and section; `count` [n] sections beside the hull, 0 for a convex curve.
    """

    machine: Ints
    width: Floats
    slope: Floats
    section: Ints
    base_flow: Floats
    base_power: Floats
    top_flow: Floats
    count: Ints


def convex_runs(curve: Sequence[CurvePoint]) -> list[list[CurvePoint]]:
    """The curve cut where its slope falls; neighbours share the point of the cut."""
    runs: list[list[CurvePoint]] = [[curve[0]]]
    slope_before = -np.inf
    for low, high in pairwise(curve):
        slope = (high.power_kw - low.power_kw) / (high.flow_m3_min - low.flow_m3_min)
        if slope < slope_before - _SAME_SLOPE:
            runs.append([low])
        runs[-1].append(high)
        slope_before = slope
    return runs


def make_sections(
    machines: Sequence[PlanMachine],
    hulls: Sequence[Sequence[tuple[float, float]]],
    hull_pieces: Sequence[tuple[float, int, float]],
) -> Sections:
    """The pieces: those of the hulls (slope, machine, width) first, then the sections' own."""
    pieces = [(slope, machine, width, 0) for slope, machine, width in hull_pieces]
    runs = [convex_runs(machine.curve) for machine in machines]
    dented = [len(run) > 1 for run in runs]
    most = 1 + max((len(run) for run, dent in zip(runs, dented, strict=True) if dent), default=0)
    base_flow, base_power, top_flow = (np.zeros((len(machines), most)) for _ in range(3))
    for index, hull in enumerate(hulls):
        base_flow[index], base_power[index], top_flow[index] = hull[0][0], hull[0][1], hull[-1][0]
        if not dented[index]:
            continue
        for number, run in enumerate(runs[index], start=1):
            base_flow[index, number] = run[0].flow_m3_min
            base_power[index, number] = run[0].power_kw
            top_flow[index, number] = run[-1].flow_m3_min
            for low, high in pairwise(run):
                width = high.flow_m3_min - low.flow_m3_min
                pieces.append(((high.power_kw - low.power_kw) / width, index, width, number))
    return Sections(
        machine=np.array([i for _, i, _, _ in pieces], dtype=np.int64),
        width=np.array([w for _, _, w, _ in pieces], dtype=float),
        slope=np.array([s for s, _, _, _ in pieces], dtype=float),
        section=np.array([k for _, _, _, k in pieces], dtype=np.int64),
        base_flow=base_flow,
        base_power=base_power,
        top_flow=top_flow,
        count=np.array([len(run) if dent else 0 for run, dent in zip(runs, dented, strict=True)], dtype=int),
    )


class Options(NamedTuple):
    """Flows [C] that one machine may take in the table, and its power [C] there."""

    flow: Floats
    power: Floats


class RealPower:
    """Least power [kW] of every subset of n machines over a grid of flows; bit i is machine i.

    More flow than is asked may be blown off, so power never falls with the flow asked. Between
    grid flows it is linear. Grid flows beyond full load cost +inf.
    """

    def __init__(self, curves: Sequence[Sequence[CurvePoint]]) -> None:
        """Build the table of machines with these curves: 2^n sets by adding one machine at a time."""
        self.curves = [
            Options(np.array([p.flow_m3_min for p in curve]), np.array([p.power_kw for p in curve]))
            for curve in curves
        ]
        sizes = 1 << len(curves)
        grid = int(np.clip(_MOST_VALUES // sizes, _COARSEST_GRID, _FINEST_GRID))
        total = sum(curve.flow[-1] for curve in self.curves)
        self.spacing = max(float(total) / (grid - 1), 1e-9)
        slopes = [float((np.diff(c.power) / np.diff(c.flow)).max()) for c in self.curves if len(c.flow) > 1]
        self.steepest = max([0.0, *slopes])
        self.full_flow = np.zeros(1)
        self.full_power = np.zeros(1)
        flows = np.arange(grid) * self.spacing
        self.power = (self.steepest * flows)[None, :]
        self.options = [self._options(curve) for curve in self.curves]
        for index, curve in enumerate(self.curves):
            self.power = np.concatenate([self.power, self._joined(index)])
            self.full_flow = np.concatenate([self.full_flow, self.full_flow + curve.flow[-1]])
            self.full_power = np.concatenate([self.full_power, self.full_power + curve.power[-1]])
        self.power[flows > self.full_flow[:, None] + 1e-9] = np.inf

    def _options(self, curve: Options) -> Options:
        """The machine's curve points and the grid's flows between them."""
        first = int(np.ceil(curve.flow[0] / self.spacing))
        last = int(np.floor(curve.flow[-1] / self.spacing))
        flow = np.union1d(curve.flow, np.arange(first, last + 1) * self.spacing)
        return Options(flow, np.interp(flow, curve.flow, curve.power))

    def _joined(self, index: int) -> Floats:
        """The table [2^index, G] of the sets so far with one more machine running."""
        sets, grid = self.power.shape
        best = np.full((sets, grid), np.inf)
        for flow, power in zip(*self.options[index], strict=True):
            whole = int(np.ceil(flow / self.spacing - 1e-9))
            part = whole - flow / self.spacing
            # Below its own flow the machine's surplus is blown off and the others idle.
            shifted = np.empty((sets, grid))
            shifted[:, :whole] = self.power[:, :1]
            later = np.minimum(np.arange(grid - whole) + 1, grid - 1)
            shifted[:, whole:] = (1.0 - part) * self.power[:, : grid - whole]
            shifted[:, whole:] += part * self.power[:, later]
            np.minimum(best, shifted + power, out=best)
        return np.minimum.accumulate(best[:, ::-1], axis=1)[:, ::-1]

    def at(self, sets: Ints, flow: Floats) -> Floats:
        """Power of the sets at the flows, both of one broadcastable shape."""
        full = self.full_flow[sets]
        inside = np.clip(flow, 0.0, full)
        cell = np.minimum((inside / self.spacing).astype(np.int64), self.power.shape[1] - 2)
        begin = cell * self.spacing
        low = self.power[sets, cell]
        high = self.power[sets, cell + 1]
        # The cell in which full load lies ends there, exactly.
        ends = begin + self.spacing > full - 1e-9
        width = np.where(ends, np.maximum(full - begin, 1e-12), self.spacing)
        high = np.where(ends, self.full_power[sets], high)
        result: Floats = low + (inside - begin) / width * (high - low)
        return result

    def traded(self, sets: Ints, flow: Floats, low: Floats, high: Floats) -> Floats:
        """As `at`, where missing air is bought at `high` and surplus sold at `low` [kW per m3/min].

        `low` and `high` are shaped like the flow.
        """
        grid = np.arange(self.power.shape[1]) * self.spacing
        missing = flow[..., None] - grid
        trade = np.where(missing > 0, missing * high[..., None], missing * low[..., None])
        best: Floats = np.empty(sets.shape)
        rows = max(1, _BLOCK_VALUES * len(sets) // max(sets.size * len(grid), 1))
        for first in range(0, len(sets), rows):
            block = slice(first, first + rows)
            own = self.power[sets[block]]
            own += trade[block]
            own.min(axis=-1, out=best[block])
        full = self.full_flow[sets]
        left = flow - full
        np.minimum(best, self.full_power[sets] + np.where(left > 0, left * high, left * low), out=best)
        np.minimum(best, self.at(sets, flow), out=best, where=left <= 0)
        return best

    def split(self, sets: Ints, flow: Floats) -> Floats:
        """Flow [N, n] of each machine in the cheapest split of `flow` [N] over the sets [N]."""
        count = len(self.curves)
        result = np.zeros((len(flow), count))
        sets, left = sets.copy(), np.minimum(flow, self.full_flow[sets])
        for index in range(count - 1, -1, -1):
            runs = (sets >> index) & 1 == 1
            sets = sets & ~(1 << index)
            options, power = self.options[index]
            rest = left[:, None] - options[None, :]
            over = np.maximum(rest - self.full_flow[sets][:, None], 0.0)
            total = power + self.at(sets[:, None], rest) + (self.steepest + 1.0) * over
            chosen = np.argmin(total, axis=1)
            result[:, index] = np.where(runs, options[chosen], 0.0)
            left = left - result[:, index]
        return result


@lru_cache(maxsize=4)
def real_power_of(curves: tuple[tuple[CurvePoint, ...], ...]) -> RealPower:
    """The table of machines with these curves, kept for the next plan of the same machines."""
    return RealPower(curves)
