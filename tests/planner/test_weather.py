"""Which weather is chosen, and what it becomes: corrected, filled up, replaced, and never from nowhere."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.planner.weather import (
    choose,
    corrected,
    on_grid,
    own_forecast,
    own_sun,
    own_wind,
    value_at,
    wind_share,
)
from twin.weather import Weather

AT = datetime(2026, 7, 6, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
GRID = {"steps": 96, "step_s": 900.0}
ALL = {**GRID, "past_step_s": 900.0, "max_age_h": 30.0}
# A fortnight of days between 15 and 25 degC; noon of each has 800 W/m2.
CLOCK_H = (np.arange(14 * 96) + 48) % 96 / 4.0
DAYS = 20.0 - 5.0 * np.cos((CLOCK_H - 3.0) / 24.0 * 2.0 * np.pi)
SUNNY = np.maximum(0.0, 800.0 * np.sin((CLOCK_H - 6.0) / 12.0 * np.pi))


def rows_of(value: float, hours: int, *, first_at: datetime = AT) -> list[tuple[datetime, float]]:
    return [(first_at + k * HOUR, value + 0.1 * k) for k in range(hours + 1)]


def test_a_fresh_forecast_is_taken_and_moved_by_the_local_sensor_less_and_less():
    chosen = choose("outdoor_temp", rows_of(20.0, 48), AT - 3 * HOUR, AT, DAYS, 22.0, **ALL)

    moved = chosen.values - np.interp((np.arange(96) + 0.5) / 4.0, range(49), 20.0 + 0.1 * np.arange(49))
    assert (chosen.source, chosen.age_h, chosen.why) == ("provider", 3.0, "")
    assert moved[0] == pytest.approx(2.0, abs=0.02)
    # After 12 h a third is left of it: e to the minus one.
    assert moved[48] == pytest.approx(moved[0] / np.e, rel=0.02)


@pytest.mark.parametrize(
    ("rows", "issued_at", "why"),
    [
        ([], None, "no forecast has come"),
        ([], AT, "no outdoor_temp"),
        (rows_of(20.0, 72), AT - 31 * HOUR, "31 h old, more than 30"),
        (rows_of(20.0, 5), AT, "reaches 5 h ahead"),
        (rows_of(38.0, 48), AT, "16 K away from the local sensor"),
        (rows_of(20.0, 48, first_at=AT + 5 * HOUR), AT, "not half"),
    ],
)
def test_an_old_short_or_wrong_forecast_gives_way_to_the_sites_own_sensors_with_its_reason(
    rows, issued_at, why
):
    chosen = choose("outdoor_temp", rows, issued_at, AT, DAYS, 22.0, **ALL)

    assert chosen.source == "own sensors"
    assert why in chosen.why
    assert np.array_equal(chosen.values, own_forecast(DAYS, 22.0, past_step_s=900.0, **GRID))


def test_nothing_is_made_up_where_neither_provider_nor_sensor_knows():
    chosen = choose("outdoor_temp", [], None, AT, np.full(96, np.nan), None, **ALL)

    assert (chosen.values, chosen.source) == (None, "unknown")


def test_what_a_forecast_does_not_reach_is_filled_from_the_past_and_not_by_its_last_value():
    chosen = choose("outdoor_temp", rows_of(20.0, 14), AT, AT, DAYS, None, **ALL)

    own = own_forecast(DAYS, None, past_step_s=900.0, **GRID)
    assert chosen.source == "provider"
    assert np.array_equal(chosen.values[62:], own[62:])
    assert np.ptp(chosen.values[62:]) > 2.0


def test_a_gap_of_half_a_day_inside_a_forecast_is_not_bridged_by_a_straight_line():
    rows = [*rows_of(20.0, 3), *rows_of(20.0, 12, first_at=AT + 15 * HOUR)]

    values = on_grid(rows, AT, **GRID)

    assert np.isnan(values[16:56]).all()
    assert np.isfinite(values[:12]).all()


def test_a_clear_noon_promises_no_sun_at_midnight():
    made = own_sun(0.5 * SUNNY, 800.0, past_step_s=900.0, **GRID)
    taken = choose("solar", [(AT + k * HOUR, 0.0) for k in range(25)], AT, AT, SUNNY, 500.0, **ALL)

    assert made[0] == pytest.approx(800.0, rel=0.02)
    assert made[28:68].max() == 0.0  # 19:00 to 05:00
    assert taken.values.max() == 0.0


def test_stale_weather_never_gives_a_day_without_sun():
    dead = [(AT - 40 * HOUR + k * HOUR, 0.0) for k in range(96)]  # a cache that answered zeros long ago

    chosen = choose("solar", dead, AT - 40 * HOUR, AT, SUNNY, 790.0, **ALL)

    assert chosen.source == "own sensors"
    assert chosen.values.max() > 700.0


@pytest.mark.parametrize("seed", range(4))
def test_the_own_rule_beats_last_value_and_yesterday_over_a_day(seed):
    start = datetime(2026, 3, 1, tzinfo=UTC)
    weather = Weather(start_at=start, seed=seed)
    temps = np.array([weather.at(start + k * timedelta(minutes=15)).temp_degc for k in range(60 * 96)])
    errors: dict[str, list[float]] = {"own": [], "last": [], "yesterday": []}
    for now in range(20 * 96, 58 * 96, 61):
        truth = temps[now : now + 96]
        past = temps[now - 14 * 96 : now]
        forecasts = {
            "own": own_forecast(past, temps[now], past_step_s=900.0, **GRID),
            "last": np.full(96, temps[now]),
            "yesterday": temps[now - 96 : now],
        }
        for name, values in forecasts.items():
            errors[name].append(float(np.mean((values - truth) ** 2)))
    rmse = {name: float(np.sqrt(np.mean(values))) for name, values in errors.items()}

    assert rmse["own"] < 0.8 * min(rmse["last"], rmse["yesterday"])


@pytest.mark.parametrize("size", ["low", "medium", "high"])
def test_a_forecast_with_the_errors_of_a_weather_service_is_better_corrected_than_raw(size):
    """AR(1) error as in BOPTEST (Zheng et al. 2025): e(k+1) = F e(k) + K w."""
    keep, spread = {"low": (0.9, 0.35), "medium": (0.93, 0.5), "high": (0.95, 0.7)}[size]
    rng = np.random.default_rng(7)
    raw, mended = [], []
    for _ in range(200):
        error = np.empty(48)
        error[0] = rng.normal() * spread / np.sqrt(1 - keep**2)  # as far along as an old forecast is
        for k in range(1, 48):
            error[k] = keep * error[k - 1] + spread * rng.normal()
        course = corrected(error, 0.0, step_s=3600.0)
        raw.append(error[:6] ** 2)
        mended.append(course[:6] ** 2)

    assert np.sqrt(np.mean(mended)) < 0.8 * np.sqrt(np.mean(raw))


@settings(max_examples=150, deadline=None)
@given(
    past=st.lists(st.one_of(st.just(np.nan), st.floats(-40, 45)), max_size=200),
    now=st.one_of(st.none(), st.floats(-40, 45)),
    values=st.lists(st.floats(-40, 45), max_size=60),
    age_h=st.floats(0, 60),
    kind=st.sampled_from(["outdoor_temp", "solar"]),
)
def test_whatever_comes_in_the_weather_is_finite_or_unknown(past, now, values, age_h, kind):
    rows = [(AT + k * HOUR, abs(v) if kind == "solar" else v) for k, v in enumerate(values)]
    history = np.abs(np.array(past)) if kind == "solar" else np.array(past, dtype=float)

    chosen = choose(kind, rows, AT - age_h * HOUR, AT, history, now, **ALL)

    if chosen.values is not None:
        assert chosen.values.shape == (96,)
        assert np.isfinite(chosen.values).all()
        assert kind == "outdoor_temp" or chosen.values.min() >= 0.0
    assert (chosen.values is None) == (chosen.source == "unknown")


def test_wind_fades_to_the_usual_within_a_day_and_is_never_below_nought():
    usual = np.full(14 * 96, 4.0)

    own = own_wind(usual, 16.0, past_step_s=900.0, **GRID)
    calm = choose("wind", rows_of(1.0, 48), AT, AT, np.empty(0), 0.0, **ALL)

    assert own[0] == pytest.approx(16.0, abs=0.2)
    # 12 m/s over the usual after 12 h: e to the minus one of it is left.
    assert own[48] == pytest.approx(4.0 + 12.0 / np.e, rel=0.02)
    assert calm.source == "provider"
    assert calm.values.min() >= 0.0


def test_a_sheltered_yard_is_told_by_its_share_of_the_providers_wind():
    provider = np.full(200, 6.0)

    assert wind_share(np.full(200, 3.0), provider) == pytest.approx(0.5)
    assert wind_share(np.where(np.arange(200) < 50, 3.0, np.nan), provider) == 1.0  # half a day says nothing
    assert wind_share(np.full(200, 3.0), np.zeros(200)) == 1.0


def test_a_value_between_rows_is_on_their_line_and_unknown_in_gaps():
    rows = [(AT, 2.0), (AT + HOUR, 4.0), (AT + 9 * HOUR, 4.0)]

    assert value_at(rows, AT) == 2.0
    assert value_at(rows, AT + HOUR / 4) == pytest.approx(2.5)
    assert value_at(rows, AT + 5 * HOUR) is None
    assert value_at(rows, AT + 10 * HOUR) is None
    assert value_at([], AT) is None
