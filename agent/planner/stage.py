"""What one step costs for a set of running machines, when the flow to deliver is given.

The cheapest dispatch of a step is merit order over the pieces of the convex curves. Its power is
the largest of the lines  slope * flow + sum of the running machines' profits  (the conjugate of
their summed curves), so adding a machine to a set adds one number per slope. That makes the cost
of very many sets an addition and a maximum, without sorting anything twice.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from agent.planner.machine_schedule import FORBIDDEN_EUR
from agent.planner.tables import Bools, Floats, Ints, Tables


@dataclass(frozen=True)
class Stage:
    """One view of the steps: the flow to deliver and the peak to stay under.

    `flow` [N]: m3/min that the machines without a manual flow have to deliver, storage included.
    `slopes` [N, S] and `profit_kw` [N, S, n]: as in Tables, per step; manual machines give zero.
    `full`, `base` [N, n]: flow at full load and least flow, zero where manual.
    `fixed_kw` [N]: power that no choice of machines changes: manual machines (`manual_kw`) and
    pressure above the reference.
    `on_eur`, `off_eur` [N, n]: run cost when on; FORBIDDEN_EUR in the state that windows, or the hold
    of the state at the start, exclude.
    `peak_target_kw`: power above which `peak_eur_kw` [N] is charged; +inf without a charge.
    `bits` [N, n]: each machine's bit in the table of real power, 0 where manual; `traded` tells
    whether storage trades at the first and last slope.
    """

    tables: Tables
    flow: Floats
    slopes: Floats
    profit_kw: Floats
    full: Floats
    base: Floats
    fixed_kw: Floats
    manual_kw: Floats
    energy_eur_kw: Floats
    unserved_eur: Floats
    reserve_eur: Floats
    reserve: Floats
    limit_kw: Floats | None
    limit_eur_kw: Floats
    peak_kw: Floats | None
    peak_eur_kw: Floats
    peak_target_kw: float
    on_eur: Floats
    off_eur: Floats
    bits: Ints
    traded: bool

    def real_power(self, sets: Ints, flow: Floats) -> Floats:
        """Power [N, ...] of sets of bits [N, ...] at flows on the curves as they are.

        Beyond full load it follows the last slope, like the lines. Only where Tables.real is.
        """
        real = self.tables.real
        assert real is not None

        def wide(values: Floats) -> Floats:
            return values.reshape(values.shape + (1,) * (sets.ndim - 1))

        last = wide(self.slopes[:, -1])
        if self.traded:
            return real.traded(sets, flow, wide(self.slopes[:, 0]), last)
        return real.at(sets, flow) + last * np.maximum(flow - real.full_flow[sets], 0.0)

    def sets_of(self, on: Bools) -> Ints:
        """The schedule's sets of bits [N]."""
        sets: Ints = (self.bits * on).sum(axis=1)
        return sets

    def charge(self, power: Floats, full: Floats, base: Floats, flow: Floats) -> Floats:
        """EUR of the step for sets given by power, full and least flow, all [N, ...].

        `power` is the maximum of the lines at `flow`, also beyond full load, where it is
        corrected to full-load power here. Run cost is not in it.
        """
        return self.charge_at(power, full, base, flow, None)

    def charge_at(
        self, power: Floats, full: Floats, base: Floats, flow: Floats, shift_kw: Floats | None
    ) -> Floats:
        """As `charge`, for a station whose fixed power is `shift_kw` above the stage's own."""

        def wide(values: Floats) -> Floats:
            return values.reshape(values.shape + (1,) * (power.ndim - 1))

        # Flow above (+) or below (-) full load, least flows blown off where more than is asked.
        beyond = np.maximum(flow, base) - full
        over = np.maximum(beyond, 0.0)
        np.minimum(beyond, 0.0, out=beyond)
        beyond += wide(self.reserve)
        np.maximum(beyond, 0.0, out=beyond)
        beyond *= wide(self.reserve_eur)
        if self.limit_kw is None and self.peak_kw is None:
            cost = wide(self.energy_eur_kw) * power
            cost += beyond
            over *= wide(self.unserved_eur - self.energy_eur_kw * self.slopes[:, -1])
            cost += over
            return cost
        power = power - wide(self.slopes[:, -1]) * over
        cost = wide(self.energy_eur_kw) * power
        cost += beyond
        over *= wide(self.unserved_eur)
        cost += over
        if shift_kw is not None:
            power += shift_kw
        for threshold, price in ((self.limit_kw, self.limit_eur_kw), (self.peak_kw, self.peak_eur_kw)):
            if threshold is not None:
                np.subtract(power, wide(threshold), out=over)
                np.maximum(over, 0.0, out=over)
                over *= wide(price)
                cost += over
        return cost

    def lines(self, on: Bools) -> Floats:
        """The lines [N, S] of the schedule `on` [N, n] at the flow to deliver."""
        lines: Floats = self.slopes * self.flow[:, None] + np.einsum(
            "tsn,tn->ts", self.profit_kw, on.astype(float)
        )
        return lines

    def cost(self, on: Bools) -> Floats:
        """EUR [N] of each step under the schedule `on` [N, n], run cost in, starts not."""
        if self.tables.real is None:
            power = self.lines(on).max(axis=1, keepdims=True)
        else:
            power = self.real_power(self.sets_of(on)[:, None], self.flow[:, None])
        use = on.astype(float)
        full = (self.full * use).sum(axis=1, keepdims=True)
        base = (self.base * use).sum(axis=1, keepdims=True)
        cost: Floats = self.charge(power, full, base, self.flow[:, None])[:, 0]
        cost += (self.on_eur * use).sum(axis=1)
        return cost


