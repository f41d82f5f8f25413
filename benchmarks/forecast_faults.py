"""The default under a meter's faults, over the last fifth of real or simulated series, against naive_robust under the same.

    python benchmarks/forecast_faults.py --shared DIR      three of the shared series
    python benchmarks/forecast_faults.py plant:7           or any series as in benchmarks/forecast.py

One model a series is trained before the last fifth. Then a gateway forecasts every seven hours, once for each fault:
a tenth of all values missing at random; a week missing that ended two days ago; the last day missing; the meter stuck
for 12 h, or at 0 for a day; a clock that was an hour off for a week. All these keep moving with the origin, so there is
never a sound forecast in between. Truth is the sound series.
Last lines: the worst ratio to naive_robust under the same fault (bar 1.05) and how many values were not finite (bar 0).
Exit 0: both hold; 1: not both.
"""

import argparse
import os
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
from forecast import SHARED, shared_series, splits

from agent.inference.calendar import calendar_columns, day_types
from agent.inference.forecaster import Forecaster, TargetSpec
from agent.inference.model import load_model
from agent.inference.naive import LOOK_BACK_DAYS, naive_robust
from agent.inference.series import Series, window
from training.backtest import HISTORY_DAYS
from training.clean import default_limits
from training.dataset import Frame
from training.fit import fit_target
from training.metrics import coverage, pinball

FAULTS = ("none", "tenth_missing", "week_gap", "day_missing", "stuck_12h", "stuck_at_zero", "clock_1h_off")
CHOSEN = (0, 5, 6)
EVERY_H = 7
BAR = 1.05


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("series", nargs="*", metavar="SERIES")
    parser.add_argument("--shared", type=Path, default=os.environ.get("FORECAST_DATA"), metavar="DIR")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    texts = list(options.series)
    if options.shared and not texts:
        texts = [str(Path(options.shared) / SHARED[place]) for place in CHOSEN]
    print(f"{'series':30}{'fault':16}{'pinball':>10}{'to naive':>10}{'cover':>8}")
    ratios, lost = [], 0
    for text in texts or ["plant:7"]:
        name, frame, target, horizon, zone, known = shared_series(text, "timestamp", options.seed)
        end_row = splits(frame, 0.8)
        limits = default_limits(frame.columns[target][:end_row])
        content = fit_target(
            frame, target=target, unit="", step_s=frame.step_s, horizon=horizon, tz=zone, seed=options.seed,
            known=known, limits=limits, train_end=frame.at(end_row),
        )  # fmt: skip
        spec = TargetSpec(target, "", frame.step_s, horizon, zone, *limits)
        for fault in FAULTS:
            truth, issued, naive = _replay(frame, spec, content, known, end_row, fault)
            ratio = pinball(truth, issued) / pinball(truth, naive)
            lost += int((~np.isfinite(issued)).sum())
            ratios.append(ratio)
            print(
                f"{name[-29:]:30}{fault:16}{pinball(truth, issued):10.4g}{ratio:10.3f}{coverage(truth, issued):8.1%}",
                flush=True,
            )
    worst = max(ratios)
    print(f"{'holds ' if worst <= BAR else 'MISSED'}  worst ratio to naive_robust {worst:.3f}, bar {BAR}")
    print(f"{'holds ' if not lost else 'MISSED'}  {lost} values not finite, bar 0")
    return 0 if worst <= BAR and not lost else 1


def _replay(
    frame: Frame, spec: TargetSpec, content: bytes, known: tuple[str, ...], end_row: int, fault: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Truth [n, H], what the default issued and what the naive rule says [n, H, 3], each under the fault."""
    y, step_s, horizon = frame.columns[spec.target], frame.step_s, spec.horizon
    per_day = 86_400 // step_s
    hist = (LOOK_BACK_DAYS + 2) * per_day
    tenth = np.random.default_rng(3).random(frame.rows) < 0.1
    forecaster = Forecaster(spec, load_model(content))
    truth, issued, naive = [], [], []
    for origin in range(end_row, frame.rows - horizon + 1, EVERY_H * 3600 // step_s):
        if not np.isfinite(y[origin : origin + horizon]).any():
            continue
        first, at = max(0, origin - HISTORY_DAYS * per_day), frame.at(origin)
        seen = Series(frame.at(first), step_s, _faulty(fault, y[:origin], tenth[:origin], per_day)[first:])
        ahead = None
        if known:
            columns = [frame.columns[each][first : origin + horizon] for each in known]
            ahead = Series(frame.at(first), step_s, np.stack(columns, axis=1))
        issued.append(forecaster.forecast(seen, ahead, at).quantiles)
        cal = calendar_columns(at - timedelta(seconds=hist * step_s), step_s, hist + horizon, tz=spec.tz)
        limits = (spec.limit_low, spec.limit_high)
        plain = naive_robust(
            window(seen, at, hist), day_types(cal), step_s=step_s, horizon=horizon, limits=limits
        )
        naive.append(plain.quantiles)
        truth.append(y[origin : origin + horizon])
    return np.stack(truth), np.stack(issued), np.stack(naive)


def _faulty(fault: str, y: np.ndarray, tenth: np.ndarray, per_day: int) -> np.ndarray:
    """What the gateway has seen of `y`, which ends at the origin."""
    seen = y.copy()
    if fault == "tenth_missing":
        seen[tenth] = np.nan
    elif fault == "week_gap":
        seen[-9 * per_day : -2 * per_day] = np.nan
    elif fault == "day_missing":
        seen[-per_day:] = np.nan
    elif fault == "stuck_12h":
        seen[-per_day // 2 :] = seen[-per_day // 2 - 1]
    elif fault == "stuck_at_zero":
        seen[-per_day:] = 0.0
    elif fault == "clock_1h_off":
        seen[-7 * per_day :] = np.roll(seen, max(1, per_day // 24))[-7 * per_day :]
    return seen


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
