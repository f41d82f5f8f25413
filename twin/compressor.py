"""One compressor as its motor, airend and sump behave, second by second.

The machine obeys three wishes (`want_run`, `want_load`, `want_share`) that either its own controller
(twin/local_control.py) or a master has set, within what its motor protection allows. A step is
integrated event by event, so that a step of 5 s and five of 1 s give the same air and energy.

Sources: blow-down, reload and part load from the compressor equations of the US national
laboratories' tool suite (AIRMaster+ / MEASUR, ORNL; twin/sump.py, agent/planner/part_load.py);
pressure effect from the same (isentropic exponent 0.283).
"""

from __future__ import annotations

import math

from agent.config.site import Machine
from agent.planner.part_load import KINDS, closed_share
from twin.compressor_curve import FLOW_LOSS_SHARE_PER_BAR, power_share_per_bar
from twin.regulator import Regulator
from twin.sump import Sump

STOPPED, STARTING, LOADED, UNLOADED, RELOADING = range(5)
STATE_NAMES = ("stopped", "starting", "loaded", "unloaded", "reloading")

# Star-delta acceleration: the motor takes about its full power for the first seconds of a start.
ACCELERATION_S = 4.0
# A throttle this far closed delivers nothing that counts: the run-on timer runs.
IDLE_SHARE = 0.02