def make_stage(
    tables: Tables,
    *,
    delivered: Floats,
    pressure: Floats,
    peak_target_kw: float,
    price_eur_m3: Floats | None = None,
    peak_eur_kw: Floats | None = None,
    elastic: float = 0.0,
) -> Stage:
    """The stage costs along a path of delivered flow [N] and end-of-step pressure [N].

    With `price_eur_m3` (the duals of the air balance) and `elastic` < 1 the storage is taken as
    a trader: air is bought and sold outside prices (1 -+ elastic) * price, so the cost is an
    optimistic guess of what the storage would make of a changed schedule. Then the demand charge
    is traded too: `peak_eur_kw` [J], the duals of the intervals, stand for it.
    """
    problem = tables.problem
    steps, count = tables.steps, tables.count
    free = ~tables.is_forced_flow
    energy = tables.price_eur_kwh * tables.hours
    slopes = np.repeat(tables.slopes[None, :], steps, axis=0)
    profit = np.repeat(tables.profit_kw[None, :, :], steps, axis=0)
    charge = problem.demand_charge
    share = tables.hours / tables.interval_hours[tables.interval_of_step]
    traded = price_eur_m3 is not None and elastic > 0.0
    if traded and charge is not None and peak_eur_kw is not None:
        energy = energy + peak_eur_kw[tables.interval_of_step] * share
    if price_eur_m3 is not None and elastic > 0.0:
        with np.errstate(divide="ignore", invalid="ignore"):
            worth = np.where(energy > 1e-9, price_eur_m3 * tables.step_min / np.maximum(energy, 1e-9), 0.0)
        low = np.minimum(worth * (1.0 - elastic), tables.slopes[-1])
        high = np.maximum(worth * (1.0 + elastic), low)
        clipped = np.clip(slopes, low[:, None], high[:, None])
        profit = conjugates(tables, clipped)
        slopes = clipped
    profit = profit * free[:, None, :]
    manual = (tables.forced_power * tables.is_forced_flow).sum(axis=1)
    fixed = manual + (problem.receiver.power_kw_bar * (pressure - problem.receiver.pressure_ref_bar))
    limit = None
    if problem.site_limit_kw is not None:
        limit = problem.site_limit_kw - tables.other_kw - fixed
    peak = None
    peak_eur = np.zeros(steps)
    if charge is not None and not traded:
        peak = peak_target_kw + _shape_in_interval(tables, delivered) - tables.other_kw - fixed
        peak_eur = charge.price_eur_kw * share
    held_on, held_off = _held(tables)
    on_eur = np.where(tables.must_off | held_off, FORBIDDEN_EUR, tables.on_eur)
    unserved = problem.penalties.unserved_eur_m3 * tables.step_min
    if price_eur_m3 is not None and elastic > 0.0:
        # What a set cannot deliver, the store sells at its price.
        traded_eur = np.maximum(price_eur_m3, 0.0) * (1.0 + elastic) * tables.step_min
        unserved = np.minimum(unserved, traded_eur)
    return Stage(
        tables=tables,
        flow=delivered - (tables.forced_flow * tables.is_forced_flow).sum(axis=1),
        slopes=slopes,
        profit_kw=profit,
        full=np.where(free, tables.flow_full, 0.0).reshape(steps, count),
        base=np.where(free, tables.flow_min, 0.0).reshape(steps, count),
        fixed_kw=fixed,
        manual_kw=manual,
        energy_eur_kw=energy,
        unserved_eur=unserved,
        reserve_eur=problem.penalties.reserve_eur_m3 * tables.step_min,
        reserve=tables.reserve,
        limit_kw=limit,
        limit_eur_kw=problem.penalties.site_limit_eur_kwh * tables.hours,
        peak_kw=peak,
        peak_eur_kw=peak_eur,
        peak_target_kw=peak_target_kw,
        on_eur=on_eur,
        off_eur=np.where(tables.must_on | held_on, FORBIDDEN_EUR, 0.0),
        bits=np.where(free, np.int64(1) << np.arange(count), 0),
        traded=price_eur_m3 is not None and elastic > 0.0,
    )


