"""Why the plan is as it is: reasons for every start and stop, the marginal machine of every step.

The cheap answers (what covers the flow, which limit binds, the marginal price) are read off the
plan. What the opposite would cost is found on demand by forcing it and planning again from there.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from agent.planner.budget import Budget
from agent.planner.dispatch import Dispatch
from agent.planner.improve import improve_from, sweep_singles
from agent.planner.problem import StationProblem, Window
from agent.planner.result import StationPlanResult
from agent.planner.search import Search, repaired
from agent.planner.stage import flat_path, make_stage
from agent.planner.tables import Bools, Tables, compile_tables

# m3/min and bar below which a flow or a pressure counts as being at its limit.
_EPS = 1e-5


class Margin(StrEnum):
    """Who would deliver one more cubic metre in a step."""

    MACHINE = "machine"
    RECEIVER = "receiver"
    BLOW_OFF = "blow_off"
    SHORTAGE = "shortage"


class Cause(StrEnum):
    """Why a machine changes its state."""

    FORCED = "forced"
    UNAVAILABLE = "unavailable"
    CAPACITY = "capacity"
    RESERVE = "reserve"
    COST = "cost"


@dataclass(frozen=True, slots=True)
class StepReason:
    """The margin of one step.

    `specific_kw_min_m3` is the power one more m3/min would take at the step's energy price;
    `sets_peak` is true in a billing interval at the plan's peak.
    """

    step: int
    margin: Margin
    machine_id: str | None
    price_eur_m3: float
    specific_kw_min_m3: float | None
    sets_peak: bool
    text: str


@dataclass(frozen=True, slots=True)
class SwitchReason:
    """A planned start (`starts`) or stop, its cause and the run or pause it begins."""

    machine_id: str
    step: int
    end_step: int
    starts: bool
    cause: Cause
    text: str


@dataclass(frozen=True, slots=True)
class Alternative:
    """The plan with the opposite forced: what it costs more, and who acts in its place."""

    machine_id: str
    first_step: int
    end_step: int
    forced_on: bool
    extra_eur: float
    instead: tuple[str, ...]
    text: str


def clock(problem: StationProblem, step: int) -> str:
    """Local time of day at the step's start, hh:mm."""
    minute = problem.start_minute_of_day + sum(problem.step_min[:step])
    return f"{int(minute // 60) % 24:02d}:{int(minute % 60):02d}"


def _matrix(problem: StationProblem, plan: StationPlanResult) -> Bools:
    columns = [np.array(plan.on[key], dtype=bool) for key in problem.machine_ids]
    return np.stack(columns, axis=1) if columns else np.zeros((problem.steps, 0), dtype=bool)


def explain_steps(problem: StationProblem, plan: StationPlanResult) -> tuple[StepReason, ...]:
    """The margin of every step: who would deliver one more cubic metre, and at what price."""
    tables = compile_tables(problem)
    return tuple(_step_reason(tables, plan, step) for step in range(problem.steps))


def _step_reason(tables: Tables, plan: StationPlanResult, step: int) -> StepReason:
    problem = tables.problem
    price = plan.price_eur_m3[step]
    energy = float(tables.price_eur_kwh[step])
    specific = price * 60.0 / energy if energy > 0 else None
    margin, machine_id = _margin(tables, plan, step)
    who = {
        Margin.MACHINE: f"{machine_id} is the marginal machine",
        Margin.RECEIVER: "every running machine is at a limit, the receiver balances",
        Margin.BLOW_OFF: "air is blown off, one more cubic metre is free",
        Margin.SHORTAGE: "air is short, every cubic metre counts",
    }[margin]
    text = f"{clock(problem, step)}: {who}; one more m3 costs {100 * price:.2f} ct"
    if specific is not None and margin in (Margin.MACHINE, Margin.RECEIVER):
        text += f" ({specific:.2f} kW per m3/min)"
    peak = _sets_peak(tables, plan, step)
    if peak:
        text += "; this billing interval sets the peak"
    return StepReason(step, margin, machine_id, price, specific, peak, text)


def _margin(tables: Tables, plan: StationPlanResult, step: int) -> tuple[Margin, str | None]:
    if plan.unserved_m3_min[step] > _EPS:
        return Margin.SHORTAGE, None
    if plan.vent_m3_min[step] > _EPS:
        return Margin.BLOW_OFF, None
    partial = [
        (tables.problem.machines[i].flow_full_m3_min, key)
        for i, key in enumerate(tables.problem.machine_ids)
        if plan.on[key][step]
        and not tables.is_forced_flow[step, i]
        and tables.flow_min[i] + _EPS < plan.flow_m3_min[key][step] < tables.flow_full[i] - _EPS
    ]
    return (Margin.MACHINE, min(partial)[1]) if partial else (Margin.RECEIVER, None)


def _sets_peak(tables: Tables, plan: StationPlanResult, step: int) -> bool:
    charge = tables.problem.demand_charge
    if charge is None or plan.peak_kw is None or plan.peak_kw <= charge.peak_so_far_kw + 1e-6:
        return False
    power = (np.array(plan.power_kw) + tables.other_kw) * tables.hours
    mean = np.bincount(tables.interval_of_step, weights=power) / tables.interval_hours
    return bool(mean[tables.interval_of_step[step]] >= plan.peak_kw - 1e-3)


