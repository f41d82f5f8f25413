"""Rules about compressor stations: band, nameplates, machines, dead-man."""

from __future__ import annotations

import math
from collections.abc import Iterator

from agent.config.fault import Fault
from agent.config.site import Machine, Site, Station
from agent.config.uses import has_own_life
from agent.config.where import Place
from agent.units import to_canonical

# Full-load power of an air compressor per free air: 4.5-10 kW/(m3/min) at 4-13 bar in catalogues
# (CAGI data sheets, MEASUR). Outside the wider span one of the numbers is in another unit.
_LEAST_KW_MIN_M3 = 2.5
_MOST_KW_MIN_M3 = 20.0
_USUAL_KW_MIN_M3 = 6.5
_FLOW_UNITS = ("m3/h", "l/s", "l/min", "cfm")
THROTTLED = frozenset(
    [
        "modulation-unload",
        "variable-displacement-unload",
        "modulation",
        "centrifugal-blow-off",
        "centrifugal-modulation-unload",
    ]
)
_WITH_LEAST_FLOW = (THROTTLED | {"vsd"}) - {"modulation"}
_SAME_POWER_SHARE = 0.02
# A dead-man shorter than this many ticks trips when a single write is lost.
_DEAD_MAN_TICKS = 3.0


def air_faults(site: Site) -> Iterator[Fault]:
    """Faults of every station and its machines."""
    if not site.stations and site.hvac is None:
        yield Fault(
            (), "there is neither a station nor [hvac]: nothing to watch", "add [stations.X] or [hvac]"
        )
    for name, station in site.stations.items():
        place: Place = ("stations", name)
        yield from _band(place, station)
        yield from _altitude(site, place, station)
        for key, machine in station.machines.items():
            here: Place = (*place, "machines", key)
            yield from _nameplate(here, key, machine)
            yield from _part_load(here, key, machine)
            yield from _switch(here, key, machine, station)
            yield from _timers(here, key, machine)
            if station.mode == "control" and not machine.locked_out and has_own_life(site, machine.device):
                yield from dead_man(here, f"machine '{key}'", machine.dead_man_s, site.tick_s)
                yield from heartbeat_pace(
                    site, machine.tag("heartbeat"), f"machine '{key}'", machine.dead_man_s
                )
        yield from _together(place, name, station)
        yield from _baseline((*place, "baseline"), station)


def dead_man(place: Place, subject: str, dead_man_s: float | None, tick_s: float) -> Iterator[Fault]:
    """What CONTROL asks of everything that goes on by itself when the agent dies."""
    if dead_man_s is None:
        yield Fault(
            place,
            f'{subject} has no dead_man_s, which mode "control" asks for: its controller must return to local '
            "control when the agent dies",
            'set it in the controller and here (dead_man_s = 30), or set mode = "advise"',
            table=True,
        )
    elif dead_man_s < _DEAD_MAN_TICKS * tick_s - 1e-9:
        yield Fault(
            (*place, "dead_man_s"),
            f"{subject} falls back after {dead_man_s:g} s, but hears from the agent every {tick_s:g} s only: "
            "one lost write would trip it",
            f"set dead_man_s = {_DEAD_MAN_TICKS * tick_s:g} or more, or a shorter tick_s",
        )


def heartbeat_pace(site: Site, tag: str | None, subject: str, dead_man_s: float | None) -> Iterator[Fault]:
    """A heartbeat that may be written too seldom to keep the machine."""
    point = site.points.get(tag or "")
    if tag is None or point is None or dead_man_s is None or point.min_write_interval_s < 0.5 * dead_man_s:
        return
    device, _, name = tag.partition(".")
    yield Fault(
        ("devices", device, "points", name, "min_write_interval_s"),
        f"{tag} may be written every {point.min_write_interval_s:g} s only, but {subject} falls back when it "
        f"stands still for {dead_man_s:g} s",
        "set min_write_interval_s = 0: a heartbeat belongs in a word that does not wear, not in EEPROM",
    )


