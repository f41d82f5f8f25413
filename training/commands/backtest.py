"""trimload-train backtest: every method at the same origins of the user's own data."""

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import DataError
from agent.inference.contract import QUANTILES
from training.backtest import MODELS, Result, run_backtest, score, truth_of
from training.commands.options import data_options, holidays_of, instant, known_names, load, names, pair, zone
from training.commands.output import DONE, iso, progress, say, write_json
from training.dataset import Frame
from training.origins import Plan, default_origins, origins_from_file


def add(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser("backtest", help="rolling-origin comparison on your own data")
    data_options(parser)
    parser.add_argument(
        "--origins", type=Path, metavar="FILE.json", help="JSON list of ISO stamps; default 40, spread"
    )
    parser.add_argument("--models", default="naive,lgbm,ensemble", help=f"some of {','.join(MODELS)}")
    parser.add_argument(
        "--predictions", type=Path, metavar="OUT.csv", help="model,origin,timestamp,p10,p50,p90"
    )
    parser.add_argument("--hist-days", type=int)
    parser.add_argument("--quick", action="store_true", help="small training, for a first look")
    parser.add_argument("--limits", type=pair, metavar="LOW,HIGH")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    known, tz = known_names(options), zone(options)
    frame = load(options, (options.target,), known)
    if not np.isfinite(frame.columns[options.target]).any():
        raise DataError(
            f"{options.target} holds no number", where=str(options.data), fix="name another column"
        )
    end_row = int(0.8 * frame.rows)
    if options.train_end is not None:
        end_row = frame.row_of(instant(options.train_end, tz, "--train-end"))
        if not 0 < end_row <= frame.rows:
            raise DataError(
                "the end of training lies outside the data",
                where="--train-end",
                fix=f"name a day between {iso(frame.first_at)} and {iso(frame.end_at)}",
            )
    origins = (
        origins_from_file(options.origins, frame, tz)
        if options.origins
        else default_origins(frame, horizon=options.horizon, train_end_row=end_row, target=options.target)
    )
    early = [o for o in origins if o < end_row]
    if early:
        raise DataError(
            f"{len(early)} origins lie before the end of training",
            where="--origins",
            fix="move --train-end before the first origin",
        )
    plan = Plan(
        options.target,
        options.horizon,
        known,
        tz,
        end_row,
        origins,
        options.unit or "",
        options.limits,
        holidays_of(options, frame),
        options.hist_days,
        options.seed,
        options.quick,
    )
    for note in frame.notes:
        print(f"note: {note}", file=sys.stderr)
    models = names(options.models)
    with progress(len(origins) * len(models)) as tick:
        results = run_backtest(frame, plan, models, tick=tick)
    scores = score(frame, plan, results)
    say(options, f"{'model':10}{'pinball':>10}{'WQL':>8}{'WAPE':>8}{'MASE':>8}{'cover':>8}")
    for name, values in scores.items():
        say(
            options,
            f"{name:10}{values['pinball']:10.4g}{values['wql']:8.3f}{values['wape']:8.3f}"
            f"{values['mase']:8.3f}{values['coverage_80']:8.1%}",
        )
        if "untrained" in values:
            say(options, f"{name}: the naive rule, for {values['untrained']}")
    if options.predictions:
        _write_predictions(options.predictions, frame, plan, results)
    write_json(options.json, _body(options, frame, plan, scores))
    return DONE


def _body(options: argparse.Namespace, frame: Frame, plan: Plan, scores: object) -> dict[str, object]:
    return {
        "target": plan.target,
        "unit": plan.unit,
        "step_s": frame.step_s,
        "horizon": plan.horizon,
        "known": plan.known,
        "train_end": frame.at(plan.train_end_row).isoformat(),
        "origins": len(plan.origins),
        "rows": frame.rows,
        "missing": int((~np.isfinite(frame.columns[plan.target])).sum()),
        "truth_known": float(np.isfinite(truth_of(frame, plan)).mean()),
        "quantiles": QUANTILES,
        "seed": options.seed,
        "notes": frame.notes,
        "models": scores,
    }


def _write_predictions(path: Path, frame: Frame, plan: Plan, results: Sequence[Result]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["model", "origin", "timestamp", "p10", "p50", "p90"])
        for result in results:
            for origin, quantiles in zip(plan.origins, result.quantiles, strict=True):
                origin_text = iso(frame.at(origin))
                for step, row in enumerate(quantiles):
                    values = (f"{value:.7g}" for value in row)
                    writer.writerow([result.model, origin_text, iso(frame.at(origin + step)), *values])
