"""Which machines a conventional sequencer would run for a demand: the rules of their makers' manuals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Literal

from agent.config.site import Machine, Station
from agent.planner.part_load import PartLoad, closed_share, part_load
from twin.sump import BLOWDOWN_TIME_CONSTANTS

SelectionName = Literal["base-trim", "least-power", "priority", "size-down", "size-up", "efficiency"]
# (demand [m3/min], machines in service in the sequencer's order) -> base machines first, trim last.
Selection = Callable[[float, tuple[str, ...]], tuple[str, ...]]


def prefix_selection(station: Station) -> Selection:
    """As many machines of the order as cover the demand."""
    flow = {name: m.full_flow_m3_min for name, m in station.machines.items()}

    def select(demand_m3_min: float, available: tuple[str, ...]) -> tuple[str, ...]:
        chosen: list[str] = []
        left = demand_m3_min
        for name in available:
            if left <= 0.0 and chosen:
                break
            chosen.append(name)
            left -= flow[name]
        return tuple(chosen)

    return select


def base_trim_selection(station: Station, *, vsd_trims: bool) -> Selection:
    """MEASUR's "base + trim": fewest base machines covering demand less trim capacity, then least full power.

    The VSDs trim together, or any one machine where `vsd_trims` is off or there is none.
    """
    flow = {name: m.full_flow_m3_min for name, m in station.machines.items()}
    power = {name: m.full_power_kw for name, m in station.machines.items()}
    speeds = {name for name, m in station.machines.items() if m.control == "vsd"}

    def select(demand_m3_min: float, available: tuple[str, ...]) -> tuple[str, ...]:
        vsds = tuple(n for n in available if n in speeds) if vsd_trims else ()
        trims = [vsds] if vsds else [(n,) for n in available]
        best: tuple[int, float] | None = None
        chosen = available
        for trim in trims:
            rest = [n for n in available if n not in trim]
            lack = demand_m3_min - sum(flow[n] for n in trim)
            trim_power = sum(power[n] for n in trim)
            for count in range(len(rest) + 1):
                if best is not None and count > best[0]:
                    break
                covering = [
                    (sum(power[n] for n in base) + trim_power, base)
                    for base in itertools.combinations(rest, count)
                    if sum(flow[n] for n in base) >= lack
                ]
                if covering:
                    needed, base = min(covering)
                    if best is None or (count, needed) < best:
                        best, chosen = (count, needed), (*base, *trim)
                    break
        return chosen

    return select


def least_power_selection(station: Station, *, band_bar: float) -> Selection:
    """The combination of least power at this demand, part load, idling and blow-down of the trim included.

    What the best of today's masters do: VSDs of the combination trim, else the fixed machine that is cheapest
    to cycle; so a poor VSD stays out where cycling a fixed machine costs less.
    """
    machines = station.machines
    store_m3 = station.receiver_m3 / station.atmosphere_bar * max(band_bar, 0.05)
    parabolas = {name: part_load(m) for name, m in machines.items() if m.control == "vsd"}

    def select(demand_m3_min: float, available: tuple[str, ...]) -> tuple[str, ...]:
        best, chosen = math.inf, available
        for count in range(1, len(available) + 1):
            for names in itertools.combinations(available, count):
                if sum(machines[n].full_flow_m3_min for n in names) < demand_m3_min:
                    continue
                power, order = _cheapest_trim(machines, parabolas, names, demand_m3_min, store_m3)
                if power < best:
                    best, chosen = power, order
        return chosen

    return select


def _cheapest_trim(
    machines: dict[str, Machine],
    parabolas: dict[str, PartLoad],
    names: tuple[str, ...],
    demand_m3_min: float,
    store_m3: float,
) -> tuple[float, tuple[str, ...]]:
    vsds = [n for n in names if n in parabolas]
    if vsds:
        base = [n for n in names if n not in parabolas]
        left = demand_m3_min - sum(machines[n].full_flow_m3_min for n in base)
        share = left / sum(machines[n].full_flow_m3_min for n in vsds)
        power = sum(machines[n].full_power_kw for n in base)
        power += sum(_vsd_power(machines[n], parabolas[n], share) for n in vsds)
        return power, (*_by_efficiency(machines, base), *vsds)
    best, order = math.inf, names
    for trim in names:
        base = [n for n in names if n != trim]
        left = demand_m3_min - sum(machines[n].full_flow_m3_min for n in base)
        power = sum(machines[n].full_power_kw for n in base) + cycling_power_kw(
            machines[trim], left / machines[trim].full_flow_m3_min, store_m3
        )
        if power < best:
            best, order = power, (*_by_efficiency(machines, base), trim)
    return best, order


def cycling_power_kw(machine: Machine, duty: float, store_m3: float) -> float:
    """Mean power of a fixed machine loaded for the share `duty` of the time, one blow-down a cycle."""
    duty = min(1.0, max(0.0, duty))
    full, idle = machine.full_power_kw, machine.unloaded_power_kw
    cycles_min = machine.full_flow_m3_min * duty * (1.0 - duty) / store_m3
    blow_kw_min = (
        max(0.0, closed_share(machine) * full - idle) * machine.blowdown_s / BLOWDOWN_TIME_CONSTANTS / 60.0
    )
    return duty * full + (1.0 - duty) * idle + cycles_min * blow_kw_min


def _vsd_power(machine: Machine, parabola: PartLoad, share: float) -> float:
    low, a, b, c = parabola[:4]
    if share >= low:
        return machine.full_power_kw * (a + share * (b + share * c))
    # Below its turndown it cycles between that and unloaded.
    at_low = machine.full_power_kw * (a + low * (b + low * c))
    part = max(0.0, share) / low
    return part * at_low + (1.0 - part) * machine.unloaded_power_kw


def _by_efficiency(machines: dict[str, Machine], names: list[str]) -> list[str]:
    return sorted(names, key=lambda name: machines[name].specific_power_kw_min_m3)
