"""The greedy commitment: always there, always feasible, the plan when nothing better is at hand.

Machines are taken in the order of what a cubic metre costs at full load. Each is wanted where
those before it do not cover the flow and the headroom; a small dynamic programme turns the wish
into a schedule that keeps minimum times and windows, and what it adds relieves those after it.
"""

from __future__ import annotations

import numpy as np

from agent.planner.machine_schedule import FORBIDDEN_EUR
from agent.planner.one_machine import plan_machine
from agent.planner.tables import Bools, Floats, Tables

# A machine that runs unwanted costs less than air that is missing.
_UNWANTED_SHARE = 0.5
# In the second pass missing air outweighs any idle running.
_URGENT = 100.0
# m3/min: less missing flow is rounding.
_COVERED = 1e-6


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
    on = np.zeros((tables.steps, tables.count), dtype=bool)
    # Machines that will run anyway relieve the others: count what windows force first.
    missing = delivered + tables.reserve - (_offered(tables) * tables.must_on).sum(axis=1)
    order = priority(tables)
    for index in order:
        on[:, index] = _plan_for(tables, missing, index, urgency=1.0)
        gained = on[:, index] & ~tables.must_on[:, index]
        missing = missing - np.where(gained, tables.flow_full[index], 0.0)
    if missing.max(initial=0.0) > _COVERED:
        _close_gaps(tables, on, missing, order)
    return on


def _offered(tables: Tables) -> Floats:
    """Flow [N, n] that each machine covers when it runs."""
    return np.where(tables.is_forced_flow, tables.forced_flow, tables.flow_full)


def _plan_for(tables: Tables, missing: Floats, index: int, *, urgency: float) -> list[bool]:
    """Schedule of one machine that is wanted where flow is missing [N]."""
    wanted = missing > _COVERED
    share = np.abs(missing) / max(tables.flow_full[index], 1e-9)
    weight = urgency * tables.step_min * np.clip(share, 0.05, 1.0)
    off_eur = np.where(wanted, weight, 0.0)
    off_eur += np.where(tables.must_on[:, index], FORBIDDEN_EUR, 0.0)
    on_eur = np.where(wanted, 0.0, tables.step_min * _UNWANTED_SHARE)
    on_eur += np.where(tables.must_off[:, index], FORBIDDEN_EUR, 0.0)
    return plan_machine(tables, off_eur, on_eur, index)


def _close_gaps(tables: Tables, on: Bools, missing: Floats, order: list[int]) -> None:
    """Second pass over what is still missing: now a machine runs long for the sake of one step."""
    for index in order:
        own = np.where(on[:, index], tables.flow_full[index], 0.0)
        own = np.where(tables.must_on[:, index], 0.0, own)
        without = missing + own
        on[:, index] = _plan_for(tables, without, index, urgency=_URGENT)
        gained = on[:, index] & ~tables.must_on[:, index]
        missing = without - np.where(gained, tables.flow_full[index], 0.0)
        if missing.max(initial=0.0) <= _COVERED:
            return
