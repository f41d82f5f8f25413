"""The guard of the zones, rule by rule and by property: hard limits, steps, order of writes, leases."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import combinations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from agent.config.parts import Point
from agent.control.comfort_limits import as_left_behind
from tests.control.comfort_rig import (
    BEAT,
    COOL,
    EMPTY,
    FULL,
    HEAT,
    ON,
    guard_of,
    seen,
    step,
    tell,
    values,
)


def test_with_people_the_cooling_set_point_never_stands_above_the_hard_ceiling():
    assert values(tell(guard_of(occupancy=FULL), seen(0), step(15.0, 30.0))) == {COOL: 27.8}
    assert values(tell(guard_of(occupancy=EMPTY), seen(0), step(15.0, 29.0))) == {COOL: 29.0}


def test_a_hall_hotter_than_the_ceiling_with_people_is_cooled_whatever_the_plan_says():
    guard = guard_of(occupancy=FULL)

    commands = tell(guard, seen(0, temp=28.5, on=0.0), step(15.0, 30.0, enable=False))

    assert values(commands) == {COOL: 25.0, ON: 1.0}
    assert "too hot" in commands[0].reason


def test_goods_and_pipes_are_kept_from_frost_against_plan_override_and_an_idle_unit():
    guard = guard_of(goods_low_degc=8.0, setback_low_degc=10.0)
    tell(guard, seen(0, temp=16.0), step(16.0, 29.0, enable=False))
    tell(guard, seen(10, temp=12.5, heat=16.0, cool=29.0, on=0.0), step(16.0, 29.0, enable=False))
    # Somebody turns the heating down by hand: left alone, until the hall is colder than the goods bear.
    assert (
        tell(guard, seen(11, temp=12.0, heat=11.0, cool=29.0, on=0.0), step(16.0, 29.0, enable=False)) == []
    )

    commands = tell(guard, seen(16, temp=9.9, heat=11.0, cool=29.0, on=0.0), step(16.0, 29.0, enable=False))
    assert values(commands) == {ON: 1.0}  # outside its set-back edges: the unit may work again
    commands = tell(guard, seen(25, temp=7.5, heat=11.0, cool=29.0, on=1.0), step(16.0, 29.0, enable=False))

    assert values(commands) == {HEAT: 20.0}
    assert "too cold" in commands[0].reason


def test_a_unit_is_never_off_while_one_of_its_zones_is_not_steered():
    guard = guard_of(zones=("hall", "store"))
    idle = step(15.0, 30.0, enable=False)
    tell(guard, seen(0), idle, idle)

    commands = tell(guard, seen(15, on=0.0, other=None), idle, idle)

    assert values(commands) == {ON: 1.0}


def test_a_frozen_or_broken_sensor_takes_its_own_zone_out_and_no_other():
    guard = guard_of(zones=("hall", "store"))

    commands = tell(guard, seen(0, other=75.0), step(18.0, 28.0), step(18.0, 28.0))

    assert values(commands) == {HEAT: 18.0, COOL: 28.0}


# ---- what stands alone must be safe -----------------------------------------------------------------------


def test_of_two_writes_the_one_goes_first_after_which_the_dead_band_still_holds():
    guard = guard_of()
    # From 15/18 to 20/25: heating first would stand at 20 beside cooling at 18.
    first = tell(guard, seen(0, cool=18.0), step(20.0, 25.0))
    second = tell(guard, seen(1, cool=25.0), step(20.0, 25.0))

    assert values(first) == {COOL: 25.0}
    assert values(second) == {HEAT: 20.0}


def test_a_unit_without_a_dead_man_never_gets_set_back_nor_is_it_switched_off():
    guard = guard_of(unit={"left_behind": "comfort"})

    commands = tell(guard, seen(0), step(15.0, 30.0, enable=False))
    hvac = as_left_behind(guard._hvac)

    assert values(commands) == {HEAT: 20.0, COOL: 25.0}
    assert (hvac.zones["hall"].setback_low_degc, hvac.zones["hall"].setback_high_degc) == (20.0, 25.0)


def test_a_hand_back_that_fails_is_tried_again_until_it_comes_through():
    guard = guard_of()
    tell(guard, seen(0), step(20.0, 25.0))

    first = guard.hand_back_all(seen(1, heat=20.0, cool=25.0))
    waiting = guard.owed(seen(2))
    again = guard.owed(seen(7))
    for command in again:
        guard.wrote(command.tag, None)

    assert {c.tag for c in first} == {c.tag for c in again} == {HEAT, COOL}
    assert all(c.value is None for c in first + again)
    assert waiting == []
    assert guard.owed(seen(20)) == []


def test_a_write_that_fails_is_not_repeated_every_tick():
    guard = guard_of()

    sent = [len(tell(guard, seen(m), step(20.0, 25.0), confirm=False)) for m in range(11)]

    assert sent == [2, 0, 0, 0, 0, 2, 0, 0, 0, 0, 2]


# ---- steps and the device's own resolution ----------------------------------------------------------------


def test_a_device_that_needs_it_gets_steps_of_one_kelvin_a_quarter_hour():
    guard = guard_of(max_step_k=1.0)
    heat, cool, log = 15.0, 30.0, []

    for minute in range(0, 61, 5):
        for c in tell(guard, seen(minute, heat=heat, cool=cool), step(17.5, 28.0)):
            log.append((minute, c.tag, c.value))
            heat, cool = (c.value, cool) if c.tag == HEAT else (heat, c.value)

    assert log == [
        (0, HEAT, 16.0),
        (0, COOL, 29.0),
        (15, HEAT, 17.0),
        (15, COOL, 28.0),
        (30, HEAT, 17.5),
    ]


def test_a_device_that_holds_half_degrees_gets_half_degrees_and_is_not_taken_for_moved():
    half = Point(register="holding", address=1, type="int16", scale=0.5, unit="degC", writable=True)
    guard = guard_of(point=half)

    commands = tell(guard, seen(0), step(19.7, 25.2))

    assert values(commands) == {HEAT: 19.5, COOL: 25.0}
    assert tell(guard, seen(1, heat=19.5, cool=25.0), step(19.7, 25.2)) == []


def test_the_devices_range_binds_within_the_sites():
    narrow = Point(
        node="ns=2;s=x", type="float64", unit="degC", writable=True, write_min=18.0, write_max=26.0
    )

    assert values(tell(guard_of(point=narrow), seen(0), step(15.0, 30.0))) == {HEAT: 18.0, COOL: 26.0}


def test_site_and_device_that_leave_no_pair_get_no_write_and_a_reason():
    narrow = Point(
        node="ns=2;s=x", type="float64", unit="degC", writable=True, write_min=18.0, write_max=19.0
    )
    guard = guard_of(point=narrow)
    guard.sensor_fault("hall", seen(0))

    commands, refusals = guard.commands(seen(0), {"hall": step(18.0, 25.0)}, "p")

    assert [c.tag for c in commands] == [BEAT]
    assert "2 K apart" in refusals[0].rule


def test_device_that_wants_pauses_gets_them_after_handing_back_too():
    guard = guard_of(max_step_k=1.0)
    assert tell(guard, seen(0), step(17.0, 27.0))
    guard.sensor_fault("hall", seen(1, temp=None))
    guard.commands(seen(1), {"hall": None}, "p")
    for tag in (HEAT, COOL):
        guard.wrote(tag, None)

    assert not [
        c for c in guard.commands(seen(15), {"hall": step(17.0, 27.0)}, "p")[0] if c.tag in (HEAT, COOL)
    ]
    assert [c for c in guard.commands(seen(16), {"hall": step(17.0, 27.0)}, "p")[0] if c.tag in (HEAT, COOL)]


# ---- who moved it -----------------------------------------------------------------------------------------


POINTS = st.sampled_from(
    [
        None,
        Point(register="holding", address=1, type="int16", scale=0.5, unit="degC", writable=True, write_min=6.0, write_max=32.0),
        Point(register="holding", address=1, type="uint16", scale=1.0, unit="degF", writable=True, write_min=10.0, write_max=30.0),
        Point(node="ns=2;s=x", type="float64", unit="degC", writable=True, write_min=16.0, write_max=27.0),
    ]
)  # fmt: skip
TEMP = st.one_of(st.none(), st.floats(-25.0, 65.0))
SETPOINT = st.floats(-60.0, 90.0)
TICK = st.tuples(TEMP, SETPOINT, SETPOINT, st.booleans(), st.integers(0, 3), st.integers(1, 40))


@settings(max_examples=150, deadline=None)
@example(
    point=None,
    full=False,
    left="dead-man",
    most=1.0,
    ticks=[(None, 0.0, 0.0, False, 0, 1)] * 4
    + [(2.0, 0.0, 0.0, False, 1, 1), (None, 0.0, 0.0, False, 0, 1), (5.0, 0.0, 0.0, False, 0, 1)],
)
@given(
    point=POINTS,
    full=st.booleans(),
    left=st.sampled_from(["dead-man", "comfort"]),
    most=st.sampled_from([None, 1.0]),
    ticks=st.lists(TICK, min_size=1, max_size=8),
)
def test_whatever_is_planned_and_measured_only_safe_set_points_leave(point, full, left, most, ticks):
    """Every write lies inside site, people and device; changes something; and is safe without the next one."""
    guard = guard_of(
        occupancy=FULL if full else EMPTY, point=point, unit={"left_behind": left}, max_step_k=most
    )
    standing: dict[str, float] = {HEAT: 18.0, COOL: 26.0}
    on, minute = 1.0, 0.0
    written_at: dict[str, datetime] = {}
    for temp, heat, cool, enable, fate, wait in ticks:
        snapshot = seen(minute, temp=temp, heat=standing[HEAT], cool=standing[COOL], on=on)
        wish = None if guard.sensor_fault("hall", snapshot) else step(heat, cool, enable=enable)
        commands, _ = guard.commands(snapshot, {"hall": wish}, "p")
        sets = [c for c in commands if c.tag in standing and c.value is not None]
        low, high = (20.0, 25.0) if left == "comfort" else (15.0, 27.8 if full else 30.0)
        for command in sets:
            # From a value that somebody left outside, steps lead back in.
            was = standing[command.tag]
            assert min(low, was + 0.3) <= command.value <= max(high, was - 0.3)
            assert point is None or point.write_min <= command.value <= point.write_max
            assert abs(command.value - standing[command.tag]) > 0.049
            if most is not None and "whatever" not in command.reason:
                assert abs(command.value - standing[command.tag]) <= most + 0.3  # the device's own step
                before = written_at.get(command.tag)
                assert before is None or snapshot.at - before >= timedelta(minutes=15)
        for size in range(len(sets) + 1):
            for some in combinations(sets, size):
                after = {**standing, **{c.tag: c.value for c in some}}
                assert after[COOL] - after[HEAT] >= min(2.0, standing[COOL] - standing[HEAT]) - 1e-3
        if full and wish is not None:
            assert all(c.value != 0.0 for c in commands if c.tag == ON)
        for number, command in enumerate(commands):
            if command.value is None:
                standing |= (
                    {HEAT: 18.0} if command.tag == HEAT else {COOL: 26.0} if command.tag == COOL else {}
                )
            elif number % 4 != fate:  # some writes never come through
                guard.wrote(command.tag, command.value)
                if command.tag in standing:
                    standing[command.tag] = command.value
                    written_at[command.tag] = snapshot.at
                elif command.tag == ON:
                    on = command.value
        minute += wait


@pytest.mark.parametrize("side", [HEAT, COOL])
def test_one_sided_units_are_steered_on_the_side_they_have(side):
    guard = guard_of()
    guard._writable = frozenset({side})

    commands = tell(guard, seen(0), step(18.0, 27.0))

    assert values(commands) == {side: 18.0 if side == HEAT else 27.0}
