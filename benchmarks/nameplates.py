"""What nameplates that are wrong cost beside a flow meter that is right.

    benchmarks/nameplates.py [--stations station_7bar,carplant_12bar] [--days 2] [--seed 1] [--off 0,-0.08,0.08,drawn]

One plant, one demand; site.toml says its true flows, or flows that are so far off: `-0.08` every machine delivers 8 % less
than it says, `drawn` each another share between 0.9 and 1.05. Energy is at equal end pressure; the agent with its naive forecast.
"""

from __future__ import annotations

import argparse
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.config.load import load_site
from agent.config.site import Station
from agent.control.delivered import as_delivered
from twin.demand import shift_demand
from twin.simulate import Scene, run_agent

ROOT = Path(__file__).resolve().parents[1]
START_AT = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stations", default="station_7bar,carplant_12bar")
    parser.add_argument("--days", type=float, default=2.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--off", default="0,-0.08,0.08,drawn", help="true flow over the one in site.toml, less 1"
    )
    options = parser.parse_args()
    for name in options.stations.split(","):
        site = load_site(ROOT / "examples" / name / "site.toml")
        station_id, plant = next(iter(site.stations.items()))
        demand = shift_demand(plant, site.site.timezone, START_AT, options.days, options.seed)
        end_at = START_AT + timedelta(days=options.days)
        first_kwh = 0.0
        for off in options.off.split(","):
            # The plant stays as it is: what site.toml says of it is bent.
            said = as_delivered(plant, [1.0 / share for share in _shares(plant, off, options.seed)])
            bent = site.model_copy(update={"stations": {station_id: said}})
            scene = Scene(bent, station_id, demand, START_AT, end_at, options.seed, step_s=5.0)
            books = run_agent(replace(scene, true_station=plant), "naive").books
            first_kwh = first_kwh or books.energy_corrected_kwh
            print(
                f"{name}, {options.days:g} days, flows off {off}: {books.energy_corrected_kwh:,.0f} kWh "
                f"({100 * (books.energy_corrected_kwh / first_kwh - 1):+.2f} %), below the minimum "
                f"{100 * books.time_below_min_s / books.elapsed_s:.3f} %, dip {books.worst_dip_bar:.2f} bar",
                flush=True,
            )


def _shares(station: Station, off: str, seed: int) -> list[float]:
    if off != "drawn":
        return [1.0 + float(off)] * len(station.machines)
    chance = random.Random(seed)
    return [chance.uniform(0.9, 1.05) for _ in station.machines]


if __name__ == "__main__":
    main()
