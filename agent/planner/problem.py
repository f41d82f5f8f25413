"""The station problem: what has to be planned, as one immutable value with units.

The content is that of the instance format `station-plan/1` (docs/planner.md), plus four wishes
of an operator that have no place in it: inertia of the plan in force, lead time before a start,
preference between machines, and balance of run hours (`balance_hours`).

Precedence where inputs contradict each other: unavailable > forced > minimum times.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations, pairwise
from typing import NamedTuple


class CurvePoint(NamedTuple):
    """One point of a running machine's power curve."""

    flow_m3_min: float
    power_kw: float


class Window(NamedTuple):
    """Steps `first_step` .. `end_step - 1` of the plan."""

    first_step: int
    end_step: int


class ForcedFlow(NamedTuple):
    """Manual operation: on, at this flow, offering no headroom."""

    first_step: int
    end_step: int
    flow_m3_min: float


@dataclass(frozen=True, slots=True)
class MachineState:
    """State at the start of the plan: running or not, for how long, and its recent starts."""

    running: bool
    in_state_min: float = math.inf
    starts_ago_min: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanMachine:
    """One compressor as the planner sees it.

    `curve` runs from the least flow of a running machine (load/unload: 0 at the unloaded power)
    to full load; flow rises strictly, power is linear between points and need not be convex.
    `preference_eur_h` is a wish, not money: it steers, and is reported apart.
    `lead_time_min` is what a standing machine needs from the start command to delivery.
    """

    machine_id: str
    curve: tuple[CurvePoint, ...]
    state: MachineState
    kind: str = "fixed"
    start_cost_eur: float = 0.0
    start_energy_kwh: float = 0.0
    run_cost_eur_h: float = 0.0
    min_up_min: float = 0.0
    min_down_min: float = 0.0
    max_starts_per_hour: int = 60
    unavailable: tuple[Window, ...] = ()
    forced_on: tuple[Window, ...] = ()
    forced_flow: tuple[ForcedFlow, ...] = ()
    lead_time_min: float = 0.0
    preference_eur_h: float = 0.0

    @property
    def flow_min_m3_min(self) -> float:
        """Least flow of the running machine."""
        return self.curve[0].flow_m3_min

    @property
    def flow_full_m3_min(self) -> float:
        """Flow at full load."""
        return self.curve[-1].flow_m3_min

    def power_kw(self, flow_m3_min: float) -> float:
        """Input power of the running machine, linear between the curve's points, held outside."""
        points = self.curve
        if flow_m3_min <= points[0].flow_m3_min:
            return points[0].power_kw
        for low, high in pairwise(points):
            if flow_m3_min <= high.flow_m3_min:
                share = (flow_m3_min - low.flow_m3_min) / (high.flow_m3_min - low.flow_m3_min)
                return low.power_kw + share * (high.power_kw - low.power_kw)
        return points[-1].power_kw


@dataclass(frozen=True, slots=True)
class Receiver:
    """The air store. `leak_m3_min_bar` and `power_kw_bar` count per bar above the reference."""

    volume_m3: float
    pressure_ref_bar: float
    pressure_min_bar: float
    pressure_max_bar: float
    pressure_init_bar: float
    pressure_end_min_bar: float
    atmosphere_bar: float = 1.013
    leak_m3_min_bar: float = 0.0
    power_kw_bar: float = 0.0


@dataclass(frozen=True, slots=True)
class DemandCharge:
    """Charge on the highest mean power of a billing interval above the peak already paid for."""

    price_eur_kw: float
    peak_so_far_kw: float
    interval_min: float


@dataclass(frozen=True, slots=True)
class Penalties:
    """Prices of what should not happen: they keep every problem solvable."""

    unserved_eur_m3: float = 3.0
    reserve_eur_m3: float = 0.15
    site_limit_eur_kwh: float = 2.0


@dataclass(frozen=True, slots=True)
class Inertia:
    """Cost of departing from the plan in force in the next steps.

    `on[machine_id]` is the plan in force, aligned with this problem's steps; only its first
    `len` steps count, machines that are not named are free.
    """

    on: Mapping[str, tuple[bool, ...]]
    flip_cost_eur: float