class Compressor:
    """State of one machine. Times in s of plant time, powers kW, flows m3/min free air.

    `power_kw` and `flow_m3_min` are means over the last step, as a meter shows them.
    """

    def __init__(self, name: str, machine: Machine, *, rated_bar_g: float, atmosphere_bar: float) -> None:
        self.name, self.machine, self.rated_bar_g = name, machine, rated_bar_g
        self.kind = KINDS[machine.control]
        self.regulator = Regulator(machine)
        self._full_flow, self._full_power = machine.full_flow_m3_min, machine.full_power_kw
        feels = self.kind.feels_pressure
        self._per_bar = power_share_per_bar(rated_bar_g, atmosphere_bar) if feels else 0.0
        self._closed_share = closed_share(machine)
        # A motor that is up to speed but delivers nothing yet; one without an unloading valve compresses at once.
        self._turning_kw = self._full_power if machine.control == "start-stop" else machine.unloaded_power_kw
        self._sump = Sump(
            idle_kw=machine.unloaded_power_kw,
            blowdown_s=machine.blowdown_s,
            reload_s=machine.reload_s,
            vents=self.kind.vents,
        )
        self.now_s, self.state = 0.0, STOPPED
        self.want_run = self.want_load = False
        self.want_share = 1.0
        self.power_kw = self.flow_m3_min = 0.0
        self.energy_kwh = self.idle_energy_kwh = self.air_m3 = 0.0
        self.hours_run_s = self.hours_loaded_s = 0.0
        self.loads = 0
        self.start_times: list[float] = []
        self.started_s, self.stopped_s = -math.inf, -math.inf
        self._remaining_s = self._since_s = self._reload_from = 0.0
        self.powered, self.remote, self.in_service = True, True, not machine.locked_out
        self.tripped, self.trip_cause = False, ""
        self.follow_master = False
        self.order_enable = self.order_run = self.order_load = False
        self.order_share = 1.0
        self.orders_written: set[str] = set()
        self.heartbeat_at_s = -math.inf
        self._heartbeat: float | None = None

    # What a master reads.

    @property
    def running(self) -> bool:
        """The motor turns, from the start command on."""
        return self.state != STOPPED

    @property
    def loaded(self) -> bool:
        return self.state == LOADED

    @property
    def is_vsd(self) -> bool:
        return self.regulator.is_vsd

    @property
    def turndown_share(self) -> float:
        """Least share of full flow that it delivers steadily; 1 for a machine that only switches."""
        return self.regulator.least_share

    @property
    def output_share(self) -> float:
        """Share of full flow that it delivers, 0 when it does not."""
        return self.regulator.share

    @property
    def ready(self) -> bool:
        """A master may use it: powered, healthy, in service, switch on remote."""
        return self.powered and self.remote and self.in_service and not self.tripped

    @property
    def state_name(self) -> str:
        return STATE_NAMES[self.state]

    @property
    def starts(self) -> int:
        return len(self.start_times)

    @property
    def unloaded_for_s(self) -> float:
        """How long it has delivered nothing while running, without a break; 0 while it delivers or stands."""
        return self._since_s if self.state in (UNLOADED, LOADED) else 0.0

    @property
    def heartbeat(self) -> float:
        return 0.0 if self._heartbeat is None else self._heartbeat

    def starts_within(self, span_s: float) -> int:
        """Starts in the last `span_s`."""
        since = self.now_s - span_s
        count = 0
        for at_s in reversed(self.start_times):
            if at_s <= since:
                break
            count += 1
        return count

    def start_refusal(self) -> str:
        """Why the motor protection would refuse a start now; empty when it would start."""
        machine = self.machine
        if not self.powered:
            return "no power"
        if self.tripped:
            return f"tripped: {self.trip_cause}"
        if not self.in_service:
            return "out of service"
        stopped_for = self.now_s - self.stopped_s
        if stopped_for < machine.min_stop_s:
            return "minimum stop time"
        if stopped_for < machine.blowdown_s and self._sump.level > 0.02:
            return "sump not blown down"
        if self.starts_within(3600.0) >= machine.max_starts_per_hour:
            return "starts per hour"
        if self.starts_within(86400.0) >= machine.max_starts_per_day:
            return "starts per day"
        return ""

    def full_flow_at(self, pressure_bar_g: float) -> float:
        """Free air at full load against `pressure_bar_g`, [m3/min]; a throttle holds the pressure at its airend."""
        over = min(pressure_bar_g, self.regulator.open_bar_g) - self.rated_bar_g
        return self._full_flow * (1.0 - FLOW_LOSS_SHARE_PER_BAR * over)

    def power_at(self, share: float, pressure_bar_g: float) -> float:
        """Package power delivering `share` of the flow against `pressure_bar_g`, [kW]."""
        over = min(pressure_bar_g, self.regulator.open_bar_g) - self.rated_bar_g
        return self._full_power * self.regulator.power_share(share) * (1.0 + self._per_bar * over)

    # What a master writes. False is the controller's refusal.

    def write_enable(self, value: float) -> bool:
        """Offer the machine to the master (1) or hand it back (0)."""
        if not self.remote:
            return False
        self.order_enable = value >= 0.5
        if not self.order_enable:
            self.orders_written.clear()
        return True

    def write_run(self, value: float) -> bool:
        """Order a start or a stop. A start that the motor protection forbids is refused, not stored."""
        wish = value >= 0.5
        if not self.remote or (wish and self.state == STOPPED and self.start_refusal()):
            return False
        self.order_run = wish
        self.orders_written.add("run")
        return True

    def write_load(self, value: float) -> bool:
        if not self.remote or (value >= 0.5 and self.tripped):
            return False
        self.order_load = value >= 0.5
        self.orders_written.add("load")
        return True

    def write_output_share(self, value: float) -> bool:
        """Wanted share of full flow; only a VSD has the point, and it holds at its turndown."""
        if not self.remote or not self.is_vsd or not 0.0 <= value <= 1.0:
            return False
        self.order_share = value
        self.orders_written.add("output_share_set")
        return True

    def write_heartbeat(self, value: float) -> bool:
        """The master's counter; only a change counts as a sign of life."""
        if not self.remote:
            return False
        if value != self._heartbeat:
            self._heartbeat = value
            self.heartbeat_at_s = self.now_s
        return True

    # What happens to it.

    def trip(self, cause: str = "fault") -> None:
        """Stop at once and stay down until `reset`."""
        self.tripped, self.trip_cause = True, cause
        self._drop()

    def reset(self) -> None:
        """Acknowledge the fault at the machine."""
        self.tripped, self.trip_cause = False, ""

    def cut_power(self) -> None:
        """The mains fails."""
        self.powered = False
        self._drop()

    def restore_power(self) -> None:
        self.powered = True

    def settle_loaded(self, share: float = 1.0) -> None:
        """Put the machine under load at once, as if it had run for an hour: a simulation's first instant."""
        self.state = LOADED
        self._sump.fill()
        self.started_s = self.now_s - 3600.0
        self.want_run = self.want_load = self.order_run = self.order_load = True
        self.regulator.share = self.want_share = self.order_share = self.regulator.hold(share)

    def _drop(self) -> None:
        if self.state in (LOADED, RELOADING):
            self._sump.fill()
        if self.state != STOPPED:
            self.stopped_s = self.now_s
        self.state = STOPPED
        self.want_run = self.want_load = self.order_run = self.order_load = False
        self.regulator.share = self.power_kw = self.flow_m3_min = 0.0

    def step(self, dt_s: float, pressure_bar_g: float) -> float:
        """Live for `dt_s` against `pressure_bar_g`; the mean free air delivered, [m3/min]."""
        state = self.state
        if state == STOPPED:
            self._sump.fade(dt_s)
            if not self.want_run or self.start_refusal():
                self.now_s += dt_s
                if self.power_kw or self.flow_m3_min:
                    self.power_kw = self.flow_m3_min = 0.0
                return 0.0
            self._begin_start()
        elif state == LOADED and self.want_run and self.want_load:
            flow = self._deliver(dt_s, pressure_bar_g)
            self.now_s += dt_s
            self.energy_kwh += self.power_kw * dt_s / 3600.0
            self.air_m3 += flow * dt_s / 60.0
            self.hours_run_s += dt_s
            return flow
        left, energy_kws, idle_kws, air, run_s = dt_s, 0.0, 0.0, 0.0, 0.0
        # A step holds few events; the bound only guards against a machine with all times zero.
        for _ in range(8):
            state = self.state
            if state == STOPPED or left <= 0.0:
                break
            if state == STARTING:
                if not self.want_run:
                    self._stop_at(self.now_s + dt_s - left)
                    continue
                span = min(left, self._remaining_s)
                done = self.machine.start_s - self._remaining_s
                hard = max(0.0, min(ACCELERATION_S, done + span) - min(ACCELERATION_S, done))
                energy_kws += hard * self._full_power + (span - hard) * self._turning_kw
                self._remaining_s -= span
                if self._remaining_s <= 0.0:
                    self._sump.forget()
                    self._since_s = 0.0
                    self._enter_load() if self.want_load else self._set_unloaded()
            elif state == LOADED:
                if not (self.want_run and self.want_load):
                    if self.machine.control == "start-stop":
                        self._stop_at(self.now_s + dt_s - left)
                        continue
                    self._sump.unload(self._closed_kw(pressure_bar_g))
                    if self.kind.unloads:
                        self._since_s = 0.0
                    self._set_unloaded()
                    continue
                span = left
                air += self._deliver(span, pressure_bar_g) * span
                energy_kws += self.power_kw * span
            elif state == UNLOADED:
                if self.want_run and self.want_load:
                    self._remaining_s = self._sump.fill_s
                    self._reload_from = self._sump.power_kw
                    self.state = RELOADING
                    continue
                to_stop = self.machine.blowdown_s - self._since_s
                if not self.want_run and to_stop <= 0.0:
                    self._stop_at(self.now_s + dt_s - left)
                    continue
                span = left if self.want_run else min(left, to_stop)
                spent = self._sump.vent(span)
                self._since_s += span
                energy_kws += spent
                idle_kws += spent
            else:  # RELOADING
                if not (self.want_run and self.want_load):
                    self._since_s = 0.0
                    self._set_unloaded()
                    continue
                span = min(left, self._remaining_s)
                full = self.power_at(self.regulator.begin_share, pressure_bar_g)
                if self._remaining_s > 0.0:
                    end = self._reload_from + (full - self._reload_from) * span / self._remaining_s
                    spent = 0.5 * (self._reload_from + end) * span
                    self._reload_from = end
                    self._sump.refill(span / self._remaining_s)
                    energy_kws += spent
                    idle_kws += spent
                self._remaining_s -= span
                if self._remaining_s <= 0.0:
                    self._enter_load()
            run_s += span
            left -= span
        self.now_s += dt_s
        self.power_kw = energy_kws / dt_s
        self.flow_m3_min = air / dt_s
        self.energy_kwh += energy_kws / 3600.0
        self.idle_energy_kwh += idle_kws / 3600.0
        self.air_m3 += air / 60.0
        self.hours_run_s += run_s
        return self.flow_m3_min

    def _deliver(self, dt_s: float, pressure_bar_g: float) -> float:
        """Mean flow of `dt_s` under load, [m3/min]; sets flow and power, a VSD's speed follows its ramp."""
        regulator = self.regulator
        over = min(pressure_bar_g, regulator.open_bar_g) - self.rated_bar_g
        if regulator.moves:
            mean = regulator.move(dt_s, self.want_share, pressure_bar_g)
            part = regulator.power_share(mean)
            self._since_s = self._since_s + dt_s if mean <= IDLE_SHARE else 0.0
        else:
            mean = part = 1.0
        flow = self._full_flow * mean * (1.0 - FLOW_LOSS_SHARE_PER_BAR * over)
        power = self._full_power * part * (1.0 + self._per_bar * over)
        self.flow_m3_min, self.power_kw = flow, power
        self.hours_loaded_s += dt_s
        return flow

    def _begin_start(self) -> None:
        self.state = STARTING
        self._remaining_s = self.machine.start_s
        self.started_s = self.now_s
        self.start_times.append(self.now_s)

    def _enter_load(self) -> None:
        self.state = LOADED
        self.loads += 1
        self._since_s = 0.0
        self._sump.fill()
        self.regulator.share = self.regulator.begin_share

    def _set_unloaded(self) -> None:
        self.state = UNLOADED
        self.regulator.share = 0.0

    def _stop_at(self, at_s: float) -> None:
        self.state = STOPPED
        self.stopped_s = at_s
        self.regulator.share = 0.0

    def _closed_kw(self, pressure_bar_g: float) -> float:
        """Power at the instant the inlet has closed: of full flow, or of a VSD's speed at that time."""
        share = self.regulator.share if self.is_vsd else 1.0
        return self._closed_share * self.power_at(share, pressure_bar_g)
