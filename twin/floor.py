"""The least energy that any controller could need: perfect foresight, pressure at the minimum, no losses of control.

The classic bound for a compressor station, in steps of ten minutes: each step every machine either runs or
stands; running ones share the step's mean demand in the cheapest way, an unloaded one draws its idle
power, a start costs what the twin's start and the blow-down before the next stop cost. Nothing else is
asked: no minimum times, no start limits, no reserve, no blow-down within a step, no band. The usual
mixed-integer programme of this (tests compare with scipy's) separates by steps but for the starts, so
dynamic programming over the sets of running machines solves it exactly, whole weeks in one piece.

What keeps it from being a strict bound: a real machine may stop within a step, the model's may not, and a
real receiver may carry a little air from one step to the next.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Station
from agent.planner.part_load import closed_share
from twin.compressor import ACCELERATION_S, Compressor
from twin.demand import DemandSeries

Floats = NDArray[np.float64]

STEP_S = 600.0
SHORT_KW_MIN_M3 = 1000.0  # air that all machines together cannot deliver: far above any machine's
_VSD_POINTS = 33


class Piece(NamedTuple):
    """A stretch of a machine's flow that costs the same per unit: [m3/min], [kW per m3/min]."""

    flow_m3_min: float
    slope_kw_min_m3: float


class FloorMachine(NamedTuple):
    """A machine as the bound sees it, against the minimum pressure."""

    name: str
    idle_kw: float
    start_kwh: float
    pieces: tuple[Piece, ...]


class Floor(NamedTuple):
    """The bound of a span. `running` (steps, machines) says who runs; `short_m3` no station could deliver."""

    energy_kwh: float
    cost: float
    short_m3: float
    starts: int
    step_s: float
    machines: tuple[str, ...]
    running: NDArray[np.bool_]


def foresight_floor(
    station: Station,
    demand: DemandSeries,
    *,
    from_at: datetime,
    to_at: datetime,
    step_s: float = STEP_S,
    price_per_kwh: Floats | None = None,
) -> Floor:
    """Least energy for `demand` in whole steps from `from_at` to `to_at`; who runs at the begin is free.

    `price_per_kwh` (one a step) makes it the least cost instead; `cost` is 0 without.
    """
    machines = floor_machines(station)
    means = step_means(demand, from_at, to_at, step_s)
    masks = np.arange(1 << len(machines))
    bits = ((masks[:, None] >> np.arange(len(machines))) & 1).astype(bool)
    hours = step_s / 3600.0
    stage_kwh = _set_power(machines, bits, means) * hours
    price = np.ones(len(means)) if price_per_kwh is None else price_per_kwh
    path = _cheapest_path(stage_kwh * price[None, :], [m.start_kwh for m in machines], price)
    running = bits[path]
    begun = running & ~np.vstack([running[:1], running[:-1]])
    start_kwh = (begun * np.array([m.start_kwh for m in machines])).sum(axis=1)
    total = sum(p.flow_m3_min for m in machines for p in m.pieces)
    short = np.maximum(means - total, 0.0)
    used_kwh = stage_kwh[path, np.arange(len(means))] - short * SHORT_KW_MIN_M3 * hours + start_kwh
    return Floor(
        energy_kwh=float(used_kwh.sum()),
        cost=0.0 if price_per_kwh is None else float((used_kwh * price).sum()),
        short_m3=float(short.sum()) * step_s / 60.0,
        starts=int(begun.sum()),
        step_s=step_s,
        machines=tuple(m.name for m in machines),
        running=running,
    )


