"""Forecast table: naive, seasonal naive, statsforecast MSTL and AutoETS, LightGBM and the default, on given CSVs.

    python benchmarks/forecast.py steel.csv:usage_kwh:15min:96:Asia/Seoul:load_type b59.csv:hvac_s_kw:30min:48:UTC:oat_c

Each argument is FILE:TARGET:STEP:HORIZON:ZONE[:KNOWN,KNOWN]. Without arguments a seeded synthetic plant is used.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from agent.clock import elapsed_s
from training.backtest import Result, run_backtest, score
from training.dataset import Frame, load_frame
from training.origins import Plan, default_origins

METHODS = ("daily", "weekly", "naive", "mstl", "autoets", "lgbm", "ensemble")


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("series", nargs="*", metavar="FILE:TARGET:STEP:HORIZON:ZONE[:KNOWN,...]")
    parser.add_argument("--models", default=",".join(METHODS))
    parser.add_argument("--origins", type=int, default=40)
    parser.add_argument("--time", default="timestamp")
    options = parser.parse_args(argv)
    models = tuple(options.models.split(","))
    print(
        f"{'series':24}{'model':10}{'pinball':>10}{'WQL':>8}{'WAPE':>8}{'MASE':>8}{'cover':>8}{'to best':>9}{'s':>8}"
    )
    best_ratios = []
    for text in options.series or [""]:
        name, frame, target, horizon, zone, known = _series(text, options.time)
        end_row = int(0.8 * frame.rows)
        origins = default_origins(
            frame, horizon=horizon, train_end_row=end_row, target=target, count=options.origins
        )
        plan = Plan(target, horizon, known, zone, end_row, origins)
        results: list[tuple[Result, float]] = []
        for model in models:
            started = elapsed_s()
            results.extend((result, elapsed_s() - started) for result in run_backtest(frame, plan, (model,)))
        scores = score(frame, plan, [result for result, _ in results])
        seasonal = [float(str(scores[m]["pinball"])) for m in ("daily", "weekly") if m in scores]
        for result, seconds in results:
            row = {
                key: float(str(scores[result.model][key]))
                for key in ("pinball", "wql", "wape", "mase", "coverage_80")
            }
            ratio = row["pinball"] / min(seasonal) if seasonal else float("nan")
            if result.model == "ensemble":
                best_ratios.append(ratio)
            print(
                f"{name[:23]:24}{result.model:10}{row['pinball']:10.4g}{row['wql']:8.3f}{row['wape']:8.3f}"
                f"{row['mase']:8.3f}{row['coverage_80']:8.1%}{ratio:9.3f}{seconds:8.1f}",
                flush=True,
            )
    if best_ratios:
        mean = float(np.exp(np.mean(np.log(best_ratios))))
        print(f"ensemble to the best seasonal naive (known in hindsight), geometric mean: {mean:.3f}")
    return 0


def _series(text: str, time_column: str) -> tuple[str, Frame, str, int, str, tuple[str, ...]]:
    if not text:
        return "synthetic plant", _synthetic(), "load_kw", 24, "UTC", ("temp_degc",)
    path, target, step, horizon, zone, *rest = text.split(":")
    known = tuple(rest[0].split(",")) if rest else ()
    step_s = int(pd.Timedelta(step).total_seconds())
    frame = load_frame(
        Path(path), time_column=time_column, columns=(target,), known=known, step_s=step_s, tz=zone
    )
    return f"{Path(path).stem}:{target}", frame, target, int(horizon), zone, known


def _synthetic(days: int = 150) -> Frame:
    rng = np.random.default_rng(11)
    hours = np.arange(24 * days)
    temp = 14 + 7 * np.sin(2 * np.pi * hours / 24) + np.repeat(np.cumsum(rng.normal(0, 1.2, days)) * 0.6, 24)
    works = (hours % 24 >= 6) & (hours % 24 < 20) & ((hours // 24) % 7 < 5)
    load = 15 + 30 * works + 0.8 * np.maximum(temp - 12, 0) * (1 + works) + rng.normal(0, 2, len(hours))
    first_at = pd.Timestamp("2024-01-01", tz="UTC").to_pydatetime()
    return Frame(first_at, 3600, {"load_kw": load, "temp_degc": temp})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
