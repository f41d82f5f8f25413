"""A station's weeks in seconds: the agent or a baseline on the same plant with the same demand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np

from agent.clock import cpu_s, elapsed_s
from agent.config.site import Site, Station
from agent.control.commands import OrderWriter
from agent.control.start_price import StartHabit
from agent.control.station import StationControl
from agent.control.tuning import Tuning
from agent.daemon.known import known_ahead
from agent.daemon.outlook import DemandForecast, DemandHistory, Foresight, site_forecaster
from agent.daemon.planned_demand import PlannedDemand
from agent.daemon.production import ProductionPlan
from agent.domain import Quality, Reading, Snapshot
from agent.inference.model import Model
from agent.inference.series import Series
from agent.planner.prices import price_at
from twin.baselines.cascade import Cascade
from twin.baselines.play import StationController
from twin.baselines.sequencer import Sequencer
from twin.demand import DemandSeries
from twin.foresight import PerfectForecast
from twin.station import AirStation, Books

ForecastKind = Literal["none", "naive", "perfect", "model"]
# Before the books are opened every controller finds its step in the same warm-up.
WARM_UP_S = 1800.0
# The daemon renews its forecast each quarter hour; half as often costs nothing that can be measured here.
FORECAST_EVERY_S = 1800.0
Progress = Callable[[float], None]


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a controller made of the demand."""

    books: Books
    cost: float
    planner_ms: tuple[float, ...]
    loop_cpu_s: float
    wall_s: float
    days: float


@dataclass(frozen=True, slots=True)
class Wires:
    """A station's tags straight on the twin: what the drivers do over a wire."""

    plant: AirStation
    readings: Callable[[datetime], dict[str, Reading]]
    write: Callable[[str, float], bool]


@dataclass(frozen=True, slots=True)
class Scene:
    """What all controllers share: station, demand and span."""

    site: Site
    station_id: str
    demand: DemandSeries
    start_at: datetime
    end_at: datetime
    seed: int
    step_s: float = 5.0
    past: Series | None = None
    # The machines as they truly are, where they differ from what site.toml says of them.
    true_station: Station | None = None
    # Called after each step: for whoever keeps more than the books.
    watch: Callable[[datetime, AirStation], None] | None = None

    @property
    def station(self) -> Station:
        """The station of the scene."""
        return self.site.stations[self.station_id]


def run_agent(
    scene: Scene,
    forecast: ForecastKind = "naive",
    *,
    model: Model | None = None,
    tuning: Tuning | None = None,
    planned: bool = True,
    habit: StartHabit | None = None,
    progress: Progress | None = None,
) -> RunResult:
    """The agent's own control in closed loop: the same objects that the daemon holds."""
    station = scene.station.model_copy(update={"mode": "control"})
    control = StationControl(station, tuning=tuning)
    control.start_price.learn(habit)
    history = DemandHistory()
    if scene.past is not None:
        history.load(scene.past.first_at, list(scene.past.values))
    forecaster: DemandForecast = site_forecaster(scene.station_id, station, scene.site.site.timezone, model)
    if forecast == "perfect":
        forecaster = PerfectForecast(scene.demand, f"{scene.station_id}.demand_m3_min")
    production = _production(scene)
    foresight = Foresight(
        scene.station_id,
        station,
        scene.site.tariff,
        scene.site.site.timezone,
        forecaster,
        history,
        forecast_every_s=FORECAST_EVERY_S,
        known=known_ahead(scene.site, station, production),
        planned=None if production is None else PlannedDemand(production),
    )
    tags = [
        machine.tag(role)
        for machine in station.machines.values()
        for role in ("enable", "run", "load", "output_share_set", "heartbeat")
    ]
    writer = OrderWriter(control.fleet, frozenset(tags))
    planner_ms: list[float] = []
    sees_ahead = forecast != "none"

    def act(wires: Wires, at: datetime) -> None:
        snapshot = Snapshot(at, wires.readings(at))
        result = control.tick(snapshot, foresight.plan, foresight.look_ahead(at) if sees_ahead else None)
        at_s = result.view.at_s
        if result.demand is not None:
            foresight.observe(at_s, result.demand.fast_m3_min)
        if sees_ahead and foresight.forecast_due(at_s):
            foresight.renew_forecast(at)
        if sees_ahead and planned and foresight.plan_due(at_s):
            began = cpu_s()
            foresight.renew_plan(at, control, result.view)
            planner_ms.append((cpu_s() - began) * 1000.0)
        if result.orders is not None:
            for command in writer.commands(
                snapshot, result.orders, tick_s=scene.step_s, reason="", plan_id=""
            ):
                assert command.value is not None
                wires.write(command.tag, command.value)

    return _run(scene, act, planner_ms, progress)