def narrowed(stage: Stage) -> Stage:
    """The stage with its arrays in single precision."""
    changed: dict[str, Any] = {
        field.name: getattr(stage, field.name).astype(np.float32)
        for field in fields(stage)
        if isinstance(getattr(stage, field.name), np.ndarray) and field.name != "bits"
    }
    return replace(stage, **changed)


def _held(tables: Tables) -> tuple[Bools, Bools]:
    """Steps [N, n] in which a machine is still held on, and held off, by its state at the start."""
    release = np.array([times.initial_release for times in tables.relaxed], dtype=np.int64)
    held = np.arange(tables.steps)[:, None] < release[None, :]
    return held & tables.initially_on, held & ~tables.initially_on


def _shape_in_interval(tables: Tables, delivered: Floats) -> Floats:
    """How far each step's power [N] is expected to lie above its billing interval's mean.

    The charge is on the mean; a step that needs more air than its neighbours may use more power.
    """
    specific = sum(m.curve[-1].power_kw for m in tables.problem.machines) / max(
        float(tables.flow_full.sum()), 1e-9
    )
    power = specific * delivered + tables.other_kw
    interval = tables.interval_of_step
    mean = np.bincount(interval, weights=power * tables.hours) / tables.interval_hours
    shape: Floats = power - mean[interval]
    return shape


def conjugates(tables: Tables, slopes: Floats) -> Floats:
    """Least (power - slope * flow) over the flow, for slopes [N, S]: array [N, S, n]."""
    profit = np.empty((*slopes.shape, tables.count))
    for machine in range(tables.count):
        mine = tables.piece_machine == machine
        # The conjugate is piecewise linear with kinks at the machine's own slopes.
        least = tables.power_min[machine] - slopes * tables.flow_min[machine]
        for slope, width in zip(tables.piece_slope[mine], tables.piece_width[mine], strict=True):
            least = least + width * np.minimum(slope - slopes, 0.0)
        profit[:, :, machine] = least
    return profit


def flat_path(tables: Tables) -> tuple[Floats, Floats]:
    """Delivered flow and pressure [N] of a plan that holds the starting pressure.

    The pressure moves into the band at once and ends at the level asked for.
    """
    receiver = tables.problem.receiver
    level = min(max(receiver.pressure_init_bar, receiver.pressure_min_bar), receiver.pressure_max_bar)
    pressure = np.full(tables.steps, level)
    pressure[-1] = max(level, receiver.pressure_end_min_bar)
    return delivered_flow(tables, pressure), pressure


def delivered_flow(tables: Tables, pressure: Floats) -> Floats:
    """Flow [N] that the machines deliver so that the receiver follows `pressure` [N]."""
    receiver = tables.problem.receiver
    before = np.concatenate([[receiver.pressure_init_bar], pressure[:-1]])
    store = receiver.volume_m3 / receiver.atmosphere_bar / tables.step_min
    leak = receiver.leak_m3_min_bar * (pressure - receiver.pressure_ref_bar)
    flow: Floats = tables.demand + leak + store * (pressure - before)
    return flow


def switching_eur(tables: Tables, on: Bools) -> Floats:
    """Start cost [N, n] of the schedule, energy of the start included."""
    before = np.vstack([tables.initially_on[None, :], on[:-1]])
    return np.where(on & ~before, tables.start_eur, 0.0)


def stage_total(stage: Stage, on: Bools) -> float:
    """Cost of a whole schedule in stage terms; FORBIDDEN_EUR for each step in a wrong state."""
    tables = stage.tables
    missed = float(stage.off_eur[~on].sum())
    return float(stage.cost(on).sum() + switching_eur(tables, on).sum()) + missed
