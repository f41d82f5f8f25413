"""The exact mixed-integer model of the station problem, for comparison: minutes, not milliseconds.

Formulation: docs/planner.md. Start windows in tight form (sums of starts and stops), curves as they
are (a binary for each convex section of a curve with a dent), every limit of the problem exact,
starts per hour included.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from agent.planner.dispatch import Dispatch, build_program
from agent.planner.tables import Bools, Floats, Tables

_EPS_MIN = 1e-6


class Exact(NamedTuple):
    """Best schedule found, its cost and a proven bound."""

    on: Bools
    cost_eur: float
    bound_eur: float


class _Rows:
    """Triplets of further rows, collected one row at a time."""

    def __init__(self, first: int) -> None:
        self.count = first
        self.rows: list[int] = []
        self.columns: list[int] = []
        self.values: list[float] = []
        self.low: list[float] = []
        self.high: list[float] = []

    def add(self, terms: list[tuple[int, float]], low: float, high: float) -> None:
        for column, value in terms:
            self.rows.append(self.count)
            self.columns.append(column)
            self.values.append(value)
        self.low.append(low)
        self.high.append(high)
        self.count += 1


def solve_exact(
    tables: Tables, dispatch: Dispatch, *, time_limit_s: float, gap: float = 1e-4
) -> Exact | None:
    """Solve the whole model with scipy's milp; None when no plan was found in the time."""
    answer, constant = _solve(tables, dispatch, whole=True, time_limit_s=time_limit_s, gap=gap)
    if answer.x is None:
        return None
    first = build_program(tables).layout.columns
    schedule = answer.x[first : first + tables.steps * tables.count]
    return Exact(
        on=schedule.reshape(tables.steps, tables.count) > 0.5,
        cost_eur=float(answer.fun) + constant,
        bound_eur=float(answer.mip_dual_bound) + constant,
    )


def relaxed_bound(tables: Tables, dispatch: Dispatch, *, time_limit_s: float) -> float | None:
    """A cost that no plan can undercut: fractions of machines allowed, curves on their hulls."""
    answer, constant = _solve(tables, dispatch, whole=False, time_limit_s=time_limit_s, gap=0.0)
    return float(answer.fun) + constant if answer.status == 0 else None


