"""A compressed-air station: machines, one receiver, a demand, and the books.

Isothermal receiver and free-air flows: dp/dt = atmosphere x (supply - demand) / volume. Air is
conserved exactly whatever the step: supply is the mean over the step, so only the machines' reaction
to pressure sees the step length, and the step is cut finer while the pressure moves fast.
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from agent.config.site import Station
from twin.compressor import Compressor
from twin.local_control import RESTART_STAGGER_S, LocalControl, local_switches

SensorFault = Literal["none", "freeze", "drift", "dropout", "jump"]

PRESSURE_NOISE_BAR = 0.003  # electronic transmitters show 2-5 mbar
FLOW_NOISE_SHARE = 0.005  # thermal mass meters repeat to about half a per cent
FINE_MOVE_BAR = 0.05  # the pressure may move this much in one inner step
FINE_STEP_S = 1.0


@dataclass(frozen=True, slots=True)
class Books:
    """What a station used, delivered and lacked since its books were opened."""

    elapsed_s: float
    energy_kwh: float
    energy_corrected_kwh: float
    idle_energy_kwh: float
    delivered_m3: float
    supplied_m3: float
    short_m3: float
    undelivered_m3: float
    time_below_min_s: float
    worst_dip_bar: float
    mean_pressure_bar_g: float
    starts: Mapping[str, int]
    loads: Mapping[str, int]
    hours_run: Mapping[str, float]
    max_starts_per_hour: int

    @property
    def specific_power_kw_min_m3(self) -> float:
        """Energy per delivered free air, [kW min/m3]; inf where none was delivered."""
        return self.energy_kwh * 60.0 / self.delivered_m3 if self.delivered_m3 > 0 else math.inf


class AirStation:
    """The station of site.toml as it behaves. `step` moves it; nothing else does.

    Below half the minimum pressure the net takes only what is there: undelivered demand is counted.
    `leak_m3_min_per_bar` (default 0, a demand series includes leaks) adds a flow proportional to
    absolute pressure above the atmosphere's. The station's `unregulated_share` of the demand follows
    the absolute pressure around the middle of its band (ORNL: 0.6 of the use of a plant); machines
    work against the header plus the loss of dryers and filters, which goes with the square of flow.
    """

    def __init__(
        self,
        station: Station,
        *,
        seed: int = 0,
        initial_bar_g: float | None = None,
        rated_bar_g: float | None = None,
        leak_m3_min_per_bar: float = 0.0,
        pressure_noise_bar: float = PRESSURE_NOISE_BAR,
    ) -> None:
        self.station = station
        low = station.pressure_min_bar_g
        if rated_bar_g is None:
            # Nameplates hold in the middle of what the station may use.
            rated_bar_g = 0.5 * (low + station.pressure_max_bar_g)
        self.pressure_bar_g = (
            low + station.band_floor_bar + 0.5 * station.band_width_bar
            if initial_bar_g is None
            else initial_bar_g
        )
        self._atmosphere_bar = station.atmosphere_bar
        middle_bar_g = low + station.band_floor_bar + 0.5 * station.band_width_bar
        self._reference_bar_a = middle_bar_g + station.atmosphere_bar
        self._unregulated = station.unregulated_share
        total_m3_min = sum(m.full_flow_m3_min for m in station.machines.values())
        self._drop_bar_per_flow2 = station.treatment_drop_bar / total_m3_min**2
        self.leak_m3_min_per_bar = leak_m3_min_per_bar
        self.pressure_noise_bar = pressure_noise_bar
        self.compressors = {
            name: Compressor(name, machine, rated_bar_g=rated_bar_g, atmosphere_bar=station.atmosphere_bar)
            for name, machine in station.machines.items()
        }
        switches = local_switches(station)
        self.controls = {
            name: LocalControl(
                compressor,
                switches[name],
                receiver_m3=station.receiver_m3,
                atmosphere_bar=station.atmosphere_bar,
            )
            for name, compressor in self.compressors.items()
        }
        self._pairs = tuple((self.controls[n], c) for n, c in self.compressors.items())
        self._noise = random.Random(seed)
        self._fault: SensorFault = "none"
        self._fault_size = 0.0
        self._fault_since_s = 0.0
        self._min_bar_g = low
        self._bar_per_m3 = station.atmosphere_bar / station.receiver_m3
        self.now_s = 0.0
        self.supply_m3_min = self.demand_m3_min = self.power_kw = 0.0
        self.pressure_sensor_bar_g: float | None = self.pressure_bar_g
        self.flow_sensor_m3_min: float | None = 0.0
        self.open_books()

    # Books.

    def open_books(self) -> None:
        """Begin counting anew, from the present state: after a warm-up."""
        self._opened_s = self.now_s
        self._opened_bar_g = self.pressure_bar_g
        self._opened = {
            n: (c.energy_kwh, c.idle_energy_kwh, c.air_m3, c.starts, c.loads, c.hours_run_s)
            for n, c in self.compressors.items()
        }
        self._delivered_m3 = self._undelivered_m3 = self._short_m3 = 0.0
        self._below_s = self._worst_dip_bar = self._episode_bar = self._pressure_bar_s = 0.0

    @property
    def books(self) -> Books:
        """The account since `open_books`.

        `short_m3` is demand not delivered plus, for every dip below the minimum, the air that would
        have held the minimum: deepest dip x volume / atmosphere. `energy_corrected_kwh` values air
        stored at the end against the begin at the mean specific energy.
        """
        energy = idle = supplied = 0.0
        starts, loads, hours = {}, {}, {}
        most = 0
        for name, c in self.compressors.items():
            e, i, a, s, lo, h = self._opened[name]
            energy += c.energy_kwh - e
            idle += c.idle_energy_kwh - i
            supplied += c.air_m3 - a
            starts[name], loads[name] = c.starts - s, c.loads - lo
            hours[name] = (c.hours_run_s - h) / 3600.0
            most = max(most, most_within(c.start_times[s:], 3600.0))
        elapsed = self.now_s - self._opened_s
        stored_m3 = (self.pressure_bar_g - self._opened_bar_g) / self._bar_per_m3
        corrected = energy - stored_m3 * energy / supplied if supplied > 0 else energy
        return Books(
            elapsed_s=elapsed,
            energy_kwh=energy,
            energy_corrected_kwh=corrected,
            idle_energy_kwh=idle,
            delivered_m3=self._delivered_m3,
            supplied_m3=supplied,
            short_m3=self._short_m3 + self._undelivered_m3,
            undelivered_m3=self._undelivered_m3,
            time_below_min_s=self._below_s,
            worst_dip_bar=self._worst_dip_bar,
            mean_pressure_bar_g=self._pressure_bar_s / elapsed if elapsed > 0 else self.pressure_bar_g,
            starts=starts,
            loads=loads,
            hours_run=hours,
            max_starts_per_hour=most,
        )

    # Events.

    def settle(self, demand_m3_min: float, order: tuple[str, ...] | None = None) -> None:
        """Put machines under load, in `order` (default: priority), until they cover the demand.

        A simulation that begins in production then begins without a dip nobody would have seen.
        """
        machines = self.station.machines
        names = order or tuple(sorted(machines, key=lambda name: machines[name].priority))
        left = demand_m3_min
        for name in names:
            compressor = self.compressors[name]
            if left <= 0.0:
                break
            if compressor.ready:
                compressor.settle_loaded(left / machines[name].full_flow_m3_min)
                left -= machines[name].full_flow_m3_min * compressor.output_share

    def cut_power(self) -> None:
        """Mains failure: every machine drops at once."""
        for compressor in self.compressors.values():
            compressor.cut_power()

    def restore_power(self) -> None:
        """Mains back: local controllers restart one after the other, by priority."""
        machines = self.station.machines
        # Counted from when the last of them may turn again, or all would wait and then start at once.
        free_s = max(
            c.stopped_s + max(c.machine.min_stop_s, c.machine.blowdown_s) for c in self.compressors.values()
        )
        wait_s = max(0.0, free_s - self.now_s)
        for rank, name in enumerate(sorted(machines, key=lambda name: machines[name].priority)):
            self.compressors[name].restore_power()
            self.controls[name].hold_start(wait_s + RESTART_STAGGER_S * rank)

    def set_sensor_fault(self, fault: SensorFault, *, size: float = 0.0) -> None:
        """Spoil the header sensor. `size`: drift in bar per hour, jump in bar; "none" mends it."""
        self._fault, self._fault_size, self._fault_since_s = fault, size, self.now_s

    @property
    def follow_master(self) -> bool:
        """All machines follow their orders without enable and heartbeat: for baseline controllers."""
        return all(c.follow_master for c in self.compressors.values())

    @follow_master.setter
    def follow_master(self, value: bool) -> None:
        for compressor in self.compressors.values():
            compressor.follow_master = value

    @property
    def discharge_bar_g(self) -> float:
        """Pressure before dryers and filters, where the machines' own gauges and switches are."""
        return self.pressure_bar_g + self._drop_bar_per_flow2 * self.supply_m3_min**2

    # Time.

    def step(self, dt_s: float, demand_m3_min: float) -> None:
        """Live for `dt_s` with a steady demand, [m3/min free air]."""
        net = self.supply_m3_min - demand_m3_min
        move = abs(net) * self._bar_per_m3 * dt_s / 60.0
        if move <= FINE_MOVE_BAR or dt_s <= FINE_STEP_S:
            self._inner(dt_s, demand_m3_min)
        else:
            count = math.ceil(min(move / FINE_MOVE_BAR, dt_s / FINE_STEP_S))
            for _ in range(count):
                self._inner(dt_s / count, demand_m3_min)
        self._sense()

    def _inner(self, dt_s: float, demand_m3_min: float) -> None:
        pressure, discharge = self.pressure_bar_g, self.discharge_bar_g
        supply = power = 0.0
        for control, compressor in self._pairs:
            control.step(dt_s, discharge)
            supply += compressor.step(dt_s, discharge)
            power += compressor.power_kw
        wanted = demand_m3_min
        if self._unregulated:
            relative = (pressure + self._atmosphere_bar) / self._reference_bar_a - 1.0
            wanted *= 1.0 + self._unregulated * relative
        if self.leak_m3_min_per_bar:
            wanted += self.leak_m3_min_per_bar * pressure
        minutes = dt_s / 60.0
        floor = 0.5 * self._min_bar_g
        taken = wanted
        after = pressure + self._bar_per_m3 * (supply - wanted) * minutes
        if after < floor:
            there = supply + max(0.0, pressure - floor) / self._bar_per_m3 / minutes
            taken = min(wanted, max(0.0, there))
            after = pressure + self._bar_per_m3 * (supply - taken) * minutes
            self._undelivered_m3 += (wanted - taken) * minutes
        self.pressure_bar_g = after
        self.supply_m3_min, self.demand_m3_min, self.power_kw = supply, taken, power
        self._delivered_m3 += taken * minutes
        self._pressure_bar_s += 0.5 * (pressure + after) * dt_s
        self.now_s += dt_s
        dip = self._min_bar_g - after
        if dip > 0.0:
            self._below_s += dt_s
            if dip > self._episode_bar:
                # Short air of a dip is what would have kept the minimum: count each dip once.
                self._short_m3 += (dip - self._episode_bar) / self._bar_per_m3
                self._episode_bar = dip
                self._worst_dip_bar = max(self._worst_dip_bar, dip)
        elif self._episode_bar:
            self._episode_bar = 0.0

    def _sense(self) -> None:
        gauss = self._noise.gauss
        self.flow_sensor_m3_min = self.demand_m3_min * (1.0 + FLOW_NOISE_SHARE * gauss(0.0, 1.0))
        shown = self.pressure_bar_g + self.pressure_noise_bar * gauss(0.0, 1.0)
        if self._fault != "none":
            if self._fault == "freeze":
                return
            if self._fault == "dropout":
                self.pressure_sensor_bar_g = None
                return
            hours = (self.now_s - self._fault_since_s) / 3600.0
            shown += self._fault_size * (hours if self._fault == "drift" else 1.0)
        self.pressure_sensor_bar_g = shown


def most_within(times_s: list[float], span_s: float) -> int:
    """Greatest number of the sorted instants `times_s` in any window of `span_s`."""
    most = first = 0
    for last, at_s in enumerate(times_s):
        while times_s[first] <= at_s - span_s:
            first += 1
        most = max(most, last - first + 1)
    return most
