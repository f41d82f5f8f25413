"""Plans for zones: the thermal step by hand, schedules across clock changes, and what never happens."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.site import Hvac, Tariff, Zone, ZoneModel
from agent.domain import PlanStatus
from agent.planner.hvac import HvacState, WeatherForecast, baseline_hvac, occupancy_grid, plan_hvac
from agent.planner.hvac_case import HvacCase, simulate, unit_case, zone_case
from agent.planner.hvac_lp import optimal_course
from agent.planner.hvac_model import next_mass_degc, next_temps, zone_step_model
from agent.planner.hvac_schedule import SetPoints, is_occupied, stuck_contact
from agent.planner.hvac_setpoints import planned_setpoints

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
STEPS = 96
MODEL = {
    "air_kwh_per_k": 3.0,
    "mass_kwh_per_k": 30.0,
    "ua_kw_per_k": 1.0,
    "mass_ua_kw_per_k": 4.0,
    "gain_occupied_kw": 4.0,
}
UNIT = {
    "device": "rtu",
    "enable": "rtu.enable",
    "cooling_kw": 40.0,
    "heating_kw": 40.0,
    "cooling_cop": 3.0,
    "heating_cop": 3.0,
    "fan_kw": 1.0,
}
HOURS = [{"days": "mon-fri", "from": "06:00", "to": "18:00"}]


def hvac_of(**zones: dict) -> Hvac:
    """One unit a zone; a zone is MODEL and HOURS, changed by what is given."""
    return Hvac.model_validate(
        {
            "units": {f"u_{name}": UNIT for name in zones},
            "zones": {
                name: {"unit": f"u_{name}", "temp": f"{name}.temp", "occupancy": HOURS, "model": MODEL}
                | changes
                for name, changes in zones.items()
            },
        }
    )


def planned(hvac: Hvac, *, temp=18.0, outdoor=5.0, sun=0.0, price=0.15, tariff=None, at=MONDAY, **state):
    """A plan with the same weather and, unless an array is given, the same price all day."""
    occupied = {name: occupancy_grid(zone, "UTC", at, STEPS, 900.0) for name, zone in hvac.zones.items()}
    temps = dict.fromkeys(hvac.zones, temp) if not isinstance(temp, dict) else temp
    weather = WeatherForecast(np.full(STEPS, outdoor), np.full(STEPS, sun))
    prices = np.full(STEPS, price) if np.isscalar(price) else price
    return plan_hvac(hvac, tariff or Tariff(), HvacState(temps, **state), weather, occupied, prices, at)


def test_one_step_of_a_zone_without_mass_is_worked_by_hand():
    model = ZoneModel(air_kwh_per_k=2.0, ua_kw_per_k=1.0)

    step = zone_step_model(model, 900.0)
    air, mass = next_temps(step, 20.0, 20.0, 10.0, 3.0)

    # 2 (T - 20) / 0.25 h = 1 (10 - T) + 3  ->  8 T - 160 = 13 - T  ->  T = 173 / 9
    assert air == pytest.approx(173.0 / 9.0)
    assert mass == air


def test_one_step_of_a_zone_with_mass_is_worked_by_hand():
    model = ZoneModel(air_kwh_per_k=1.0, mass_kwh_per_k=10.0, ua_kw_per_k=1.0, mass_ua_kw_per_k=2.0)

    air, mass = next_temps(zone_step_model(model, 3600.0), 20.0, 24.0, 0.0, 5.0)

    # Mass:  10 (M - 24) = 2 (A - M)          ->  M = (240 + 2 A) / 12 = 20 + A / 6
    # Air:   1 (A - 20) = 1 (0 - A) + 2 (M - A) + 5  ->  4 A = 25 + 40 + A / 3  ->  A = 65 / (11/3) = 17.727
    assert air == pytest.approx(65.0 * 3.0 / 11.0)
    assert mass == pytest.approx(20.0 + air / 6.0)


def test_the_mass_follows_the_measured_air_and_never_passes_it():
    model = ZoneModel.model_validate(MODEL)

    one_hour = next_mass_degc(model, 16.0, 22.0, 3600.0)
    long = next_mass_degc(model, 16.0, 22.0, 1e7)

    # 30 (M - 16) / 1 h = 4 (22 - M)  ->  M = (480 + 88) / 34
    assert one_hour == pytest.approx(568.0 / 34.0)
    assert 21.9 < long < 22.0


@pytest.mark.parametrize(
    ("saturday", "until_people_h"),
    [
        # From Saturday 00:00 local to Sunday 06:00 local, Europe/Berlin.
        (datetime(2026, 3, 27, 23, tzinfo=UTC), 29.0),  # Sunday's clock is put forward: an hour less
        (datetime(2026, 10, 23, 22, tzinfo=UTC), 31.0),  # put back: an hour more
        (datetime(2026, 6, 12, 22, tzinfo=UTC), 30.0),
    ],
)
def test_people_come_at_their_local_hour_on_days_of_23_and_25_hours(saturday, until_people_h):
    hours = [{"days": "sun", "from": "06:00", "to": "12:00"}]
    zone = Zone.model_validate({"unit": "u", "temp": "z.t", "occupancy": hours})

    grid = occupancy_grid(zone, "Europe/Berlin", saturday, 48 * 4, 900.0)

    came = np.flatnonzero(grid)
    assert came[0] / 4 == until_people_h
    assert came.size / 4 == 6.0


def test_a_step_in_which_people_come_counts_as_occupied():
    zone = Zone.model_validate({"unit": "u", "temp": "z.t", "occupancy": [{"from": "06:10", "to": "07:00"}]})

    grid = occupancy_grid(zone, "UTC", MONDAY, 32, 900.0)

    assert np.flatnonzero(grid).tolist() == [24, 25, 26, 27]  # 06:00 to 07:00


def test_nobody_is_due_on_a_day_on_which_the_site_is_closed():
    zone = Zone.model_validate({"unit": "u", "temp": "z.t", "occupancy": [{"from": "06:00", "to": "18:00"}]})
    closed = frozenset({date(2026, 12, 25)})
    # From 22:00 UTC of the 23rd: an hour before the 24th begins in Berlin.
    eve = datetime(2026, 12, 23, 22, tzinfo=UTC)

    grid = occupancy_grid(zone, "Europe/Berlin", eve, 74 * 4, 900.0, closed)

    due = {(eve + timedelta(minutes=15 * int(k))).date().day for k in np.flatnonzero(grid)}
    assert due == {24, 26}
    assert is_occupied(zone, "Europe/Berlin", eve + timedelta(hours=12), closed)
    assert not is_occupied(zone, "Europe/Berlin", eve + timedelta(hours=36), closed)
    # A zone that has no hours knows no days off either: somebody may be in at any time.
    assert is_occupied(Zone(unit="u", temp="z.t"), "Europe/Berlin", eve + timedelta(hours=36), closed)


@pytest.mark.parametrize(
    ("has_not", "temp", "outdoor"), [("cooling_kw", 29.0, 30.0), ("heating_kw", 12.0, 2.0)]
)
def test_a_season_for_which_a_unit_has_nothing_is_no_failure_of_the_plan(has_not, temp, outdoor):
    hvac = hvac_of(hall={})
    one_way = hvac.model_copy(
        update={"units": {"u_hall": hvac.units["u_hall"].model_copy(update={has_not: 0.0})}}
    )
    too_small = hvac.model_copy(
        update={"units": {"u_hall": hvac.units["u_hall"].model_copy(update={has_not: 1.0})}}
    )

    plan, poor = (planned(site, temp=temp, outdoor=outdoor) for site in (one_way, too_small))

    assert plan.status is PlanStatus.OPTIMISED
    assert any("no plan helps" in reason for reason in plan.reasons)
    assert not any("cannot be held" in reason for reason in plan.reasons)
    assert poor.status is PlanStatus.BEST_EFFORT
    assert not any("no plan helps" in reason for reason in poor.reasons)


def test_a_contact_is_doubted_only_after_a_week_in_which_the_calendar_came_and_went_without_it():
    zone = Zone.model_validate(
        {"unit": "u", "temp": "z.t", "occupancy": [{"days": "mon-fri", "from": "06:00"}]}
    )
    due = occupancy_grid(zone, "UTC", MONDAY, 96 * 10, 900.0)
    never, always = np.zeros(due.size), np.ones(due.size)
    one_day = np.where(np.arange(due.size) // 96 == 3, due, 0.0)
    mostly_unknown = np.where(np.arange(due.size) < 96 * 5, 0.0, np.nan)

    assert stuck_contact(never, due, 900.0) == "nobody"
    assert stuck_contact(always, due, 900.0) == "people"
    assert stuck_contact(one_day, due, 900.0) == ""
    assert stuck_contact(mostly_unknown, due, 900.0) == ""
    assert stuck_contact(never[: 96 * 4], due[: 96 * 4], 900.0) == ""
    assert stuck_contact(always, np.ones_like(due), 900.0) == ""


def test_a_zone_without_hours_is_kept_comfortable_at_all_hours():
    zone = Zone.model_validate({"unit": "u", "temp": "z.t"})

    assert occupancy_grid(zone, "UTC", MONDAY, 96, 900.0).all()


def test_the_plain_schedule_has_comfort_with_people_and_set_back_without():
    hvac = hvac_of(hall={})
    occupied = {"hall": occupancy_grid(hvac.zones["hall"], "UTC", MONDAY, STEPS, 900.0)}

    plan = baseline_hvac(hvac, occupied, MONDAY)

    assert [(s.at.hour, s.heating_setpoint_degc, s.cooling_setpoint_degc) for s in plan.zones["hall"]] == [
        (0, 15.0, 30.0),
        (6, 20.0, 25.0),
        (18, 15.0, 30.0),
    ]


def test_the_plain_schedule_can_start_ahead():
    hvac = hvac_of(hall={})
    occupied = {"hall": occupancy_grid(hvac.zones["hall"], "UTC", MONDAY, STEPS, 900.0)}

    plan = baseline_hvac(hvac, occupied, MONDAY, start_ahead_s=7200.0)

    first, second, *_ = plan.zones["hall"]
    assert (first.at, first.heating_setpoint_degc) == (MONDAY, 15.0)
    assert (second.at, second.heating_setpoint_degc) == (MONDAY + timedelta(hours=4), 20.0)


def test_a_cold_hall_is_warm_when_people_come_and_not_hours_before():
    hvac = hvac_of(hall={})

    plan = planned(hvac, temp=15.0, outdoor=0.0)

    assert plan.status is PlanStatus.OPTIMISED
    warm = [s for s in plan.zones["hall"] if s.heating_setpoint_degc >= 19.9]
    assert timedelta(hours=3) < warm[0].at - MONDAY < timedelta(hours=6)
    assert "06:00 UTC" in warm[0].reason


def test_at_a_flat_price_the_optimiser_does_not_displace_a_schedule_that_costs_the_same():
    hvac = hvac_of(hall={})

    plan = planned(hvac, temp=24.0, outdoor=33.0)

    assert plan.reasons[0].startswith("set-back")


def test_cold_is_stored_before_a_dear_afternoon_and_inside_the_comfort_band():
    hvac = hvac_of(hall={})
    price = np.full(STEPS, 0.10)
    price[52:] = 0.60  # from 13:00

    plan = planned(hvac, temp=24.0, outdoor=33.0, price=price)

    assert plan.reasons[0].startswith("optimised")
    noon = [s for s in plan.zones["hall"] if s.at < MONDAY + timedelta(hours=13)][-1]
    assert noon.cooling_setpoint_degc < 24.5
    assert noon.heating_setpoint_degc >= 20.0
    assert noon.reason == "cooling ahead within the comfort band"
    assert min(s.cooling_setpoint_degc for s in plan.zones["hall"]) >= 20.0


def test_the_optimised_plan_is_never_dearer_than_the_schedules_it_is_compared_with():
    price = np.full(STEPS, 0.10)
    price[52:] = 0.60

    plan = planned(hvac_of(hall={}), temp=24.0, outdoor=33.0, price=price)

    costs = [float(part.split(" EUR")[0].split()[-1]) for part in plan.reasons[0].split(", ")]
    assert plan.cost == pytest.approx(min(costs), abs=0.01)


def test_the_programme_buys_heat_in_the_cheap_step_as_worked_by_hand():
    # Two steps of an hour; a tight hall of 2 kWh/K with no loss worth the name; 18 degC now, 20 wanted
    # at the end of the second. 2 K x 2 kWh/K = 4 kWh of heat, all of it in the first, cheaper step.
    tight = {"air_kwh_per_k": 2.0, "ua_kw_per_k": 1e-9}
    hvac = hvac_of(hall={"model": tight})
    zone, unit = hvac.zones["hall"], hvac.units["u_hall"]
    wanted = np.array([False, True])
    band = SetPoints(np.array([15.0, 20.0]), np.array([30.0, 25.0]))
    hall = zone_case(
        "hall",
        zone,
        air_degc=18.0,
        mass_degc=18.0,
        outdoor_degc=np.full(2, 7.0),
        sun_w_m2=np.zeros(2),
        occupied=np.zeros(2, dtype=bool),
        wanted=wanted,
        band=band,
        step_s=3600.0,
    )
    outdoor = np.full(2, 7.0)  # heat pump at its rating: 40 kW, COP 3, fan 1 kW by the share of 40 kW
    units = (unit_case("u_hall", unit, [hall], np.zeros(2, dtype=bool), outdoor),)
    case = HvacCase(units, outdoor, np.array([0.1, 0.3]), np.zeros(2), 1.0, 0.0, 0.0, None)

    course = optimal_course(case)["hall"]
    followed = simulate(case, {"hall": planned_setpoints(hall, course, wanted, units[0].heating_kw)})

    assert course.heat_kw == pytest.approx([4.0, 0.0], abs=1e-4)
    assert course.air_degc == pytest.approx([20.0, 20.0], abs=1e-4)
    # 4 kWh / 3 + 1 kW x 4/40 x 1 h = 1.4333 kWh at 0.10
    assert followed.cost == pytest.approx(0.14333, abs=1e-4)


def test_a_demand_charge_spreads_the_morning_over_the_halls():
    halls = hvac_of(a={}, b={}, c={})
    charged = Tariff(demand_charge_per_kw=10.0)

    plan = planned(halls, temp=15.0, outdoor=0.0, tariff=charged)
    flat = planned(halls, temp=15.0, outdoor=0.0)

    assert plan.reasons[0].startswith("optimised")
    assert first_heat(plan, "a") < first_heat(flat, "a")


def first_heat(plan, zone: str) -> datetime:
    return next(s.at for s in plan.zones[zone] if s.heating_setpoint_degc > 15.05)


def test_a_power_limit_comes_before_comfort_and_says_so():
    plan = planned(hvac_of(a={}, b={}), temp=15.0, outdoor=-10.0, tariff=Tariff(site_limit_kw=16.0))

    assert plan.status is PlanStatus.BEST_EFFORT
    assert any("comfort cannot be held" in reason for reason in plan.reasons)
    assert any(s.reason == "less than comfort: the site's power limit or peak" for s in plan.zones["a"])


def test_a_base_load_above_the_limit_still_gives_a_plan():
    plan = planned(hvac_of(a={}), tariff=Tariff(site_limit_kw=50.0), base_kw=np.full(STEPS, 400.0))

    assert len(plan.zones["a"]) >= 1


def test_a_unit_too_small_for_the_frost_is_planned_at_best_effort_with_full_set_points():
    plan = planned(hvac_of(hall={"model": MODEL | {"ua_kw_per_k": 4.0}}), temp=12.0, outdoor=-12.0)

    assert plan.status is PlanStatus.BEST_EFFORT
    assert plan.step_at("hall", MONDAY + timedelta(hours=1)) is not None
    assert max(s.heating_setpoint_degc for s in plan.zones["hall"]) >= 20.0


@pytest.mark.parametrize(
    ("changes", "temp", "why"),
    [
        ({"model": None}, 18.0, "no model"),
        ({}, None, "temperature unknown"),
        ({}, 400.0, "temperature unknown"),
    ],
)
def test_a_zone_that_cannot_be_planned_starts_two_hours_ahead_and_the_others_are_planned(changes, temp, why):
    hvac = hvac_of(odd=changes, hall={})

    plan = planned(hvac, temp={"odd": temp, "hall": 18.0})

    assert plan.status is PlanStatus.OPTIMISED
    assert why in plan.notes["odd"]
    assert set(plan.notes) == {"odd"}
    assert first_heat(plan, "odd") == MONDAY + timedelta(hours=4)


def test_without_weather_every_zone_starts_two_hours_ahead():
    hvac = hvac_of(hall={})
    occupied = {"hall": occupancy_grid(hvac.zones["hall"], "UTC", MONDAY, STEPS, 900.0)}

    plan = plan_hvac(hvac, Tariff(), HvacState({"hall": 18.0}), None, occupied, np.full(STEPS, 0.15), MONDAY)

    assert plan.status is PlanStatus.GREEDY
    assert "no weather forecast" in plan.notes["hall"]
    assert first_heat(plan, "hall") == MONDAY + timedelta(hours=4)


def test_a_contact_that_reports_people_brings_comfort_at_once():
    hvac = hvac_of(hall={"occupied": "hall.people"})

    plan = planned(hvac, occupied_now={"hall": True})

    assert plan.step_at("hall", MONDAY).heating_setpoint_degc >= 20.0


def test_an_empty_night_switches_the_unit_off_where_no_zone_nears_its_set_back_edge():
    plan = planned(hvac_of(hall={}), temp=21.0, outdoor=15.0, at=MONDAY + timedelta(hours=18))

    night = [s for s in plan.zones["hall"] if s.at <= MONDAY + timedelta(hours=22)][-1]
    assert night.enable is False


def test_a_unit_stays_enabled_near_the_set_back_edge():
    plan = planned(hvac_of(hall={}), temp=15.4, outdoor=-5.0, at=MONDAY + timedelta(hours=18))

    assert all(s.enable for s in plan.zones["hall"])


def test_a_plan_expires():
    plan = planned(hvac_of(hall={}))

    assert plan.step_at("hall", plan.not_after) is None


def test_zones_of_one_unit_share_what_it_can_give():
    hvac = Hvac.model_validate(
        {
            "units": {"u": UNIT | {"heating_kw": 50.0}},
            "zones": {
                name: {"unit": "u", "temp": f"{name}.t", "occupancy": HOURS, "model": MODEL}
                for name in ("a", "b")
            },
        }
    )

    shared = planned(hvac, temp=15.0, outdoor=0.0)
    alone = planned(hvac_of(a={}), temp=15.0, outdoor=0.0)

    assert first_heat(shared, "a") < first_heat(alone, "a")


VALUES = st.one_of(st.floats(-30.0, 50.0), st.just(float("nan")), st.just(float("inf")), st.none())


@settings(max_examples=25)
@given(
    temp=VALUES,
    mass=st.floats(-10.0, 60.0),
    outdoor=st.lists(VALUES, max_size=STEPS),
    price=st.floats(-0.2, 2.0),
    charge=st.sampled_from([0.0, 12.0]),
    limit=st.sampled_from([None, 5.0]),
    hour=st.integers(0, 167),
    cooling=st.sampled_from([0.0, 40.0]),
)
def test_whatever_the_world_says_there_is_a_plan_that_a_thermostat_can_hold(
    temp, mass, outdoor, price, charge, limit, hour, cooling
):
    zone = {"unit": "u", "temp": "z.t", "occupancy": HOURS, "model": MODEL}
    hvac = Hvac.model_validate({"units": {"u": UNIT | {"cooling_kw": cooling}}, "zones": {"z": zone}})
    at = MONDAY + timedelta(hours=hour)
    occupied = {"z": occupancy_grid(hvac.zones["z"], "UTC", at, STEPS, 900.0)}
    weather = WeatherForecast(np.array([np.nan if v is None else v for v in outdoor]), None)
    tariff = Tariff(demand_charge_per_kw=charge, site_limit_kw=limit)
    state = HvacState({"z": temp}, {"z": mass})

    plan = plan_hvac(hvac, tariff, state, weather, occupied, np.full(STEPS, price), at)

    assert plan.zones["z"][0].at == at
    for step in plan.zones["z"]:
        assert step.heating_setpoint_degc <= step.cooling_setpoint_degc - 2.0 + 1e-9
        assert 15.0 <= step.cooling_setpoint_degc <= 30.0
        assert step.heating_setpoint_degc <= 25.0


def test_no_zones_give_an_empty_plan():
    plan = plan_hvac(Hvac(), Tariff(), HvacState({}), None, {}, np.full(STEPS, 0.1), MONDAY)

    assert plan.status is PlanStatus.NONE
    assert plan.zones == {}


def test_a_heavy_hall_in_the_frost_is_started_as_many_hours_ahead_as_it_takes():
    hall = hvac_of(hall={"model": MODEL | {"mass_kwh_per_k": 120.0, "mass_ua_kw_per_k": 8.0}})

    plan = planned(hall, temp=15.0, outdoor=5.0, mass_degc={"hall": 15.0})

    # 40 kW less about 12 of losses are 28 kW, for 5 K of a mass of 120 kWh/K behind 8 kW/K: more than four hours.
    first = next(s.at for s in plan.zones["hall"] if s.heating_setpoint_degc > 19.0)
    assert MONDAY <= first <= MONDAY + timedelta(hours=1)
