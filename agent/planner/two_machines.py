"""The best joint schedule of two machines while all others keep theirs: exact, for all pairs at once.

With minimum times the state of a pair is (on/off, held steps) of both. At most one of the two is
held at a point of decision (when both are, time jumps to the first release), so the states of a
pair are few: A free and B held for l more steps, in both roles, and both free (l = 0).

The programme runs on decision points, a subset of the steps' starts: all of them on a short
uniform grid, fewer on a fine or mixed one. All costs carry the potential "sum of step costs up to
here in my combination", so that staying costs nothing and one addition makes a switch.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agent.planner.machine_schedule import BROKEN_EUR, start_prices, stop_prices
from agent.planner.stage import Stage
from agent.planner.tables import Bools, Floats, Ints, Tables
from agent.planner.timing import MachineTimes

# Steps times pairs up to which all slopes are worked on at once.
_FEW_VALUES = 5_000


class Pairs(NamedTuple):
    """Index pairs (first, second) of P machines, first < second."""

    first: Ints
    second: Ints


class PairPlan(NamedTuple):
    """A proposal: the two machines' new series and what they promise to save."""

    first: int
    second: int
    gain_eur: float
    on_first: Bools
    on_second: Bools


def decision_points(tables: Tables, on: Bools, *, at_most: int) -> Ints:
    """Steps at which the pair programme may switch, ascending, 0 first.

    All steps when there are few; otherwise an even thinning by time that keeps every step at which
    the present plan switches, a window begins or ends, or a machine is released at the start.
    """
    steps = tables.steps
    if steps <= at_most:
        return np.arange(steps)
    keep = np.zeros(steps, dtype=bool)
    keep[0] = True
    for flags in (on, tables.must_on, tables.must_off):
        keep[1:] |= (flags[1:] != flags[:-1]).any(axis=1)
    for times in tables.relaxed:
        if times.initial_release < steps:
            keep[times.initial_release] = True
    # Long steps count by themselves; short ones share points until the number fits.
    spacing = tables.usual_step_min
    begin = tables.start_min[:-1]
    chosen = keep
    for widening in (1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0, 64.0):
        chosen = keep.copy()
        slot = np.floor(begin / (spacing * widening) + 1e-9)
        chosen[1:] |= slot[1:] != slot[:-1]
        if chosen.sum() <= at_most:
            break
    return np.flatnonzero(chosen)


def pair_costs(stage: Stage, on: Bools, pairs: Pairs) -> Floats:
    """Step costs [N, 2, 2, P] with the first (axis 1) and second (axis 2) machine off or on."""
    tables = stage.tables
    steps, count = len(tables.step_min), len(pairs.first)
    a, b = pairs.first, pairs.second
    use = on.astype(float)
    power = _hull_power(stage, on, pairs) if tables.real is None else _real_power(stage, on, pairs)

    def rest(values: Floats) -> Floats:
        held = values * use
        others: Floats = held.sum(axis=1, keepdims=True) - held[:, a] - held[:, b]
        return others

    full, base = rest(stage.full), rest(stage.base)
    states = [(0, 0), (0, 1), (1, 0), (1, 1)]
    costs = stage.charge(
        power,
        np.stack([full + sa * stage.full[:, a] + sb * stage.full[:, b] for sa, sb in states], axis=1),
        np.stack([base + sa * stage.base[:, a] + sb * stage.base[:, b] for sa, sb in states], axis=1),
        stage.flow[:, None, None],
    ).reshape(steps, 2, 2, count)
    costs[:, 0] += stage.off_eur[:, None, a]
    costs[:, 1] += stage.on_eur[:, None, a]
    costs[:, :, 0] += stage.off_eur[:, None, b]
    costs[:, :, 1] += stage.on_eur[:, None, b]
    return costs


