"""Energy baseline: kWh of a day over its air, and what a later period used against it (ISO 50006).

The model is E = a * days + b * air by least squares on the days of the baseline period. The savings'
interval knows that neighbouring days resemble each other: residuals are taken as a first-order
autoregression, in the error of the coefficients and in the sum over the reporting days alike.
Sources: ISO 50006:2014, annex D; ASHRAE Guideline 14-2014, 5.2.11 (CV(RMSE), reduced number of days).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.savings.daily import Day
from agent.savings.figure import CONFIDENCE, Saving, Unsupported
from agent.savings.measured import Floats

LEAST_DAYS = 7
# The model is not carried further than this beyond the air of its own days.
_BEYOND = 0.1
_LARGEST_CORRELATION = 0.9


@dataclass(frozen=True, slots=True)
class EnergyBaseline:
    """kWh = `base_kwh_day` * days + `slope_kwh_m3` * m3, with its quality."""

    base_kwh_day: float
    slope_kwh_m3: float
    r2: float
    cv_rmse: float
    correlation: float
    days: int
    least_air_m3_day: float
    most_air_m3_day: float
    sigma_kwh: float
    covariance: Floats

    def expected_kwh(self, day: Day) -> float:
        """What the day's air would have cost before."""
        return self.base_kwh_day * day.hours / 24.0 + self.slope_kwh_m3 * day.air_m3


def fit(days: Sequence[Day]) -> EnergyBaseline | Unsupported:
    """The baseline of the days that count, in the order of time."""
    days = [day for day in days if day.counts]
    if len(days) < LEAST_DAYS:
        return Unsupported(
            f"the baseline period has {len(days)} whole days with power and air, {LEAST_DAYS} are needed",
            "watch longer in observe or advise, or widen --baseline-from/--baseline-to",
        )
    x = np.array([[day.hours / 24.0, day.air_m3] for day in days])
    y = np.array([day.energy_kwh for day in days])
    count, parameters = x.shape
    air = x[:, 1] / x[:, 0]
    if float(air.max() - air.min()) < 0.1 * float(air.mean()):
        return Unsupported(
            f"the air of the baseline's days lies between {air.min():.0f} and {air.max():.0f} m3: too much alike to "
            "tell base load from air",
            "take a baseline period with working days and days of rest",
        )
    inverse = np.linalg.inv(x.T @ x)
    beta = inverse @ x.T @ y
    residual = y - x @ beta
    correlation = _correlation(days, residual)
    free = count - parameters
    sigma = float(np.sqrt(residual @ residual / free))
    alike = _alike(_place(days), correlation)
    spread = float(((y - y.mean()) ** 2).sum())
    return EnergyBaseline(
        base_kwh_day=float(beta[0]),
        slope_kwh_m3=float(beta[1]),
        r2=1.0 - float(residual @ residual) / spread if spread > 0.0 else 0.0,
        cv_rmse=sigma / float(y.mean()),
        correlation=correlation,
        days=count,
        least_air_m3_day=float(air.min()),
        most_air_m3_day=float(air.max()),
        sigma_kwh=sigma,
        covariance=sigma**2 * inverse @ (x.T @ alike @ x) @ inverse,
    )


def outside(model: EnergyBaseline, days: Sequence[Day]) -> tuple[Day, ...]:
    """Days whose air the model has never seen: it is extrapolated there."""
    low, high = (1.0 - _BEYOND) * model.least_air_m3_day, (1.0 + _BEYOND) * model.most_air_m3_day
    return tuple(day for day in days if not low <= day.air_m3 * 24.0 / day.hours <= high)


def saving(model: EnergyBaseline, days: Sequence[Day]) -> Saving | Unsupported:
    """What the days that count used less than the baseline expects."""
    from scipy.special import stdtrit

    days = [day for day in days if day.counts]
    if not days:
        return Unsupported(
            "no whole day of the reporting period has power and air", "widen --from/--to, or mend the meters"
        )
    total = np.array([sum(day.hours for day in days) / 24.0, sum(day.air_m3 for day in days)])
    expected = sum(model.expected_kwh(day) for day in days)
    actual = sum(day.energy_kwh for day in days)
    own = model.sigma_kwh**2 * float(_alike(_place(days), model.correlation).sum())
    deviation = float(np.sqrt(own + total @ model.covariance @ total))
    # Days that resemble each other tell less than their number.
    free = max(1.0, model.days * (1.0 - model.correlation) / (1.0 + model.correlation) - 2.0)
    width = float(stdtrit(free, 0.5 + 0.5 * CONFIDENCE)) * deviation
    saved = expected - actual
    return Saving(saved, saved - width, saved + width, expected, actual)


def _correlation(days: Sequence[Day], residual: Floats) -> float:
    """Lag-one correlation of neighbouring days' residuals, corrected for few days, never below zero."""
    place = _place(days)
    pairs = np.flatnonzero(np.diff(place) == 1.0)
    square = float(residual @ residual)
    if len(pairs) < 3 or square <= 0.0:
        return 0.0
    raw = float(residual[pairs] @ residual[pairs + 1]) / square * len(residual) / len(pairs)
    # Of n residuals of a line the estimate is low by about (1 + 4 rho) / n (Marriott and Pope 1954).
    count = len(residual)
    return min(max((count * raw + 1.0) / max(count - 4.0, 1.0), 0.0), _LARGEST_CORRELATION)


def _place(days: Sequence[Day]) -> Floats:
    """Number of each day on the calendar."""
    return np.array([round(day.period.from_at.timestamp() / 86400.0) for day in days], dtype=np.float64)


def _alike(place: Floats, correlation: float) -> Floats:
    """Correlation matrix of days: rho to the power of their distance."""
    distance = np.abs(place[:, None] - place[None, :])
    return np.where(distance == 0.0, 1.0, correlation**distance)
