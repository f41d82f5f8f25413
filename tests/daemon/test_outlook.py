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


def test_expected_demand_follows_the_median_between_the_middles_of_its_steps():
    # Middles at 7.5, 22.5 and 37.5 min: 10, 20, 20. Steps of 5 min from minute 5 on have their middles at
    # 7.5, 12.5, 17.5 and 22.5 min; one of 20 min is the mean of its two halves, at 12.5 and 22.5 min.
    short = foresight(forecast_of(10, 20, 20)).outlook(START + timedelta(minutes=5), (300.0,) * 4)
    long = foresight(forecast_of(10, 20, 20)).outlook(START + timedelta(minutes=7.5), (1200.0,))

    assert short.demand_m3_min == pytest.approx((10.0, 40 / 3, 50 / 3, 20.0))
    assert long.demand_m3_min == pytest.approx(((40 / 3 + 20.0) / 2,))
    assert short.source == "test"


def test_station_with_slow_machines_expects_the_highest_quarter_hour_that_a_short_step_touches():
    mine = foresight(forecast_of(10.0, 10.0, 30.0, 20.0, 20.0))
    slow = {n: m.model_copy(update={"start_s": 300.0}) for n, m in mine.station.machines.items()}
    mine.station = mine.station.model_copy(update={"machines": slow})
    steps_s = (300.0, 300.0, 1800.0)

    # The second step lasts until 00:29, and until 00:31: only then it touches the quarter hour of 30.
    before = mine.outlook(START + timedelta(minutes=19), steps_s)
    touching = mine.outlook(START + timedelta(minutes=21), steps_s)

    assert before.demand_m3_min[:2] == (10.0, 10.0)
    assert touching.demand_m3_min[:2] == (10.0, 30.0)


def test_nothing_is_said_beyond_the_forecasts_end_or_without_one():
    short = foresight(forecast_of(10, 20))

    assert short.outlook(START, (300.0,) * 4) is not None
    # The last middle is at 22.5 min; behind it nothing is known.
    assert short.outlook(START, (300.0,) * 6) is None
    assert foresight(None).outlook(START, (300.0,) * 6) is None


def test_forecast_that_was_right_decides_at_once_and_one_that_was_wrong_only_later():
    def after_six_quarters(forecast: float) -> tuple[float, ...]:
        mine = foresight(forecast_of(*[forecast] * 8))
        # Quarter hours of 10, 30, 10, 30 ...: what stands still is wrong by 20 from one to the next.
        for quarter in range(8):
            mine.observe(START.timestamp() + 900.0 * quarter, 10.0 if quarter % 2 else 30.0)
        return mine.outlook(START, (300.0, 300.0)).now_share

    near, later = after_six_quarters(20.0)

    # Forecast wrong by 10, demand of now by 20 after a quarter hour and by nothing at its begin:
    # squares 100 and 400 x 150 s / 900 s, then 400 x 450 s / 900 s.
    assert near == pytest.approx(100.0 / (100.0 + 400.0 / 6.0))
    assert later == pytest.approx(100.0 / (100.0 + 200.0))
    assert after_six_quarters(400.0)[1] > 0.99


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