def _band(place: Place, station: Station) -> Iterator[Fault]:
    least, most = station.pressure_min_bar_g, station.pressure_max_bar_g
    rated = station.receiver_rated_bar_g
    if least >= most:
        yield Fault(
            (*place, "pressure_min_bar_g"),
            f"pressure_min_bar_g = {least:g} is not below pressure_max_bar_g = {most:g}",
            "exchange them, or correct one",
        )
    else:
        top = least + station.band_floor_bar + station.band_width_bar
        if top > most + 1e-9:
            yield Fault(
                (*place, "pressure_max_bar_g"),
                f"the band does not fit: {least:g} + floor {station.band_floor_bar:g} + width "
                f"{station.band_width_bar:g} = {top:g} bar, above pressure_max_bar_g = {most:g}",
                f"set pressure_max_bar_g = {top:g} or more if the nameplates allow it, or a smaller "
                "band_width_bar",
            )
    if rated is not None and most > rated:
        yield Fault(
            (*place, "pressure_max_bar_g"),
            f"pressure_max_bar_g = {most:g} is above the receiver's {rated:g} bar",
            f"set pressure_max_bar_g = {rated:g} or less, or correct receiver_rated_bar_g (nameplate)",
        )
    alarm = station.pressure_alarm_bar_g
    if alarm is not None and alarm <= most:
        yield Fault(
            (*place, "pressure_alarm_bar_g"),
            f"pressure_alarm_bar_g = {alarm:g} is not above pressure_max_bar_g = {most:g}: the band may reach there",
            f"set it above {most:g}, below what the safety valve opens at, or leave it out",
        )
    elif alarm is not None and rated is not None and alarm > rated:
        yield Fault(
            (*place, "pressure_alarm_bar_g"),
            f"pressure_alarm_bar_g = {alarm:g} is above the receiver's {rated:g} bar: nobody would be warned in time",
            f"set pressure_alarm_bar_g = {rated:g} or less, or correct receiver_rated_bar_g (nameplate)",
        )


def _altitude(site: Site, place: Place, station: Station) -> Iterator[Fault]:
    # International standard atmosphere, ISO 2533.
    expected = 1.01325 * (1 - 2.25577e-5 * site.site.altitude_m) ** 5.25588
    if abs(expected - station.atmosphere_bar) > 0.06:
        yield Fault(
            (*place, "atmosphere_bar"),
            f"atmosphere_bar = {station.atmosphere_bar:g}, but at altitude_m = {site.site.altitude_m:g} the air "
            f"has about {expected:.3f} bar",
            f"set atmosphere_bar = {expected:.3f}, or correct [site] altitude_m",
        )


def _nameplate(place: Place, key: str, machine: Machine) -> Iterator[Fault]:
    specific = machine.specific_power_kw_min_m3
    if not _LEAST_KW_MIN_M3 <= specific <= _MOST_KW_MIN_M3:
        # The unit in which the flow would make the most ordinary machine.
        likely = min(
            _FLOW_UNITS, key=lambda unit: abs(math.log(specific / to_canonical(1.0, unit) / _USUAL_KW_MIN_M3))
        )
        flow_m3_min = to_canonical(machine.full_flow_m3_min, likely)
        guess = (
            f"full_flow_m3_min = {flow_m3_min:.4g} if the flow was given in {likely}"
            if _LEAST_KW_MIN_M3 <= machine.full_power_kw / flow_m3_min <= _MOST_KW_MIN_M3
            else "correct full_power_kw or full_flow_m3_min; 5 to 10 kW per m3/min is usual"
        )
        yield Fault(
            (*place, "full_flow_m3_min"),
            f"machine '{key}': {machine.full_power_kw:g} kW for {machine.full_flow_m3_min:g} m3/min is "
            f"{specific:.3g} kW per m3/min, which no air compressor has",
            guess,
        )
    if machine.unloaded_power_kw >= machine.full_power_kw:
        yield Fault(
            (*place, "unloaded_power_kw"),
            f"machine '{key}' takes {machine.unloaded_power_kw:g} kW unloaded, not less than its "
            f"{machine.full_power_kw:g} kW at full load",
            f"correct it; 17 to 25 % of full load is usual: {0.2 * machine.full_power_kw:.3g}",
        )