def _production(scene: Scene) -> ProductionPlan | None:
    """The site's plan as its file has it at the start, for a model that knows it."""
    if scene.site.production is None:
        return None
    plan = ProductionPlan(scene.site.production, scene.site.site.timezone)
    plan.look(scene.start_at)
    return plan


def run_cascade(scene: Scene, cascade: Cascade, progress: Progress | None = None) -> RunResult:
    """Staggered pressure switches."""
    return run_baseline(scene, cascade, progress)


def run_sequencer(scene: Scene, sequencer: Sequencer, progress: Progress | None = None) -> RunResult:
    """A modern single-band sequencer."""
    return run_baseline(scene, sequencer, progress)


def run_baseline(scene: Scene, controller: StationController, progress: Progress | None = None) -> RunResult:
    """Any conventional controller."""

    def act(wires: Wires, _at: datetime) -> None:
        controller.step(wires.plant.now_s, scene.step_s, wires.plant)

    return _run(scene, act, [], progress)


def _run(
    scene: Scene, act: Callable[..., None], planner_ms: list[float], progress: Progress | None
) -> RunResult:
    began_s, began_cpu = elapsed_s(), cpu_s()
    plant = AirStation(scene.true_station or scene.station, seed=scene.seed)
    level = scene.demand.reader(scene.start_at)
    wires = wires_of(scene, plant)
    plant.settle(level(0.0))
    step_s = scene.step_s
    total = int((scene.end_at - scene.start_at).total_seconds() / step_s)
    warm = int(min(WARM_UP_S, 0.5 * total * step_s) / step_s)
    price = _price_reader(scene)
    cost = 0.0
    for index in range(total):
        at = scene.start_at + timedelta(seconds=index * step_s)
        if index == warm:
            plant.open_books()
            cost = 0.0
        act(wires, at)
        plant.step(step_s, level((index + 0.5) * step_s))
        if scene.watch is not None:
            scene.watch(at, plant)
        if index >= warm:
            cost += plant.power_kw * step_s / 3600.0 * price(index * step_s)
        if progress is not None and index % 5000 == 0:
            progress(index / total)
    if progress is not None:
        progress(1.0)
    return RunResult(
        books=plant.books,
        cost=cost,
        planner_ms=tuple(planner_ms),
        loop_cpu_s=cpu_s() - began_cpu,
        wall_s=elapsed_s() - began_s,
        days=(total - warm) * step_s / 86400.0,
    )


def _price_reader(scene: Scene) -> Callable[[float], float]:
    """Price so many seconds after the start, looked up once a minute."""
    zone, begin_s = ZoneInfo(scene.site.site.timezone), scene.start_at.timestamp()
    known: dict[float, float] = {}

    def read(after_s: float) -> float:
        minute = (begin_s + after_s) // 60.0
        price = known.get(minute)
        if price is None:
            known.clear()
            at = scene.start_at + timedelta(seconds=after_s)
            price = known[minute] = price_at(scene.site.tariff, zone, at)
        return price

    return read


