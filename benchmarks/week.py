"""A week of each example station under every controller: energy, service, and what the loop costs in CPU.

    benchmarks/week.py [--days 7] [--seed 1] [--stations station_7bar,carplant_12bar] [--agent-only]

The bar: a week of the agent, naive forecast and planner included, at 5 s ticks, in at most 20 s of CPU. CPU seconds
of a shared core depend on its neighbours: the load average is printed beside them.
"""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

from rich.console import Console

from agent.config.load import load_site
from twin.account import account_table, service_warnings
from twin.baselines.cascade import Cascade
from twin.baselines.orders import ORDER_NAMES
from twin.baselines.sequencer import Sequencer
from twin.demand import shift_demand
from twin.simulate import RunResult, Scene, run_agent, run_cascade, run_sequencer, summary

ROOT = Path(__file__).resolve().parents[1]
BAR_CPU_S = 20.0
START_AT = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=float, default=7.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--stations", default="station_7bar,carplant_12bar")
    parser.add_argument(
        "--agent-only", action="store_true", help="the agent's CPU alone, no other controller"
    )
    options = parser.parse_args()
    console = Console(width=120)
    for name in options.stations.split(","):
        site = load_site(ROOT / "examples" / name / "site.toml")
        station_id, station = next(iter(site.stations.items()))
        demand = shift_demand(station, site.site.timezone, START_AT, options.days, options.seed)
        end_at = START_AT + timedelta(days=options.days)
        scene = Scene(site, station_id, demand, START_AT, end_at, options.seed)
        results = {"agent:naive": run_agent(scene, "naive")}
        if not options.agent_only:
            results |= _others(scene)
        runs = {kind: summary(result, options.seed) for kind, result in results.items()}
        console.print(
            account_table(runs, title=f"{name}, {options.days:g} days", currency=site.tariff.currency)
        )
        for warning in service_warnings(runs):
            console.print(warning)
        agent = results["agent:naive"]
        cpu_s = agent.loop_cpu_s * 7.0 / options.days
        plans_s = sum(agent.planner_ms) / 1000.0 * 7.0 / options.days
        verdict = "within" if cpu_s <= BAR_CPU_S else "OVER"
        console.print(
            f"agent with its naive forecast: {cpu_s:.1f} CPU s a week ({plans_s:.1f} of them plans), {verdict} the bar of "
            f"{BAR_CPU_S:.0f} s; load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores\n"
        )


def _others(scene: Scene) -> dict[str, RunResult]:
    station = scene.station
    return {
        "agent:none": run_agent(scene, "none"),
        "agent:perfect": run_agent(scene, "perfect"),
        **{f"cascade:{order}": run_cascade(scene, Cascade(station, order=order)) for order in ORDER_NAMES},
        "sequencer:typical": run_sequencer(scene, Sequencer(station)),
    }


if __name__ == "__main__":
    main()
