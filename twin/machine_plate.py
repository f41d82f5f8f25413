"""One compressor's nameplate as the part-load equations need it, in canonical units."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

MachineType = Literal[
    "load-unload",
    "modulation-unload",
    "variable-displacement-unload",
    "modulation",
    "start-stop",
    "vsd",
    "centrifugal-blow-off",
    "centrifugal-load-unload",
    "centrifugal-modulation-unload",
]
MACHINE_TYPES: tuple[MachineType, ...] = get_args(MachineType)
# Types whose mean power is that of a cycle of blow-down, idling, reload and pumping up a receiver.
CYCLING: frozenset[MachineType] = frozenset(
    ["load-unload", "modulation-unload", "variable-displacement-unload"]
)
# Types that follow a curve from full flow down to one least flow.
WITH_LEAST_POINT: frozenset[MachineType] = frozenset(
    ["vsd", "centrifugal-blow-off", "centrifugal-modulation-unload"]
)
Lubricant = Literal["injected", "free"]


@dataclass(frozen=True, slots=True)
class MachinePlate:
    """A machine with every number its type needs; numbers of other types hold neutral values.

    `load_pressure_bar_g` is where it loads; at `unload_pressure_bar_g` full flow ends: a load/unload
    machine unloads there, a modulating one begins to throttle and unloads after
    `(1 - unload_point_share) * modulating_range_bar` more. `max_full_flow_kw` is the power at full
    flow against that pressure. The least point is a VSD's turndown, a centrifugal's surge point.
    """

    type: MachineType
    lubricant: Lubricant
    full_load_kw: float
    capacity_m3_min: float
    max_full_flow_kw: float
    no_load_kw: float
    load_pressure_bar_g: float
    unload_pressure_bar_g: float
    modulating_range_bar: float
    unload_point_share: float
    unloaded_sump_bar_g: float
    blowdown_s: float
    storage_m3: float
    atmosphere_bar_a: float
    fully_modulated_power_share: float
    turndown_share: float
    turndown_kw: float
    mid_turndown_share: float
    mid_turndown_kw: float
    max_flow_share: float

    @property
    def exponent(self) -> int:
        """Of flow in the power of the modulating leg: 2 for variable displacement, 1 for a throttle."""
        return 2 if self.type == "variable-displacement-unload" else 1

    @property
    def modulated_share(self) -> float:
        """Power with a closed inlet against full sump pressure, share of the full-flow power."""
        if self.type == "load-unload" and self.lubricant == "injected":
            return CLOSED_INLET_SHARE
        return self.fully_modulated_power_share


# An injected load/unload screw just after its inlet closed, before the sump blows down (AIRMaster+, MEASUR).
CLOSED_INLET_SHARE = 0.92
