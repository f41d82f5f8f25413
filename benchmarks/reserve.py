"""What `trip_reserve` and `trip_below_s` cost in energy and buy in a trip, beside the same trip under a cascade.

    benchmarks/reserve.py [--days 2] [--seed 100] [--step-s 2] [--below 60,90,150] [--trips 12,20,28,36]
                          [--trips-12bar 57.8,86.7,101.2] [--instants 1800,1870,1990] [--in-days 0] [--in-turn]

Energy: made-up shift demand on both examples, without forecast, with each kind of reserve and without; what it costs
depends on how often the demand of these days comes near to what would be left after a trip. Trips: the largest
delivering machine at a steady demand, so many seconds into it; time below the minimum and lowest pressure, and their sums.
`--in-days 48`: so many trips at even distances through the made-up days, each by itself, with all that the band had learned
by then; trips after which no machine could have carried the demand are left out for all.
"""

from __future__ import annotations

import argparse
import copy
import math
from collections.abc import Callable
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
TRIP_STEP_S = 2.0
TRACE_S = 600.0
ROLES = ("enable", "run", "load", "output_share_set", "heartbeat")


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
    parser.add_argument("--seed", type=int, default=100, help="of the made-up days")
    parser.add_argument(
        "--step-s", type=float, default=2.0, help="tick of the energy and of the trips in days"
    )
    parser.add_argument("--in-days", type=int, default=0, help="trips spread over the made-up days")
    parser.add_argument(
        "--in-turn", action="store_true", help="trips in days: of each loaded machine in turn"
    )
    options = parser.parse_args()
    kinds: dict[str, dict[str, object]] = {"as it comes": {}}
    kinds |= {f"trip_below_s = {s}": {"trip_below_s": float(s)} for s in options.below.split(",") if s}
    kinds["trip_reserve"] = {"trip_reserve": True}
    for name, trips in (("station_7bar", options.trips), ("carplant_12bar", options.trips_12bar)):
        site = load_site(ROOT / "examples" / name / "site.toml")
        if options.days > 0.0:
            plain = _energy(site, {}, options)
            print(
                f"{name}: {plain.energy_corrected_kwh:,.0f} kWh at {plain.mean_pressure_bar_g:.2f} bar",
                flush=True,
            )
            for kind, fields in list(kinds.items())[1:]:
                books = _energy(site, fields, options)
                more = 100.0 * (books.energy_corrected_kwh / plain.energy_corrected_kwh - 1.0)
                print(f"  {kind}: {more:+.2f} % at {books.mean_pressure_bar_g:.2f} bar", flush=True)
        if options.in_days:
            _compare_in_days(name, site, kinds, options)
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
                _trip(site, demand, at_s, None if kind == "cascade" else kinds[kind]) for at_s in instants
            ]
            below = [TRIP_STEP_S * sum(pressure < low for pressure in run) for run in runs]
            total[kind] = total.get(kind, 0.0) + sum(below)
            seconds = "/".join(f"{s:.0f}" for s in below)
            told.append(f"{kind} {seconds} s below, lowest {min(map(min, runs)) - low:+.2f} bar")
        print(f"{name}, trip at {demand:g} m3/min: " + "; ".join(told), flush=True)
    print(f"{name}, {len(demands) * len(instants)} trips in sum: ", end="")
    print("; ".join(f"{kind} {seconds:.0f} s" for kind, seconds in total.items()), flush=True)


def _energy(site: Site, fields: dict[str, object], options: argparse.Namespace) -> Books:
    station_id, station = next(iter(site.stations.items()))
    station = station.model_copy(update=fields)
    site = site.model_copy(update={"stations": {station_id: station}})
    demand = shift_demand(station, site.site.timezone, START_AT, options.days, options.seed)
    end_at = START_AT + timedelta(days=options.days)
    scene = Scene(site, station_id, demand, START_AT, end_at, options.seed, step_s=options.step_s)
    return run_agent(scene, "none").books