def _hull_power(stage: Stage, on: Bools, pairs: Pairs) -> Floats:
    """Power [N, 4, P] on the convex hulls: neither, second, first, both machines on."""
    a, b = pairs.first, pairs.second
    use = on.astype(float)
    lines = stage.lines(on)
    power = np.full((len(on), 4, len(a)), -np.inf)
    # All slopes at once where that is little, else one by one: what fits the processor's cache.
    chunk = lines.shape[1] if len(on) * len(a) <= _FEW_VALUES else 1
    for s in range(0, lines.shape[1], chunk):
        profit = stage.profit_kw[:, s : s + chunk].transpose(1, 0, 2)
        mine = profit * use
        first, second = profit[:, :, a], profit[:, :, b]
        line = lines[:, s : s + chunk].T[:, :, None] - mine[:, :, a]
        line -= mine[:, :, b]
        with_first = line + first
        for place, block in enumerate((line, line + second, with_first, with_first + second)):
            here = power[:, place]
            np.maximum(here, block[0] if len(block) == 1 else block.max(axis=0), out=here)
    return power


def _real_power(stage: Stage, on: Bools, pairs: Pairs) -> Floats:
    """As `_hull_power`, on the curves as they are."""
    first, second = stage.bits[:, pairs.first], stage.bits[:, pairs.second]
    neither = stage.sets_of(on)[:, None] & ~(first | second)
    flow = stage.flow[:, None, None]
    sets = np.stack([neither, neither | second, neither | first, neither | first | second], axis=1)
    return stage.real_power(sets, flow)


class _Holds(NamedTuple):
    """Release points of every machine on the decision points: [M, 2, n], axis 1 = state entered."""

    release: Ints
    initial: Ints
    switch_eur: Floats


def _holds(tables: Tables, points: Ints, times: tuple[MachineTimes, ...]) -> _Holds:
    """Releases are rounded up to the next decision point: never too early."""
    count, size = tables.count, len(points)
    release = np.empty((size, 2, count), dtype=np.int64)
    initial = np.empty(count, dtype=np.int64)
    switch = np.zeros((size, 2, count))
    after = np.arange(1, size + 1)
    for i, one in enumerate(times):
        for state, table in ((0, one.off_release), (1, one.on_release)):
            at = np.searchsorted(points, np.array(table)[points])
            release[:, state, i] = np.maximum(at, after)
        initial[i] = np.searchsorted(points, one.initial_release)
        switch[:, 1, i] = np.array(start_prices(tables.rules[i], tables.start_eur[:, i], one))[points]
        switch[:, 0, i] = np.array(stop_prices(one))[points]
    return _Holds(release, initial, switch)


def longest_hold(tables: Tables, points: Ints) -> int:
    """Most decision points that any machine is held for, at the start or after a switch."""
    return _longest_of(_holds(tables, points, tables.relaxed))


def _longest_of(holds: _Holds) -> int:
    after = holds.release - np.arange(len(holds.release))[:, None, None]
    return int(max(after.max(initial=1), holds.initial.max(initial=1)))