@dataclass(frozen=True, slots=True)
class StationProblem:
    """One station over one horizon of N steps of any length; every series has N values."""

    name: str
    step_min: tuple[float, ...]
    demand_m3_min: tuple[float, ...]
    reserve_m3_min: tuple[float, ...]
    energy_price_eur_kwh: tuple[float, ...]
    machines: tuple[PlanMachine, ...]
    receiver: Receiver
    co2_kg_kwh: tuple[float, ...] = ()
    co2_price_eur_kg: float = 0.0
    other_load_kw: tuple[float, ...] = ()
    demand_charge: DemandCharge | None = None
    site_limit_kw: float | None = None
    penalties: Penalties = field(default_factory=Penalties)
    inertia: Inertia | None = None
    start_minute_of_day: float = 0.0

    def __post_init__(self) -> None:
        """Fill the optional series with zeros; raise ValueError when the shapes do not fit."""
        steps = len(self.step_min)
        for name in ("co2_kg_kwh", "other_load_kw"):
            if not getattr(self, name):
                object.__setattr__(self, name, (0.0,) * steps)
        faults = shape_faults(self)
        if faults:
            raise ValueError(f"station problem '{self.name}': {faults[0].what} ({faults[0].where})")

    @property
    def steps(self) -> int:
        """Number of steps N."""
        return len(self.step_min)

    @property
    def machine_ids(self) -> tuple[str, ...]:
        """The machines' ids in the problem's order."""
        return tuple(machine.machine_id for machine in self.machines)


class Fault(NamedTuple):
    """A contradiction inside a problem: what it is, where it stands, how to mend it."""

    what: str
    where: str
    fix: str


_SERIES = (
    "demand_m3_min",
    "reserve_m3_min",
    "energy_price_eur_kwh",
    "co2_kg_kwh",
    "other_load_kw",
)
_NEVER_NEGATIVE = frozenset(["demand_m3_min", "reserve_m3_min"])
# Shorter steps than this make the store of one step beyond all measure.
_SHORTEST_STEP_MIN = 0.001


def shape_faults(problem: StationProblem) -> tuple[Fault, ...]:
    """Everything that makes the problem meaningless, in reading order; empty when it is sound."""
    found: list[Fault] = []
    steps = len(problem.step_min)
    if steps == 0:
        found.append(Fault("the plan has no step", "step_min", "give at least one step"))
    if not all(math.isfinite(x) and x > 0 for x in problem.step_min):
        found.append(Fault("a step is not longer than zero", "step_min", "give minutes above 0"))
    elif steps and min(problem.step_min) < _SHORTEST_STEP_MIN:
        found.append(
            Fault(
                f"a step is shorter than {_SHORTEST_STEP_MIN:g} min",
                "step_min",
                "give minutes, not hours or days",
            )
        )
    for name in _SERIES:
        series = getattr(problem, name)
        if len(series) != steps:
            found.append(
                Fault(f"{len(series)} values for {steps} steps", name, f"give exactly {steps} values")
            )
        elif not all(math.isfinite(x) for x in series):
            found.append(Fault("a value is not a finite number", name, "replace NaN and infinity"))
        elif name in _NEVER_NEGATIVE and min(series, default=0.0) < 0.0:
            found.append(Fault(f"a value is negative: {min(series):g}", name, "give 0 or more"))
    found += _receiver_faults(problem.receiver)
    found += _money_faults(problem)
    seen: set[str] = set()
    for machine in problem.machines:
        if machine.machine_id in seen:
            found.append(
                Fault(
                    f"two machines are called '{machine.machine_id}'",
                    "machines",
                    "give every machine its own id",
                )
            )
        seen.add(machine.machine_id)
        found += _machine_faults(machine)
    return tuple(found)


def _receiver_faults(receiver: Receiver) -> list[Fault]:
    found: list[Fault] = []
    numbers = (
        receiver.volume_m3,
        receiver.atmosphere_bar,
        receiver.pressure_ref_bar,
        receiver.pressure_min_bar,
        receiver.pressure_max_bar,
        receiver.pressure_init_bar,
        receiver.pressure_end_min_bar,
        receiver.leak_m3_min_bar,
        receiver.power_kw_bar,
    )
    if not all(math.isfinite(x) for x in numbers):
        found.append(Fault("a value is not a finite number", "receiver", "give finite numbers"))
        return found
    if receiver.volume_m3 <= 0 or receiver.atmosphere_bar <= 0:
        found.append(Fault("volume and atmosphere must be above zero", "receiver", "correct the two values"))
    if receiver.pressure_min_bar > receiver.pressure_max_bar:
        found.append(
            Fault(
                f"least pressure {receiver.pressure_min_bar:g} bar is above the highest "
                f"{receiver.pressure_max_bar:g} bar",
                "receiver",
                "exchange the two limits",
            )
        )
    elif receiver.pressure_end_min_bar > receiver.pressure_max_bar:
        found.append(
            Fault(
                "the pressure wanted at the end is above the band",
                "receiver",
                f"ask for {receiver.pressure_max_bar:g} bar or less",
            )
        )
    if receiver.leak_m3_min_bar < 0:
        found.append(Fault("the leak is negative", "receiver", "give 0 or more"))
    return found


