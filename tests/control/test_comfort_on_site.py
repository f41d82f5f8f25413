"""The guard of the zones and what happens on site: hands, timers, silent links, sensors that stand still."""

from __future__ import annotations

from datetime import timedelta

from agent.control.comfort_sensor import SensorWatch
from agent.domain import Quality, Reading, Snapshot
from tests.control.comfort_rig import (
    COOL,
    HEAT,
    ON,
    guard_of,
    seen,
    step,
    tell,
    values,
)
from tests.control.plant import START


def test_what_was_moved_on_site_is_left_alone_for_as_long_as_the_site_says():
    guard = guard_of(hold_h=1.0)
    tell(guard, seen(0), step(20.0, 25.0))

    assert tell(guard, seen(1, heat=20.0, cool=23.0), step(20.0, 25.0)) == []
    assert tell(guard, seen(60, heat=20.0, cool=23.0), step(20.0, 25.0)) == []
    assert values(tell(guard, seen(62, heat=20.0, cool=23.0), step(20.0, 25.0))) == {COOL: 25.0}


def test_an_old_reading_after_a_write_is_not_taken_for_a_hand_on_site():
    guard = guard_of()
    tell(guard, seen(0), step(20.0, 25.0))
    late = seen(1, heat=20.0, cool=25.0)
    old = Reading(30.0, Quality.UNCERTAIN, START)  # one poll was lost: the value from before the write
    late = Snapshot(late.at, {**late.readings, COOL: old})

    assert tell(guard, late, step(20.0, 25.0)) == []
    assert values(tell(guard, seen(2, heat=20.0, cool=25.0), step(20.0, 24.0))) == {COOL: 24.0}


def test_a_unit_that_went_to_its_own_programme_while_the_line_was_down_is_not_taken_for_moved_by_hand():
    guard = guard_of()
    tell(guard, seen(0), step(20.0, 25.0))
    # Ten minutes without a heartbeat that came through; its dead-man is two.
    back = tell(guard, seen(10, heat=15.0, cool=30.0), step(20.0, 25.0))

    assert values(back) == {HEAT: 20.0, COOL: 25.0}


def test_a_unit_switched_by_hand_stays_so_for_four_hours():
    guard = guard_of()
    idle = step(15.0, 30.0, enable=False)
    assert values(tell(guard, seen(0), idle)) == {ON: 0.0}
    beats = [tell(guard, seen(m, on=1.0), idle) for m in range(1, 240)]
    after = tell(guard, seen(242, on=1.0), idle)

    assert all(commands == [] for commands in beats)
    assert values(after) == {ON: 0.0}


def test_a_unit_is_not_switched_faster_than_its_timers_nor_oftener_than_its_starts_in_an_hour():
    guard = guard_of(unit={"min_run_s": 600.0, "min_stop_s": 600.0, "max_starts_per_hour": 2})
    on, changes = 1.0, []

    for minute in range(180):
        wish = step(15.0, 30.0, enable=minute % 2 == 1)  # a plan that changes its mind every minute
        for command in tell(guard, seen(minute, on=on), wish):
            changes.append((minute, command.value))
            on = command.value

    starts = [m for m, value in changes if value == 1.0]
    gaps = [b - a for (a, _), (b, _) in zip(changes, changes[1:], strict=False)]
    assert len(starts) >= 4
    assert min(gaps) >= 10
    assert all(sum(m <= s < m + 60 for s in starts) <= 2 for m in range(120))


# ---- sensors ----------------------------------------------------------------------------------------------


def test_a_silent_link_is_waited_for_a_quarter_hour_and_then_the_zone_is_handed_back():
    guard = guard_of()
    tell(guard, seen(0), step(20.0, 25.0))

    def silent(minute: float) -> Snapshot:
        snapshot = seen(minute, heat=20.0, cool=25.0)
        return Snapshot(
            snapshot.at, {**snapshot.readings, "r.temp_hall": Reading(22.0, Quality.STALE, START)}
        )

    assert tell(guard, silent(14.9), step(20.0, 25.0)) == []
    assert guard.temp_degc("hall") == 22.0
    assert values(tell(guard, silent(15.1), step(20.0, 25.0))) == {HEAT: None, COOL: None}


def test_a_sensor_that_always_moved_is_frozen_after_an_hour_and_a_coarse_one_is_not():
    lively, coarse = SensorWatch(), SensorWatch()
    at = START
    for minute in range(24 * 60):
        at = START + timedelta(minutes=minute)
        assert lively.look(Reading(22.0 + 0.01 * (minute % 7), Quality.GOOD, at), at) == ""
        # Half a degree of resolution: three hours at one value.
        assert coarse.look(Reading(22.0 + 0.5 * (minute // 180 % 2), Quality.GOOD, at), at) == ""

    def still(watch: SensorWatch, value: float, hours: float) -> str:
        later = at + timedelta(hours=hours)
        return watch.look(Reading(value, Quality.GOOD, later), later)

    assert still(lively, lively.value_degc or 0.0, 0.9) == ""
    assert still(lively, lively.value_degc or 0.0, 1.1) == "zone temperature is frozen"
    assert still(coarse, coarse.value_degc or 0.0, 2.9) == ""


def test_a_temperature_that_stands_still_at_its_set_point_is_held_and_not_frozen():
    guard = guard_of()
    for minute in range(60):  # a lively sensor
        tell(guard, seen(minute, temp=22.0 + 0.01 * (minute % 7)), step(20.0, 25.0))

    held = [guard.sensor_fault("hall", seen(60 + m, temp=20.0, heat=20.0)) for m in range(0, 12 * 60, 10)]
    loose = [guard.sensor_fault("hall", seen(800 + m, temp=22.0, heat=20.0)) for m in range(0, 100, 10)]

    assert set(held) == {""}
    assert loose[-1] == "zone temperature is frozen"


# ---- by property ------------------------------------------------------------------------------------------
