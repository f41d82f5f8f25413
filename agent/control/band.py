"""The band: every tick, load, unload, trim and start so that the pressure stays in one band.

Complete by itself: without any plan it is a single-band sequencer that chooses its own machines.
The shape of the loop and its default numbers come from closed-loop trials against a sequencer
tuned by search; docs/control.md tells what each step was worth.
"""

from __future__ import annotations

from dataclasses import dataclass

from agent.control.after_trip import TripWatch, may_wait, next_starts
from agent.control.cycle import pressure_price_per_bar, worthwhile_width_bar
from agent.control.demand import Demand
from agent.control.guard import may_start, may_start_or_runs
from agent.control.level import BandLevel
from agent.control.memory import StationMemory
from agent.control.orders import LOADED, STOP, UNLOADED, Order
from agent.control.released import Released, let_go
from agent.control.speed import SpeedBias
from agent.control.surge import Surge
from agent.control.view import Fleet, StationView, bits_in
from agent.planner.sets import SetTable, cycle_loss_kw_min

# A rescue start is not taken back before this time.
_RESCUE_HOLD_S = 300.0
# Within this of the minimum a rescue starts whatever the slope says.
_RESCUE_BAR = 0.04
# So far below it the net has run empty (power failure, too late a start): who only carries on leaves it there.
_EMPTY_BAR = 0.2

# A start that takes so long is ordered ahead of the demand it is for.
_SLOW_START_S = 150.0


@dataclass(slots=True)
class Decision:
    """Orders of one tick with the reasons for what changed."""

    wishes: tuple[Order, ...]
    reasons: tuple[str, ...]
    slope_bar_min: float
    rescued: bool


