"""What may go wrong, one by one, on the plant that answers: the pressure of every step, beside that of a cascade.

The same event, the same demand, the same machines under staggered pressure switches. "Not longer below the minimum
than the cascade" is asserted as it stands; where the low band alone cannot hold it, the test says at which price
`trip_reserve` does.
"""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from agent.config.load import load_site
from agent.config.site import Station
from agent.control.guard import START_GAP_S
from agent.domain import Mode, Plan, PlanStatus, PlanStep, Quality, Reading
from tests.twin.test_closed_loop import MINIMUM, SITE, START, STEP_S, Loop
from tests.twin.test_closed_loop_faults import refuse_starts, silence
from twin.baselines.cascade import Cascade
from twin.simulate import Wires
from twin.station import AirStation

Demand = Callable[[float], float]
CARPLANT = Path(__file__).resolve().parents[2] / "examples" / "carplant_12bar" / "site.toml"
HIGHEST = SITE.stations["air"].pressure_max_bar_g


def steady(demand_m3_min: float) -> Demand:
    return lambda _: demand_m3_min


def ramp(begin: float, end: float, over_s: float) -> Demand:
    return lambda t: begin + (end - begin) * min(max(t / over_s, 0.0), 1.0)


def below_s(pressures: list[float]) -> float:
    return STEP_S * sum(pressure < MINIMUM for pressure in pressures)


def largest_loaded(plant: AirStation) -> str:
    loaded = [name for name, machine in plant.compressors.items() if machine.loaded]
    return max(loaded, key=lambda name: plant.compressors[name].flow_m3_min)


def trip_largest(plant: AirStation) -> None:
    plant.compressors[largest_loaded(plant)].trip()


def nothing(_plant: AirStation) -> None:
    """The machines of a cascade have no agent, no plan and no header sensor that could fail."""


def under_cascade(
    demand: Demand, event: Callable[[AirStation], None], seconds: float, station: Station | None = None
) -> list[float]:
    """Pressures from the event on, half an hour into the first demand, at an instant with a loaded machine."""
    plant = AirStation(station or SITE.stations["air"], seed=1)
    cascade = Cascade(plant.station)
    plant.settle(demand(0.0))
    while plant.now_s < 1800.0 or not any(machine.loaded for machine in plant.compressors.values()):
        cascade.step(plant.now_s, STEP_S, plant)
        plant.step(STEP_S, demand(0.0))
    event(plant)
    pressures = []
    for step in range(int(seconds / STEP_S)):
        plant.step(STEP_S, demand(step * STEP_S))
        pressures.append(plant.pressure_bar_g)
    return pressures


def live(loop: Loop, demand: Demand, seconds: float) -> list[float]:
    """Pressures of the loop from now on."""
    loop.pressures.clear()
    for step in range(int(seconds / STEP_S)):
        loop.demand = demand(step * STEP_S)
        loop.live(STEP_S)
    return loop.pressures


RISE = ramp(25.0, 31.0, 120.0)


def test_agent_killed_while_the_demand_rises():
    loop = Loop(25.0)
    cascade = under_cascade(RISE, nothing, 900)

    loop.alive = False
    agent = live(loop, RISE, 900)

    assert len(loop.local()) == len(loop.plant.controls)
    assert below_s(agent) <= below_s(cascade)
    assert max(agent) < HIGHEST


def test_header_sensor_frozen_while_the_demand_rises():
    loop = Loop(25.0)
    cascade = under_cascade(RISE, nothing, 900)

    loop.plant.set_sensor_fault("freeze")
    agent = live(loop, RISE, 900)

    assert loop.control.switch.mode is Mode.FALLBACK
    assert below_s(agent) <= below_s(cascade)
    assert max(agent) < HIGHEST


