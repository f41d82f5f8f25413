"""The band's level: what it is, and what it learns from dips."""

import pytest

from agent.control.level import BandLevel
from agent.domain import Mode
from tests.twin.test_closed_loop import SITE, Loop

STATION = SITE.stations["air"]  # 6.3 to 8.0 bar, floor 0.08, width 0.25
HOUR_S = 3600.0


def test_without_a_vsd_the_band_is_as_wide_as_configured_and_aims_at_its_middle():
    low, aim, high = BandLevel(STATION).edges(by_speed=False)

    assert (low, aim, high) == pytest.approx((6.38, 6.505, 6.63))


def test_a_trimming_vsd_aims_just_above_the_floor():
    low, aim, high = BandLevel(STATION).edges(by_speed=True)

    assert (low, aim, high) == pytest.approx((6.38, 6.41, 6.50))


def test_a_second_below_the_minimum_weighs_as_much_as_an_hour_above():
    level = BandLevel(STATION)

    for _ in range(3600):
        level.learn(6.5, 1.0, by_speed=True, short=False)
    sunk = 0.08 - level.floor_bar(by_speed=True)
    level.learn(6.29, 1.0, by_speed=True, short=False)

    # 0.002 bar/s x 0.0003 x 3600 s = 0.00216 bar down, 0.002 bar up.
    assert sunk == pytest.approx(0.00216)
    assert level.floor_bar(by_speed=True) == pytest.approx(0.08 - 0.00016)


def test_a_dip_under_a_fixed_trim_leaves_the_vsds_floor():
    level = BandLevel(STATION)

    level.learn(6.29, 10.0, by_speed=False, short=False)

    assert level.floor_bar(by_speed=False) == pytest.approx(0.10)
    assert level.floor_bar(by_speed=True) == pytest.approx(0.08)


def bursts(count, every_s):
    """A VSD trims, a burst takes it to its end, the trim passes on, and 15 s later the pressure is below for 10 s."""
    level = BandLevel(STATION)
    for _ in range(count):
        level.learn(6.36, every_s, by_speed=True, short=False)
        level.learn(6.32, 15.0, by_speed=False, short=False)
        level.learn(6.27, 10.0, by_speed=False, short=False)
    return level


def test_dips_that_come_often_after_the_trim_has_passed_on_teach_whoever_set_the_pressure():
    level = bursts(20, 1800.0)

    # The first four or five are spared: they teach as a single dip does.
    assert level.floor_bar(by_speed=True) > 0.25
    assert level.floor_bar(by_speed=False) < 0.2


def test_seldom_dips_after_the_trim_has_passed_on_teach_whoever_trims_in_them():
    level = bursts(5, 8 * HOUR_S)

    assert level.floor_bar(by_speed=True) < 0.08
    assert level.floor_bar(by_speed=False) == pytest.approx(0.18, abs=0.001)


def test_a_dip_for_want_of_a_running_machine_teaches_nothing():
    level = BandLevel(STATION)

    level.learn(6.2, 60.0, by_speed=True, short=True)

    assert level.floor_bar(by_speed=True) == pytest.approx(0.08)


def test_the_floor_stays_between_nothing_and_three_tenths_of_a_bar():
    level = BandLevel(STATION)

    level.learn(6.2, HOUR_S, by_speed=True, short=False)
    level.learn(6.5, 1000 * HOUR_S, by_speed=False, short=False)

    assert level.floor_bar(by_speed=True) == pytest.approx(0.3)
    assert level.floor_bar(by_speed=False) == 0.0


def test_the_band_never_reaches_above_the_highest_pressure():
    tight = STATION.model_copy(update={"pressure_max_bar_g": 6.65})
    level = BandLevel(tight)

    level.learn(6.2, HOUR_S, by_speed=False, short=False)

    # 6.65 - 0.25 - 6.3 leaves 0.1 bar of floor.
    assert level.edges(by_speed=False)[2] == pytest.approx(6.65)
    assert level.floor_bar(by_speed=False) == pytest.approx(0.10)


def test_a_site_may_keep_its_floor():
    level = BandLevel(STATION.model_copy(update={"band_adapts": False}))

    level.learn(6.2, HOUR_S, by_speed=True, short=False)

    assert level.floor_bar(by_speed=True) == 0.08


def test_what_others_do_to_the_pressure_teaches_nothing():
    loop = Loop(25.0)
    loop.control.switch.fall_now(loop.at.timestamp(), "tried")
    before = [loop.control.band.level.floor_bar(by_speed=s) for s in (False, True)]

    loop.live(20)

    assert loop.control.switch.mode is Mode.FALLBACK
    assert [loop.control.band.level.floor_bar(by_speed=s) for s in (False, True)] == before


def test_band_stands_half_a_step_of_a_coarse_sensor_higher_unless_the_site_keeps_its_floor():
    steered, kept = BandLevel(STATION), BandLevel(STATION.model_copy(update={"band_adapts": False}))
    before = [level.edges(by_speed=False) for level in (steered, kept)]

    steered.unseen_bar = kept.unseen_bar = 0.05

    assert steered.edges(by_speed=False) == pytest.approx([edge + 0.05 for edge in before[0]])
    assert kept.edges(by_speed=False) == before[1]
