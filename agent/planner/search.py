"""The state of a search for a better schedule: the best plan so far and the budget that is left."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from agent.planner.budget import Budget
from agent.planner.dispatch import Dispatch, Dispatched
from agent.planner.dispatch_real import dispatch_real
from agent.planner.machine_schedule import faults_of
from agent.planner.one_machine import replan_machine
from agent.planner.stage import Stage, delivered_flow, make_stage
from agent.planner.tables import Bools, Floats, Ints, Tables
from agent.planner.timing import first_fault
from agent.planner.two_machines import PairProgramme, Pairs, decision_points, longest_hold

# Decision points of the pair programme: a day of quarter hours and some more.
MOST_POINTS = 112
# Numbers in the pair programme's value table: 20 MB.
MOST_PAIR_VALUES = 2_500_000

# EUR: a plan must be cheaper by this to count as better; below it solvers' rounding decides.
LEAST_GAIN_EUR = 1e-6


class Search:
    """Best schedule, its dispatch and cost, every schedule priced, counters.

    `best` is None until a first schedule has been dispatched.
    """

    def __init__(self, tables: Tables, dispatch: Dispatch, budget: Budget) -> None:
        """Start with nothing priced and the whole budget."""
        self.tables = tables
        self.dispatch = dispatch
        self.budget = budget
        self.lps = 0
        self.sweeps = 0
        self.best: Dispatched | None = None
        self.best_on: Bools = np.zeros((tables.steps, tables.count), dtype=bool)
        self._programmes: dict[bytes, PairProgramme] = {}
        self._longest: dict[bytes, int] = {}
        self._priced: dict[bytes, Dispatched | None] = {}

    def may_price(self) -> bool:
        """Is there budget for another dispatch?"""
        return self.lps < self.budget.lps

    def may_sweep(self) -> bool:
        """Is there budget for another sweep?"""
        return self.sweeps < self.budget.sweeps

    def price(self, on: Bools, pressure: Floats | None = None) -> Dispatched | None:
        """Dispatch the schedule (at most once each); keep it when it is the best so far.

        `pressure` [N] is the path of storage that it was planned along, where one was chosen.
        """
        key = np.packbits(on).tobytes()
        if pressure is not None and not self.tables.convex:
            key += pressure.tobytes()
        if key in self._priced:
            return self._priced[key]
        if not self.may_price():
            return None
        present_eur = np.inf if self.best is None else self.best.cost_eur
        priced = dispatch_real(self.dispatch, on, at_most_eur=present_eur, pressure=pressure)
        self.lps += priced.solves
        answer = self._priced[key] = priced.answer
        if answer is not None and priced.exact and answer.cost_eur < present_eur - LEAST_GAIN_EUR:
            self.best, self.best_on = answer, on.copy()
        return answer

    def pair_programme(self, on: Bools) -> PairProgramme:
        """The pair programme on decision points and over machines that suit the schedule."""
        tables = self.tables
        points = decision_points(tables, on, at_most=MOST_POINTS)
        grid = points.tobytes()
        if grid not in self._longest:
            self._longest = {grid: longest_hold(tables, points)}
        machines = self._paired(on, len(points) * (self._longest[grid] + 1) * 4)
        key = grid + machines.tobytes()
        if key not in self._programmes:
            first, second = np.triu_indices(len(machines), 1)
            pairs = Pairs(machines[first], machines[second])
            # Only the latest is kept: on a thinned grid the points move with the schedule.
            self._programmes = {key: PairProgramme(tables, pairs, points, tables.relaxed)}
        return self._programmes[key]

    def _paired(self, on: Bools, values_per_pair: int) -> Ints:
        """Machines to pair: all, or on large stations those that switch most, as memory allows."""
        count = self.tables.count
        fitting = max(int((MOST_PAIR_VALUES / values_per_pair) ** 0.5), 6)
        if count <= fitting:
            return np.arange(count)
        before = np.vstack([self.tables.initially_on[None, :], on[:-1]])
        switches = (on != before).sum(axis=0)
        return np.sort(np.argsort(-switches, kind="stable")[:fitting])

    def stage_of(self, answer: Dispatched, *, peak_target_kw: float, elastic: float = 0.0) -> Stage:
        """Stage costs along a dispatch's own path of storage."""
        return make_stage(
            self.tables,
            delivered=delivered_flow(self.tables, answer.pressure),
            pressure=answer.pressure,
            peak_target_kw=peak_target_kw,
            price_eur_m3=answer.price_eur_m3 if elastic > 0.0 else None,
            peak_eur_kw=answer.peak_eur_kw,
            elastic=elastic,
        )


def faulty_machines(tables: Tables, on: Bools, machines: Iterable[int] | None = None) -> list[int]:
    """Machines (of those named, else of all) whose schedule breaks a rule of time that it could keep."""
    chosen = range(tables.count) if machines is None else machines
    return [index for index in chosen if _breaks_rules(tables, on, index)]


def _breaks_rules(tables: Tables, on: Bools, index: int) -> bool:
    rules, tolerated = tables.rules[index], tables.unavoidable[index]
    if tolerated:
        return faults_of(rules, on[:, index]) > tolerated
    fault = first_fault(
        rules.machine, rules.start_min, on[:, index], must_on=rules.must_on, must_off=rules.must_off
    )
    return fault is not None


def repaired(stage: Stage, on: Bools, machines: Iterable[int] | None = None) -> Bools:
    """The schedule with every machine that breaks a rule of time planned anew, one by one.

    `machines` are those that may be at fault; without it all are looked at.
    """
    faulty = faulty_machines(stage.tables, on, machines)
    if not faulty:
        return on
    fixed = on.copy()
    for machine in faulty:
        fixed[:, machine] = replan_machine(stage, fixed, machine)
    return fixed