def test_header_sensor_shows_nan_while_the_demand_rises():
    loop = Loop(25.0)
    cascade = under_cascade(RISE, nothing, 900)
    tag, wires = loop.plant.station.pressure, loop.wires

    def readings(at):
        return {**wires.readings(at), tag: Reading(float("nan"), Quality.GOOD, at)}

    loop.wires = Wires(wires.plant, readings, wires.write)
    agent = live(loop, RISE, 900)

    assert loop.control.switch.mode is Mode.FALLBACK
    assert below_s(agent) <= below_s(cascade)
    assert max(agent) < HIGHEST


@pytest.mark.parametrize("size", [0.5, -0.5, 10.0])
def test_header_sensor_jumps_while_the_demand_rises(size):
    loop = Loop(25.0)
    cascade = under_cascade(RISE, nothing, 3600)

    loop.plant.set_sensor_fault("jump", size=size)
    agent = live(loop, RISE, 3600)

    # An hour on it still shows half a bar too much, and is still not believed.
    assert loop.control.switch.mode is Mode.FALLBACK
    assert below_s(agent) <= below_s(cascade)
    assert max(agent) < HIGHEST


def test_sensor_that_has_jumped_back_is_believed_again():
    loop = Loop(25.0)
    loop.plant.set_sensor_fault("jump", size=0.5)
    loop.live(600)

    loop.plant.set_sensor_fault("none")
    agent = live(loop, steady(25.0), 900)

    assert loop.control.switch.mode is Mode.CONTROL
    assert min(agent) > MINIMUM


def with_gauges(loop: Loop) -> None:
    """Let the agent read each machine's own gauge, before dryer and filter."""
    wires, plant = loop.wires, loop.plant
    tags = [machine.tag("discharge_pressure") for machine in plant.station.machines.values()]

    def readings(at):
        gauge = Reading(plant.discharge_bar_g + 0.07, Quality.GOOD, at)
        return {**wires.readings(at), **dict.fromkeys(tags, gauge)}

    loop.wires = Wires(plant, readings, wires.write)


def test_pressure_that_truly_jumps_is_believed_once_the_machines_own_gauges_agree():
    loop = Loop(25.0)
    with_gauges(loop)
    loop.live(600)
    loop.plant.pressure_bar_g += 0.5  # a valve to a full vessel is opened
    loop.live(60)
    assert loop.control.switch.mode is Mode.FALLBACK

    agent = live(loop, steady(25.0), 900)

    assert loop.control.switch.mode is Mode.CONTROL
    assert min(agent) > MINIMUM


def test_sensor_that_jumps_alone_is_not_believed_against_the_machines_own_gauges():
    loop = Loop(25.0)
    with_gauges(loop)
    loop.live(600)

    loop.plant.set_sensor_fault("jump", size=0.5)
    agent = live(loop, steady(25.0), 1800)

    assert loop.control.switch.mode is Mode.FALLBACK
    assert min(agent) > MINIMUM


def test_sensor_that_jumped_is_believed_when_somebody_who_has_looked_says_so():
    loop = Loop(25.0)
    loop.plant.pressure_bar_g += 0.5
    loop.live(600)
    assert loop.control.switch.mode is Mode.FALLBACK

    assert loop.control.believe_pressure()
    loop.live(300)

    assert loop.control.switch.mode is Mode.CONTROL
    assert not loop.control.believe_pressure()


PEAKS = [8.0, 12.0, 16.0, 20.0, 25.0, 28.0, 32.0, 36.0, 40.0]


@pytest.mark.parametrize("demand", PEAKS)
def test_machine_trips_at_peak_with_a_reserve_for_it(demand):
    loop = Loop(demand, trip_reserve=True)
    cascade = under_cascade(steady(demand), trip_largest, 600)

    loop.live(600, until=lambda: any(machine.loaded for machine in loop.plant.compressors.values()))
    trip_largest(loop.plant)
    agent = live(loop, steady(demand), 600)

    assert below_s(agent) <= below_s(cascade)
    assert min(agent) > MINIMUM


