"""The best schedule of one machine while all others keep theirs: exact, minimum times included."""

from __future__ import annotations

import numpy as np

from agent.planner.stage import Stage
from agent.planner.tables import Bools, Floats, Tables
from agent.planner.timing import MachineTimes, first_fault

# A start that breaks the hourly limit is put off by this at least; small enough to lose little.
_BAN_MIN = 5.0


def schedule_machine(
    off_eur: list[float],
    on_eur: list[float],
    start_eur: list[float],
    times: MachineTimes,
    *,
    initially_on: bool,
) -> tuple[float, list[bool]]:
    """Cheapest on/off series for step costs when off and when on, and its cost.

    A switch jumps to its release step, so the programme is linear in the steps. Among equals the
    machine keeps its state.
    """
    steps = len(off_eur)
    sum_off = [0.0] * (steps + 1)
    sum_on = [0.0] * (steps + 1)
    for t in range(steps):
        sum_off[t + 1] = sum_off[t] + off_eur[t]
        sum_on[t + 1] = sum_on[t] + on_eur[t]
    # best_*[t]: cost from step t on of a machine that is free to choose, potentials added.
    best_on = [0.0] * (steps + 1)
    best_off = [0.0] * (steps + 1)
    best_on[steps] = sum_on[steps]
    best_off[steps] = sum_off[steps]
    stops = [False] * steps
    starts = [False] * steps
    on_release, off_release = times.on_release, times.off_release
    for t in range(steps - 1, -1, -1):
        up, down = on_release[t], off_release[t]
        stay, switch = best_on[t + 1], best_off[down] - sum_off[t] + sum_on[t]
        stops[t] = switch < stay - 1e-9
        best_on[t] = switch if stops[t] else stay
        stay, switch = best_off[t + 1], best_on[up] - sum_on[t] + sum_off[t] + start_eur[t]
        starts[t] = switch < stay - 1e-9
        best_off[t] = switch if starts[t] else stay
    on = [False] * steps
    running = initially_on
    t = times.initial_release
    if running:
        on[:t] = [True] * t
    total = best_on[t] if running else best_off[t]
    while t < steps:
        if (stops if running else starts)[t]:
            running = not running
            release = (on_release if running else off_release)[t]
        else:
            release = t + 1
        if running:
            on[t:release] = [True] * (release - t)
        t = release
    return total, on


def start_prices(tables: Tables, machine: int, times: MachineTimes) -> list[float]:
    """What a start costs at each step; infinite where the rule of starts forbids it."""
    allowed = np.array(times.may_start) | tables.must_on[:, machine]
    prices: list[float] = np.where(allowed, tables.start_eur[:, machine], np.inf).tolist()
    return prices


def machine_costs(stage: Stage, on: Bools, machine: int) -> tuple[Floats, Floats]:
    """Step costs [N] with the machine off and with it on, the others as in `on`."""
    others = on.copy()
    others[:, machine] = False
    use = others.astype(float)
    if stage.tables.real is None:
        lines = stage.lines(others)
        power = np.stack([lines.max(axis=1), (lines + stage.profit_kw[:, :, machine]).max(axis=1)], axis=1)
    else:
        sets = stage.sets_of(others)
        both = np.stack([sets, sets | stage.bits[:, machine]], axis=1)
        power = stage.real_power(both, stage.flow[:, None])
    full = (stage.full * use).sum(axis=1)
    base = (stage.base * use).sum(axis=1)
    cost = stage.charge(
        power,
        np.stack([full, full + stage.full[:, machine]], axis=1),
        np.stack([base, base + stage.base[:, machine]], axis=1),
        stage.flow[:, None],
    )
    off = cost[:, 0] + stage.off_eur[:, machine]
    return off, cost[:, 1] + stage.on_eur[:, machine]


def plan_machine(tables: Tables, off_eur: Floats, on_eur: Floats, machine: int) -> list[bool]:
    """Best series of one machine that keeps every rule of time.

    Starts per hour are outside the programme: where the cheapest series breaks the limit, the two
    ways to respect it (keep starts apart from the outset, or forbid what broke it) are compared.
    """
    off, on = off_eur.tolist(), on_eur.tolist()
    relaxed, strict = tables.relaxed[machine], tables.strict[machine]
    _, series, limit_kept = _cheapest(tables, off, on, machine, relaxed, set())
    if limit_kept:
        return series
    options = [_within_limit(tables, off, on, machine, times) for times in (strict, relaxed)]
    return min(options, key=lambda option: option[0])[1]


def _cheapest(
    tables: Tables,
    off: list[float],
    on: list[float],
    machine: int,
    times: MachineTimes,
    banned: set[int],
) -> tuple[float, list[bool], bool]:
    """Cost and series without starts in the banned steps; adds what breaks the limit to them."""
    spec = tables.problem.machines[machine]
    must_on = tables.must_on[:, machine]
    prices = start_prices(tables, machine, times)
    for step in banned:
        if not must_on[step]:
            prices[step] = np.inf
    total, series = schedule_machine(off, on, prices, times, initially_on=spec.state.running)
    fault = first_fault(
        spec,
        tables.start_min,
        np.array(series, dtype=bool),
        must_on=must_on,
        must_off=tables.must_off[:, machine],
    )
    if fault is None or fault.rule != "starts_per_hour":
        return total, series, True
    # Until the oldest start of the hour is an hour old no other is allowed: at most to its hour.
    begin = tables.start_min[fault.step]
    until = int(np.searchsorted(tables.start_min[:-1], begin + _BAN_MIN))
    banned.update(range(fault.step, max(until, fault.step + 1)))
    return total, series, False


def _within_limit(
    tables: Tables, off: list[float], on: list[float], machine: int, times: MachineTimes
) -> tuple[float, list[bool]]:
    """Cost and series after as many bans as it takes; each ban is of at least one new step."""
    banned: set[int] = set()
    while True:
        total, series, limit_kept = _cheapest(tables, off, on, machine, times, banned)
        if limit_kept:
            return total, series


def replan_machine(stage: Stage, on: Bools, machine: int) -> list[bool]:
    """Best series of one machine given the others' schedules in `on`."""
    off_eur, on_eur = machine_costs(stage, on, machine)
    return plan_machine(stage.tables, off_eur, on_eur, machine)
