"""Frame to one ONNX file: features, trees, network, calibration and limits in one graph."""

from collections.abc import Callable, Collection, Sequence
from datetime import date, datetime

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from agent.errors import DataError
from agent.inference.calendar import day_types
from agent.inference.contract import QUANTILES, Contract, KnownColumn
from agent.inference.naive import naive_robust
from agent.inference.record import MIXES
from training.clean import default_limits, learnable
from training.dataset import Frame
from training.export import export
from training.fitted import Fitted, Members, mixed, predictions, tree_predict
from training.members import add_others, choose_weights, sampled
from training.metrics import coverage, pinball
from training.trees import GRID, TreeSize, train_trees
from training.windows import FeatureSet, Windows, compute_features, find_scales, make_windows

F32 = NDArray[np.float32]
Array = NDArray[np.float64]
Index = NDArray[np.int64]
Tick = Callable[[str], None]

BLOCK_H = 6
# What is kept of each origin to draw those from, and how many origins: bounds memory at years of 5 min data.
KEEP_STEPS = 48
MAX_LEARN_ORIGINS = 9_000


def fit_target(
    frame: Frame,
    *,
    target: str,
    unit: str,
    step_s: int,
    horizon: int,
    tz: str,
    seed: int,
    quick: bool = False,
    known: Sequence[str] = (),
    known_units: Sequence[str] = (),
    hist_days: int | None = None,
    limits: tuple[float, float] | None = None,
    holidays: Collection[date] = (),
    train_end: datetime | None = None,
    tick: Tick = lambda _: None,
) -> bytes:
    """Train on the rows before `train_end` (all by default) and return the ONNX file.

    `hist_days` is the history window (28 with four months of data or more, 14, or 7 otherwise); `limits` are the
    physical limits of the target, by default from 0 (or below the smallest value) to 1.5 times the largest.
    Raises DataError when fewer than 6 days can be learned from.
    """
    if step_s != frame.step_s:
        raise DataError(
            f"the frame has steps of {frame.step_s} s, asked {step_s} s",
            where=target,
            fix="load it with that step",
        )
    end_row = min(frame.rows, frame.row_of(train_end)) if train_end is not None else frame.rows
    contract = make_contract(
        frame,
        target=target,
        unit=unit,
        horizon=horizon,
        tz=tz,
        known=known,
        known_units=known_units,
        hist_days=hist_days,
        limits=limits,
        end_row=end_row,
    )
    frame = learnable(frame, target, end_row)
    fitted, windows = fit(
        frame, contract, end_row=end_row, seed=seed, quick=quick, holidays=holidays, tick=tick
    )
    return export(fitted, windows, frame, end_row=end_row, seed=seed, holidays=holidays)


