"""What thermostats and unexplained heat do to a plan: droop by load, led air, heat that lasts, peaks that are kept."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest

from agent.config.site import Hvac, Tariff, Zone, ZoneModel
from agent.planner.hvac import PEAK_RESERVE, HvacState, WeatherForecast, plan_hvac
from agent.planner.hvac_droop import PlannedAir, droop_at, droops, ramp_k
from agent.planner.hvac_past import SitePast, UnitPast
from agent.planner.hvac_residual import Unexplained, unexplained, unexplained_course
from agent.planner.hvac_schedule import SetPoints, occupancy_grid
from agent.planner.hvac_setpoints import sent

STEPS = 96 * 7
ZONE = Zone.model_validate({"unit": "u", "temp": "z.t"})


def past_of(beyond_k: np.ndarray, heat_kw: np.ndarray) -> tuple[SitePast, UnitPast]:
    """A week at a heating set-point of 20 degC under a unit of 40 kW, the air so far beyond it."""
    nothing, full = np.zeros(beyond_k.size), np.ones(beyond_k.size)
    past = SitePast(
        outdoor_degc=nothing,
        sun_w_m2=nothing,
        temp_degc={"z": 20.0 - beyond_k},
        heating_set_degc={"z": 20.0 * full},
        cooling_set_degc={"z": 26.0 * full},
        occupied={"z": full},
        power_kw={},
    )
    return past, UnitPast({"z": heat_kw}, 0.0, 0.0, 40.0, 40.0)


def test_a_proportional_thermostat_is_told_more_the_more_its_unit_has_to_give():
    share = 0.4 + 0.3 * np.sin(np.arange(STEPS) / 15.0)
    # Full output a kelvin beyond, the first of it a quarter of a kelvin before the set-point is passed.
    found = droops("z", ZONE, *past_of(share - 0.25, 40.0 * share))

    assert found["heating_slope_k"] == pytest.approx(1.0, abs=0.02)
    assert found["heating_droop_k"] == pytest.approx(-0.25, abs=0.02)
    model = ZoneModel.model_validate({"air_kwh_per_k": 3.0, "ua_kw_per_k": 1.0, **found})
    idle, light, heavy = (droop_at(model, np.full(4, s), 4)[0][0] for s in (0.0, 0.4, 1.0))
    assert heavy - light == pytest.approx(0.6, abs=0.01)
    # Where it starts and stops, the line is not believed: no less than was seen at low output.
    assert idle >= -0.25 + 0.1


def test_a_thermostat_that_only_swings_has_no_slope_whatever_its_unit_gives():
    rng = np.random.default_rng(5)
    share = 0.4 + 0.3 * np.sin(np.arange(STEPS) / 15.0)

    found = droops("z", ZONE, *past_of(rng.uniform(-0.4, 0.4, STEPS), 40.0 * share))

    assert found["heating_slope_k"] == 0.0
    assert 0.2 < found["heating_droop_k"] < 0.4
    assert found["heating_swing_k"] == pytest.approx(0.38, abs=0.05)


def test_a_unit_that_rests_most_of_the_time_shows_where_the_air_slips_meanwhile():
    # One quarter hour of heat leads the air up from 0.25 K below to 0.25 K above; five of rest let it fall back.
    cycle = np.array([0.05, -0.2, -0.1, 0.02, 0.14, 0.23])
    beyond = np.tile(cycle, STEPS // cycle.size)
    heat = np.tile([10.0, 0.0, 0.0, 0.0, 0.0, 0.0], STEPS // cycle.size)

    found = droops("z", ZONE, *past_of(beyond, heat))

    assert found["heating_slope_k"] == 0.0
    assert found["heating_droop_k"] == pytest.approx(0.23, abs=0.01)


def test_one_morning_of_heating_is_not_learned_and_takes_the_droop_that_cooling_has_shown():
    # Weeks of cooling at 26 degC with a swing of 0.3 K, and four quarter hours of heat that overshot by 0.2 K.
    beyond_heating = np.full(STEPS, -6.0) + 0.3 * np.sin(np.arange(STEPS))
    heat = np.full(STEPS, -10.0)
    beyond_heating[40:80], heat[40:80] = -3.0, 0.0
    beyond_heating[60:64], heat[60:64] = -0.2, 10.0

    found = droops("z", ZONE, *past_of(beyond_heating, heat))

    assert 0.25 < found["cooling_droop_k"] <= 0.3
    assert found["heating_droop_k"] == found["cooling_droop_k"]
    # Where neither side was seen, a tenth is taken for it.
    nothing = droops("z", ZONE, *past_of(np.full(STEPS, -3.0), np.zeros(STEPS)))
    assert nothing["heating_droop_k"] == nothing["cooling_droop_k"] == 0.1


def test_air_led_up_before_people_come_is_told_where_it_shall_be_in_the_middle_of_each_step():
    model = ZoneModel(air_kwh_per_k=3.0, ua_kw_per_k=1.0, heating_slope_k=1.0, heating_swing_k=0.1)
    led = PlannedAir(np.full(3, 0.5), np.array([16.0, 17.0, 18.0]), 15.0)

    empty, full = np.zeros(3, dtype=np.bool_), np.ones(3, dtype=np.bool_)
    assert ramp_k(model, led, empty)[0].tolist() == pytest.approx([0.6, 0.6, 0.6])
    assert ramp_k(model, led, full)[0].tolist() == [0.0, 0.0, 0.0]
    # A unit that shall give all it has is not held back, and nothing is led down by heating.
    assert ramp_k(model, led._replace(share=np.ones(3)), empty)[0].tolist() == [0.0, 0.0, 0.0]
    assert ramp_k(model, led, empty)[1].tolist() == [0.0, 0.0, 0.0]


def test_what_is_sent_stays_in_the_comfort_band_however_far_the_thermostat_slips():
    zone = ZONE.model_copy(
        update={
            "model": ZoneModel(air_kwh_per_k=3.0, ua_kw_per_k=1.0, heating_droop_k=0.6, heating_slope_k=3.0)
        }
    )
    band = SetPoints(np.full(4, 20.0), np.full(4, 25.0))
    foreseen = PlannedAir(np.full(4, 1.0), np.full(4, 20.0), 20.0)

    points = sent(zone, band, np.ones(4, dtype=np.bool_), foreseen)

    assert (points.heating_degc <= 25.0).all()
    assert (points.cooling_degc - points.heating_degc >= 2.0 - 1e-9).all()


def test_heat_that_was_missing_all_day_is_reckoned_with_tomorrow_and_an_open_door_is_not():
    lasting = unexplained(np.full(192, -6.0))
    door = np.zeros(192)
    door[-4:] = -12.0
    passing = unexplained(door)

    assert unexplained_course(lasting, 96, 900.0)[-1] == pytest.approx(-6.0 * np.exp(-0.5), rel=0.01)
    assert unexplained_course(passing, 96, 900.0)[0] == pytest.approx(-6.0, rel=0.05)
    assert abs(unexplained_course(passing, 96, 900.0)[-1]) < 0.5
    # An hour of news is not a day of it, and no news is none.
    assert unexplained(np.concatenate([np.full(92, np.nan), np.full(4, -6.0)])).lasting_kw == pytest.approx(
        -0.25
    )
    assert unexplained(np.full(96, np.nan)) == Unexplained(0.0, 0.0)
    assert unexplained(np.full(96, 50.0), most_kw=20.0) == Unexplained(20.0, 0.0)


def halls(tariff: Tariff, peak_so_far_kw: float = 0.0):
    """Two halls on a cold working day, their plan and the power of each step that it foresees."""
    model = {"air_kwh_per_k": 3.0, "mass_kwh_per_k": 30.0, "ua_kw_per_k": 1.0, "mass_ua_kw_per_k": 4.0}
    hours = [{"days": "mon-fri", "from": "06:00", "to": "18:00"}]
    hvac = Hvac.model_validate(
        {
            "units": {f"u{k}": {"device": "d", "heating_kw": 60.0, "heating_cop": 1.0} for k in (1, 2)},
            "zones": {
                f"z{k}": {"unit": f"u{k}", "temp": f"z{k}.t", "occupancy": hours, "model": model}
                for k in (1, 2)
            },
        }
    )
    at = datetime(2026, 3, 2, tzinfo=UTC)
    people = {name: occupancy_grid(zone, "UTC", at, 96, 900.0) for name, zone in hvac.zones.items()}
    state = HvacState({"z1": 16.0, "z2": 16.0}, peak_so_far_kw=peak_so_far_kw)
    plan = plan_hvac(hvac, tariff, state, WeatherForecast(np.zeros(96)), people, np.full(96, 0.15), at, 900.0)
    return plan


def test_a_plan_keeps_a_reserve_below_the_peak_that_was_paid():
    tariff = Tariff(energy_price_per_kwh=0.15, demand_charge_per_kw=12.0)
    paid_kw = 66.0

    plan = halls(tariff, paid_kw)

    # What the model must give for the foreseen course, step by step, from the two-node model itself.
    power = np.zeros(96)
    for name in ("z1", "z2"):
        air, mass = 16.0, 16.0
        for k, after in enumerate(plan.expected_degc[name]):
            mass_after = (30.0 / 0.25 * mass + 4.0 * after) / (30.0 / 0.25 + 4.0)
            power[k] += max(0.0, 3.0 * (after - air) / 0.25 + after - 4.0 * (mass_after - after))
            air, mass = after, mass_after
    # Set-points go by tenths, which is 1 to 3 kW more in one quarter hour and less in the next: the hour counts.
    hours = np.convolve(power, np.full(4, 0.25), mode="valid")
    assert hours.max() < paid_kw / (1.0 + PEAK_RESERVE) + 1.5
    assert hours.max() > 0.8 * paid_kw


def test_under_a_demand_charge_no_hall_is_heated_by_fits_and_starts():
    plan = halls(Tariff(energy_price_per_kwh=0.15, demand_charge_per_kw=12.0))

    # Before people come the air rises without turning back, a quarter hour like the next.
    for name in ("z1", "z2"):
        rise = np.diff(np.array(plan.expected_degc[name])[8:23])
        assert rise.min() > -0.05
        assert np.abs(np.diff(rise)).max() < 0.35


def test_without_a_plan_the_most_that_a_thermostat_lets_slip_is_reckoned_with():
    bare = {"air_kwh_per_k": 3.0, "ua_kw_per_k": 1.0}
    # In heating 0.1 K and 0.4 more at full output; in cooling the swing at low output is the most of it.
    model = ZoneModel(
        **bare,
        heating_droop_k=0.1,
        heating_slope_k=0.4,
        cooling_droop_k=-0.2,
        cooling_slope_k=0.2,
        cooling_least_k=0.5,
    )

    heating, cooling = droop_at(model, None, 3, at_most=True)

    assert heating.tolist() == pytest.approx([0.5] * 3)
    assert cooling.tolist() == pytest.approx([0.5] * 3)
