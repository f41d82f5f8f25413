"""When comfort begins before people come: each zone's cheapest lead."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agent.config.site import Zone
from agent.planner.hvac_case import HvacCase, UnitCase, cost_of, follow
from agent.planner.hvac_schedule import BoolArray, SetPoints, block_starts, brought_forward, scheduled

LONGEST_START_S = 4 * 3600.0


def starting(zone: Zone, people: BoolArray, lead_steps: int) -> SetPoints:
    """Comfort from `lead_steps` before people come, set-back without them."""
    return scheduled(zone, brought_forward(people, lead_steps))


def optimum_start(case: HvacCase, people: Mapping[str, BoolArray], step_s: float) -> dict[str, SetPoints]:
    """Each zone's cheapest lead before each coming of people, the others of its unit held.

    Searched by the unit's own cost; the demand charge sees all units only in the final comparison.
    """
    chosen: dict[str, SetPoints] = {}
    most = round(LONGEST_START_S / step_s)
    for unit in case.units:
        mine = {zone.name: starting(zone.zone, zone.wanted, 0) for zone in unit.zones}
        for zone in unit.zones:
            comfort = people[zone.name].copy()
            for first in block_starts(people[zone.name]):
                comfort = _best_lead(case, unit, mine, zone.name, zone.zone, comfort, first, most)
            mine[zone.name] = scheduled(zone.zone, comfort)
        chosen.update(mine)
    return chosen


def _best_lead(
    case: HvacCase,
    unit: UnitCase,
    mine: Mapping[str, SetPoints],
    name: str,
    zone: Zone,
    comfort: BoolArray,
    first: int,
    most: int,
) -> BoolArray:
    best, best_cost = comfort, np.inf
    for lead in range(min(most, first) + 1):
        tried = comfort.copy()
        tried[first - lead : first] = True
        course = follow(case, unit, {**mine, name: scheduled(zone, tried)})
        cost = cost_of(case, {unit.name: course}).cost
        if cost < best_cost - 1e-9:
            best, best_cost = tried, cost
    return best
