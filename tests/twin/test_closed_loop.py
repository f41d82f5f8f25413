"""The agent's control on a station that answers: what happens when things go wrong, and what a day costs."""

import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.config.load import load_site
from agent.config.site import Machine
from agent.control.alarms import Alarm
from agent.control.commands import OrderWriter
from agent.control.station import StationControl
from agent.domain import Mode, Plan, PlanStatus, PlanStep, Snapshot
from twin.baselines.cascade import Cascade
from twin.demand import DemandSeries, shift_demand
from twin.simulate import Scene, run_agent, run_cascade, summary, wires_of
from twin.station import AirStation

SITE = load_site(Path(__file__).resolve().parents[2] / "examples" / "station_7bar" / "site.toml")
START = datetime(2026, 3, 3, 7, 0, tzinfo=UTC)
MINIMUM = SITE.stations["air"].pressure_min_bar_g
STEP_S = 2.0


class Loop:
    """Control and plant, stepped together; the pressure of every step is kept."""

    def __init__(self, demand_m3_min: float, **changes: object) -> None:
        station = SITE.stations["air"].model_copy(update={"mode": "control", **changes})
        self.plant = AirStation(station, seed=1)
        site = SITE.model_copy(update={"stations": {"air": station}})
        scene = Scene(site, "air", DemandSeries(START, 60.0, [demand_m3_min]), START, START, 1)
        self.wires = wires_of(scene, self.plant)
        self.control = StationControl(station)
        roles = ("enable", "run", "load", "output_share_set", "heartbeat")
        tags = frozenset(m.tag(role) for m in station.machines.values() for role in roles)
        self.writer = OrderWriter(self.control.fleet, tags)
        self.demand, self.at = demand_m3_min, START
        self.pressures: list[float] = []
        self.alive, self.plan = True, None
        self.alarm: Alarm | None = None
        self.plant.settle(demand_m3_min)
        self.live(600)
        self.pressures.clear()

    def live(self, seconds: float, until: Callable[[], bool] | None = None) -> None:
        for _ in range(int(seconds / STEP_S)):
            if self.alive:
                snapshot = Snapshot(self.at, self.wires.readings(self.at))
                result = self.control.tick(snapshot, self.plan)
                self.alarm = result.alarm
                commands = []
                if result.orders is not None:
                    commands = self.writer.commands(
                        snapshot, result.orders, tick_s=STEP_S, reason="", plan_id=""
                    )
                elif result.mode is Mode.FALLBACK:
                    commands = self.writer.hand_back(snapshot, "")
                for command in commands:
                    self.wires.write(command.tag, command.value)
            self.plant.step(STEP_S, self.demand)
            self.at += timedelta(seconds=STEP_S)
            self.pressures.append(self.plant.pressure_bar_g)
            if until is not None and until():
                return

    def local(self) -> list[str]:
        return [name for name, control in self.plant.controls.items() if not control.master_steers]


def test_machine_that_trips_at_peak_is_replaced_before_the_dip_is_deep():
    loop = Loop(32.0)
    loaded = [name for name, machine in loop.plant.compressors.items() if machine.loaded]
    largest = max(loaded, key=lambda name: loop.plant.station.machines[name].full_flow_m3_min)

    loop.plant.compressors[largest].trip()
    loop.live(600)

    assert min(loop.pressures) > MINIMUM - 0.2
    assert min(loop.pressures[-100:]) > MINIMUM
    assert loop.plant.compressors[largest].running is False


def test_lost_header_sensor_ends_in_local_control_that_holds_the_pressure():
    loop = Loop(25.0)
    assert loop.local() == []

    loop.plant.set_sensor_fault("dropout")
    loop.live(30)
    assert loop.control.switch.mode is Mode.FALLBACK
    loop.live(900)

    assert len(loop.local()) == len(loop.plant.controls)
    assert min(loop.pressures) > MINIMUM


