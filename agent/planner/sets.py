"""What each set of running machines costs at each demand, and which of them to load.

The table is the station's memory of its own machines: rebuilt when the nameplates change, read
at every tick. A set of running machines delivers a demand in the cheapest way by loading some of
them fully and letting one of them, the trim machine, make up the rest: a VSD on its curve, a
fixed machine by loading and unloading, which costs a blow-down each cycle.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Machine, Station
from agent.planner.curves import running_power_kw
from agent.planner.part_load import KINDS, closed_share

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# Up to here every set of machines is looked at; above, sets along and beside priority orders.
_ALL_SETS = 8
# Standard normal quantiles at 1/14, 3/14 ... 13/14: seven equally likely demands.
_Z = (-1.465, -0.792, -0.366, 0.0, 0.366, 0.792, 1.465)
# Decay constant of the excess over idling after a screw has unloaded, as a share of its blow-down
# time: 1 / ln 50, from the tolerance 0.02 of the AIRMaster+ model.
_BLOWDOWN_DECAY_SHARE = 1.0 / 3.912
# A start wears as much as this time of full power costs: the same as in the day plan.
_START_MIN_OF_FULL_POWER = 2.0


@dataclass(frozen=True, slots=True)
class SetTable:
    """Costs over sets S and a demand grid G.

    `masks` [S] bit i = machine i runs; `capacity` [S] m3/min; `power_kw` [S, G] cheapest mean
    power; `spread_kw` [S, G] the same averaged over the demand's short-term spread, with a price
    on what the set cannot deliver; `base` [S, G] bits fully loaded; `trim` [S, G] machine index or -1.
    """

    machines: tuple[str, ...]
    full_flow_m3_min: tuple[float, ...]
    grid_m3_min: float
    masks: Ints
    capacity: Floats
    power_kw: Floats
    spread_kw: Floats
    base: Ints
    trim: Ints
    index_of: dict[int, int]

    def column(self, demand_m3_min: float) -> int:
        """Grid column nearest to a demand."""
        column = int(demand_m3_min / self.grid_m3_min + 0.5)
        return 0 if column < 0 else min(column, self.trim.shape[1] - 1)

    def loading(self, mask: int, need_m3_min: float) -> tuple[int, int]:
        """(bits fully loaded, trim machine or -1) of a running set for a need.

        A set that is not in the table (one of many machines tripped, or was started by hand) loads
        its machines from the largest down until the need is covered.
        """
        row = self.index_of.get(mask)
        if row is None:
            return self._loading_by_size(mask, need_m3_min)
        if need_m3_min >= self.capacity[row]:
            return mask, -1
        column = self.column(need_m3_min)
        return self.base.item(row, column), self.trim.item(row, column)

    def _loading_by_size(self, mask: int, need_m3_min: float) -> tuple[int, int]:
        inside = [i for i in range(len(self.machines)) if (mask >> i) & 1]
        inside.sort(key=lambda i: self.full_flow_m3_min[i], reverse=True)
        base, left_m3_min = 0, need_m3_min
        for index in inside:
            if self.full_flow_m3_min[index] <= left_m3_min:
                base |= 1 << index
                left_m3_min -= self.full_flow_m3_min[index]
        rest = [i for i in inside if not (base >> i) & 1]
        if left_m3_min <= 0.0 or not rest:
            return base, -1
        # None of the rest fits, so every one of them covers what is left: the smallest is enough.
        return base, rest[-1]


@dataclass(frozen=True, slots=True)
class SpreadSettings:
    """How uncertain the demand is within a planning step, and what lacking air costs.

    `spread` is the relative standard deviation of demand within minutes, `shortage_kw_min_m3` the
    price of missing flow. Source: closed loop on three stations; 0.10 with a margin of -0.15 kept sets that
    fall short at a demand close to a machine's flow (3.5 % more energy on one of them).
    """

    spread: float = 0.05
    shortage_kw_min_m3: float = 20.0


def build_sets(
    station: Station, settings: SpreadSettings, *, band_bar: float, grid_points: int = 160
) -> SetTable:
    """The table of a station, for a pressure band of `band_bar` (the trim machine's cycle)."""
    names = tuple(station.machines)
    machines = [station.machines[name] for name in names]
    flows = np.array([m.full_flow_m3_min for m in machines])
    total = float(flows.sum())
    step = total * 1.05 / (grid_points - 1)
    grid: Floats = np.arange(grid_points, dtype=np.float64) * step
    masks = _masks(machines)
    modes = _modes(machines, masks)
    mode_power, mode_bits = _mode_powers(station, machines, modes, grid, band_bar)

    unloaded = np.array([m.unloaded_power_kw for m in machines])
    full = np.array([m.full_power_kw for m in machines])
    bits = (masks[:, None] >> np.arange(len(names))) & 1
    capacity = bits @ flows
    used = (mode_bits[:, None] >> np.arange(len(names))) & 1
    mode_idle = used @ unloaded

    power = np.empty((len(masks), grid_points))
    base = np.zeros((len(masks), grid_points), dtype=np.int64)
    trim = np.full((len(masks), grid_points), -1, dtype=np.int64)
    mode_base = np.array([b for b, _ in modes], dtype=np.int64)
    mode_trim = np.array([t for _, t in modes], dtype=np.int64)
    for row, mask in enumerate(masks):
        if mask == 0:
            power[row] = 0.0
            continue
        inside = np.flatnonzero((mode_bits & ~mask) == 0)
        cost = mode_power[inside] + (bits[row] @ unloaded - mode_idle[inside])[:, None]
        best = np.argmin(cost, axis=0)
        power[row] = cost[best, np.arange(grid_points)]
        base[row] = mode_base[inside][best]
        trim[row] = mode_trim[inside][best]
        over = grid > capacity[row] + 1e-9
        power[row, over] = bits[row] @ full
        base[row, over] = mask
        trim[row, over] = -1
    spread = _spread(power, capacity, grid, settings)
    return SetTable(
        names,
        tuple(map(float, flows)),
        step,
        masks,
        capacity,
        power,
        spread,
        base,
        trim,
        {int(m): i for i, m in enumerate(masks)},
    )


def _masks(machines: list[Machine]) -> Ints:
    count = len(machines)
    if count <= _ALL_SETS:
        return np.arange(1 << count, dtype=np.int64)
    orders = [
        sorted(range(count), key=lambda i: (machines[i].priority, i)),
        sorted(range(count), key=lambda i: (machines[i].specific_power_kw_min_m3, i)),
        sorted(range(count), key=lambda i: (machines[i].full_flow_m3_min, i)),
        sorted(range(count), key=lambda i: (-machines[i].full_flow_m3_min, i)),
    ]
    found = {0}
    for order in orders:
        mask = 0
        for machine in order:
            mask |= 1 << machine
            found.add(mask)
            found.update(mask ^ (1 << other) for other in range(count))
    return np.array(sorted(found), dtype=np.int64)


def _modes(machines: list[Machine], masks: Ints) -> list[tuple[int, int]]:
    """(fully loaded bits, trim machine): every base set with every machine outside it as trim."""
    count = len(machines)
    bases = masks if count <= _ALL_SETS else masks[: 4 * count * (count + 1)]
    return [(int(b), t) for b in bases for t in range(count) if not (int(b) >> t) & 1]


def _mode_powers(
    station: Station, machines: list[Machine], modes: list[tuple[int, int]], grid: Floats, band_bar: float
) -> tuple[Floats, Ints]:
    """Power of the loaded machines [M, G], +inf outside the mode's range; bits used [M]."""
    flows = [m.full_flow_m3_min for m in machines]
    full = [m.full_power_kw for m in machines]
    out = np.full((len(modes), len(grid)), np.inf)
    bits = np.zeros(len(modes), dtype=np.int64)
    # Volume of free air that the band stores: a load/unload cycle takes store/flow / (u (1 - u)).
    store_m3 = station.receiver_m3 / station.atmosphere_bar * band_bar
    for row, (base, trim) in enumerate(modes):
        bits[row] = base | (1 << trim)
        flow = sum(f for i, f in enumerate(flows) if (base >> i) & 1)
        power = sum(p for i, p in enumerate(full) if (base >> i) & 1)
        machine = machines[trim]
        wanted = grid - flow
        valid = (wanted >= -1e-9) & (wanted <= machine.full_flow_m3_min + 1e-9)
        out[row, valid] = power + _trim_power(machine, np.clip(wanted[valid], 0.0, None), store_m3)
    return out, bits


def _trim_power(machine: Machine, flow: Floats, store_m3: float) -> Floats:
    """Mean power of the trim machine with its blow-downs, shape of `flow`."""
    mean = np.array([running_power_kw(machine, float(f)) for f in flow])
    steady = machine.turndown_flow_m3_min if machine.control == "vsd" else machine.full_flow_m3_min
    cycling_flow = steady if steady is not None else machine.full_flow_m3_min
    duty = np.clip(flow / cycling_flow, 0.0, 1.0)
    cycles_per_min = duty * (1.0 - duty) * cycling_flow / store_m3
    return mean + cycles_per_min * cycle_loss_kw_min(machine)


def cycle_loss_kw_min(machine: Machine) -> float:
    """What one more cycle of the trim machine costs beyond the air it makes, [kW min]."""
    if machine.control == "start-stop":
        return machine.full_power_kw * (machine.start_s / 60.0 + _START_MIN_OF_FULL_POWER)
    if not KINDS[machine.control].vents:
        return 0.0
    excess_kw = max(closed_share(machine) * machine.full_power_kw - machine.unloaded_power_kw, 0.0)
    return excess_kw * machine.blowdown_s * _BLOWDOWN_DECAY_SHARE / 60.0


def _spread(power: Floats, capacity: Floats, grid: Floats, settings: SpreadSettings) -> Floats:
    out = np.zeros_like(power)
    for z in _Z:
        demand = np.maximum(grid * (1.0 + settings.spread * z), 0.0)
        position = np.clip(demand / (grid[1] - grid[0]), 0.0, len(grid) - 1.0)
        low = position.astype(np.int64)
        high = np.minimum(low + 1, len(grid) - 1)
        part = position - low
        out += power[:, low] * (1.0 - part) + power[:, high] * part
        out += settings.shortage_kw_min_m3 * np.maximum(demand[None, :] - capacity[:, None], 0.0)
    return out / len(_Z)
