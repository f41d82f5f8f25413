"""Rules about the kinds of units: what each may serve, and which set-points it has."""

from __future__ import annotations

from collections.abc import Iterator

from agent.config.fault import Fault
from agent.config.site import Hvac, Unit
from agent.config.where import Place, nearest

_WITH_ZONES = ("rooftop", "air-handler")
# Water freezes, and condenses on nothing above; air dries nothing when warm, and is too cold to sit in.
_SUPPLY_DEGC = {"chiller": (4.0, 20.0), "air-handler": (8.0, 35.0)}


def kind_faults(hvac: Hvac) -> Iterator[Fault]:
    """Faults of all units that come from their kind."""
    for name, unit in hvac.units.items():
        place: Place = ("hvac", "units", name)
        yield from _serves(hvac, place, name, unit)
        yield from _supply(place, name, unit)
        if unit.kind == "ventilation" and unit.co2_low_ppm > unit.co2_high_ppm:
            yield Fault(
                (*place, "co2_low_ppm"),
                f"unit '{name}': co2_low_ppm = {unit.co2_low_ppm:g} is above co2_high_ppm = {unit.co2_high_ppm:g}: empty "
                "rooms would be aired more than full ones",
                "exchange them, or correct one",
            )
    for name, zone in hvac.zones.items():
        unit_of = hvac.units.get(zone.unit)
        if unit_of is not None and unit_of.kind not in _WITH_ZONES:
            yield Fault(
                ("hvac", "zones", name, "unit"),
                f"unit '{zone.unit}' is a {unit_of.kind}: it has no thermostat in zone '{name}'",
                f"name the unit that heats and cools the zone, and write serves in [hvac.units.{zone.unit}]",
            )


def _serves(hvac: Hvac, place: Place, name: str, unit: Unit) -> Iterator[Fault]:
    if unit.kind in _WITH_ZONES:
        if unit.serves:
            yield Fault(
                (*place, "serves"),
                f"unit '{name}' is a {unit.kind}: its zones say so themselves (unit = \"{name}\")",
                'take serves out, or set kind = "chiller" or "ventilation"',
            )
        return
    if not unit.serves:
        yield Fault(
            place,
            f"unit '{name}' is a {unit.kind} that serves nobody",
            "add serves = [...] with "
            + ("units on its water" if unit.kind == "chiller" else "zones that it airs"),
            table=True,
        )
    known = list(hvac.units) if unit.kind == "chiller" else list(hvac.zones)
    for index, served in enumerate(unit.serves):
        if served not in known:
            close = nearest(served, known)
            yield Fault(
                (*place, "serves", index),
                f"unit '{name}' serves '{served}', which is not described",
                f'write "{close}"' if close else f"name one of {', '.join(known)}",
            )
        elif unit.kind == "chiller" and hvac.units[served].kind != "air-handler":
            yield Fault(
                (*place, "serves", index),
                f"unit '{served}' is a {hvac.units[served].kind} with its own compressor, not on the water of '{name}'",
                f'set kind = "air-handler" in [hvac.units.{served}], or take it out',
            )


def _supply(place: Place, name: str, unit: Unit) -> Iterator[Fault]:
    if unit.supply_setpoint is None:
        return
    bounds = _SUPPLY_DEGC.get(unit.kind)
    if bounds is None:
        yield Fault(
            (*place, "supply_setpoint"),
            f"unit '{name}' is a {unit.kind}: its zones' set-points are steered, not its supply temperature",
            'take it out, or set kind = "air-handler" or "chiller"',
        )
        return
    low, high = unit.supply_low_degc, unit.supply_high_degc
    if low is None or high is None:
        yield Fault(
            place,
            f"unit '{name}' has a supply_setpoint without supply_low_degc and supply_high_degc",
            "add both: as laid out (13 for air, 7 for water), and the warmest that still dries the air",
            table=True,
        )
    elif not bounds[0] <= low < high <= bounds[1]:
        yield Fault(
            (*place, "supply_low_degc"),
            f"unit '{name}': supply_low_degc = {low:g} and supply_high_degc = {high:g} are no range within "
            f"{bounds[0]:g} to {bounds[1]:g} degC",
            "correct them",
        )
