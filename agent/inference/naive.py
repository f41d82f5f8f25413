"""naive_robust: the forecast of day one, and the bar every model has to beat.

Several naive rules compete on the site's own last days; the winner gets a correction by the current level that
decays over hours, and its own past errors become the band. Pure numpy, always finite.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.inference.contract import QUANTILES

Array = NDArray[np.float64]

# How fast the current level's surprise is forgotten, hours; 0 = no correction. Chosen on site.
DECAYS_H = (0.0, 2.0, 6.0, 18.0)
# Past origins are a multiple of this apart, so each has the time of day of a quarter of the plans.
ORIGIN_SPACING_H = 6
LOOK_BACK_DAYS = 28
MIN_ORIGINS = 3
# A rule needs that share of its values before it may compete.
MIN_RULE_SHARE = 0.6
# Band half-width at cold start, as a share of the level, when the short history shows less spread than that.
COLD_SPREAD_SHARE = 0.35


@dataclass(frozen=True)
class NaiveForecast:
    """[horizon, 3] quantiles, the rule that won and why no better one was there."""

    quantiles: Array
    rule: str
    origins: int


def naive_robust(
    y_hist: Array, day_type: NDArray[np.int64], *, step_s: int, horizon: int, limits: tuple[float, float]
) -> NaiveForecast:
    """P10/P50/P90 for the `horizon` steps after `y_hist`.

    `y_hist` [n] with NaN gaps, any n; `day_type` [n + horizon], 0 working day, 1 Saturday, 2 Sunday or holiday.
    `limits` are the finite physical limits: the answer when nothing at all is known.
    """
    values = np.where(np.isfinite(y_hist), y_hist, np.nan)
    per_day = 86_400 // step_s
    keep = min(len(values), (LOOK_BACK_DAYS + 1 + horizon // per_day) * per_day)
    values, kinds = values[len(values) - keep :], day_type[len(values) - keep :]
    if not np.isfinite(values).any():
        return NaiveForecast(_unknown(horizon, limits), "no_history", 0)
    origins = _origins(len(values), per_day, horizon)
    if len(origins) < MIN_ORIGINS:
        return NaiveForecast(_cold(values, step_s, horizon, limits), "cold_start", len(origins))
    rules = _rule_values(values, kinds, np.append(origins, len(values)), per_day, horizon)
    truth = _truth(values, origins, horizon)
    best = _choose(rules, truth, values, origins, step_s)
    if best is None:
        return NaiveForecast(_cold(values, step_s, horizon, limits), "cold_start", 0)
    name, fitted, centre = best
    band = _band(truth - fitted, origins, len(values), kinds, per_day)
    quantiles = np.sort(np.clip(centre[:, None] + band, *limits), axis=1)
    return NaiveForecast(quantiles, name, len(origins))


def _origins(length: int, per_day: int, horizon: int) -> NDArray[np.int64]:
    spacing = max(1, ORIGIN_SPACING_H * per_day // 24)
    # A day of target values (or the whole horizon, if shorter) is enough to judge by.
    seen = min(horizon, per_day)
    first = per_day + min(per_day, length // 4)
    return np.arange(length - seen, first - 1, -spacing, dtype=np.int64)[::-1]


def _truth(values: Array, origins: NDArray[np.int64], horizon: int) -> Array:
    index = origins[:, None] + np.arange(horizon)
    return np.where(index < len(values), values[np.minimum(index, len(values) - 1)], np.nan)


def _rule_values(
    values: Array, kinds: NDArray[np.int64], origins: NDArray[np.int64], per_day: int, horizon: int
) -> dict[str, Array]:
    """Each rule at each origin, [origins, day before + horizon]: the first `per_day` columns lie before the origin."""
    steps = np.arange(-per_day, horizon)
    # Step h of day d looks back d more days: nothing after the origin may enter.
    extra_days = np.maximum(steps // per_day, 0)
    days = max(1, min(LOOK_BACK_DAYS, len(values) // per_day))
    back = (np.arange(1, days + 1) + extra_days[:, None]) * per_day
    target = origins[:, None] + steps
    index = target[:, :, None] - back[None]
    lagged = np.where(index >= 0, values[np.maximum(index, 0)], np.nan)
    target_kind = kinds[np.clip(target, 0, len(kinds) - 1)]
    same = (kinds[np.maximum(index, 0)] == target_kind[:, :, None]) & (index >= 0)
    weight = np.isfinite(lagged)
    recent = 0.85 ** np.arange(days)
    zero = np.where(weight, lagged, 0.0)
    rules = {
        "yesterday": lagged[:, :, 0],
        "mean_3_days": _weighted(zero[:, :, :3], weight[:, :, :3] * 1.0),
        "recent_days": _weighted(zero, weight * recent),
        "same_day_type": _weighted(zero, (weight & same) * recent),
        "last_day_of_type": _weighted(zero, (weight & same) * 1e-6 ** np.arange(min(days, 28))[None, None]),
    }
    if days >= 7:
        weekly = np.arange(6, days, 7)
        rules["last_week"] = lagged[:, :, 6]
        rules["same_weekday"] = _weighted(zero[:, :, weekly], weight[:, :, weekly] * 1.0)
        rules["day_and_week"] = 0.5 * rules["same_day_type"] + 0.5 * rules["same_weekday"]
    return rules


def _weighted(values: Array, weight: Array) -> Array:
    total = weight.sum(axis=-1)
    scale = np.where(total > 0, total, 1.0)
    return np.where(total > 0, (values * weight).sum(axis=-1) / scale, np.nan)


def _choose(
    rules: dict[str, Array], truth: Array, values: Array, origins: NDArray[np.int64], step_s: int
) -> tuple[str, Array, Array] | None:
    """The rule and decay with the smallest mean absolute error: name, its values at past origins, its forecast."""
    per_day = 86_400 // step_s
    recent = max(1, 2 * 3600 // step_s)
    ends = np.append(origins, len(values))
    before = ends[:, None] + np.arange(-recent, 0)
    last_values = values[before]
    hours = (np.arange(truth.shape[1]) + 1) * step_s / 3600
    # A gap in one rule's values must not make it look good: every rule is scored on the same steps.
    usable = {
        name: fit
        for name, fit in rules.items()
        if np.isfinite(fit[-1, per_day:]).mean() >= MIN_RULE_SHARE and np.isfinite(fit[:-1, per_day:]).any()
    }
    if not usable:
        return None
    shared = np.isfinite(truth)
    counts = {name: (shared & np.isfinite(fit[:-1, per_day:])).sum() for name, fit in usable.items()}
    enough = 0.7 * max(counts.values())
    usable = {name: fit for name, fit in usable.items() if counts[name] >= enough and counts[name] > 0}
    for fit in usable.values():
        shared = shared & np.isfinite(fit[:-1, per_day:])
    if not shared.any():
        return None
    age = (ends[-1] - origins) / per_day
    weight = np.where(shared, (0.5 ** (age / 14.0))[:, None], 0.0)
    best: tuple[float, str, Array, Array] | None = None
    for name, fit in usable.items():
        surprise = _finite_mean(last_values - fit[:, per_day - recent : per_day])
        for decay_h in DECAYS_H:
            kept = np.exp(-hours / decay_h) if decay_h > 0 else np.zeros_like(hours)
            corrected = fit[:, per_day:] + np.nan_to_num(surprise)[:, None] * kept
            error = float(
                (np.abs(np.where(shared, truth - corrected[:-1], 0.0)) * weight).sum() / weight.sum()
            )
            if best is None or error < best[0]:
                best = (error, f"{name}/{decay_h:g}h", corrected[:-1], corrected[-1])
    if best is None:
        return None
    _, name, fitted, centre = best
    known = np.isfinite(centre)
    positions = np.arange(len(centre))
    return name, fitted, np.interp(positions, positions[known], centre[known])


def _finite_mean(values: Array) -> Array:
    good = np.isfinite(values)
    count = good.sum(axis=1)
    return np.where(count > 0, np.where(good, values, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)


def _band(
    error: Array, origins: NDArray[np.int64], length: int, kinds: NDArray[np.int64], per_day: int
) -> Array:
    """Residual quantiles by step, pooled over the hour around it and, where there are enough, one type of day."""
    horizon = error.shape[1]
    reach = max(1, per_day // 24)
    # Errors depend on the time of day more than on the distance: pool origins that share the time of day.
    same_hour = (length - origins) % per_day == 0
    target_kind = kinds[np.minimum(origins[:, None] + np.arange(horizon), len(kinds) - 1)]
    overall = error[np.isfinite(error)]
    spread = np.quantile(overall, QUANTILES)
    out = np.empty((horizon, 3))
    for step in range(horizon):
        lo, hi = max(0, step - reach), min(horizon, step + reach + 1)
        block, alike = error[:, lo:hi], target_kind[:, lo:hi] == kinds[min(length + step, len(kinds) - 1)]
        pools = (block[same_hour][alike[same_hour]], block[alike], block.ravel())
        sample = next((p for p in (q[np.isfinite(q)] for q in pools) if len(p) >= 4 * (2 * reach + 1)), None)
        raw = np.quantile(sample, QUANTILES) if sample is not None else spread
        out[step] = 0.85 * raw + 0.15 * spread
    # The middle is corrected by half: with few days the median of the errors is itself noisy.
    out[:, 1] *= 0.5
    return out


def _cold(values: Array, step_s: int, horizon: int, limits: tuple[float, float]) -> Array:
    """Hours of history: the last level, in a band as wide as all that was seen and growing with distance."""
    good = values[np.isfinite(values)]
    recent = good[-max(1, 3600 // step_s) :]
    hours = (np.arange(horizon) + 1) * step_s / 3600
    # Towards the mean of what was seen: the level of the last hour says little about tomorrow.
    stay = np.exp(-hours / 4.0)
    centre = stay * recent.mean() + (1 - stay) * good.mean()
    half = max(
        1.3 * float(good.std()), COLD_SPREAD_SHARE * abs(float(good.mean())), 0.02 * (limits[1] - limits[0])
    )
    width = half * (0.3 + 0.7 * (1 - stay))
    return np.sort(np.clip(np.stack([centre - width, centre, centre + width], axis=1), *limits), axis=1)


def _unknown(horizon: int, limits: tuple[float, float]) -> Array:
    low, high = limits
    return np.tile([low + 0.1 * (high - low), 0.5 * (low + high), low + 0.9 * (high - low)], (horizon, 1))
