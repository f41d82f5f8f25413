"""The station's memory of its demand, and what is expected of it."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.config.load import load_site
from agent.control.station import StationControl
from agent.control.view import view_station
from agent.daemon.outlook import DemandHistory, Foresight, site_forecaster
from agent.domain import Quality, Reading, Snapshot
from agent.inference.forecaster import QuantileForecast

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "station_7bar" / "site.toml"
START = datetime(2026, 1, 1, tzinfo=UTC)


def after(days: float) -> tuple[DemandHistory, datetime]:
    """Ten quarter hours of 10 m3/min, silence for `days`, then one quarter hour of 20."""
    history, late = DemandHistory(), START + timedelta(days=days)
    history.load(START, [10.0] * 10)
    history.add(late.timestamp(), 20.0)
    history.add(late.timestamp() + 900, 21.0)
    return history, late


def test_gap_is_kept_as_unknown_quarter_hours():
    history, late = after(1)

    series = history.series()

    # A day has 96 quarter hours; ten are known, then 86 are not.
    assert series.first_at == START
    assert series.end_at == late + timedelta(minutes=15)
    assert np.isnan(series.values[10:96]).all()
    assert series.values[96] == 20.0


def test_history_begins_anew_behind_a_gap_longer_than_it_keeps():
    history, late = after(90)

    series = history.series()

    assert series.first_at == late
    assert list(series.values) == [20.0]


def forecast_of(*medians: float, at: datetime = START, step_s: int = 900) -> QuantileForecast:
    quantiles = np.array([(0.8 * m, m, 1.3 * m) for m in medians])
    return QuantileForecast("air.demand_m3_min", "m3/min", at, at, step_s, quantiles, "test", ())


def foresight(forecast: QuantileForecast | None) -> Foresight:
    site = load_site(EXAMPLE)
    station = site.stations["air"]
    mine = Foresight(
        "air",
        station,
        site.tariff,
        "Europe/Berlin",
        site_forecaster("air", station, "Europe/Berlin", None),
        DemandHistory(),
    )
    mine.forecast = forecast
    return mine


def test_ratios_follow_the_medians_shape_between_the_middles_of_its_steps():
    # Middles at 7.5, 22.5 and 37.5 min: 10, 20, 20. From minute 7.5 in steps of 5 min:
    # 10, 13.3, 16.7, 20, 20 relative to 10.
    ahead = foresight(forecast_of(10, 20, 20)).outlook(START + timedelta(minutes=7.5), 300.0, 5)

    assert ahead.ratio == pytest.approx((1.0, 4 / 3, 5 / 3, 2.0, 2.0))
    assert ahead.source == "test"


def test_first_ratio_is_one_and_the_others_stay_between_two_fifths_and_double():
    up = foresight(forecast_of(10, 90, 90)).outlook(START, 900.0, 2)
    down = foresight(forecast_of(40, 1, 1)).outlook(START, 900.0, 2)

    # At minute 0 the median is the first step's; at minute 15 half way: 50 of 10, 20.5 of 40.
    assert up.ratio == (1.0, 2.0)
    assert down.ratio == pytest.approx((1.0, 20.5 / 40))
    assert foresight(forecast_of(40, 1, 1)).outlook(START, 1350.0, 2).ratio == (1.0, 0.4)


def test_hardly_any_demand_now_does_not_make_the_ratio_explode():
    # Machines of 16.3 + 16.3 + 9.7 + 16.6 = 58.9 m3/min: the base is 2 % of them, 1.178.
    ahead = foresight(forecast_of(0, 0, 2, 2)).outlook(START + timedelta(minutes=7.5), 1800.0, 2)

    assert ahead.ratio == pytest.approx((1.0, 2 / 1.178))


def test_nothing_is_said_beyond_the_forecasts_end_or_without_one():
    short = foresight(forecast_of(10, 20))

    assert short.outlook(START, 300.0, 4) is not None
    # The last middle is at 22.5 min; behind it nothing is known.
    assert short.outlook(START, 300.0, 6) is None
    assert foresight(None).outlook(START, 300.0, 6) is None


def test_forecast_is_due_with_each_new_quarter_hour_and_each_minute_until_there_is_one():
    waiting = foresight(None)
    at_s = START.timestamp()

    assert waiting.forecast_due(at_s)
    assert not waiting.renew_forecast(START)
    assert not waiting.forecast_due(at_s + 59)
    assert waiting.forecast_due(at_s + 60)

    waiting.history.load(START - timedelta(days=1), [10.0] * 96)
    assert waiting.renew_forecast(START + timedelta(minutes=1))
    assert not waiting.forecast_due(at_s + 899)
    assert waiting.forecast_due(at_s + 900)


def test_plan_begins_at_the_quarter_hour_in_force_and_is_renewed_after_half_an_hour():
    mine = foresight(forecast_of(*[10.0] * 8))
    control = StationControl(mine.station)
    readings = {mine.station.pressure: Reading(6.5, Quality.GOOD, START)}
    for machine in mine.station.machines.values():
        for role in ("running", "loaded", "power_kw", "output_share", "ready", "tripped"):
            readings[machine.tag(role)] = Reading(float(role == "ready"), Quality.GOOD, START)
    at = START + timedelta(minutes=40)
    view = view_station(control.fleet, Snapshot(at, readings))
    control.memory.observe(view)

    plan = mine.renew_plan(at, control, view)

    # Minute 40 lies in the third quarter hour: six of eight are left.
    assert [step.at for step in plan.steps[:2]] == [
        START + timedelta(minutes=30),
        START + timedelta(minutes=45),
    ]
    assert len(plan.steps) == 6
    assert not mine.plan_due(at.timestamp() + 1799)
    assert mine.plan_due(at.timestamp() + 1800)


def test_forecast_that_is_nearly_over_makes_no_plan():
    mine = foresight(forecast_of(*[10.0] * 8))
    control = StationControl(mine.station)
    at = START + timedelta(minutes=80)
    view = view_station(control.fleet, Snapshot(at, {mine.station.pressure: Reading(6.5, Quality.GOOD, at)}))

    # Three quarter hours are left; a plan needs four.
    assert mine.renew_plan(at, control, view) is None


def test_means_are_taken_by_quarter_hours_and_the_open_one_is_not_told():
    history = DemandHistory()
    for minute, value in ((0, 10.0), (7, 14.0), (15, 30.0)):
        history.add((START + timedelta(minutes=minute)).timestamp(), value)

    series = history.series()

    # (10 + 14) / 2; the second quarter hour is still open.
    assert list(series.values) == [12.0]
    assert series.first_at == START


def test_clock_set_back_adds_no_second_mean_to_a_quarter_hour():
    history = DemandHistory()
    for minute in (0, 15, 30, 0, 15, 30, 45):
        history.add((START + timedelta(minutes=minute)).timestamp(), 10.0 + minute)

    assert list(history.series().values) == [10.0, 25.0, 40.0]
