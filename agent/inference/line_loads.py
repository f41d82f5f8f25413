"""What each line of the production plan draws: learned from measured quarter hours and the rates planned for them.

A plan says to the minute when a line comes and goes. A forecast in quarter hours cannot: it smears a start over its
neighbours. Draw per planned rate is all that has to be learned, and a few days of plan and meter teach it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from agent.inference.production import LAST_ROW_HOLDS_S, PlanRow
from agent.inference.series import Series

Array = NDArray[np.float64]

MINUTE_S = 60.0
# A line is at full draw so long after its planned time, and may begin at once: what most starts of lines take.
RAMP_MIN = 5
LOOK_BACK_DAYS = 28
# Fewer measured quarter hours under a known plan teach nothing: two days.
LEAST_QUARTERS = 192
# The plan is believed where it explains so much of the variance.
LEAST_EXPLAINED = 0.8


@dataclass(frozen=True)
class LineLoads:
    """Draw of the target per unit of a line's planned rate, and what is drawn while all of them rest.

    `error` is the standard deviation of a quarter hour's residual in the target's unit.
    """

    lines: tuple[str, ...]
    per_rate: tuple[float, ...]
    rest: float
    error: float

    def expected(self, rows: Sequence[PlanRow], first_s: float, minutes: int) -> Array:
        """What the plan makes of each minute from `first_s` (epoch) on, [minutes]; NaN where it says nothing of a line."""
        rates = _minute_rates(rows, self.lines, first_s, minutes)
        drawn = rates @ np.array(self.per_rate)
        return np.asarray(self.rest + drawn, dtype=np.float64)


def learn_line_loads(history: Series, rows: Sequence[PlanRow]) -> LineLoads | None:
    """Least squares with draws of 0 or more over the last weeks; None where plan and meter do not go together."""
    lines = tuple(sorted({row.line for row in rows}))
    quarter_min = history.step_s // 60
    values = history.values[-LOOK_BACK_DAYS * 86_400 // history.step_s :]
    if not lines or not len(values):
        return None
    first_s = history.end_at.timestamp() - history.step_s * len(values)
    minutes = _minute_rates(rows, lines, first_s, len(values) * quarter_min)
    rates = minutes.reshape(len(values), quarter_min, len(lines)).mean(axis=1)
    known = np.isfinite(values) & np.isfinite(rates).all(axis=1)
    if known.sum() < LEAST_QUARTERS:
        return None
    measured = values[known]
    draws, _ = nnls(np.column_stack([rates[known], np.ones(int(known.sum()))]), measured)
    left = measured - rates[known] @ draws[:-1] - draws[-1]
    if left.var() > (1.0 - LEAST_EXPLAINED) * measured.var():
        return None
    return LineLoads(lines, tuple(map(float, draws[:-1])), float(draws[-1]), float(left.std()))


def _minute_rates(rows: Sequence[PlanRow], lines: Sequence[str], first_s: float, minutes: int) -> Array:
    """[minutes, lines]: planned rate at each minute's middle, a rise or fall spread over `RAMP_MIN`; NaN is unknown."""
    middles = first_s + MINUTE_S * (np.arange(-RAMP_MIN + 1, minutes) + 0.5)
    by_line = {line: list(group) for line, group in groupby(sorted(rows), lambda row: row.line)}
    out = np.full((minutes, len(lines)), np.nan)
    for place, line in enumerate(lines):
        mine = by_line.get(line)
        if not mine:
            continue
        begins = np.array([row.at.timestamp() for row in mine])
        held = np.searchsorted(begins, middles, side="right") - 1
        rate = np.array([row.rate for row in mine])[np.maximum(held, 0)]
        # A line that ended at rest stays at rest; one that ended at work says no more after a day.
        ended = (mine[-1].rate > 0.0) & (middles > begins[-1] + LAST_ROW_HOLDS_S)
        rate = np.where((held < 0) | ended, np.nan, rate)
        out[:, place] = np.convolve(rate, np.full(RAMP_MIN, 1.0 / RAMP_MIN), mode="valid")
    return out
