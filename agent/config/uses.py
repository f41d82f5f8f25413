"""Every tag that a site refers to, what it is used for, and what the point must therefore be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from agent.config.site import READ_ROLES, WRITE_ROLES, Hvac, Machine, Site, Station, Unit
from agent.config.where import Place

_SWITCH = ("bool", "")
ROLE_UNITS: dict[str, tuple[str, ...]] = {
    "running": _SWITCH,
    "loaded": _SWITCH,
    "ready": _SWITCH,
    "tripped": _SWITCH,
    "power_kw": ("kW",),
    "output_share": ("share",),
    "discharge_pressure": ("bar",),
    "enable": _SWITCH,
    "run": _SWITCH,
    "load": _SWITCH,
    "output_share_set": ("share",),
    "heartbeat": ("",),
}

# The agent counts it up through all 16 bits (HEARTBEAT_WRAP in agent/control/commands.py).
HEARTBEAT_RANGE = (0.0, 65535.0)
# One contact may speak for several machines, and one word may count for all behind a common PLC.
SHAREABLE = ("ready", "tripped", "heartbeat", "discharge_pressure")


class Use(NamedTuple):
    """One reference to a tag. `units` are the canonical units that the value may have."""

    tag: str
    place: Place  # the key that names the tag, or the table of the machine whose role it plays
    purpose: str
    units: tuple[str, ...]
    named: bool = True  # the file writes this tag down; otherwise it is device.role, if there is such a point
    needed: bool = True  # without this point the mode cannot be held
    written: bool = False  # commanded when the mode is "control"
    armed: bool = False  # the mode is "control"
    alone: bool = True  # no other use may share the tag
    must_write: tuple[float, ...] = ()  # values that the write range must take in, canonical unit


def uses(site: Site) -> list[Use]:
    """All references, in the order of the file's tables."""
    found = [use for name, station in site.stations.items() for use in _station(site, name, station)]
    if site.hvac is not None:
        found += _hvac(site.hvac)
    return found


def _station(site: Site, name: str, station: Station) -> Iterator[Use]:
    place: Place = ("stations", name)
    yield Use(station.pressure, (*place, "pressure"), f"header pressure of station '{name}'", ("bar",))
    if station.flow is not None:
        yield Use(station.flow, (*place, "flow"), f"flow of station '{name}'", ("m3/min",))
    for key, machine in station.machines.items():
        yield from _machine(site, (*place, "machines", key), key, machine, armed=station.mode == "control")


def _machine(site: Site, place: Place, key: str, machine: Machine, *, armed: bool) -> Iterator[Use]:
    if machine.device not in site.devices:
        return
    needed = {"running"}
    if armed and not machine.locked_out:
        # A start-stop machine has no unloading valve: running, it is loaded.
        needed |= {"run"} if machine.control == "start-stop" else {"loaded", "run", "load"}
        if machine.control == "vsd":
            needed |= {"output_share_set"}
        if has_own_life(site, machine.device):
            needed |= {"heartbeat"}
    for role in (*READ_ROLES, *WRITE_ROLES):
        written = role in WRITE_ROLES
        if role == "output_share_set" and machine.control != "vsd":
            continue
        named = role in machine.tags
        yield Use(
            machine.tag(role),
            (*place, "tags", role) if named else place,
            f"'{role}' of machine '{key}'",
            ROLE_UNITS[role],
            named=named,
            needed=role in needed,
            written=written,
            armed=armed and not machine.locked_out,
            alone=role not in SHAREABLE,
            must_write=_role_range(role, machine) if written else (),
        )


def _role_range(role: str, machine: Machine) -> tuple[float, ...]:
    if role == "heartbeat":
        return HEARTBEAT_RANGE
    if role == "output_share_set":
        least = machine.turndown_flow_m3_min
        return (min(1.0, least / machine.full_flow_m3_min), 1.0) if least else (1.0,)
    return (0.0, 1.0)


def _hvac(hvac: Hvac) -> Iterator[Use]:
    armed = hvac.mode == "control"
    if hvac.outdoor_temp is not None:
        yield Use(hvac.outdoor_temp, ("hvac", "outdoor_temp"), "outdoor temperature", ("degC",))
    if hvac.solar is not None:
        yield Use(hvac.solar, ("hvac", "solar"), "irradiance", ("W/m2",))
    if hvac.wind is not None:
        yield Use(hvac.wind, ("hvac", "wind"), "wind speed", ("m/s",))
    for name, unit in hvac.units.items():
        place: Place = ("hvac", "units", name)
        if unit.power is not None:
            yield Use(unit.power, (*place, "power"), f"power of unit '{name}'", ("kW",))
        for key, tag, values in (
            ("enable", unit.enable, (0.0, 1.0)),
            ("heartbeat", unit.heartbeat, HEARTBEAT_RANGE),
        ):
            if tag is not None:
                purpose, units = f"'{key}' of unit '{name}'", ROLE_UNITS[key]
                yield Use(
                    tag,
                    (*place, key),
                    purpose,
                    units,
                    written=True,
                    armed=armed,
                    alone=key not in SHAREABLE,
                    must_write=values,
                )
        yield from _plant(("hvac", "units", name), name, unit, armed=armed)
    for name, zone in hvac.zones.items():
        place = ("hvac", "zones", name)
        yield Use(zone.temp, (*place, "temp"), f"temperature of zone '{name}'", ("degC",), alone=False)
        for key, tag, values in (
            ("heating_setpoint", zone.heating_setpoint, (zone.setback_low_degc, zone.comfort_low_degc)),
            ("cooling_setpoint", zone.cooling_setpoint, (zone.comfort_high_degc, zone.setback_high_degc)),
        ):
            if tag is not None:
                purpose = f"'{key}' of zone '{name}'"
                yield Use(
                    tag, (*place, key), purpose, ("degC",), written=True, armed=armed, must_write=values
                )
        if zone.occupied is not None:
            yield Use(
                zone.occupied, (*place, "occupied"), f"occupancy of zone '{name}'", _SWITCH, alone=False
            )


def _plant(place: Place, name: str, unit: Unit, *, armed: bool) -> Iterator[Use]:
    """Supply temperature and CO2 of a unit: what is read, and what is commanded."""
    if unit.supply_temp is not None:
        yield Use(
            unit.supply_temp,
            (*place, "supply_temp"),
            f"supply temperature of unit '{name}'",
            ("degC",),
            alone=False,
        )
    if unit.co2 is not None:
        yield Use(unit.co2, (*place, "co2"), f"CO2 of unit '{name}'", ("ppm",), alone=False)
    supply = tuple(v for v in (unit.supply_low_degc, unit.supply_high_degc) if v is not None)
    for key, tag, units, values in (
        ("supply_setpoint", unit.supply_setpoint, ("degC",), supply),
        ("co2_setpoint", unit.co2_setpoint, ("ppm",), (unit.co2_low_ppm, unit.co2_high_ppm)),
    ):
        if tag is not None:
            purpose = f"'{key}' of unit '{name}'"
            yield Use(tag, (*place, key), purpose, units, written=True, armed=armed, must_write=values)


def has_own_life(site: Site, device: str) -> bool:
    """Whether the device goes on by itself when the agent dies, and so needs a dead-man.

    An outside simulator on JSON lines does not: no line, no command.
    """
    return device in site.devices and site.devices[device].driver != "lines"