class Band:
    """Holds the loading of the machines from tick to tick."""

    def __init__(self, fleet: Fleet, table: SetTable) -> None:
        self.fleet = fleet
        self._table = table
        self._loaded: int | None = None
        # Silent or in local mode: whoever comes back delivering goes on until the band says otherwise.
        self._away = 0
        self._trim = -1
        self._rescue = 0
        self._rescue_until_s = float("-inf")
        self._trip = TripWatch()
        self._released = Released()
        self._able_m3_min = 0.0
        self._bias = SpeedBias()
        self._slow_start = max((m.start_s for m in fleet.machines), default=0.0) >= _SLOW_START_S
        self.level = BandLevel(fleet.station)
        self.surge = Surge(sum(fleet.full_flow))
        # What is asked of the same few sets of machines every tick, by their bits.
        self._power_of_set: dict[int, float] = {}
        self._quickest_of_set: dict[int, float] = {}
        self._slowest_of_set: dict[int, float] = {}
        self._starts_to_load = sum(1 << i for i, alone in enumerate(fleet.starts_to_load) if alone)
        self._cycle_loss_kw_min = tuple(cycle_loss_kw_min(m) for m in fleet.machines)
        station = fleet.station
        self._price_per_bar = pressure_price_per_bar(station.pressure_min_bar_g, station.atmosphere_bar)

    def take_over(self) -> None:
        """Another has controlled meanwhile: who delivers now goes on."""
        self._loaded = None

    def use(self, fleet: Fleet, table: SetTable) -> None:
        """Go on with the same machines, of which another flow is known."""
        self.fleet, self._table = fleet, table

    def step(
        self, view: StationView, demand: Demand, memory: StationMemory, committed: int, *, dt_s: float
    ) -> Decision:
        """Orders for this tick. `committed` are the machines (bits) that are meant to run."""
        fleet, station = self.fleet, self.fleet.station
        pressure = view.pressure_bar_g
        assert pressure is not None, "the tick goes to fallback before the band runs blind"
        reasons: list[str] = []

        running, loaded, supply, starting_lead_s = self._machines_now(view, demand, memory)
        self.surge.see(view.at_s, demand.fast_m3_min, dt_s)
        room = self.fleet.capacity(running & committed) - demand.slow_m3_min
        surge_bar = self.surge.lift(room, self._next_start_s(view), fleet.m3_per_bar, dt_s)
        low, aim, high = self.level.edges(
            by_speed=self.trims_by_speed,
            surge_bar=surge_bar,
            worthwhile_bar=self._worthwhile_bar(running & committed or running, demand.slow_m3_min),
        )
        away, before = view.states.silent | view.states.unready, self._away
        self._away = away
        ordered = loaded if self._loaded is None else self._loaded | loaded & before & ~away
        wanted = (
            max(demand.fast_m3_min, demand.slow_m3_min)
            if pressure < aim
            else min(demand.fast_m3_min, demand.slow_m3_min)
        )
        self._able_m3_min = self.fleet.capacity(running)
        slope = (supply - wanted) / fleet.m3_per_bar
        lead_min = (station.lead_s + dt_s) / 60.0

        tripped = self._trip.see(view, loaded)
        active = committed | self._rescue_bits(view.at_s)
        needed, first = wanted, -1
        if tripped:
            # What is lost is known at once: no waiting for the slope to show it.
            start_s = self._next_start_s(view) or 0.0
            ahead = pressure + min(slope, 0.0) * (start_s + station.lead_s) / 60.0
            needed += max(0.0, station.pressure_min_bar_g + _RESCUE_BAR - ahead) * fleet.m3_per_bar
            first, more = next_starts(
                fleet, view, memory, active=active, wanted_m3_min=wanted, tick_s=max(dt_s, 1.0)
            )
            if more >= 0:
                self._rescue_by(more, view.at_s)
                reasons.append(f"start of {fleet.names[more]}: the net is full again sooner with it")
        elif pressure < station.pressure_min_bar_g - _EMPTY_BAR:
            needed += (station.pressure_min_bar_g - pressure) * fleet.m3_per_bar
        active |= self._rescue
        rescued = self._rescue_if_needed(view, memory, active, pressure, needed, starting_lead_s, reasons)
        active = committed | self._rescue_bits(view.at_s)

        usable = running & active
        want_load, trim = ordered & running, self._trim
        stray = want_load & ~active
        soon = pressure + slope * lead_min
        if soon < low:
            need = wanted + max(0.0, low - pressure) * fleet.m3_per_bar
            if supply < need or not want_load:
                able = usable if self.fleet.capacity(usable) >= need else running
                want_load, trim = self._loading(able, need)
                if want_load & ~ordered:
                    reasons.append(
                        f"load: {pressure:.2f} bar falls to {low:.2f} within {lead_min * 60:.0f} s"
                    )
        elif pressure > high and soon > high:
            need = max(0.0, demand.fast_m3_min - (pressure - high) * fleet.m3_per_bar)
            want_load, trim = self._unloading(usable or running, want_load, need)
            if ordered & ~want_load:
                reasons.append(f"unload: {pressure:.2f} bar is above {high:.2f}")
        elif stray and self.fleet.capacity(usable) >= wanted:
            # A released machine is relieved at once by those that stay: no waiting for the band's edge.
            want_load, trim = self._loading(usable, wanted)
        if pressure < station.pressure_min_bar_g or (
            min(pressure, soon) <= high and self.fleet.capacity(loaded & want_load) < wanted
        ):
            # Handing over: who delivers goes on until the machine that takes over says that it delivers,
            # and nobody lets go while the net is below its minimum.
            want_load |= loaded & ordered
        # Machines that are starting, or about to, and that are meant to run.
        coming = active & ~(running | view.states.silent | view.states.tripped)
        if coming and (supply < wanted or pressure < low):
            soon_s = starting_lead_s + station.lead_s
            if pressure < low or pressure + slope * soon_s / 60.0 < low:
                # It is wanted at once: loaded from its start on it delivers without a second wait.
                want_load |= coming
        self._loaded, self._trim = want_load, trim
        carried = self.fleet.capacity(loaded & usable & want_load) >= wanted
        relieved = carried and not (want_load & ~active and pressure < low)
        if self._slow_start and self._will_deliver(view, memory, coming):
            # What takes minutes to start was ordered for a demand to come: whoever it replaces stays until it is there.
            relieved = False
        if self.trims_by_speed:
            self._bias.learn(fleet, view, self._trim, aim - pressure, dt_s)
        clinging = self._released.clinging(fleet, view, loaded & ~active & ~want_load, reasons)
        if pressure <= low or self.fleet.capacity(usable) < wanted:
            # The others could not carry yet.
            clinging = 0
        # A machine that is still starting delivers nothing yet: the VSD must not make room for it.
        base_m3_min = self._base_flow(want_load & running, trim)
        wishes = self._wishes(
            view,
            demand,
            memory,
            active,
            want_load,
            trim,
            pressure,
            aim,
            base_m3_min,
            relieved=relieved,
            clinging=clinging,
        )
        if first >= 0 and wishes[first].run:
            # Two starts never go together: those that bring less wait for it.
            wishes = tuple(
                STOP if i != first and may_wait(view, memory, i) else wish for i, wish in enumerate(wishes)
            )
        return Decision(wishes, tuple(reasons), slope, rescued)

    @property
    def trims_by_speed(self) -> bool:
        """Whether the trim machine follows the demand by its speed."""
        return self._trim >= 0 and self.fleet.is_vsd[self._trim]

    def learn(self, pressure_bar_g: float, demand: Demand, dt_s: float) -> None:
        """Let the band's level learn from a tick under our control."""
        short = self._able_m3_min < max(demand.fast_m3_min, demand.slow_m3_min)
        self.level.learn(pressure_bar_g, dt_s, by_speed=self.trims_by_speed, short=short)

    def _machines_now(
        self, view: StationView, demand: Demand, memory: StationMemory
    ) -> tuple[int, int, float, float]:
        """(bits able to deliver, bits loaded, supply, start time of the slowest standing machine)."""
        fleet, states = self.fleet, view.states
        turning = states.running & ~states.tripped
        loaded = turning & states.loaded
        running = loaded | turning & self._starts_to_load
        ordered = self._loaded or 0
        supply = demand.supply_m3_min
        for index in bits_in(turning & ~loaded):
            if view.at_s - memory.machines[index].since_s >= fleet.machines[index].start_s:
                running |= 1 << index
            if (ordered & running) >> index & 1:
                # Ordered to load a moment ago: it delivers before the lead time is over.
                supply += fleet.least_flow[index]
        for index in bits_in(states.loaded & states.running & states.tripped):
            supply -= fleet.flow_of(index, view.machines[index])
        standing = ((1 << fleet.count) - 1) & ~turning
        for index in bits_in(standing & self._starts_to_load):
            if memory.machines[index].known and may_start(fleet, view, memory, index):
                # It has no unloaded state to wait in: to load it is to start it.
                running |= 1 << index
        lead_s = self._slowest_of_set.get(standing)
        if lead_s is None:
            lead_s = max((fleet.machines[i].start_s for i in bits_in(standing)), default=0.0)
            self._slowest_of_set[standing] = lead_s
        return running, loaded, supply, lead_s

    def _worthwhile_bar(self, usable: int, demand_m3_min: float) -> float:
        """The width that the trim machine's blow-downs are worth, [bar]; 0 where a VSD trims or nothing cycles."""
        fleet = self.fleet
        base, trim = self._table.loading(usable, demand_m3_min)
        if trim < 0 or fleet.is_vsd[trim]:
            return 0.0
        duty = (demand_m3_min - self.fleet.capacity(base)) / fleet.full_flow[trim]
        if not 0.0 < duty < 1.0:
            return 0.0
        base_kw = self._power_of_set.get(base)
        if base_kw is None:
            base_kw = sum(m.full_power_kw for i, m in enumerate(fleet.machines) if (base >> i) & 1)
            self._power_of_set[base] = base_kw
        loaded_kw = duty * fleet.machines[trim].full_power_kw + base_kw
        return worthwhile_width_bar(
            fleet.full_flow[trim],
            self._cycle_loss_kw_min[trim],
            duty,
            loaded_kw,
            self._price_per_bar,
            fleet.m3_per_bar,
        )

    def _next_start_s(self, view: StationView) -> float | None:
        """Start time of the quickest machine that stands ready; None where none does."""
        states, fleet = view.states, self.fleet
        ready = ((1 << fleet.count) - 1) & ~(states.running | states.silent | states.tripped | states.unready)
        if not ready:
            return None
        quickest = self._quickest_of_set.get(ready)
        if quickest is None:
            quickest = min(fleet.machines[i].start_s for i in bits_in(ready))
            self._quickest_of_set[ready] = quickest
        return quickest

    def _will_deliver(self, view: StationView, memory: StationMemory, coming: int) -> bool:
        """Whether one of the machines that are meant to come starts already or may be started now."""
        return any(
            bool(view.machines[i].running) or may_start(self.fleet, view, memory, i) for i in bits_in(coming)
        )

    def _base_flow(self, bits: int, trim: int) -> float:
        """Full flow of the machines `bits` without the VSD that trims."""
        by_speed = trim >= 0 and self.fleet.is_vsd[trim]
        return self.fleet.capacity(bits & ~(1 << trim) if by_speed else bits)

    def _loading(self, usable: int, need: float) -> tuple[int, int]:
        base, trim = self._table.loading(usable, need)
        return base | (1 << trim if trim >= 0 else 0), trim

    def _unloading(self, usable: int, loaded: int, need: float) -> tuple[int, int]:
        """What stays loaded above the band: the base set, and a VSD trim, which follows down."""
        base, trim = self._table.loading(usable, need)
        keep = base & loaded
        if trim >= 0 and self.fleet.is_vsd[trim] and (loaded >> trim) & 1:
            least = self.fleet.least_flow[trim]
            if need - self.fleet.capacity(keep) >= 0.5 * least:
                keep |= 1 << trim
        return keep, trim

    def _rescue_bits(self, now_s: float) -> int:
        if now_s >= self._rescue_until_s:
            self._rescue = 0
        return self._rescue

    def _rescue_by(self, index: int, now_s: float) -> None:
        self._rescue |= 1 << index
        self._rescue_until_s = now_s + _RESCUE_HOLD_S

    def _rescue_if_needed(
        self,
        view: StationView,
        memory: StationMemory,
        active: int,
        pressure: float,
        wanted: float,
        lead_s: float,
        reasons: list[str],
    ) -> bool:
        """Add the cheapest machine that may start when the running ones cannot hold the minimum."""
        fleet = self.fleet
        floor = fleet.station.pressure_min_bar_g
        states = view.states
        helping = active & ~(states.silent | states.tripped)
        for index in bits_in(helping & ~states.running):
            if not memory.machines[index].known or not may_start(fleet, view, memory, index):
                helping &= ~(1 << index)
        able = fleet.capacity(helping)
        if able >= wanted:
            return False
        missing_slope = (able - wanted) / fleet.m3_per_bar
        time_left_s = (pressure - floor) / -missing_slope * 60.0 if missing_slope < 0 else float("inf")
        if time_left_s > 50.0 + lead_s + fleet.station.lead_s and pressure > floor + _RESCUE_BAR:
            return False
        best, best_cost = -1, float("inf")
        for index in range(fleet.count):
            if (active >> index) & 1 or not may_start_or_runs(fleet, view, memory, index):
                continue
            short = max(wanted - able - fleet.full_flow[index], 0.0)
            cost = fleet.machines[index].full_power_kw + 1000.0 * short
            if self._trip.until_s > view.at_s and not view.machines[index].running:
                # The floor is about to be passed: the quickest, whatever it costs for five minutes.
                cost += 1000.0 * fleet.full_flow[index] * fleet.machines[index].start_s / 60.0
            if cost < best_cost:
                best, best_cost = index, cost
        if best < 0:
            return False
        self._rescue_by(best, view.at_s)
        reasons.append(
            f"rescue start of {fleet.names[best]}: {wanted:.1f} m3/min wanted, {able:.1f} able, "
            f"{pressure:.2f} bar"
        )
        return True

    def _wishes(
        self,
        view: StationView,
        demand: Demand,
        memory: StationMemory,
        active: int,
        want_load: int,
        trim: int,
        pressure: float,
        aim: float,
        base_m3_min: float,
        *,
        relieved: bool,
        clinging: int,
    ) -> tuple[Order, ...]:
        fleet = self.fleet
        wishes: list[Order] = []
        for index in range(fleet.count):
            bit = 1 << index
            load = bool(want_load & bit)
            share = None
            order = LOADED if load else UNLOADED
            if fleet.is_vsd[index]:
                share = 1.0
                if index == trim:
                    flow = (
                        demand.fast_m3_min
                        - base_m3_min
                        + (aim - pressure) * fleet.m3_per_bar
                        + self._bias.m3_min
                    )
                    share = flow / fleet.full_flow[index]
                order = Order(True, load, share)
            if fleet.starts_to_load[index]:
                wishes.append(LOADED if load else STOP)
                continue
            if active & bit:
                wishes.append(order)
                continue
            if not view.machines[index].running:
                wishes.append(STOP)
                continue
            # Released: it stays until those that are meant to run can carry the demand without it.
            if not relieved and not (clinging & bit):
                wishes.append(order)
                continue
            wishes.append(let_go(fleet, view, memory, index, share))
        return tuple(wishes)
