"""Plan a station: greedy commitment, improvement, dispatch, and an honest status. Never raises
for anything the world can do: a solver that fails or air that is short is a status with a reason.
"""

from __future__ import annotations

import numpy as np

from agent.planner.budget import Budget
from agent.planner.commit import greedy
from agent.planner.dispatch import Dispatch
from agent.planner.evaluate import Outcome, evaluate
from agent.planner.improve import improve
from agent.planner.problem import StationProblem, Window
from agent.planner.result import (
    BrokenRule,
    Effort,
    PlanStatus,
    Shortage,
    StartOrder,
    StationPlanResult,
)
from agent.planner.search import Search, faulty_machines
from agent.planner.stage import flat_path
from agent.planner.tables import Bools, Floats, Tables, compile_tables, mask
from agent.planner.timing import time_faults

try:
    # Here and not in the first plan: in a thread the loading would stop an event loop.
    import agent.planner.dispatch_highspy  # noqa: F401
except ImportError:
    pass

# m3/min: less missing air than this is rounding.
_SHORT_M3_MIN = 1e-4
# Contradictions that are spelled out; the rest is counted.
_MOST_TEXTS = 5


def plan_station(
    problem: StationProblem, *, budget: Budget | None = None, dispatch: Dispatch | None = None
) -> StationPlanResult:
    """The best plan found within the budget (default: the full one for this many machines).

    Deterministic: the same problem and budget give the same plan. `dispatch` may be handed in to
    choose the solver's body; it must have been built from this problem.
    """
    tables = dispatch.tables if dispatch is not None else compile_tables(problem)
    if dispatch is None:
        dispatch = Dispatch(tables)
    budget = budget if budget is not None else Budget.full(tables.count)
    delivered, _ = flat_path(tables)
    first = greedy(tables, delivered)
    search = Search(tables, dispatch, budget)
    search.price(first)
    if search.best is not None and tables.count:
        improve(search, first)
    reasons: list[str] = []
    if faulty_machines(tables, search.best_on):
        # Prices beyond all measure can outweigh a rule inside the programmes; the greedy
        # schedule weighs minutes, not money, and always keeps the rules.
        reasons.append("the search broke a rule of time: greedy commitment taken instead")
        search = Search(tables, dispatch, Budget.greedy_only())
        search.price(first)
        budget = search.budget
    if search.best is None:
        on, price = first, np.zeros(tables.steps)
        vent = None
        flow = merit_flow(tables, on, delivered)
        status = PlanStatus.GREEDY
        reasons.append("the dispatch programme was not solved: flows by merit order alone")
    else:
        on, price, flow = search.best_on, search.best.price_eur_m3, search.best.flow
        vent = search.best.vent
        status = PlanStatus.OPTIMISED
        if budget.sweeps == 0:
            status = PlanStatus.GREEDY
            reasons.append("no budget for improvement: greedy commitment, dispatched")
    outcome = evaluate(tables, on, flow, vent)
    shortages = tuple(
        Shortage(int(t), float(outcome.unserved_m3_min[t]))
        for t in np.flatnonzero(outcome.unserved_m3_min > _SHORT_M3_MIN)
    )
    if shortages:
        status = PlanStatus.BEST_EFFORT
        reasons.append(_shortage_text(tables, on, outcome, shortages))
    reasons += _soft_limits(tables, outcome)
    broken = broken_rules(tables, on)
    reasons += [_contradiction_text(one) for one in broken[:_MOST_TEXTS]]
    if len(broken) > _MOST_TEXTS:
        reasons.append(f"and {len(broken) - _MOST_TEXTS} more contradictions of this kind")
    return _result(tables, on, flow, price, outcome, status, shortages, broken, reasons, search)


def broken_rules(tables: Tables, on: Bools) -> tuple[BrokenRule, ...]:
    """The rules that the schedule breaks, by machine and step: only contradictory input leaves any."""
    found: list[BrokenRule] = []
    for index, rules in enumerate(tables.rules):
        key = rules.machine.machine_id
        series = on[:, index]
        faults = time_faults(
            rules.machine, rules.start_min, series, must_on=rules.must_on, must_off=rules.must_off
        )
        found += [BrokenRule(key, *fault) for fault in faults]
        wanted = mask(rules.machine.forced_on, tables.steps)
        for window in rules.machine.forced_flow:
            wanted |= mask((Window(window.first_step, window.end_step),), tables.steps)
        found += [
            BrokenRule(key, "forced", int(step), 1.0) for step in np.flatnonzero(wanted & rules.must_off)
        ]
    return tuple(sorted(found, key=lambda one: (one.step, one.machine_id, one.rule)))


