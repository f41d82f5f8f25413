"""Wind through leaky walls: in the model, in the fit, and in the plan of a storm that is forecast."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from agent.config.site import Hvac, Tariff, ZoneModel
from agent.planner.hvac import HvacState, WeatherForecast, occupancy_grid, plan_hvac
from agent.planner.hvac_identify import ZoneFit, identify_zone, standing_score
from agent.planner.hvac_model import zone_course_model
from agent.planner.hvac_past import SitePast, unit_past

MONDAY = datetime(2026, 2, 2, tzinfo=UTC)
MODEL = {"air_kwh_per_k": 3.0, "mass_kwh_per_k": 30.0, "ua_kw_per_k": 0.6, "mass_ua_kw_per_k": 4.0}
LEAKY = MODEL | {"wind_kw_per_k_m_s": 0.1, "usual_wind_m_s": 4.0}
HOURS = [{"days": "mon-fri", "from": "06:00", "to": "18:00"}]
STILL = {"gain_kw": np.zeros(1), "ventilated": np.zeros(1, dtype=bool), "neighbours_degc": {}}
DAYS = 16


def hvac_of(model: dict | None) -> Hvac:
    return Hvac.model_validate(
        {
            "units": {"u": {"device": "u", "power": "u.power", "heating_kw": 40.0, "heating_cop": 1.0}},
            "zones": {"z": {"unit": "u", "temp": "z.temp", "occupancy": HOURS, "model": model}},
        }
    )


def course(model: dict, wind: float | None, outdoor: float = 0.0):
    return zone_course_model(
        ZoneModel.model_validate(model),
        3600.0,
        outdoor_degc=np.array([outdoor]),
        wind_m_s=None if wind is None else np.array([wind]),
        **STILL,
    )


def test_a_storm_adds_its_losses_to_those_of_calm_air():
    bare = {"air_kwh_per_k": 2.0, "ua_kw_per_k": 1.0, "wind_kw_per_k_m_s": 0.1, "usual_wind_m_s": 4.0}

    # 2 kWh/K over an hour, losses 1.0 + 0.1 x 10 = 2 kW/K: half of the way to the 8 degC outdoors.
    stormy = course(bare, 10.0, outdoor=8.0)

    assert stormy.air_of_air[0] == pytest.approx(0.5)
    assert stormy.drive_degc[0] == pytest.approx(4.0)
    assert stormy.air_of_kw[0] == pytest.approx(0.25)


def test_wind_that_is_not_known_is_the_usual_one_and_not_a_calm():
    assert course(LEAKY, None).air_of_air[0] == course(LEAKY, 4.0).air_of_air[0]
    assert course(LEAKY, float("nan")).air_of_air[0] == course(LEAKY, 4.0).air_of_air[0]
    assert course(LEAKY, 0.0).air_of_air[0] > course(LEAKY, 4.0).air_of_air[0]


def test_a_model_without_wind_does_not_mind_it():
    assert course(MODEL, 20.0).air_of_air[0] == course(MODEL, None).air_of_air[0]


def lived(model: dict, wind: np.ndarray) -> SitePast:
    """A hall at 0 to 10 degC outdoors under an ideal thermostat with set-back, its sensor off by 0.03 K."""
    zone = hvac_of(model).zones["z"]
    rng = np.random.default_rng(5)
    steps = wind.size
    k = np.arange(steps)
    outdoor = 5.0 + 4.0 * np.sin(2 * np.pi * k / 96) + 1.0 * np.sin(k / 300)
    people = occupancy_grid(zone, "UTC", MONDAY, steps, 900.0)
    wanted = np.where(people, 20.0, 15.0)
    one = zone_course_model(
        zone.model,
        900.0,
        outdoor_degc=outdoor,
        gain_kw=np.zeros(steps),
        ventilated=people,
        neighbours_degc={},
        wind_m_s=wind,
    )
    air, mass, temps, heats = 20.0, 20.0, [], []
    for at in range(steps):
        free = one.air_of_air[at] * air + one.air_of_mass[at] * mass + one.drive_degc[at]
        heat = float(np.clip((wanted[at] - free) / one.air_of_kw[at], 0.0, 40.0))
        air = free + one.air_of_kw[at] * heat
        mass = one.mass_of_mass * mass + one.mass_of_air * air
        temps.append(air + 0.03 * rng.normal())
        heats.append(heat)
    nothing = np.zeros(steps)
    return SitePast(
        outdoor,
        nothing,
        {"z": np.array(temps)},
        {"z": wanted},
        {"z": nothing + 30.0},
        {"z": people.astype(float)},
        {"u": np.array(heats)},
        wind_m_s=wind,
    )


def windy_days() -> np.ndarray:
    """2 to 5 m/s, and a storm of 9 m/s on the second last day and on one of the fit's."""
    k = np.arange(DAYS * 96)
    wind = 3.5 + 1.5 * np.sin(k / 40)
    for day in (5, DAYS - 2):
        wind[day * 96 : day * 96 + 72] = 9.0
    return wind


