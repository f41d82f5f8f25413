"""Polishing priced by dispatch: small changes of the best schedule, the promising ones solved.

Two kinds of change: one machine flips an interval in which it keeps one state (drop or shorten a
run, fill a gap, add or lengthen a run), and two machines exchange an interval in which one runs
and the other stands. What a change promises is read off stage costs with elastic storage; whether
it holds is for the dispatch programme to say.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agent.planner.one_machine import machine_costs
from agent.planner.search import Search, faulty_machines
from agent.planner.stage import Stage
from agent.planner.tables import Bools, Floats, Ints, Tables
from agent.planner.two_machines import Pairs, pair_costs

_KEEP_PER_BLOCK = 3
# The work of proposing exchanges grows with the square of the machines.
_EXCHANGING_MACHINES = 30


class Change(NamedTuple):
    """Flip `machines` in the steps begin .. end - 1; `promise_eur` is the stage's estimate."""

    promise_eur: float
    machines: tuple[int, ...]
    begin: int
    end: int


def flipped(on: Bools, change: Change) -> Bools:
    """The schedule with the change made."""
    result = on.copy()
    for machine in change.machines:
        result[change.begin : change.end, machine] ^= True
    return result


def changes(stage: Stage, on: Bools, *, least_gain_eur: float, with_pairs: bool) -> list[Change]:
    """Changes that promise a gain, best first; a few of each block so that they differ."""
    tables = stage.tables
    found: list[Change] = []
    left, right = _edge_costs(tables, on)
    for machine in range(tables.count):
        off_eur, on_eur = machine_costs(stage, on, machine)
        state = on[:, machine]
        gain = np.where(state, off_eur - on_eur, on_eur - off_eur)
        found += _best_intervals(gain, left[:, machine], right[:, machine], state, (machine,), least_gain_eur)
    if with_pairs and tables.count > 1:
        found += _exchanges(stage, on, left, right, least_gain_eur)
    found.sort()
    return found


def _exchanges(stage: Stage, on: Bools, left: Floats, right: Floats, least_gain_eur: float) -> list[Change]:
    machines = _switching_most(stage.tables, on)
    rows, columns = np.triu_indices(len(machines), 1)
    first, second = machines[rows], machines[columns]
    costs = pair_costs(stage, on, Pairs(first, second))
    found: list[Change] = []
    for index, (a, b) in enumerate(zip(first.tolist(), second.tolist(), strict=True)):
        differ = on[:, a] != on[:, b]
        if not differ.any():
            continue
        swap = costs[:, 1, 0, index] - costs[:, 0, 1, index]
        gain = np.where(on[:, a], -swap, swap)
        # A block ends where the two stop differing or exchange roles.
        block = np.where(differ, on[:, a].astype(int) + 1, 0)
        found += _best_intervals(
            gain, left[:, a] + left[:, b], right[:, a] + right[:, b], block, (a, b), least_gain_eur
        )
    return found


def _switching_most(tables: Tables, on: Bools) -> Ints:
    """The machines that exchange intervals: all, or on a very large station those that switch most."""
    if tables.count <= _EXCHANGING_MACHINES:
        return np.arange(tables.count)
    before = np.vstack([tables.initially_on[None, :], on[:-1]])
    switches = (on != before).sum(axis=0)
    return np.sort(np.argsort(-switches, kind="stable")[:_EXCHANGING_MACHINES])


def _edge_costs(tables: Tables, on: Bools) -> tuple[Floats, Floats]:
    """What a flip costs in starts at its first step [N, n] and at the step after it [N + 1, n]."""
    before = np.vstack([tables.initially_on[None, :], on[:-1]])
    price = tables.start_eur
    left = np.where(before, 0.0, np.where(on, -price, price))
    # After the flip's end the machine runs: flipped off before means a start there, and reverse.
    right = np.zeros((tables.steps + 1, tables.count))
    right[:-1] = np.where(on, np.where(before, price, -price), 0.0)
    return left, right


def _best_intervals(
    gain: Floats,
    left: Floats,
    right: Floats,
    block: Bools | Ints,
    machines: tuple[int, ...],
    least_gain_eur: float,
) -> list[Change]:
    """The best few intervals of every block of equal state (block value 0 of pairs is skipped)."""
    sums = np.concatenate([[0.0], np.cumsum(gain)])
    ends = np.flatnonzero(np.append(block[1:] != block[:-1], True)) + 1
    found: list[Change] = []
    begin = 0
    for end in ends.tolist():
        if len(machines) == 1 or block[begin]:
            opening = left[begin:end] - sums[begin:end]
            closing = sums[begin + 1 : end + 1] + right[begin + 1 : end + 1]
            total = np.where(np.tri(end - begin, dtype=bool).T, opening[:, None] + closing[None, :], np.inf)
            order = np.argsort(total, axis=None)[:_KEEP_PER_BLOCK]
            for flat in order.tolist():
                a, b = divmod(flat, end - begin)
                if total[a, b] >= -least_gain_eur:
                    break
                found.append(Change(float(total[a, b]), machines, begin + a, begin + b + 1))
        begin = end
    return found


def polish(search: Search, elastic: float, target_kw: float, *, tries: int) -> bool:
    """Price promising changes until `tries` of them in a row gain nothing; True when one gained."""
    if search.best is None or not search.may_sweep():
        return False
    search.sweeps += 1
    stage = search.stage_of(search.best, peak_target_kw=target_kw, elastic=elastic)
    gained = False
    misses = 0
    for change in changes(stage, search.best_on, least_gain_eur=1e-4, with_pairs=True):
        if misses >= tries or not search.may_price():
            break
        candidate = flipped(search.best_on, change)
        if faulty_machines(search.tables, candidate, change.machines):
            continue
        before = search.best.cost_eur
        search.price(candidate)
        if search.best.cost_eur < before - 1e-6:
            gained, misses = True, 0
        else:
            misses += 1
    return gained
