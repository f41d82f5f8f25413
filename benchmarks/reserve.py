"""What `trip_reserve` and `trip_below_s` cost in energy and buy in a trip, beside the same trip under a cascade.

    benchmarks/reserve.py [--days 2] [--below 60,90,150] [--trips 12,20,28,36] [--trips-12bar 57.8,86.7,101.2]
                          [--instants 1800,1870,1990]

Energy: made-up shift demand on both examples, without forecast, with each kind of reserve and without. Trips: the largest
delivering machine at a steady demand, so many seconds into it; time below the minimum and lowest pressure, and their sums.
"""

from __future__ import annotations

import argparse
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.config.load import load_site
from agent.config.site import Site
from agent.control.commands import OrderWriter
from agent.control.station import StationControl
from agent.domain import Snapshot
from twin.baselines.cascade import Cascade
from twin.demand import DemandSeries, shift_demand
from twin.simulate import Scene, run_agent, wires_of
from twin.station import AirStation, Books

ROOT = Path(__file__).resolve().parents[1]
START_AT = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)
STEP_S = 2.0  # the reserve covers three ticks: longer ones cost more
TRIP_STEP_S = 2.0


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--days", type=float, default=2.0, help="days of demand; 0 leaves the energy out")
    parser.add_argument("--below", default="60,90,150", help="seconds of trip_below_s")
    parser.add_argument("--trips", default="12,20,28,36", help="steady demands of the 7 bar example, m3/min")
    parser.add_argument("--trips-12bar", default="57.8,86.7,101.2", help="of the 12 bar example")
    parser.add_argument(
        "--instants", default="1800", help="seconds into the demand at which the machine trips"
    )
    options = parser.parse_args()
    kinds: dict[str, dict[str, object]] = {"as it comes": {}}
    kinds |= {f"trip_below_s = {s}": {"trip_below_s": float(s)} for s in options.below.split(",") if s}
    kinds["trip_reserve"] = {"trip_reserve": True}
    for name, trips in (("station_7bar", options.trips), ("carplant_12bar", options.trips_12bar)):
        site = load_site(ROOT / "examples" / name / "site.toml")
        if options.days > 0.0:
            plain = _energy(site, {}, options.days)
            print(
                f"{name}: {plain.energy_corrected_kwh:,.0f} kWh at {plain.mean_pressure_bar_g:.2f} bar",
                flush=True,
            )
            for kind, fields in list(kinds.items())[1:]:
                books = _energy(site, fields, options.days)
                more = 100.0 * (books.energy_corrected_kwh / plain.energy_corrected_kwh - 1.0)
                print(f"  {kind}: {more:+.2f} % at {books.mean_pressure_bar_g:.2f} bar", flush=True)
        instants = [float(s) for s in options.instants.split(",")]
        demands = [float(s) for s in trips.split(",")]
        _compare(name, site, demands, instants, kinds)


def _compare(
    name: str, site: Site, demands: list[float], instants: list[float], kinds: dict[str, dict[str, object]]
) -> None:
    """Every trip under the cascade and each kind of reserve, and their sums."""
    low = site.stations["air"].pressure_min_bar_g
    total: dict[str, float] = {}
    for demand in demands:
        told = []
        for kind in ("cascade", *kinds):
            runs = [
                _trip_under_cascade(site, demand, at_s)
                if kind == "cascade"
                else _trip(site, demand, at_s, kinds[kind])
                for at_s in instants
            ]
            below = [TRIP_STEP_S * sum(pressure < low for pressure in run) for run in runs]
            total[kind] = total.get(kind, 0.0) + sum(below)
            seconds = "/".join(f"{s:.0f}" for s in below)
            told.append(f"{kind} {seconds} s below, lowest {min(map(min, runs)) - low:+.2f} bar")
        print(f"{name}, trip at {demand:g} m3/min: " + "; ".join(told), flush=True)
    print(f"{name}, {len(demands) * len(instants)} trips in sum: ", end="")
    print("; ".join(f"{kind} {seconds:.0f} s" for kind, seconds in total.items()), flush=True)


def _energy(site: Site, fields: dict[str, object], days: float) -> Books:
    station_id, station = next(iter(site.stations.items()))
    station = station.model_copy(update=fields)
    site = site.model_copy(update={"stations": {station_id: station}})
    demand = shift_demand(station, site.site.timezone, START_AT, days, 100)
    scene = Scene(site, station_id, demand, START_AT, START_AT + timedelta(days=days), 100, step_s=STEP_S)
    return run_agent(scene, "none").books


def _trip(site: Site, demand_m3_min: float, at_s: float, fields: dict[str, object]) -> list[float]:
    """Pressures of the ten minutes after the trip under the agent."""
    station = site.stations["air"].model_copy(update={"mode": "control", **fields})
    plant, at = AirStation(station, seed=1), START_AT
    scene = Scene(site, "air", DemandSeries(at, 60.0, [demand_m3_min]), at, at, 1)
    wires, control = wires_of(scene, plant), StationControl(station)
    roles = ("enable", "run", "load", "output_share_set", "heartbeat")
    tags = frozenset(m.tag(role) for m in station.machines.values() for role in roles)
    writer = OrderWriter(control.fleet, tags)
    plant.settle(demand_m3_min)
    pressures: list[float] = []
    tripped = False
    while len(pressures) * TRIP_STEP_S < 600.0:
        snapshot = Snapshot(at, wires.readings(at))
        orders = control.tick(snapshot).orders
        if orders is not None:
            for command in writer.commands(snapshot, orders, tick_s=TRIP_STEP_S, reason="", plan_id=""):
                if command.value is not None:
                    wires.write(command.tag, command.value)
        plant.step(TRIP_STEP_S, demand_m3_min)
        at += timedelta(seconds=TRIP_STEP_S)
        if tripped:
            pressures.append(plant.pressure_bar_g)
        elif plant.now_s >= at_s:
            tripped = _trip_largest(plant)
    return pressures


def _trip_under_cascade(site: Site, demand_m3_min: float, at_s: float) -> list[float]:
    plant = AirStation(site.stations["air"], seed=1)
    cascade = Cascade(plant.station)
    plant.settle(demand_m3_min)
    pressures: list[float] = []
    tripped = False
    while len(pressures) * TRIP_STEP_S < 600.0:
        cascade.step(plant.now_s, TRIP_STEP_S, plant)
        plant.step(TRIP_STEP_S, demand_m3_min)
        if tripped:
            pressures.append(plant.pressure_bar_g)
        elif plant.now_s >= at_s:
            tripped = _trip_largest(plant)
    return pressures


def _trip_largest(plant: AirStation) -> bool:
    """Trip the machine that delivers most; False while none does."""
    loaded = [machine for machine in plant.compressors.values() if machine.loaded]
    if loaded:
        max(loaded, key=lambda machine: machine.flow_m3_min).trip()
    return bool(loaded)


if __name__ == "__main__":
    main()
