"""Each machine's own controller: what the plant does when nobody commands it.

Pressure switches staggered by priority make the classic cascade. A master takes over by writing
enable and moving the heartbeat; when the heartbeat stands still for the machine's dead-man time the
controller takes the machine back, drops the enable order, and wants both again.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from agent.config.site import Machine, Station
from twin.compressor import STOPPED, UNLOADED, Compressor

LOCAL_BAND_BAR = 0.5  # between the 0.7 bar built into mechanical switches and 0.2 bar of good electronics
LOCAL_STAGGER_BAR = 0.15
LOCAL_FLOOR_BAR = 0.2  # the last machine still has to start while the pressure falls
VSD_CLOSED_LOOP_S = 20.0  # PI of a VSD on its own: time constant of the pressure loop
VSD_INTEGRAL_S = 60.0
RESTART_STAGGER_S = 15.0  # after a power failure machines restart one after the other


class Switch(NamedTuple):
    """Thresholds of one machine's pressure switch, [bar gauge]."""

    load_bar_g: float
    unload_bar_g: float


def cascade_switches(
    station: Station, order: tuple[str, ...], *, band_bar: float, offset_bar: float, floor_bar: float
) -> dict[str, Switch]:
    """Staggered switches: the first of `order` loads at the highest pressure, the last at the lowest.

    The stagger shrinks where the highest would pass the station's greatest pressure.
    """
    room = station.pressure_max_bar_g - station.pressure_min_bar_g - floor_bar
    band = min(band_bar, max(0.05, 0.6 * room))
    steps = max(1, len(order) - 1)
    offset = min(offset_bar, max(0.0, room - band) / steps)
    lowest = station.pressure_min_bar_g + floor_bar
    switches = {}
    for rank, name in enumerate(order):
        load = lowest + offset * (len(order) - 1 - rank)
        switches[name] = Switch(load, load + band)
    return switches


def local_switches(station: Station) -> dict[str, Switch]:
    """The switch of every machine: as configured, else the default cascade by priority."""
    order = tuple(sorted(station.machines, key=lambda name: station.machines[name].priority))
    switches = cascade_switches(
        station, order, band_bar=LOCAL_BAND_BAR, offset_bar=LOCAL_STAGGER_BAR, floor_bar=LOCAL_FLOOR_BAR
    )
    for name, machine in station.machines.items():
        default = switches[name]
        load = default.load_bar_g if machine.local_load_bar_g is None else machine.local_load_bar_g
        width = default.unload_bar_g - default.load_bar_g
        unload = load + width if machine.local_unload_bar_g is None else machine.local_unload_bar_g
        switches[name] = Switch(load, max(unload, load + 0.02))
    return switches


