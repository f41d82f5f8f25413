"""`trimload simulate`: your own metered demand through agent, cascade and sequencer."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from rich.console import Console
from rich.progress import Progress

from agent.config.load import load_site
from agent.config.site import Site
from agent.errors import ConfigError, DataError
from agent.inference.model import Model, ModelRefusedError, load_model
from twin.account import account_table, service_warnings
from twin.baselines.best_file import read_best
from twin.baselines.cascade import Cascade
from twin.baselines.orders import ORDER_NAMES
from twin.baselines.sequencer import Sequencer, SequencerSettings
from twin.baselines.tune import tune
from twin.commands.foresight import NAIVE, PERFECT, past_of, save_demand, worth_text
from twin.demand import DemandSeries
from twin.metered import UNITS, metered_demand
from twin.simulate import ForecastKind, RunResult, Scene, run_agent, run_cascade, run_sequencer, summary

EXIT_OK, EXIT_BAD_NEWS = 0, 1
CONTROLLERS = (
    "all",
    "agent",
    "cascade",
    *(f"cascade:{order}" for order in ORDER_NAMES),
    "sequencer",
    "sequencer:typical",
    "sequencer:best",
)

_DESCRIPTION = """\
Run a metered demand through a simulated copy of the site's station, under the agent and under the best
conventional controllers, all on the same demand, noise and seed.
"""
_EPILOG = """\
The demand is any CSV with a time column and a number column, hourly to one minute. Gaps are reported.
Between the rows minute noise is added from the seed; each interval keeps its volume. The books open half
a simulated hour after the start; energy is corrected for the pressure at the end.

  trimload simulate examples/station_7bar/site.toml --demand air.csv --column flow --unit m3/h --controller all
  trimload simulate SITE.toml --demand load.csv --column usage_kwh --unit shape --json out.json

A second sequencer, sequencer:best, joins with --best FILE (from trimload tune-baseline), or with --tune-to: then
it is tuned first on the demand from --from up to there, and the comparison begins there.

exit codes: 0 done; 1 done, but the agent broke the service limits; 2 bad input
"""


def command(argv: Sequence[str]) -> int:
    """Run `trimload simulate`."""
    args = _parser().parse_args(list(argv))
    site = load_site(args.site)
    station_id = one_station(site, args.station)
    demand, report = metered_demand(
        args.demand,
        column=args.column,
        unit=args.unit,
        station=site.stations[station_id],
        timezone=site.site.timezone,
        time_column=args.time,
        from_at=args.from_,
        to_at=args.to,
        scale_to_peak_m3_min=args.scale_to_peak,
        seed=args.seed,
    )
    console = Console(stderr=args.json == "-")
    console.print(report.text(), highlight=False, soft_wrap=True)
    best, demand = _best(site, station_id, demand, args, console)
    if args.save_demand is not None:
        save_demand(args.save_demand, demand, f"{station_id}.demand_m3_min")
    kind, model = _forecast(args.forecast)
    past = None
    if model is not None:
        past = past_of(args.demand, demand, report, site, station_id, args.time)
        days = 0.0 if past is None else len(past.values) * past.step_s / 86400.0
        console.print(f"  {days:.1f} days of the file before the start are what the forecasts look back at")
    scene = Scene(
        site, station_id, demand, demand.start_at, demand.end_at, args.seed, step_s=args.step_s, past=past
    )
    for line in _beyond_capacity(scene):
        console.print(line, style="yellow", highlight=False, soft_wrap=True)
    runs = _runs(scene, args.controller, (kind, model), best, console)
    days = (scene.end_at - scene.start_at) / timedelta(days=1)
    title = f"{site.site.name or site.site.id}, station {station_id}, {days:.1f} days, seed {args.seed}"
    console.print(account_table(runs, title=title, currency=site.tariff.currency))
    if (worth := worth_text(runs)) is not None:
        console.print(worth, highlight=False, soft_wrap=True)
    warnings = service_warnings(runs)
    for warning in warnings:
        console.print(warning, style="yellow", highlight=False, soft_wrap=True)
    if args.json is not None:
        body: dict[str, Any] = {"runs": runs}
        if args.controller != "all":
            # The first one's figures on top: for agent and sequencer there is no other.
            body = {**next(iter(runs.values())), "runs": runs}
        _write_json(args.json, {**body, "demand": report.as_dict()})
    return EXIT_BAD_NEWS if any(warning.startswith("agent") for warning in warnings) else EXIT_OK


def _beyond_capacity(scene: Scene) -> list[str]:
    """A line when the demand asks for more than all machines together: a dip then is nobody's fault."""
    capacity = sum(m.full_flow_m3_min for m in scene.station.machines.values() if not m.locked_out)
    over = sum(1 for value in scene.demand.values if value > capacity) * scene.demand.step_s / 60.0
    if not over:
        return []
    return [
        f"  in {over:.0f} minutes the demand lies above the full capacity of {capacity:.1f} m3/min: no controller "
        "can hold the pressure there (is --unit right? --scale-to-peak makes it smaller)"
    ]


