"""`trimload tune-baseline`: the strongest conventional opponent for a station, found by search."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from agent.config.load import load_site
from agent.errors import DataError
from twin.baselines.best_file import best_body
from twin.baselines.tune import tune
from twin.commands.simulate import one_station, parse_local_instant, parse_step_s
from twin.metered import UNITS, metered_demand

EXIT_OK, EXIT_BAD_NEWS = 0, 1

_DESCRIPTION = """\
Search the best settings of a modern single-band sequencer for one station on a metered demand: level and width
of the band, target of the VSD, order or rule of selection, which machine trims, delays, run-on, reserve.
The result is what the agent is measured against: `trimload simulate --best best.json`.
"""
_EPILOG = """\
Tune on the first weeks of your data and compare on later ones. Settings that break a limit of service (0.1 % of
the time below minimum, dips of 0.2 bar, six starts an hour and machine, 0.05 % of the air short) lose against
any that do not.

  trimload tune-baseline SITE.toml --demand air.csv --column flow --unit m3/h --to 2026-03-16 --out best.json
  trimload simulate SITE.toml --demand air.csv --column flow --unit m3/h --from 2026-03-16 --best best.json

exit codes: 0 done; 1 done, but no settings keep the service limits; 2 bad input
"""


def command(argv: Sequence[str]) -> int:
    """Run `trimload tune-baseline`."""
    args = _parser().parse_args(list(argv))
    site = load_site(args.site)
    station_id = one_station(site, args.station)
    station = site.stations[station_id]
    demand, report = metered_demand(
        args.demand,
        column=args.column,
        unit=args.unit,
        station=station,
        timezone=site.site.timezone,
        time_column=args.time,
        from_at=args.from_,
        to_at=args.to,
        scale_to_peak_m3_min=args.scale_to_peak,
        seed=args.seed,
    )
    console = Console(stderr=args.json)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("tuning", total=1.0)
        tuned = tune(
            station,
            demand,
            samples=args.samples,
            seed=args.seed,
            step_s=args.step_s,
            progress=lambda share, kwh: progress.update(
                task, completed=share, description=f"tuning, {kwh:,.0f} kWh"
            ),
        )
    body = best_body(
        station_id,
        station,
        tuned,
        seed=args.seed,
        span=f"{report.from_at.isoformat()} to {report.to_at.isoformat()}",
    )
    text = json.dumps(body, indent=1, allow_nan=False) + "\n"
    try:
        args.out.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{args.out} cannot be written: {error.strerror}", where="--out", fix="name another file"
        ) from None
    if args.json:
        sys.stdout.write(text)
    console.print(
        f"{args.out}: {tuned.energy_corrected_kwh:,.0f} kWh, {tuned.energy_corrected_kwh / tuned.typical_kwh - 1:+.1%} "
        f"against sequencer:typical, {tuned.samples} settings tried",
        highlight=False,
        soft_wrap=True,
    )
    if tuned.excess > 0.0:
        console.print("no settings kept the limits of service: these broke them least", style="yellow")
        return EXIT_BAD_NEWS
    return EXIT_OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimload tune-baseline",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("site", type=Path, help="the site's configuration (its nameplates make the twin)")
    parser.add_argument("--demand", type=Path, required=True, help="CSV of the metered demand")
    parser.add_argument("--column", required=True, help="the column with the numbers")
    parser.add_argument("--time", help="the column with the time (default: found by itself)")
    parser.add_argument("--unit", required=True, choices=UNITS, help="unit of the column")
    parser.add_argument(
        "--scale-to-peak", type=float, metavar="M3_MIN", help="scale the highest hour to this"
    )
    parser.add_argument("--station", help="which station, where the site has several")
    parser.add_argument("--from", dest="from_", type=parse_local_instant, help="tune from here (local time)")
    parser.add_argument("--to", type=parse_local_instant, help="tune up to here")
    parser.add_argument("--out", type=Path, default=Path("best.json"), help="file to write (best.json)")
    parser.add_argument("--samples", type=_samples, default=160, help="settings to try (160)")
    parser.add_argument("--seed", type=int, default=1, help="of the search and of the noise")
    parser.add_argument("--step-s", type=parse_step_s, default=5.0, help="tick of the simulation (5)")
    parser.add_argument("--json", action="store_true", help="print the file's content as well")
    return parser


def _samples(text: str) -> int:
    if not 10 <= (value := int(text)) <= 100_000:
        raise argparse.ArgumentTypeError(f"{text} samples: give 10 to 100000")
    return value
