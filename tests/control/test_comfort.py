"""The guard of the zones: set-points that may leave, and zones that are left alone."""

from datetime import timedelta

import pytest

from agent.config.parts import WeekTime
from agent.config.site import Hvac, Unit, Zone
from agent.control.comfort import ComfortGuard
from agent.domain import Quality, Reading, Snapshot, ZoneStep
from tests.control.plant import START

TAGS = frozenset({"r.heat", "r.cool", "r.on", "r.beat"})


@pytest.fixture
def guard() -> ComfortGuard:
    unit = Unit(device="r", enable="r.on", heartbeat="r.beat")
    hours = (WeekTime(days="sun"),)  # START is a Monday: nobody is in
    zone = Zone(
        unit="rtu", temp="r.temp", heating_setpoint="r.heat", cooling_setpoint="r.cool", occupancy=hours
    )
    return ComfortGuard(Hvac(mode="control", units={"rtu": unit}, zones={"hall": zone}), TAGS)


def seen(
    minute: float, temp: float | None = 22.0, heat: float = 15.0, cool: float = 30.0, on: float = 1.0
) -> Snapshot:
    at = START + timedelta(minutes=minute)
    values = {"r.temp": temp, "r.heat": heat, "r.cool": cool, "r.on": on}
    quality = {tag: Quality.BAD if value is None else Quality.GOOD for tag, value in values.items()}
    return Snapshot(at, {tag: Reading(value, quality[tag], at) for tag, value in values.items()})


def step(heat: float, cool: float) -> ZoneStep:
    return ZoneStep(START, heat, cool, enable=True, reason="comfort")


def write(guard: ComfortGuard, snapshot: Snapshot, heat: float, cool: float) -> dict[str, float | None]:
    commands, _ = guard.commands(snapshot, {"hall": step(heat, cool)}, "p")
    for command in commands:
        if command.value is not None:
            guard.wrote(command.tag, command.value)
    return {command.tag: command.value for command in commands if command.tag != "r.beat"}


def test_heating_stays_two_kelvin_below_cooling_and_both_inside_the_zones_edges(guard):
    assert write(guard, seen(0), 24.0, 24.5) == {"r.heat": 22.5, "r.cool": 24.5}
    # Set-back edges by default: 15 and 30 degC.
    assert write(guard, seen(1, heat=22.5, cool=24.5), 2.0, 45.0) == {"r.heat": 15.0, "r.cool": 30.0}


def test_set_point_that_stands_already_is_not_written(guard):
    assert write(guard, seen(0, heat=20.0, cool=25.0), 20.0, 25.0) == {}


def test_set_point_moved_on_site_is_left_alone_for_four_hours(guard):
    write(guard, seen(0), 20.0, 25.0)

    moved = write(guard, seen(1, heat=20.0, cool=23.0), 20.0, 25.0)
    held = write(guard, seen(239, heat=20.0, cool=23.0), 20.0, 25.0)
    after = write(guard, seen(242, heat=20.0, cool=23.0), 20.0, 25.0)

    assert moved == {}
    assert held == {}
    assert after == {"r.cool": 25.0}


def test_zone_without_a_step_is_handed_back_once(guard):
    write(guard, seen(0), 20.0, 25.0)

    first, _ = guard.commands(seen(1, heat=20.0, cool=25.0), {"hall": None}, "p")
    second, _ = guard.commands(seen(2), {"hall": None}, "p")

    assert {(c.tag, c.value) for c in first} == {("r.heat", None), ("r.cool", None)}
    assert second == []


def test_unit_that_was_switched_off_is_handed_back_with_its_last_zone(guard):
    off = ZoneStep(START, 15.0, 30.0, enable=False, reason="empty")
    guard.commands(seen(0), {"hall": off}, "p")

    lost, _ = guard.commands(seen(1, temp=None, on=0.0), {"hall": None}, "p")
    later, _ = guard.commands(seen(2, temp=None), {"hall": None}, "p")

    assert [(c.tag, c.value) for c in lost] == [("r.on", None)]
    assert later == []


def test_frozen_jumping_and_impossible_sensors_are_found(guard):
    assert guard.sensor_fault("hall", seen(0, 22.0)) == ""
    assert "unknown" in guard.sensor_fault("hall", seen(1, None))
    assert "implausible" in guard.sensor_fault("hall", seen(2, 75.0))
    # 22 to 27 degC in two minutes: more than 3 K in five.
    assert "jumped" in guard.sensor_fault("hall", seen(2, 27.0))
    assert guard.sensor_fault("hall", seen(20, 27.0)) == ""
    frozen = [guard.sensor_fault("hall", seen(20 + m, 27.0)) for m in range(10, 400, 10)]
    # It has shown 27.0 since minute 2: frozen six hours later, at minute 362.
    assert frozen[33] == ""
    assert "frozen" in frozen[-1]
