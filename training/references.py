"""The plain methods a forecast has to beat: seasonal naive, naive_robust, statsforecast's MSTL and AutoETS."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from agent.inference.calendar import calendar_columns, day_types
from agent.inference.contract import QUANTILES
from agent.inference.naive import LOOK_BACK_DAYS, naive_robust
from agent.inference.series import Series, window
from training.clean import default_limits
from training.dataset import Frame
from training.origins import Plan

Array = NDArray[np.float64]
Tick = Callable[[str], None]
Answer = tuple[Array, dict[str, object]]


def limits_of(frame: Frame, plan: Plan) -> tuple[float, float]:
    """The plan's limits, or the default that a fit takes from the training span."""
    if plan.limits is not None:
        return plan.limits
    return default_limits(frame.columns[plan.target][: plan.train_end_row])


def seasonal(frame: Frame, plan: Plan, days: int, tick: Tick) -> Answer:
    """The value of the same time `days` ago (or a multiple, for long horizons) and its training residuals."""
    y = frame.columns[plan.target]
    lag = days * 86_400 // frame.step_s
    spread = _residual_quantiles(y[: plan.train_end_row], lag)
    train = y[: plan.train_end_row]
    level = float(np.nanmean(train)) if np.isfinite(train).any() else 0.0
    out = []
    for origin in plan.origins:
        steps = np.arange(plan.horizon)
        index = origin + steps - lag * (1 + steps // lag)
        middle = np.where(index >= 0, y[np.maximum(index, 0)], np.nan)
        middle = np.where(np.isfinite(middle), middle, level)
        out.append(np.sort(middle[:, None] + spread, axis=1))
        tick("seasonal naive")
    return np.stack(out), {}


def _residual_quantiles(train: Array, lag: int) -> Array:
    residual = train[lag:] - train[:-lag]
    residual = residual[np.isfinite(residual)]
    low, _, high = np.quantile(residual, QUANTILES) if len(residual) else (0.0, 0.0, 0.0)
    return np.array([low, 0.0, high])


def naive(frame: Frame, plan: Plan, tick: Tick) -> Answer:
    """naive_robust by itself: no input checks, no calibration."""
    per_day = 86_400 // frame.step_s
    hist = (LOOK_BACK_DAYS + 2) * per_day
    series = Series(frame.first_at, frame.step_s, frame.columns[plan.target])
    limits = limits_of(frame, plan)
    out = []
    rules: dict[str, int] = {}
    for origin in plan.origins:
        at = frame.at(origin)
        start_at = at - timedelta(seconds=hist * frame.step_s)
        cal = calendar_columns(
            start_at, frame.step_s, hist + plan.horizon, tz=plan.tz, holidays=plan.holidays
        )
        answer = naive_robust(
            window(series, at, hist), day_types(cal), step_s=frame.step_s, horizon=plan.horizon, limits=limits
        )
        out.append(answer.quantiles)
        rules[answer.rule] = rules.get(answer.rule, 0) + 1
        tick("naive")
    return np.stack(out), {"rules": rules}


def statistical(frame: Frame, plan: Plan, kind: str, tick: Tick) -> Answer:
    """Statsforecast's MSTL (daily and weekly season, ETS trend) or AutoETS (daily season), fitted at each origin."""
    from statsforecast.models import MSTL, AutoETS  # slow to import, and only for comparison

    per_day = 86_400 // frame.step_s
    y = frame.columns[plan.target]
    out = []
    for origin in plan.origins:
        history = y[max(0, origin - 28 * per_day) : origin]
        filled = _filled(history, per_day)
        if kind == "mstl":
            seasons = [per_day, 7 * per_day] if len(filled) >= 15 * per_day else [per_day]
            model: Any = MSTL(season_length=seasons, trend_forecaster=AutoETS(model="ZZN"))
        else:
            model = AutoETS(season_length=per_day if per_day <= 24 else 1)
        answer = model.forecast(y=filled, h=plan.horizon, level=[80])
        quantiles = np.stack([answer["lo-80"], answer["mean"], answer["hi-80"]], axis=1)
        out.append(np.sort(np.nan_to_num(quantiles, nan=float(filled.mean())), axis=1))
        tick(kind)
    return np.stack(out), {}


def _filled(values: Array, per_day: int) -> Array:
    """Gaps filled from the day before, else by interpolation: these models cannot take a gap."""
    out = values.copy()
    for place in np.flatnonzero(~np.isfinite(out)):
        if place >= per_day and np.isfinite(out[place - per_day]):
            out[place] = out[place - per_day]
    good = np.isfinite(out)
    if not good.any():
        return np.zeros_like(out)
    return np.interp(np.arange(len(out)), np.flatnonzero(good), out[good])