class PairProgramme:
    """The pair programme on one set of decision points: built once, solved for many stages.

    State: where every switch leads (as offsets into the value table) and a work table.
    """

    def __init__(self, tables: Tables, pairs: Pairs, points: Ints, times: tuple[MachineTimes, ...]) -> None:
        """Prepare for the pairs on the points; releases are those of `times`."""
        self.tables, self.pairs, self.points = tables, pairs, points
        self.holds = _holds(tables, points, times)
        size, count = len(points), len(pairs.first)
        # Ordered pairs: A is the one that is free, B the one that may be held.
        self._a = np.concatenate([pairs.first, pairs.second])
        swapped = np.concatenate([np.arange(count, 2 * count), np.arange(count)])
        self._swapped = swapped
        self.held = self.holds.release - np.arange(size)[:, None, None]
        longest = _longest_of(self.holds)
        self._patterns: list[tuple[Ints, Ints]] = []
        known: dict[bytes, tuple[Ints, Ints]] = {}
        for t in range(size):
            key = self.held[t].tobytes()
            if key not in known:
                known[key] = _pattern(self.held[t], self._a, swapped, longest)
            self._patterns.append(known[key])
        self._value = np.empty((size + 1, longest + 1, 2, 2, 2 * count))
        self._switched = np.empty((longest, 2, 2, 2 * count))
        # Both free: A switches, or B does.
        self._either = np.empty((2, 2, 2, 2 * count))
        # Price by state left: leaving "off" costs a start, leaving "on" mostly nothing.
        self._enter = self.holds.switch_eur[:, ::-1][:, :, self._a]

    def best(self, stage: Stage, on: Bools, *, least_gain_eur: float, at_most: int) -> list[PairPlan]:
        """The pairs whose joint re-planning saves most on the stage costs, best first."""
        tables, pairs, points = self.tables, self.pairs, self.points
        size, count = len(points), len(pairs.first)
        blocks = pair_costs(stage, on, pairs)
        if size < tables.steps:
            blocks = np.add.reduceat(blocks, points, axis=0)
        sums = np.zeros((size + 1, 2, 2, 2 * count))
        np.cumsum(blocks, axis=0, out=sums[1:, :, :, :count])
        sums[:, :, :, count:] = sums[:, :, :, :count].transpose(0, 2, 1, 3)
        # Cost of A's switch with the potentials exchanged, by the state A leaves.
        shift = self._enter[:, :, None, :] - sums[:size, ::-1] + sums[:size]

        shift_either = np.stack([shift, shift[..., self._swapped].transpose(0, 2, 1, 3)], axis=1)

        value, switched, either = self._value, self._switched, self._either
        value[size] = sums[size]
        flat = value.reshape(-1)
        stride = value[0].size
        later = value[size]
        for t in range(size - 1, -1, -1):
            now, here = value[t], flat[t * stride :]
            held, both_free = self._patterns[t]
            here.take(held, out=switched, mode="clip")
            np.add(switched, shift[t], out=switched)
            np.minimum(later[:-1], switched, out=now[1:])
            here.take(both_free, out=either, mode="clip")
            np.add(either, shift_either[t], out=either)
            np.minimum(either[0], either[1], out=now[0])
            np.minimum(later[0], now[0], out=now[0])
            later = now

        gains = _present_cost(tables, blocks, on, pairs, points) - self._start_value()
        found: list[PairPlan] = []
        lengths = np.diff(np.append(points, tables.steps))
        solved = _Solved(value, sums, self.held, self.holds.switch_eur)
        for p in np.argsort(-gains, kind="stable")[:at_most].tolist():
            if not gains[p] > least_gain_eur:
                break
            series = _trace(solved, tables, pairs, p, self.holds.initial)
            first, second = (np.repeat(one, lengths) for one in series)
            found.append(PairPlan(int(pairs.first[p]), int(pairs.second[p]), float(gains[p]), first, second))
        return found

    def _start_value(self) -> Floats:
        """Cost [P] of the best plan of every pair from the state at the start."""
        pairs, value = self.pairs, self._value
        count = len(pairs.first)
        state = self.tables.initially_on.astype(int)
        first, second = state[pairs.first], state[pairs.second]
        wait_a, wait_b = self.holds.initial[pairs.first], self.holds.initial[pairs.second]
        jump = np.minimum(wait_a, wait_b)
        index = np.arange(count)
        best: Floats = np.where(
            wait_b >= wait_a,
            value[jump, wait_b - jump, first, second, index],
            value[jump, wait_a - jump, second, first, count + index],
        )
        return best


