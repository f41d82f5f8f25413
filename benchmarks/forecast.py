"""Forecast table: naive, seasonal naive, statsforecast MSTL and AutoETS, LightGBM and the default, in one run.

    python benchmarks/forecast.py                          two air demands of the simulated plant, from seeds
    python benchmarks/forecast.py --shared DIR             the seven series of docs/forecasting.md, from their folder
    python benchmarks/forecast.py load.csv:kw:15min:96:Europe/Berlin:plan,oat_c~1.5 plant:7

A series is FILE:TARGET:STEP:HORIZON:ZONE[:KNOWN,...]. KNOWN~SD adds an error of that standard deviation to a known
column (AR(1), 12 h): weather as forecast, not as measured. plant:SEED is a demand that the twin makes up.
The last lines say what of the acceptance holds: `best` is the better of daily and weekly naive known in hindsight.
Measured with `make bench ARGS=forecast`; FORECAST_DATA=DIR stands for --shared there. Exit 0: all holds; 1: not all.
"""

import argparse
import json
import os
import sys
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from agent.clock import cpu_s
from agent.config.load import load_site
from training.backtest import MODELS, Result, run_backtest, score
from training.dataset import Frame, load_frame
from training.origins import Plan, default_origins
from twin.demand import shift_demand

SHARED = (
    "steel_15min.csv:usage_kwh:15min:96:Asia/Seoul:load_type",
    "steel_15min.csv:usage_kwh:15min:96:Asia/Seoul:load_type,plan_level_derived",
    "b59_hvac_30min.csv:hvac_n_kw:30min:48:America/Los_Angeles:oat_c",
    "b59_hvac_30min.csv:hvac_n_kw:30min:48:America/Los_Angeles:oat_c~1.5",
    "b59_hvac_30min.csv:hvac_s_kw:30min:48:America/Los_Angeles:oat_c",
    "b59_hvac_30min.csv:hvac_s_kw:30min:48:America/Los_Angeles:oat_c~1.5",
    "sml2010_15min.csv:zone_dining_c:15min:96:Europe/Madrid:forecast_temp_c",
)
PLANTS = ("plant:101", "plant:102")
PLANT_DAYS = 200
STATION = Path(__file__).resolve().parents[1] / "examples" / "station_7bar" / "site.toml"
Row = dict[str, float]


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("series", nargs="*", metavar="SERIES")
    parser.add_argument("--shared", type=Path, default=os.environ.get("FORECAST_DATA"), metavar="DIR")
    parser.add_argument("--models", default=",".join(MODELS))
    parser.add_argument("--origins", type=int, default=40)
    parser.add_argument("--train-share", type=float, default=0.8, help="of the rows; the rest is forecast")
    parser.add_argument("--until-share", type=float, default=1.0, help="forget the rows after that share")
    parser.add_argument(
        "--random-end",
        type=int,
        metavar="SEED",
        help="draw the end of training of each series from 45 to 70 %% of its rows; a quarter as much is forecast",
    )
    parser.add_argument("--time", default="timestamp")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(argv)
    series = list(options.series)
    if options.shared and not series:
        series = [str(Path(options.shared) / each) for each in SHARED]
    models = tuple(options.models.split(","))
    print(
        f"{'series':30}{'model':10}{'pinball':>10}{'WQL':>8}{'WAPE':>8}{'MASE':>8}{'cover':>8}{'to best':>9}{'CPU s':>8}"
    )
    table: dict[str, dict[str, Row]] = {}
    draw = np.random.default_rng(options.random_end)
    known_already: dict[str, tuple[Result, float]] = {}
    for text in series or PLANTS:
        shares = (options.train_share, options.until_share)
        if options.random_end is not None:
            drawn = float(draw.uniform(0.45, 0.70))
            shares = (0.8, drawn / 0.8)
            print(f"{':'.join(text.split(':')[:2])}: training ends after {drawn:.3f} of the rows")
        name, rows = _judge(text, options, models, shares, known_already)
        table[name] = rows
        for model, row in rows.items():
            print(
                f"{name[-29:]:30}{model:10}{row['pinball']:10.4g}{row['wql']:8.3f}{row['wape']:8.3f}"
                f"{row['mase']:8.3f}{row['coverage_80']:8.1%}{row['to_best']:9.3f}{row['cpu_s']:8.1f}",
                flush=True,
            )
    if options.json:
        options.json.write_text(json.dumps(table, indent=1) + "\n")
    return 0 if _verdict(table) else 1