def _part_load(place: Place, key: str, machine: Machine) -> Iterator[Fault]:
    turndown = {
        "turndown_flow_m3_min": machine.turndown_flow_m3_min,
        "turndown_power_kw": machine.turndown_power_kw,
    }
    middle = {"mid_flow_m3_min": machine.mid_flow_m3_min, "mid_power_kw": machine.mid_power_kw}
    given = [name for name, value in middle.items() if value is not None] if machine.control != "vsd" else []
    if machine.control not in _WITH_LEAST_FLOW:
        given = [name for name, value in {**turndown, **middle}.items() if value is not None]
    if given:
        yield Fault(
            (*place, given[0]),
            f"machine '{key}' has {', '.join(given)}, but control = \"{machine.control}\"",
            'set control = "vsd", or take them out',
        )
        return
    if machine.control != "vsd":
        yield from _throttled(place, key, machine)
        return
    lacking = [name for name, value in turndown.items() if value is None]
    if lacking:
        yield Fault(
            place,
            f"machine '{key}' has variable speed, but no {' and no '.join(lacking)}",
            f"add {' and '.join(lacking)}: the row of least flow in its data sheet",
            table=True,
        )
    half = [name for name, value in middle.items() if value is None]
    if len(half) == 1:
        yield Fault(
            place,
            f"machine '{key}' has a middle point without {half[0]}",
            f"add {half[0]}, or take both out",
            table=True,
        )
    rows = (
        ("flow_m3_min", machine.turndown_flow_m3_min, machine.mid_flow_m3_min, machine.full_flow_m3_min),
        ("power_kw", machine.turndown_power_kw, machine.mid_power_kw, machine.full_power_kw),
    )
    for what, low, middle_value, full in rows:
        if low is not None and low >= full:
            yield Fault(
                (*place, f"turndown_{what}"),
                f"machine '{key}': turndown_{what} = {low:g} is not below full_{what} = {full:g}",
                f"correct it, or exchange turndown_{what} and full_{what}",
            )
        elif middle_value is not None and not (low or 0.0) < middle_value < full:
            yield Fault(
                (*place, f"mid_{what}"),
                f"machine '{key}': mid_{what} = {middle_value:g} is not between turndown and full_{what} = {full:g}",
                "take a row from the middle of its data sheet",
            )


def _throttled(place: Place, key: str, machine: Machine) -> Iterator[Fault]:
    """Machines that throttle, blow off, or only start and stop."""
    control, idle_kw = machine.control, machine.unloaded_power_kw
    if machine.modulating_range_bar is not None and control not in THROTTLED:
        yield Fault(
            (*place, "modulating_range_bar"),
            f"machine '{key}' has a modulating range, but control = \"{control}\" does not throttle",
            f"take it out, or set control to one of {', '.join(sorted(THROTTLED))}",
        )
    if control == "start-stop" and idle_kw > 0.0:
        yield Fault(
            (*place, "unloaded_power_kw"),
            f"machine '{key}' starts and stops, but takes {idle_kw:g} kW unloaded",
            'set unloaded_power_kw = 0, or control = "load-unload" if it can run unloaded',
        )
    for what, low, full in (
        ("flow_m3_min", machine.turndown_flow_m3_min, machine.full_flow_m3_min),
        ("power_kw", machine.turndown_power_kw, machine.full_power_kw),
    ):
        if low is not None and low >= full:
            yield Fault(
                (*place, f"turndown_{what}"),
                f"machine '{key}': turndown_{what} = {low:g} is not below full_{what} = {full:g}",
                f"correct it, or exchange turndown_{what} and full_{what}",
            )
    least_kw = machine.turndown_power_kw
    if least_kw is None:
        return
    if (
        control == "centrifugal-blow-off"
        and abs(least_kw - idle_kw) > _SAME_POWER_SHARE * machine.full_power_kw
    ):
        yield Fault(
            (*place, "turndown_power_kw"),
            f"machine '{key}' takes {least_kw:g} kW where it begins to blow off, but {idle_kw:g} kW blowing off all",
            "give the power at the surge point as unloaded_power_kw and leave turndown_power_kw out",
        )
    elif least_kw < idle_kw:
        yield Fault(
            (*place, "turndown_power_kw"),
            f"machine '{key}' takes {least_kw:g} kW at its unload point, less than {idle_kw:g} kW unloaded",
            "exchange turndown_power_kw and unloaded_power_kw, or correct one",
        )


