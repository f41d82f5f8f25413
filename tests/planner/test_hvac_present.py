"""The site's present schedule: how it is learned, that it is compared, and what it takes to leave it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from agent.config.site import Hvac, Tariff
from agent.planner.hvac import HvacState, WeatherForecast, occupancy_grid, plan_hvac
from agent.planner.hvac_case import HvacCase, simulate, unit_case, zone_case
from agent.planner.hvac_choice import choose, margin_of
from agent.planner.hvac_present import PER_DAY, may_be_sent, usual_degc, week_slots
from agent.planner.hvac_schedule import SetPoints, scheduled

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
STEPS = 96
UNIT = {"device": "rtu", "cooling_kw": 40.0, "heating_kw": 40.0, "cooling_cop": 3.0, "heating_cop": 3.0}
ZONE = {
    "unit": "u",
    "temp": "hall.temp",
    "occupancy": [{"days": "mon-fri", "from": "06:00", "to": "18:00"}],
    "model": {
        "air_kwh_per_k": 3.0,
        "mass_kwh_per_k": 30.0,
        "ua_kw_per_k": 1.0,
        "mass_ua_kw_per_k": 4.0,
        "heating_droop_k": 0.0,
        "cooling_droop_k": 0.0,
    },
}
HVAC = Hvac.model_validate({"units": {"u": UNIT}, "zones": {"hall": ZONE}})
LOW, HIGH = HVAC.zones["hall"].comfort_low_degc, HVAC.zones["hall"].comfort_high_degc


def held(heating: float, cooling: float) -> SetPoints:
    return SetPoints(np.full(STEPS, heating), np.full(STEPS, cooling))


def from_hour(hour: float) -> SetPoints:
    """Comfort from an hour on until 18:00, set-back otherwise: as a clock on the wall does it."""
    hours = np.arange(STEPS) / 4.0
    comfort = (hours >= hour) & (hours < 18.0)
    return scheduled(HVAC.zones["hall"], comfort)


def plan(present: SetPoints | None, error_k: float | None = None, price=0.15, temp=18.0):
    people = {"hall": occupancy_grid(HVAC.zones["hall"], "UTC", MONDAY, STEPS, 900.0)}
    state = HvacState(
        {"hall": temp},
        present={} if present is None else {"hall": present},
        error_k={} if error_k is None else {"hall": {"1h": error_k, "4h": error_k, "24h": error_k}},
    )
    prices = np.full(STEPS, price) if np.isscalar(price) else price
    weather = WeatherForecast(np.full(STEPS, 5.0))
    return plan_hvac(HVAC, Tariff(), state, weather, people, prices, MONDAY)


def test_the_quarter_hours_of_a_week_are_local_and_go_on_through_the_clock_change():
    # Saturday 28 March 2026, 23:00 UTC is Sunday 00:00 in Berlin; the hour from 02:00 is left out.
    slots = week_slots("Europe/Berlin", datetime(2026, 3, 28, 23, tzinfo=UTC), 12, 900.0)

    assert slots.tolist() == [2 * PER_DAY + k for k in (0, 1, 2, 3, 4, 5, 6, 7, 12, 13, 14, 15)]


def test_the_present_schedule_is_what_most_days_had_and_unknown_where_they_disagree():
    at = MONDAY
    slots = week_slots("UTC", at, 14 * PER_DAY, 900.0)
    degc = np.where(slots % PER_DAY >= 24, 20.5, 16.0)
    degc[3 * PER_DAY : 4 * PER_DAY] = 23.0  # someone moved it for a day
    degc[6 * PER_DAY : 7 * PER_DAY] = 12.0  # one Sunday is not the other

    usual = usual_degc(degc, slots)

    assert usual[:24].tolist() == [16.0] * 24
    assert usual[24:PER_DAY].tolist() == [20.5] * 72
    assert np.isnan(usual[2 * PER_DAY :]).all()
    assert np.isnan(usual_degc(degc[: 5 * PER_DAY], slots[: 5 * PER_DAY])[PER_DAY:]).all()  # no weekend seen


def test_a_present_schedule_that_nothing_beats_by_the_margin_is_sent_as_it_was_found():
    best = plan(None)
    first = next(step.at for step in best.zones["hall"] if step.heating_setpoint_degc >= LOW)
    found = from_hour((first - MONDAY) / timedelta(hours=1))  # a clock that happens to be right

    sent = plan(found)

    assert sent.reasons[0].startswith("the present schedule is sent")
    for step in sent.zones["hall"]:
        k = round((step.at - MONDAY) / timedelta(minutes=15))
        assert step.heating_setpoint_degc == found.heating_degc[k]
        assert step.cooling_setpoint_degc == found.cooling_degc[k]
        assert step.reason == "the present schedule"


def test_a_site_heated_day_and_night_is_led_away_from_it_and_told_both_costs():
    sent = plan(held(LOW, HIGH), error_k=0.3)

    assert not sent.reasons[0].startswith("the present schedule")
    costs = {
        part.split(" EUR")[0].rsplit(" ", 1)[0].removeprefix("set-back + optimum start is sent: "): float(
            part.split(" EUR")[0].split()[-1]
        )
        for part in sent.reasons[0].split(", ")
    }
    assert costs["the present schedule"] > sent.cost


def test_a_model_that_is_far_off_does_not_displace_the_present_schedule_and_says_so():
    found = from_hour(1.0)  # hours too early: money to be saved

    good, poor = plan(found, error_k=0.1), plan(found, error_k=10.0)

    assert not good.reasons[0].startswith("the present schedule")
    assert poor.reasons[0].startswith("the present schedule is sent")
    assert any("less than the model may be wrong" in reason for reason in poor.reasons)


def test_a_present_schedule_that_is_not_known_is_left_out_and_that_is_said():
    sent = plan(None)

    assert "the present schedule is not known: it was not compared" in sent.reasons
    assert "the present schedule " not in sent.reasons[0]


def test_a_present_schedule_outside_the_comfort_band_is_compared_and_never_sent():
    frozen = held(LOW - 6.0, LOW - 3.0)  # an overcooled hall

    sent = plan(frozen, error_k=50.0)  # so poor a model that nothing would displace anything

    assert "the present schedule " in sent.reasons[0]
    assert not sent.reasons[0].startswith("the present schedule")
    assert any("not to be sent" in reason for reason in sent.reasons)


def test_set_points_that_jump_or_stand_too_near_each_other_are_not_sent():
    people = {"hall": np.ones(STEPS, dtype=np.bool_)}
    jumping = held(LOW, HIGH)
    jumping.heating_degc[50:] += 1.5

    assert may_be_sent(HVAC.zones, {"hall": held(LOW, HIGH)}, people)
    assert not may_be_sent(HVAC.zones, {"hall": jumping}, people)
    assert not may_be_sent(HVAC.zones, {"hall": held(LOW, LOW + 1.0)}, people)


def case_of(demand_charge: float = 0.0) -> HvacCase:
    """One hall without mass, 1 kW/K, COP 3 at 7 degC, four steps of an hour at 0.30."""
    model = {"air_kwh_per_k": 2.0, "ua_kw_per_k": 1.0}
    zone = HVAC.zones["hall"].model_validate(ZONE | {"model": model})
    steps = 4
    nobody, weather = np.zeros(steps, dtype=np.bool_), np.full(steps, 7.0)
    hall = zone_case(
        "hall",
        zone,
        air_degc=20.0,
        mass_degc=20.0,
        outdoor_degc=weather,
        sun_w_m2=np.zeros(steps),
        occupied=nobody,
        wanted=nobody,
        band=SetPoints(np.full(steps, 15.0), np.full(steps, 30.0)),
        step_s=3600.0,
    )
    unit = unit_case("u", HVAC.units["u"], [hall], nobody, weather)
    prices = np.full(steps, 0.30)
    return HvacCase((unit,), weather, prices, np.zeros(steps), 1.0, demand_charge, 0.0, None)


def setpoints(*heating: float) -> dict[str, SetPoints]:
    return {"hall": SetPoints(np.array(heating), np.full(len(heating), 30.0))}


@pytest.mark.parametrize(("charge", "more"), [(0.0, 0.0), (6.0, 6.0 * 0.6 / 3.0)])
def test_the_margin_is_the_models_error_in_money_as_worked_by_hand(charge, more):
    case = case_of(charge)
    a = simulate(case, setpoints(20.0, 20.0, 20.0, 20.0))
    b = simulate(case, setpoints(20.0, 20.0, 22.0, 22.0))

    margin = margin_of(case, a, b, {"hall": {"1h": 0.6, "4h": 0.6, "24h": 0.6}})

    # They differ for two hours: 0.6 K x 1 kW/K / COP 3 x 2 h x 0.30; and 0.2 kW at the peak.
    assert margin == pytest.approx(0.6 * 1.0 / 3.0 * 2.0 * 0.30 + more)


def test_without_a_known_error_or_a_difference_two_per_cent_remain():
    case = case_of()
    a = simulate(case, setpoints(20.0, 20.0, 20.0, 20.0))

    assert margin_of(case, a, a, {"hall": {"4h": 5.0}}) == pytest.approx(0.02 * a.energy_cost)
    b = simulate(case, setpoints(20.0, 20.0, 22.0, 22.0))
    assert margin_of(case, a, b, {}) == pytest.approx(0.02 * a.energy_cost)


def test_the_present_schedule_stands_before_all_others_and_falls_beyond_the_margin():
    case = case_of()
    dear, cheap = simulate(case, setpoints(21, 21, 21, 21)), simulate(case, setpoints(20, 20, 20, 20))

    assert choose(case, {"plain": cheap, "present": dear}, {}).name == "plain"
    kept = choose(case, {"plain": cheap, "present": dear}, {"hall": {"1h": 3.0, "4h": 3.0}})
    assert (kept.name, kept.cheapest) == ("present", "plain")
    assert 0 < kept.cheaper_by < kept.margin
