"""The demand in a past that the agent did not see: from a historian's own columns, minute by minute.

A station's demand is learned from `<station>.demand_m3_min`. No historian has that column; it has the flow meter's,
or what the machines did. Either will do, and whatever it holds was the work of the control before the agent.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np

from agent.config.site import Machine, Site, Station
from agent.domain import Mode
from agent.planner.curves import FlowPower, nameplate_curve
from agent.planner.part_load import KINDS
from agent.savings.measured import Floats, StationMinutes, read_minutes
from agent.store.history import History
from agent.store.tags import MODE_CODES, demand_tag, mode_tag


def complete_past(history: History, site: Site, begin: datetime, end: datetime) -> None:
    """Add each station's demand and mode (observe) to the minutes of [begin, end) that lack them."""
    for station_id, station in site.stations.items():
        minutes = read_minutes(history, station_id, station, begin, end)
        own = history.series(demand_tag(station_id), begin, end).values
        if np.isfinite(own).any():
            demand = own
        else:
            demand = np.where(
                np.isfinite(minutes.flow_m3_min), minutes.flow_m3_min, balance(minutes, station)
            )
            _load(history, demand_tag(station_id), minutes.start_at, np.maximum(demand, 0.0))
        watched = np.where(np.isfinite(demand) & ~np.isfinite(minutes.mode), MODE_CODES[Mode.OBSERVE], np.nan)
        _load(history, mode_tag(station_id), minutes.start_at, watched)


def balance(minutes: StationMinutes, station: Station) -> Floats:
    """Free air taken [m3/min] by what the machines delivered and the net stored; NaN where a machine is unknown."""
    supply = np.zeros(minutes.count)
    for index, machine in enumerate(station.machines.values()):
        supply += _delivered(
            machine,
            running=minutes.running[:, index],
            loaded=minutes.loaded[:, index],
            power_kw=minutes.power_kw[:, index],
            output_share=minutes.output_share[:, index],
        )
    pressure = minutes.pressure_bar_g
    rise = np.zeros(minutes.count)
    rise[1:-1] = (pressure[2:] - pressure[:-2]) / 2.0
    stored = np.nan_to_num(rise) * station.receiver_m3 / station.atmosphere_bar
    return np.maximum(supply - stored, 0.0)


def _delivered(
    machine: Machine, *, running: Floats, loaded: Floats, power_kw: Floats, output_share: Floats
) -> Floats:
    """Mean free air of each minute [m3/min]: by its loaded share, by its power where that is not told."""
    full, span_kw = machine.full_flow_m3_min, machine.full_power_kw - machine.unloaded_power_kw
    if machine.control == "start-stop":
        # It delivers whenever it runs.
        loaded = np.where(np.isfinite(loaded), loaded, running)
    on = np.where(np.isfinite(loaded), np.fmin(loaded, running), running)
    told = np.isfinite(output_share)
    share = np.clip(output_share, 0.0, 1.0)
    if machine.control == "vsd":
        points = (FlowPower(0.0, machine.unloaded_power_kw), *nameplate_curve(machine))
        by_power = np.interp(power_kw, [p.power_kw for p in points], [p.flow_m3_min for p in points])
        flow = np.where(told, full * share * on, by_power)
    else:
        by_power = full * np.clip((power_kw - machine.unloaded_power_kw) / max(span_kw, 1e-9), 0.0, 1.0)
        throttled = np.where(told, share, 1.0) if KINDS[machine.control].throttles else 1.0
        flow = np.where(np.isfinite(loaded), full * on * throttled, by_power)
    # A minute in which it did not deliver needs no share and no power.
    return np.where(on == 0.0, 0.0, flow)


def _load(history: History, tag: str, begin: datetime, values: Floats) -> None:
    known = np.flatnonzero(np.isfinite(values))
    history.load((begin + timedelta(minutes=int(at)), tag, float(values[at])) for at in known)
