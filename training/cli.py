"""trimload-train: fit, back-test, report and publish forecasters."""

import argparse
import csv
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd

from agent.errors import DataError, TrimloadError
from agent.inference.contract import QUANTILES
from training.backtest import (
    MODELS,
    Plan,
    Result,
    default_origins,
    origins_from_file,
    run_backtest,
    score,
    truth_of,
)
from training.dataset import Frame, country_holidays, load_frame
from training.jobs import FitJob, JobResult, run_job, run_jobs, site_facts
from training.publish import publish
from training.report import write_report

Tick = Callable[[str], None]

DONE, REFUSED, WRONG = 0, 1, 2
EXAMPLES = """examples
  Train on a site's history, one model file a target:
    trimload-train fit site.toml --data history.parquet --target air_demand --out models/
  Is it better than the naive rules, on your own data?
    trimload-train backtest --data load.csv --time timestamp --target kw --step 15min --horizon 96 \\
        --train-end 2024-10-01 --models naive,lgbm,ensemble --json scores.json --predictions forecasts.csv
  Look at it, then let the gate decide:
    trimload-train report --scores scores.json --predictions forecasts.csv --data load.csv --target kw --out report.html
    trimload-train publish models/kw.onnx --data load.csv --to published/

exit codes
  0 done   1 a job failed, or the gate refused (the reasons are printed)   2 wrong arguments or data"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is the result."""
    parser = _parser()
    try:
        options = parser.parse_args(argv)
    except SystemExit as stop:
        return int(stop.code or 0)
    try:
        code: int = options.run(options)
    except TrimloadError as error:
        if getattr(options, "json", None) == Path("-"):
            print(json.dumps({"error": error.as_dict()}))
        print(
            f"{type(error).__name__}: {error.what}\n  where: {error.where}\n  fix:   {error.fix}",
            file=sys.stderr,
        )
        return WRONG
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimload-train",
        description=__doc__,
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    fit = commands.add_parser("fit", help="train a model and write it as one ONNX file")
    fit.add_argument(
        "sites", nargs="*", type=Path, metavar="SITE.toml", help="time zone, country and unit come from it"
    )
    _data_options(
        fit, data_help="Parquet or CSV; {site} stands for the site file's name, for many sites at once"
    )
    fit.add_argument(
        "--out", type=Path, required=True, help="folder for the .onnx files; {site} as in --data"
    )
    fit.add_argument(
        "--hist-days", type=int, help="history window; by default 28, 14 or 7 by the length of the data"
    )
    fit.add_argument("--limits", type=_pair, metavar="LOW,HIGH", help="physical limits of the target")
    fit.add_argument("--known-units", default="", metavar="U,U", help="units of the known columns")
    fit.add_argument("--quick", action="store_true", help="seconds instead of a minute: for demos and tests")
    fit.add_argument("--jobs", type=int, default=1, help="processes, for many sites (default 1)")
    fit.set_defaults(run=_fit)

    backtest = commands.add_parser("backtest", help="rolling-origin comparison on your own data")
    _data_options(backtest)
    backtest.add_argument(
        "--origins", type=Path, metavar="FILE.json", help="JSON list of ISO stamps; default 40, spread"
    )
    backtest.add_argument("--models", default="naive,lgbm,ensemble", help=f"some of {','.join(MODELS)}")
    backtest.add_argument(
        "--predictions", type=Path, metavar="OUT.csv", help="model,origin,timestamp,p10,p50,p90"
    )
    backtest.add_argument("--hist-days", type=int)
    backtest.add_argument("--quick", action="store_true", help="small training, for a first look")
    backtest.add_argument("--limits", type=_pair, metavar="LOW,HIGH")
    backtest.set_defaults(run=_backtest)

    report = commands.add_parser("report", help="one HTML page of a back-test")
    report.add_argument("--scores", type=Path, required=True, help="the --json file of backtest")
    report.add_argument("--predictions", type=Path, required=True)
    _data_options(report)
    report.add_argument("--out", type=Path, required=True, metavar="REPORT.html")
    report.set_defaults(run=_report)

    publishing = commands.add_parser(
        "publish", help="publish a model if it beats naive and the model in force"
    )
    publishing.add_argument("model", type=Path, metavar="MODEL.onnx")
    publishing.add_argument("--champion", type=Path, metavar="OLD.onnx", help="the model in force")
    publishing.add_argument(
        "--data", type=Path, required=True, help="must reach beyond the model's training span"
    )
    publishing.add_argument("--time", default="timestamp", metavar="COLUMN")
    publishing.add_argument("--country", help="ISO code for public holidays")
    publishing.add_argument("--to", type=Path, required=True, help="folder of published models")
    publishing.add_argument("--json", type=Path, metavar="OUT.json", help="verdict; - for standard output")
    publishing.set_defaults(run=_publish)
    return parser


