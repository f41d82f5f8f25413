"""Scores of quantile forecasts. Arrays are [n, H, 3] against truth [n, H]; unknown truth counts nowhere."""

import numpy as np
from numpy.typing import NDArray

from agent.inference.contract import QUANTILES

Array = NDArray[np.float64]


def pinball_each(truth: Array, quantiles: Array) -> Array:
    """Mean pinball loss of the three quantiles, shape of `truth`, NaN where the truth is unknown."""
    levels = np.asarray(QUANTILES)
    error = truth[..., None] - quantiles
    return np.asarray(np.maximum(levels * error, (levels - 1) * error).mean(axis=-1))


def pinball(truth: Array, quantiles: Array) -> float:
    """Mean over all known steps, in the target's unit; NaN when none is known."""
    return _mean(pinball_each(truth, quantiles))


def wql(truth: Array, quantiles: Array) -> float:
    """Weighted quantile loss: twice the summed pinball over the summed absolute truth, mean over the quantiles."""
    known = np.isfinite(truth)
    total = float(np.abs(truth[known]).sum())
    return 2.0 * float(pinball_each(truth, quantiles)[known].sum()) / total if total > 0 else float("nan")


def wape(truth: Array, quantiles: Array) -> float:
    known = np.isfinite(truth)
    total = float(np.abs(truth[known]).sum())
    return float(np.abs(truth - quantiles[..., 1])[known].sum()) / total if total > 0 else float("nan")


def mase(truth: Array, quantiles: Array, in_sample: Array, steps_per_day: int) -> float:
    """Median's absolute error over that of the daily naive in the training span."""
    scale = _mean(np.abs(in_sample[steps_per_day:] - in_sample[:-steps_per_day]))
    return _mean(np.abs(truth - quantiles[..., 1])) / scale if scale > 0 else float("nan")


def coverage(truth: Array, quantiles: Array) -> float:
    """Share of known truth inside P10..P90."""
    known = np.isfinite(truth)
    inside = (truth >= quantiles[..., 0]) & (truth <= quantiles[..., 2])
    return float(inside[known].mean()) if known.any() else float("nan")


def bias(truth: Array, quantiles: Array) -> float:
    """Mean of P50 minus truth."""
    return _mean(quantiles[..., 1] - truth)


def width(quantiles: Array) -> float:
    return float((quantiles[..., 2] - quantiles[..., 0]).mean())


def _mean(values: Array) -> float:
    known = np.isfinite(values)
    return float(values[known].mean()) if known.any() else float("nan")