def explain_switches(problem: StationProblem, plan: StationPlanResult) -> tuple[SwitchReason, ...]:
    """Every start and stop of the plan with its cause, in order of time."""
    tables = compile_tables(problem)
    on = _matrix(problem, plan)
    reasons: list[SwitchReason] = []
    for index, key in enumerate(problem.machine_ids):
        series = np.append(tables.initially_on[index], on[:, index])
        changes = np.flatnonzero(series[1:] != series[:-1]).tolist()
        for number, step in enumerate(changes):
            end = changes[number + 1] if number + 1 < len(changes) else problem.steps
            starts = bool(on[step, index])
            cause, why = _cause(tables, plan, on, index, step, end)
            verb = "starts" if starts else "stops"
            text = f"{key} {verb} at {clock(problem, step)}: {why}"
            reasons.append(SwitchReason(key, step, end, starts, cause, text))
    return tuple(sorted(reasons, key=lambda reason: (reason.step, reason.machine_id)))


def _cause(
    tables: Tables, plan: StationPlanResult, on: Bools, machine: int, step: int, end: int
) -> tuple[Cause, str]:
    problem = tables.problem
    if not on[step, machine]:
        if tables.must_off[step, machine]:
            return Cause.UNAVAILABLE, "it is not available"
        saved = sum(
            tables.price_eur_kwh[t] * tables.hours[t] * tables.power_min[machine] + tables.on_eur[t, machine]
            for t in range(step, end)
        )
        return Cause.COST, f"the others cover the flow; running on would cost {saved:.2f} EUR idle"
    if tables.must_on[step:end, machine].any():
        return Cause.FORCED, "it is forced on"
    flow = np.array([plan.flow_m3_min[key] for key in problem.machine_ids]).sum(axis=0)
    use = on[step:end].astype(float)
    use[:, machine] = 0.0
    free = ~tables.is_forced_flow[step:end]
    without = (use * free * tables.flow_full).sum(axis=1)
    without_all = without + (use * ~free * tables.forced_flow[step:end]).sum(axis=1)
    short = flow[step:end] - without_all
    worst = int(np.argmax(short))
    if short[worst] > _EPS:
        return Cause.CAPACITY, (
            f"{flow[step + worst]:.1f} m3/min at {clock(problem, step + worst)}, "
            f"the others reach {without_all[worst]:.1f}"
        )
    lacking = tables.reserve[step:end] + short
    worst = int(np.argmax(lacking))
    if lacking[worst] > _EPS:
        return Cause.RESERVE, (
            f"reserve of {tables.reserve[step + worst]:.1f} m3/min at "
            f"{clock(problem, step + worst)} would be short by {lacking[worst]:.1f}"
        )
    return Cause.COST, "the others could cover the flow, but not as cheaply"


def what_if(
    problem: StationProblem,
    plan: StationPlanResult,
    *,
    machine_id: str,
    first_step: int,
    end_step: int,
    running: bool,
) -> Alternative:
    """Force a machine on or off in a window and plan again from the present plan.

    `extra_eur` may be slightly negative when the new search happens on something better.
    Raises KeyError for a machine that the problem does not have.
    """
    index = {key: i for i, key in enumerate(problem.machine_ids)}[machine_id]
    window = (Window(first_step, end_step),)
    machine = problem.machines[index]
    changed = (
        replace(machine, forced_on=machine.forced_on + window)
        if running
        else replace(machine, unavailable=machine.unavailable + window)
    )
    machines = (*problem.machines[:index], changed, *problem.machines[index + 1 :])
    tables = compile_tables(replace(problem, machines=machines))
    before = _matrix(problem, plan)
    start = before.copy()
    start[first_step:end_step, index] = running
    delivered, pressure = flat_path(tables)
    stage = make_stage(tables, delivered=delivered, pressure=pressure, peak_target_kw=plan.peak_kw or np.inf)
    search = Search(tables, Dispatch(tables), Budget(lps=12, sweeps=16, group=6))
    start = sweep_singles(search, stage, repaired(stage, start))
    improve_from(search, start)
    old = plan.total_eur + plan.cost.wishes_eur
    extra = search.best.cost_eur - old if search.best is not None else float("nan")
    instead = _who_acts(problem, before, search.best_on, index, first_step, end_step)
    word = "on" if running else "off"
    text = (
        f"{machine_id} {word} from {clock(problem, first_step)} to {clock(problem, end_step)} "
        f"would cost {extra:+.2f} EUR"
    )
    if instead:
        text += f"; {', '.join(instead)} would change instead"
    return Alternative(machine_id, first_step, end_step, running, extra, instead, text)


def _who_acts(
    problem: StationProblem, before: Bools, after: Bools, machine: int, first: int, end: int
) -> tuple[str, ...]:
    around = slice(max(first - 4, 0), end + 4)
    changed = (before[around] != after[around]).any(axis=0)
    return tuple(key for index, key in enumerate(problem.machine_ids) if index != machine and changed[index])


def explain_switch(problem: StationProblem, plan: StationPlanResult, reason: SwitchReason) -> Alternative:
    """What it would cost not to make this start or stop."""
    return what_if(
        problem,
        plan,
        machine_id=reason.machine_id,
        first_step=reason.step,
        end_step=reason.end_step,
        running=not reason.starts,
    )
