"""Which set-points a zone may ever get: the site's edges, people, goods, the device's own range and steps. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

from agent.config.parts import Point
from agent.config.site import Hvac, Unit, Zone
from agent.units import CONVERSIONS

# Heating stays this far below cooling, so that the two never work against each other.
DEAD_BAND_K = 2.0
# Set-points are sent in tenths, or in the device's own steps where those are coarser.
_FINE_K = 0.1
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class DeviceRange:
    """What one set-point of a device can hold: bounds and steps, [degC]."""

    low_degc: float = -100.0
    high_degc: float = 100.0
    step_k: float = _FINE_K
    origin_degc: float = 0.0
    least_interval_s: float = 0.0


def device_range(point: Point | None) -> DeviceRange:
    """From the point's write range, type and scale; anything for a point that is not described."""
    if point is None:
        return DeviceRange()
    low = -100.0 if point.write_min is None else point.write_min
    high = 100.0 if point.write_max is None else point.write_max
    conversion = CONVERSIONS[point.unit]
    step = abs(point.scale * conversion.factor)
    # An address makes it a register; a node or a line takes any number.
    whole = point.address is not None and not point.type.startswith("float")
    origin = point.offset * conversion.factor + conversion.offset
    if whole and step > _FINE_K + _TINY:
        return DeviceRange(low, high, step, origin, point.min_write_interval_s)
    return DeviceRange(low, high, _FINE_K, 0.0, point.min_write_interval_s)


def as_left_behind(hvac: Hvac) -> Hvac:
    """What may be planned: a zone whose unit nothing takes back has no set-back, only its comfort band."""
    zones = {}
    for name, zone in hvac.zones.items():
        unit = hvac.units.get(zone.unit)
        band = {"setback_low_degc": zone.comfort_low_degc, "setback_high_degc": zone.comfort_high_degc}
        tied = unit is not None and unit.left_behind == "comfort"
        zones[name] = zone.model_copy(update=band) if tied else zone
    return hvac.model_copy(update={"zones": zones})


def served_zones(hvac: Hvac, name: str) -> set[str]:
    """Zones that hang on a unit: its own, those of the units on a chiller's water, those that ventilation airs."""
    unit = hvac.units[name]
    if unit.kind == "ventilation":
        return set(unit.serves) & set(hvac.zones)
    units = set(unit.serves) if unit.kind == "chiller" else {name}
    return {zone for zone, settings in hvac.zones.items() if settings.unit in units}


def edges(zone: Zone, unit: Unit | None, *, people: bool) -> tuple[float, float]:
    """The lowest heating and the highest cooling set-point that may stand now, [degC]."""
    low = min(zone.setback_low_degc, zone.comfort_low_degc)
    high = max(zone.setback_high_degc, zone.comfort_high_degc)
    if unit is not None and unit.left_behind == "comfort":
        low, high = zone.comfort_low_degc, zone.comfort_high_degc
    if people:
        low, high = max(low, zone.hard_low_degc), min(high, zone.hard_high_degc)
    if zone.goods_high_degc is not None:
        high = min(high, zone.goods_high_degc)
    return max(low, zone.goods_low_degc), high


def danger(zone: Zone, temp_degc: float, *, people: bool) -> str:
    """What stands against leaving the zone to its plan: "cold", "hot" or ""."""
    if temp_degc < zone.goods_low_degc or (people and temp_degc < zone.hard_low_degc):
        return "cold"
    if zone.goods_high_degc is not None and temp_degc > zone.goods_high_degc:
        return "hot"
    return "hot" if people and temp_degc > zone.hard_high_degc else ""


def allowed(
    heating_degc: float,
    cooling_degc: float,
    bounds: tuple[float, float],
    heating: DeviceRange,
    cooling: DeviceRange,
) -> tuple[float, float] | None:
    """The nearest pair that site and device both take, `DEAD_BAND_K` apart; None where there is none."""
    low, high = bounds
    cool = _held(
        cooling_degc,
        max(low + DEAD_BAND_K, cooling.low_degc, heating.low_degc + DEAD_BAND_K),
        min(high, cooling.high_degc),
        cooling,
    )
    if cool is None:
        return None
    heat = _held(
        heating_degc, max(low, heating.low_degc), min(cool - DEAD_BAND_K, heating.high_degc), heating
    )
    if heat is not None:
        return heat, cool
    # The device's steps left no room below: one step more for cooling makes it.
    cool = _held(cool + cooling.step_k, cool, min(high, cooling.high_degc), cooling)
    if cool is None:
        return None
    heat = _held(
        heating_degc, max(low, heating.low_degc), min(cool - DEAD_BAND_K, heating.high_degc), heating
    )
    return None if heat is None else (heat, cool)


def may_follow(new: float, standing: float, other: float | None, *, heating: bool) -> bool:
    """Whether one write alone keeps the dead-band against what stands on the other side, or widens it."""
    if other is None:
        return True
    spread = other - new if heating else new - other
    before = other - standing if heating else standing - other
    return spread >= DEAD_BAND_K - _TINY or spread >= before - _TINY


def stepped(new: float, standing: float | None, most_k: float | None) -> float:
    """`new`, or as far towards it as one write may go."""
    if most_k is None or standing is None or abs(new - standing) <= most_k + _TINY:
        return new
    return standing + most_k if new > standing else standing - most_k


def _held(wanted: float, low: float, high: float, device: DeviceRange) -> float | None:
    """The device's step nearest to `wanted` within bounds; None where no step lies within."""
    size, origin = device.step_k, device.origin_degc
    first, last = ceil((low - origin) / size - 1e-6), floor((high - origin) / size + 1e-6)
    if first > last:
        return None
    return round(origin + size * min(max(round((wanted - origin) / size), first), last), 6)