def floor_machines(station: Station) -> tuple[FloorMachine, ...]:
    """The station's machines in service, with the twin's own curves at the minimum pressure."""
    rated = 0.5 * (station.pressure_min_bar_g + station.pressure_max_bar_g)
    low = station.pressure_min_bar_g
    out = []
    for name, machine in station.machines.items():
        if machine.locked_out:
            continue
        twin = Compressor(name, machine, rated_bar_g=rated, atmosphere_bar=station.atmosphere_bar)
        full_flow, full_power = twin.full_flow_at(low), twin.power_at(1.0, low)
        idle = machine.unloaded_power_kw
        points = [(0.0, idle), (full_flow, full_power)]
        if twin.is_vsd:
            shares = np.linspace(twin.turndown_share, 1.0, _VSD_POINTS)
            points = [(0.0, idle), *((full_flow * s, twin.power_at(float(s), low)) for s in shares)]
        # Acceleration at full power, the rest of the start and the blow-down unloaded.
        least = twin.power_at(twin.turndown_share, low)
        start_kws = min(ACCELERATION_S, machine.start_s) * machine.full_power_kw
        start_kws += max(0.0, machine.start_s - ACCELERATION_S) * idle
        tau_s = machine.blowdown_s / math.log(1.0 / 0.02)
        kept = 0.98 * tau_s
        start_kws += machine.blowdown_s * idle + max(0.0, closed_share(machine) * least - idle) * kept
        out.append(FloorMachine(name, idle, start_kws / 3600.0, tuple(_hull(points))))
    return tuple(out)


def step_means(demand: DemandSeries, from_at: datetime, to_at: datetime, step_s: float) -> Floats:
    """Mean demand of each whole step, [m3/min]."""
    level = demand.reader(from_at)
    count = int((to_at - from_at) / timedelta(seconds=step_s))
    fine = 60.0 if step_s % 60.0 == 0.0 else step_s
    each = round(step_s / fine)
    values = np.array([level((k + 0.5) * fine) for k in range(count * each)])
    means: Floats = values.reshape(count, each).mean(axis=1)
    return means


def _hull(points: list[tuple[float, float]]) -> list[Piece]:
    """Lower convex hull: within a step a machine may share its time between two ways of running."""
    hull: list[tuple[float, float]] = []
    for flow, power in points:
        while len(hull) > 1 and _slope(hull[-2], (flow, power)) <= _slope(hull[-2], hull[-1]):
            hull.pop()
        hull.append((flow, power))
    return [Piece(b[0] - a[0], _slope(a, b)) for a, b in zip(hull, hull[1:], strict=False)]


def _slope(a: tuple[float, float], b: tuple[float, float]) -> float:
    return (b[1] - a[1]) / (b[0] - a[0])


def _set_power(machines: tuple[FloorMachine, ...], bits: NDArray[np.bool_], demand: Floats) -> Floats:
    """(sets, steps): power with the running machines' pieces filled in order of their price, [kW]."""
    rows = sorted((p.slope_kw_min_m3, p.flow_m3_min, i) for i, m in enumerate(machines) for p in m.pieces)
    idle = np.array([m.idle_kw for m in machines])
    out = np.empty((len(bits), len(demand)))
    for row, running in enumerate(bits):
        taken = [(slope, flow) for slope, flow, index in rows if running[index]]
        flows = np.cumsum([0.0, *(flow for _, flow in taken)])
        powers = np.cumsum([float(idle[running].sum()), *(slope * flow for slope, flow in taken)])
        short = np.maximum(demand - flows[-1], 0.0)
        out[row] = np.interp(demand, flows, powers) + SHORT_KW_MIN_M3 * short
    return out


def _cheapest_path(stage: Floats, start_kwh: list[float], price: Floats) -> NDArray[np.int64]:
    """The set of each step on the cheapest way through all of them; a stop costs nothing.

    A change of sets costs the sum of its starts, so it is relaxed machine by machine instead of set by set.
    """
    sets, steps = stage.shape
    masks = np.arange(sets)
    come = np.empty((steps, sets))
    come[0] = stage[:, 0]
    for step in range(1, steps):
        best = come[step - 1].copy()
        for index, start in enumerate(start_kwh):
            with_it = masks[(masks >> index) & 1 == 1]
            without = with_it ^ (1 << index)
            cost = start * price[step]
            on, off = best[with_it], best[without]
            best[with_it], best[without] = np.minimum(on, off + cost), np.minimum(off, on)
        come[step] = best + stage[:, step]
    path = np.empty(steps, dtype=np.int64)
    path[-1] = int(np.argmin(come[-1]))
    bits = ((masks[:, None] >> np.arange(len(start_kwh))) & 1).astype(np.float64)
    for step in range(steps - 1, 0, -1):
        now = path[step]
        begun = bits[now][None, :] * (1.0 - bits)
        path[step - 1] = int(np.argmin(come[step - 1] + begun @ np.array(start_kwh) * price[step]))
    return path
