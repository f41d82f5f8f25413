"""What the plan goes by: told once when the provider is lost and once when it is back, and in telemetry always."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from agent.config.site import Hvac, WeatherSource
from agent.daemon.weather import WeatherDesk
from agent.domain import Quality, Reading, Snapshot
from agent.store.history import History
from agent.weather.reading import Forecast

NOW = datetime(2026, 7, 6, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


@pytest.fixture
def desk() -> WeatherDesk:
    return WeatherDesk(
        Hvac(outdoor_temp="w.temp", solar="w.sun", weather=WeatherSource(url="https://weather.example/v1"))
    )


@pytest.fixture
def history() -> History:
    past = History(":memory:", 30)
    past.load(
        (NOW - timedelta(minutes=15 * k), "w.temp", 20.0 + 5.0 * (k // 48 % 2)) for k in range(1, 96 * 7)
    )
    return past


def issued(at: datetime, *, hours: int = 48) -> Forecast:
    rows = tuple((at + k * HOUR, 22.0) for k in range(hours))
    return Forecast(at, at, "https://weather.example/v1", {"outdoor_temp": rows})


def ask(desk: WeatherDesk, history: History, at: datetime) -> tuple[str, list]:
    events: list = []
    snapshot = Snapshot(at, {"w.temp": Reading(22.0, Quality.GOOD, at)})
    weather = desk.forecast(snapshot, history, events, steps=96, step_s=900.0)
    assert weather.temp_degc is not None
    return weather.source, [(kind, fields["source"], fields["why"]) for kind, _, fields in events]


def test_a_provider_that_goes_silent_is_told_once_and_once_when_it_is_back(desk, history):
    desk.take(issued(NOW))
    told = [ask(desk, history, NOW + k * HOUR)[1] for k in range(0, 48, 2)]
    assert told[0] == [("weather_source", "provider", "")]
    # Its rows reach to 47 h; at 30 h it is too old, whatever it reaches.
    lost = [(2 * k, what) for k, what in enumerate(told) if what and k]
    assert [(hour, what[0][1]) for hour, what in lost] == [(32, "own sensors")]

    desk.take(issued(NOW + 50 * HOUR))

    assert ask(desk, history, NOW + 50 * HOUR)[1] == [("weather_source", "provider", "")]
    assert ask(desk, history, NOW + 51 * HOUR)[1] == []


def test_text_and_telemetry_say_which_weather_ran_how_old_and_why(desk, history):
    desk.take(issued(NOW - 3 * HOUR))
    assert ask(desk, history, NOW)[0] == "provider, 3 h old"
    readings = {tag: reading.value for tag, reading in desk.readings(NOW).items()}
    assert readings == {"hvac.weather_source": 2.0, "hvac.weather_age_h": 3.0}

    text, _ = ask(desk, history, NOW + 35 * HOUR)

    assert text == "own sensors: the forecast is 38 h old, more than 30"
    assert desk.readings(NOW + 35 * HOUR)["hvac.weather_source"].value == 1.0
    assert desk.readings(NOW + 35 * HOUR)["hvac.weather_age_h"].value == 38.0


def test_a_provider_that_never_came_is_missed_aloud_and_one_that_nobody_asked_for_is_not(desk, history):
    assert ask(desk, history, NOW)[1] == [("weather_source", "own sensors", "no forecast has come")]
    alone = WeatherDesk(Hvac(outdoor_temp="w.temp"))

    assert ask(alone, history, NOW)[1] == []


def test_an_older_forecast_that_comes_late_changes_nothing(desk, history):
    desk.take(issued(NOW - HOUR))
    desk.take(issued(NOW - 9 * HOUR))

    assert ask(desk, history, NOW)[0] == "provider, 1 h old"


def windy(at: datetime, m_s: float) -> Forecast:
    rows = {"outdoor_temp": 22.0, "wind": m_s}
    series = {kind: tuple((at + k * HOUR, value) for k in range(48)) for kind, value in rows.items()}
    return Forecast(at, at, "https://weather.example/v1", series)


def test_a_site_without_a_wind_sensor_keeps_what_the_provider_tells_and_plans_by_it(desk, history):
    desk.take(windy(NOW, 8.0))

    weather = desk.forecast(
        Snapshot(NOW, {"w.temp": Reading(22.0, Quality.GOOD, NOW)}), history, [], steps=96, step_s=900.0
    )

    assert desk.readings(NOW + HOUR)["hvac.weather_wind_m_s"].value == 8.0
    # Too old to plan by, too old to learn from.
    assert "hvac.weather_wind_m_s" not in desk.readings(NOW + 31 * HOUR)
    assert weather.wind_m_s == pytest.approx([8.0] * 96)


def test_the_providers_wind_is_brought_down_to_that_of_a_sheltered_sensor(history):
    desk = WeatherDesk(Hvac(outdoor_temp="w.temp", wind="w.wind"))
    quarters = [NOW - timedelta(minutes=15 * k) for k in range(1, 96 * 7)]
    history.load((at, "w.wind", 3.0) for at in quarters)
    history.load((at, "hvac.weather_wind_m_s", 6.0) for at in quarters)
    desk.take(windy(NOW, 12.0))

    weather = desk.forecast(
        Snapshot(NOW, {"w.temp": Reading(22.0, Quality.GOOD, NOW)}), history, [], steps=96, step_s=900.0
    )

    # The provider tells 12 of its own, 6 of ours; the sensor says 3 now, which counts less and less.
    assert weather.wind_m_s[0] == pytest.approx(3.0, abs=0.1)
    assert weather.wind_m_s[-1] == pytest.approx(6.0 - 3.0 * 2.718 ** (-23.75 / 12.0), abs=0.05)


def test_without_a_provider_a_wind_sensor_is_carried_on_and_without_both_nothing_is_said(history):
    sensor, neither = Hvac(outdoor_temp="w.temp", wind="w.wind"), Hvac(outdoor_temp="w.temp")
    history.load((NOW - timedelta(minutes=15 * k), "w.wind", 5.0) for k in range(1, 96 * 7))
    snapshot = Snapshot(NOW, {"w.temp": Reading(22.0, Quality.GOOD, NOW)})

    carried = WeatherDesk(sensor).forecast(snapshot, history, [], steps=96, step_s=900.0)
    nothing = WeatherDesk(neither).forecast(snapshot, history, [], steps=96, step_s=900.0)

    assert carried.wind_m_s == pytest.approx([5.0] * 96)
    assert nothing.wind_m_s is None


def test_an_outside_simulator_may_tell_the_wind_of_a_site_that_has_no_sensor_of_it(history):
    desk = WeatherDesk(Hvac(outdoor_temp="w.temp"))
    hours = [NOW + k * HOUR for k in range(48)]
    desk.take_tags(
        NOW, {"w.temp": [(at, 22.0) for at in hours], "hvac.weather_wind_m_s": [(at, 7.0) for at in hours]}
    )

    weather = desk.forecast(
        Snapshot(NOW, {"w.temp": Reading(22.0, Quality.GOOD, NOW)}), history, [], steps=96, step_s=900.0
    )

    assert weather.wind_m_s == pytest.approx([7.0] * 96)
    assert desk.readings(NOW)["hvac.weather_wind_m_s"].value == 7.0