def _data_options(parser: argparse.ArgumentParser, data_help: str = "CSV or Parquet, gaps allowed") -> None:
    parser.add_argument("--data", required=True, help=data_help)
    parser.add_argument("--target", required=True, help="column to forecast")
    parser.add_argument(
        "--time", default="timestamp", metavar="COLUMN", help="start of each interval (default timestamp)"
    )
    parser.add_argument(
        "--known", default="", metavar="A,B", help="columns known ahead: plan, shifts, weather forecast"
    )
    parser.add_argument("--step", type=_seconds, default=900, help="grid: 15min, 30min, 1h (default 15min)")
    parser.add_argument("--horizon", type=int, default=96, help="steps ahead (default 96)")
    parser.add_argument("--tz", help="zone of the plant and of stamps without offset (default UTC)")
    parser.add_argument("--unit", help="unit of the target")
    parser.add_argument("--country", help="ISO code for public holidays, such as DE")
    parser.add_argument("--train-end", type=_stamp, help="training sees only data before it")
    parser.add_argument("--seed", type=int, default=1, help="same seed and data, same bits (default 1)")
    parser.add_argument(
        "--json", type=Path, metavar="OUT.json", help="results as JSON; - for standard output"
    )


def _fit(options: argparse.Namespace) -> int:
    sites: list[Path | None] = list(options.sites) or [None]
    jobs = [_job(options, site) for site in sites]
    if len(jobs) == 1:
        with _progress(10) as tick:
            results = [run_job(jobs[0], tick)]
    else:
        results = []
        with _progress(len(jobs)) as tick:
            for result in run_jobs(jobs, processes=max(1, options.jobs)):
                results.append(result)
                tick(result.name)
    for result in sorted(results, key=lambda each: each.name):
        _say(options, f"{result.name or result.target}: {_outcome(result)}")
    _write_json(options.json, {"jobs": [asdict(each) for each in results]})
    return DONE if all(each.error is None for each in results) else REFUSED


def _job(options: argparse.Namespace, site: Path | None) -> FitJob:
    facts = site_facts(site, options.target) if site is not None else {}
    name = site.stem if site is not None else ""
    return FitJob(
        data=Path(str(options.data).replace("{site}", name)),
        target=options.target,
        out=Path(str(options.out).replace("{site}", name)),
        time_column=options.time,
        tz=options.tz or facts.get("tz", "UTC"),
        step_s=options.step,
        horizon=options.horizon,
        known=_names(options.known),
        known_units=_names(options.known_units),
        unit=options.unit or facts.get("unit", ""),
        country=options.country or facts.get("country"),
        hist_days=options.hist_days,
        limits=options.limits,
        train_end=options.train_end,
        seed=options.seed,
        quick=options.quick,
        name=name,
    )


def _outcome(result: JobResult) -> str:
    if result.error is not None:
        return f"failed: {result.error}; {result.fix}"
    return f"{result.model}  {result.metrics}"


def _load(options: argparse.Namespace, columns: Sequence[str]) -> Frame:
    return load_frame(
        Path(options.data),
        time_column=options.time,
        columns=columns,
        step_s=options.step,
        tz=options.tz or "UTC",
    )