def test_agent_that_falls_silent_leaves_local_control_within_the_dead_man_time():
    loop = Loop(25.0)
    longest_s = max(machine.dead_man_s or 0.0 for machine in loop.plant.station.machines.values())

    loop.alive = False
    loop.live(longest_s + STEP_S)
    assert len(loop.local()) == len(loop.plant.controls)
    loop.live(900)

    assert min(loop.pressures) > MINIMUM


def test_plan_that_stops_everything_costs_money_but_no_air():
    loop = Loop(25.0)
    step = PlanStep(START, 86400.0, frozenset(), {}, 0.0)
    later = START + timedelta(days=1)
    loop.plan = Plan("absurd", "air", START, later, PlanStatus.GREEDY, (step,))

    loop.live(1800)

    assert min(loop.pressures) > MINIMUM
    assert any(machine.loaded for machine in loop.plant.compressors.values())


def test_restarted_agent_takes_over_without_a_bump():
    loop = Loop(25.0)
    loop.alive = False
    loop.live(120)
    loop.control = StationControl(loop.control.fleet.station)
    loop.pressures.clear()

    loop.alive = True
    loop.live(600)

    assert loop.local() == []
    assert min(loop.pressures) > MINIMUM


def test_nine_machines_of_which_one_trips_stay_below_the_highest_pressure():
    machines = {
        f"m{i}": Machine(
            device=f"m{i}",
            full_flow_m3_min=5 + i,
            full_power_kw=30 + 6 * i,
            unloaded_power_kw=6 + i,
            dead_man_s=30,
        )
        for i in range(9)
    }
    loop, rng, outside = Loop(24.0, machines=machines), random.Random(1), 0

    for minute in range(240):
        loop.demand = rng.choice((6.0, 14.0, 24.0, 38.0))
        if minute % 40 == 20:
            next(c for c in loop.plant.compressors.values() if c.running).trip()
        loop.live(60)
        running = sum(1 << i for i, c in enumerate(loop.plant.compressors.values()) if c.running)
        outside += running not in loop.control.table.index_of

    # The case is about sets that the table does not hold: they must occur.
    assert outside > 5
    assert max(loop.pressures) < loop.plant.station.pressure_max_bar_g


@pytest.mark.parametrize("seed", [1, 2])
def test_day_costs_less_than_under_the_cascade_on_equal_service(seed):
    station = SITE.stations["air"]
    demand = shift_demand(station, SITE.site.timezone, START, 1.0, seed)
    scene = Scene(SITE, "air", demand, START, START + timedelta(days=1), seed)

    agent = summary(run_agent(scene, "none"), seed)
    cascade = summary(run_cascade(scene, Cascade(station)), seed)

    assert agent["energy_corrected_kwh"] < 0.97 * cascade["energy_corrected_kwh"]
    assert agent["air_delivered_m3"] == pytest.approx(cascade["air_delivered_m3"], rel=5e-4)
    assert agent["time_below_min_share"] <= 0.001
    assert agent["worst_dip_bar"] <= 0.2
    assert agent["max_starts_per_hour"] <= 6


def test_equal_machines_share_the_hours_where_the_site_asks_for_it():
    one = SITE.stations["air"].machines["c1"]
    machines = {f"m{k}": one.model_copy(update={"device": f"m{k}"}) for k in range(3)}
    spreads, starts = [], []
    for hours_spread_h in (None, 2.0):
        # 20 of 16.3 m3/min each: two of three run, all day long.
        station = SITE.stations["air"].model_copy(
            update={"machines": machines, "hours_spread_h": hours_spread_h}
        )
        site = SITE.model_copy(update={"stations": {"air": station}})
        end = START + timedelta(hours=14)
        scene = Scene(site, "air", DemandSeries(START, 60.0, [20.0] * 840), START, end, 1, step_s=10.0)
        books = run_agent(scene, "none").books
        hours = books.hours_run.values()
        spreads.append(max(hours) - min(hours))
        starts.append(sum(books.starts.values()))

    # One of them would stand all day; with a spread of 2 h and one of slack they change places.
    assert spreads[0] > 10.0
    assert spreads[1] <= 3.5
    assert starts[1] <= starts[0] + 12
