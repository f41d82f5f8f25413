"""When comfort begins before people come: each zone's cheapest lead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from agent.config.site import Zone
from agent.planner.hvac_case import HvacCase, UnitCase, cost_of, follow
from agent.planner.hvac_schedule import BoolArray, SetPoints, block_starts, brought_forward, scheduled

LONGEST_START_S = 4 * 3600.0
# Tried one after the other where the longest so far is the best: floors that heat, and frost.
FURTHER_STARTS_S = (5 * 3600.0, 6 * 3600.0, 8 * 3600.0, 10 * 3600.0)


def starting(zone: Zone, people: BoolArray, lead_steps: int) -> SetPoints:
    """Comfort from `lead_steps` before people come, set-back without them."""
    return scheduled(zone, brought_forward(people, lead_steps))


def optimum_start(case: HvacCase, people: Mapping[str, BoolArray], step_s: float) -> dict[str, SetPoints]:
    """Each zone's cheapest lead before each coming of people, the others of its unit held.

    Searched by the unit's own cost; the demand charge sees all units only in the final comparison.
    """
    chosen: dict[str, SetPoints] = {}
    leads = [*range(round(LONGEST_START_S / step_s) + 1), *(round(s / step_s) for s in FURTHER_STARTS_S)]
    for unit in case.units:
        mine = {zone.name: starting(zone.zone, zone.wanted, 0) for zone in unit.zones}
        for zone in unit.zones:
            comfort = people[zone.name].copy()
            for first in block_starts(people[zone.name]):
                comfort = _best_lead(case, unit, mine, zone.name, zone.zone, comfort, first, leads)
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
    leads: Sequence[int],
) -> BoolArray:
    best, best_cost, longest_is_best = comfort, np.inf, True
    for lead in leads:
        if lead * case.step_h * 3600.0 > LONGEST_START_S and not longest_is_best:
            break
        tried = comfort.copy()
        tried[max(0, first - lead) : first] = True  # from now on, where people come sooner
        course = follow(case, unit, {**mine, name: scheduled(zone, tried)})
        cost = cost_of(case, {unit.name: course}).cost
        longest_is_best = cost < best_cost - 1e-9
        if longest_is_best:
            best, best_cost = tried, cost
        if lead >= first:
            break
    return best
