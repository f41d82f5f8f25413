"""Values that no plant can have produced, taken out before anything is learned from them."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from training.dataset import Frame

Array = NDArray[np.float64]

# Beyond the range of all but two in a thousand values by more than that many times its width: a spike of the meter.
FENCE = 2.0
_ORDINARY = (0.001, 0.999)


def without_spikes(values: Array) -> Array:
    """The values with meter spikes as NaN. Order and length stay."""
    good = values[np.isfinite(values)]
    if len(good) < 100:
        return values
    low, high = np.quantile(good, _ORDINARY)
    # A series that is nearly always at one value has no width to judge by.
    if not high > low:
        return values
    room = FENCE * (high - low)
    out: Array = values.copy()
    out[(values < low - room) | (values > high + room)] = np.nan
    return out


def default_limits(train: Array) -> tuple[float, float]:
    """Physical limits where nobody names them: from 0, or below the smallest value, to half a range above the largest."""
    good = without_spikes(train)
    good = good[np.isfinite(good)]
    if not len(good):
        return 0.0, 1.0
    low, high = float(good.min()), float(good.max())
    spread = high - low
    bottom = 0.0 if low >= 0 else low - 0.5 * spread
    return bottom, high + 0.5 * max(spread, 1e-3, 1e-3 * abs(high))


def learnable(frame: Frame, target: str, end_row: int) -> Frame:
    """The frame with the target's spikes and everything from `end_row` on as NaN: what a fit may look at."""
    values = without_spikes(frame.columns[target][:end_row])
    kept: Array = np.full(frame.rows, np.nan)
    kept[: len(values)] = values
    return replace(frame, columns={**frame.columns, target: kept})