def make_contract(
    frame: Frame,
    *,
    target: str,
    unit: str,
    horizon: int,
    tz: str,
    end_row: int,
    known: Sequence[str] = (),
    known_units: Sequence[str] = (),
    hist_days: int | None = None,
    limits: tuple[float, float] | None = None,
) -> Contract:
    """The schema a fit will use; defaults depend on data before `end_row` only."""
    per_day = 86_400 // frame.step_s
    values = frame.columns[target][:end_row]
    good = values[np.isfinite(values)]
    if len(good) < 6 * per_day:
        raise DataError(
            f"{len(good) / per_day:.1f} days of {target} to learn from",
            where=target,
            fix="give at least 6 days",
        )
    days = end_row / per_day
    hist = hist_days if hist_days is not None else 28 if days >= 110 else 14 if days >= 45 else 7
    # A step of the fourth day ahead may look at the fifth day back at the nearest.
    hist = max(hist, (horizon - 1) // per_day + 4)
    bounds = limits if limits is not None else default_limits(values)
    units = list(known_units) + [""] * (len(known) - len(known_units))
    columns = []
    for name, known_unit in zip(known, units, strict=True):
        seen = frame.columns[name][:end_row]
        seen = seen[np.isfinite(seen)]
        low_seen, high_seen = (float(seen.min()), float(seen.max())) if len(seen) else (0.0, 0.0)
        columns.append(KnownColumn(name, known_unit, low_seen, high_seen))
    return Contract(target, unit, frame.step_s, hist * per_day, horizon, tz, *bounds, tuple(columns))


def fit(
    frame: Frame,
    contract: Contract,
    *,
    end_row: int,
    seed: int,
    quick: bool,
    holidays: Collection[date] = (),
    parts: Collection[str] = ("trees", "others"),
    tick: Tick = lambda _: None,
) -> tuple[Fitted, Windows]:
    """Choose sizes and shares on the last part of the training span, then train on all of it."""
    # Threads of the linear algebra spin on a shared machine, and change the last bits: one is four times as fast.
    threadpool_limits(limits=1)
    windows = make_windows(frame, contract, holidays)
    windows.y[contract.hist + end_row :] = np.nan  # nothing after the end may be seen, by construction
    scales = find_scales(frame, contract, end_row)
    learn, judge = split_origins(frame, contract, end_row, quick=quick)
    learn_set = compute_features(windows, scales, learn, seed=seed, keep_steps=KEEP_STEPS)
    judge_set = compute_features(windows, scales, judge, seed=seed)
    spoiled = compute_features(
        windows, scales, learn[::5], seed=seed + 1, fault_share=1.0, keep_steps=KEEP_STEPS
    )
    judge_days = float(judge[-1] - judge[0]) / contract.steps_per_day + 1.0
    tick("features")
    train_set = _join(learn_set, spoiled)
    size, trial_trees = _choose_size(train_set, judge_set, GRID[:1] if quick else GRID, seed, tick)
    tree_judged = np.sort(tree_predict(trial_trees, judge_set), axis=2)
    trial, weights = Members(tuple(trial_trees)), (1.0, 0.0, 0.0)
    if "others" in parts:
        trial = add_others(trial, train_set, scales, seed=seed, quick=quick)
        tick("others on trial")
        weights = choose_weights(judge_set.truth, predictions(trial, judge_set, scales), days=judge_days)
    judged = mixed(trial, weights, judge_set, scales)
    offsets = _static_offsets(judge_set.truth, judged, frame.step_s)
    everything = _join(_join(learn_set, judge_set.thinned(KEEP_STEPS, seed)), spoiled)
    members = Members(tuple(train_trees(*sampled(everything, seed)[:2], size, seed=seed)))
    tick("trees")
    if "others" in parts:
        members = add_others(members, everything, scales, seed=seed, quick=quick, weights=weights)
        tick("others")
    calibrated = np.sort(judged + offsets, axis=2)
    most = min(12 if quick else 40, len(judge))
    picked = np.unique(np.linspace(0, len(judge) - 1, most).astype(np.int64))

    def with_loss(*, blind_steps: int = 0, without_known: bool = False) -> Array:
        """What the trial's model says when something is hidden from it."""
        less = compute_features(
            windows, scales, judge[picked], seed=seed, blind_steps=blind_steps, without_known=without_known
        )
        return np.sort(mixed(trial, weights, less, scales) + offsets, axis=2)

    day = contract.steps_per_day
    metrics = {
        "judge_pinball": pinball(judge_set.truth.astype(np.float64), calibrated),
        "judge_coverage": coverage(judge_set.truth.astype(np.float64), calibrated),
        "judge_trees_pinball": pinball(judge_set.truth.astype(np.float64), tree_judged),
        "judge_origins": float(len(judge)),
        "judge_days": judge_days,
        "residual_share": weights[1],
        "network_share": weights[2],
        "ratio_naive": _ratio_naive(windows, judge[picked], judge_set.truth[picked], calibrated[picked]),
        "ratio_naive_blind": _ratio_naive(
            windows, judge[picked], judge_set.truth[picked], with_loss(blind_steps=day), blind_steps=day
        ),
        "ratio_naive_unknown": _ratio_naive(
            windows, judge[picked], judge_set.truth[picked], with_loss(without_known=True)
        )
        if contract.known
        else 0.0,
        **_mix_ratios(windows, judge[picked], judge_set.truth[picked], calibrated[picked]),
        "trees": float(size.trees),
        "leaves": float(size.leaves),
    }
    tree_offsets = _static_offsets(judge_set.truth, tree_judged, frame.step_s)
    return Fitted(contract, scales, members, weights, offsets, metrics, tree_offsets), windows


def split_origins(frame: Frame, contract: Contract, end_row: int, *, quick: bool) -> tuple[Index, Index]:
    """Origins to learn from and to judge by; between them lies a horizon, so no truth is shared."""
    per_day = contract.steps_per_day
    days = end_row / per_day
    judge_days = float(np.clip(0.17 * days, 2, 50))
    first = int(min(contract.hist, max(7 * per_day, 0.25 * end_row)) if days >= 21 else 3 * per_day)
    judge_from = int(end_row - judge_days * per_day)
    hours = (6 if quick else 1) if days > 120 else (3 if quick else 1)
    spacing = max(1, hours * per_day // 24, (judge_from - first) // MAX_LEARN_ORIGINS)
    # An odd spacing walks through the times of day even on coarse grids.
    learn = np.arange(first, judge_from - contract.horizon + 1, spacing, dtype=np.int64)
    judge = np.arange(
        judge_from, end_row - contract.horizon + 1, spacing * (1 if quick else 3), dtype=np.int64
    )
    truth_known = np.isfinite(frame.columns[contract.target])

    def useful(origins: Index) -> Index:
        return np.array(
            [o for o in origins if truth_known[o : o + contract.horizon].mean() > 0.3], dtype=np.int64
        )

    learn, judge = useful(learn), useful(judge)
    if len(learn) < 8 or len(judge) < 2:
        raise DataError(
            "too little to learn from and judge by",
            where=contract.target,
            fix="give more days or a shorter horizon",
        )
    return learn, judge


def _join(first: FeatureSet, second: FeatureSet) -> FeatureSet:
    return FeatureSet(
        *(np.concatenate([getattr(first, n), getattr(second, n)]) for n in ("rows", "base", "truth"))
    )


def _naive_at(windows: Windows, judge: Index, *, blind_steps: int = 0) -> Array:
    """naive_robust at the same origins, the last `blind_steps` values hidden from it."""
    contract = windows.contract
    hist = 30 * contract.steps_per_day
    limits = (contract.limit_low, contract.limit_high)
    naive = []
    for origin in judge:
        end = int(origin) + contract.hist
        y = windows.y[max(0, end - hist) : end].astype(np.float64)
        y[len(y) - blind_steps :] = np.nan
        kinds = day_types(windows.cal[max(0, end - hist) : end + contract.horizon])
        answer = naive_robust(y, kinds, step_s=contract.step_s, horizon=contract.horizon, limits=limits)
        naive.append(answer.quantiles)
    return np.stack(naive)


def _ratio_naive(
    windows: Windows, judge: Index, truth: F32, quantiles: Array, *, blind_steps: int = 0
) -> float:
    """Pinball loss over that of naive_robust on the same origins."""
    naive = _naive_at(windows, judge, blind_steps=blind_steps)
    known_truth = truth.astype(np.float64)
    return pinball(known_truth, quantiles) / max(pinball(known_truth, naive), 1e-12)


def _mix_ratios(windows: Windows, judge: Index, truth: F32, quantiles: Array) -> dict[str, float]:
    """The same for mixes of model and naive rule: with little data a mix wins where neither does."""
    naive, known_truth = _naive_at(windows, judge), truth.astype(np.float64)
    least = max(pinball(known_truth, naive), 1e-12)
    return {
        f"ratio_mix_{round(100 * share)}": pinball(known_truth, share * quantiles + (1 - share) * naive)
        / least
        for share in MIXES[1:-1]
    }


def _choose_size(
    train: FeatureSet, judge: FeatureSet, grid: Sequence[TreeSize], seed: int, tick: Tick
) -> tuple[TreeSize, list[lgb.Booster]]:
    rows, target, _ = sampled(train, seed)
    best: tuple[float, TreeSize, list[lgb.Booster]] | None = None
    for size in grid:
        boosters = train_trees(rows, target, size, seed=seed)
        score = pinball(judge.truth.astype(np.float64), np.sort(tree_predict(boosters, judge), axis=2))
        tick(f"trees {size.trees}x{size.leaves}")
        # The first, smallest setting is left only for a clear gain: the slice is short.
        if best is None or score < best[0] * (0.99 if best[1] is grid[0] else 1.0):
            best = (score, size, boosters)
    assert best is not None
    return best[1], best[2]


def _static_offsets(truth: F32, quantiles: Array, step_s: int) -> Array:
    """[H, 3]: each quantile's own error quantile by block of six hours, most of it: the slice is one season."""
    horizon = truth.shape[1]
    out = np.zeros((horizon, 3))
    block = max(1, BLOCK_H * 3600 // step_s)
    for lo in range(0, horizon, block):
        part = slice(lo, min(lo + block, horizon))
        for place, level in enumerate(QUANTILES):
            error = truth[:, part] - quantiles[:, part, place]
            error = error[np.isfinite(error)]
            if len(error) and level != 0.5:
                out[part, place] = 0.75 * np.quantile(error, level)
    return out
