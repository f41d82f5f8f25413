"""How much of a thermostat's swing may pass the edge of the band: a share of the discomfort that people lived with.

Held so that hardly a look lies outside, a hall is warmer by half its thermostat's swing than it need be, and pays for it.
Where the site was comfortable before, that stays so. Where people sat a while below the band each day, a share of that
may be left: the set-point moves towards the band's edge, never past it, and by no more than to the middle of the swing.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agent.config.site import Zone, ZoneModel
from agent.planner.hvac_droop import DROOP_QUANTILE
from agent.planner.hvac_model import BoolArray, FloatArray
from agent.planner.hvac_schedule import comfort_limits

LEAST_STEPS = 80  # twenty hours with people; of fewer nothing is said
MIDDLE = 0.5


class OutOfBand(NamedTuple):
    """Mean over all times with people, [K]: below the band (heating) and above it (cooling)."""

    below_k: float
    above_k: float


class Ease(NamedTuple):
    """By how much less than its droop a thermostat is told, [K]."""

    heating_k: float = 0.0
    cooling_k: float = 0.0


def out_of_band(zone: Zone, looks_degc: FloatArray, people: BoolArray) -> OutOfBand | None:
    """What people lived with; `looks_degc` [n, looks a step], NaN where unknown. None where too little is known."""
    known = people & np.isfinite(looks_degc).any(axis=1)
    if int(known.sum()) < LEAST_STEPS:
        return None
    low, high = comfort_limits(zone)
    looks = looks_degc[known]
    return OutOfBand(
        float(np.nanmean(np.maximum(low - looks, 0.0))), float(np.nanmean(np.maximum(looks - high, 0.0)))
    )


def ease_of(model: ZoneModel, lived_with: OutOfBand, left_share: float) -> Ease:
    """The ease under which a swing passes the edge by `left_share` of what people lived with, on average."""
    return Ease(
        _ease_k(model.heating_swing_k, left_share * lived_with.below_k),
        _ease_k(model.cooling_swing_k, left_share * lived_with.above_k),
    )


def _ease_k(swing_k: float, passed_k: float) -> float:
    """Of a swing whose upper quantile lies `swing_k` beyond its middle, taken as even between its ends.

    Told for the share p of looks, it passes by half_k (1 - p)^2 on average.
    """
    half_k = swing_k / (2.0 * DROOP_QUANTILE - 1.0)
    if half_k <= 0.0 or passed_k <= 0.0:
        return 0.0
    beyond = min(float(np.sqrt(passed_k / half_k)), MIDDLE)
    return max(0.0, 2.0 * half_k * (beyond - (1.0 - DROOP_QUANTILE)))
