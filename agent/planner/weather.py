"""Weather for the planner: the provider's forecast where it is worth something, else the site's own sensors.

Source of the rules: RMSE over TMY3 files; climatology plus an anomaly that decays over 30 h beats both the
last value (beyond 1-2 h) and the same hour yesterday at every lead (docs/hvac.md).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = Sequence[tuple[datetime, float]]
Kind = Literal["outdoor_temp", "solar", "wind"]

ANOMALY_DECAY_H = 30.0
_WIND_SHARE, _LEAST_WIND_STEPS, _LEAST_WIND_M_S = (0.1, 3.0), 96, 0.5
# A provider's forecast is corrected by the local sensor, and that correction fades faster.
BIAS_DECAY_H = 12.0
# Clouds pass sooner than cold fronts; the sun is corrected by a share, so that no night gets any.
CLOUD_DECAY_H = 4.0
WIND_DECAY_H = 12.0
_SUN_SHARE = (0.2, 2.0)
_LEAST_SUN_W_M2 = 60.0  # below this a share of the sun says nothing
# A forecast this far from the local sensor is of another place or in another unit.
WRONG_PLACE_K = 12.0
LONGEST_GAP_S = 3 * 3600.0


class Chosen(NamedTuple):
    """A course on the planner's grid, whose it is, how old, and why it is not the provider's."""

    values: Floats | None
    source: Literal["provider", "own sensors", "unknown"]
    age_h: float | None = None
    why: str = ""


def choose(
    kind: Kind,
    rows: Rows,
    issued_at: datetime | None,
    at: datetime,
    past: Floats,
    now: float | None,
    *,
    past_step_s: float,
    steps: int,
    step_s: float,
    max_age_h: float,
) -> Chosen:
    """The course of the next `steps`: the provider's, corrected by `now`; else climatology with today's anomaly.

    What the provider's rows do not reach is filled from the site's own past.
    """
    make = {"solar": own_sun, "wind": own_wind, "outdoor_temp": own_forecast}[kind]
    own = make(past, now, past_step_s=past_step_s, steps=steps, step_s=step_s)
    age_h = None if issued_at is None else (at - issued_at).total_seconds() / 3600.0
    provided, why = _provided(kind, rows, age_h, at, now, steps=steps, step_s=step_s, max_age_h=max_age_h)
    if provided is None:
        return Chosen(own, "own sensors" if own is not None else "unknown", age_h, why)
    if own is None:
        own = np.full(steps, provided[np.isfinite(provided)][-1])
    return Chosen(np.where(np.isfinite(provided), provided, own), "provider", age_h)


def _provided(
    kind: Kind,
    rows: Rows,
    age_h: float | None,
    at: datetime,
    now: float | None,
    *,
    steps: int,
    step_s: float,
    max_age_h: float,
) -> tuple[Floats | None, str]:
    if age_h is None:
        return None, "no forecast has come"
    if not rows:
        return None, f"the forecast has no {kind}"
    if age_h > max_age_h:
        return None, f"the forecast is {age_h:.0f} h old, more than {max_age_h:g}"
    grid = on_grid(rows, at, steps=steps, step_s=step_s)
    if grid is None:
        ends_h = (rows[-1][0] - at).total_seconds() / 3600.0
        return (
            None,
            f"the forecast reaches {max(ends_h, 0.0):.0f} h ahead, not half of {steps * step_s / 3600:g}",
        )
    if kind == "solar":
        return corrected_sun(grid, now, step_s=step_s), ""
    if kind == "wind":
        return np.maximum(corrected(grid, now, step_s=step_s), 0.0), ""
    if now is not None and abs(now - grid[0]) > WRONG_PLACE_K:
        return None, f"the forecast is {abs(now - grid[0]):.0f} K away from the local sensor"
    return corrected(grid, now, step_s=step_s), ""


def own_forecast(
    past: Floats,
    now: float | None,
    *,
    past_step_s: float,
    steps: int,
    step_s: float,
    decay_h: float = ANOMALY_DECAY_H,
) -> Floats | None:
    """The next `steps` temperatures from the site's past [n], oldest first, ending now; None without any.

    `past` may hold NaN. Today's departure from the usual fades over `decay_h`.
    """
    climate = _climate(past, past_step_s)
    if climate is None:
        return None if now is None else np.full(steps, now)
    level = now if now is not None else float(past[np.isfinite(past)][-1])
    anomaly = level - climate[0]
    lead_h = (np.arange(steps) + 0.5) * step_s / 3600.0
    out: Floats = climate[_slots(climate, steps, step_s, past_step_s)] + anomaly * np.exp(-lead_h / decay_h)
    return out


def own_wind(
    past: Floats, now: float | None, *, past_step_s: float, steps: int, step_s: float
) -> Floats | None:
    """Likewise for the wind, which drops sooner than a front passes and never below nought."""
    own = own_forecast(past, now, past_step_s=past_step_s, steps=steps, step_s=step_s, decay_h=WIND_DECAY_H)
    return None if own is None else np.maximum(own, 0.0)


def wind_share(local: Floats, provider: Floats) -> float:
    """The site's wind over the provider's, both as measured and told in the past [n], NaN where unknown.

    Providers tell it at 10 m over open land; a yard has half of it. 1 while too little of both is known.
    """
    both = np.isfinite(local) & np.isfinite(provider)
    if int(both.sum()) < _LEAST_WIND_STEPS or float(provider[both].mean()) < _LEAST_WIND_M_S:
        return 1.0
    return float(np.clip(local[both].mean() / provider[both].mean(), *_WIND_SHARE))


def own_sun(
    past: Floats, now: float | None, *, past_step_s: float, steps: int, step_s: float
) -> Floats | None:
    """Likewise for the sun: the mean day of the past, by the share that the sky lets through now."""
    climate = _climate(past, past_step_s)
    if climate is None:
        return None
    mean_day = np.maximum(climate[_slots(climate, steps, step_s, past_step_s)], 0.0)
    return _by_share(mean_day, float(climate[0]), now, step_s=step_s)


def corrected(provider: Floats, now: float | None, *, step_s: float) -> Floats:
    """A provider's forecast [n] from now on, moved by what the local sensor shows, fading over hours."""
    if now is None or not provider.size:
        return provider
    lead_h = np.arange(len(provider)) * step_s / 3600.0
    out: Floats = provider + (now - provider[0]) * np.exp(-lead_h / BIAS_DECAY_H)
    return out