def _pattern(held: Ints, a: Ints, swapped: Ints, longest: int) -> tuple[Ints, Ints]:
    """Where switches lead, as offsets into the flattened values, seen from point 0.

    First array [l = 1 .. longest, state A, state B, 2P] with B held for l points; second [2, state A,
    state B, 2P] with both free: A switches, or B does.
    """
    width = len(a)
    count = np.arange(width)
    wait = np.arange(1, longest + 1)[:, None, None, None]
    state_b = np.arange(2)[None, None, :, None]
    entered = 1 - np.arange(2)[None, :, None, None]
    k = held[:, a][::-1][None, :, None, :]  # by the state A leaves
    row = longest + 1

    def at(point: Ints, left: Ints, own: Ints, other: Ints, pair: Ints) -> Ints:
        offset: Ints = (((point * row + left) * 2 + own) * 2 + other) * width + pair
        return offset

    still = k <= wait
    offsets = np.where(
        still,
        at(np.minimum(k, wait), np.maximum(wait - k, 0), entered, state_b, count),
        at(np.minimum(k, wait), np.maximum(k - wait, 0), state_b, entered, swapped),
    )
    free = np.broadcast_to(at(np.zeros_like(k), k, state_b, entered, swapped)[0], (2, 2, width))
    return offsets, np.stack([free, free[..., swapped].transpose(1, 0, 2)])


def _present_cost(tables: Tables, blocks: Floats, on: Bools, pairs: Pairs, points: Ints) -> Floats:
    """Cost [P] of the present plan in the same terms: steps and switches of the two machines."""
    here = on[points].astype(int)
    rows = np.arange(len(points))[:, None]
    index = np.arange(len(pairs.first))[None, :]
    steps: Floats = blocks[rows, here[:, pairs.first], here[:, pairs.second], index].sum(axis=0)
    before = np.vstack([tables.initially_on[None, :], on[:-1]])
    switches = np.where(on & ~before, tables.start_eur, 0.0).sum(axis=0)
    switches += BROKEN_EUR * (before & ~on & tables.cuts_stop).sum(axis=0)
    steps += switches[pairs.first] + switches[pairs.second]
    return steps


class _Solved(NamedTuple):
    """The solved pair programme, kept for tracing."""

    value: Floats
    sums: Floats
    held: Ints
    switch_eur: Floats


def _trace(solved: _Solved, tables: Tables, pairs: Pairs, p: int, initial: Ints) -> tuple[Bools, Bools]:
    """Follow the best decisions of pair p from the start: the two series on decision points."""
    count = len(pairs.first)
    size = len(solved.held)
    machine = (int(pairs.first[p]), int(pairs.second[p]))
    value = solved.value
    turns: dict[tuple[int, int], Ints] = {}

    def next_turn(t: int) -> int:
        """First point from t on at which one of the two free machines switches, or the end."""
        key = state[0], state[1]
        if key not in turns:
            free = value[:, 0, key[0], key[1], p]
            # Staying costs nothing: while the value does not change it is the best.
            turns[key] = np.append(np.flatnonzero(free[1:] != free[:-1]), size)
        return int(turns[key][np.searchsorted(turns[key], t)])

    def after_switch(t: int, who: int) -> float:
        """Cost from t on when one of two free machines switches now and the other may follow."""
        entered, other, column = 1 - state[who], state[1 - who], p + who * count
        wait = int(solved.held[t, entered, machine[who]])
        potential = solved.sums[t, state[who], other, column] - solved.sums[t, entered, other, column]
        later = value[t, wait, other, entered, p + (1 - who) * count]
        return float(later + solved.switch_eur[t, entered, machine[who]] + potential)

    state = [int(tables.initially_on[m]) for m in machine]
    free_at = [int(initial[m]) for m in machine]
    series = np.zeros((2, size), dtype=bool)
    t = filled = 0
    while True:
        t = min(max(t, min(free_at)), size)
        for row in (0, 1):
            series[row, filled:t] = bool(state[row])
        filled = t
        if t == size:
            return series[0], series[1]
        if max(free_at) <= t:
            turn = next_turn(t)
            if turn > t:
                t = turn
                continue
            one = 0 if after_switch(t, 0) <= after_switch(t, 1) else 1
        else:
            one = 0 if free_at[0] <= t else 1
            left = free_at[1 - one] - t
            states = state[one], state[1 - one], p + one * count
            if value[(t, left, *states)] == value[(t + 1, left - 1, *states)]:
                t += 1
                continue
        state[one] = 1 - state[one]
        free_at[one] = t + int(solved.held[t, state[one], machine[one]])
