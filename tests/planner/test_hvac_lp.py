"""The linear programme of many zones: what it leaves out changes nothing, and what it may store has an end."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from agent.config.site import Unit, Zone
from agent.planner.hvac_case import HvacCase, unit_case, zone_case
from agent.planner.hvac_lp import _ended, _Idle, _solve, furthest, optimal_course, stored_limits
from agent.planner.hvac_schedule import brought_forward, scheduled

STEPS = 96
HOURS = np.arange(STEPS) / 4.0
UNIT = Unit.model_validate({"device": "rtu", "cooling_kw": 40.0, "heating_kw": 40.0, "fan_kw": 1.0})
WEATHER = {
    "frost": (-4.0, 3.0, 0.0, 15.0),
    "spring": (21.0, 11.0, 900.0, 16.0),  # cold at dawn, too warm with people and sun in the afternoon
    "heat": (30.0, 6.0, 800.0, 27.0),
}


def case_of(weather: str, halls: int = 3, demand_charge: float = 6.0) -> HvacCase:
    """Halls of several sizes, people from 06:00 to 18:00, cheap nights."""
    mean, swing, sun, now = WEATHER[weather]
    outdoor = mean + swing * np.sin((HOURS - 9.0) / 24.0 * 2 * np.pi)
    light = sun * np.clip(np.sin((HOURS - 6.0) / 12.0 * np.pi), 0.0, 1.0)
    people = (HOURS >= 6.0) & (HOURS < 18.0)
    wanted = brought_forward(people, 1)
    units = []
    for k in range(halls):
        size = 0.6 + 0.3 * k
        model = {
            "air_kwh_per_k": 4.0 * size,
            "mass_kwh_per_k": 40.0 * size,
            "ua_kw_per_k": size,
            "mass_ua_kw_per_k": 4.0 * size,
            "gain_occupied_kw": 6.0 * size,
            "sun_kw_per_w_m2": 0.012 * size,
        }
        zone = Zone.model_validate({"unit": f"u{k}", "temp": f"z{k}.t", "model": model})
        hall = zone_case(
            f"z{k}",
            zone,
            air_degc=now + 0.5 * k,
            mass_degc=now,
            outdoor_degc=outdoor,
            sun_w_m2=light,
            occupied=people,
            wanted=wanted,
            band=scheduled(zone, wanted),
            step_s=900.0,
        )
        units.append(unit_case(f"u{k}", UNIT, [hall], people, outdoor))
    price = np.where((HOURS >= 7.0) & (HOURS < 20.0), 0.32, 0.14)
    return HvacCase(tuple(units), outdoor, price, np.zeros(STEPS), 0.25, demand_charge, 0.0, None)


def money(case: HvacCase, planned) -> float:
    """Energy, peak and priced discomfort of planned courses."""
    power, discomfort = case.base_kw.copy(), 0.0
    for unit in case.units:
        power = power + np.where(unit.people, unit.unit.fan_kw, 0.0)
        for zone in unit.zones:
            course = planned[zone.name]
            power = power + np.maximum(course.heat_kw, 0.0) * unit.heating_electric
            power = power + np.maximum(-course.heat_kw, 0.0) * unit.cooling_electric
            out = np.maximum(zone.low_degc - course.air_degc, 0.0) + np.maximum(
                course.air_degc - zone.high_degc, 0.0
            )
            discomfort += zone.weight * float(out.sum()) * case.step_h
    energy = float(power @ case.price_per_kwh) * case.step_h
    return energy + case.demand_charge_per_kw * float(power.max()) + case.discomfort_per_kh * discomfort


@pytest.mark.parametrize("weather", WEATHER)
def test_what_the_programme_leaves_out_does_not_change_its_optimum(weather):
    case, idle = _ended(case_of(weather))

    short, whole = _solve(case, idle), _solve(case, _Idle(frozenset(), frozenset(), False))

    assert money(case, short) == pytest.approx(money(case, whole), rel=1e-5)


def test_cooling_is_left_out_in_the_frost_heating_in_the_heat_and_neither_in_spring():
    idle = {weather: _ended(case_of(weather))[1] for weather in WEATHER}
    spring = optimal_course(case_of("spring"))

    assert len(idle["frost"].uncooled) == 3
    assert not idle["frost"].unheated
    assert len(idle["heat"].unheated) == 3
    assert not idle["heat"].uncooled
    assert not idle["spring"].uncooled
    assert not idle["spring"].unheated
    assert any((course.heat_kw < -0.1).any() for course in spring.values())
    assert any((course.heat_kw > 0.1).any() for course in spring.values())


@pytest.mark.parametrize("weather", WEATHER)
def test_no_heating_within_the_limits_leads_beyond_the_warmest_course_and_no_cooling_beyond_the_coldest(
    weather,
):
    zone = case_of(weather).units[2].zones[0]
    low, high = stored_limits(zone)
    warmest, coldest = furthest(zone, warm=True)[0], furthest(zone, warm=False)[0]
    rng = np.random.default_rng(5)
    model = zone.model
    for sign in (1.0, -1.0):
        for _ in range(20):
            air, mass = zone.air_degc, zone.mass_degc
            for k in range(STEPS):
                free = model.air_of_air[k] * air + model.air_of_mass[k] * mass + model.drive_degc[k]
                acted = free + sign * model.air_of_kw[k] * rng.uniform(0.0, 40.0) * (rng.random() < 0.7)
                air = max(free, min(acted, high[k])) if sign > 0 else min(free, max(acted, low[k]))
                mass = model.mass_of_mass * mass + model.mass_of_air * air
                assert coldest[k] - 1e-9 <= air <= warmest[k] + 1e-9


@pytest.mark.parametrize("weather", WEATHER)
def test_nothing_is_stored_beyond_what_a_set_point_may_ask_for(weather):
    case = case_of(weather, demand_charge=12.0)

    planned = optimal_course(case)

    for unit in case.units:
        for zone in unit.zones:
            low, high = stored_limits(zone)
            course = planned[zone.name]
            night = ~zone.wanted
            assert (course.air_degc[night & (course.heat_kw > 0.01)] <= high[0] + 0.06).all()
            assert (course.air_degc[night & (course.heat_kw < -0.01)] >= low[0] - 0.06).all()


def test_a_hall_that_starts_far_too_warm_in_the_frost_still_gets_a_plan():
    case = case_of("frost")
    hot = tuple(
        replace(unit, zones=tuple(replace(zone, air_degc=38.0, mass_degc=36.0) for zone in unit.zones))
        for unit in case.units
    )

    assert optimal_course(replace(case, units=hot)) is not None


def test_a_band_narrower_than_the_spread_still_gets_a_plan():
    case = case_of("spring")
    narrow = tuple(
        replace(
            unit,
            zones=tuple(
                replace(zone, low_degc=zone.high_degc - 0.5, high_degc=zone.high_degc) for zone in unit.zones
            ),
        )
        for unit in case.units
    )

    assert optimal_course(replace(case, units=narrow)) is not None