@pytest.mark.parametrize("demand", [57.8, 86.7, 101.2])
def test_machine_of_six_trips_at_12_bar_with_a_reserve_for_it(demand):
    station = next(iter(load_site(CARPLANT).stations.values()))
    fields = {name: getattr(station, name) for name in Station.model_fields if name != "mode"}
    loop = Loop(demand, **{**fields, "trip_reserve": True})
    cascade = under_cascade(steady(demand), trip_largest, 600, station)
    loop.live(1200)

    trip_largest(loop.plant)
    agent = live(loop, steady(demand), 600)

    low = station.pressure_min_bar_g
    assert sum(pressure < low for pressure in agent) <= sum(pressure < low for pressure in cascade)
    assert min(agent) > low


def test_machine_trips_without_a_reserve_is_below_no_longer_in_sum_than_under_the_cascade():
    dips, cascades = {}, {}
    for demand in (12.0, 25.0, 32.0, 40.0):
        loop = Loop(demand)
        loop.live(600, until=lambda loop=loop: any(m.loaded for m in loop.plant.compressors.values()))
        trip_largest(loop.plant)
        dips[demand] = live(loop, steady(demand), 600)
        cascades[demand] = under_cascade(steady(demand), trip_largest, 600)

    # The low band has no room for a start; that the next machine loads from its start on makes up for it.
    assert sum(map(below_s, dips.values())) <= sum(map(below_s, cascades.values()))
    assert min(map(min, dips.values())) > MINIMUM - 0.3


def test_largest_machine_that_stands_starts_first_after_a_trip_at_12_bar():
    station = next(iter(load_site(CARPLANT).stations.values()))
    fields = {name: getattr(station, name) for name in Station.model_fields if name != "mode"}
    loop = Loop(86.7, **fields)
    loop.live(1200)
    before = {name for name, machine in loop.plant.compressors.items() if machine.running}

    trip_largest(loop.plant)
    agent = live(loop, steady(86.7), 600)

    # k5 (31.7 m3/min) and k3 (15.8) stood: k3 first would leave 17 m3/min missing for another 14 s.
    started = {n: m.start_times[-1] for n, m in loop.plant.compressors.items() if n not in before}
    assert sorted(started, key=lambda name: started[name]) == ["k5", "k3"]
    assert STEP_S * sum(pressure < station.pressure_min_bar_g for pressure in agent) <= 50.0
    assert min(agent) > station.pressure_min_bar_g - 0.25


def test_machines_started_after_a_trip_refill_the_net_and_do_not_only_carry_on():
    # 24 m3/min: without the machine that trips the next one just carries it, and the net would stay low for a minute.
    loop = Loop(24.0)
    loop.live(1200, until=lambda: any(machine.loaded for machine in loop.plant.compressors.values()))
    starts = sum(len(machine.start_times) for machine in loop.plant.compressors.values())

    trip_largest(loop.plant)
    agent = live(loop, steady(24.0), 600)

    assert sum(len(machine.start_times) for machine in loop.plant.compressors.values()) >= starts + 2
    assert below_s(agent) <= 40.0
    assert min(agent[-100:]) > MINIMUM


@pytest.mark.parametrize(("before", "after", "stuck"), [(12.0, 20.0, "c3"), (25.0, 32.0, "c1")])
def test_start_refused_in_a_rising_demand(monkeypatch, before, after, stuck):
    loop = Loop(before, trip_reserve=True)
    rise = ramp(before, after, 120.0)
    refuse_starts(monkeypatch, stuck)
    cascade = under_cascade(rise, nothing, 900)

    agent = live(loop, rise, 900)

    assert below_s(agent) <= below_s(cascade)
    assert min(agent[-100:]) > MINIMUM


