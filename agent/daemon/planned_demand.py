"""The demand that the production plan lets expect, minute by minute, of one station."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

import numpy as np

from agent.daemon.production import ProductionPlan
from agent.inference.forecaster import QuantileForecast
from agent.inference.line_loads import MINUTE_S, Array, LineLoads, learn_line_loads
from agent.inference.series import Series

# What is drawn beyond the plan's demand is taken to go on: smoothed so, and fading so over the day ahead.
_BEYOND_S = 900.0
_BEYOND_FADES_S = 7200.0
# A line that has not come so long after its time does not come.
_LATE_S = 1200.0
# Loads are learned anew so often, and whenever the plan changes.
_LEARN_EVERY_S = 6 * 3600.0
_GRID_MIN = 30 * 60
# Machines are chosen once a minute: a start is ordered this long before it must be, at the latest.
_AHEAD_S = 300.0
# 10 % and 90 % of a normal distribution.
_Z90 = 1.2816


class PlannedDemand:
    """Loads of the lines, learned from the station's own quarter hours, and how the present differs from them."""

    def __init__(self, plan: ProductionPlan) -> None:
        self._plan = plan
        self.loads: LineLoads | None = None
        self._learned: tuple[float, int] | None = None
        self._grid: Array | None = None
        self._grid_s = 0.0
        self._beyond_m3_min: float | None = None
        self._seen_s: float | None = None
        self._past: deque[tuple[float, float]] = deque()

    def learn(self, history: Series | None, at: datetime) -> None:
        """Learn the lines' loads where that is due."""
        at_s, version = at.timestamp(), self._plan.version
        due = (
            self._learned is None or self._learned[1] != version or at_s - self._learned[0] >= _LEARN_EVERY_S
        )
        if history is None or not due:
            return
        self._learned = (at_s, version)
        self.loads = learn_line_loads(history, self._plan.rows)
        self._grid = None

    def see(self, at_s: float, demand_m3_min: float) -> None:
        """Take in one tick's demand."""
        expected = self._minutes(at_s, 1)
        last_s, self._seen_s = self._seen_s, at_s
        if expected is None or math.isnan(expected[0]):
            return
        beyond = demand_m3_min - float(expected[0])
        self._past.append((at_s, float(expected[0])))
        while at_s - self._past[0][0] > _LATE_S or self._past[0][0] > at_s:
            self._past.popleft()
        rising = float(expected[0]) > min(value for _, value in self._past) + self._noise_m3_min
        if rising and self._beyond_m3_min is not None and beyond < self._beyond_m3_min:
            # The line is late, not gone: its machines wait.
            return
        if self._beyond_m3_min is None or last_s is None or not 0.0 <= at_s - last_s <= 600.0:
            self._beyond_m3_min = beyond
        else:
            self._beyond_m3_min += (beyond - self._beyond_m3_min) * (
                1.0 - math.exp((last_s - at_s) / _BEYOND_S)
            )

    def steps(
        self, at_s: float, steps_s: Sequence[float], slowest_start_s: float
    ) -> tuple[float, ...] | None:
        """Demand of each step of the look-ahead, None where the plan does not say.

        Means, where every machine starts within half of the first step. Slower ones must be ordered before the rise is
        there: the first steps then hold the highest minute by which a machine ordered now, or one of the next
        minute, would deliver.
        """
        minutes = self._minutes(at_s, math.ceil(sum(steps_s) / MINUTE_S) + 1)
        if minutes is None or self._beyond_m3_min is None or not np.isfinite(minutes).all():
            return None
        slow = slowest_start_s >= 0.5 * steps_s[0]
        values, begin_s = [], 0.0
        for place, step_s in enumerate(steps_s):
            end_s = begin_s + step_s
            if slow and place < 2:
                end_s = _AHEAD_S if place == 0 else max(begin_s, slowest_start_s) + _AHEAD_S
            part = minutes[
                int(begin_s // MINUTE_S) : max(math.ceil(end_s / MINUTE_S), int(begin_s // MINUTE_S) + 1)
            ]
            peak = slow and begin_s < 900.0
            values.append(max(float(part.max() if peak else part.mean()) + self._beyond_m3_min, 0.0))
            begin_s += step_s
        return tuple(values)

    def forecast(self, other: QuantileForecast) -> QuantileForecast:
        """A day's forecast in `other`'s steps from the plan, `other` itself where the plan does not reach over it all."""
        loads, count = self.loads, len(other.quantiles)
        each = other.step_s // int(MINUTE_S)
        minutes = self._minutes(other.first_at.timestamp(), count * each)
        if loads is None or minutes is None or not np.isfinite(minutes).all():
            return other
        ahead_s = other.step_s * (np.arange(count) + 0.5)
        beyond = (self._beyond_m3_min or 0.0) * np.exp(-ahead_s / _BEYOND_FADES_S)
        median = np.maximum(minutes.reshape(count, each).mean(axis=1) + beyond, 0.0)
        spread = _Z90 * loads.error
        quantiles = np.column_stack([np.maximum(median - spread, 0.0), median, median + spread])
        return replace(other, quantiles=quantiles, source="production-plan")

    @property
    def _noise_m3_min(self) -> float:
        return 0.0 if self.loads is None else 2.0 * self.loads.error

    def _minutes(self, at_s: float, count: int) -> Array | None:
        """The plan's demand of the next minutes, from a grid that is made about twice a day."""
        if self.loads is None:
            return None
        offset = int((at_s - self._grid_s) // MINUTE_S)
        if self._grid is None or offset < 0 or offset + count > len(self._grid):
            self._grid_s = at_s // MINUTE_S * MINUTE_S
            self._grid = self.loads.expected(self._plan.rows, self._grid_s, max(_GRID_MIN, count))
            offset = 0
        return self._grid[offset : offset + count]
