"""trimload-train fit: one model file a site and target, for one site or ten thousand."""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.commands.options import data_options, instant, names, pair, zone
from training.commands.output import DONE, REFUSED, progress, say, write_json
from training.jobs import FitJob, JobResult, closed_days, run_job, run_jobs, site_facts


def add(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser("fit", help="train a model and write it as one ONNX file")
    parser.add_argument(
        "sites", nargs="*", type=Path, metavar="SITE.toml", help="time zone, country and unit come from it"
    )
    data_options(
        parser, data_help="Parquet or CSV; {site} stands for the site file's name, for many sites at once"
    )
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for the .onnx files; {site} as in --data"
    )
    parser.add_argument(
        "--hist-days", type=int, help="history window; by default 28, 14 or 7 by the length of the data"
    )
    parser.add_argument("--limits", type=pair, metavar="LOW,HIGH", help="physical limits of the target")
    parser.add_argument("--known-units", default="", metavar="U,U", help="units of the known columns")
    parser.add_argument(
        "--quick", action="store_true", help="seconds instead of a minute: for demos and tests"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes, for many sites (default 1)")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    sites: list[Path | None] = list(options.sites) or [None]
    jobs = [_job(options, site) for site in sites]
    if len(jobs) == 1:
        with progress(10) as tick:
            results = [run_job(jobs[0], tick)]
    else:
        results = []
        with progress(len(jobs)) as tick:
            for result in run_jobs(jobs, processes=max(1, options.jobs)):
                results.append(result)
                tick(result.name)
    for result in sorted(results, key=lambda each: each.name):
        say(options, f"{result.name or result.target}: {_outcome(result)}")
    write_json(options.json, {"jobs": [asdict(each) for each in results]})
    return DONE if all(each.error is None for each in results) else REFUSED


def _job(options: argparse.Namespace, site: Path | None) -> FitJob:
    facts = site_facts(site, options.target) if site is not None else {}
    name = site.stem if site is not None else ""
    tz = options.tz or facts.get("tz") or zone(options)
    return FitJob(
        data=Path(str(options.data).replace("{site}", name)),
        target=options.target,
        out=Path(str(options.out).replace("{site}", name)),
        time_column=options.time,
        tz=tz,
        step_s=options.step,
        horizon=options.horizon,
        known=names(options.known),
        known_units=names(options.known_units),
        unit=options.unit or facts.get("unit", ""),
        country=options.country or facts.get("country"),
        closed_days=closed_days(site) if site is not None else frozenset(),
        hist_days=options.hist_days,
        limits=options.limits,
        train_end=instant(options.train_end, tz, "--train-end") if options.train_end else None,
        seed=options.seed,
        quick=options.quick,
        name=name,
    )


def _outcome(result: JobResult) -> str:
    if result.error is not None:
        return f"failed: {result.error}; {result.fix}"
    return f"{result.model}  {result.metrics}"
