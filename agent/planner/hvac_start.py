"""When comfort begins before people come: each zone's cheapest lead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from agent.config.site import Zone
from agent.planner.hvac_case import HvacCase, UnitCase, ZoneCase, cost_of, follow
from agent.planner.hvac_schedule import BoolArray, SetPoints, block_starts, brought_forward, scheduled

LONGEST_START_S = 4 * 3600.0
# Tried one after the other where the longest so far is the best: floors that heat, and frost.
FURTHER_STARTS_S = tuple(h * 3600.0 for h in (5, 6, 8, 10, 12, 14, 17, 20))
# More zones than that have every second lead tried, then the two beside the best: there is no time for all.
MANY_ZONES = 12
# Where nothing is known of how warm a zone is; and over a floor that heats, felt hours later.
FIXED_START_S, FIXED_FLOOR_START_S = 2 * 3600.0, 12 * 3600.0


def starting(zone: Zone, people: BoolArray, lead_steps: int) -> SetPoints:
    """Comfort from `lead_steps` before people come, set-back without them."""
    return scheduled(zone, brought_forward(people, lead_steps))


def fixed_start_s(zone: Zone) -> float:
    """How long before people come comfort begins in a zone that cannot be planned, [s]."""
    floor = zone.model is not None and zone.model.slab_share > 0
    return FIXED_FLOOR_START_S if floor else FIXED_START_S


def optimum_start(case: HvacCase, people: Mapping[str, BoolArray], step_s: float) -> dict[str, SetPoints]:
    """Each zone's cheapest lead before each coming of people, the others of its unit held.

    Searched by the unit's own cost; the demand charge sees all units only in the final comparison.
    """
    chosen: dict[str, SetPoints] = {}
    longest = round(LONGEST_START_S / step_s)
    apart = 1 if sum(len(unit.zones) for unit in case.units) <= MANY_ZONES else 2
    leads = [*range(0, longest + 1, apart), *(round(s / step_s) for s in FURTHER_STARTS_S)]
    for unit in case.units:
        mine = {zone.name: starting(zone.zone, zone.wanted, 0) for zone in unit.zones}
        for zone in unit.zones:
            comfort = people[zone.name].copy()
            for first in block_starts(people[zone.name]):
                lead = _best_lead(case, unit, mine, zone, comfort, first, leads)
                if apart > 1 and 0 < lead < longest:
                    near = (lead, lead - 1, lead + 1)
                    lead = _best_lead(case, unit, mine, zone, comfort, first, near)
                comfort[max(0, first - lead) : first] = True  # from now on, where people come sooner
            mine[zone.name] = scheduled(zone.zone, comfort)
        chosen.update(mine)
    return chosen


def _best_lead(
    case: HvacCase,
    unit: UnitCase,
    mine: Mapping[str, SetPoints],
    zone: ZoneCase,
    comfort: BoolArray,
    first: int,
    leads: Sequence[int],
) -> int:
    """The cheapest of `leads`, in steps, for people that come at `first`; `comfort` as it is held otherwise."""
    best, best_cost, longest_is_best = 0, np.inf, True
    for lead in leads:
        if lead * case.step_h * 3600.0 > LONGEST_START_S and not longest_is_best:
            break
        tried = comfort.copy()
        tried[max(0, first - lead) : first] = True
        course = follow(case, unit, {**mine, zone.name: scheduled(zone.zone, tried)})
        cost = cost_of(case, {unit.name: course}).cost
        longest_is_best = cost < best_cost - 1e-9
        if longest_is_best:
            best, best_cost = lead, cost
        if lead >= first:
            break
    return best
