"""Mean power of one compressor over its mean flow, for every way of control.

Static part-load equations of the US national laboratories' tool suite (AIRMaster+ / MEASUR; ORNL
AMO-Tools-Suite, compressed air assessment), in own code. `twin/load_cycle.py` holds the cycle of
screws that unload.
"""

from __future__ import annotations

from collections.abc import Callable

from twin.load_cycle import load_cycle
from twin.machine_plate import MachinePlate, MachineType


def power_kw(plate: MachinePlate, capacity_fraction: float) -> float:
    """Mean power [kW] at a mean flow given as a share of full flow, 0 to 1.

    Full flow is full-load power by definition; just below it a cycling screw takes more, since it
    works at the upper end of its pressure band part of the time.
    Raises ValueError outside 0 to 1.
    """
    if not 0.0 <= capacity_fraction <= 1.0:
        msg = f"a capacity fraction lies in 0 to 1, {capacity_fraction} does not"
        raise ValueError(msg)
    return _POWER[plate.type](plate, capacity_fraction)


def _cycling(plate: MachinePlate, fraction: float) -> float:
    if fraction >= 1.0:
        return plate.full_load_kw
    if fraction >= plate.unload_point_share:
        closed = plate.modulated_share
        return plate.max_full_flow_kw * (closed + (1.0 - closed) * fraction**plate.exponent)
    if fraction <= 0.0:
        return plate.no_load_kw
    legs = load_cycle(plate, fraction * plate.capacity_m3_min)
    return sum(leg.power_kw * leg.duration_s for leg in legs) / sum(leg.duration_s for leg in legs)


def _modulation(plate: MachinePlate, fraction: float) -> float:
    return plate.no_load_kw + (plate.full_load_kw - plate.no_load_kw) * fraction


def _start_stop(plate: MachinePlate, fraction: float) -> float:
    # On half of the way between load and unload pressure, off for the rest, off costs nothing.
    return fraction * 0.5 * (plate.full_load_kw + plate.max_full_flow_kw)


def _vsd(plate: MachinePlate, fraction: float) -> float:
    low, low_kw = plate.turndown_share, plate.turndown_kw
    if fraction < low:
        return plate.no_load_kw + (low_kw - plate.no_load_kw) * fraction / low
    mid, mid_kw, full_kw = plate.mid_turndown_share, plate.mid_turndown_kw, plate.full_load_kw
    # The parabola through three points, in Newton's form.
    first = (mid_kw - low_kw) / (mid - low)
    second = ((full_kw - mid_kw) / (1.0 - mid) - first) / (1.0 - low)
    return low_kw + (fraction - low) * (first + second * (fraction - mid))


def _blow_off(plate: MachinePlate, fraction: float) -> float:
    surge, surge_kw = plate.turndown_share, plate.turndown_kw
    if fraction <= surge:
        return surge_kw
    return surge_kw + (plate.full_load_kw - surge_kw) * (fraction - surge) / (1.0 - surge)


def _centrifugal_modulation(plate: MachinePlate, fraction: float) -> float:
    low, low_kw, top = plate.turndown_share, plate.turndown_kw, plate.max_flow_share
    if fraction < low:
        return plate.no_load_kw + (low_kw - plate.no_load_kw) * fraction / low
    if fraction >= top:
        return plate.full_load_kw
    return low_kw + (plate.full_load_kw - low_kw) * (fraction - low) / (top - low)


_POWER: dict[MachineType, Callable[[MachinePlate, float], float]] = {
    "load-unload": _cycling,
    "modulation-unload": _cycling,
    "variable-displacement-unload": _cycling,
    "modulation": _modulation,
    "start-stop": _start_stop,
    "vsd": _vsd,
    "centrifugal-blow-off": _blow_off,
    "centrifugal-load-unload": _modulation,
    "centrifugal-modulation-unload": _centrifugal_modulation,
}
