"""Online recalibration: shift each quantile so that the last two weeks' errors come out right.

A step's error is measured in units of the band's own half-width, so a quiet night and a busy noon share one
scale. The shift of a quantile is the same quantile of its errors: the constant that minimises its pinball loss.
It is shrunk by how few days stand behind it and bounded always, so a broken meter cannot bend the band at will.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.inference.contract import QUANTILES

Array = NDArray[np.float64]

BLOCK_H = 6
KEEP_DAYS = 14
# With few replans a day two weeks hold too few origins: keep that many at least, from up to KEEP_DAYS_MOST.
KEEP_ORIGINS = 20
KEEP_DAYS_MOST = 60
# Forecasts of one day share nearly all their errors, so what counts is days: with so many, half of a shift is
# believed. Two weeks are few: a whole shift cost up to 4 % pinball on series where the model was right already,
# half of one up to 9 % where it was not.
SHRINK_DAYS = 7.0
BOUND = 1.5


@dataclass(frozen=True)
class PastForecast:
    """One forecast before recalibration and what came true: [H, 3] and [H], NaN where not yet known."""

    age_days: float
    quantiles: Array
    truth: Array


def offsets(past: list[PastForecast], raw: Array, *, step_s: int, floor: float) -> Array:
    """Additive offsets [H, 3] for the forecast `raw` [H, 3]; zeros without a past. `floor` > 0 is the least scale."""
    return applied(shifts(past, len(raw), step_s=step_s, floor=floor), raw, floor=floor)


def applied(shift: Array, raw: Array, *, floor: float) -> Array:
    """Offsets [H, 3] of `raw` in its own unit from shifts [H, 3] in half-widths."""
    return np.asarray(shift * _half_width(raw, floor)[:, None])


def shifts(past: list[PastForecast], horizon: int, *, step_s: int, floor: float) -> Array:
    """How far each quantile has to move, [H, 3], in units of the band's half-width; zeros without a past."""
    out = np.zeros((horizon, 3))
    used = sorted((each for each in past if each.age_days <= KEEP_DAYS_MOST), key=lambda each: each.age_days)
    used = [each for place, each in enumerate(used) if each.age_days <= KEEP_DAYS or place < KEEP_ORIGINS]
    if not used:
        return out
    truth = np.stack([each.truth for each in used])
    quantiles = np.stack([each.quantiles for each in used])
    scale = _half_width(quantiles, floor)
    error = (truth[..., None] - quantiles) / scale[..., None]
    days = np.floor([each.age_days for each in used])
    block_steps = max(1, BLOCK_H * 3600 // step_s)
    overall = _shift(error, days)
    for lo in range(0, horizon, block_steps):
        part = slice(lo, min(lo + block_steps, horizon))
        # Half of the block's own shift, half of all blocks': a block alone is noisy.
        out[part] = 0.5 * _shift(error[:, part], days) + 0.5 * overall
    return out


def _shift(error: Array, days: Array) -> Array:
    """[3] from errors [n, steps, 3] of forecasts that are `days` [n] old, whole days."""
    count = len(np.unique(days[np.isfinite(error[..., 1]).any(axis=1)]))
    if not count:
        return np.zeros(3)
    flat = error.reshape(-1, 3)
    flat = flat[np.isfinite(flat[:, 1])]
    # Of each column the quantile that it stands for: three of nine, in one call.
    raw = np.diagonal(np.quantile(flat, QUANTILES, axis=0))
    return np.asarray(np.clip(raw * count / (count + SHRINK_DAYS), -BOUND, BOUND))


def _half_width(quantiles: Array, floor: float) -> Array:
    return np.maximum(0.5 * (quantiles[..., 2] - quantiles[..., 0]), floor)
