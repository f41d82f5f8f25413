"""The best schedule of one machine while all others keep theirs: exact, minimum times included."""

from __future__ import annotations

import numpy as np

from agent.planner.machine_schedule import cheapest_series
from agent.planner.stage import Stage
from agent.planner.tables import Bools, Floats, Tables


def machine_costs(stage: Stage, on: Bools, machine: int) -> tuple[Floats, Floats]:
    """Step costs [N] with the machine off and with it on, the others as in `on`."""
    others = on.copy()
    others[:, machine] = False
    use = others.astype(float)
    if stage.tables.real is None:
        lines = stage.lines(others)
        power = np.stack([lines.max(axis=1), (lines + stage.profit_kw[:, :, machine]).max(axis=1)], axis=1)
    else:
        sets = stage.sets_of(others)
        both = np.stack([sets, sets | stage.bits[:, machine]], axis=1)
        power = stage.real_power(both, stage.flow[:, None])
    full = (stage.full * use).sum(axis=1)
    base = (stage.base * use).sum(axis=1)
    cost = stage.charge(
        power,
        np.stack([full, full + stage.full[:, machine]], axis=1),
        np.stack([base, base + stage.base[:, machine]], axis=1),
        stage.flow[:, None],
    )
    off = cost[:, 0] + stage.off_eur[:, machine]
    return off, cost[:, 1] + stage.on_eur[:, machine]


def plan_machine(tables: Tables, off_eur: Floats, on_eur: Floats, machine: int) -> list[bool]:
    """Best series of one machine for its step costs [N] off and on, every rule of time kept."""
    return cheapest_series(tables.rules[machine], off_eur, on_eur, tables.start_eur[:, machine])


def replan_machine(stage: Stage, on: Bools, machine: int) -> list[bool]:
    """Best series of one machine given the others' schedules in `on`."""
    off_eur, on_eur = machine_costs(stage, on, machine)
    return plan_machine(stage.tables, off_eur, on_eur, machine)