def _compare_in_days(
    name: str, site: Site, kinds: dict[str, dict[str, object]], options: argparse.Namespace
) -> None:
    """The same trips in the made-up days under the cascade and each kind of reserve."""
    station = site.stations["air"]
    low, step_s = station.pressure_min_bar_g, options.step_s
    demand = shift_demand(station, site.site.timezone, START_AT, options.days, options.seed)
    level = demand.reader(START_AT)
    total = int(options.days * 86400.0 / step_s)
    marks = [int(total * (k + 0.5) / options.in_days) for k in range(options.in_days)]
    flows = sorted(m.full_flow_m3_min for m in station.machines.values())
    # Whichever machine trips, the others could carry what is taken then.
    carried = [
        max(level(m * step_s + s) for s in range(0, int(TRACE_S), 60)) <= sum(flows) - flows[-1]
        for m in marks
    ]
    for kind in ("cascade", *kinds):
        run = _run_of(site, None if kind == "cascade" else kinds[kind], level(0.0))
        below, deepest, begin = [], 0.0, 0
        for turn, (mark, counts) in enumerate(zip(marks, carried, strict=True)):
            run.live(begin, mark, step_s, level)
            begin, lost = mark, copy.deepcopy(run)
            if counts:
                while not _trip_largest(lost.plant, turn if options.in_turn else 0):
                    lost.live(mark, mark + 1, step_s, level)
                    mark += 1  # noqa: PLW2901 (the copy goes its own way)
                pressures = lost.live(mark, mark + int(TRACE_S / step_s), step_s, level)
                below.append(step_s * sum(pressure < low for pressure in pressures))
                deepest = min(deepest, min(pressures) - low)
        print(
            f"{name}, {len(below)} trips in {options.days:g} days, {kind}: {sum(below) / max(len(below), 1):.1f} s below "
            f"in the mean, {max(below, default=0.0):.0f} s at most, lowest {deepest:+.2f} bar",
            flush=True,
        )


class _AgentRun:
    """The agent on the plant, tick by tick; a deep copy goes its own way."""

    def __init__(self, site: Site, fields: dict[str, object], demand_m3_min: float) -> None:
        station = site.stations["air"].model_copy(update={"mode": "control", **fields})
        self.site = site.model_copy(update={"stations": {"air": station}})
        self.plant, self.control = AirStation(station, seed=1), StationControl(station)
        tags = frozenset(m.tag(role) for m in station.machines.values() for role in ROLES)
        self.writer = OrderWriter(self.control.fleet, tags)
        self.plant.settle(demand_m3_min)

    def live(self, begin: int, end: int, step_s: float, level: Callable[[float], float]) -> list[float]:
        """Pressures of the ticks `begin` to `end`."""
        scene = Scene(self.site, "air", DemandSeries(START_AT, 60.0, [0.0]), START_AT, START_AT, 1)
        # Made anew: wires of a copied plant would lead to the one that it was copied from.
        wires, pressures = wires_of(scene, self.plant), []
        for tick in range(begin, end):
            at = START_AT + timedelta(seconds=tick * step_s)
            snapshot = Snapshot(at, wires.readings(at))
            orders = self.control.tick(snapshot).orders
            if orders is not None:
                for command in self.writer.commands(snapshot, orders, tick_s=step_s, reason="", plan_id=""):
                    if command.value is not None:
                        wires.write(command.tag, command.value)
            self.plant.step(step_s, level((tick + 0.5) * step_s))
            pressures.append(self.plant.pressure_bar_g)
        return pressures


class _CascadeRun:
    """The machines under staggered pressure switches."""

    def __init__(self, site: Site, demand_m3_min: float) -> None:
        self.plant = AirStation(site.stations["air"], seed=1)
        self.cascade = Cascade(self.plant.station)
        self.plant.settle(demand_m3_min)

    def live(self, begin: int, end: int, step_s: float, level: Callable[[float], float]) -> list[float]:
        """Pressures of the ticks `begin` to `end`."""
        pressures = []
        for tick in range(begin, end):
            self.cascade.step(self.plant.now_s, step_s, self.plant)
            self.plant.step(step_s, level((tick + 0.5) * step_s))
            pressures.append(self.plant.pressure_bar_g)
        return pressures


def _run_of(site: Site, fields: dict[str, object] | None, demand_m3_min: float) -> _AgentRun | _CascadeRun:
    return _CascadeRun(site, demand_m3_min) if fields is None else _AgentRun(site, fields, demand_m3_min)


def _trip(site: Site, demand_m3_min: float, at_s: float, fields: dict[str, object] | None) -> list[float]:
    """Pressures of the ten minutes after a trip at a steady demand; `fields` None: under the cascade."""

    def level(_s: float) -> float:
        return demand_m3_min

    run = _run_of(site, fields, demand_m3_min)
    tick = math.ceil(at_s / TRIP_STEP_S)
    run.live(0, tick, TRIP_STEP_S, level)
    while not _trip_largest(run.plant):
        run.live(tick, tick + 1, TRIP_STEP_S, level)
        tick += 1
    return run.live(tick, tick + int(TRACE_S / TRIP_STEP_S), TRIP_STEP_S, level)


def _trip_largest(plant: AirStation, turn: int = 0) -> bool:
    """Trip the machine that delivers most, or by `turn` one that delivers less; False while none does."""
    loaded = [machine for machine in plant.compressors.values() if machine.loaded]
    if loaded:
        loaded.sort(key=lambda machine: -machine.flow_m3_min)
        loaded[turn % len(loaded)].trip()
    return bool(loaded)


if __name__ == "__main__":
    main()