def _solve(
    tables: Tables, dispatch: Dispatch, *, whole: bool, time_limit_s: float, gap: float
) -> tuple[Any, float]:
    """Build and solve; scipy's answer and the cost that is outside the model."""
    from scipy.optimize import Bounds as ScipyBounds
    from scipy.optimize import LinearConstraint, milp
    from scipy.sparse import coo_array

    steps, count = tables.steps, tables.count
    program = build_program(tables)
    layout = program.layout
    sections = tables.sections
    pieces = len(sections.width)
    still = dispatch.bounds(np.zeros((steps, count), dtype=bool))
    first_on = layout.columns
    first_start = first_on + steps * count
    first_mode = first_start + 2 * steps * count
    # A mode is a section of a curve with a dent, or the hull of another: [section, machine].
    modes = [
        (int(k), i)
        for i in range(count)
        for k in (range(1, sections.count[i] + 1) if whole and sections.count[i] else (0,))
    ]
    columns = first_mode + steps * len(modes)

    def on_at(t: int, i: int) -> int:
        return first_on + t * count + i

    def start_at(t: int, i: int) -> int:
        return first_start + t * count + i

    def stop_at(t: int, i: int) -> int:
        return first_start + (steps + t) * count + i

    cost = np.concatenate([program.cost, np.zeros(columns - layout.columns)])
    low, high = np.zeros(columns), np.ones(columns)
    low[: layout.columns], high[: layout.columns] = still.column_low, still.column_high
    wanted = np.array([(k, i) in modes for k, i in zip(sections.section, sections.machine, strict=True)])
    widths = sections.width[None, :] * (wanted & ~tables.is_forced_flow[:, sections.machine])
    high[: steps * pieces] = widths.ravel()
    start_kwh = np.array([m.start_energy_kwh for m in tables.problem.machines])
    extra = _Rows(program.row_count)
    link: list[tuple[int, int, float]] = []
    has_limit = tables.problem.site_limit_kw is not None
    has_peak = tables.problem.demand_charge is not None
    for t in range(steps):
        hours = float(tables.hours[t])
        peak_row = program.first_peak_row + int(tables.interval_of_step[t])
        share = hours / float(tables.interval_hours[int(tables.interval_of_step[t])])
        for i in range(count):
            u, v = on_at(t, i), start_at(t, i)
            cost[u] = tables.on_eur[t, i]
            cost[v] = tables.start_eur[t, i]
            low[u], high[u] = float(tables.must_on[t, i]), float(not tables.must_off[t, i])
            if has_limit:
                link.append((program.first_limit_row + t, v, float(start_kwh[i] / hours)))
            if has_peak:
                link.append((peak_row, v, share * float(start_kwh[i]) / hours))
            terms = [(u, 1.0), (v, -1.0), (stop_at(t, i), 1.0)]
            before = float(tables.initially_on[i]) if t == 0 else 0.0
            if t > 0:
                terms.append((on_at(t - 1, i), -1.0))
            extra.add(terms, before, before)
            mine = [first_mode + t * len(modes) + m for m, (_, j) in enumerate(modes) if j == i]
            extra.add([(column, 1.0) for column in mine] + [(u, -1.0)], 0.0, 0.0)
        # What a mode adds to the rows of the dispatch: least flow and power, headroom.
        for m, (k, i) in enumerate(modes):
            mode = first_mode + t * len(modes) + m
            manual = bool(tables.is_forced_flow[t, i])
            flow = float(tables.forced_flow[t, i] if manual else sections.base_flow[i, k])
            power = float(tables.forced_power[t, i] if manual else sections.base_power[i, k])
            cost[mode] = tables.price_eur_kwh[t] * hours * power
            link.append((t, mode, flow))
            link.append((steps + t, mode, 0.0 if manual else float(tables.flow_full[i]) - flow))
            if has_limit:
                link.append((program.first_limit_row + t, mode, power))
            if has_peak:
                link.append((peak_row, mode, share * power))
            for piece in np.flatnonzero((sections.machine == i) & (sections.section == k)):
                column = layout.flow + t * pieces + int(piece)
                if widths[t, piece] > 0:
                    extra.add([(column, 1.0), (mode, -float(widths[t, piece]))], -np.inf, 0.0)
    for i in range(count):
        places = [_Columns(on_at(t, i), start_at(t, i), stop_at(t, i)) for t in range(steps)]
        _time_rows(tables, i, extra, low, high, places)
    rows = np.concatenate([program.rows, np.array([r for r, _, _ in link], dtype=np.int64), extra.rows])
    cols = np.concatenate([program.columns, np.array([c for _, c, _ in link], dtype=np.int64), extra.columns])
    values = np.concatenate([program.values, [x for _, _, x in link], extra.values])
    matrix = coo_array((values, (rows, cols)), shape=(extra.count, columns)).tocsr()
    integrality = np.zeros(columns)
    integrality[first_on:first_start] = 1.0 if whole else 0.0
    dented = np.array([float(k > 0) for k, _ in modes])
    integrality[first_mode:] = np.tile(dented, steps)
    answer = milp(
        cost,
        integrality=integrality,
        bounds=ScipyBounds(low, high),
        constraints=LinearConstraint(
            matrix,
            np.concatenate([still.row_low, extra.low]),
            np.concatenate([still.row_high, extra.high]),
        ),
        options={"time_limit": time_limit_s, "mip_rel_gap": gap},
    )
    return answer, still.constant_eur


class _Columns(NamedTuple):
    """Column of a machine's on, start and stop at step t."""

    on: int
    start: int
    stop: int


def _time_rows(
    tables: Tables,
    machine: int,
    extra: _Rows,
    low: Floats,
    high: Floats,
    columns: list[_Columns],
) -> None:
    """Minimum times and starts per hour of one machine; fixes its state up to the first release."""
    spec, times = tables.problem.machines[machine], tables.relaxed[machine]
    begin = tables.start_min[:-1]
    steps = tables.steps
    for t in range(times.initial_release):
        low[columns[t].on] = high[columns[t].on] = float(tables.initially_on[machine])
    forgiven = tables.must_on[:, machine] & (tables.unavoidable[machine] > 0)
    for t in range(steps):
        if times.cuts_stop[t] and not tables.unavoidable[machine]:
            high[columns[t].stop] = 0.0
        up = [s for s in range(t + 1) if times.on_release[s] > t]
        down = [s for s in range(t + 1) if times.off_release[s] > t]
        extra.add([(columns[s].start, 1.0) for s in up] + [(columns[t].on, -1.0)], -np.inf, 0.0)
        extra.add([(columns[s].stop, 1.0) for s in down] + [(columns[t].on, 1.0)], -np.inf, 1.0)
        recent = [s for s in range(t + 1) if begin[t] - begin[s] < 60.0 - _EPS_MIN and not forgiven[s]]
        past = sum(1 for ago in spec.state.starts_ago_min if begin[t] + ago < 60.0 - _EPS_MIN)
        if len(recent) + past > spec.max_starts_per_hour:
            extra.add(
                [(columns[s].start, 1.0) for s in recent],
                -np.inf,
                float(max(spec.max_starts_per_hour - past, 0)),
            )
