"""How often the report's interval holds the true saving, and how far off it is: simulated sites whose truth is known.

    benchmarks/savings.py [--seeds 8] [--observe 14] [--control 7] [--station station_7bar]

Each seed draws another demand and another plant behind the nameplates of site.toml (power, idle power, flow,
volume). The site's old control runs it through the observe days, the agent through the control days; both
write the agent's own store. The truth: the old control on the true plant and the control days' true demand.
"""

from __future__ import annotations

import argparse
import tempfile
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

from agent.config.load import load_site
from agent.config.site import Site
from agent.domain import Mode
from agent.savings.figure import Saving
from agent.savings.measured import read_minutes
from agent.savings.report import Ask, Counterfactual, Regression, Report, make_report
from agent.store.history import History
from agent.store.reading import HistoryReader
from twin.baselines.configured import configured_baseline
from twin.counterfactual.simulate import simulate
from twin.demand import shift_demand
from twin.recording import EnergyMeter, Recorder, unlike_nameplate
from twin.simulate import Scene, run_agent, run_baseline
from twin.station import AirStation

ROOT = Path(__file__).resolve().parents[1]
# Midnight of a Monday in Berlin.
START_AT = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)
STEP_S = 10.0


class Outcome(NamedTuple):
    """One simulated site."""

    true_share: float
    methods: dict[str, Saving | None]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--observe", type=int, default=14)
    parser.add_argument("--control", type=int, default=7)
    parser.add_argument("--station", default="station_7bar")
    options = parser.parse_args()
    site = load_site(ROOT / "examples" / options.station / "site.toml")
    console = Console(width=110)
    table = Table(title=f"{options.station}, {options.observe} days observed, {options.control} in control")
    for head in ("seed", "true", "counterfactual", "holds", "regression", "holds"):
        table.add_column(head, justify="right")
    outcomes = []
    for seed in range(1, options.seeds + 1):
        found = outcome(site, seed, options.observe, options.control)
        outcomes.append(found)
        cells = [cell for saving in found.methods.values() for cell in _cells(saving, found.true_share)]
        table.add_row(str(seed), f"{found.true_share:.2%}", *cells)
    console.print(table)
    for method in ("counterfactual", "regression"):
        rows = [(o.true_share, s) for o in outcomes if (s := o.methods[method]) is not None]
        held = sum(s.share_interval[0] <= true <= s.share_interval[1] for true, s in rows)
        bias = sum(s.share - true for true, s in rows) / len(rows)
        wide = sum(s.share_interval[1] - s.share_interval[0] for _, s in rows) / len(rows)
        console.print(
            f"{method}: 95 % interval holds the truth in {held} of {len(rows)}; bias {100 * bias:+.2f} points; "
            f"mean width {100 * wide:.2f} points"
        )


def outcome(site: Site, seed: int, observe: int, control: int) -> Outcome:
    station_id, station = next(iter(site.stations.items()))
    true = unlike_nameplate(station, seed)
    demand = shift_demand(station, site.site.timezone, START_AT, observe + control, seed)
    middle, end = (START_AT + timedelta(days=days) for days in (observe, observe + control))
    watched = Scene(site, station_id, demand, START_AT, middle, seed, step_s=STEP_S, true_station=true)
    ruled = replace(watched, start_at=middle, end_at=end, seed=seed + 1000)
    observer, controller = Recorder(watched, Mode.OBSERVE), Recorder(ruled, Mode.CONTROL)
    used, old = EnergyMeter(STEP_S), EnergyMeter(STEP_S)

    def watch(at: datetime, plant: AirStation) -> None:
        controller.take(at, plant)
        used.take(at, plant)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "history.db"
        with closing(History(path, 400)) as history:
            run_baseline(replace(watched, watch=observer.take), configured_baseline(true))
            observer.keep(history)
            run_agent(replace(ruled, watch=watch), "none")
            controller.keep(history)
        with HistoryReader(path) as source:
            minutes = read_minutes(source, station_id, station, START_AT, end)
    run_baseline(replace(ruled, watch=old.take), configured_baseline(true))
    report = make_report(site, station_id, minutes, Ask(), simulate)
    return Outcome(1.0 - used.energy_kwh / old.energy_kwh, _methods(report))


def _methods(report: Report) -> dict[str, Saving | None]:
    simulated, regression = report.counterfactual, report.regression
    return {
        "counterfactual": simulated.saving if isinstance(simulated, Counterfactual) else None,
        "regression": regression.saving
        if isinstance(regression, Regression) and isinstance(regression.saving, Saving)
        else None,
    }


def _cells(saving: Saving | None, true_share: float) -> tuple[str, str]:
    if saving is None:
        return "none", ""
    low, high = saving.share_interval
    return f"{saving.share:.2%} ({low:.2%} .. {high:.2%})", "yes" if low <= true_share <= high else "NO"


if __name__ == "__main__":
    main()
