"""When people are in, and the set-point schedules that need no optimiser."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from agent.config.parts import WeekTime
from agent.config.site import Zone

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

SAMPLE_S = 300.0  # occupancy is looked up this often within a step
LEAST_SPREAD_K = 2.0  # heating set-points stay this far below cooling set-points
CONTACT_DAYS = (
    6.0  # known of an occupancy contact that show whether it moves at all: a long week-end proves nothing
)
OPEN: frozenset[date] = frozenset()  # no day on which the site is closed


def is_occupied(zone: Zone, timezone: str, at: datetime, closed: frozenset[date] = OPEN) -> bool:
    """Whether people are due in the zone at an instant. Without hours they are due at all hours.

    `closed`: local days on which nobody comes to a zone with hours.
    """
    if not zone.occupancy:
        return True
    local = at.astimezone(ZoneInfo(timezone))
    minute = local.hour * 60.0 + local.minute + local.second / 60.0
    return local.date() not in closed and any(
        span.contains(local.weekday(), minute) for span in zone.occupancy
    )


def occupancy_grid(
    zone: Zone, timezone: str, at: datetime, steps: int, step_s: float, closed: frozenset[date] = OPEN
) -> BoolArray:
    """True for each of `steps` steps of `step_s` from `at` in which people are due at some time; none on `closed` days.

    Each instant is turned into local time by itself, so that days of 23 and 25 hours come out right.
    """
    if not zone.occupancy:
        return np.ones(steps, dtype=np.bool_)
    place, start = ZoneInfo(timezone), at.astimezone(UTC)
    week = _week(zone.occupancy)
    samples = max(1, round(step_s / SAMPLE_S))
    out = np.zeros(steps, dtype=np.bool_)
    for k in range(steps):
        local = (start + timedelta(seconds=k * step_s)).astimezone(place)
        minute = (local.weekday() * 24 + local.hour) * 60.0 + local.minute + local.second / 60.0
        # Clocks change at whole quarter hours: within a step the minutes simply go on.
        slots = ((minute + np.arange(samples) * step_s / samples / 60.0) * 60.0 // SAMPLE_S) % week.size
        out[k] = local.date() not in closed and week[slots.astype(np.int64)].any()
    return out


@lru_cache(maxsize=256)
def _week(spans: tuple[WeekTime, ...]) -> BoolArray:
    """Whether people are due, for each five minutes of a local week."""
    per_day = round(86400.0 / SAMPLE_S)
    return np.array(
        [
            any(span.contains(slot // per_day, slot % per_day * SAMPLE_S / 60.0) for span in spans)
            for slot in range(7 * per_day)
        ],
        dtype=np.bool_,
    )


@dataclass(frozen=True, slots=True)
class SetPoints:
    """Heating and cooling set-points of one zone, [degC], one a step."""

    heating_degc: FloatArray
    cooling_degc: FloatArray


def comfort_limits(zone: Zone) -> tuple[float, float]:
    """The comfort band, held at least `LEAST_SPREAD_K` wide by lowering its lower edge."""
    high = zone.comfort_high_degc
    return min(zone.comfort_low_degc, high - LEAST_SPREAD_K), high


def setback_limits(zone: Zone) -> tuple[float, float]:
    """The band without people; never inside the comfort band."""
    low, high = comfort_limits(zone)
    return min(zone.setback_low_degc, low), max(zone.setback_high_degc, high)


def scheduled(zone: Zone, comfort: BoolArray) -> SetPoints:
    """Comfort set-points where `comfort` holds, set-back elsewhere."""
    low, high = comfort_limits(zone)
    setback_low, setback_high = setback_limits(zone)
    return SetPoints(np.where(comfort, low, setback_low), np.where(comfort, high, setback_high))


def brought_forward(occupied: BoolArray, steps: int) -> BoolArray:
    """`occupied` with each of its blocks beginning `steps` steps earlier."""
    early = occupied.copy()
    for shift in range(1, steps + 1):
        early[: occupied.size - shift] |= occupied[shift:]
    return early


def stuck_contact(contact: FloatArray, due: BoolArray, step_s: float) -> str:
    """What an occupancy contact says all the time although the calendar comes and goes; "" for one that moves.

    Both by the same steps of `step_s`, unknown is NaN.
    """
    known = np.isfinite(contact)
    expected, says = due[known], contact[known] >= 0.5
    if known.sum() * step_s < CONTACT_DAYS * 86400.0 or expected.all() or not expected.any():
        return ""
    return "people" if says.all() else "" if says.any() else "nobody"


def block_starts(occupied: BoolArray) -> list[int]:
    """The steps at which people come in, after a step without."""
    return [int(k) + 1 for k in np.flatnonzero(~occupied[:-1] & occupied[1:])]
