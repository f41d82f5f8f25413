"""Rules about zones and the units that serve them."""

from __future__ import annotations

from collections.abc import Iterator

from agent.config.fault import Fault
from agent.config.rules_air import dead_man, heartbeat_pace
from agent.config.rules_hvac_kinds import kind_faults
from agent.config.rules_tags import unknown_device
from agent.config.site import Hvac, Site, Unit, Zone
from agent.config.uses import has_own_life
from agent.config.where import Place, nearest

# Closer than this, heating and cooling set-points make a unit heat and cool in turn
# (ASHRAE 90.1 asks for 3 K, Title 24 for 5 degF; 2 K is what controllers still hold).
LEAST_DEAD_BAND_K = 2.0


def hvac_faults(site: Site) -> Iterator[Fault]:
    """Faults of all units and zones; none without [hvac]."""
    hvac = site.hvac
    if hvac is None:
        return
    yield from kind_faults(hvac)
    yield from _weather(site, hvac)
    yield from _switchback(hvac)
    for name, unit in hvac.units.items():
        place: Place = ("hvac", "units", name)
        if unit.device not in site.devices:
            yield unknown_device(site, (*place, "device"), unit.device)
        yield from _unit_in_control(site, hvac, place, name, unit)
    for name, zone in hvac.zones.items():
        place = ("hvac", "zones", name)
        if zone.unit not in hvac.units:
            close = nearest(zone.unit, hvac.units)
            fix = f'write unit = "{close}"' if close else f"add [hvac.units.{zone.unit}]"
            yield Fault((*place, "unit"), f"unit '{zone.unit}' of zone '{name}' is not described", fix)
        yield from _comfort(place, name, zone)
        yield from _zone_in_control(hvac, place, name, zone)
        if zone.model is not None and zone.model.mass_kwh_per_k > 0 and zone.model.mass_ua_kw_per_k == 0:
            yield Fault(
                (*place, "model"),
                f"the model of zone '{name}' has a mass that nothing couples to the air",
                "add mass_ua_kw_per_k, or take mass_kwh_per_k out",
                table=True,
            )


def _weather(site: Site, hvac: Hvac) -> Iterator[Fault]:
    weather = hvac.weather
    if weather is None:
        return
    place: Place = ("hvac", "weather")
    given = [key for key in ("topic", "file", "url") if getattr(weather, key) is not None]
    if len(given) != 1:
        yield Fault(
            place,
            "the weather comes from nowhere"
            if not given
            else f"the weather comes from {' and '.join(given)}",
            "give one of topic, file and url",
            table=True,
        )
    if weather.topic is not None and weather.broker is None and site.uplink is None:
        yield Fault(
            (*place, "topic"),
            "no broker brings the topic: there is neither an uplink nor a broker of its own",
            'add broker = "mqtt://HOST:1883"',
        )
    if weather.topic is not None and set(weather.topic) & set("+#"):
        yield Fault((*place, "topic"), f"{weather.topic!r} means many topics", "name the one that brings it")
    if weather.url is not None and not weather.url.startswith(("http://", "https://")):
        yield Fault((*place, "url"), f"{weather.url!r} is no web address", 'write url = "https://HOST/..."')


def _switchback(hvac: Hvac) -> Iterator[Fault]:
    test = hvac.switchback
    if test is None:
        return
    if test.days < 8 * test.block_days:
        yield Fault(
            ("hvac", "switchback", "days"),
            f"{test.days} days hold {test.days // test.block_days} blocks of {test.block_days}; four of each control "
            "are the least that any figure can come from",
            f"set days = {8 * test.block_days} or more",
        )
    if test.block_days == 7:
        yield Fault(
            ("hvac", "switchback", "block_days"),
            "blocks of 7 days begin on the same day of the week, and that day, the first of each, is never counted",
            "set block_days = 10",
        )
    if hvac.mode != "control":
        yield Fault(
            ("hvac", "switchback"),
            f'half of the test belongs to the agent, but mode is "{hvac.mode}"',
            'set mode = "control", or take the test out',
            table=True,
        )
    if hvac.outdoor_temp is None or not any(unit.power is not None for unit in hvac.units.values()):
        yield Fault(
            ("hvac", "switchback"),
            "a test needs the outdoor temperature and the power of a unit, and one is missing",
            "give outdoor_temp and the units' power tags",
            table=True,
        )


def _unit_in_control(site: Site, hvac: Hvac, place: Place, name: str, unit: Unit) -> Iterator[Fault]:
    if hvac.mode != "control":
        return
    if has_own_life(site, unit.device) and unit.left_behind == "dead-man":
        yield from dead_man(place, f"unit '{name}'", unit.dead_man_s, site.tick_s)
        yield from heartbeat_pace(site, unit.heartbeat, f"unit '{name}'", unit.dead_man_s)
        if unit.heartbeat is None:
            yield Fault(
                place,
                f"unit '{name}' has no heartbeat, which mode \"control\" asks for: nothing tells it that the "
                "agent is gone",
                f'add heartbeat = "{unit.device}.heartbeat" (a word that the agent counts up); or, for a unit that '
                'has no such word, left_behind = "comfort"; or set mode = "advise"',
                table=True,
            )
    if unit.kind != "ventilation" and not unit.cooling_kw and not unit.heating_kw:
        yield Fault(
            place,
            f"unit '{name}' neither heats nor cools: cooling_kw and heating_kw are 0",
            "add them from the nameplate: they are thermal power",
            table=True,
        )


