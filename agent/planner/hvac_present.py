"""The site's present schedule: the set-points that stood there while the agent did not write.

By kind of day (Monday to Friday, Saturday, Sunday) and quarter hour of local time. What was seen on fewer
than two days, or on which most of the days do not agree, is unknown and not guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Unit, Zone, ZoneModel
from agent.planner.hvac_droop import droop_at
from agent.planner.hvac_model import BoolArray, FloatArray
from agent.planner.hvac_schedule import LEAST_SPREAD_K, SetPoints, comfort_limits, setback_limits

PER_DAY = 96
SLOTS = 3 * PER_DAY
LEAST_SEEN = 2
ALIKE_K = 0.3
TENTH_K = 0.05  # set-points are told in tenths
OCCUPIED_STEP_K = 1.0  # people feel more than this in a quarter of an hour

IntArray = NDArray[np.int64]


def week_slots(timezone: str, at: datetime, steps: int, step_s: float) -> IntArray:
    """Kind of day and local quarter hour of each step from `at` on, 0 to `SLOTS` - 1."""
    place, start = ZoneInfo(timezone), at.astimezone(UTC)
    out = np.empty(steps, dtype=np.int64)
    for k in range(steps):
        local = (start + timedelta(seconds=k * step_s)).astimezone(place)
        out[k] = max(0, local.weekday() - 4) * PER_DAY + local.hour * 4 + local.minute // 15
    return out


def usual_degc(degc: FloatArray, slots: IntArray) -> FloatArray:
    """What a set-point [n] usually is in each slot, [SLOTS]; NaN where it is unknown.

    The lower median: a value that stood there, never the mean of two schedules.
    """
    out = np.full(SLOTS, np.nan)
    known = np.isfinite(degc)
    for slot in np.unique(slots[known]).tolist():
        seen = degc[known & (slots == slot)]
        usual = float(np.quantile(seen, 0.5, method="lower"))
        alike = np.abs(seen - usual) <= ALIKE_K
        if seen.size >= LEAST_SEEN and 2 * int(alike.sum()) > seen.size:
            out[slot] = usual
    return out


def present_setpoints(
    zone: Zone, unit: Unit, heating_degc: FloatArray, cooling_degc: FloatArray, slots: IntArray
) -> SetPoints | None:
    """The present set-points of the steps whose slots are given; None where one of them is unknown.

    A set-point for what the unit cannot do does not matter: the set-back's edge stands for it.
    """
    floor, ceiling = setback_limits(zone)
    heating = heating_degc[slots] if unit.heating_kw > 0 else np.full(slots.size, floor)
    cooling = cooling_degc[slots] if unit.cooling_kw > 0 else np.full(slots.size, ceiling)
    if not (np.isfinite(heating).all() and np.isfinite(cooling).all()):
        return None
    return SetPoints(heating, cooling)


def as_held(zone: Zone, found: SetPoints) -> SetPoints:
    """Where the air is held under set-points as found: the thermostat's droop beyond them."""
    model = zone.model or ZoneModel(air_kwh_per_k=1.0, ua_kw_per_k=1.0)
    of_heating, of_cooling = droop_at(model, None, found.heating_degc.size)
    return SetPoints(found.heating_degc - of_heating, found.cooling_degc + of_cooling)


def may_be_sent(
    zones: Mapping[str, Zone], found: Mapping[str, SetPoints], people: Mapping[str, BoolArray]
) -> bool:
    """Whether the present schedule keeps the rules of every plan: edges, comfort band, spread, steps of 1 K."""
    for name, points in found.items():
        low, high = points.heating_degc, points.cooling_degc
        floor, ceiling = setback_limits(zones[name])
        coldest, warmest = comfort_limits(zones[name])
        full = people[name]
        inside = (
            (low >= np.where(full, coldest, floor) - TENTH_K)
            & (high <= np.where(full, warmest, ceiling) + TENTH_K)
            & (low <= warmest + TENTH_K)
            & (high >= coldest - TENTH_K)
            & (high - low >= LEAST_SPREAD_K - TENTH_K)
        )
        stay = full[1:] & full[:-1]
        jumps = np.maximum(np.abs(np.diff(low)), np.abs(np.diff(high))) > OCCUPIED_STEP_K + TENTH_K
        if not inside.all() or bool((stay & jumps).any()):
            return False
    return True
