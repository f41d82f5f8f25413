"""The greedy commitment: always there, always feasible, the plan when nothing better is at hand.

Machines are taken in the order of what a cubic metre costs at full load. Each is wanted where
those before it do not cover the flow and the headroom; a small dynamic programme turns the wish
into a schedule that keeps minimum times and windows, and what it adds relieves those after it.
"""

from __future__ import annotations

import numpy as np

from agent.planner.one_machine import plan_machine
from agent.planner.tables import FORBIDDEN_EUR, Bools, Floats, Tables

# A machine that runs unwanted costs less than air that is missing.
_UNWANTED_SHARE = 0.5


def priority(tables: Tables) -> list[int]:
    """Machines by cost of a cubic metre at full load, run cost and preference included."""
    price = float(np.average(tables.price_eur_kwh, weights=tables.hours))
    cost: list[tuple[float, int]] = []
    for index, machine in enumerate(tables.problem.machines):
        hourly = price * machine.curve[-1].power_kw + machine.run_cost_eur_h + machine.preference_eur_h
        cost.append((hourly / max(machine.flow_full_m3_min, 1e-9), index))
    return [index for _, index in sorted(cost)]


def greedy(tables: Tables, delivered: Floats) -> Bools:
    """A feasible schedule [N, n] that covers flow [N] plus reserve as far as machines allow."""
    steps, count = tables.steps, tables.count
    on = np.zeros((steps, count), dtype=bool)
    missing = delivered + tables.reserve
    # Machines that will run anyway relieve the others: count what windows force first.
    for index in range(count):
        covered = np.where(
            tables.is_forced_flow[:, index], tables.forced_flow[:, index], tables.flow_full[index]
        )
        missing = missing - np.where(tables.must_on[:, index], covered, 0.0)
    for index in priority(tables):
        wanted = missing > 1e-6
        weight = tables.step_min * np.minimum(
            np.maximum(np.abs(missing) / max(tables.flow_full[index], 1e-9), 0.05), 1.0
        )
        off_eur = np.where(wanted, weight, 0.0)
        off_eur += np.where(tables.must_on[:, index], FORBIDDEN_EUR, 0.0)
        on_eur = np.where(wanted, 0.0, tables.step_min * _UNWANTED_SHARE)
        on_eur += np.where(tables.must_off[:, index], FORBIDDEN_EUR, 0.0)
        on[:, index] = plan_machine(tables, off_eur, on_eur, index)
        gained = on[:, index] & ~tables.must_on[:, index]
        missing = missing - np.where(gained, tables.flow_full[index], 0.0)
    return on
