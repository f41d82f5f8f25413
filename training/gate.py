"""Champion and challenger: a model is published only when it beats the naive rule and the model in force."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.metrics import bias, coverage, pinball, pinball_each

Array = NDArray[np.float64]

MIN_ORIGINS = 20
MAX_RATIO_NAIVE = 0.97
MAX_RATIO_CHAMPION = 0.98
COVERAGE = (0.72, 0.90)
MAX_BLOCK_RATIO = 1.10
MAX_BIAS_SHARE = 0.05
MAX_MODEL_BYTES = 2 * 1024 * 1024
CONFIDENCE = 0.90
BOOTSTRAPS = 1000


@dataclass(frozen=True)
class Verdict:
    """`publish` and, when it is False, every reason; the numbers are there either way."""

    publish: bool
    reasons: tuple[str, ...]
    numbers: dict[str, float]


def judge(
    truth: Array,
    challenger: Array,
    naive: Array,
    champion: Array | None,
    *,
    blocks: int = 4,
    seed: int = 0,
    model_bytes: int = 0,
) -> Verdict:
    """Compare quantiles [n, H, 3] at the same origins. A gain must hold at 90 % in a bootstrap over the origins."""
    reasons: list[str] = []
    numbers: dict[str, float] = {
        "origins": float(len(truth)),
        "pinball": pinball(truth, challenger),
        "pinball_naive": pinball(truth, naive),
        "coverage_80": coverage(truth, challenger),
        "bias": bias(truth, challenger),
    }
    if len(truth) < MIN_ORIGINS:
        reasons.append(f"{len(truth)} origins, {MIN_ORIGINS} needed")
    rivals = [("naive", naive, MAX_RATIO_NAIVE)]
    if champion is not None:
        rivals.append(("champion", champion, MAX_RATIO_CHAMPION))
    for name, rival, limit in rivals:
        ratio, upper = _ratio(truth, challenger, rival, seed)
        numbers[f"ratio_{name}"], numbers[f"ratio_{name}_upper"] = ratio, upper
        if not ratio <= limit:
            reasons.append(f"pinball is {ratio:.3f} of the {name}'s, {limit} or less needed")
        elif not upper < 1.0:
            reasons.append(f"the gain on the {name} is not certain: up to {upper:.3f} at {CONFIDENCE:.0%}")
    if not COVERAGE[0] <= numbers["coverage_80"] <= COVERAGE[1]:
        reasons.append(
            f"the 80 % band covers {numbers['coverage_80']:.1%}, {COVERAGE[0]:.0%} to {COVERAGE[1]:.0%} wanted"
        )
    size = float(np.nanmean(np.abs(truth)))
    if not abs(numbers["bias"]) <= MAX_BIAS_SHARE * size:
        reasons.append(f"P50 is off by {numbers['bias']:.3g} on a mean of {size:.3g}")
    width = max(1, truth.shape[1] // blocks)
    for lo in range(0, truth.shape[1], width):
        part = slice(lo, lo + width)
        block_naive = pinball(truth[:, part], naive[:, part])
        ratio = (
            pinball(truth[:, part], challenger[:, part]) / block_naive if block_naive > 0 else float("nan")
        )
        if ratio > MAX_BLOCK_RATIO:
            reasons.append(f"steps {lo} to {lo + width}: pinball is {ratio:.2f} of the naive's")
    if model_bytes > MAX_MODEL_BYTES:
        reasons.append(f"the file has {model_bytes} bytes, at most {MAX_MODEL_BYTES} wanted")
    return Verdict(not reasons, tuple(reasons), numbers)


def _ratio(truth: Array, challenger: Array, rival: Array, seed: int) -> tuple[float, float]:
    """Ratio of the mean pinball losses and its one-sided upper bound, resampling whole origins in pairs."""
    known = np.isfinite(truth)
    first = np.where(known, pinball_each(truth, challenger), 0.0).sum(axis=1)
    second = np.where(known, pinball_each(truth, rival), 0.0).sum(axis=1)
    if not second.sum() > 0:
        return float("nan"), float("nan")
    draws = np.random.default_rng(seed).integers(0, len(truth), size=(BOOTSTRAPS, len(truth)))
    below = second[draws].sum(axis=1)
    ratios = first[draws].sum(axis=1) / np.where(below > 0, below, np.nan)
    return float(first.sum() / second.sum()), float(np.nanquantile(ratios, CONFIDENCE))