def _judge(
    text: str,
    options: argparse.Namespace,
    models: tuple[str, ...],
    shares: tuple[float, float],
    known_already: dict[str, tuple[Result, float]],
) -> tuple[str, dict[str, Row]]:
    name, frame, target, horizon, zone, known = shared_series(text, options.time, options.seed)
    rows = int(shares[1] * frame.rows)
    frame = Frame(frame.first_at, frame.step_s, {key: values[:rows] for key, values in frame.columns.items()})
    end_row = splits(frame, shares[0])
    origins = default_origins(
        frame, horizon=horizon, train_end_row=end_row, target=target, count=options.origins
    )
    plan = Plan(target, horizon, known, zone, end_row, origins, seed=options.seed)
    spent: list[tuple[str, float]] = []
    results = []
    # Trees and ensemble share one fit, so they run together; their time is the ensemble's.
    learned = tuple(each for each in models if each in ("lgbm", "ensemble"))
    for model in (each for each in models if each not in learned):
        # What looks at the target alone says the same again where only the known columns differ.
        again = f"{':'.join(text.split(':')[:5])} {rows} {end_row} {model}"
        if again not in known_already:
            began_s = cpu_s()
            (result,) = run_backtest(frame, plan, (model,))
            known_already[again] = (result, cpu_s() - began_s)
        results.append(known_already[again][0])
        spent.append((model, known_already[again][1]))
    if learned:
        began_s = cpu_s()
        results += run_backtest(frame, plan, learned)
        spent += [(each, cpu_s() - began_s) for each in learned]
    scores = score(frame, plan, results)
    seasonal = [float(str(scores[each]["pinball"])) for each in ("daily", "weekly") if each in scores]
    out = {}
    for model, seconds in spent:
        row = {
            key: float(str(scores[model][key])) for key in ("pinball", "wql", "wape", "mase", "coverage_80")
        }
        out[model] = row | {
            "to_best": row["pinball"] / min(seasonal) if seasonal else float("nan"),
            "cpu_s": seconds,
        }
    return name, out


def _verdict(table: dict[str, dict[str, Row]]) -> bool:
    """Print what of the acceptance the default holds on these series; True when it holds all."""
    if not all("ensemble" in rows for rows in table.values()):
        return True
    holds = True

    def line(text: str, values: list[float], *, held: bool) -> None:
        nonlocal holds
        holds = holds and held
        each = " ".join(f"{value:.3f}" for value in values)
        print(f"{'holds ' if held else 'MISSED'}  {text}: {each}")

    def ratios(rival: str) -> list[float]:
        return [
            rows["ensemble"]["pinball"] / rows[rival]["pinball"] for rows in table.values() if rival in rows
        ]

    print("\nensemble, series in the order above")
    best = [rows["ensemble"]["to_best"] for rows in table.values()]
    if np.isfinite(best).all():
        mean = float(np.exp(np.mean(np.log(best))))
        line(f"geometric mean to the best seasonal naive {mean:.3f}, 0.68 or less", best, held=mean <= 0.68)
        line("to the best seasonal naive, 1.0 or less on each", best, held=max(best) <= 1.0)
    if robust := ratios("naive"):
        line("to naive_robust, 1.02 or less on each", robust, held=max(robust) <= 1.02)
    if trees := ratios("lgbm"):
        mean = float(np.mean(trees))
        line("to LightGBM with conformal widening, 1.02 or less on each", trees, held=max(trees) <= 1.02)
        line(f"to LightGBM with conformal widening, mean {mean:.3f}, 0.92 or less", trees, held=mean <= 0.92)
    cover = [rows["ensemble"]["coverage_80"] for rows in table.values()]
    line("coverage of the 80 % band, 0.75 to 0.87 on each", cover, held=all(0.75 <= c <= 0.87 for c in cover))
    return holds


def splits(frame: Frame, train_share: float) -> int:
    """The row at which training ends."""
    return int(train_share * frame.rows)


def shared_series(
    text: str, time_column: str, seed: int
) -> tuple[str, Frame, str, int, str, tuple[str, ...]]:
    if text.startswith("plant:"):
        frame, zone = plant(int(text.removeprefix("plant:")))
        return text, frame, "air_m3_min", 96, zone, ()
    path, target, step, horizon, zone, *rest = text.split(":")
    asked = [each.partition("~") for each in rest[0].split(",")] if rest and rest[0] else []
    known = tuple(name for name, _, _ in asked)
    step_s = int(pd.Timedelta(step).total_seconds())
    frame = load_frame(
        Path(path), time_column=time_column, columns=(target,), known=known, step_s=step_s, tz=zone
    )
    columns = dict(frame.columns)
    for name, _, spread in asked:
        if spread:
            columns[name] = columns[name] + forecast_error(frame.rows, float(spread), step_s, seed)
    name = f"{Path(path).stem}:{target}" + (f":{rest[0]}" if rest else "")
    return name, Frame(frame.first_at, step_s, columns), target, int(horizon), zone, known


def forecast_error(count: int, spread: float, step_s: int, seed: int) -> np.ndarray:
    """[count] of an AR(1) error with that standard deviation and a memory of 12 h."""
    rng = np.random.default_rng(seed)
    keep = np.exp(-step_s / (12 * 3600))
    steps = rng.normal(0, spread * np.sqrt(1 - keep**2), count)
    steps[0] = rng.normal(0, spread)
    out = np.empty(count)
    level = 0.0
    for place, each in enumerate(steps):
        level = keep * level + each
        out[place] = level
    return out


def plant(seed: int, days: int = PLANT_DAYS) -> tuple[Frame, str]:
    """Quarter-hour means of the demand that the twin makes up for the example station, and its time zone."""
    site = load_site(STATION)
    station = next(iter(site.stations.values()))
    begin_at = datetime(2025, 1, 6, tzinfo=UTC)
    minutes = shift_demand(station, site.site.timezone, begin_at, days, seed).values
    means = np.array(minutes).reshape(-1, 15).mean(axis=1)
    return Frame(begin_at, 900, {"air_m3_min": means}), site.site.timezone


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
