"""Power of one compressor over its flow, from the nameplate in site.toml."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from agent.config.site import Machine


class FlowPower(NamedTuple):
    """One point of a running, loaded machine."""

    flow_m3_min: float
    power_kw: float


def nameplate_curve(machine: Machine) -> tuple[FlowPower, ...]:
    """Loaded operating points by rising flow: one for a fixed machine, two or three for a VSD."""
    full = FlowPower(machine.full_flow_m3_min, machine.full_power_kw)
    if machine.control != "vsd" or machine.turndown_flow_m3_min is None or machine.turndown_power_kw is None:
        return (full,)
    points = [FlowPower(machine.turndown_flow_m3_min, machine.turndown_power_kw)]
    if machine.mid_flow_m3_min is not None and machine.mid_power_kw is not None:
        points.append(FlowPower(machine.mid_flow_m3_min, machine.mid_power_kw))
    return (*points, full)


def running_power_kw(machine: Machine, flow_m3_min: float) -> float:
    """Mean power [kW] of the running machine at a mean flow.

    Below the least steady flow the machine alternates between it and unloaded running, so the
    mean lies on the line between the two; the blow-down loss of the alternation is not in it.
    """
    points = (FlowPower(0.0, machine.unloaded_power_kw), *nameplate_curve(machine))
    for low, high in pairwise(points):
        if flow_m3_min <= high.flow_m3_min:
            share = (flow_m3_min - low.flow_m3_min) / (high.flow_m3_min - low.flow_m3_min)
            return low.power_kw + share * (high.power_kw - low.power_kw)
    return points[-1].power_kw
