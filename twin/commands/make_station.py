"""`trimload make-station`: a compressor room from a seed, with a demand that fits it."""

from __future__ import annotations

import argparse
import csv
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.config.load import load_site
from agent.config.site import Site
from agent.errors import DataError
from twin.demand import DemandSeries, shift_demand
from twin.make_station import draw_station
from twin.metered import metered_demand
from twin.station_text import station_text

START_AT = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)  # a Monday, 00:00 in Berlin
EXIT_OK = 0

_DESCRIPTION = """\
Draw a compressor room: 3 to 8 screws, 0 to 2 of them with variable speed, at 6.3 to 12 bar, storage 1 to 10 US
gallons per cfm of them all. Sizes, specific power, part load and times come from catalogue ranges; the
same seed gives the same room. Writes DIR/site.toml and DIR/demand.csv (free air, one row a minute).
"""
_EPILOG = """\
The demand is made up from the room's shift hours, with breaks, week-ends, drift and surprises, or it takes the
shape of a metered file, scaled so that the room can deliver its highest hour.

  trimload make-station --seed 7 --out /tmp/s7
  trimload make-station --seed 7 --out /tmp/s7 --shape load.csv --column usage_kwh
  trimload simulate /tmp/s7/site.toml --demand /tmp/s7/demand.csv --column flow_m3_min --unit m3/min

exit codes: 0 done; 2 bad input
"""


def command(argv: Sequence[str]) -> int:
    """Run `trimload make-station`."""
    args = _parser().parse_args(list(argv))
    drawn = draw_station(args.seed)
    directory: Path = args.out
    path = directory / "site.toml"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        path.write_text(station_text(drawn), encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror}", where="--out", fix="name a directory of your own"
        ) from None
    site = load_site(path)
    demand = _demand(site, args)
    rows = write_demand(directory / "demand.csv", demand)
    machines = site.stations["air"].machines
    facts = {
        "site": str(path),
        "demand": str(directory / "demand.csv"),
        "seed": args.seed,
        "machines": len(machines),
        "vsd": sum(m.control == "vsd" for m in machines.values()),
        "pressure_min_bar_g": drawn.pressure_min_bar_g,
        "capacity_m3_min": round(sum(m.full_flow_m3_min for m in machines.values()), 2),
        "receiver_m3": drawn.receiver_m3,
        "gallons_per_cfm": round(drawn.gallons_per_cfm, 2),
        "demand_rows": rows,
        "demand_mean_m3_min": round(sum(demand.values) / len(demand.values), 3),
        "demand_max_m3_min": round(max(demand.values), 3),
    }
    if args.json:
        print(json.dumps(facts, indent=1))
    else:
        print(
            f"{path}: {facts['machines']} machines ({facts['vsd']} VSD), {facts['capacity_m3_min']} m3/min at "
            f"{drawn.pressure_min_bar_g:g} bar, {drawn.receiver_m3:g} m3 ({drawn.gallons_per_cfm:.1f} gal/cfm)\n"
            f"{facts['demand']}: {rows} minutes, mean {facts['demand_mean_m3_min']}, highest "
            f"{facts['demand_max_m3_min']} m3/min"
        )
    return EXIT_OK


def write_demand(path: Path, demand: DemandSeries) -> int:
    """Write instant and flow, one row a step; how many rows."""
    try:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(("timestamp", "flow_m3_min"))
            for index, value in enumerate(demand.values):
                at = demand.start_at + timedelta(seconds=index * demand.step_s)
                writer.writerow((at.isoformat().replace("+00:00", "Z"), f"{value:.4f}"))
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror}", where="--out", fix="name a directory of your own"
        ) from None
    return len(demand.values)


def _demand(site: Site, args: argparse.Namespace) -> DemandSeries:
    station, timezone = site.stations["air"], site.site.timezone
    if args.shape is None:
        return shift_demand(station, timezone, args.start, args.days, args.seed)
    if args.column is None:
        raise DataError(
            "--shape without --column", where="--column", fix="name the column with the numbers of the file"
        )
    demand, _ = metered_demand(
        args.shape, column=args.column, unit="shape", station=station, timezone=timezone, seed=args.seed
    )
    minutes = round(args.days * 1440)
    return DemandSeries(demand.start_at, demand.step_s, demand.values[:minutes])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimload make-station",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seed", type=int, required=True, help="which room: any whole number")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="directory to write into")
    parser.add_argument("--days", type=_days, default=28.0, help="length of the demand (28)")
    parser.add_argument("--start", type=_instant, default=START_AT, metavar="ISO", help="its first instant")
    parser.add_argument("--shape", type=Path, metavar="FILE.csv", help="take the shape of this metered file")
    parser.add_argument("--column", help="its column with the numbers")
    parser.add_argument("--json", action="store_true", help="say what was drawn as JSON")
    return parser


def _days(text: str) -> float:
    if not 0.1 <= (value := float(text)) <= 3660:
        raise argparse.ArgumentTypeError(f"{text} days: give 0.1 to 3660")
    return value


def _instant(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 2026-03-02T00:00:00Z") from None
    return at if at.tzinfo is not None else at.replace(tzinfo=UTC)
