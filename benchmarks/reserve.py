"""What `trip_reserve` costs in energy and buys in a trip at peak, beside the same trip under a cascade.

    benchmarks/reserve.py [--days 2] [--trips 12,20,28,36] [--trips-12bar 57.8,86.7,101.2]

Energy: made-up shift demand on both examples, without forecast, with and without the reserve. Trips: the largest delivering
machine at a steady demand, after half an hour of it; time below the minimum and lowest pressure.
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
    parser.add_argument("--days", type=float, default=2.0, help="days of demand")
    parser.add_argument("--trips", default="12,20,28,36", help="steady demands of the 7 bar example, m3/min")
    parser.add_argument("--trips-12bar", default="57.8,86.7,101.2", help="of the 12 bar example")
    options = parser.parse_args()
    for name in ("station_7bar", "carplant_12bar"):
        site = load_site(ROOT / "examples" / name / "site.toml")
        books = {reserve: _energy(site, reserve=reserve, days=options.days) for reserve in (False, True)}
        more = books[True].energy_corrected_kwh / books[False].energy_corrected_kwh - 1.0
        print(
            f"{name}: {books[False].energy_corrected_kwh:,.0f} kWh at {books[False].mean_pressure_bar_g:.2f} bar, with the "
            f"reserve {100.0 * more:+.2f} % at {books[True].mean_pressure_bar_g:.2f} bar",
            flush=True,
        )
    for name, trips in (("station_7bar", options.trips), ("carplant_12bar", options.trips_12bar)):
        site = load_site(ROOT / "examples" / name / "site.toml")
        for demand in map(float, trips.split(",")):
            rows = [f"cascade {_trip_under_cascade(site, demand)}"]
            rows += [
                f"{'with' if reserve else 'without'} reserve {_trip(site, demand, reserve=reserve)}"
                for reserve in (False, True)
            ]
            print(f"{name}, trip at {demand:g} m3/min: " + "; ".join(rows), flush=True)


def _energy(site: Site, *, reserve: bool, days: float) -> Books:
    station_id, station = next(iter(site.stations.items()))
    station = station.model_copy(update={"trip_reserve": reserve})
    site = site.model_copy(update={"stations": {station_id: station}})
    demand = shift_demand(station, site.site.timezone, START_AT, days, 100)
    scene = Scene(site, station_id, demand, START_AT, START_AT + timedelta(days=days), 100, step_s=STEP_S)
    return run_agent(scene, "none").books


def _trip(site: Site, demand_m3_min: float, *, reserve: bool) -> str:
    station = site.stations["air"].model_copy(update={"mode": "control", "trip_reserve": reserve})
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
        elif plant.now_s >= 1800.0:
            tripped = _trip_largest(plant)
    return _told(site, pressures)


def _trip_under_cascade(site: Site, demand_m3_min: float) -> str:
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
        elif plant.now_s >= 1800.0:
            tripped = _trip_largest(plant)
    return _told(site, pressures)


def _trip_largest(plant: AirStation) -> bool:
    """Trip the machine that delivers most; False while none does."""
    loaded = [machine for machine in plant.compressors.values() if machine.loaded]
    if loaded:
        max(loaded, key=lambda machine: machine.flow_m3_min).trip()
    return bool(loaded)


def _told(site: Site, pressures: list[float]) -> str:
    low = site.stations["air"].pressure_min_bar_g
    below_s = TRIP_STEP_S * sum(pressure < low for pressure in pressures)
    return f"{below_s:.0f} s below, lowest {min(pressures) - low:+.2f} bar"


if __name__ == "__main__":
    main()
