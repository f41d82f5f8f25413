"""One compressor as its motor, screw and sump behave, second by second.

The machine obeys three wishes (`want_run`, `want_load`, `want_share`) that either its own controller
(twin/local_control.py) or a master has set, within what its motor protection allows. A step is
integrated event by event, so that a step of 5 s and five of 1 s give the same air and energy.

Sources: blow-down, reload and volumetric constants from the compressor equations of the US national
laboratories' tool suite (AIRMaster+ / MEASUR, ORNL); pressure effect from the same (isentropic
exponent 0.283); VSD part load from its catalogue (174.4/115/55.8 kW at 100/60/20 % flow).
"""

from __future__ import annotations

import math

from agent.config.site import Machine
from twin.compressor_curve import power_share_per_bar, vsd_parabola

STOPPED, STARTING, LOADED, UNLOADED, RELOADING = range(5)
STATE_NAMES = ("stopped", "starting", "loaded", "unloaded", "reloading")

# Closed inlet at full sump pressure takes about 0.6 of the power before (throttled zero flow: 0.57-0.65).
BLOWDOWN_POWER_SHARE = 0.6
# ORNL: a blow-down is over when 2 % of the pressure is left, so tau = t / ln(1/0.02).
BLOWDOWN_TIME_CONSTANTS = math.log(1.0 / 0.02)
# ORNL: free air falls by 0.075 % for each psi above the rating.
FLOW_LOSS_SHARE_PER_BAR = 0.00075 / 0.0689475729
# Inverters of this size accelerate from standstill to full speed in about 10 s.
SPEED_RAMP_SHARE_PER_S = 0.1
# Star-delta acceleration: the motor takes about its full power for the first seconds of a start.
ACCELERATION_S = 4.0