def _best(
    site: Site, station_id: str, demand: DemandSeries, args: argparse.Namespace, console: Console
) -> tuple[SequencerSettings | None, DemandSeries]:
    """Settings of sequencer:best, where any are to be had, and the demand to compare on."""
    station = site.stations[station_id]
    if args.best is not None:
        return read_best(args.best, station), demand
    if args.tune_to is None:
        if args.controller == "sequencer:best":
            raise DataError(
                "sequencer:best has no settings",
                where="--controller",
                fix="add --best FILE (from trimload tune-baseline) or --tune-to",
            )
        return None, demand
    to_at = args.tune_to if args.tune_to.tzinfo else args.tune_to.replace(tzinfo=ZoneInfo(site.site.timezone))
    count = round((to_at - demand.start_at).total_seconds() / demand.step_s)
    if not 0 < count < len(demand.values):
        raise DataError(
            f"{args.tune_to} is not inside the demand",
            where="--tune-to",
            fix="leave some of it to compare on",
        )
    past = DemandSeries(demand.start_at, demand.step_s, demand.values[:count])
    with _progress(console) as add:
        tell = add("tuning sequencer:best")
        tuned = tune(station, past, seed=args.seed, step_s=args.step_s, progress=lambda share, _: tell(share))
    return tuned.settings, DemandSeries(past.end_at, demand.step_s, demand.values[count:])


def _runs(
    scene: Scene,
    controller: str,
    forecast: tuple[ForecastKind, Model | None],
    best: SequencerSettings | None,
    console: Console,
) -> dict[str, dict[str, Any]]:
    kind, model = forecast
    jobs: dict[str, Callable[[Callable[[float], None]], RunResult]] = {}
    if _wanted("agent", controller):
        jobs["agent"] = lambda tell: run_agent(scene, kind, model=model, progress=tell)
        if model is not None:
            jobs[NAIVE] = lambda tell: run_agent(scene, "naive", progress=tell)
            jobs[PERFECT] = lambda tell: run_agent(scene, "perfect", progress=tell)
    for order in ORDER_NAMES:
        if _wanted(f"cascade:{order}", controller):
            cascade = Cascade(scene.station, order=order)
            jobs[f"cascade:{order}"] = lambda tell, c=cascade: run_cascade(scene, c, tell)  # type: ignore[misc]
    if _wanted("sequencer:typical", controller):
        jobs["sequencer:typical"] = lambda tell: run_sequencer(scene, Sequencer(scene.station), tell)
    if best is not None and _wanted("sequencer:best", controller):
        jobs["sequencer:best"] = lambda tell: run_sequencer(
            scene, Sequencer(scene.station, settings=best), tell
        )
    out: dict[str, dict[str, Any]] = {}
    with _progress(console) as add:
        for name, job in jobs.items():
            out[name] = summary(job(add(name)), scene.seed)
    return out


def _wanted(name: str, controller: str) -> bool:
    return controller in ("all", name, name.partition(":")[0])


@contextmanager
def _progress(console: Console) -> Any:
    """A bar per controller on a terminal; silence elsewhere."""
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:

        def add(name: str) -> Callable[[float], None]:
            task = progress.add_task(name, total=1.0)
            return lambda share: progress.update(task, completed=share)

        yield add