def _switch(place: Place, key: str, machine: Machine, station: Station) -> Iterator[Fault]:
    """Its own pressure switch: what holds the net when the agent is gone."""
    load, unload = machine.local_load_bar_g, machine.local_unload_bar_g
    if (load is None) != (unload is None):
        lacking = "local_load_bar_g" if load is None else "local_unload_bar_g"
        yield Fault(
            place, f"machine '{key}' has half a pressure switch: no {lacking}", f"add {lacking}", table=True
        )
    if load is not None and unload is not None and load >= unload:
        yield Fault(
            (*place, "local_load_bar_g"),
            f"machine '{key}': its own switch loads at {load:g} and unloads at {unload:g} bar, not above it",
            "exchange local_load_bar_g and local_unload_bar_g, or correct one",
        )
    rated = station.receiver_rated_bar_g
    if unload is not None and rated is not None and unload > rated:
        yield Fault(
            (*place, "local_unload_bar_g"),
            f"machine '{key}': its own switch unloads at {unload:g} bar, above the receiver's {rated:g} bar",
            "lower it in the controller and here, or correct receiver_rated_bar_g (nameplate)",
        )
    if unload is not None and unload <= station.pressure_min_bar_g:
        yield Fault(
            (*place, "local_unload_bar_g"),
            f"machine '{key}': its own switch unloads at {unload:g} bar, below pressure_min_bar_g = "
            f"{station.pressure_min_bar_g:g}: in local control it would never hold the pressure",
            "raise it in the controller and here, or correct pressure_min_bar_g",
        )


def _timers(place: Place, key: str, machine: Machine) -> Iterator[Fault]:
    if machine.max_starts_per_day < machine.max_starts_per_hour:
        yield Fault(
            (*place, "max_starts_per_day"),
            f"machine '{key}' may start {machine.max_starts_per_hour} times an hour, but only "
            f"{machine.max_starts_per_day} times a day",
            "correct max_starts_per_day or max_starts_per_hour",
        )


def _together(place: Place, name: str, station: Station) -> Iterator[Fault]:
    machines = list(station.machines.items())
    if all(machine.locked_out for _, machine in machines):
        yield Fault(
            place,
            f"every machine of station '{name}' is locked out: nothing can be planned",
            "set locked_out = false on the machines in service",
            table=True,
        )
    switches = [m.local_load_bar_g for _, m in machines if m.local_load_bar_g is not None]
    if switches and len(switches) == len(machines) and max(switches) < station.pressure_min_bar_g:
        yield Fault(
            place,
            f"no machine's own switch loads above pressure_min_bar_g = {station.pressure_min_bar_g:g} (highest: "
            f"{max(switches):g}): in local control the pressure falls below what the plant needs",
            "raise the switches in the controllers and here, or correct pressure_min_bar_g",
            table=True,
        )


# Keys of [stations.X.baseline] that each kind of control has no use for.
_NOT_OF_BASELINE = {
    "switches": ("order", "floor_bar", "band_bar", "offset_bar", "run_on_s", "vsd_first"),
    "cascade": (),
    "sequencer": ("offset_bar",),
}


def _baseline(place: Place, station: Station) -> Iterator[Fault]:
    """A baseline that could not run on these machines would make a saving out of nothing."""
    baseline = station.baseline
    idle = [key for key in _NOT_OF_BASELINE[baseline.control] if key in baseline.model_fields_set]
    if idle:
        yield Fault(
            (*place, idle[0]),
            f'control = "{baseline.control}" has no use for {", ".join(idle)}',
            'take it out, or set control = "cascade"'
            if baseline.control == "switches"
            else "take it out: a sequencer has one band",
        )
        return
    floor, band = baseline.floor_bar or 0.0, baseline.band_bar or 0.0
    room = station.pressure_max_bar_g - station.pressure_min_bar_g
    if room > 0.0 and floor + band > room + 1e-9:
        yield Fault(
            (*place, "band_bar" if baseline.band_bar is not None else "floor_bar"),
            f"the baseline's floor {floor:g} and band {band:g} bar reach {floor + band:g} bar above the minimum, "
            f"but pressure_max_bar_g lies {room:g} bar above it",
            "write the settings that the old control really had, or correct pressure_max_bar_g",
        )
