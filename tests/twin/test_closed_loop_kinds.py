"""The agent over stations whose machines modulate, blow off, or start and stop: six hours each."""

from __future__ import annotations

from datetime import timedelta

import pytest

from agent.config.site import Control, Identity, Machine, Site, Station
from tests.twin.air_stations import MONDAY, machine, station
from twin.baselines.cascade import Cascade
from twin.demand import DemandSeries
from twin.simulate import RunResult, Scene, run_agent, run_cascade

HOURS = 6


def kind(control: Control, **changes: object) -> Machine:
    """16 m3/min at 96 kW; a throttled one takes 65 % at no flow, one that blows off 80 %."""
    idle_kw = {"start-stop": 0.0, "modulation": 62.0, "centrifugal-blow-off": 77.0}.get(control, 18.0)
    plate = {
        "control": control,
        "full_flow_m3_min": 16.0,
        "full_power_kw": 96.0,
        "unloaded_power_kw": idle_kw,
        "priority": 1,
        **changes,
    }
    return machine("k1", **plate)


def scene(plate: Machine, levels: tuple[float, ...]) -> Scene:
    """Two load/unload screws of 10 and 6 m3/min beside it; demand [m3/min] glides from level to level."""
    base: Station = station()
    machines = {
        "k1": plate,
        "c1": base.machines["c1"].model_copy(update={"priority": 2}),
        "c2": base.machines["c2"].model_copy(update={"priority": 3}),
    }
    site = Site(
        site=Identity(id="kinds"),
        devices={"net": {"driver": "lines"}},
        stations={"air": base.model_copy(update={"machines": machines, "receiver_m3": 30.0})},
    )
    values = []
    for minute in range(HOURS * 60):
        step, part = divmod(minute / 30.0, 1.0)
        here, there = levels[int(step) % len(levels)], levels[(int(step) + 1) % len(levels)]
        values.append(here + (there - here) * part)
    demand = DemandSeries(MONDAY, 60.0, values)
    return Scene(site, "air", demand, MONDAY, MONDAY + timedelta(hours=HOURS), 1)


def serves(result: RunResult) -> bool:
    """The service that every controller owes: pressure held, motors spared."""
    books = result.books
    return (
        books.time_below_min_s <= 0.001 * books.elapsed_s
        and books.worst_dip_bar <= 0.2
        and books.undelivered_m3 == 0.0
        and books.max_starts_per_hour <= 6
    )


CONTROLS: tuple[Control, ...] = (
    "modulation",
    "modulation-unload",
    "variable-displacement-unload",
    "start-stop",
    "centrifugal-blow-off",
    "centrifugal-load-unload",
    "centrifugal-modulation-unload",
)


@pytest.mark.parametrize("control", CONTROLS)
def test_the_agent_holds_the_pressure_and_takes_less_than_the_cascade(control):
    world = scene(kind(control), (14.0, 20.0, 26.0, 18.0, 9.0, 12.0))

    agent, cascade = run_agent(world, "none"), run_cascade(world, Cascade(world.station))

    assert serves(agent)
    assert agent.books.energy_corrected_kwh < cascade.books.energy_corrected_kwh


def test_a_machine_that_idles_at_two_thirds_of_its_power_does_not_idle():
    world = scene(kind("modulation"), (9.0, 9.5))

    result = run_agent(world, "none")

    # c1 alone carries it; k1 modulating would take 62 kW at least. Start-up of the day left aside.
    assert result.books.hours_run["k1"] < 0.5
    assert result.books.energy_kwh / (result.books.elapsed_s / 3600.0) < 65.0


def test_a_start_stop_machine_is_started_to_load_and_never_idles():
    world = scene(kind("start-stop"), (25.0, 25.5))

    result = run_agent(world, "none")

    # k1 and c1 together deliver 26: both run nearly always, and k1 has no other state than loaded.
    assert serves(result)
    assert result.books.hours_run["k1"] > 0.8 * result.books.elapsed_s / 3600.0