def _comfort(place: Place, name: str, zone: Zone) -> Iterator[Fault]:
    for kind, low, high in (
        ("comfort", zone.comfort_low_degc, zone.comfort_high_degc),
        ("setback", zone.setback_low_degc, zone.setback_high_degc),
    ):
        keys = f"{kind}_low_degc = {low:g}", f"{kind}_high_degc = {high:g}"
        if low >= high:
            yield Fault(
                (*place, f"{kind}_low_degc"),
                f"zone '{name}': {keys[0]} is not below {keys[1]}",
                "exchange them, or correct one",
            )
        elif high - low < LEAST_DEAD_BAND_K:
            yield Fault(
                (*place, f"{kind}_high_degc"),
                f"zone '{name}': {keys[0]} and {keys[1]} leave {high - low:g} K between heating and cooling: the "
                "unit would do both in turn",
                f"leave at least {LEAST_DEAD_BAND_K:g} K: {kind}_high_degc = {low + LEAST_DEAD_BAND_K:g}",
            )
    for kind, comfort, setback, inside in (
        ("low", zone.comfort_low_degc, zone.setback_low_degc, zone.setback_low_degc > zone.comfort_low_degc),
        (
            "high",
            zone.comfort_high_degc,
            zone.setback_high_degc,
            zone.setback_high_degc < zone.comfort_high_degc,
        ),
    ):
        if inside:
            yield Fault(
                (*place, f"setback_{kind}_degc"),
                f"zone '{name}': setback_{kind}_degc = {setback:g} lies inside the comfort band "
                f"(comfort_{kind}_degc = {comfort:g}): empty hours would be held tighter than working hours",
                f"set setback_{kind}_degc = {comfort:g} or further out",
            )
    yield from _hard_limits(place, name, zone)
    if not zone.occupancy and zone.occupied is None:
        yield Fault(
            place,
            f"nobody says when zone '{name}' has people: neither occupancy nor occupied is given",
            'add occupancy = [{ days = "mon-fri", from = "06:00", to = "18:00" }]',
            table=True,
        )


def _hard_limits(place: Place, name: str, zone: Zone) -> Iterator[Fault]:
    """With people and for goods: outside the comfort band, and 2 K apart."""
    for key, value, inside, edge in (
        (
            "people_low_degc",
            zone.people_low_degc,
            zone.hard_low_degc > zone.comfort_low_degc,
            "comfort_low_degc",
        ),
        (
            "people_high_degc",
            zone.people_high_degc,
            zone.hard_high_degc < zone.comfort_high_degc,
            "comfort_high_degc",
        ),
    ):
        if inside:
            limit = getattr(zone, edge)
            yield Fault(
                (*place, key),
                f"zone '{name}': {key} = {value:g} lies inside the comfort band ({edge} = {limit:g})",
                f"set {key} = {limit:g} or further out",
            )
    high = zone.goods_high_degc
    if high is not None and high - zone.goods_low_degc < LEAST_DEAD_BAND_K:
        yield Fault(
            (*place, "goods_high_degc"),
            f"zone '{name}': goods_low_degc = {zone.goods_low_degc:g} and goods_high_degc = {high:g} leave less than "
            f"{LEAST_DEAD_BAND_K:g} K",
            f"set goods_high_degc = {zone.goods_low_degc + LEAST_DEAD_BAND_K:g} or more",
        )
    elif zone.goods_low_degc > zone.comfort_high_degc - LEAST_DEAD_BAND_K or (
        high is not None and high < zone.comfort_low_degc + LEAST_DEAD_BAND_K
    ):
        yield Fault(
            (*place, "goods_low_degc"),
            f"zone '{name}': what the goods need ({zone.goods_low_degc:g} to {high or 50.0:g} degC) leaves no "
            f"{LEAST_DEAD_BAND_K:g} K of the comfort band",
            "correct goods_low_degc, goods_high_degc or the comfort band",
        )


def _zone_in_control(hvac: Hvac, place: Place, name: str, zone: Zone) -> Iterator[Fault]:
    unit = hvac.units.get(zone.unit)
    if hvac.mode != "control" or unit is None:
        return
    for key, power, verb in (
        ("heating_setpoint", unit.heating_kw, "heats"),
        ("cooling_setpoint", unit.cooling_kw, "cools"),
    ):
        if power > 0 and getattr(zone, key) is None:
            yield Fault(
                place,
                f"zone '{name}' has no {key}, but unit '{zone.unit}' {verb} and mode is \"control\"",
                f'add {key} = "{unit.device}.{key}", or set mode = "advise"',
                table=True,
            )
