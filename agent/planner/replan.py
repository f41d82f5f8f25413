"""When to plan again, and what must not change when we do.

A plan is renewed every few minutes anyway; between, an event asks for a new one. Events are held
back so that noise does not make plans: demand must be outside its band for two looks, pressure low
for half a minute, and no plan follows another within half a minute.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

from agent.planner.problem import ForcedFlow, StationProblem, Window
from agent.planner.result import StationPlanResult

LEAST_PAUSE_S = 30.0
DEMAND_LOOKS = 2
LOW_PRESSURE_S = 30.0
# A demand that stays outside, a pressure that stays low after the plan made for it.
AGAIN_LOOKS, AGAIN_S = 18, 600.0
# The forecast's band doubles in this time without a new forecast.
AGE_DOUBLES_H = 6.0


class ReplanCause(StrEnum):
    """Why a new plan is wanted."""

    FIRST = "first"
    DUE = "due"
    DEMAND = "demand"
    MACHINE = "machine"
    OVERRIDE = "override"
    PRICE = "price"
    LIMIT = "limit"
    PRESSURE = "pressure"


@dataclass(frozen=True, slots=True)
class Sight:
    """What is seen at one look. Unknown values are None and never cause a plan.

    `available` are the machines that may run, `overrides` the manual interventions in force,
    `price_id` anything that changes when the price series does.
    """

    at_s: float
    demand_m3_min: float | None
    demand_low_m3_min: float
    demand_high_m3_min: float
    pressure_bar: float | None
    pressure_min_bar: float
    available: frozenset[str]
    overrides: frozenset[str] = frozenset()
    price_id: str = ""
    site_limit_kw: float | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """Memory between looks: the sight the present plan was made for, counters, what is pending."""

    planned_for: Sight | None = None
    outside_looks: int = 0
    low_since_s: float | None = None
    pending: ReplanCause | None = None


def look(watch: Watch, sight: Sight, *, period_s: float) -> tuple[Watch, ReplanCause | None]:
    """The watch after this look, and the cause when a plan should be made now.

    An event within `LEAST_PAUSE_S` of the last plan waits until the pause is over. The caller
    makes the plan; the watch takes it as made for this sight.
    """
    outside = sight.demand_m3_min is not None and not (
        sight.demand_low_m3_min <= sight.demand_m3_min <= sight.demand_high_m3_min
    )
    looks = watch.outside_looks + 1 if outside else 0
    low = sight.pressure_bar is not None and sight.pressure_bar < sight.pressure_min_bar
    low_since = (watch.low_since_s if watch.low_since_s is not None else sight.at_s) if low else None
    cause = watch.pending or _cause(watch.planned_for, sight, looks, low_since, period_s)
    seen = Watch(watch.planned_for, looks, low_since, cause)
    if cause is None:
        return seen, None
    made_for = watch.planned_for
    if made_for is not None and sight.at_s - made_for.at_s < LEAST_PAUSE_S:
        return seen, None
    # Counters begin anew, and what goes on after the plan that was made for it is no new event for a while.
    return Watch(
        planned_for=sight,
        outside_looks=-AGAIN_LOOKS if cause is ReplanCause.DEMAND else 0,
        low_since_s=sight.at_s + AGAIN_S if cause is ReplanCause.PRESSURE else None,
    ), cause


def _cause(
    made_for: Sight | None, sight: Sight, looks: int, low_since: float | None, period_s: float
) -> ReplanCause | None:
    if made_for is None:
        return ReplanCause.FIRST
    table = (
        (ReplanCause.MACHINE, sight.available != made_for.available),
        (ReplanCause.OVERRIDE, sight.overrides != made_for.overrides),
        (ReplanCause.LIMIT, sight.site_limit_kw != made_for.site_limit_kw),
        (ReplanCause.PRESSURE, low_since is not None and sight.at_s - low_since > LOW_PRESSURE_S),
        (ReplanCause.DEMAND, looks >= DEMAND_LOOKS),
        (ReplanCause.PRICE, sight.price_id != made_for.price_id),
        (ReplanCause.DUE, sight.at_s - made_for.at_s >= period_s),
    )
    return next((cause for cause, holds in table if holds), None)


def widened(low: float, middle: float, high: float, *, age_h: float) -> tuple[float, float]:
    """P10 and P90 of a forecast that is `age_h` old: the band grows by 1 + age / 6 h, not below 0."""
    factor = 1.0 + max(age_h, 0.0) / AGE_DOUBLES_H
    return max(middle - factor * (middle - low), 0.0), middle + factor * (high - middle)


def frozen(
    problem: StationProblem, in_force: StationPlanResult, *, steps: int, spare: frozenset[str] = frozenset()
) -> StationProblem:
    """The problem with the first steps of the plan in force kept.

    `in_force` is aligned with the problem's steps. Machines in `spare` (those the event is about),
    unknown ones, and those under an operator's window in these steps stay free.
    """
    steps = min(steps, problem.steps)
    if steps <= 0:
        return problem
    machines = []
    for machine in problem.machines:
        windows: list[Window | ForcedFlow] = [
            *machine.unavailable,
            *machine.forced_on,
            *machine.forced_flow,
        ]
        touched = any(window.first_step < steps and window.end_step > 0 for window in windows)
        planned = in_force.on.get(machine.machine_id)
        if touched or planned is None or machine.machine_id in spare:
            machines.append(machine)
            continue
        forced_on, unavailable = list(machine.forced_on), list(machine.unavailable)
        for step, running in enumerate(planned[:steps]):
            (forced_on if running else unavailable).append(Window(step, step + 1))
        machines.append(replace(machine, forced_on=tuple(forced_on), unavailable=tuple(unavailable)))
    return replace(problem, machines=tuple(machines))