def _money_faults(problem: StationProblem) -> list[Fault]:
    found: list[Fault] = []
    for name in ("unserved_eur_m3", "reserve_eur_m3", "site_limit_eur_kwh"):
        value = getattr(problem.penalties, name)
        if not math.isfinite(value) or value < 0:
            found.append(Fault(f"{name} is {value}", "penalties", "give a finite price, 0 or more"))
    charge = problem.demand_charge
    if charge is not None and (
        not all(math.isfinite(x) for x in (charge.price_eur_kw, charge.peak_so_far_kw, charge.interval_min))
        or charge.price_eur_kw < 0
        or charge.interval_min <= 0
    ):
        found.append(
            Fault(
                "price, peak or interval makes no sense",
                "demand_charge",
                "give a price of 0 or more and an interval above 0 min",
            )
        )
    if problem.site_limit_kw is not None and not math.isfinite(problem.site_limit_kw):
        found.append(Fault("the limit is not finite", "site_limit_kw", "give kW, or null"))
    return found


def _machine_faults(machine: PlanMachine) -> list[Fault]:
    where = f"machine '{machine.machine_id}'"
    found: list[Fault] = []
    if not machine.machine_id:
        found.append(Fault("a machine has no id", "machines", "give every machine its own id"))
    flat = [x for point in machine.curve for x in point]
    if not machine.curve or not all(math.isfinite(x) for x in flat):
        return [Fault("the power curve is empty or not finite", where, "give [flow, kW] points")]
    flows = [point.flow_m3_min for point in machine.curve]
    if flows[0] < 0 or any(b <= a for a, b in pairwise(flows)):
        found.append(
            Fault(
                "the curve's flows do not rise from zero or more",
                where,
                "order the points by flow and drop doubles",
            )
        )
    if min(point.power_kw for point in machine.curve) < 0:
        found.append(Fault("the curve has a power below zero", where, "power consumed is positive"))
    limits = (
        machine.start_cost_eur,
        machine.start_energy_kwh,
        machine.run_cost_eur_h,
        machine.min_up_min,
        machine.min_down_min,
        machine.lead_time_min,
    )
    if not all(math.isfinite(x) and x >= 0 for x in limits):
        found.append(Fault("a cost or minimum time is negative or not finite", where, "give 0 or more"))
    if machine.max_starts_per_hour < 0:
        found.append(Fault("max_starts_per_hour is negative", where, "give 0 or more"))
    state = machine.state
    if math.isnan(state.in_state_min) or state.in_state_min < 0:
        found.append(Fault("the time in its state is negative", where, "give minutes, 0 or more"))
    if not all(math.isfinite(x) and x >= 0 for x in state.starts_ago_min):
        found.append(Fault("a past start lies in the future", where, "give minutes ago, 0 or more"))
    windows: list[Window] = [*machine.unavailable, *machine.forced_on]
    windows += [Window(forced.first_step, forced.end_step) for forced in machine.forced_flow]
    if any(window.first_step < 0 or window.end_step < window.first_step for window in windows):
        found.append(Fault("a window ends before it begins", where, "write [first step, step after the end]"))
    found += [
        Fault(
            f"forced flow {forced.flow_m3_min:g} m3/min is outside {flows[0]:g}..{flows[-1]:g}",
            where,
            "force a flow that the machine's curve reaches",
        )
        for forced in machine.forced_flow
        if not flows[0] - 1e-9 <= forced.flow_m3_min <= flows[-1] + 1e-9
    ]
    for one, other in combinations(machine.forced_flow, 2):
        begin = max(one.first_step, other.first_step)
        if begin < min(one.end_step, other.end_step) and one.flow_m3_min != other.flow_m3_min:
            found.append(
                Fault(
                    f"step {begin} is forced to {one.flow_m3_min:g} and to {other.flow_m3_min:g} m3/min",
                    where,
                    "leave one forced flow for each step",
                )
            )
    return found


def balance_hours(
    machines: Sequence[PlanMachine], run_hours: Mapping[str, float], *, eur_h_per_1000_h: float
) -> tuple[PlanMachine, ...]:
    """The machines with a preference that draws their run hours together.

    A machine `d` thousand hours ahead of the station's mean pays `d * eur_h_per_1000_h` more in
    every hour it runs, one behind pays less. Machines without a known hour count stay as they are.
    """
    known = [run_hours[m.machine_id] for m in machines if m.machine_id in run_hours]
    if not known:
        return tuple(machines)
    mean_h = sum(known) / len(known)
    return tuple(
        replace(
            machine,
            preference_eur_h=machine.preference_eur_h
            + (run_hours[machine.machine_id] - mean_h) / 1000.0 * eur_h_per_1000_h,
        )
        if machine.machine_id in run_hours
        else machine
        for machine in machines
    )
