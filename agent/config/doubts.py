"""What a site may mean but an engineer should look at once more: never a reason not to run."""

from __future__ import annotations

from collections.abc import Iterator

from agent.config.fault import Fault
from agent.config.site import Machine, Site, Station, Unit
from agent.config.where import Place


def doubts(site: Site) -> Iterator[Fault]:
    """Doubts in the order of devices, stations, units, uplink."""
    for name, device in site.devices.items():
        if device.driver != "lines" and device.timeout_s > site.tick_s:
            yield Fault(
                ("devices", name, "timeout_s"),
                f"device '{name}' may take {device.timeout_s:g} s to answer, longer than a tick of {site.tick_s:g} s",
                "a shorter timeout_s keeps a silent device from delaying the others",
            )
        for key, point in device.points.items():
            if not point.writable and (point.write_min is not None or point.write_max is not None):
                yield Fault(
                    ("devices", name, "points", key),
                    f"{name}.{key} has a write range but is not writable",
                    "set writable = true, or take the range out",
                    table=True,
                )
    for name, station in site.stations.items():
        place: Place = ("stations", name)
        yield from _station(site, place, name, station)
        for key, machine in station.machines.items():
            here: Place = (*place, "machines", key)
            yield from _starts(here, f"machine '{key}'", machine)
            if machine.control == "load-unload" and machine.unloaded_power_kw > 0.5 * machine.full_power_kw:
                share = machine.unloaded_power_kw / machine.full_power_kw
                yield Fault(
                    (*here, "unloaded_power_kw"),
                    f"machine '{key}' takes {share:.0%} of its full-load power unloaded; 17 to 25 % is usual",
                    "check the data sheet: it may be the power of a modulating inlet, or blow-down that fails",
                )
            if machine.control == "modulation" and machine.unloaded_power_kw < 0.5 * machine.full_power_kw:
                share = machine.unloaded_power_kw / machine.full_power_kw
                yield Fault(
                    (*here, "unloaded_power_kw"),
                    f"machine '{key}' throttles without unloading, but takes only {share:.0%} of its full-load power "
                    "at no flow; 60 to 70 % is usual",
                    'check the data sheet: if it unloads, its control is "modulation-unload"',
                )
    if site.hvac is not None:
        served = {zone.unit for zone in site.hvac.zones.values()}
        for name, unit in site.hvac.units.items():
            yield from _starts(("hvac", "units", name), f"unit '{name}'", unit)
            if name not in served and not unit.serves:
                yield Fault(
                    ("hvac", "units", name),
                    f"unit '{name}' serves no zone, so nothing is planned for it",
                    f'name it in a zone: unit = "{name}"',
                    table=True,
                )
    uplink = site.uplink
    if uplink is not None and uplink.username is not None and uplink.broker.startswith("mqtt:"):
        yield Fault(
            ("uplink", "broker"),
            "user and password go to the broker in clear text",
            'write broker = "mqtts://..." unless the line is private',
        )


def _station(site: Site, place: Place, name: str, station: Station) -> Iterator[Fault]:
    if station.mode != "control":
        return
    if station.receiver_rated_bar_g is None:
        yield Fault(
            place,
            f"station '{name}' is in control, but nothing says what its receiver stands: pressures cannot be checked",
            "add receiver_rated_bar_g from the nameplate",
            table=True,
        )
    blind = [key for key, machine in station.machines.items() if machine.local_load_bar_g is None]
    if blind:
        yield Fault(
            place,
            f"the own pressure switches of {', '.join(blind)} are not given: nobody checks what happens in local control",
            "add local_load_bar_g and local_unload_bar_g as set in the controllers",
            table=True,
        )
    largest = max(station.machines.values(), key=lambda machine: machine.full_flow_m3_min)
    # dp/dt = P_atm Q / V of an isothermal receiver
    rise_bar_s = station.atmosphere_bar * largest.full_flow_m3_min / 60.0 / station.receiver_m3
    crossing_s = station.band_width_bar / rise_bar_s
    slowest_s = largest.reload_s + site.tick_s
    if crossing_s < slowest_s:
        needed_m3 = station.receiver_m3 * slowest_s / crossing_s
        yield Fault(
            (*place, "receiver_m3"),
            f"the largest machine crosses the band of station '{name}' in {crossing_s:.1f} s, faster than it can be "
            f"switched ({slowest_s:.1f} s): it will overshoot and switch often",
            f"check receiver_m3 (all receivers and pipes; {needed_m3:.3g} m3 would do), or widen band_width_bar",
        )


def _starts(place: Place, subject: str, limited: Machine | Unit) -> Iterator[Fault]:
    cycle_s = limited.min_run_s + limited.min_stop_s
    if "max_starts_per_hour" in limited.model_fields_set and cycle_s * limited.max_starts_per_hour > 3600.0:
        reachable = 3600.0 / cycle_s
        yield Fault(
            (*place, "max_starts_per_hour"),
            f"{subject} never reaches {limited.max_starts_per_hour} starts an hour: min_run_s + min_stop_s = "
            f"{cycle_s:g} s allow {reachable:.1f}",
            "check which of the three numbers the maker gives",
        )
