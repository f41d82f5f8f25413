"""Dispatch: the cheapest flow of every machine for a fixed on/off schedule, with storage and peak.

A linear programme over curve pieces, pressure, air blown off, missing air and headroom, power over
the site's limit and the billing peak. Its matrix does not depend on the schedule: a schedule only
moves bounds, so the programme is built once and solved many times.

Two bodies hold the same programme: scipy's linprog, always there, and a persistent highspy model,
several times cheaper to solve again (docs/adr/dispatch-solver.md).
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

import numpy as np

from agent.planner.stage import switching_eur
from agent.planner.tables import Bools, Floats, Ints, Tables

_INF = np.inf


class Dispatched(NamedTuple):
    """Answer of a dispatch.

    `cost_eur` is the schedule's whole cost on the curves' hulls or the sections chosen. `flow` [N, n],
    `pressure` [N] at the ends of steps, `vent` [N] air blown off, `price_eur_m3` [N] the dual of the air balance (what one
    more cubic metre in that step would cost), `peak_eur_kw` [J] the duals of the billing intervals.
    """

    cost_eur: float
    flow: Floats
    pressure: Floats
    vent: Floats
    price_eur_m3: Floats
    peak_kw: float
    peak_eur_kw: Floats


class Layout(NamedTuple):
    """First column of each block; `peak` is -1 without a demand charge, `over` without a limit."""

    flow: int
    pressure: int
    unserved: int
    vent: int
    short: int
    over: int
    peak: int
    columns: int


class Program(NamedTuple):
    """The programme in triplets: minimise cost @ x, row_low <= A x <= row_high, bounds per solve."""

    layout: Layout
    cost: Floats
    rows: Ints
    columns: Ints
    values: Floats
    row_count: int
    first_limit_row: int
    first_peak_row: int


class Bounds(NamedTuple):
    """What a schedule sets: column and row bounds and the cost that is outside the programme."""

    column_low: Floats
    column_high: Floats
    row_low: Floats
    row_high: Floats
    constant_eur: float


class Body(Protocol):
    """Solves the programme for one set of bounds; None when the solver gives up."""

    def solve(self, bounds: Bounds) -> tuple[float, Floats, Floats] | None:
        """Objective, columns, row duals."""
        ...


def build_program(tables: Tables) -> Program:
    """The schedule-independent part. Rows: N air, N headroom, N limit (if any), J peak (if any)."""
    problem = tables.problem
    receiver = problem.receiver
    steps, pieces = tables.steps, len(tables.sections.width)
    has_limit, charge = problem.site_limit_kw is not None, problem.demand_charge
    first = np.cumsum([0, steps * pieces, steps, steps, steps, steps])
    over = int(first[5]) if has_limit else -1
    peak = int(first[5]) + (steps if has_limit else 0) if charge is not None else -1
    columns = int(first[5]) + (steps if has_limit else 0) + (1 if charge is not None else 0)
    flow, pressure, unserved, vent, short = (int(x) for x in first[:5])
    layout = Layout(flow, pressure, unserved, vent, short, over, peak, columns)

    t = np.arange(steps)
    step_of = np.repeat(t, pieces)
    flow_columns = layout.flow + np.arange(steps * pieces)
    slope = np.tile(tables.sections.slope, steps)
    cost = np.zeros(columns)
    energy = tables.price_eur_kwh * tables.hours
    cost[flow_columns] = np.repeat(energy, pieces) * slope
    cost[layout.pressure + t] = energy * receiver.power_kw_bar
    cost[layout.unserved + t] = problem.penalties.unserved_eur_m3 * tables.step_min
    cost[layout.short + t] = problem.penalties.reserve_eur_m3 * tables.step_min
    if has_limit:
        cost[over + t] = problem.penalties.site_limit_eur_kwh * tables.hours
    if charge is not None:
        cost[peak] = charge.price_eur_kw

    store = receiver.volume_m3 / receiver.atmosphere_bar / tables.step_min
    triplets: list[tuple[Any, Any, Any]] = [
        # air [m3/min]: sum of flows + unserved - vent - leak p - store (p - p_before)
        (step_of, flow_columns, np.ones(steps * pieces)),
        (t, layout.pressure + t, -(receiver.leak_m3_min_bar + store)),
        (t[1:], layout.pressure + t[:-1], store[1:]),
        (t, layout.unserved + t, np.ones(steps)),
        (t, layout.vent + t, -np.ones(steps)),
        # headroom: short - sum of flows
        (steps + step_of, flow_columns, -np.ones(steps * pieces)),
        (steps + t, layout.short + t, np.ones(steps)),
    ]
    rows = 2 * steps
    limit_row = rows
    power_of_pressure = np.full(steps, receiver.power_kw_bar)
    if has_limit:
        triplets += [
            (limit_row + step_of, flow_columns, slope),
            (limit_row + t, layout.pressure + t, power_of_pressure),
            (limit_row + t, over + t, -np.ones(steps)),
        ]
        rows += steps
    peak_row = rows
    if charge is not None:
        interval = tables.interval_of_step
        share = tables.hours / tables.interval_hours[interval]
        count = len(tables.interval_hours)
        triplets += [
            (peak_row + interval[step_of], flow_columns, share[step_of] * slope),
            (peak_row + interval, layout.pressure + t, share * receiver.power_kw_bar),
            (peak_row + np.arange(count), np.full(count, peak), -np.ones(count)),
        ]
        rows += count
    return Program(
        layout=layout,
        cost=cost,
        rows=np.concatenate([np.asarray(r) for r, _, _ in triplets]).astype(np.int64),
        columns=np.concatenate([np.asarray(c) for _, c, _ in triplets]).astype(np.int64),
        values=np.concatenate([np.asarray(v) for _, _, v in triplets]).astype(float),
        row_count=rows,
        first_limit_row=limit_row,
        first_peak_row=peak_row,
    )


def pressure_band(tables: Tables) -> tuple[Floats, Floats]:
    """Lowest and highest pressure allowed at the end of each step.

    A start outside the band is accepted: the limit moves from the measured pressure to the band
    over the first ten minutes, so that no schedule is impossible because of where we are.
    """
    receiver = tables.problem.receiver
    end = tables.start_min[1:]
    share = np.clip(end / 10.0, 0.0, 1.0)
    low = np.full(tables.steps, receiver.pressure_min_bar)
    high = np.full(tables.steps, receiver.pressure_max_bar)
    below = min(receiver.pressure_init_bar - receiver.pressure_min_bar, 0.0)
    above = max(receiver.pressure_init_bar - receiver.pressure_max_bar, 0.0)
    low = low + below * (1.0 - share)
    high = high + above * (1.0 - share)
    low[-1] = min(max(low[-1], receiver.pressure_end_min_bar), high[-1])
    return low, high


class Dispatch:
    """The dispatch programme of one problem, built once.

    State: the solver's model, warm from the last schedule. `solves` counts programmes solved.
    """

    def __init__(self, tables: Tables, *, prefer_highspy: bool = True) -> None:
        """Build the programme; highspy is used when it is installed and wanted."""
        self.tables = tables
        self.solves = 0
        self.program = build_program(tables)
        self._band = pressure_band(tables)
        self.body = make_body(self.program, prefer_highspy=prefer_highspy)

    def bounds(self, on: Bools, section: Ints | None = None) -> Bounds:
        """Bounds for the schedule `on` [N, n], on the hulls or on the curves' sections [N, n]."""
        tables, layout = self.tables, self.program.layout
        problem, receiver = tables.problem, tables.problem.receiver
        sections = tables.sections
        steps, pieces = tables.steps, len(sections.width)
        free_on = on & ~tables.is_forced_flow
        low = np.zeros(layout.columns)
        high = np.full(layout.columns, _INF)
        if section is None:
            section = np.zeros((steps, tables.count), dtype=np.int64)
        chosen = free_on[:, sections.machine] & (section[:, sections.machine] == sections.section)
        high[: steps * pieces] = (sections.width[None, :] * chosen).ravel()
        low[layout.pressure : layout.pressure + steps] = self._band[0]
        high[layout.pressure : layout.pressure + steps] = self._band[1]

        least_flow = self._least_flow(on, section)
        base_flow = least_flow.sum(axis=1)
        base_kw = (sections.base_power[np.arange(tables.count), section] * free_on).sum(axis=1) + (
            tables.forced_power * (on & tables.is_forced_flow)
        ).sum(axis=1)
        base_kw = base_kw - receiver.power_kw_bar * receiver.pressure_ref_bar
        started = switching_eur(tables, on)
        before = np.vstack([tables.initially_on[None, :], on[:-1]])
        energy_kwh = np.array([m.start_energy_kwh for m in problem.machines])
        base_kw_start = ((on & ~before) * energy_kwh).sum(axis=1) / tables.hours

        row_low = np.full(self.program.row_count, -_INF)
        row_high = np.full(self.program.row_count, _INF)
        store = receiver.volume_m3 / receiver.atmosphere_bar / tables.step_min
        air = tables.demand - receiver.leak_m3_min_bar * receiver.pressure_ref_bar - base_flow
        air[0] -= store[0] * receiver.pressure_init_bar
        row_low[:steps] = row_high[:steps] = air
        full = ((tables.flow_full - least_flow) * free_on).sum(axis=1)
        row_low[steps : 2 * steps] = tables.reserve - full
        if problem.site_limit_kw is not None:
            rows = slice(self.program.first_limit_row, self.program.first_limit_row + steps)
            row_high[rows] = problem.site_limit_kw - tables.other_kw - base_kw - base_kw_start
        constant = float(
            (started + tables.on_eur * on).sum()
            + (tables.price_eur_kwh * tables.hours * base_kw).sum()
            + tables.inertia_constant_eur
        )
        charge = problem.demand_charge
        if charge is not None:
            low[layout.peak] = charge.peak_so_far_kw
            constant -= charge.price_eur_kw * charge.peak_so_far_kw
            known = (base_kw + base_kw_start + tables.other_kw) * tables.hours
            mean = np.bincount(tables.interval_of_step, weights=known) / tables.interval_hours
            row_high[self.program.first_peak_row :] = -mean
        return Bounds(low, high, row_low, row_high, constant)

    def _least_flow(self, on: Bools, section: Ints) -> Floats:
        """Flow [N, n] below which no running machine goes."""
        tables = self.tables
        base = tables.sections.base_flow[np.arange(tables.count), section]
        least: Floats = np.where(tables.is_forced_flow, tables.forced_flow, base) * on
        return least

    def solve(self, on: Bools, section: Ints | None = None) -> Dispatched | None:
        """Cheapest dispatch of the schedule; None when the solver does not reach an optimum.

        Without `section` [N, n] on the curves' hulls, which no dispatch on the curves themselves
        can undercut; with it each machine stays in the section named (Tables.sections).
        """
        if section is None:
            section = np.zeros(on.shape, dtype=np.int64)
        bounds = self.bounds(on, section)
        self.solves += 1
        answer = self.body.solve(bounds)
        if answer is None:
            return None
        objective, x, duals = answer
        tables, layout = self.tables, self.program.layout
        steps, pieces = tables.steps, len(tables.sections.width)
        parts = x[: steps * pieces].reshape(steps, pieces)
        flow = self._least_flow(on, section)
        for piece, machine in enumerate(tables.sections.machine):
            flow[:, machine] += parts[:, piece]
        charged = tables.problem.demand_charge is not None
        return Dispatched(
            cost_eur=objective + bounds.constant_eur,
            flow=flow,
            pressure=x[layout.pressure : layout.pressure + steps],
            vent=np.maximum(x[layout.vent : layout.vent + steps], 0.0),
            price_eur_m3=duals[:steps] / tables.step_min,
            peak_kw=float(x[layout.peak]) if charged else 0.0,
            peak_eur_kw=-duals[self.program.first_peak_row :] if charged else np.zeros(0),
        )


def make_body(program: Program, *, prefer_highspy: bool) -> Body:
    """The solver's body: highspy when wanted and installed, scipy otherwise."""
    if prefer_highspy:
        try:
            from agent.planner.dispatch_highspy import HighspyBody
        except ImportError:
            pass
        else:
            return HighspyBody(program)
    from agent.planner.dispatch_scipy import ScipyBody

    return ScipyBody(program)
