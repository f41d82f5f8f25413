"""Which simulated device stands for which kind of unit in site.toml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from agent.config.site import Hvac, Unit
from twin.hvac_air_handler import AirHandlerTwin
from twin.hvac_chiller import ChillerTwin
from twin.hvac_panel import UnitPanel, ZoneThermostat
from twin.hvac_unit import UnitTwin
from twin.hvac_ventilation import VentilationTwin

AnyUnit = UnitTwin | AirHandlerTwin | ChillerTwin | VentilationTwin


class UnitPhysics(Protocol):
    """What the plant needs of a unit of any kind."""

    unit: Unit
    panel: UnitPanel
    energy_kwh: float
    power_kw: float
    fan_on: bool
    supply_degc: float | None

    @property
    def thermostats(self) -> Mapping[str, ZoneThermostat]: ...

    @property
    def points(self) -> Mapping[str, float | None]: ...

    def step(
        self,
        step_s: float,
        now_s: float,
        temps_degc: Mapping[str, float],
        occupied: Mapping[str, bool],
        outdoor_degc: float,
    ) -> dict[str, float]:
        """Live for `step_s`; heat into zones, [kW]."""
        ...


def unit_twins(hvac: Hvac, built: Mapping[str, Unit] | None = None) -> dict[str, AnyUnit]:
    """One device a unit, in the order in which they step: air handlers before the chillers on whose water they are."""
    on_water = {name for unit in hvac.units.values() if unit.kind == "chiller" for name in unit.serves}
    out: dict[str, AnyUnit] = {}
    for name in hvac.units:
        unit = (built or hvac.units)[name]
        zones = {z: zone for z, zone in hvac.zones.items() if zone.unit == name}
        if unit.kind == "air-handler":
            out[name] = AirHandlerTwin(unit, zones, on_water=name in on_water)
        elif unit.kind == "ventilation":
            out[name] = VentilationTwin(unit)
        elif unit.kind == "rooftop":
            out[name] = UnitTwin(unit, zones)
    for name in hvac.units:
        unit = (built or hvac.units)[name]
        if unit.kind == "chiller":
            chiller = ChillerTwin(unit)
            chiller.coils = [coil for n in unit.serves if isinstance(coil := out.get(n), AirHandlerTwin)]
            out[name] = chiller
    return out


def role_reads(settings: Unit, device: AnyUnit) -> dict[str, Callable[[], float | None]]:
    """Tag -> what it shows, for the roles of site.toml and the device's own points."""
    reads: dict[str, Callable[[], float | None]] = {
        f"{settings.device}.{point}": lambda d=device, p=point: d.points[p]  # type: ignore[misc]
        for point in device.points
    }
    for tag, read in (
        (settings.power, lambda: device.power_kw),
        (settings.enable, lambda: float(device.panel.enable)),
        (settings.heartbeat, lambda: device.panel.heartbeat),
        (settings.supply_temp, lambda: device.supply_degc),
    ):
        if tag is not None:
            reads[tag] = read
    if settings.supply_setpoint is not None and isinstance(device, AirHandlerTwin | ChillerTwin):
        reads[settings.supply_setpoint] = lambda: device.supply_set
    if isinstance(device, VentilationTwin):
        if settings.co2 is not None:
            reads[settings.co2] = lambda: device.co2_ppm
        if settings.co2_setpoint is not None:
            reads[settings.co2_setpoint] = lambda: device.co2_set
    return reads


def role_writes(settings: Unit, device: AnyUnit) -> dict[str, Callable[[float], bool]]:
    """Likewise for what may be written; the heartbeat needs the time and is the plant's."""
    writes: dict[str, Callable[[float], bool]] = {}
    if settings.enable is not None:
        writes[settings.enable] = device.panel.write_enable
    if settings.supply_setpoint is not None and isinstance(device, AirHandlerTwin | ChillerTwin):
        writes[settings.supply_setpoint] = device.write_supply
    if settings.co2_setpoint is not None and isinstance(device, VentilationTwin):
        writes[settings.co2_setpoint] = device.write_co2
    return writes
