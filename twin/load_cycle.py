"""One cycle of a screw compressor that unloads, leg by leg, at a steady demand.

Source: the cycle model of AIRMaster+ as the US national laboratories' tool suite computes it (ORNL
AMO-Tools-Suite, compressed air assessment, load/unload compressor), restated in own words:
blow-down with the closed inlet, idling, reload, pumping up, throttling.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from twin.machine_plate import MachinePlate

# An exponential counts as over when 2 % of it is left.
TOLERANCE = 0.02
# Inlet valve closing and reload after a full blow-down: lubricant injected, lubricant free.
_CLOSING_S = {"injected": 2.0, "free": 0.004}
_RELOAD_S = {"injected": 3.0, "free": 0.001}
# A lubricant-free machine has no sump: its pipe to the check valve vents at once.
_VENT_S = 0.003
_VENTED_BAR_G = 15.0 * 0.0689475729316836
# Pressure by which the tool scales the power lost while the net falls during the reload; origin unknown.
_PUMP_UP_BAR = 200.0 * 0.0689475729316836


class Leg(NamedTuple):
    """A part of the cycle with its mean power."""

    name: str
    duration_s: float
    power_kw: float


def load_cycle(plate: MachinePlate, flow_m3_min: float) -> tuple[Leg, ...]:
    """Legs of one cycle at a mean flow above 0 and below the unload point, in their order."""
    full_m3_min, unload_m3_min = plate.capacity_m3_min, plate.capacity_m3_min * plate.unload_point_share
    closed_kw = plate.modulated_share * plate.max_full_flow_kw
    open_kw = plate.max_full_flow_kw - closed_kw
    free = plate.lubricant == "free"
    blowdown_s = _VENT_S if free else max(plate.blowdown_s, _VENT_S)
    vented_bar_g = _VENTED_BAR_G if free else plate.unloaded_sump_bar_g
    unload_kw = open_kw * plate.unload_point_share**plate.exponent + closed_kw
    unload_bar_g = plate.unload_pressure_bar_g + (1.0 - plate.unload_point_share) * plate.modulating_range_bar
    decays = math.log(1.0 / TOLERANCE)
    sump_tau_s, valve_tau_s = blowdown_s / decays, _CLOSING_S[plate.lubricant] / decays
    minutes_per_bar = plate.storage_m3 / plate.atmosphere_bar_a

    # The net lives off the receiver from the unload pressure down to the load pressure.
    drain_s = 60.0 * minutes_per_bar * (unload_bar_g - plate.load_pressure_bar_g) / flow_m3_min
    vent_s = min(blowdown_s, drain_s)
    left = math.exp(-vent_s / sump_tau_s)
    excess_kw = closed_kw + (unload_kw - closed_kw) * math.exp(-vent_s / valve_tau_s) - plate.no_load_kw
    vent_kw = plate.no_load_kw + excess_kw * (1.0 - left) * sump_tau_s / vent_s
    idle_kw = plate.no_load_kw + (excess_kw * left if vent_s < blowdown_s else 0.0)

    # The sump has to be filled again before any air leaves, in proportion to what it lost.
    sump_bar_g = vented_bar_g + (unload_bar_g - vented_bar_g) * left
    reload_s = (
        _RELOAD_S[plate.lubricant]
        * (unload_bar_g - sump_bar_g)
        / (unload_bar_g - (unload_bar_g - vented_bar_g) * TOLERANCE)
    )
    missing_bar = reload_s / 60.0 * flow_m3_min / minutes_per_bar
    pump_s = (
        60.0
        * minutes_per_bar
        * (plate.unload_pressure_bar_g - plate.load_pressure_bar_g + missing_bar)
        / (full_m3_min - flow_m3_min)
    )
    pump_kw = 0.5 * ((1.0 - missing_bar / _PUMP_UP_BAR) * plate.full_load_kw + plate.max_full_flow_kw)
    legs = (
        Leg("blow-down", vent_s, vent_kw),
        Leg("idle", drain_s - vent_s, plate.no_load_kw),
        Leg("reload", reload_s, 0.5 * (idle_kw + plate.full_load_kw)),
        Leg("pump up", pump_s, pump_kw),
    )
    if plate.unload_point_share >= 1.0:
        return legs
    # The throttle closes in proportion to pressure, which therefore rises ever more slowly.
    tau_min = plate.modulating_range_bar * minutes_per_bar / full_m3_min
    throttle_min = tau_min * math.log((full_m3_min - flow_m3_min) / (unload_m3_min - flow_m3_min))
    demand_share = flow_m3_min / full_m3_min
    mean_open = demand_share + (1.0 - demand_share) * (1.0 - math.exp(-throttle_min / tau_min)) * (
        tau_min / throttle_min
    )
    return (*legs, Leg("throttle", 60.0 * throttle_min, open_kw * mean_open**plate.exponent + closed_kw))
