"""A new model and the one in force over the site's own last days, as both would have forecast. Pure."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.inference.calendar import calendar_columns
from agent.inference.checks import check_history
from agent.inference.contract import QUANTILES
from agent.inference.forecaster import Forecaster, TargetSpec
from agent.inference.model import Model
from agent.inference.series import Series, window

# Every 13 h: the origins walk through the hours of the day.
_SPACING_S = 13 * 3600
_ORIGINS = 16
# Fewer judged forecasts prove nothing, and a model may be worse than the one in force by this much.
LEAST_JUDGED = 6
WORST_RATIO = 1.10


class Replayed(NamedTuple):
    """Forecasts made and judged, and the mean loss of the new model over the one in force; NaN unless judged."""

    made: int
    judged: int
    ratio: float

    @property
    def loses(self) -> bool:
        """Whether enough was judged to say that the new one is worse."""
        return self.judged >= LEAST_JUDGED and self.ratio > WORST_RATIO


def replay(
    spec: TargetSpec,
    candidate: Model,
    live: Model | None,
    history: Series,
    known_of: Callable[[Model, datetime], Series | None] = lambda _model, _at: None,
) -> Replayed:
    """Forecast from origins after the candidate's training; what it was trained on proves nothing.

    `known_of` gives what is known ahead for a model's columns. The candidate is judged by its own quantiles, without
    the naive rule that would step in for it on site. Raises ModelRefusedError where it cannot be run.
    """
    horizon = timedelta(seconds=spec.horizon * spec.step_s)
    first_at = max(candidate.trained_to_at, history.first_at)
    old = Forecaster(spec, live)
    losses: list[tuple[float, float]] = []
    made = 0
    for number in range(_ORIGINS, 0, -1):
        at = history.end_at - timedelta(seconds=number * _SPACING_S)
        if at < first_at:
            continue
        past = Series(history.first_at, history.step_s, history.values[: history.index_of(at)])
        in_force = old.forecast(past, known_of(live, at) if live is not None else None, at).quantiles
        own = _own(candidate, past, known_of(candidate, at), at)
        if own is None:
            continue
        made += 1
        begin = history.index_of(at)
        truth = history.values[begin : begin + spec.horizon]
        if at + horizon > history.end_at or np.isfinite(truth).mean() < 0.5:
            continue
        losses.append((_pinball(truth, own), _pinball(truth, in_force)))
    if not losses:
        return Replayed(made, 0, float("nan"))
    ours, theirs = np.array(losses).mean(axis=0)
    return Replayed(made, len(losses), float(ours / theirs) if theirs > 0 else float("nan"))


def _own(model: Model, history: Series, known: Series | None, at: datetime) -> NDArray[np.float64] | None:
    """The model's own quantiles [H, 3]; None where the history is not fit for it."""
    contract = model.contract
    first_at = history.first_at + timedelta(seconds=history.index_of(at) * history.step_s)
    checked = check_history(window(history, first_at, contract.hist), model.limits, step_s=contract.step_s)
    if checked.reason is not None:
        return None
    start_at = first_at - timedelta(seconds=contract.hist * contract.step_s)
    cal = calendar_columns(
        start_at, contract.step_s, contract.hist + contract.horizon, tz=contract.tz, holidays=model.holidays
    )
    total = contract.hist + contract.horizon
    end_at = first_at + timedelta(seconds=contract.horizon * contract.step_s)
    return model.run(checked.values, window(known, end_at, total) if known is not None else None, cal)


def _pinball(truth: NDArray[np.float64], quantiles: NDArray[np.float64]) -> float:
    levels = np.asarray(QUANTILES)
    known = np.isfinite(truth)
    error = truth[known, None] - quantiles[known]
    return float(np.maximum(levels * error, (levels - 1.0) * error).mean())
