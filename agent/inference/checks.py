"""Is this input fit for a model? Bad values become NaN; a reason says why the naive rule should take over.

Trees answer any input with plausible numbers, also one that is all NaN: the check must be on the input.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


# A gap-proof model still needs that share of its window, and anything at all in so many days.
GAP_PROOF_SHARE_ALL = 0.3
GAP_PROOF_DAYS = 3
MIN_SHARE_WEEK = 0.6
# A plant that stands reads within that share of the range seen in training above its bottom.
FLOOR_SHARE = 0.02


@dataclass(frozen=True)
class InputLimits:
    """What the model saw in training, from its file: range of the target, longest flat run, valid shares wanted."""

    seen_low: float
    seen_high: float
    max_flat_steps: int
    min_share_all: float = 0.5
    min_share_day: float = 0.6
    min_share_recent: float = 0.34
    # The trial showed that the model beats the naive rule with the last day missing too: gaps are then only noted.
    gap_proof: bool = False
    # The same with every known column missing: without plan or weather forecast the model goes on, and says so.
    known_proof: bool = False


@dataclass(frozen=True)
class CheckedHistory:
    """`values` with the bad ones NaN; `reason` is None when a model may use them, `note` says what it has to bear."""

    values: Array
    reason: str | None
    note: str | None
    out_of_range_share: float


def check_history(y_hist: Array, limits: InputLimits, *, step_s: int) -> CheckedHistory:
    """Clean a history window [L] and judge it: frozen, out of range, too many gaps."""
    values = np.where(np.isfinite(y_hist), y_hist, np.nan)
    per_day, recent = 86_400 // step_s, max(1, 2 * 3600 // step_s)
    known = np.isfinite(values)
    span = max(limits.seen_high - limits.seen_low, 1e-9)
    outside = known & ((values < limits.seen_low - 0.25 * span) | (values > limits.seen_high + 0.25 * span))
    outside_share = float(outside[-per_day:].mean())
    # The second day beyond all that was seen is a changed plant, not a meter's slip: the naive rule has to follow it.
    believed = outside_share > 0.05 and float(outside[-2 * per_day : -per_day].mean()) > 0.05
    if not believed:
        values[outside] = np.nan
    reason = None
    run = flat_run(values)
    # A flat run longer than any seen in training: the plant may be off, but the meter may be dead as well.
    if run > max(1.25 * limits.max_flat_steps, recent):
        # At the bottom of its range, or after a day, a standing plant is as likely: the naive rule keeps the values.
        believed = run > per_day or bool(values[-1] <= limits.seen_low + FLOOR_SHARE * span)
        if not believed:
            values[len(values) - run :] = np.nan
        reason = "input_frozen"
    elif outside_share > 0.05:
        reason = "input_out_of_range"
    known = np.isfinite(values)
    if reason is None:
        if known.mean() < limits.min_share_all or known[-per_day:].mean() < limits.min_share_day:
            reason = "input_missing"
        elif known[-recent:].mean() < limits.min_share_recent:
            reason = "input_missing_recent"
    # The trial for `gap_proof` hid a day, not a week: with most of a week gone the naive rule is the safer one.
    week_gone = float(known[-7 * per_day :].mean()) < MIN_SHARE_WEEK
    if week_gone and reason is None:
        reason = "input_missing_week"
    note = None
    if (
        limits.gap_proof
        and not believed
        and not week_gone
        and known.mean() >= GAP_PROOF_SHARE_ALL
        and known[-GAP_PROOF_DAYS * per_day :].any()
    ):
        reason, note = None, reason
    return CheckedHistory(values, reason, note, outside_share)


def flat_run(values: Array) -> int:
    """How many of the last steps carry one and the same value; a gap ends the run, except at the very end."""
    if not np.isfinite(values[-1]):
        return 0
    change = np.flatnonzero(~(np.abs(values - values[-1]) <= 1e-9 * max(1.0, abs(values[-1]))))
    return len(values) if not len(change) else len(values) - 1 - int(change[-1])


def longest_flat_run(values: Array) -> int:
    """The longest run of one value in a series, steps: what training writes into the file."""
    best = run = 1
    for before, now in pairwise(values):
        run = run + 1 if np.isfinite(now) and abs(now - before) <= 1e-9 * max(1.0, abs(now)) else 1
        best = max(best, run)
    return best
