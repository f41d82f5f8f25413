"""trimload-train fit: one model file a site and target, for one site or ten thousand."""

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from agent.errors import DataError, TrimloadError
from training.commands.options import data_options, instant, known_names, names, pair, steps, zone
from training.commands.output import DONE, REFUSED, progress, say, write_json
from training.jobs import FitJob, JobResult, closed_days, run_job, site_facts
from training.results import done_before, result_table
from training.runners import Runner, local_pool, ray_cluster, run_jobs


def add(commands: Any) -> None:
    """The command's arguments."""
    parser = commands.add_parser("fit", help="train a model and write it as one ONNX file")
    parser.add_argument(
        "sites", nargs="*", type=Path, metavar="SITE.toml", help="time zone, country and unit come from it"
    )
    data_options(
        parser,
        data_help="Parquet or CSV; {site} stands for the site file's name (its folder's for site.toml), for many sites",
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
    many = parser.add_argument_group("many sites")
    many.add_argument("--jobs", type=steps, default=1, help="sites at once (default 1)")
    many.add_argument(
        "--runner",
        choices=("pool", "ray"),
        default="pool",
        help="processes here, or a Ray cluster (default pool)",
    )
    many.add_argument(
        "--ray-address", metavar="ADDRESS", help="a running cluster; without it one is begun here"
    )
    many.add_argument("--retries", type=int, default=1, help="tries more for a lost process (default 1)")
    many.add_argument("--table", type=Path, metavar="OUT.csv", help="a row a site, written as each ends")
    many.add_argument("--resume", action="store_true", help="leave out the sites that --table has as done")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    named = _named(options.sites)
    before = done_before(options.table) if options.resume and options.table else []
    done = {(each["site"], each["target"]) for each in before}
    jobs: list[FitJob] = []
    results: list[JobResult] = []
    with result_table(options.table, before) as keep:
        for name, site in named:
            if (name, options.target) in done:
                continue
            try:
                jobs.append(_job(options, site, name))
            except TrimloadError as error:
                if site is None or len(named) == 1:
                    raise
                # One site's broken file is that site's failure.
                results.append(JobResult(name, options.target, error=error.what, fix=error.fix))
                keep(results[-1])
        if len(named) == 1 and options.runner == "pool":
            with progress(10) as tick:
                results += [run_job(each, tick) for each in jobs]
            for each in results:
                keep(each)
        else:
            with progress(len(jobs)) as tick:
                for result in run_jobs(jobs, _runner(options), retries=max(0, options.retries)):
                    results.append(result)
                    keep(result)
                    tick(result.name)
    for result in sorted(results, key=lambda each: each.name):
        say(options, f"{result.name or result.target}: {_outcome(result)}")
    failed = [each for each in results if each.error is not None]
    if len(named) > 1:
        say(
            options,
            f"{len(results) - len(failed)} of {len(results)} sites trained, {len(failed)} failed, "
            f"{len(before)} done before; {sum(each.cpu_s for each in results):.0f} CPU s",
        )
    write_json(options.json, {"jobs": [asdict(each) for each in results], "done_before": len(before)})
    return DONE if not failed else REFUSED


def _named(sites: Sequence[Path]) -> list[tuple[str, Path | None]]:
    """Each site's name: its file's, or its folder's where the file is called site.toml. Raises DataError for twins."""
    if not sites:
        return [("", None)]
    named = [(each.resolve().parent.name if each.stem == "site" else each.stem, each) for each in sites]
    twins = [name for name, count in Counter(name for name, _ in named).items() if count > 1]
    if twins:
        raise DataError(
            f"{len(twins)} names stand for more than one site: {', '.join(twins[:5])}",
            where="SITE.toml",
            fix="give each site's file, or the folder of its site.toml, a name of its own",
        )
    return list(named)


def _runner(options: argparse.Namespace) -> Runner:
    if options.runner == "ray":
        return ray_cluster(options.ray_address, options.jobs)
    return local_pool(options.jobs)


def _job(options: argparse.Namespace, site: Path | None, name: str) -> FitJob:
    facts = site_facts(site, options.target) if site is not None else {}
    tz = options.tz or facts.get("tz") or zone(options)
    return FitJob(
        data=Path(str(options.data).replace("{site}", name)),
        target=options.target,
        out=Path(str(options.out).replace("{site}", name)),
        time_column=options.time,
        tz=tz,
        step_s=options.step,
        horizon=options.horizon,
        known=known_names(options),
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
        plan=Path(str(options.plan).replace("{site}", name)) if options.plan is not None else None,
        site=site,
    )


def _outcome(result: JobResult) -> str:
    if result.error is not None:
        return f"failed: {result.error}; {result.fix}"
    shown = ("ratio_naive", "judge_coverage", "residual_share", "network_share", "leaves", "trees")
    said = ", ".join(f"{name} {result.metrics[name]:.3g}" for name in shown if name in result.metrics)
    return f"{result.model}  {said}"
