"""Rules about place, tariff and uplink."""

from __future__ import annotations

import re
from collections.abc import Iterator
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from agent.config.fault import Fault
from agent.config.parts import minute_of_day, weekday_set
from agent.config.services import Production, Uplink
from agent.config.site import Site, Tariff
from agent.config.where import Place, nearest


def site_faults(site: Site) -> Iterator[Fault]:
    """Faults of [site], [tariff], [production] and [uplink]."""
    try:
        ZoneInfo(site.site.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        close = _nearest_zone(site.site.timezone)
        yield Fault(
            ("site", "timezone"),
            f"time zone '{site.site.timezone}' is not known",
            f'write timezone = "{close}"' if close else 'write an IANA name such as "Europe/Berlin"',
        )
    if site.site.country and not re.fullmatch(r"[A-Z]{2}", site.site.country):
        yield Fault(
            ("site", "country"),
            f'country = "{site.site.country}" is not a code of two capital letters',
            'write it as in ISO 3166: "DE", "US"',
        )
    yield from _tariff(site, site.tariff)
    if site.uplink is not None:
        yield from _uplink(site.uplink)
    if site.production is not None:
        yield from _production(site, site.production)


def _production(site: Site, production: Production) -> Iterator[Fault]:
    if production.file is None and production.topic is None:
        yield Fault(
            ("production",),
            "[production] says neither where the plan is nor on which topic it comes",
            'write file = "plan.csv", or topic = "plan" with an [uplink]',
        )
    if production.topic is not None and site.uplink is None:
        yield Fault(
            ("production", "topic"),
            f'topic = "{production.topic}", and there is no broker to hear it from',
            "add [uplink] broker, or write file instead",
        )
    if production.topic in {"mode", "update", "ask"}:
        yield Fault(
            ("production", "topic"),
            f'the topic "{production.topic}" means something else to the agent',
            'write topic = "plan"',
        )


def _nearest_zone(name: str) -> str | None:
    zones = available_timezones()
    by_city = {zone.rpartition("/")[2]: zone for zone in sorted(zones, reverse=True)}
    city = nearest(name.rpartition("/")[2].replace(" ", "_"), by_city)
    return nearest(name, zones) or (by_city[city] if city else None)


def _tariff(site: Site, tariff: Tariff) -> Iterator[Fault]:
    if not re.fullmatch(r"[A-Z]{3}", tariff.currency):
        yield Fault(
            ("tariff", "currency"),
            f'currency = "{tariff.currency}" is not a code of three capital letters',
            f'write it as in ISO 4217: "{tariff.currency.upper()}"'
            if tariff.currency.isalpha()
            else 'write "EUR"',
        )
    if 60 % tariff.demand_interval_min:
        yield Fault(
            ("tariff", "demand_interval_min"),
            f"demand_interval_min = {tariff.demand_interval_min} does not divide the hour",
            "write 15, 30 or 60 as the utility's contract says",
        )
    for index, period in enumerate(tariff.periods):
        place: Place = ("tariff", "periods", index)
        if period.energy_price_per_kwh > 5:
            yield Fault(
                (*place, "energy_price_per_kwh"),
                f"a price of {period.energy_price_per_kwh:g} {tariff.currency} per kWh is beyond 5",
                f"write {period.energy_price_per_kwh / 100:g} if it was given in cents",
            )
        days, start, end = weekday_set(period.days), minute_of_day(period.from_), minute_of_day(period.to)
        for other in tariff.periods[:index]:
            if (
                days <= weekday_set(other.days)
                and minute_of_day(other.from_) <= start
                and end <= minute_of_day(other.to)
            ):
                yield Fault(
                    place,
                    f"the price from {period.from_} to {period.to} on {period.days} never holds: an earlier period "
                    f"({other.from_} to {other.to} on {other.days}) covers it, and the first one counts",
                    "put the narrower period first, or take it out",
                )
                break
    limit = tariff.site_limit_kw
    if limit is not None:
        if tariff.peak_so_far_kw > limit:
            yield Fault(
                ("tariff", "peak_so_far_kw"),
                f"peak_so_far_kw = {tariff.peak_so_far_kw:g} is above site_limit_kw = {limit:g}",
                "correct the one that is wrong: a peak already paid for cannot lie above the limit",
            )
        powers = {
            f"'{machine_id}' of station '{station_id}'": machine.full_power_kw
            for station_id, station in site.stations.items()
            for machine_id, machine in station.machines.items()
            if not machine.locked_out
        }
        largest = max(powers, key=lambda name: powers[name], default=None)
        if largest is not None and powers[largest] > limit:
            yield Fault(
                ("tariff", "site_limit_kw"),
                f"site_limit_kw = {limit:g} is less than machine {largest} takes alone ({powers[largest]:g} kW)",
                "correct the limit; it is the whole site's, in kW",
            )


def _uplink(uplink: Uplink) -> Iterator[Fault]:
    place: Place = ("uplink",)
    try:
        parts = urlsplit(uplink.broker)
        good = parts.scheme in {"mqtt", "mqtts"} and bool(parts.hostname) and parts.port != 0
        clean = parts.path in {"", "/"} and parts.password is None and parts.username is None
    except ValueError:
        good, clean = False, True
        parts = urlsplit("")
    if not good:
        yield Fault(
            (*place, "broker"),
            f'broker = "{uplink.broker}" is not the address of a broker',
            'write it as "mqtt://host:1883" or "mqtts://host:8883"',
        )
    elif not clean:
        yield Fault(
            (*place, "broker"),
            "broker holds more than scheme, host and port",
            "user goes to username, the password to the credential mqtt_password, topics to topic_root",
        )
    if re.search(r"[+#\s]|^/|/$|//|^\$", uplink.topic_root) or not uplink.topic_root:
        yield Fault(
            (*place, "topic_root"),
            f'topic_root = "{uplink.topic_root}" is not the beginning of a topic',
            'write a name without blank, "+", "#" and outer "/": "trimload"',
        )
    files = [key for key in ("ca_file", "cert_file", "key_file") if getattr(uplink, key) is not None]
    if good and parts.scheme == "mqtt" and files:
        yield Fault(
            (*place, files[0]),
            f"{', '.join(files)} given, but the broker's address begins with mqtt: nothing would be encrypted",
            'write broker = "mqtts://..." with its TLS port, mostly 8883, or take the files out',
        )
    if (uplink.cert_file is None) != (uplink.key_file is None):
        lacking = "key_file" if uplink.key_file is None else "cert_file"
        yield Fault(place, f"a client certificate needs its key: no {lacking}", f"add {lacking}", table=True)
