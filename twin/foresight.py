"""A forecast that knows: the upper bound of what better forecasting could be worth."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

from agent.daemon.outlook import HORIZON, STEP_S
from agent.inference.forecaster import QuantileForecast
from agent.inference.series import Series
from twin.demand import DemandSeries


class PerfectForecast:
    """Quarter-hour means of the true demand as all three quantiles."""

    def __init__(self, demand: DemandSeries, target: str) -> None:
        self._demand = demand
        self._target = target

    def forecast(self, history: Series, known: Series | None, at: datetime) -> QuantileForecast:  # noqa: ARG002 (the forecasters' common form)
        """The true means of the next day; what has passed is not asked."""
        first_at = datetime.fromtimestamp(at.timestamp() // STEP_S * STEP_S, UTC)
        level = self._demand.reader(first_at)
        minutes = np.array([level(60.0 * i + 30.0) for i in range(HORIZON * STEP_S // 60)])
        means = minutes.reshape(HORIZON, STEP_S // 60).mean(axis=1)
        return QuantileForecast(
            self._target,
            "m3/min",
            at,
            first_at,
            STEP_S,
            np.repeat(means[:, None], 3, axis=1),
            "perfect",
            (),
        )
