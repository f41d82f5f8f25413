"""What a plan costs, from the schedule and the flows alone: the receiver is simulated again.

Nothing the solver says about its own cost is read; the machines' real curves are charged, also
where the dispatch worked with their convex hulls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from agent.planner.dispatch import pressure_band
from agent.planner.tables import Bools, Floats, Tables


@dataclass(frozen=True, slots=True)
class CostSplit:
    """EUR of a plan by cause. `wishes_eur` (preference, inertia) is not money."""

    energy_eur: float
    co2_eur: float
    start_eur: float
    run_eur: float
    demand_charge_eur: float
    unserved_eur: float
    reserve_eur: float
    site_limit_eur: float
    wishes_eur: float = 0.0

    @property
    def total_eur(self) -> float:
        """The plan's cost, wishes left out."""
        return (
            self.energy_eur
            + self.co2_eur
            + self.start_eur
            + self.run_eur
            + self.demand_charge_eur
            + self.unserved_eur
            + self.reserve_eur
            + self.site_limit_eur
        )


@dataclass(frozen=True)
class Outcome:
    """A plan played through: costs, and per step pressure, power and slacks [N]."""

    cost: CostSplit
    pressure_bar: Floats
    power_kw: Floats
    unserved_m3_min: Floats
    vent_m3_min: Floats
    headroom_short_m3_min: Floats
    over_limit_kw: Floats
    peak_kw: float | None
    starts: int


def evaluate(tables: Tables, on: Bools, flow: Floats, vent: Floats | None = None) -> Outcome:
    """Play the plan through. `vent` [N] is air blown off on purpose (a machine whose least flow is
    not needed); beyond it air is blown off or missing only as far as the band demands it.
    """
    problem, receiver = tables.problem, tables.problem.receiver
    steps = tables.steps
    before = np.vstack([tables.initially_on[None, :], on[:-1]])
    started = on & ~before
    power = np.zeros((steps, tables.count))
    for index, machine in enumerate(problem.machines):
        power[:, index] = np.interp(
            flow[:, index],
            [p.flow_m3_min for p in machine.curve],
            [p.power_kw for p in machine.curve],
        )
    power *= on
    low, high = pressure_band(tables)
    store = receiver.volume_m3 / receiver.atmosphere_bar / tables.step_min
    leak = receiver.leak_m3_min_bar
    net = flow.sum(axis=1) - tables.demand + leak * receiver.pressure_ref_bar
    pressure, unserved = np.zeros(steps), np.zeros(steps)
    blown = np.zeros(steps) if vent is None else vent.copy()
    net = net - blown
    level = receiver.pressure_init_bar
    for t in range(steps):
        reached = (store[t] * level + net[t]) / (store[t] + leak)
        if reached > high[t]:
            blown[t] += (reached - high[t]) * (store[t] + leak)
            reached = high[t]
        elif reached < low[t]:
            # Rather keep the air in than miss it.
            missing = (low[t] - reached) * (store[t] + leak)
            kept = min(missing, blown[t])
            blown[t] -= kept
            unserved[t] = missing - kept
            reached = low[t]
        pressure[t] = level = float(reached)

    start_kwh = (started * np.array([m.start_energy_kwh for m in problem.machines])).sum(axis=1)
    above_ref = receiver.power_kw_bar * (pressure - receiver.pressure_ref_bar)
    mean_kw = power.sum(axis=1) + above_ref + start_kwh / tables.hours
    energy_kwh = mean_kw * tables.hours
    offered = np.where(tables.is_forced_flow, 0.0, on * (tables.flow_full - flow)).sum(axis=1)
    short = np.maximum(tables.reserve - offered, 0.0)
    over = np.zeros(steps)
    if problem.site_limit_kw is not None:
        over = np.maximum(mean_kw + tables.other_kw - problem.site_limit_kw, 0.0)
    peak: float | None = None
    demand_eur = 0.0
    charge = problem.demand_charge
    if charge is not None:
        total = (mean_kw + tables.other_kw) * tables.hours
        means = np.bincount(tables.interval_of_step, weights=total) / tables.interval_hours
        peak = max(charge.peak_so_far_kw, float(means.max()))
        demand_eur = charge.price_eur_kw * (peak - charge.peak_so_far_kw)
    run_eur_h = np.array([m.run_cost_eur_h for m in problem.machines])
    run = float((on * run_eur_h * tables.hours[:, None]).sum())
    penalties = problem.penalties
    cost = CostSplit(
        energy_eur=float((np.array(problem.energy_price_eur_kwh) * energy_kwh).sum()),
        co2_eur=float((problem.co2_price_eur_kg * np.array(problem.co2_kg_kwh) * energy_kwh).sum()),
        start_eur=float((started * np.array([m.start_cost_eur for m in problem.machines])).sum()),
        run_eur=run,
        demand_charge_eur=demand_eur,
        unserved_eur=penalties.unserved_eur_m3 * float((unserved * tables.step_min).sum()),
        reserve_eur=penalties.reserve_eur_m3 * float((short * tables.step_min).sum()),
        site_limit_eur=penalties.site_limit_eur_kwh * float((over * tables.hours).sum()),
        wishes_eur=float((tables.on_eur * on).sum()) - run + tables.inertia_constant_eur,
    )
    return Outcome(
        cost=cost,
        pressure_bar=pressure,
        power_kw=mean_kw,
        unserved_m3_min=unserved,
        vent_m3_min=blown,
        headroom_short_m3_min=short,
        over_limit_kw=over,
        peak_kw=peak,
        starts=int(started.sum()),
    )
