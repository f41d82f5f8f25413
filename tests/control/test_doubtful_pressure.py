"""A header sensor that stands still or shows the impossible: told from a coarse one, ended by the fall-back."""

import pytest

from agent.control.mode import StillWatch
from agent.control.station import StationControl
from agent.domain import Mode
from tests.control.plant import loaded, snapshot, stopped


def test_value_counts_as_frozen_after_a_minute_while_nothing_is_known_of_the_sensor():
    watch = StillWatch()

    still = [watch.still_s(at_s, 6.5) for at_s in (0, 30, 60)]

    # Three times the 20 s that any sensor is granted.
    assert still == [0, 30, 60]
    assert watch.limit_s == 60.0


def test_live_transmitter_is_found_frozen_sooner_and_never_before_twenty_seconds():
    watch = StillWatch()

    for at_s in range(900):
        watch.still_s(at_s, 6.5 + 0.001 * (at_s % 2))
    after_a_half_life = watch.limit_s
    for at_s in range(900, 7200):
        watch.still_s(at_s, 6.5 + 0.001 * (at_s % 2))

    # 20 s halve in 900 s, 899 of which have passed: 3 x 20 / 2.
    assert after_a_half_life == pytest.approx(30.0, rel=0.001)
    assert watch.limit_s == 20.0


def test_coarse_sensor_earns_a_longer_limit():
    watch = StillWatch()

    for at_s in range(200):
        watch.still_s(at_s, 6.5 if at_s < 35 else 6.6 if at_s < 75 else 6.5)

    # It repeated itself for 35 s, then for 40 s: 3 x 40.
    assert watch.limit_s == 120.0


def test_sensor_of_tenths_may_stand_still_for_ten_minutes_and_one_of_hundredths_may_not():
    tenths, hundredths = StillWatch(), StillWatch()

    for at_s in range(300):
        tenths.still_s(at_s, 6.5 + 0.1 * (at_s // 30 % 2))
        hundredths.still_s(at_s, 6.5 + 0.01 * (at_s // 30 % 2))

    assert tenths.coarse_bar == pytest.approx(0.1)
    assert hundredths.coarse_bar == 0.0
    assert (tenths.limit_s, hundredths.limit_s) == (600.0, pytest.approx(90.0))


def test_few_large_moves_make_no_coarse_sensor():
    watch = StillWatch()

    for at_s in range(90):
        watch.still_s(at_s, 6.5 + 0.1 * (at_s // 30 % 2))

    assert watch.coarse_bar == 0.0


def test_one_long_stretch_no_more_than_doubles_the_limit():
    watch = StillWatch()
    watch.still_s(0, 6.5)

    watch.still_s(3600, 6.6)

    assert watch.limit_s == 2 * 60.0


def test_slow_ticks_need_five_repetitions_however_long_they_take():
    watch = StillWatch()

    verdicts = [watch.frozen(watch.still_s(at_s, 6.5)) for at_s in range(0, 3600, 600)]

    # The first look is no repetition: the sixth is the fifth.
    assert verdicts == [False] * 5 + [True]


def test_lost_value_is_not_a_frozen_one():
    watch = StillWatch()
    watch.still_s(0, 6.5)

    lost = watch.still_s(50, None)
    back = watch.still_s(100, 6.5)

    assert lost == 0.0
    assert back == 0.0


def test_frozen_pressure_ends_control_at_once_and_control_returns_two_minutes_after_it_moves(station):
    control = StationControl(station)
    machines = [loaded(), stopped(), stopped()]

    def tick(at_s: int, pressure: float) -> Mode:
        return control.tick(snapshot(station, at_s, pressure, machines)).mode

    standing = [tick(at_s, 6.5) for at_s in range(62)]
    moving = [tick(at_s, 6.5 + 0.001 * (at_s % 2)) for at_s in range(63, 184)]

    # Frozen at 60 s; it moves again at 63 s: good for 120 s at 183 s.
    assert standing[59] is Mode.CONTROL
    assert standing[60] is Mode.FALLBACK
    assert moving[-2] is Mode.FALLBACK
    assert moving[-1] is Mode.CONTROL


def test_nothing_is_ordered_in_the_tick_that_finds_the_pressure_frozen(station):
    control = StationControl(station)
    machines = [loaded(), stopped(), stopped()]

    results = [control.tick(snapshot(station, at_s, 6.5, machines)) for at_s in range(61)]

    assert results[59].orders is not None
    assert results[60].orders is None
    assert results[60].mode_changed
    assert results[60].mode_why == "header pressure has stood still for 60 s"


def test_impossible_pressure_is_not_acted_on_while_its_fall_back_is_awaited(station):
    control = StationControl(station)
    machines = [loaded(), stopped(), stopped()]
    for at_s in range(10):
        control.tick(snapshot(station, at_s, 6.5 + 0.001 * at_s, machines))

    # 16.5 bar is more than twice the highest of 8 bar: nothing may unload because of it.
    results = [control.tick(snapshot(station, at_s, 16.5 + 0.001 * at_s, machines)) for at_s in range(10, 31)]

    assert all(result.orders is None for result in results)
    assert [result.mode for result in results[-2:]] == [Mode.CONTROL, Mode.FALLBACK]
    assert "implausible" in results[-1].mode_why
