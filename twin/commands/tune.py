"""`trimload tune`: better numbers for a station's band, found on its own twin from the weeks that were watched."""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import Progress

from agent.config.load import load_site
from agent.config.site import Site, Station
from agent.errors import ConfigError, DataError
from agent.savings.daily import LEAST_COVERAGE
from agent.savings.measured import MINUTE_S, StationMinutes, read_minutes
from agent.savings.periods import periods
from agent.store.reading import HistoryReader
from twin.baselines.best_file import read_best
from twin.commands.simulate import one_station
from twin.counterfactual.machine_fit import fit_balance, fit_machines, fitted_station
from twin.counterfactual.simulate import filled
from twin.demand import DemandSeries
from twin.start_budget import (
    KEY,
    StartsBudget,
    budget_text,
    sequencer_starts_a_day,
    watched_habit,
    weigh_budget,
)
from twin.tune_agent import KEYS, LEAST_DAYS, Proposal, cut, gain_text, tune_agent

EXIT_OK, EXIT_BAD_NEWS = 0, 1

_DESCRIPTION = """\
Search the numbers of a station's band - width, floor, lead, weight of a start, swing of the demand - on its own twin:
machines calibrated on the minutes in which the plant was left alone (observe, advise), demand as it was measured.
Proposes a change of site.toml, with what it is worth and how the plant would have been served; nothing is applied.
"""
_EPILOG = """\
The last third of the days is kept back from the search. A proposal saves at least 0.5 % there, with the luck of these days
taken off (90 %, day by day), breaks no limit of service further than the present numbers do (0.1 % of the time below
minimum, dips of 0.2 bar, six starts an hour and machine), and asks for no more than a fifth more starts.
Where the control before (or the sequencer of --baseline) starts machines clearly less often than the agent would, its
starts are proposed as starts_per_day_budget, with the energy that they cost: a budget spares motors and saves nothing.

  trimload tune site.toml                          the agent's own state directory
  trimload tune site.toml --state ./state --samples 80
  trimload tune site.toml --history history.db --json

exit codes: 0 a better setting or a budget is proposed; 1 none that holds on the days kept back: keep site.toml; 2 bad input
"""


class Past(NamedTuple):
    """What the store gave: whole days of demand back to back, the plant as its meters show it, notes."""

    demand: DemandSeries
    true_station: Station
    notes: tuple[str, ...]


def command(argv: Sequence[str]) -> int:
    """Run `trimload tune`."""
    args = _parser().parse_args(list(argv))
    site = load_site(args.site)
    station_id = one_station(site, args.station)
    path = args.history or Path(args.state or site.storage.directory) / "history.db"
    with HistoryReader(path) as source:
        span = source.span()
        if span is None:
            raise DataError(
                "the history is empty", where=str(path), fix="let the agent watch for two weeks first"
            )
        station = site.stations[station_id]
        minutes = read_minutes(
            source, station_id, station, span[0], max(span[1], span[0] + timedelta(minutes=1))
        )
    past = past_of(site, station_id, minutes, str(path))
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("tuning", total=1.0)
        proposal = tune_agent(
            site,
            station_id,
            past.true_station,
            past.demand,
            samples=args.samples,
            seed=args.seed,
            progress=lambda share, text: progress.update(
                task, completed=share, description=f"tuning, {text}"
            ),
        )
    budget = _budget(site, station_id, past, minutes, proposal, args)
    text = args.site.read_text(encoding="utf-8")
    diff = site_diff(text, station_id, proposal.settings, str(args.site)) if proposal.holds else ""
    budget_diff = (
        site_diff(text, station_id, {KEY: budget.budget}, str(args.site))
        if budget is not None and budget.proposed
        else ""
    )
    if args.json:
        sys.stdout.write(
            json.dumps(
                {
                    **_body(station_id, proposal, past, diff),
                    "starts_budget": _budget_body(budget, budget_diff),
                },
                indent=1,
                allow_nan=False,
            )
            + "\n"
        )
    else:
        lines = [*past.notes, *gain_text(proposal), "", *_verdict(proposal, diff)]
        if budget is not None:
            lines += ["", budget_text(budget), *(["", budget_diff] if budget_diff else [])]
        sys.stdout.write("\n".join(lines) + "\n")
    return EXIT_OK if diff or budget_diff else EXIT_BAD_NEWS


def _budget(
    site: Site,
    station_id: str,
    past: Past,
    minutes: StationMinutes,
    proposal: Proposal,
    args: argparse.Namespace,
) -> StartsBudget | None:
    """The agent's starts beside those of the tuned sequencer, else of the control that was watched; None without either."""
    station = site.stations[station_id]
    days = proposal.searched_days + proposal.held_out_days
    kept_back = cut(past.demand, proposal.searched_days, days)
    habit = watched_habit(minutes)
    if args.baseline is not None:
        whose = f"the sequencer of {args.baseline.name}"
        theirs = sequencer_starts_a_day(
            site, station_id, past.true_station, kept_back, read_best(args.baseline, station), seed=args.seed
        )
    elif habit is not None:
        whose, theirs = "the control before", habit.starts_per_day
    else:
        return None
    return weigh_budget(
        site,
        station_id,
        past.true_station,
        kept_back,
        proposal.settings if proposal.holds else {},
        theirs_a_day=theirs,
        whose=whose,
        habit=habit,
        seed=args.seed,
    )