class LocalControl:
    """Decides each step whose wishes the machine follows, and wishes itself where it is alone."""

    __slots__ = (
        "_gain",
        "_integral",
        "_machine",
        "_may_start_s",
        "_over",
        "_switch",
        "_was_master",
        "compressor",
        "handed_back",
        "run_on_s",
    )

    def __init__(
        self, compressor: Compressor, switch: Switch, *, receiver_m3: float, atmosphere_bar: float
    ) -> None:
        self.compressor = compressor
        self._machine: Machine = compressor.machine
        # A step of one share moves the pressure by atmosphere x flow / volume per minute.
        speed_bar_s = atmosphere_bar * self._machine.full_flow_m3_min / receiver_m3 / 60.0
        self._gain = 1.0 / (VSD_CLOSED_LOOP_S * speed_bar_s)
        self.run_on_s = self._machine.run_on_s
        self._integral = 0.0
        self._may_start_s = -math.inf
        self._was_master = self._over = False
        self.handed_back = 0
        self.switch = switch

    @property
    def switch(self) -> Switch:
        """Its pressure switch; a throttle closes below the unload pressure."""
        return self._switch

    @switch.setter
    def switch(self, switch: Switch) -> None:
        self._switch = switch
        self.compressor.regulator.fit(switch.load_bar_g, switch.unload_bar_g)

    @property
    def master_steers(self) -> bool:
        """Whether the machine follows its orders at this instant."""
        compressor = self.compressor
        if not compressor.remote or compressor.tripped:
            return False
        if compressor.follow_master:
            return True
        if not compressor.order_enable:
            return False
        dead_man_s = self._machine.dead_man_s
        return dead_man_s is None or compressor.now_s - compressor.heartbeat_at_s < dead_man_s

    def hold_start(self, span_s: float) -> None:
        """Keep the local controller from starting for `span_s`: staggered restart after a power failure."""
        self._may_start_s = self.compressor.now_s + span_s

    def step(self, dt_s: float, pressure_bar_g: float) -> None:
        """Set the wishes for the next `dt_s` from the machine's own pressure sensor or its orders."""
        compressor = self.compressor
        master = self.master_steers
        if master != self._was_master:
            self._change_hands(master=master)
        if master:
            compressor.want_run = compressor.order_run
            compressor.want_load = compressor.order_load
            compressor.want_share = compressor.order_share
            if self._machine.control == "start-stop":
                # No unloading valve: running it delivers, and its pressure switch stays its limit.
                self._over = pressure_bar_g > (
                    self._switch.load_bar_g if self._over else self._switch.unload_bar_g
                )
                compressor.want_run = compressor.want_load = compressor.order_run and not self._over
            return
        state = compressor.state
        switch = self._switch
        if state == STOPPED:
            start = (
                pressure_bar_g < switch.load_bar_g
                and compressor.now_s >= self._may_start_s
                and not compressor.start_refusal()
            )
            compressor.want_run = compressor.want_load = start
            self._integral = 0.0
            return
        if pressure_bar_g < switch.load_bar_g:
            compressor.want_run = compressor.want_load = True
        elif pressure_bar_g > switch.unload_bar_g:
            if self._machine.control == "start-stop":
                compressor.want_run = compressor.want_load = False
                return
            compressor.want_load = False
        if not compressor.kind.unloads:
            compressor.want_load = compressor.want_run
        if compressor.is_vsd:
            self._trim(dt_s, pressure_bar_g)
        # Idle is unloaded, or with the throttle closed where nothing unloads.
        if compressor.unloaded_for_s > 0.0 and not (compressor.want_load and compressor.kind.unloads):
            machine = self._machine
            # Its start limit stretches the run-on: better idle than locked out when air is needed.
            compressor.want_run = not (
                compressor.unloaded_for_s >= self.run_on_s
                and compressor.now_s - compressor.started_s >= machine.min_run_s
                and compressor.starts_within(3600.0) < machine.max_starts_per_hour
            )

    def _change_hands(self, *, master: bool) -> None:
        compressor = self.compressor
        self._was_master = master
        if master:
            # Bumpless: an order that was not written yet is what the machine is doing.
            written = compressor.orders_written
            if "run" not in written:
                compressor.order_run = compressor.want_run and compressor.running
            if "load" not in written:
                compressor.order_load = compressor.want_load and compressor.running
            if "output_share_set" not in written:
                compressor.order_share = compressor.want_share
            return
        self.handed_back += 1
        compressor.order_enable = False
        compressor.orders_written.clear()
        compressor.want_run = compressor.running
        self._integral = compressor.output_share

    def _trim(self, dt_s: float, pressure_bar_g: float) -> None:
        """PI on the middle of its own band, held inside its speed range so that it cannot wind up."""
        compressor = self.compressor
        error = 0.5 * (self.switch.load_bar_g + self.switch.unload_bar_g) - pressure_bar_g
        step = self._gain * error
        low = compressor.turndown_share
        if compressor.state != UNLOADED:
            self._integral += step * dt_s / VSD_INTEGRAL_S
        self._integral = min(1.0, max(low, self._integral))
        compressor.want_share = min(1.0, max(low, self._integral + step))