def _backtest(options: argparse.Namespace) -> int:
    known = _names(options.known)
    frame = _load(options, (options.target, *known))
    if options.train_end is None:
        end_row = int(0.8 * frame.rows)
    else:
        end_row = frame.row_of(options.train_end)
        if not 0 < end_row <= frame.rows:
            raise DataError(
                "the end of training lies outside the data",
                where="--train-end",
                fix="name a day inside the data",
            )
    origins = (
        origins_from_file(options.origins, frame)
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
    holidays = (
        country_holidays(options.country, frame.first_at.date(), frame.end_at.date())
        if options.country
        else frozenset()
    )
    plan = Plan(
        options.target,
        options.horizon,
        known,
        options.tz or "UTC",
        end_row,
        origins,
        options.unit or "",
        options.limits,
        holidays,
        options.hist_days,
        options.seed,
        options.quick,
    )
    models = _names(options.models)
    with _progress(len(origins) * len(models)) as tick:
        results = run_backtest(frame, plan, models, tick=tick)
    scores = score(frame, plan, results)
    _say(options, f"{'model':10}{'pinball':>10}{'WQL':>8}{'WAPE':>8}{'MASE':>8}{'cover':>8}")
    for name, values in scores.items():
        _say(
            options,
            f"{name:10}{values['pinball']:10.4g}{values['wql']:8.3f}{values['wape']:8.3f}"
            f"{values['mase']:8.3f}{values['coverage_80']:8.1%}",
        )
    if options.predictions:
        _write_predictions(options.predictions, frame, plan, results)
    gaps = int((~np.isfinite(frame.columns[options.target])).sum())
    _write_json(
        options.json,
        {
            "target": options.target,
            "unit": options.unit or "",
            "step_s": frame.step_s,
            "horizon": options.horizon,
            "known": known,
            "train_end": frame.at(end_row).isoformat(),
            "origins": len(origins),
            "rows": frame.rows,
            "missing": gaps,
            "truth_known": float(np.isfinite(truth_of(frame, plan)).mean()),
            "quantiles": QUANTILES,
            "seed": options.seed,
            "models": scores,
        },
    )
    return DONE


def _write_predictions(path: Path, frame: Frame, plan: Plan, results: Sequence[Result]) -> None:
    with path.open("w", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["model", "origin", "timestamp", "p10", "p50", "p90"])
        for result in results:
            for origin, quantiles in zip(plan.origins, result.quantiles, strict=True):
                origin_text = _iso(frame.at(origin))
                for step, row in enumerate(quantiles):
                    writer.writerow(
                        [
                            result.model,
                            origin_text,
                            _iso(frame.at(origin + step)),
                            *(f"{value:.7g}" for value in row),
                        ]
                    )


def _report(options: argparse.Namespace) -> int:
    frame = _load(options, (options.target,))
    stamps = pd.date_range(frame.first_at, periods=frame.rows, freq=f"{frame.step_s}s")
    truth = pd.Series(frame.columns[options.target], index=stamps)
    write_report(options.scores, options.predictions, truth, options.out)
    _say(options, f"wrote {options.out}")
    return DONE


def _publish(options: argparse.Namespace) -> int:
    from training.publish import open_model

    contract = open_model(options.model)[1].contract
    columns = (contract.target, *(each.name for each in contract.known))
    frame = load_frame(
        options.data, time_column=options.time, columns=columns, step_s=contract.step_s, tz=contract.tz
    )
    holidays = (
        country_holidays(options.country, frame.first_at.date(), frame.end_at.date())
        if options.country
        else frozenset()
    )
    with _progress(120) as tick:
        done = publish(frame, options.model, options.champion, options.to, holidays=holidays, tick=tick)
    for name, value in done.verdict.numbers.items():
        _say(options, f"{name:22}{value:10.4g}")
    for reason in done.verdict.reasons:
        _say(options, f"not published: {reason}")
    if done.manifest is not None:
        _say(options, f"published: {done.manifest}")
    _write_json(options.json, asdict(done.verdict))
    return DONE if done.verdict.publish else REFUSED


@contextmanager
def _progress(total: int) -> Iterator[Tick]:
    """A bar on a terminal's standard error, silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:24}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=total)
        yield lambda text: bar.update(task, advance=1, description=text)


def _say(options: argparse.Namespace, text: str) -> None:
    if getattr(options, "json", None) != Path("-"):
        print(text)


def _write_json(path: Path | None, body: object) -> None:
    if path is None:
        return
    text = json.dumps(body, indent=2, default=str)
    if path == Path("-"):
        print(text)
    else:
        path.write_text(text + os.linesep)


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _pair(text: str) -> tuple[float, float]:
    low, high = (float(part) for part in text.split(","))
    if not low < high:
        raise argparse.ArgumentTypeError(f"{text}: give LOW,HIGH with LOW below HIGH")
    return low, high


def _seconds(text: str) -> int:
    step_s = int(pd.Timedelta(text).total_seconds())
    if step_s < 60 or 3600 % step_s:
        raise argparse.ArgumentTypeError(f"{text}: give a step of 1 min to 1 h that divides an hour")
    return step_s


def _stamp(text: str) -> datetime:
    stamp = datetime.fromisoformat(text)
    return stamp if stamp.tzinfo else stamp.replace(tzinfo=UTC)


def _iso(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


if __name__ == "__main__":
    sys.exit(main())
