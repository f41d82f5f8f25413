"""Small steps of set-points inside the comfort band, for some days, so that a zone's model can be told from its past.

A zone that is held still shows what it loses and little of how it answers. Here a set-point goes up and back (heating) or down and back
(cooling) by the hour, by lot, where people are in and the band has room. Nothing leaves the band, the guard
stands as always, and after the last day it ends by itself.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from agent.config.site import Hvac, Zone
from agent.domain import HvacPlan, ZoneStep
from agent.planner.hvac_schedule import LEAST_SPREAD_K, OPEN, comfort_limits, is_occupied

STEP = timedelta(minutes=15)
STEPS = 96
MOST_STEP_K = 1.0  # people feel more than this in a quarter of an hour
BLOCK_H = 2  # how long a set-point stays: twice as long as most air answers


def excited(plan: HvacPlan, hvac: Hvac, timezone: str, closed: frozenset[date] = OPEN) -> HvacPlan:
    """The plan with its steps moved while [hvac.excitation] lasts; the plan itself before and after."""
    last_at = plan.made_at + STEPS * STEP
    if hvac.excitation is None or not (
        _lasts(hvac, timezone, plan.made_at) or _lasts(hvac, timezone, last_at)
    ):
        return plan
    zones: dict[str, tuple[ZoneStep, ...]] = {}
    moved: set[str] = set()
    for name, zone in hvac.zones.items():
        steps = _moved(plan, hvac, name, zone, timezone, closed)
        if steps is not None:
            zones[name] = steps
            moved.add(name)
    if not moved:
        return plan
    test = hvac.excitation
    why = f"excitation until {test.begin + timedelta(days=test.days)}: {', '.join(sorted(moved))}"
    return replace(
        plan,
        zones={**plan.zones, **zones},
        reasons=(*plan.reasons, why),
        # What was expected of a zone that is moved on purpose is not what it will do.
        expected_degc=_without(plan.expected_degc, moved),
    )


def _without(expected: Mapping[str, tuple[float, ...]], moved: set[str]) -> dict[str, tuple[float, ...]]:
    return {name: air for name, air in expected.items() if name not in moved}


def _lasts(hvac: Hvac, timezone: str, at: datetime) -> bool:
    test = hvac.excitation
    assert test is not None
    day = at.astimezone(ZoneInfo(timezone)).date()
    return test.begin <= day < test.begin + timedelta(days=test.days)


def _moved(
    plan: HvacPlan, hvac: Hvac, name: str, zone: Zone, timezone: str, closed: frozenset[date]
) -> tuple[ZoneStep, ...] | None:
    """The zone's steps by quarter hours, moved where it may be; None where it may nowhere."""
    given = plan.zones.get(name, ())
    if not given:
        return None
    out: list[ZoneStep] = []
    any_moved, current, k = False, given[0], 0
    for n in range(STEPS):
        at = plan.made_at + n * STEP
        while k < len(given) and given[k].at <= at:
            current, k = given[k], k + 1
        step = replace(current, at=at)
        full = all(is_occupied(zone, timezone, at + lead, closed) for lead in (-4 * STEP, timedelta(0), STEP))
        if full and _lasts(hvac, timezone, at):
            heating, cooling = _pair(hvac, name, zone, step, timezone, at)
            if out:
                before = out[-1]
                heating = _near(heating, before.heating_setpoint_degc)
                cooling = _near(cooling, before.cooling_setpoint_degc)
            if (heating, cooling) != (step.heating_setpoint_degc, step.cooling_setpoint_degc):
                any_moved = True
                step = replace(
                    step,
                    heating_setpoint_degc=heating,
                    cooling_setpoint_degc=cooling,
                    reason="excitation: a small step inside the band, for the model",
                )
        if not out or replace(step, at=out[-1].at) != out[-1]:
            out.append(step)
    return tuple(out) if any_moved else None


def _near(degc: float, before_degc: float) -> float:
    return round(min(max(degc, before_degc - MOST_STEP_K), before_degc + MOST_STEP_K), 1)


def _pair(
    hvac: Hvac, name: str, zone: Zone, step: ZoneStep, timezone: str, at: datetime
) -> tuple[float, float]:
    """Set-points of one step: each side by its own lot of the block, as far as the other and the band let it."""
    test = hvac.excitation
    assert test is not None
    local = at.astimezone(ZoneInfo(timezone))
    lot = random.Random(f"{test.begin} {name} {local:%Y-%m-%d} {local.hour // BLOCK_H}")
    up, down = lot.random() < 0.5, lot.random() < 0.5
    coldest, warmest = comfort_limits(zone)
    heating, cooling = step.heating_setpoint_degc, step.cooling_setpoint_degc
    room = max(0.0, cooling - heating - LEAST_SPREAD_K)
    size = min(test.step_k, room if up != down else 0.5 * room)
    if up:
        heating = max(heating, min(heating + size, warmest - LEAST_SPREAD_K))
    if down:
        cooling = min(cooling, max(cooling - size, coldest + LEAST_SPREAD_K))
    return round(heating - 0.049, 1) if up else heating, round(cooling + 0.049, 1) if down else cooling
