"""The best series of one machine for given step costs: linear in the steps, every rule of time kept."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.planner.problem import PlanMachine
from agent.planner.timing import MachineTimes, time_faults

# Stands for "not allowed" in sums: far above any plan's cost, small enough to keep its cents.
FORBIDDEN_EUR = 1e8
# A rule of time that only contradictory windows break: dear, and still better than the forbidden.
BROKEN_EUR = 1e7
# A start that breaks the hourly limit is put off by this at least; small enough to lose little.
_BAN_MIN = 5.0
# Minutes: below any step length, above the rounding of summed step lengths.
_EPS_MIN = 1e-6


class MachineRules(NamedTuple):
    """One machine on one grid: `start_min` [N + 1], `must_on`, `must_off` [N], its release steps."""

    machine: PlanMachine
    start_min: NDArray[np.float64]
    must_on: NDArray[np.bool_]
    must_off: NDArray[np.bool_]
    relaxed: MachineTimes
    strict: MachineTimes


def schedule_machine(
    off_eur: list[float],
    on_eur: list[float],
    start_eur: list[float],
    times: MachineTimes,
    *,
    initially_on: bool,
    stop_eur: list[float] | None = None,
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
    if stop_eur is None:
        stop_eur = [0.0] * steps
    for t in range(steps - 1, -1, -1):
        up, down = on_release[t], off_release[t]
        stay, switch = best_on[t + 1], best_off[down] - sum_off[t] + sum_on[t] + stop_eur[t]
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


def start_prices(rules: MachineRules, start_eur: NDArray[np.float64], times: MachineTimes) -> list[float]:
    """What a start costs at each step; infinite where the rule of starts forbids it."""
    allowed = np.array(times.may_start) | rules.must_on
    prices: list[float] = np.where(allowed, start_eur, np.inf).tolist()
    return prices


def stop_prices(times: MachineTimes) -> list[float]:
    """What a stop costs at each step: nothing, unless a forced window would cut it short."""
    return [BROKEN_EUR if cut else 0.0 for cut in times.cuts_stop]


def cheapest_series(
    rules: MachineRules,
    off_eur: NDArray[np.float64],
    on_eur: NDArray[np.float64],
    start_eur: NDArray[np.float64],
) -> list[bool]:
    """Best series of the machine that keeps every rule of time.

    Starts per hour are outside the programme: where the cheapest series breaks the limit, the two
    ways to respect it (keep starts apart from the outset, or forbid what broke it) are compared.
    """
    off, on = off_eur.tolist(), on_eur.tolist()
    _, series, limit_kept = _cheapest(rules, off, on, start_eur, rules.relaxed, set())
    if limit_kept:
        return series
    options = [_within_limit(rules, off, on, start_eur, times) for times in (rules.strict, rules.relaxed)]
    return min(options, key=lambda option: option[0])[1]


def unavoidable_faults(rules: MachineRules) -> int:
    """Rules of time that every schedule breaks which keeps the windows: 0 unless they contradict."""
    if not rules.must_on.any():
        return 0
    off = np.where(rules.must_on, FORBIDDEN_EUR, 0.0)
    on = np.where(rules.must_off, FORBIDDEN_EUR, 0.0)
    return faults_of(rules, np.array(cheapest_series(rules, off, on, np.zeros(len(off))), dtype=bool))


def faults_of(rules: MachineRules, on: NDArray[np.bool_]) -> int:
    """How many rules of time the series [N] breaks."""
    found = time_faults(rules.machine, rules.start_min, on, must_on=rules.must_on, must_off=rules.must_off)
    return sum(1 for _ in found)


def _cheapest(
    rules: MachineRules,
    off: list[float],
    on: list[float],
    start_eur: NDArray[np.float64],
    times: MachineTimes,
    banned: set[int],
) -> tuple[float, list[bool], bool]:
    """Cost and series without starts in the banned steps; adds what breaks the limit to them.

    The last value is True when the series keeps the limit or nothing is left to forbid.
    """
    machine, start_min = rules.machine, rules.start_min
    prices = start_prices(rules, start_eur, times)
    for step in banned:
        prices[step] = BROKEN_EUR if rules.must_on[step] else np.inf
    running = machine.state.running
    total, series = schedule_machine(
        off, on, prices, times, initially_on=running, stop_eur=stop_prices(times)
    )
    found = time_faults(
        machine,
        start_min,
        np.array(series, dtype=bool),
        must_on=rules.must_on,
        must_off=rules.must_off,
    )
    fault = next((one for one in found if one.rule == "starts_per_hour"), None)
    if fault is None:
        return total, series, True
    # Until the oldest start of the hour is an hour old no other is allowed: at most to its hour.
    begin = start_min[fault.step]
    until = int(np.searchsorted(start_min[:-1], begin + _BAN_MIN))
    added = set(range(fault.step, max(until, fault.step + 1))) - banned
    if not added:
        # A forced start stays: it is for those of the hour before it to give way.
        since = int(np.searchsorted(start_min[:-1], begin - 60.0 + _EPS_MIN, side="right"))
        started = {
            step
            for step in range(since, fault.step)
            if series[step] and not (series[step - 1] if step else running)
        }
        added = started - banned
    banned |= added
    return total, series, not added


def _within_limit(
    rules: MachineRules,
    off: list[float],
    on: list[float],
    start_eur: NDArray[np.float64],
    times: MachineTimes,
) -> tuple[float, list[bool]]:
    """Cost and series after as many bans as it takes; each ban is of at least one new step."""
    banned: set[int] = set()
    while True:
        total, series, limit_kept = _cheapest(rules, off, on, start_eur, times, banned)
        if limit_kept:
            return total, series