def wires_of(scene: Scene, plant: AirStation) -> Wires:
    """Readings by tag and writes by tag, straight on the twin: what the drivers do over a wire."""
    station = scene.station
    rows = [
        (
            plant.compressors[name],
            tuple(machine.tag(role) for role in ("power_kw", "output_share", "output_share_set")),
            tuple(
                machine.tag(role)
                for role in ("running", "loaded", "ready", "tripped", "enable", "run", "load")
            ),
        )
        for name, machine in station.machines.items()
    ]
    good, bad = Quality.GOOD, Quality.BAD
    writes: dict[str, Callable[[float], bool]] = {}
    for name, machine in station.machines.items():
        compressor = plant.compressors[name]
        writes[machine.tag("enable")] = compressor.write_enable
        writes[machine.tag("run")] = compressor.write_run
        writes[machine.tag("load")] = compressor.write_load
        writes[machine.tag("output_share_set")] = compressor.write_output_share
        writes[machine.tag("heartbeat")] = compressor.write_heartbeat

    # Refreshed in place: a reading whose value stands keeps the instant at which it came to be.
    out: dict[str, Reading] = {}
    moved: list[tuple[float | None, ...]] = [(None, None, None)] * len(rows)
    last: list[tuple[object, ...]] = [()] * len(rows)

    def readings(at: datetime) -> dict[str, Reading]:
        pressure = plant.pressure_sensor_bar_g
        out[station.pressure] = Reading(pressure, good if pressure is not None else bad, at)
        if station.flow is not None:
            out[station.flow] = Reading(plant.flow_sensor_m3_min, good, at)
        for place, (c, moving_tags, state_tags) in enumerate(rows):
            moving = (c.power_kw, c.regulator.share, c.order_share)
            if moving != moved[place]:
                for tag, value, before in zip(moving_tags, moving, moved[place], strict=True):
                    if value != before:
                        out[tag] = Reading(float(value), good, at)
                moved[place] = moving
            # All that the other readings are made of.
            now = (
                c.state,
                c.powered,
                c.remote,
                c.in_service,
                c.tripped,
                c.order_enable,
                c.order_run,
                c.order_load,
            )
            if now != last[place]:
                last[place] = now
                values = (c.running, c.loaded, c.ready, *now[4:])
                for tag, value in zip(state_tags, values, strict=True):
                    out[tag] = Reading(float(value), good, at)
        return out

    def write(tag: str, value: float) -> bool:
        return writes[tag](value)

    return Wires(plant, readings, write)


def books_figures(books: Mapping[str, Any]) -> dict[str, Any]:
    """The figures that the plant's own books give, from the fields of `Books`."""
    elapsed, energy, air = books["elapsed_s"], books["energy_kwh"], books["delivered_m3"]
    days = elapsed / 86400.0
    return {
        "energy_kwh": round(energy, 3),
        "energy_corrected_kwh": round(books["energy_corrected_kwh"], 3),
        "air_delivered_m3": round(air, 2),
        "air_short_m3": round(books["short_m3"], 3),
        "time_below_min_share": round(books["time_below_min_s"] / elapsed, 6) if elapsed else 0.0,
        "worst_dip_bar": round(books["worst_dip_bar"], 4),
        "mean_pressure_bar_g": round(books["mean_pressure_bar_g"], 4),
        "starts": dict(books["starts"]),
        "max_starts_per_hour": books["max_starts_per_hour"],
        "loads_per_day": round(sum(books["loads"].values()) / days, 2) if days else 0.0,
        "idle_energy_share": round(books["idle_energy_kwh"] / energy, 5) if energy else 0.0,
        "specific_power_kw_min_m3": round(energy * 60.0 / air, 4) if air else 0.0,
    }


def summary(result: RunResult, seed: int) -> dict[str, Any]:
    """The figures of one run for machines."""
    planner = np.array(result.planner_ms) if result.planner_ms else np.zeros(1)
    return {
        **books_figures(asdict(result.books)),
        "cost": round(result.cost, 4),
        "planner_ms": {
            "p50": round(float(np.percentile(planner, 50)), 2),
            "p95": round(float(np.percentile(planner, 95)), 2),
            "max": round(float(planner.max()), 2),
        },
        "wall_s": round(result.wall_s, 3),
        "cpu_s": round(result.loop_cpu_s, 3),
        "seed": seed,
    }