def _forecast(text: str) -> tuple[ForecastKind, Model | None]:
    if text in ("none", "naive", "perfect"):
        kinds: dict[str, ForecastKind] = {"none": "none", "naive": "naive", "perfect": "perfect"}
        return kinds[text], None
    path = Path(text)
    try:
        return "model", load_model(path.read_bytes())
    except OSError as error:
        raise DataError(
            f"model {path} cannot be read: {error.strerror}",
            where="--forecast",
            fix="write none, naive, perfect, or the path of an ONNX file from trimload-train fit",
        ) from None
    except ModelRefusedError as error:
        raise DataError(
            f"model {path} is refused: {error}",
            where="--forecast",
            fix="train it anew with trimload-train fit",
        ) from None


def one_station(site: Site, wanted: str | None) -> str:
    """The station that is meant. Raises ConfigError where that is not clear."""
    if wanted is None and len(site.stations) == 1:
        return next(iter(site.stations))
    if wanted in site.stations:
        assert wanted is not None
        return wanted
    known = ", ".join(site.stations) or "none"
    raise ConfigError(
        f"no station {wanted!r}" if wanted else f"the site has {len(site.stations)} stations",
        where="--station",
        fix=f"name one of: {known}",
    )


def _write_json(target: str, body: dict[str, Any]) -> None:
    text = json.dumps(body, indent=1, allow_nan=False) + "\n"
    if target == "-":
        sys.stdout.write(text)
        return
    try:
        Path(target).write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{target} cannot be written: {error.strerror}", where="--json", fix="name another file"
        ) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimload simulate",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("site", type=Path, help="the site's configuration (its nameplates make the twin)")
    parser.add_argument("--demand", type=Path, required=True, help="CSV of the metered demand")
    parser.add_argument("--column", required=True, help="the column with the numbers")
    parser.add_argument("--time", help="the column with the time (default: found by itself)")
    parser.add_argument(
        "--unit", required=True, choices=UNITS, help="unit of the column; shape: scale to the station"
    )
    parser.add_argument(
        "--scale-to-peak", type=float, metavar="M3_MIN", help="scale the highest hour to this flow"
    )
    parser.add_argument("--station", help="which station, where the site has several")
    parser.add_argument(
        "--from",
        dest="from_",
        type=parse_local_instant,
        help="begin here (local time of the site without offset)",
    )
    parser.add_argument("--to", type=parse_local_instant, help="end before this")
    parser.add_argument(
        "--controller",
        choices=CONTROLLERS,
        default="all",
        metavar="NAME",
        help=f"one of {', '.join(CONTROLLERS)}",
    )
    parser.add_argument(
        "--best", type=Path, metavar="FILE", help="settings of sequencer:best, from tune-baseline"
    )
    parser.add_argument(
        "--tune-to",
        type=parse_local_instant,
        metavar="ISO",
        help="tune sequencer:best up to here, compare from here",
    )
    parser.add_argument(
        "--forecast",
        default="naive",
        help="none, naive, perfect, or a model's ONNX file: then naive and perfect run beside it",
    )
    parser.add_argument(
        "--save-demand",
        type=Path,
        metavar="CSV",
        help="keep the demand as quarter hours of m3/min, for trimload-train fit",
    )
    parser.add_argument("--seed", type=int, default=1, help="of minute and sensor noise")
    parser.add_argument("--step-s", type=parse_step_s, default=5.0, help="tick of the simulation (5)")
    parser.add_argument("--json", metavar="OUT", help="write the figures here; - for standard output")
    return parser


def parse_step_s(text: str) -> float:
    """A tick of the simulation [s], for argparse."""
    if not 0.5 <= (value := float(text)) <= 60.0:
        raise argparse.ArgumentTypeError(f"{text} s: give 0.5 to 60")
    return value


def parse_local_instant(text: str) -> datetime:
    """An ISO time, local where it names no offset."""
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no time such as 2018-03-01 or 2018-03-01T06:00"
        ) from None