def corrected_sun(provider: Floats, now: float | None, *, step_s: float) -> Floats:
    """A provider's sun [n], scaled by what the local sensor shows of it."""
    return _by_share(provider, float(provider[0]), now, step_s=step_s)


def on_grid(rows: Rows, at: datetime, *, steps: int, step_s: float) -> Floats | None:
    """A provider's rows, linear between them, on the planner's grid: NaN beyond them and in gaps.

    None where they begin too late or end before half of it.
    """
    if len(rows) < 2:
        return None
    seconds = np.array([(when - at).total_seconds() for when, _ in rows])
    wanted = (np.arange(steps) + 0.5) * step_s
    if seconds[-1] < 0.5 * wanted[-1] or seconds[0] > step_s * 4:
        return None
    values: Floats = np.interp(wanted, seconds, np.array([value for _, value in rows]))
    after = np.clip(np.searchsorted(seconds, wanted), 1, len(seconds) - 1)
    gap_s = seconds[after] - seconds[after - 1]
    inside = (wanted <= seconds[-1]) & (wanted >= seconds[0])
    values[(wanted > seconds[-1] + step_s) | (inside & (gap_s > LONGEST_GAP_S))] = np.nan
    if not np.isfinite(values[0]):
        return None
    return values


def value_at(rows: Rows, at: datetime) -> float | None:
    """A provider's value at an instant, between the rows around it; None beyond them and in gaps."""
    after = bisect_left(rows, at, key=lambda row: row[0])
    if after < len(rows) and rows[after][0] == at:
        return rows[after][1]
    if not 0 < after < len(rows):
        return None
    (before_at, before), (after_at, later) = rows[after - 1], rows[after]
    gap_s = (after_at - before_at).total_seconds()
    if gap_s > LONGEST_GAP_S:
        return None
    return before + (later - before) * (at - before_at).total_seconds() / gap_s


def _climate(past: Floats, past_step_s: float) -> Floats | None:
    """Mean of each step of the day, beginning with the step that begins now; None without any value."""
    known = np.isfinite(past)
    if not known.any():
        return None
    per_day = round(86400.0 / past_step_s)
    phase = (np.arange(len(past)) - len(past)) % per_day
    climate = np.full(per_day, float(past[known].mean()))
    for slot in range(per_day):
        values = past[known & (phase == slot)]
        if values.size:
            climate[slot] = values.mean()
    return climate


def _slots(climate: Floats, steps: int, step_s: float, past_step_s: float) -> NDArray[np.int64]:
    return (np.arange(steps) * step_s / past_step_s).astype(np.int64) % len(climate)


def _by_share(course: Floats, expected: float, now: float | None, *, step_s: float) -> Floats:
    if now is None or expected < _LEAST_SUN_W_M2:
        return course
    share = min(max(now / expected, _SUN_SHARE[0]), _SUN_SHARE[1])
    lead_h = np.arange(len(course)) * step_s / 3600.0
    out: Floats = course * (1.0 + (share - 1.0) * np.exp(-lead_h / CLOUD_DECAY_H))
    return out