def past_of(site: Site, station_id: str, minutes: StationMinutes, where: str) -> Past:
    """Whole days of measured demand, and the plant fitted on the minutes in which it was left alone."""
    station = site.stations[station_id]
    known = np.isfinite(minutes.demand_m3_min)
    days: list[np.ndarray] = []
    for day in periods(minutes.start_at, minutes.end_at, site.site.timezone, "day"):
        cut = slice(minutes.index_of(day.from_at), minutes.index_of(day.to_at))
        # Days of 23 or 25 hours would shift every shift behind them.
        if day.whole and cut.stop - cut.start == 1440 and known[cut].mean() >= LEAST_COVERAGE:
            days.append(filled(minutes.demand_m3_min)[cut])
    if len(days) < LEAST_DAYS:
        raise DataError(
            f"{len(days)} whole days with a known demand, {LEAST_DAYS} are needed",
            where=where,
            fix='let the agent watch longer (mode = "observe"), or name another --state',
        )
    alone = minutes.watched
    notes = []
    if not alone.any():
        alone = np.ones(minutes.count, dtype=bool)
        notes.append("the plant was never left alone: machines are fitted on minutes under control")
    machines, balance = fit_machines(station, minutes, alone), fit_balance(station, minutes, alone)
    unseen = [name for name, found in machines.items() if found.minutes == 0]
    if unseen:
        notes.append(f"hardly seen under load, so simulated by nameplate: {', '.join(unseen)}")
    if balance.note:
        notes.append(balance.note)
    # A Monday stays a Monday only where no day is missing; the band does not know weekdays.
    begin: datetime = minutes.start_at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    demand = DemandSeries(begin, float(MINUTE_S), [float(v) for v in np.concatenate(days)])
    return Past(demand, fitted_station(station, machines, balance), tuple(notes))


def site_diff(text: str, station_id: str, settings: Mapping[str, float], name: str) -> str:
    """A unified diff of site.toml with the settings in [stations.X]; checked by reading it back."""
    lines = text.splitlines(keepends=True)
    header = re.compile(rf"^\s*\[\s*stations\s*\.\s*[\"']?{re.escape(station_id)}[\"']?\s*\]\s*(#.*)?$")
    first = next((i for i, line in enumerate(lines) if header.match(line)), None)
    if first is None:
        raise ConfigError(
            f"there is no table [stations.{station_id}] to change",
            where=name,
            fix="write the settings in by hand",
        )
    end = next(
        (i for i in range(first + 1, len(lines)) if re.match(r"^\s*\[[A-Za-z\[\"']", lines[i])), len(lines)
    )
    new = list(lines)
    fresh: list[str] = []
    for key, value in settings.items():
        row = f"{key} = {value:g}" if value != int(value) else f"{key} = {int(value)}"
        at = next((i for i in range(first + 1, end) if re.match(rf"^\s*{key}\s*=", lines[i])), None)
        if at is None:
            fresh.append(row + "\n")
        else:
            comment = re.search(r"\s+#.*$", lines[at].rstrip("\n"))
            new[at] = row + (comment[0] if comment else "") + "\n"
    new[first + 1 : first + 1] = fresh
    station = tomllib.loads("".join(new))["stations"][station_id]
    assert all(abs(station[key] - value) < 1e-9 for key, value in settings.items())
    return "".join(difflib.unified_diff(lines, new, name, f"{name} (proposed)"))


def _verdict(proposal: Proposal, diff: str) -> list[str]:
    if not proposal.changes:
        return ["keep site.toml: the search found nothing better"]
    gain = (
        f"{100 * proposal.gain_share:+.2f} % energy on the days kept back, at least "
        f"{100 * proposal.gain_low_share:+.2f} % with 90 % confidence,"
    )
    if not proposal.holds:
        return [f"keep site.toml: what looked better on the days searched does not hold ({gain} saved)"]
    return [f"worth {gain} saved; nothing was changed. To take it:", "", diff]


def _budget_body(budget: StartsBudget | None, diff: str) -> dict[str, object] | None:
    if budget is None:
        return None
    return {
        "theirs_a_day": budget.theirs_a_day,
        "whose": budget.whose,
        "budget": budget.budget,
        "without": budget.without._asdict(),
        "within": None if budget.within is None else budget.within._asdict(),
        "price_share": budget.price_share,
        "proposed": budget.proposed,
        "diff": diff,
    }


def _body(station_id: str, proposal: Proposal, past: Past, diff: str) -> dict[str, object]:
    body = asdict(proposal)
    for key in ("now_searched", "best_searched", "now_held_out", "best_held_out"):
        body[key] = getattr(proposal, key)._asdict()
    return {
        "format": "agent-tuning/1",
        "station": station_id,
        **body,
        "searched_keys": [key.name for key in KEYS],
        "gain_share": proposal.gain_share,
        "gain_low_share": proposal.gain_low_share,
        "holds": proposal.holds,
        "notes": list(past.notes),
        "diff": diff,
    }


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimload tune",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("site", type=Path, metavar="SITE.toml", help="the site's configuration")
    place = parser.add_mutually_exclusive_group()
    place.add_argument("--state", type=Path, help="state directory (default: [storage] directory)")
    place.add_argument("--history", type=Path, metavar="FILE", help="a history.db, or a copy of one")
    parser.add_argument("--station", help="which station, where the site has several")
    parser.add_argument(
        "--baseline",
        type=Path,
        metavar="BEST.json",
        help="a sequencer tuned by `trimload tune-baseline`: its starts",
    )
    parser.add_argument("--samples", type=_samples, default=40, help="settings to try (40)")
    parser.add_argument("--seed", type=int, default=1, help="of the search and of the noise")
    parser.add_argument("--json", action="store_true", help="print JSON for machines")
    return parser


def _samples(text: str) -> int:
    if not 5 <= (value := int(text)) <= 10_000:
        raise argparse.ArgumentTypeError(f"{text} samples: give 5 to 10000")
    return value