@pytest.mark.parametrize("demand", [12.0, 32.0])
def test_two_machines_silent_while_the_demand_rises(demand):
    loop = Loop(demand)
    rise = ramp(demand, demand + 5.0, 120.0)
    cascade = under_cascade(rise, nothing, 900)

    silence(loop, "c1", "c4")
    agent = live(loop, rise, 900)

    assert set(loop.local()) >= {"c1", "c4"}
    assert below_s(agent) <= below_s(cascade)
    assert max(agent) < HIGHEST


def test_plan_that_stops_everything_while_the_demand_rises():
    loop = Loop(25.0)
    cascade = under_cascade(RISE, nothing, 1800)
    step = PlanStep(START, 86400.0, frozenset(), {}, 0.0)
    loop.plan = Plan("absurd", "air", START, START + timedelta(days=1), PlanStatus.GREEDY, (step,))

    agent = live(loop, RISE, 1800)

    assert below_s(agent) <= below_s(cascade)


@pytest.mark.parametrize("step_h", [-1.0, 1.0, -24.0, 24.0])
def test_clock_set_while_the_demand_rises(step_h):
    loop = Loop(25.0)
    # Beyond what any two machines deliver, so that one must start whichever run.
    rise = ramp(25.0, 40.0, 300.0)
    cascade = under_cascade(rise, nothing, 900)
    set_s = loop.plant.now_s

    loop.at += timedelta(hours=step_h)
    agent = live(loop, rise, 900)

    assert loop.control.switch.mode is Mode.CONTROL
    assert below_s(agent) <= below_s(cascade)
    starts = sorted(
        at for machine in loop.plant.compressors.values() for at in machine.start_times if at >= set_s
    )
    assert starts
    assert all(b - a >= START_GAP_S for a, b in zip(starts, starts[1:], strict=False))
    # Time-outs go on as well: a lost sensor ends in local control as soon as ever.
    loop.plant.set_sensor_fault("dropout")
    loop.live(30)
    assert loop.control.switch.mode is Mode.FALLBACK


def after_power_failure(plant: AirStation) -> None:
    plant.cut_power()


@pytest.mark.parametrize("agent_lives", [True, False], ids=["agent on battery", "agent restarts too"])
def test_power_failure_and_staggered_restart(agent_lives):
    loop = Loop(25.0)
    before = {name: len(machine.start_times) for name, machine in loop.plant.compressors.items()}

    loop.plant.cut_power()
    loop.alive = agent_lives
    loop.demand = 0.0
    loop.live(60)
    loop.plant.restore_power()
    loop.live(60)
    if not agent_lives:
        loop.control = type(loop.control)(loop.control.fleet.station)
        loop.alive = True
    loop.live(60)
    # People come back: the air is needed again.
    rise = ramp(0.0, 25.0, 300.0)
    agent = live(loop, rise, 1800)

    starts = sorted(
        at for name, machine in loop.plant.compressors.items() for at in machine.start_times[before[name] :]
    )
    assert len(starts) >= 2
    assert all(b - a >= START_GAP_S for a, b in zip(starts, starts[1:], strict=False))
    assert loop.control.switch.mode is Mode.CONTROL
    assert loop.local() == []
    assert min(agent[-300:]) > MINIMUM


@pytest.mark.parametrize("demand", [12.0, 25.0, 32.0])
def test_operator_takes_a_machine_out_in_the_middle_of_a_plan(demand):
    loop = Loop(demand)
    step = PlanStep(START, 86400.0, frozenset(loop.control.fleet.names), {}, demand)
    loop.plan = Plan("all", "air", START, START + timedelta(days=1), PlanStatus.GREEDY, (step,))
    loop.live(600, until=lambda: any(machine.loaded for machine in loop.plant.compressors.values()))
    out = largest_loaded(loop.plant)

    loop.control.override(out, run=False, until_at_s=loop.at.timestamp() + 900, text="belt")
    agent = live(loop, steady(demand), 890)

    assert not loop.plant.compressors[out].running
    # Under the cascade somebody presses its stop button.
    cascade = under_cascade(steady(demand), trip_largest, 890)
    assert below_s(agent) <= below_s(cascade)