class Compressor:
    """State of one machine. Times in s of plant time, powers kW, flows m3/min free air.

    `power_kw` and `flow_m3_min` are means over the last step, as a meter shows them.
    """

    __slots__ = (
        "_a",
        "_air_m3",
        "_b",
        "_blow_kw",
        "_c",
        "_full_flow",
        "_full_power",
        "_heartbeat",
        "_per_bar",
        "_reload_from",
        "_remaining_s",
        "_since_s",
        "_sump",
        "_tau_s",
        "air_m3",
        "energy_kwh",
        "flow_m3_min",
        "follow_master",
        "heartbeat_at_s",
        "hours_loaded_s",
        "hours_run_s",
        "idle_energy_kwh",
        "in_service",
        "is_vsd",
        "loads",
        "machine",
        "name",
        "now_s",
        "order_enable",
        "order_load",
        "order_run",
        "order_share",
        "orders_written",
        "output_share",
        "power_kw",
        "powered",
        "rated_bar_g",
        "remote",
        "start_times",
        "started_s",
        "state",
        "stopped_s",
        "trip_cause",
        "tripped",
        "turndown_share",
        "want_load",
        "want_run",
        "want_share",
    )

    def __init__(self, name: str, machine: Machine, *, rated_bar_g: float, atmosphere_bar: float) -> None:
        self.name, self.machine, self.rated_bar_g = name, machine, rated_bar_g
        self.is_vsd = machine.control == "vsd"
        self._full_flow, self._full_power = machine.full_flow_m3_min, machine.full_power_kw
        self._per_bar = power_share_per_bar(rated_bar_g, atmosphere_bar)
        self._tau_s = machine.blowdown_s / BLOWDOWN_TIME_CONSTANTS
        if self.is_vsd:
            self.turndown_share, self._a, self._b, self._c = vsd_parabola(machine)
        else:
            self.turndown_share, self._a, self._b, self._c = 1.0, 1.0, 0.0, 0.0
        self.now_s, self.state = 0.0, STOPPED
        self.want_run = self.want_load = False
        self.want_share = 1.0
        self.output_share = self.power_kw = self.flow_m3_min = 0.0
        self.energy_kwh = self.idle_energy_kwh = self.air_m3 = 0.0
        self.hours_run_s = self.hours_loaded_s = 0.0
        self.loads = 0
        self.start_times: list[float] = []
        self.started_s, self.stopped_s = -math.inf, -math.inf
        self._remaining_s = self._since_s = self._sump = self._reload_from = 0.0
        self._blow_kw = machine.unloaded_power_kw
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
        """How long it has run unloaded without a break, 0 in every other state."""
        return self._since_s if self.state == UNLOADED else 0.0

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
        if stopped_for < machine.blowdown_s and self._sump > 0.02:
            return "sump not blown down"
        if self.starts_within(3600.0) >= machine.max_starts_per_hour:
            return "starts per hour"
        if self.starts_within(86400.0) >= machine.max_starts_per_day:
            return "starts per day"
        return ""

    def full_flow_at(self, pressure_bar_g: float) -> float:
        """Free air at full load against `pressure_bar_g`, [m3/min]."""
        return self._full_flow * (1.0 - FLOW_LOSS_SHARE_PER_BAR * (pressure_bar_g - self.rated_bar_g))

    def power_at(self, share: float, pressure_bar_g: float) -> float:
        """Package power delivering `share` of the flow against `pressure_bar_g`, [kW]."""
        part = self._a + share * (self._b + share * self._c)
        return self._full_power * part * (1.0 + self._per_bar * (pressure_bar_g - self.rated_bar_g))

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
        self.state, self._sump = LOADED, 1.0
        self.started_s = self.now_s - 3600.0
        self.want_run = self.want_load = self.order_run = self.order_load = True
        self.output_share = self.want_share = self.order_share = max(self.turndown_share, min(1.0, share))

    def _drop(self) -> None:
        if self.state in (LOADED, RELOADING):
            self._sump = 1.0
        if self.state != STOPPED:
            self.stopped_s = self.now_s
        self.state = STOPPED
        self.want_run = self.want_load = self.order_run = self.order_load = False
        self.output_share = self.power_kw = self.flow_m3_min = 0.0

    def step(self, dt_s: float, pressure_bar_g: float) -> float:
        """Live for `dt_s` against `pressure_bar_g`; the mean free air delivered, [m3/min]."""
        state = self.state
        if state == STOPPED:
            self._sump *= math.exp(-dt_s / self._tau_s) if self._sump > 0.0 and self._tau_s > 0.0 else 0.0
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
                energy_kws += hard * self._full_power + (span - hard) * self.machine.unloaded_power_kw
                self._remaining_s -= span
                if self._remaining_s <= 0.0:
                    self._sump = 0.0
                    self._since_s = 0.0
                    self._blow_kw = self.machine.unloaded_power_kw
                    self._enter_load() if self.want_load else self._set_unloaded()
            elif state == LOADED:
                if not (self.want_run and self.want_load):
                    share = self.output_share
                    self._blow_kw = BLOWDOWN_POWER_SHARE * self.power_at(share, pressure_bar_g)
                    self._sump, self._since_s = 1.0, 0.0
                    self._set_unloaded()
                    continue
                span = left
                air += self._deliver(span, pressure_bar_g) * span
                energy_kws += self.power_kw * span
            elif state == UNLOADED:
                if self.want_run and self.want_load:
                    self._remaining_s = self.machine.reload_s * (1.0 - self._sump)
                    self._reload_from = self._unloaded_power()
                    self.state = RELOADING
                    continue
                to_stop = self.machine.blowdown_s - self._since_s
                if not self.want_run and to_stop <= 0.0:
                    self._stop_at(self.now_s + dt_s - left)
                    continue
                span = left if self.want_run else min(left, to_stop)
                spent = self._blow_down(span)
                energy_kws += spent
                idle_kws += spent
            else:  # RELOADING
                if not (self.want_run and self.want_load):
                    self._since_s = 0.0
                    self._set_unloaded()
                    continue
                span = min(left, self._remaining_s)
                full = self.power_at(self.turndown_share, pressure_bar_g)
                if self._remaining_s > 0.0:
                    end = self._reload_from + (full - self._reload_from) * span / self._remaining_s
                    spent = 0.5 * (self._reload_from + end) * span
                    self._reload_from = end
                    # The sump fills as it had emptied: an abandoned reload begins a shorter blow-down.
                    self._sump += (1.0 - self._sump) * span / self._remaining_s
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
        over = pressure_bar_g - self.rated_bar_g
        if self.is_vsd:
            share, target = self.output_share, self.want_share
            target = min(1.0, max(self.turndown_share, target))
            gap = target - share
            ramp_s = abs(gap) / SPEED_RAMP_SHARE_PER_S
            if ramp_s >= dt_s:
                moved = math.copysign(SPEED_RAMP_SHARE_PER_S * dt_s, gap)
                mean = share + 0.5 * moved
                self.output_share = share + moved
            else:
                mean = target - 0.5 * gap * ramp_s / dt_s
                self.output_share = target
            part = self._a + mean * (self._b + mean * self._c)
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
        self._sump = 1.0
        self.output_share = self.turndown_share

    def _set_unloaded(self) -> None:
        self.state = UNLOADED
        self.output_share = 0.0

    def _stop_at(self, at_s: float) -> None:
        self.state = STOPPED
        self.stopped_s = at_s
        self.output_share = 0.0

    def _unloaded_power(self) -> float:
        idle = self.machine.unloaded_power_kw
        return idle + max(0.0, self._blow_kw - idle) * self._sump

    def _blow_down(self, span_s: float) -> float:
        """Energy of `span_s` unloaded, [kW s]; the sump empties meanwhile."""
        idle = self.machine.unloaded_power_kw
        extra = max(0.0, self._blow_kw - idle)
        self._since_s += span_s
        if extra == 0.0 or self._sump < 1e-6 or self._tau_s <= 0.0:
            self._sump = 0.0
            return idle * span_s
        kept = self._sump * math.exp(-span_s / self._tau_s)
        spent = idle * span_s + extra * (self._sump - kept) * self._tau_s
        self._sump = kept
        return spent
