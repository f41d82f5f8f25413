"""A modern single-band sequencer: one pressure point, base load by demand, trim by speed or by cycling.

What its maker would call state of the art without looking ahead: it estimates the demand, picks base and
trim machines by one of the rules of twin/baselines/selection.py, holds one band, waits a run-on time
before it stops.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from agent.config.site import Station
from twin.baselines.orders import OrderName, machine_order
from twin.baselines.selection import (
    Selection,
    SelectionName,
    base_trim_selection,
    least_power_selection,
    prefix_selection,
)
from twin.compressor import RELOADING, STARTING, STOPPED, UNLOADED, Compressor
from twin.station import AirStation

FAST_FILTER_S = 20.0
SENSOR_LOST_S = 10.0
GRID_M3_MIN = 0.25


@dataclass(frozen=True, slots=True)
class SequencerSettings:
    """What a commissioning engineer may set. Defaults: `sequencer:typical`."""

    floor_bar: float = 0.25
    band_bar: float = 0.35
    run_on_s: float = 900.0
    selection: SelectionName = "efficiency"
    order: tuple[str, ...] = ()  # a fixed order of all machines instead of the selection's
    start_delay_s: float = 30.0
    load_delay_s: float = 5.0
    lead_s: float = 10.0
    filter_s: float = 60.0
    hold_s: float = 300.0
    margin_share: float = 0.05
    vsd_trims: bool = True
    target_share: float = 0.5  # where in the band the VSDs hold the pressure, 0 its lower end


class Sequencer:
    """Commands the station's machines directly (`follow_master`), within their start limits."""

    def __init__(self, station: Station, *, settings: SequencerSettings | None = None) -> None:
        self.station = station
        self.settings = settings or SequencerSettings()
        machines = station.machines
        self._flow = {name: m.full_flow_m3_min for name, m in machines.items()}
        self._power = {name: m.full_power_kw for name, m in machines.items()}
        self._vsds = frozenset(n for n, m in machines.items() if m.control == "vsd")
        selection = self.settings.selection
        by: OrderName = (
            "efficiency" if selection == "base-trim" or selection == "least-power" else selection  # noqa: PLR1714 (narrows the type)
        )
        self.order = machine_order(station, self.settings.order or by, vsd_first=self.settings.vsd_trims)
        self._m3_per_bar = station.receiver_m3 / station.atmosphere_bar
        self.low_bar_g = station.pressure_min_bar_g + self.settings.floor_bar
        self.high_bar_g = min(self.low_bar_g + self.settings.band_bar, station.pressure_max_bar_g)
        self.target_bar_g = self.low_bar_g + self.settings.target_share * (self.high_bar_g - self.low_bar_g)
        self._select = self._selection()
        self._plant: AirStation | None = None
        self._seen_s = self._started_s = self._switched_s = 0.0
        self._last_bar_g: float | None = None
        self._fast = self._slow = self._wanted_for_s = 0.0
        self._set: tuple[str, ...] = ()
        self._choices: dict[tuple[int, tuple[str, ...]], tuple[str, ...]] = {}

    def step(self, now_s: float, dt_s: float, plant: AirStation) -> None:
        """Look at pressure and machines, set orders for the next `dt_s`."""
        pressure = plant.pressure_sensor_bar_g
        if plant is not self._plant:
            self._take_over(now_s, plant, pressure)
        if pressure is None:
            if now_s - self._seen_s > SENSOR_LOST_S:
                plant.follow_master = False
            return
        if not plant.follow_master:
            self._take_over(now_s, plant, pressure)
        self._seen_s = now_s
        self._estimate(dt_s, plant, pressure)
        available = tuple(n for n in self.order if plant.compressors[n].ready)
        self._choose(dt_s, pressure, available)
        self._trim(plant, pressure, available)
        self._hold_band(now_s, plant, pressure, available)
        self._stop_idle(plant, available)

    def _take_over(self, now_s: float, plant: AirStation, pressure: float | None) -> None:
        self._plant = plant
        plant.follow_master = True
        for compressor in plant.compressors.values():
            compressor.write_run(float(compressor.running))
            compressor.write_load(float(compressor.loaded))
        self._seen_s = self._started_s = self._switched_s = now_s
        self._last_bar_g = pressure
        self._fast = self._slow = self._delivered(plant)
        self._set = tuple(n for n in self.order if plant.compressors[n].running)
        self._wanted_for_s = 0.0

    def _delivered(self, plant: AirStation) -> float:
        """Nameplate flow of what is loaded now: a sequencer knows no better."""
        return sum(self._flow[n] * c.output_share for n, c in plant.compressors.items())

    def _estimate(self, dt_s: float, plant: AirStation, pressure: float) -> None:
        last = pressure if self._last_bar_g is None else self._last_bar_g
        rate = (pressure - last) / dt_s
        self._last_bar_g = pressure
        flow = plant.flow_sensor_m3_min if self.station.flow is not None else None
        # Supply is the last step's mean, as the pressure's rise is; orders just given are not in it.
        demand = plant.supply_m3_min - rate * 60.0 * self._m3_per_bar if flow is None else flow
        self._fast += (demand - self._fast) * min(1.0, dt_s / FAST_FILTER_S)
        self._slow += (demand - self._slow) * min(1.0, dt_s / self.settings.filter_s)

    def _choose(self, dt_s: float, pressure: float, available: tuple[str, ...]) -> None:
        """Commit a set: at once when capacity lacks, after `hold_s` when another one is only better."""
        demand = max(self._slow, 0.0) * (1.0 + self.settings.margin_share)
        best = self._selected(demand, available)
        ready = set(available)
        capacity = sum(self._flow[n] for n in self._set if n in ready)
        middle = 0.5 * (self.low_bar_g + self.high_bar_g)
        if max(self._slow, self._fast) > capacity and pressure < middle:
            # No start for a lack that the pressure does not show: noise would start and stop machines.
            self._set = self._selected(max(demand, self._fast), available)
            self._wanted_for_s = 0.0
        elif best == self._set:
            self._wanted_for_s = 0.0
        else:
            self._wanted_for_s += dt_s
            if self._wanted_for_s >= self.settings.hold_s:
                self._set = best
                self._wanted_for_s = 0.0

    def _selected(self, demand_m3_min: float, available: tuple[str, ...]) -> tuple[str, ...]:
        key = (math.ceil(demand_m3_min / GRID_M3_MIN), available)
        found = self._choices.get(key)
        if found is None:
            found = self._choices[key] = self._select(key[0] * GRID_M3_MIN, available)
        return found

    def _selection(self) -> Selection:
        settings = self.settings
        if settings.order or settings.selection not in ("base-trim", "least-power"):
            return prefix_selection(self.station)
        if settings.selection == "base-trim":
            return base_trim_selection(self.station, vsd_trims=settings.vsd_trims)
        return least_power_selection(self.station, band_bar=settings.band_bar)

    def _trim(self, plant: AirStation, pressure: float, available: tuple[str, ...]) -> None:
        """Speed of the VSDs: what the others leave, and the pressure's way back to its target in a minute."""
        vsds = [plant.compressors[n] for n in available if n in self._vsds and plant.compressors[n].loaded]
        if not vsds:
            return
        others = sum(
            self._flow[n]
            for n in available
            if n not in self._vsds
            and plant.compressors[n].order_load
            and plant.compressors[n].state != STARTING
        )
        wanted = self._fast - others + (self.target_bar_g - pressure) * self._m3_per_bar
        share = wanted / sum(c.machine.full_flow_m3_min for c in vsds)
        for compressor in vsds:
            compressor.write_output_share(min(1.0, max(compressor.turndown_share, share)))

    def _hold_band(
        self, now_s: float, plant: AirStation, pressure: float, available: tuple[str, ...]
    ) -> None:
        settings, compressors = self.settings, plant.compressors
        coming = sum(self._flow[n] for n, c in compressors.items() if c.state == RELOADING)
        # Nameplate flows against demand know at once what was just loaded; a filtered slope lags.
        surplus = self._delivered(plant) + coming - self._fast
        ahead = pressure + min(0.0, surplus) / self._m3_per_bar / 60.0 * settings.lead_s
        refill = max(0.0, self.low_bar_g - pressure) * self._m3_per_bar
        running = [n for n in available if compressors[n].state != STOPPED]
        capacity = sum(self._flow[n] for n in running)
        lacking = self._fast + refill > capacity
        swapping = any(compressors[n].order_load and n not in self._set for n in running)
        # A machine of the set starts when air lacks or another one is to be relieved; one outside it
        # only when the band is about to be left.
        if now_s - self._started_s >= settings.start_delay_s and (lacking or swapping):
            wanted = [n for n in available if n in self._set and compressors[n].state == STOPPED]
            if not wanted and lacking and ahead < self.low_bar_g:
                wanted = [n for n in available if compressors[n].state == STOPPED]
            for name in wanted:
                if self._start(compressors[name]):
                    self._started_s = now_s
                    break
        if now_s - self._switched_s < settings.load_delay_s:
            return
        if ahead < self.low_bar_g and surplus < 0.0:
            self._load_one(now_s, plant, running)
        elif pressure > self.high_bar_g:
            self._unload_one(now_s, plant, running)
        elif pressure > 0.5 * (self.low_bar_g + self.high_bar_g):
            self._release(now_s, plant, running)

    def _start(self, compressor: Compressor) -> bool:
        if compressor.starts_within(3600.0) >= compressor.machine.max_starts_per_hour:
            return False
        return compressor.write_run(1.0) and compressor.write_load(0.0)

    def _load_one(self, now_s: float, plant: AirStation, running: list[str]) -> None:
        """The first idle machine of the set, base before trim; then any that runs."""
        compressors = plant.compressors
        idle = [n for n in running if not compressors[n].order_load and compressors[n].state != STARTING]
        for name in sorted(idle, key=self._place):
            if compressors[name].write_load(1.0) and compressors[name].write_run(1.0):
                self._switched_s = now_s
                return

    def _place(self, name: str) -> int:
        """Where a machine stands: base, then trim, then those outside the set."""
        if name in self._set:
            return self._set.index(name)
        return len(self.order) + self.order.index(name)

    def _release(self, now_s: float, plant: AirStation, running: list[str]) -> None:
        """Unload a machine outside the set once those in it carry the demand."""
        compressors = plant.compressors
        outside = [n for n in running if compressors[n].order_load and n not in self._set]
        inside = sum(self._flow[n] for n in running if compressors[n].order_load and n in self._set)
        if outside and inside >= self._fast * (1.0 + self.settings.margin_share):
            compressors[outside[-1]].write_load(0.0)
            self._switched_s = now_s

    def _unload_one(self, now_s: float, plant: AirStation, running: list[str]) -> None:
        """Last come, first go: machines outside the set, then the trim; a trimming VSD gives way before."""
        compressors = plant.compressors
        loaded = sorted((n for n in running if compressors[n].order_load), key=self._place)
        if not loaded:
            return
        if any(
            compressors[n].output_share > compressors[n].turndown_share + 0.02
            for n in loaded
            if n in self._vsds
        ):
            return
        if self.settings.vsd_trims:
            loaded = [n for n in loaded if n not in self._vsds] or loaded
        compressors[loaded[-1]].write_load(0.0)
        self._switched_s = now_s

    def _stop_idle(self, plant: AirStation, available: tuple[str, ...]) -> None:
        for name in available:
            compressor = plant.compressors[name]
            if compressor.state != UNLOADED or compressor.order_load or not compressor.order_run:
                continue
            machine = compressor.machine
            if (
                compressor.unloaded_for_s >= self.settings.run_on_s
                and compressor.now_s - compressor.started_s >= machine.min_run_s
                # The last start of the hour is kept: better idle than locked out.
                and compressor.starts_within(3600.0) < machine.max_starts_per_hour
            ):
                compressor.write_run(0.0)
