"""How far above what is expected an hour's demand gets, learned from hours that have passed."""

import math

import pytest

from agent.control.hour_peak import HourPeak, HourWander

TICK_S = 10.0


def days(peak: HourPeak, count: float, demand, expected) -> None:
    """Tick by tick; `demand` and `expected` of the seconds since the begin."""
    for tick in range(int(count * 86400.0 / TICK_S)):
        at_s = tick * TICK_S
        peak.see(at_s, demand(at_s))
        peak.expect(at_s, expected(at_s))


def test_peak_is_a_swing_above_the_expectation_until_something_else_is_seen():
    peak = HourPeak(0.05)

    peak.expect(0.0, 20.0)

    assert peak.peak == pytest.approx((21.0, 1.0))


def test_demand_that_wanders_each_hour_is_known_to_come_so_high_again():
    peak = HourPeak(0.05)

    # 20 m3/min, and 24 for five minutes of each hour: whenever one looks, the hour ahead reaches 24.
    days(peak, 3.0, lambda at_s: 24.0 if at_s % 3600.0 < 300.0 else 20.0, lambda _: 20.0)

    assert peak.peak.mean_m3_min == pytest.approx(24.0, abs=0.2)
    assert peak.peak.deviation_m3_min < 0.7


def test_steady_demand_has_no_peak():
    peak = HourPeak(0.05)

    days(peak, 5.0, lambda _: 20.0, lambda _: 20.0)

    assert peak.peak.mean_m3_min == pytest.approx(20.0, abs=0.1)
    assert peak.peak.deviation_m3_min < 0.3


def test_shift_that_nobody_expected_does_not_stand_for_how_the_demand_wanders():
    peak = HourPeak(0.05)

    # Each night ends without a word: for an hour five times what was expected.
    days(
        peak,
        5.0,
        lambda at_s: 20.0 if at_s % 86400.0 < 57600.0 else 4.0,
        lambda at_s: 20.0 if at_s % 86400.0 < 57600.0 else 4.0,
    )

    assert peak.peak.deviation_m3_min / (peak.peak.mean_m3_min or math.nan) < 0.07


def test_clock_that_goes_back_begins_the_comparison_anew():
    peak = HourPeak(0.05)
    peak.see(1000.0, 90.0)
    peak.expect(1000.0, 10.0)

    peak.see(0.0, 10.0)
    peak.expect(0.0, 10.0)
    peak.see(3700.0, 10.0)

    # Of the 90 nothing is left: 36 assumed swings of 0.05, and one comparison without any.
    assert peak.peak.mean_m3_min == pytest.approx(10.0 * (1.0 + 0.05 * 36 / 37))


def test_what_was_learned_goes_on_after_a_restart():
    before, after = HourPeak(0.05), HourPeak(0.05)
    days(before, 3.0, lambda at_s: 24.0 if at_s % 3600.0 < 300.0 else 20.0, lambda _: 20.0)

    after.recall(before.learned)
    after.expect(0.0, 20.0)

    assert after.peak == pytest.approx(before.peak)
    assert after.learned == pytest.approx(before.learned)


def test_nothing_is_learned_before_an_hour_was_compared():
    peak = HourPeak(0.05)

    days(peak, 1 / 24, lambda _: 20.0, lambda _: 20.0)

    assert peak.learned is None


@pytest.mark.parametrize(
    "kept",
    [
        None,
        HourWander(math.nan, 0.05, 100.0),
        HourWander(0.9, 0.05, 100.0),
        HourWander(0.05, -0.1, 100.0),
        HourWander(0.05, 0.05, 0.0),
    ],
)
def test_what_cannot_have_been_learned_is_left_out(kept):
    peak = HourPeak(0.05)

    peak.recall(kept)
    peak.expect(0.0, 20.0)

    assert peak.learned is None
    assert peak.peak == pytest.approx((21.0, 1.0))
