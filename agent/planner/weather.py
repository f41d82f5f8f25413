"""Weather for the planner when no provider tells: the site's own sensors, climatology and a decaying anomaly.

Source of the rule: RMSE over TMY3 files; climatology plus an anomaly that decays over 30 h beats
both the last value (beyond 1-2 h) and the same hour yesterday at every lead (docs/hvac.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

ANOMALY_DECAY_H = 30.0
# A provider's forecast is corrected by the local sensor, and that correction fades faster.
BIAS_DECAY_H = 12.0


def own_forecast(
    past: Floats, now: float | None, *, past_step_s: float, steps: int, step_s: float
) -> Floats | None:
    """The next `steps` values from the site's past [n], oldest first, ending now; None without any.

    `past` may hold NaN. The sun is forecast by the same rule: its anomaly is a clear or a dull day.
    """
    known = np.isfinite(past)
    if not known.any():
        return None if now is None else np.full(steps, now)
    per_day = round(86400.0 / past_step_s)
    slots = np.arange(len(past)) - len(past)  # 0 would be the step that begins now
    phase = slots % per_day
    overall = float(past[known].mean())
    climate = np.full(per_day, overall)
    for slot in range(per_day):
        values = past[known & (phase == slot)]
        if values.size:
            climate[slot] = values.mean()
    level = now if now is not None else float(past[known][-1])
    anomaly = level - climate[0]
    lead_h = (np.arange(steps) + 0.5) * step_s / 3600.0
    index = (np.arange(steps) * step_s / past_step_s).astype(np.int64) % per_day
    out: Floats = climate[index] + anomaly * np.exp(-lead_h / ANOMALY_DECAY_H)
    return out


def corrected(provider: Floats, now: float | None, *, step_s: float) -> Floats:
    """A provider's forecast [n] from now on, moved by what the local sensor shows, fading over hours."""
    if now is None or not provider.size:
        return provider
    lead_h = np.arange(len(provider)) * step_s / 3600.0
    out: Floats = provider + (now - provider[0]) * np.exp(-lead_h / BIAS_DECAY_H)
    return out


def on_grid(
    rows: Sequence[tuple[datetime, float]], at: datetime, *, steps: int, step_s: float
) -> Floats | None:
    """A provider's rows, linear between them, on the planner's grid; None where they end before half of it."""
    if len(rows) < 2:
        return None
    seconds = np.array([(when - at).total_seconds() for when, _ in rows])
    wanted = (np.arange(steps) + 0.5) * step_s
    if seconds[-1] < 0.5 * wanted[-1] or seconds[0] > step_s * 4:
        return None
    values: Floats = np.interp(wanted, seconds, np.array([value for _, value in rows]))
    return values