def _contradiction_text(broken: BrokenRule) -> str:
    where = f"{broken.machine_id} in step {broken.step}"
    texts = {
        "forced": f"{where} is forced on while unavailable: it stays off",
        "min_down": f"{where} is forced on {broken.amount:.3g} min before its minimum stop is over",
        "min_up": f"{where} stops {broken.amount:.3g} min before its minimum run is over",
        "starts_per_hour": f"{where} is forced to start {broken.amount:.0f} time(s) more than its hour allows",
    }
    return "contradictory input: " + texts.get(broken.rule, f"{where} breaks {broken.rule}")


def merit_flow(tables: Tables, on: Bools, delivered: Floats) -> Floats:
    """Flows [N, n] that deliver what is asked step by step, cheapest pieces first."""
    free_on = on & ~tables.is_forced_flow
    flow = tables.flow_min * free_on + tables.forced_flow * (on & tables.is_forced_flow)
    missing = delivered - flow.sum(axis=1)
    for machine, width in zip(tables.piece_machine, tables.piece_width, strict=True):
        taken = np.clip(missing, 0.0, width * free_on[:, machine])
        flow[:, machine] += taken
        missing = missing - taken
    return flow


def _shortage_text(tables: Tables, on: Bools, outcome: Outcome, shortages: tuple[Shortage, ...]) -> str:
    worst = max(shortages, key=lambda shortage: shortage.missing_m3_min)
    total = float((outcome.unserved_m3_min * tables.step_min).sum())
    idle = [
        machine.machine_id
        for index, machine in enumerate(tables.problem.machines)
        if not on[worst.step, index]
    ]
    text = (
        f"capacity short: {total:.3g} m3 missing in {len(shortages)} steps, "
        f"worst {worst.missing_m3_min:.3g} m3/min in step {worst.step}"
    )
    return text + (f"; not running there: {', '.join(idle)}" if idle else "; every machine runs")


def _soft_limits(tables: Tables, outcome: Outcome) -> list[str]:
    texts: list[str] = []
    if outcome.headroom_short_m3_min.max(initial=0.0) > _SHORT_M3_MIN:
        steps = int((outcome.headroom_short_m3_min > _SHORT_M3_MIN).sum())
        volume = float((outcome.headroom_short_m3_min * tables.step_min).sum())
        texts.append(f"reserve short by {volume:.3g} m3 in {steps} steps")
    if outcome.over_limit_kw.max(initial=0.0) > 1e-3:
        texts.append(f"site limit exceeded by up to {outcome.over_limit_kw.max():.3g} kW")
    return texts


def _result(
    tables: Tables,
    on: Bools,
    flow: Floats,
    price: Floats,
    outcome: Outcome,
    status: PlanStatus,
    shortages: tuple[Shortage, ...],
    broken: tuple[BrokenRule, ...],
    reasons: list[str],
    search: Search,
) -> StationPlanResult:
    problem = tables.problem
    orders = [
        StartOrder(
            machine.machine_id,
            int(t),
            float(tables.start_min[t]) - machine.lead_time_min,
        )
        for index, machine in enumerate(problem.machines)
        for t in np.flatnonzero(on[:, index] & ~np.append(tables.initially_on[index], on[:-1, index]))
    ]
    return StationPlanResult(
        name=problem.name,
        status=status,
        on={
            key: tuple(bool(value) for value in on[:, index]) for index, key in enumerate(problem.machine_ids)
        },
        flow_m3_min={
            key: tuple(float(value) for value in flow[:, index])
            for index, key in enumerate(problem.machine_ids)
        },
        pressure_bar=tuple(outcome.pressure_bar.tolist()),
        power_kw=tuple(outcome.power_kw.tolist()),
        price_eur_m3=tuple(price.tolist()),
        vent_m3_min=tuple(outcome.vent_m3_min.tolist()),
        unserved_m3_min=tuple(outcome.unserved_m3_min.tolist()),
        headroom_short_m3_min=tuple(outcome.headroom_short_m3_min.tolist()),
        peak_kw=outcome.peak_kw,
        cost=outcome.cost,
        shortages=shortages,
        broken=broken,
        start_orders=tuple(sorted(orders, key=lambda order: (order.order_min, order.machine_id))),
        reasons=tuple(reasons),
        effort=Effort(search.lps, search.sweeps),
    )
