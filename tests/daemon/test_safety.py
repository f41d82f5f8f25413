"""What goes wrong around the control: the network in the middle of a command, a planner that hangs, a restart, events."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import fields
from datetime import timedelta

import numpy as np
import pytest

from agent.daemon.outlook import HORIZON, STEP_S, Foresight
from agent.domain import Mode, Plan
from agent.inference.forecaster import QuantileForecast
from tests.daemon.plant_rig import STEP_S as TICK_S
from tests.daemon.plant_rig import Rig, control_site
from tests.twin.test_safety import below_s, nothing, ramp, steady, trip_largest, under_cascade

# Beyond what any two machines deliver, so that one must start whichever run.
RISE = ramp(25.0, 40.0, 300.0)


class Flat:
    """A forecast that knows the demand to a fifth."""

    def __init__(self, demand_m3_min: float) -> None:
        self.demand, self.asked = demand_m3_min, 0

    def forecast(self, history, known, at) -> QuantileForecast:
        self.asked += 1
        first_at = at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)
        row = np.array([0.8, 1.0, 1.2]) * self.demand
        return QuantileForecast(
            "air.demand_m3_min", "m3/min", at, first_at, STEP_S, np.tile(row, (HORIZON, 1)), "flat", ()
        )


@pytest.fixture
def begin(tmp_path):
    """Rigs that are closed again."""
    rigs = []

    def make(demand_m3_min: float, **more) -> Rig:
        rigs.append(Rig(tmp_path, demand_m3_min, **more))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.kill()


async def live(rig: Rig, demand: Callable[[float], float], seconds: float) -> list[float]:
    rig.pressures.clear()
    for step in range(int(seconds / TICK_S)):
        rig.demand = demand(step * TICK_S)
        await rig.live(TICK_S)
    return rig.pressures


@pytest.mark.parametrize("reserve", [True, False])
@pytest.mark.parametrize("after", ["run", "load", "heartbeat"])
async def test_network_cut_mid_command(begin, after, reserve):
    rig = begin(25.0, trip_reserve=reserve)
    await rig.daemon.start()
    await rig.live(600)
    assert rig.local() == []
    cascade = under_cascade(RISE, nothing, 900)

    # The next command of this kind still leaves; what belongs to it, and all that follows, does not.
    def watch(command) -> None:
        rig.cut = rig.cut or (rig.arm and command.tag.endswith(f".{after}"))

    rig.arm, rig.before_write = False, watch
    rig.arm = True
    agent = await live(rig, RISE, 900)

    assert rig.cut
    assert rig.daemon.stations["air"].mode is Mode.FALLBACK
    assert len(rig.local()) == len(rig.plant.controls)
    # For the dead-man's 30 s nobody follows the demand.
    assert below_s(agent) <= below_s(cascade)
    assert max(agent) < rig.site.stations["air"].pressure_max_bar_g


async def test_network_that_comes_back_is_taken_up_without_a_dip(begin):
    rig = begin(25.0)
    await rig.daemon.start()
    await rig.live(600)
    rig.cut = True
    await rig.live(300)

    rig.cut = False
    agent = await live(rig, steady(25.0), 900)

    assert rig.daemon.stations["air"].mode is Mode.CONTROL
    assert rig.local() == []
    assert below_s(agent) == 0.0


class Hanging(Foresight):
    """Foresight whose planning does not come back until it is let go."""

    __slots__ = ("gate",)

    def plan_job(self, at, control, view) -> Callable[[], Plan] | None:
        job, gate = super().plan_job(at, control, view), self.gate

        def hang() -> Plan:
            gate.wait(60)
            return job()

        return None if job is None else hang


async def test_planner_hangs_for_ten_minutes_while_the_demand_rises(begin):
    rig = begin(25.0, forecasters={"air": Flat(25.0)}, plan_in_thread=True)
    await rig.daemon.start()
    runtime = rig.daemon.stations["air"]
    runtime.foresight = Hanging(**{f.name: getattr(runtime.foresight, f.name) for f in fields(Foresight)})
    runtime.foresight.gate = threading.Event()
    await rig.live(1200)
    assert runtime.planning
    assert runtime.foresight.plan is None
    cascade = under_cascade(RISE, nothing, 600)

    agent = await live(rig, RISE, 600)

    assert runtime.planning
    assert runtime.mode is Mode.CONTROL
    assert below_s(agent) <= below_s(cascade)
    runtime.foresight.gate.set()
    while runtime.planning:
        await asyncio.to_thread(lambda: None)
    assert runtime.foresight.plan is not None


async def test_machine_that_trips_is_planned_around_at_the_next_look(begin):
    rig = begin(32.0, forecasters={"air": Flat(32.0)})
    await rig.daemon.start()
    await rig.live(1200)
    before = len(rig.events("plan"))

    trip_largest(rig.plant)
    await rig.live(62)

    plans = rig.events("plan")[before:]
    assert [plan["cause"] for plan in plans] == ["machine"]


async def test_override_and_its_end_are_planned_around(begin):
    rig = begin(12.0, forecasters={"air": Flat(12.0)})
    await rig.daemon.start()
    await rig.live(1200)
    before = len(rig.events("plan"))

    rig.daemon.overrides.ask("stop", "air", "c4", 300.0, "meier", "", rig.clock.now(), [], remote=False)
    await rig.live(600)

    causes = [plan["cause"] for plan in rig.events("plan")[before:]]
    assert causes.count("machine") + causes.count("override") == 2
    assert len(causes) == 2


async def test_demand_that_leaves_its_band_makes_one_new_forecast_and_plan_and_not_one_a_minute(begin):
    forecast = Flat(16.0)
    rig = begin(16.0, forecasters={"air": forecast})
    await rig.daemon.start()
    await rig.live(1200)
    before, asked = len(rig.events("plan")), forecast.asked

    # A third above the median: outside the band of a fifth, and the forecast does not learn.
    rig.demand = 22.0
    await rig.live(540)

    causes = [plan["cause"] for plan in rig.events("plan")[before:]]
    assert causes.count("demand") == 1
    assert forecast.asked > asked
    assert len(causes) <= 2


async def test_restart_of_the_agent_forgives_no_start(begin):
    rig = begin(32.0)
    await rig.daemon.start()
    await rig.live(1200)
    known = [len(m.starts_s) for m in rig.daemon.stations["air"].control.memory.machines]
    hours = [m.hours_run_h for m in rig.daemon.stations["air"].control.memory.machines]
    assert sum(known) > 0

    rig.kill()
    rig.open()
    await rig.daemon.start()

    memory = rig.daemon.stations["air"].control.memory.machines
    # The first minute has no minute before it: a start in it is not seen.
    assert sum(len(m.starts_s) for m in memory) >= sum(known) - 1
    assert [m.running for m in memory] == [c.running for c in rig.plant.compressors.values()]
    assert np.allclose([m.hours_run_h for m in memory], hours, atol=0.06)


async def test_clock_that_is_set_is_followed_and_written_down(begin):
    rig = begin(25.0)
    await rig.daemon.start()
    await rig.live(300)

    steps = [0.0, 3600.0]

    class Set(type(rig.clock)):
        def correct(self) -> float:
            step_s = steps.pop() if steps else 0.0
            self._now += timedelta(seconds=step_s)
            return step_s

    clock = Set(rig.clock.now())
    rig.clock = rig.daemon.clock = clock
    began = clock.now()
    stopped = asyncio.Event()
    await rig.daemon.run(stopped, until=began + timedelta(seconds=3600 + 10))

    # One tick before the step and as many after it as the ten seconds hold: none is made up for.
    assert rig.daemon.late_ticks == 0
    assert [e["step_s"] for e in rig.events("clock_set")] == [3600.0]


async def test_stations_behind_one_meter_are_planned_together(begin):
    site = control_site()
    watched = site.stations["air"].model_copy(update={"mode": "observe"})
    assert site.tariff.demand_charge_per_kw > 0.0
    both = site.model_copy(update={"stations": {"air": watched, "south": watched}})
    rig = begin(25.0, site=both, forecasters={"air": Flat(25.0), "south": Flat(25.0)})
    await rig.daemon.start()
    await rig.live(1200)
    before = len(rig.events("plan"))

    rig.daemon.overrides.ask("stop", "air", "c3", 3600.0, "meier", "", rig.clock.now(), [], remote=False)
    await rig.live(62)

    plans = rig.events("plan")[before:]
    # The event is of one station, the plans are of both.
    assert [(plan["station"], plan["cause"]) for plan in plans] == [("air", "machine"), ("south", "site")]
    # 25 m3/min of the other are well over 100 kW at any hour.
    assert all(min(plan["case"]["other_load_kw"][:4]) > 100.0 for plan in plans)
