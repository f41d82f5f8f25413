"""How each kind of compressor takes less than its full flow, and what it takes doing so.

Shares of the power at full flow over shares of that flow. Source of shapes and default numbers: the
equations of AIRMaster+ / MEASUR (US national laboratories) and its catalogue; `twin/machine_curve.py`
holds the same equations averaged over cycles.
"""

from __future__ import annotations

from typing import NamedTuple

from agent.config.site import Control, Machine


class Kind(NamedTuple):
    """What a way of control can do.

    `throttles`: its inlet closes by itself with rising pressure, power falling with flow to the
    power `exponent`, towards `closed_share` at no flow. `vents`: unloaded, its sump blows down, and
    power falls from `closed_share`. `least_share`: it throttles no further before it unloads.
    """

    throttles: bool = False
    unloads: bool = True
    vents: bool = False
    exponent: int = 1
    closed_share: float = 0.0
    least_share: float = 1.0
    feels_pressure: bool = True


_CLOSED_INLET_SHARE = 0.92  # just after an injected screw closed its inlet (AIRMaster+)
KINDS: dict[Control, Kind] = {
    "load-unload": Kind(vents=True, closed_share=_CLOSED_INLET_SHARE),
    "vsd": Kind(vents=True, closed_share=_CLOSED_INLET_SHARE, least_share=0.3),
    "modulation-unload": Kind(throttles=True, vents=True, closed_share=0.65, least_share=0.5),
    "variable-displacement-unload": Kind(
        throttles=True, vents=True, exponent=2, closed_share=0.57, least_share=0.4
    ),
    "modulation": Kind(throttles=True, unloads=False, least_share=0.0),
    "start-stop": Kind(unloads=False),
    # A turbo's head and flow trade off: at constant guide vanes its power hardly depends on the pressure.
    "centrifugal-blow-off": Kind(throttles=True, unloads=False, least_share=0.7, feels_pressure=False),
    "centrifugal-load-unload": Kind(feels_pressure=False),
    "centrifugal-modulation-unload": Kind(
        throttles=True, closed_share=0.1, least_share=0.7, feels_pressure=False
    ),
}
# A VSD without a data sheet: a straight line to 15 % at no flow, as the tool suite's catalogue assumes.
_VSD_ZERO_FLOW_SHARE = 0.15


class PartLoad(NamedTuple):
    """Power share = max(floor, a + b s + c s^2) at flow share s, least_share <= s <= 1.

    A blow-off machine delivers down to nothing, at `floor`: its least share is 0.
    """

    least_share: float
    a: float
    b: float
    c: float
    floor: float

    def power_share(self, share: float) -> float:
        """Power over the power at full flow, against the same pressure."""
        return max(self.floor, self.a + share * (self.b + share * self.c))


FULL_ONLY = PartLoad(1.0, 1.0, 0.0, 0.0, 0.0)


def part_load(machine: Machine) -> PartLoad:
    """The steady curve of a loaded machine, from its nameplate where that gives points."""
    kind = KINDS[machine.control]
    if machine.control == "vsd":
        return _variable_speed(machine, kind)
    if not kind.throttles:
        return FULL_ONLY
    if not kind.unloads:
        idle = machine.unloaded_power_kw / machine.full_power_kw
        if machine.control == "modulation":
            return PartLoad(0.0, idle, 1.0 - idle, 0.0, 0.0)
        surge = least_share(machine)
        slope = (1.0 - idle) / (1.0 - surge)
        return PartLoad(0.0, 1.0 - slope, slope, 0.0, idle)
    closed = closed_share(machine)
    rise = 1.0 - closed
    if kind.exponent == 2:
        return PartLoad(least_share(machine), closed, 0.0, rise, 0.0)
    return PartLoad(least_share(machine), closed, rise, 0.0, 0.0)


def least_share(machine: Machine) -> float:
    """Share of full flow at which it unloads, blows off, or turns slowest; 1 for one that only switches."""
    if machine.turndown_flow_m3_min is None:
        return KINDS[machine.control].least_share
    return min(1.0, machine.turndown_flow_m3_min / machine.full_flow_m3_min)


def closed_share(machine: Machine) -> float:
    """Power share with a closed inlet against full sump pressure: a throttle's end, a blow-down's begin."""
    kind = KINDS[machine.control]
    if not kind.throttles or not kind.unloads or machine.turndown_power_kw is None:
        return kind.closed_share
    # The line, or parabola, through full load and the unload point of the data sheet.
    flow = least_share(machine) ** kind.exponent
    return (machine.turndown_power_kw / machine.full_power_kw - flow) / (1.0 - flow)


def _variable_speed(machine: Machine, kind: Kind) -> PartLoad:
    """Through turndown, middle and full load; a straight line where the nameplate gives no middle."""
    flow, power = machine.full_flow_m3_min, machine.full_power_kw
    low = (machine.turndown_flow_m3_min or kind.least_share * flow) / flow
    default = _VSD_ZERO_FLOW_SHARE + (1.0 - _VSD_ZERO_FLOW_SHARE) * low
    low_power = default if machine.turndown_power_kw is None else machine.turndown_power_kw / power
    if low >= 1.0:
        return FULL_ONLY
    slope = (1.0 - low_power) / (1.0 - low)
    bend = 0.0
    if machine.mid_flow_m3_min is not None and machine.mid_power_kw is not None:
        mid = machine.mid_flow_m3_min / flow
        if low < mid < 1.0:
            on_line = low_power + slope * (mid - low)
            bend = (machine.mid_power_kw / power - on_line) / ((mid - low) * (mid - 1.0))
    # power = low_power + slope (s - low) + bend (s - low)(s - 1)
    return PartLoad(low, low_power - slope * low + bend * low, slope - bend * (low + 1.0), bend, 0.0)
