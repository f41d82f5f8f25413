"""How far the demand of now tells of the time ahead, and how far the forecast does: from their errors so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Errors are forgotten with this many quarter hours: about a day.
_MEMORY = 96.0
_QUARTER_S, _HOUR_S = 900.0, 3600.0


@dataclass(slots=True)
class Skill:
    """Mean squared errors [(m3/min)2] of quarter hours: forecast, and standing still for a quarter and an hour.

    Two estimates with independent errors are best mixed by the inverse of their squared errors, so the demand
    of now keeps the share F / (F + P(t)). P grows from nothing at once over the quarter's error to the hour's.
    """

    forecast: float = 0.0
    still_quarter: float = 0.0
    still_hour: float = 0.0
    seen: int = 0

    def learn(self, actual: NDArray[np.float64], forecast: float) -> None:
        """Take in the quarter hours that have passed, the last one with its forecast. Gaps teach nothing."""
        if len(actual) < 5 or not np.isfinite([*actual, forecast]).all():
            return
        self.seen += 1
        gain = max(1.0 / self.seen, 1.0 / _MEMORY)
        last = float(actual[-1])
        self.forecast += ((last - forecast) ** 2 - self.forecast) * gain
        self.still_quarter += ((last - float(actual[-2])) ** 2 - self.still_quarter) * gain
        self.still_hour += ((last - float(actual[-5])) ** 2 - self.still_hour) * gain

    def kept(self, steps_s: Sequence[float]) -> tuple[float, ...]:
        """Share of the demand of now in what is expected of each step, at its middle; half before anything is known."""
        shares, begin_s = [], 0.0
        for step_s in steps_s:
            ahead_s = begin_s + 0.5 * step_s
            begin_s += step_s
            still = self.still_quarter * min(ahead_s / _QUARTER_S, 1.0)
            part = min(max((ahead_s - _QUARTER_S) / (_HOUR_S - _QUARTER_S), 0.0), 1.0)
            still += part * max(self.still_hour - self.still_quarter, 0.0)
            both = self.forecast + still
            shares.append(self.forecast / both if both > 0.0 else math.exp(-ahead_s / _HOUR_S))
        return tuple(shares)
