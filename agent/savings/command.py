"""`trimload report`: what stations and zones used, and what the agent saved."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, cast
from zoneinfo import ZoneInfo

from agent.config.load import load_site
from agent.config.site import Site
from agent.errors import ConfigError, DataError, StoreError
from agent.savings.as_json import as_dict
from agent.savings.counterfactual import ENTRY_POINTS, Twin
from agent.savings.html import page
from agent.savings.measured import read_minutes
from agent.savings.report import Ask, Report, make_report
from agent.savings.text import text
from agent.savings.zones import ZoneReport, zone_report, zones_text
from agent.store.ledger import Entry
from agent.store.reading import HistoryReader, LedgerReader

EXIT_OK, EXIT_BAD_NEWS = 0, 1
_MOST_PLANS = 40_000  # a year of them, and each hour twice

_DESCRIPTION = """\
Key figures of a station from the agent's own store, and what was saved: against the site's old control,
simulated on the measured demand, and against an energy baseline by regression (ISO 50006). Weeks in observe
and advise give what the agent would have saved. It may be run beside the agent.
Of zones: comfort and energy by zone, unit and area, and what the plans foresaw of the schedules that were not sent.
"""
_EPILOG = """\
The old control stands in [stations.X.baseline] of site.toml. Without --from the report begins with the first
day in control; without --baseline-from the baseline is every whole day in observe or advise.
A figure that the data do not support is refused, with the reason.

  trimload report site.toml --by week --html report.html
  trimload report site.toml --state /var/lib/trimload --from 2026-05-01 --to 2026-06-01 --json
  trimload report /var/lib/trimload        (a state directory with a site.toml in it)

exit codes: 0 done; 1 done, but more was used than before, or no saving can be given; 2 bad input
"""


def command(argv: Sequence[str]) -> int:
    """Run `trimload report`."""
    args = _parser().parse_args(list(argv))
    site, state = _places(args.site, args.state)
    ids = [_known(site, args.station)] if args.station else list(site.stations)
    zones = site.hvac is not None and bool(site.hvac.zones) and not args.station
    if not ids and not zones:
        raise ConfigError(
            "the site has no compressed-air station and no zone",
            where=str(args.site),
            fix="add [stations.X] or [hvac.zones.X]",
        )
    if not ids and args.html is not None:
        raise ConfigError(
            "the page has stations, and the site has none",
            where="--html",
            fix="leave it out: zones are in the text and in --json",
        )
    zone = ZoneInfo(site.site.timezone)
    ask = Ask(
        _instant(args.from_, zone),
        _instant(args.to, zone),
        _instant(args.baseline_from, zone),
        _instant(args.baseline_to, zone),
        args.by,
    )
    twin = _twin()
    zone_figures: ZoneReport | None = None
    with HistoryReader(state / "history.db") as source:
        span = source.span()
        if span is None:
            raise DataError(
                "the history is empty", where=str(source.path), fix="let the agent run for a day first"
            )
        # The minute under way is not whole yet; a span to come is not asked for.
        from_at, to_at = span[0], max(span[1], span[0] + timedelta(minutes=1))
        reports = [
            make_report(
                site, name, read_minutes(source, name, site.stations[name], from_at, to_at), ask, twin
            )
            for name in ids
        ]
        if zones:
            rows = _plans(state)
            zone_figures = zone_report(source, site, ask.from_at or from_at, ask.to_at or to_at, rows)
    _give(reports, zone_figures, args)
    savings = [report.headline for report in reports]
    return EXIT_BAD_NEWS if any(s is None or s.saved_kwh < 0.0 for s in savings) else EXIT_OK


def _give(reports: Sequence[Report], zones: ZoneReport | None, args: argparse.Namespace) -> None:
    if args.html is not None:
        _write(args.html, page(reports), "--html")
    if args.json is not None:
        bodies = [as_dict(report) for report in reports]
        body: dict[str, Any] = bodies[0] if len(bodies) == 1 else {"stations": bodies}
        if zones is not None:
            body["hvac"] = asdict(zones) | {
                "from_at": zones.from_at.isoformat(),
                "to_at": zones.to_at.isoformat(),
            }
        _write(args.json, json.dumps(body, indent=1, allow_nan=False) + "\n", "--json")
    if args.json != "-":
        told = [text(report) for report in reports] + ([] if zones is None else [zones_text(zones)])
        print("\n\n".join(told))


def _plans(state: Path) -> list[Entry]:
    """The plans of the zones, oldest first; none where there is no ledger."""
    try:
        with LedgerReader(state / "ledger.db") as ledger:
            return ledger.newest(("hvac_plan",), _MOST_PLANS)[::-1]
    except StoreError:
        return []


def _write(target: str, content: str, option: str) -> None:
    if target == "-":
        sys.stdout.write(content)
        return
    try:
        Path(target).write_text(content, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{target} cannot be written: {error.strerror}", where=option, fix="name another file"
        ) from None


def _places(given: Path, state: Path | None) -> tuple[Site, Path]:
    """The site, and the directory with its history."""
    if given.is_dir():
        inside = given / "site.toml"
        if not inside.is_file():
            raise ConfigError(
                "the directory holds no site.toml: nothing says what its tags mean",
                where=str(given),
                fix=f"write `trimload report SITE.toml --state {given}`",
            )
        return load_site(inside), state or given
    site = load_site(given)
    return site, state or site.storage.directory


def _known(site: Site, station_id: str) -> str:
    if station_id in site.stations:
        return station_id
    raise ConfigError(
        f"no station {station_id!r}", where="--station", fix=f"name one of: {', '.join(site.stations)}"
    )


def _twin() -> Twin | None:
    """Whoever simulates the plant; None on a gateway that has only the agent."""
    for point in entry_points(group=ENTRY_POINTS):
        try:
            return cast("Twin", point.load())
        except ModuleNotFoundError:
            continue
    return None


def _instant(local: datetime | None, zone: ZoneInfo) -> datetime | None:
    """Without an offset it is the site's own time."""
    if local is None:
        return None
    return (local if local.tzinfo is not None else local.replace(tzinfo=zone)).astimezone(UTC)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimload report",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("site", type=Path, metavar="SITE.toml|STATE_DIR", help="the site's configuration")
    parser.add_argument("--state", type=Path, help="state directory (default: [storage] directory)")
    parser.add_argument("--station", help="one station only, where the site has several")
    parser.add_argument("--from", dest="from_", type=_time, help="begin here (the site's own time)")
    parser.add_argument("--to", type=_time, help="end before this")
    parser.add_argument("--baseline-from", type=_time, help="the baseline begins here")
    parser.add_argument("--baseline-to", type=_time, help="and ends before this")
    parser.add_argument("--by", choices=("day", "week", "month"), default="day", help="rows of the table")
    parser.add_argument(
        "--json", metavar="OUT", nargs="?", const="-", help="figures for machines; alone: to standard output"
    )
    parser.add_argument("--html", metavar="OUT", help="a page to print, everything in one file")
    return parser


def _time(written: str) -> datetime:
    try:
        return datetime.fromisoformat(written)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{written!r} is no time such as 2026-05-01 or 2026-05-01T06:00"
        ) from None