def fit(past: SitePast) -> ZoneFit:
    bare = hvac_of(None)
    found = identify_zone(bare, "z", past, unit_past(bare, "u", past))
    assert isinstance(found, ZoneFit), found
    return found


@pytest.fixture(scope="module")
def leaky_past() -> SitePast:
    return lived(LEAKY, windy_days())


@pytest.fixture(scope="module")
def knowing(leaky_past: SitePast) -> ZoneFit:
    return fit(leaky_past)


def test_a_leaky_hall_is_known_by_its_wind_and_foreseen_through_a_storm(leaky_past, knowing):
    blind = fit(replace(leaky_past, wind_m_s=None))

    assert knowing.model.wind_kw_per_k_m_s == pytest.approx(0.1, rel=0.4)
    assert knowing.model.usual_wind_m_s == pytest.approx(float(windy_days().mean()), rel=0.01)
    assert knowing.rmse_k["24h"] < 0.5 * blind.rmse_k["24h"]
    assert blind.model.wind_kw_per_k_m_s == 0.0


def test_a_standing_model_is_judged_with_the_wind_and_with_the_usual_one_where_it_is_lost(
    leaky_past, knowing
):
    bare = hvac_of(None)
    unit = unit_past(bare, "u", leaky_past)

    _, with_wind = standing_score(bare, "z", leaky_past, unit, knowing.model)
    _, without = standing_score(bare, "z", replace(leaky_past, wind_m_s=None), unit, knowing.model)

    assert with_wind["24h"] < 0.5 < without["24h"]


def test_a_tight_hall_goes_without_wind_or_with_next_to_none():
    found = fit(lived(MODEL, windy_days()))

    assert found.model.wind_kw_per_k_m_s < 0.01
    assert found.model.ua_kw_per_k == pytest.approx(0.6, rel=0.4)


def test_wind_that_is_unknown_half_of_the_time_is_not_reckoned_with(leaky_past):
    wind = windy_days()
    wind[wind.size // 2 :] = np.nan

    assert fit(replace(leaky_past, wind_m_s=wind)).model.wind_kw_per_k_m_s == 0.0


def test_a_storm_that_is_forecast_makes_the_plan_start_earlier_and_cost_more():
    hvac = hvac_of(LEAKY)
    people = {"z": occupancy_grid(hvac.zones["z"], "UTC", MONDAY, 96, 900.0)}
    first, costs = {}, {}
    for wind in (2.0, 12.0):
        weather = WeatherForecast(np.full(96, 5.0), np.zeros(96), "", np.full(96, wind))
        state = HvacState({"z": 16.0})
        plan = plan_hvac(hvac, Tariff(), state, weather, people, np.full(96, 0.15), MONDAY)
        warm = [step.at for step in plan.zones["z"] if step.heating_setpoint_degc > 19.0]
        first[wind], costs[wind] = warm[0], plan.cost

    assert first[12.0] <= first[2.0] - timedelta(minutes=15)
    assert costs[12.0] > 1.5 * costs[2.0]
