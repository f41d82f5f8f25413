"""naive_robust: the forecast of day one, and the bar every model has to beat.

Several naive rules compete on the site's own last days; the winner gets a correction by the current level that
decays over hours, and its own past errors become the band. Pure numpy, always finite.
"""

from dataclasses import dataclass

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
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
# What a rule missed by over so long before an origin is the current level's surprise.
RECENT_S = 2 * 3600
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
    truth = _truth(values, origins, horizon)
    # Origins in a gap, or before the meter was there, judge nothing.
    seen = np.isfinite(truth).any(axis=1)
    count, origins, truth = len(origins), origins[seen], truth[seen]
    recent = max(1, RECENT_S // step_s)
    rules = _rule_values(values, kinds, np.append(origins, len(values)), per_day, recent, horizon)
    best = _choose(rules, truth, values, origins, step_s)
    if best is None:
        return NaiveForecast(_cold(values, step_s, horizon, limits), "cold_start", 0)
    name, fitted, centre = best
    band = _band(truth - fitted, origins, len(values), kinds, per_day)
    quantiles = np.sort(np.clip(centre[:, None] + band, *limits), axis=1)
    return NaiveForecast(quantiles, name, count)


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
    values: Array,
    kinds: NDArray[np.int64],
    origins: NDArray[np.int64],
    per_day: int,
    recent: int,
    horizon: int,
) -> dict[str, Array]:
    """Each rule at each origin, [origins, recent + horizon]: the first `recent` columns lie before the origin."""
    steps = np.arange(-recent, horizon)
    parts: list[dict[str, Array]] = []
    # Step h of day d looks back d more days: nothing after the origin may enter. Within one such day a rule's
    # value depends on the target time alone, so it is computed once, not once for every origin that asks.
    for extra_days in range(max(1, -(-horizon // per_day))):
        part = steps[np.maximum(steps // per_day, 0) == extra_days]
        first, last = int(origins[0] + part[0]), int(origins[-1] + part[-1])
        by_target = _rules_by_target(values, kinds, first, last + 1, per_day, extra_days)
        starts = origins - origins[0]
        parts.append(
            {name: sliding_window_view(value, len(part))[starts] for name, value in by_target.items()}
        )
    return {name: np.concatenate([part[name] for part in parts], axis=1) for name in parts[0]}


def _rules_by_target(
    values: Array, kinds: NDArray[np.int64], first: int, end: int, per_day: int, extra_days: int
) -> dict[str, Array]:
    """Each rule's value for the target rows first..end-1, [end - first], from values 1 + extra_days or more days back."""
    days = max(1, min(LOOK_BACK_DAYS, len(values) // per_day))
    count = end - first
    lagged = np.full((days, count), np.nan)
    same = np.zeros((days, count))
    target_kind = kinds[np.clip(np.arange(first, end), 0, len(kinds) - 1)]
    for day in range(days):
        start = first - (day + 1 + extra_days) * per_day
        lo, hi = max(0, -start), min(count, len(values) - start)
        if lo < hi:
            lagged[day, lo:hi] = values[start + lo : start + hi]
            same[day, lo:hi] = kinds[start + lo : start + hi] == target_kind[lo:hi]
    weight = np.isfinite(lagged).astype(np.float64)
    zero = np.where(weight > 0, lagged, 0.0)
    same *= weight
    zero_same = zero * same
    recent = np.power(0.85, np.arange(days))
    latest = np.power(1e-6, np.arange(days))
    rules = {
        "yesterday": lagged[0],
        "mean_3_days": _mean_of(zero[:3].sum(axis=0), weight[:3].sum(axis=0)),
        "recent_days": _mean_of(_weighed(recent, zero), _weighed(recent, weight)),
        "same_day_type": _mean_of(_weighed(recent, zero_same), _weighed(recent, same)),
        "last_day_of_type": _mean_of(_weighed(latest, zero_same), _weighed(latest, same)),
    }
    if days >= 7:
        rules["last_week"] = lagged[6]
        rules["same_weekday"] = _mean_of(zero[6::7].sum(axis=0), weight[6::7].sum(axis=0))
        rules["day_and_week"] = 0.5 * rules["same_day_type"] + 0.5 * rules["same_weekday"]
    return rules


def _weighed(by: Array, rows: Array) -> Array:
    """Sum of the rows [n] by their weights. Without BLAS, whose threads cost more here than they bring."""
    total: Array = np.einsum("d,dn->n", by, rows)
    return total


def _mean_of(total: NDArray[np.floating], weight: NDArray[np.floating]) -> Array:
    return np.where(weight > 0, total / np.where(weight > 0, weight, 1.0), np.nan)


def _choose(
    rules: dict[str, Array], truth: Array, values: Array, origins: NDArray[np.int64], step_s: int
) -> tuple[str, Array, Array] | None:
    """The rule and decay with the smallest mean absolute error: name, its values at past origins, its forecast."""
    per_day = 86_400 // step_s
    recent = max(1, RECENT_S // step_s)
    ends = np.append(origins, len(values))
    before = ends[:, None] + np.arange(-recent, 0)
    last_values = values[before]
    hours = (np.arange(truth.shape[1]) + 1) * step_s / 3600
    # A gap in one rule's values must not make it look good: every rule is scored on the same steps.
    finite = {name: np.isfinite(fit[:, recent:]) for name, fit in rules.items()}
    usable = [n for n, good in finite.items() if good[-1].mean() >= MIN_RULE_SHARE and good[:-1].any()]
    if not usable:
        return None
    shared = np.isfinite(truth)
    counts = {name: (shared & finite[name][:-1]).sum() for name in usable}
    enough = 0.7 * max(counts.values())
    usable = [name for name in usable if counts[name] >= enough and counts[name] > 0]
    for name in usable:
        shared = shared & finite[name][:-1]
    if not shared.any():
        return None
    age = (ends[-1] - origins) / per_day
    weight = np.where(shared, (0.5 ** (age / 14.0))[:, None], 0.0)
    weight /= weight.sum()
    kept = {d: np.exp(-hours / d) if d > 0 else np.zeros_like(hours) for d in DECAYS_H}
    best: tuple[float, str, float, Array] | None = None
    left = np.empty_like(truth)
    for name in usable:
        fit = rules[name]
        surprise = np.nan_to_num(_finite_mean(last_values - fit[:, :recent]))
        gap = np.where(shared, truth - fit[:-1, recent:], 0.0)
        for decay_h in DECAYS_H:
            if decay_h > 0:
                np.multiply(surprise[:-1, None], kept[decay_h], out=left)
                np.subtract(gap, left, out=left)
            np.abs(left if decay_h > 0 else gap, out=left)
            error = float(np.einsum("od,od->", left, weight))
            if best is None or error < best[0]:
                best = (error, name, decay_h, surprise)
    if best is None:
        return None
    _, name, decay_h, surprise = best
    corrected = rules[name][:, recent:] + surprise[:, None] * kept[decay_h]
    centre = corrected[-1]
    known = np.isfinite(centre)
    positions = np.arange(len(centre))
    filled = np.interp(positions, positions[known], centre[known])
    return f"{name}/{decay_h:g}h", corrected[:-1], filled


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
    wanted_kind = kinds[np.minimum(length + np.arange(horizon), len(kinds) - 1)]
    spread = np.quantile(error[np.isfinite(error)], QUANTILES)
    # [origins, horizon, around]: the steps around each step, NaN beyond the ends.
    edge = ((0, 0), (reach, reach))
    around = sliding_window_view(np.pad(error, edge, constant_values=np.nan), 2 * reach + 1, axis=1)
    alike = sliding_window_view(np.pad(target_kind, edge, constant_values=-1), 2 * reach + 1, axis=1)
    raw = np.tile(spread, (horizon, 1))
    open_steps = np.arange(horizon)
    for rows, by_kind in ((same_hour, True), (slice(None), True), (slice(None), False)):
        block = around[rows][:, open_steps]
        use = np.isfinite(block)
        if by_kind:
            use &= alike[rows][:, open_steps] == wanted_kind[open_steps, None]
        enough = use.sum(axis=(0, 2)) >= 4 * (2 * reach + 1)
        if enough.any():
            pool = np.where(use[:, enough], block[:, enough], np.inf).swapaxes(0, 1)
            raw[open_steps[enough]] = _quantiles_of_rows(pool.reshape(int(enough.sum()), -1))
        open_steps = open_steps[~enough]
        if not len(open_steps):
            break
    out = 0.85 * raw + 0.15 * spread
    # The middle is corrected by half: with few days the median of the errors is itself noisy.
    out[:, 1] *= 0.5
    return out


def _quantiles_of_rows(pool: Array) -> Array:
    """[n, 3] quantiles of each row's finite values, linear between neighbours; +inf marks what is not there."""
    ordered = np.sort(pool, axis=1)
    place = (np.isfinite(ordered).sum(axis=1)[:, None] - 1) * np.asarray(QUANTILES)
    below = np.floor(place).astype(np.int64)
    low = np.take_along_axis(ordered, below, axis=1)
    high = np.take_along_axis(ordered, np.ceil(place).astype(np.int64), axis=1)
    return np.asarray(low + (place - below) * (high - low))


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
