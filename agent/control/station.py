"""One station's control, one tick at a time: view, demand, choice of machines, band, guard, orders.

No input or output: a snapshot goes in, orders come out. The daemon and the simulation call the
same method.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import NamedTuple

from agent.config.site import Station
from agent.control.alarms import Alarm, CapacityWatch
from agent.control.balance import balanced, peers_of
from agent.control.band import Band
from agent.control.delivered import Delivered, as_delivered
from agent.control.demand import Demand, DemandEstimator
from agent.control.effect import STATION_FAILURES_AN_HOUR, EffectWatch
from agent.control.gauges import Gauges
from agent.control.guard import guard
from agent.control.high_pressure import HighPressureWatch
from agent.control.hour_peak import HourPeak
from agent.control.memory import HOUR_S, StationMemory
from agent.control.mode import JumpWatch, ModeSwitch, StillWatch
from agent.control.orders import Order
from agent.control.reserve import trip_reserve_bar
from agent.control.start_price import StartPrice
from agent.control.steady import SteadyTime
from agent.control.tuning import Tuning, sets_of, tuning_of
from agent.control.usable import UsableWatch
from agent.control.view import Fleet, StationReader, StationView, fleet_of
from agent.domain import Mode, Plan, Refusal, Snapshot

# Machines are chosen anew no sooner than this, even while the chosen ones fall short.
_RECONSIDER_S = 10.0
# Asked several times a tick: a member of the class would be looked up each time.
_CONTROL = Mode.CONTROL
# What a trip would take is looked at anew this often.
_RESERVE_EVERY_S = 10.0


class Outlook(NamedTuple):
    """Expected mean demand [m3/min] of each step of the look-ahead, and how much of it what is drawn now decides.

    `now_share` is 1 where the forecast has nothing to say, 0 where it knows.
    """

    demand_m3_min: tuple[float, ...]
    now_share: tuple[float, ...]
    source: str


# Lengths of the steps [s] -> what is expected in each.
LookAhead = Callable[[Sequence[float]], Outlook | None]


@dataclass(slots=True)
class TickResult:
    """What one tick decided. `orders` is None in modes that do not command: nothing leaves then.

    `view.at_s` is the control's own time, which the setting of a clock does not move.
    """

    view: StationView
    demand: Demand | None
    mode: Mode
    mode_changed: bool
    mode_why: str
    committed: int
    orders: tuple[Order | None, ...] | None
    advice: tuple[Order | None, ...] | None
    refusals: tuple[Refusal, ...]
    notes: tuple[str, ...]
    alarm: Alarm | None = None


def _expected(now_m3_min: float, steps_s: Sequence[float], outlook: Outlook | None) -> list[float]:
    """Demand of each step: what is drawn now, fading into what was forecast as fast as the forecast has earned.

    Not the forecast's shape on today's level: a forecast in quarter hours smears a ramp that takes five
    minutes, and its shape, laid on a demand that has already risen, calls for machines that nobody needs.
    """
    if outlook is None:
        return [now_m3_min] * len(steps_s)
    return [
        kept * now_m3_min + (1.0 - kept) * expected
        for kept, expected in zip(outlook.now_share, outlook.demand_m3_min, strict=True)
    ]


class StationControl:
    """Everything that outlives a tick of one station."""

    def __init__(self, station: Station, *, tuning: Tuning | None = None) -> None:
        tuning = tuning if tuning is not None else tuning_of(station)
        self.tuning, self._station = tuning, station
        self.fleet: Fleet = fleet_of(station)
        self._reader = StationReader(self.fleet)
        self.table, self.lookahead = sets_of(self.fleet, tuning)
        self.band = Band(self.fleet, self.table)
        self.estimator = DemandEstimator(self.fleet)
        self.delivered = Delivered(self.fleet)
        self.memory = StationMemory(self.fleet.count)
        self.usable = UsableWatch(self.fleet, self.memory)
        self.effect = EffectWatch(self.fleet)
        self.switch = ModeSwitch(Mode(station.mode))
        self.still = StillWatch()
        self.jump = JumpWatch(self.fleet.m3_per_bar, sum(self.fleet.full_flow))
        self.gauges = Gauges(self.fleet)
        self.start_price = StartPrice(tuning.lookahead.start_min, station.starts_per_day_budget)
        self.time = SteadyTime()
        self.capacity, self.high = CapacityWatch(self.fleet), HighPressureWatch(self.fleet)
        self.hour_peak = HourPeak(station.demand_spread)
        steps_s = tuning.lookahead.steps_s
        self._steps_of_hour = sum(sum(steps_s[:k]) < HOUR_S for k in range(len(steps_s)))
        self._peers = peers_of(self.fleet.machines)
        self._reserve_due_s = float("-inf")
        self._committed: int | None = None
        self._commit_at_s = float("-inf")
        self._last_s: float | None = None
        self._last_usable = -1
        self._lately: deque[tuple[float, float]] = deque()

    def tick(
        self, snapshot: Snapshot, plan: Plan | None = None, look_ahead: LookAhead | None = None
    ) -> TickResult:
        """Decide this tick. `look_ahead` is asked only when the machines are chosen anew."""
        view = self._reader.view(snapshot)
        steady_s = self.time.at(view.at_s)
        if steady_s != view.at_s:
            view = view._replace(at_s=steady_s)
        if self.time.stepped:
            # What lies between the two pressures is not known: no slope is made of it.
            self.estimator.update(view._replace(pressure_bar_g=None))
            self.jump.skip()
        return self.decide(view, snapshot, plan, look_ahead)

    def override(self, machine: str, *, run: bool | None, until_at_s: float, text: str) -> None:
        """An operator's word for a machine until `until_at_s` (epoch); None takes it back."""
        index = self.fleet.names.index(machine)
        self.memory.override(index, run=run, until_s=until_at_s + self.time.offset_s, text=text)
        self._choose_at_once()

    def believe_pressure(self) -> bool:
        """Somebody has looked: what the header sensor shows is right. False if it was not doubted."""
        doubted = bool(self.jump.off_bar)
        self.jump.believe()
        return doubted

    def lock_out(self, machine: str, *, locked: bool, text: str) -> None:
        """Lock a machine out for maintenance, or release it."""
        self.memory.lock_out(self.fleet.names.index(machine), locked=locked, text=text)
        self._choose_at_once()

    def _choose_at_once(self) -> None:
        self.usable.forget()
        self._last_usable = -1

    def decide(
        self, view: StationView, snapshot: Snapshot, plan: Plan | None, look_ahead: LookAhead | None
    ) -> TickResult:
        """Decide on a view that was made already."""
        now_s = view.at_s
        notes: list[str] = []
        dt_s = 0.0 if self._last_s is None else min(max(now_s - self._last_s, 0.0), 60.0)
        self._last_s = now_s
        starts_before = self.memory.starts_seen
        self.memory.observe(view)
        self.jump.see(now_s, view.pressure_bar_g, lambda: self._could_deliver(view))
        if self.gauges.agree(view, snapshot, self.jump.off_bar):
            notes.append("header pressure is believed again: the machines' own gauges agree with it")
            self.jump.believe()
        trouble = self._trouble(view)
        believed = view.pressure_bar_g is not None and self._plausible(view.pressure_bar_g)
        if not believed or self.jump.trouble:
            # What is not believed is not acted on either, not even until the fall-back.
            view = view._replace(pressure_bar_g=None)
        demand = self.estimator.update(view)
        if self.delivered.see(view, meter_doubted=self.estimator.meter_doubted):
            notes.append(self._reckon_as_delivered())
        if self.switch.mode is _CONTROL:
            failures = self.effect.check(view, self.memory)
            if failures:
                self.usable.forget()
                notes += failures
        else:
            self.effect.forget_orders()
        still_s = self.still.still_s(now_s, view.pressure_bar_g)
        frozen = f"header pressure has stood still for {still_s:.0f} s" if self.still.frozen(still_s) else ""
        changed = self.switch.update(now_s, frozen or trouble)
        if frozen:
            # It has been looked at for long enough: no second wait on top of the first.
            changed = self.switch.fall_now(now_s, frozen) or changed
        # Too much and too little at once there is not; both watch every tick.
        if changed and self.switch.mode is _CONTROL:
            self.band.take_over()
        short = self.capacity.update(view, self.memory, demand)
        alarm = self.high.update(view, self.effect) or short
        if demand is None or view.pressure_bar_g is None:
            handed_back = (None,) * self.fleet.count
            self.memory.sent(handed_back, now_s)
            self.effect.sent(view, handed_back)
            return self._result(view, demand, None, (), notes, alarm, changed=changed)
        self.band.level.unseen_bar = 0.5 * self.still.coarse_bar
        self._reserve_if_due(view, demand, dt_s)
        self._commit_if_due(view, demand, snapshot, plan, look_ahead, notes)
        assert self._committed is not None
        decision = self.band.step(view, demand, self.memory, self._committed, dt_s=dt_s)
        verdict = guard(self.fleet, view, self.memory, decision.wishes)
        if self.switch.mode is _CONTROL:
            self.effect.sent(view, verdict.orders)
            self.memory.sent(verdict.orders, now_s)
            self.band.learn(view.pressure_bar_g, demand, dt_s)
            self.start_price.see(self.memory.starts_seen - starts_before, demand.fast_m3_min, dt_s)
        else:
            self.memory.sent((None,) * self.fleet.count, now_s)
        notes += decision.reasons
        return self._result(view, demand, verdict.orders, verdict.refusals, notes, alarm, changed=changed)

    def _reckon_as_delivered(self) -> str:
        """Go on with what the machines were found to deliver, in words too."""
        shares = self.delivered.shares
        self.fleet = fleet_of(as_delivered(self._station, shares))
        self.table, self.lookahead = sets_of(self.fleet, self.tuning)
        self.band.use(self.fleet, self.table)
        self.estimator.use(self.fleet)
        self.capacity.use(self.fleet)
        off = ", ".join(
            f"{name} {100.0 * (share - 1.0):+.0f} %"
            for name, share in zip(self.fleet.names, shares, strict=True)
            if share != 1.0
        )
        return f"by the flow meter machines deliver other than their nameplates say: {off or 'none any more'}"

    def _reserve_if_due(self, view: StationView, demand: Demand, dt_s: float) -> None:
        """How high a trip wants the band to stand now; looked at every few seconds."""
        station = self.fleet.station
        borne_s = 0.0 if station.trip_reserve else station.trip_below_s
        if borne_s is None or 0.0 < self._reserve_due_s - view.at_s <= _RESERVE_EVERY_S:
            return
        self._reserve_due_s = view.at_s + _RESERVE_EVERY_S
        self.band.level.reserve_bar = trip_reserve_bar(
            self.fleet, view, self.memory, demand, tick_s=max(dt_s, 1.0), borne_s=borne_s
        )

    def _plausible(self, pressure_bar_g: float) -> bool:
        return -0.2 <= pressure_bar_g <= 2.0 * self.fleet.station.pressure_max_bar_g

    def _could_deliver(self, view: StationView) -> float:
        """Most that the machines which run, or ran a moment ago, have put into the net since the last tick."""
        now_s, past = view.at_s, self.memory.machines
        flow = 0.0
        for full, seen, memory in zip(self.fleet.full_flow, view.machines, past, strict=True):
            if seen.running is not False or now_s - memory.since_s < 60.0:
                flow += full
        return flow

    def _trouble(self, view: StationView) -> str:
        pressure = view.pressure_bar_g
        if pressure is None:
            return "header pressure is unknown"
        if not self._plausible(pressure):
            return f"header pressure {pressure:.2f} bar is implausible"
        if self.jump.trouble:
            return self.jump.trouble
        silent = view.states.silent.bit_count()
        if 2 * silent > self.fleet.count:
            return f"{silent} of {self.fleet.count} machines are silent"
        failing = self.effect.failing(view.at_s)
        if 2 * failing > self.fleet.count:
            return f"{failing} of {self.fleet.count} machines do not follow"
        failures = self.effect.failed_this_hour(view.at_s)
        if failures >= STATION_FAILURES_AN_HOUR:
            return f"machines did not follow {failures} times within the hour"
        return ""

    def _commit_if_due(
        self,
        view: StationView,
        demand: Demand,
        snapshot: Snapshot,
        plan: Plan | None,
        look_ahead: LookAhead | None,
        notes: list[str],
    ) -> None:
        self._lately.append((view.at_s, demand.slow_m3_min))
        self.hour_peak.see(view.at_s, max(demand.slow_m3_min, demand.fast_m3_min))
        while view.at_s - self._lately[0][0] > self.tuning.keep_s:
            self._lately.popleft()
        usable = self.usable.now(view)
        barred, held, running = usable.barred, usable.held, usable.running
        usable_changed = barred != self._last_usable
        self._last_usable = barred
        waited_s = view.at_s - self._commit_at_s
        due = waited_s >= self.tuning.commit_every_s or (waited_s >= _RECONSIDER_S and self._is_short(demand))
        if self._committed is not None and not due and not usable_changed:
            return
        self._commit_at_s = view.at_s
        steps_s = self.tuning.lookahead.steps_s
        outlook = look_ahead(steps_s) if look_ahead is not None else None
        wanted = _expected(demand.slow_m3_min, steps_s, outlook)
        wanted[0] = max(demand.slow_m3_min, demand.fast_m3_min)
        lately = max((value for _, value in self._lately), default=0.0)
        self.hour_peak.expect(view.at_s, max(wanted[: self._steps_of_hour]))
        end_running = self._planned(snapshot, plan, sum(steps_s))
        current = running if self._committed is None else (self._committed & ~barred)
        choice = self.lookahead.choose(
            current,
            wanted,
            barred=barred,
            held=held,
            end_running=end_running,
            lately_m3_min=lately,
            peak=self.hour_peak.peak,
            start_factor=self.start_price.factor,
        )
        mask, spread_h = choice.mask, self.fleet.station.hours_spread_h
        if spread_h is not None:
            hours = [past.hours_run_h for past in self.memory.machines]
            mask = balanced(mask, running, hours, self._peers, barred=barred, held=held, spread_h=spread_h)
        if mask != self._committed:
            names = ", ".join(n for i, n in enumerate(self.fleet.names) if (mask >> i) & 1) or "none"
            even = "" if mask == choice.mask else "; equal machines exchanged for even hours"
            notes.append(f"run {names}: {choice.reason}{even}")
        self._committed = mask

    def _is_short(self, demand: Demand) -> bool:
        """The chosen machines cannot carry what is taken now: no waiting for the minute."""
        chosen = self._committed or 0
        return max(demand.fast_m3_min, demand.slow_m3_min) > self.fleet.capacity(chosen)

    def _planned(self, snapshot: Snapshot, plan: Plan | None, ahead_s: float) -> int | None:
        """Machines that the day's plan runs after the look-ahead; None without a valid plan."""
        if plan is None or snapshot.at >= plan.not_after:
            return None
        for step in plan.steps:
            begin_s = (step.at - snapshot.at).total_seconds()
            if begin_s <= ahead_s < begin_s + step.duration_s:
                return sum(1 << i for i, name in enumerate(self.fleet.names) if name in step.running)
        return None

    def _result(
        self,
        view: StationView,
        demand: Demand | None,
        orders: tuple[Order | None, ...] | None,
        refusals: tuple[Refusal, ...],
        notes: list[str],
        alarm: Alarm | None,
        *,
        changed: bool,
    ) -> TickResult:
        mode = self.switch.mode
        offset_s = self.time.offset_s
        if offset_s:
            # People read the clock on the wall.
            refusals = tuple(
                r if r.until is None else r._replace(until=r.until - timedelta(seconds=offset_s))
                for r in refusals
            )
        return TickResult(
            view=view,
            demand=demand,
            mode=mode,
            mode_changed=changed,
            mode_why=self.switch.why,
            committed=self._committed or 0,
            orders=orders if mode is _CONTROL else None,
            advice=orders if mode is not _CONTROL else None,
            refusals=refusals,
            notes=tuple(notes),
            alarm=alarm,
        )
