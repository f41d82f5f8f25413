"""Halls that their floor heats: the heat goes into the mass and is felt hours later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from agent.config.site import Hvac, Tariff, ZoneModel
from agent.planner.hvac import HvacState, WeatherForecast, occupancy_grid, plan_hvac
from agent.planner.hvac_case import HvacCase, follow, unit_case, zone_case
from agent.planner.hvac_comfort import comfort_weight
from agent.planner.hvac_droop import PlannedAir
from agent.planner.hvac_identify import ZoneFit, identify_zone
from agent.planner.hvac_lp import optimal_course
from agent.planner.hvac_model import next_temps, zone_course_model, zone_step_model
from agent.planner.hvac_observer import followed, observed
from agent.planner.hvac_past import SitePast, unit_past
from agent.planner.hvac_reach import runs_of
from agent.planner.hvac_schedule import SetPoints
from agent.planner.hvac_setpoints import sent

MONDAY = datetime(2026, 2, 2, tzinfo=UTC)
# 130 kWh/K behind 13 kW/K: the air follows the floor, and the floor its heat, over ten hours.
FLOOR = {
    "air_kwh_per_k": 17.0,
    "mass_kwh_per_k": 130.0,
    "ua_kw_per_k": 1.6,
    "mass_ua_kw_per_k": 13.0,
    "gain_occupied_kw": 10.0,
    "slab_share": 1.0,
}
AIR = FLOOR | {"slab_share": 0.0, "mass_ua_kw_per_k": 6.0, "mass_kwh_per_k": 60.0}
HOURS = [{"days": "mon-fri", "from": "07:00", "to": "17:00"}]
DAYS = 16
CAPACITY_KW = 75.0


def hvac_of(model: dict | None) -> Hvac:
    return Hvac.model_validate(
        {
            "units": {
                "u": {"device": "u", "power": "u.power", "heating_kw": CAPACITY_KW, "heating_cop": 1.0}
            },
            "zones": {
                "z": {
                    "unit": "u",
                    "temp": "z.temp",
                    "comfort_low_degc": 20.5,
                    "setback_low_degc": 15.0,
                    "occupancy": HOURS,
                    "model": model,
                }
            },
        }
    )


def one_step(model: ZoneModel, step_s: float):
    """A step of a zone with nothing around it."""
    nothing = np.zeros(1)
    return zone_course_model(
        model,
        step_s,
        outdoor_degc=nothing,
        gain_kw=nothing,
        ventilated=np.zeros(1, dtype=bool),
        neighbours_degc={},
    )


class Hall:
    """The hall itself, by the model's figures, with a thermostat that switches 0.3 K about its set-point."""

    def __init__(self, model: dict) -> None:
        self.share = model["slab_share"]
        self.gain_kw = model["gain_occupied_kw"]
        self.one = zone_step_model(ZoneModel.model_validate(model), 300.0)
        self.air = self.mass = 20.0
        self.on = False

    def quarter_hour(self, outdoor: float, people: bool, wanted: float) -> tuple[float, float]:
        """Mean air of the quarter hour, [degC], and mean heat, [kW]."""
        airs, heats = [], []
        for _ in range(3):
            self.on = self.air < wanted - 0.3 or (self.on and self.air < wanted + 0.3)
            heat = CAPACITY_KW * self.on
            into = self.share * heat
            rest = heat - into + self.gain_kw * people
            self.air, self.mass = next_temps(self.one, self.air, self.mass, outdoor, rest, into)
            airs.append(self.air)
            heats.append(heat)
        return self.air, float(np.mean(heats))


def lived(model: dict) -> SitePast:
    """Set-back by night and comfort from 05:00 for 16 days, the sensor off by 0.03 K."""
    hall, rng = Hall(model), np.random.default_rng(5)
    zone = hvac_of(model).zones["z"]
    k = np.arange(DAYS * 96)
    outdoor = 6.0 + 4.0 * np.sin(2 * np.pi * k / 96) + 2.0 * np.sin(k / 300)
    people = occupancy_grid(zone, "UTC", MONDAY, k.size, 900.0)
    wanted = np.where((k % 96 >= 20) & (k % 96 < 68) & (k // 96 % 7 < 5), 21.0, 17.0)
    rows = [hall.quarter_hour(o, bool(p), w) for o, p, w in zip(outdoor, people, wanted, strict=True)]
    airs, heats = np.array(rows).T
    return SitePast(
        outdoor_degc=outdoor,
        sun_w_m2=np.zeros(k.size),
        temp_degc={"z": airs + rng.normal(0.0, 0.03, k.size)},
        heating_set_degc={"z": wanted},
        cooling_set_degc={"z": np.full(k.size, 28.0)},
        occupied={"z": people.astype(float)},
        power_kw={"u": heats},
    )


@pytest.fixture(scope="module")
def past() -> SitePast:
    return lived(FLOOR)


def fit(past: SitePast) -> ZoneFit:
    hvac = hvac_of(None)
    found = identify_zone(hvac, "z", past, unit_past(hvac, "u", past))
    assert isinstance(found, ZoneFit), found
    return found


def case_of(model: dict, *, air: float, mass: float, outdoor: np.ndarray, band: SetPoints) -> HvacCase:
    hvac = hvac_of(model)
    nobody = np.zeros(outdoor.size, dtype=bool)
    hall = zone_case(
        "z",
        hvac.zones["z"],
        air_degc=air,
        mass_degc=mass,
        outdoor_degc=outdoor,
        sun_w_m2=np.zeros(outdoor.size),
        occupied=nobody,
        wanted=nobody,
        band=band,
        step_s=900.0,
        weight=comfort_weight(hvac.zones["z"].model, hvac.units["u"], CAPACITY_KW),
    )
    unit = unit_case("u", hvac.units["u"], [hall], nobody, outdoor)
    return HvacCase(
        (unit,), outdoor, np.full(outdoor.size, 0.2), np.zeros(outdoor.size), 0.25, 0.0, 0.0, None
    )


def test_a_floors_heat_is_in_the_floor_first_and_none_of_it_is_lost():
    bare = ZoneModel(
        air_kwh_per_k=2.0, mass_kwh_per_k=8.0, ua_kw_per_k=1e-9, mass_ua_kw_per_k=2.0, slab_share=1.0
    )
    one = zone_step_model(bare, 3600.0)

    # An hour of 5 kW into the floor at 20 degC throughout. Floor: (8 + 2) M' = 8 x 20 + 2 A' + 5; air: (2 + 2) A' =
    # 2 x 20 + 2 M'. So M' = 16.5 + 0.2 A', 3.6 A' = 73, A' = 20.278, M' = 20.556: 2 x 0.278 + 8 x 0.556 = 5 kWh.
    air, mass = next_temps(one, 20.0, 20.0, 0.0, 0.0, into_mass_kw=5.0)

    assert (air, mass) == pytest.approx((20.2778, 20.5556), abs=1e-3)
    course = one_step(bare, 3600.0)
    followed_air = course.air_of_air[0] * 20.0 + course.air_of_mass[0] * 20.0 + course.air_of_heating[0] * 5.0
    followed_mass = (
        course.mass_of_mass * 20.0 + course.mass_of_air * followed_air + course.mass_of_heating * 5.0
    )
    assert (followed_air, followed_mass) == pytest.approx((air, mass), abs=1e-6)


def test_a_model_without_a_floor_feels_heating_at_once_as_before():
    band = SetPoints(np.full(4, 15.0), np.full(4, 28.0))
    model = case_of(AIR, air=20.0, mass=20.0, outdoor=np.zeros(4), band=band).units[0].zones[0].model

    assert (model.air_of_heating == model.air_of_kw).all()
    assert model.mass_of_heating == 0.0


def test_a_floor_without_a_mass_is_no_floor():
    alone = ZoneModel(air_kwh_per_k=2.0, ua_kw_per_k=1.0, slab_share=1.0)
    course = one_step(alone, 900.0)

    assert course.air_of_heating[0] == course.air_of_kw[0]
    assert course.mass_of_heating == 0.0


def test_a_hall_that_its_floor_heats_is_seen_to_be_one_and_foreseen_a_day_ahead(past):
    found = fit(past)

    assert found.model.slab_share > 0.9
    assert found.model.mass_kwh_per_k == pytest.approx(130.0, rel=0.35)
    assert found.rmse_k["24h"] < 0.2


def test_a_hall_whose_air_is_heated_is_not_taken_for_one_with_a_floor():
    assert fit(lived(AIR)).model.slab_share == 0.0


def test_the_observer_knows_how_warm_the_floor_is():
    past = lived(FLOOR)
    hvac = hvac_of(FLOOR)
    short = SitePast(
        outdoor_degc=past.outdoor_degc[: 9 * 96 + 26],
        sun_w_m2=past.sun_w_m2[: 9 * 96 + 26],
        temp_degc={"z": past.temp_degc["z"][: 9 * 96 + 26]},
        heating_set_degc={"z": past.heating_set_degc["z"][: 9 * 96 + 26]},
        cooling_set_degc={"z": past.cooling_set_degc["z"][: 9 * 96 + 26]},
        occupied={"z": past.occupied["z"][: 9 * 96 + 26]},
        power_kw={"u": past.power_kw["u"][: 9 * 96 + 26]},
    )
    hall = Hall(FLOOR)
    for k in range(9 * 96 + 26):  # a Wednesday, half past six, in the middle of the morning's heat
        hall.quarter_hour(
            past.outdoor_degc[k], bool(past.occupied["z"][k]), float(past.heating_set_degc["z"][k])
        )

    seen = observed("z", hvac.zones["z"].model, short, unit_past(hvac, "u", short))

    assert seen is not None
    assert hall.mass > hall.air + 1.0
    assert seen.mass_degc == pytest.approx(hall.mass, abs=0.3)


def test_a_unit_that_gives_all_it_has_into_a_floor_is_seen_to_reach_it(past):
    hvac = hvac_of(FLOOR)
    unit = unit_past(hvac, "u", past)
    assert unit is not None
    along = followed("z", hvac.zones["z"].model, past, unit)
    assert along is not None

    heating, _ = runs_of(hvac, "z", past, unit, along)

    assert len(heating) >= 5
    assert np.median([run.share for run in heating]) == pytest.approx(1.0, abs=0.1)


def test_the_programme_and_the_schedule_say_the_same_of_a_floor():
    outdoor = np.full(40, 5.0)
    low = np.where(np.arange(40) < 24, 15.0, 20.5)
    case = case_of(FLOOR, air=20.4, mass=21.0, outdoor=outdoor, band=SetPoints(low, np.full(40, 26.0)))
    planned = optimal_course(case)
    assert planned is not None
    course = planned["z"]
    model = case.units[0].zones[0].model

    air, mass, airs = 20.4, 21.0, []
    for k, heat in enumerate(course.heat_kw.tolist()):
        air = (
            model.air_of_air[k] * air
            + model.air_of_mass[k] * mass
            + model.drive_degc[k]
            + model.air_of_heating[k] * heat
        )
        mass = model.mass_of_mass * mass + model.mass_of_air * air + model.mass_of_heating * heat
        airs.append(air)
    assert course.air_degc == pytest.approx(airs, abs=1e-4)
    # The comfort that begins at step 24 is made by heat of five hours before it, and lasts two on what the floor holds.
    assert course.heat_kw[4:24].min() > CAPACITY_KW - 0.1
    assert course.heat_kw[24:].max() < 0.1
    assert course.air_degc[24:32].min() > 20.5

    told = SetPoints(np.where(course.heat_kw > 1.0, 24.0, 15.0), np.full(40, 28.0))
    followed_course = follow(case, case.units[0], {"z": told})
    air, mass = 20.4, 21.0
    for k, heat in enumerate(followed_course.heat_kw["z"].tolist()):
        air = (
            model.air_of_air[k] * air
            + model.air_of_mass[k] * mass
            + model.drive_degc[k]
            + model.air_of_heating[k] * heat
        )
        mass = model.mass_of_mass * mass + model.mass_of_air * air + model.mass_of_heating * heat
        assert followed_course.air_degc["z"][k] == pytest.approx(air, abs=1e-9)


def test_people_find_a_hall_with_a_heated_floor_warm_after_plans_of_every_hour():
    hvac = hvac_of(FLOOR)
    hall = Hall(FLOOR)
    hall.air, hall.mass = 18.6, 18.8  # Sunday noon, after a day of set-back
    outdoor = np.full(96, 4.0)
    noon = MONDAY - timedelta(hours=12)
    coldest, plan = 99.0, None
    for k in range(28 * 4):
        at = noon + timedelta(minutes=15 * k)
        due = occupancy_grid(hvac.zones["z"], "UTC", at, 96, 900.0)
        if k % 4 == 0:
            state = HvacState({"z": hall.air}, {"z": hall.mass})
            plan = plan_hvac(
                hvac, Tariff(), state, WeatherForecast(outdoor), {"z": due}, np.full(96, 0.2), at, 900.0
            )
        assert plan is not None
        step = [s for s in plan.zones["z"] if s.at <= at][-1]
        hall.quarter_hour(4.0, bool(due[0]), step.heating_setpoint_degc if step.enable else 5.0)
        if due[0]:
            coldest = min(coldest, hall.air)

    # Told when a hall that heats its air would be, it is 18 to 19 degC at seven.
    assert coldest > 20.5 - 0.3


def test_a_floors_thermostat_is_not_told_lower_before_the_air_is_there():
    zone = hvac_of(FLOOR | {"heating_droop_k": -0.4}).zones["z"]
    people = np.array([False, True, True])
    wanted = SetPoints(np.full(3, 20.5), np.full(3, 25.0))
    foreseen = PlannedAir(np.full(3, 0.5), np.array([19.8, 20.3, 20.9]), 19.6)

    told = sent(zone, wanted, people, foreseen).heating_degc

    assert told[:2].tolist() == [20.6, 20.6]
    assert told[2] == pytest.approx(20.1)


def test_a_kelvin_hour_over_a_floor_weighs_what_warms_the_floor():
    unit = hvac_of(None).units["u"]

    # 75 kW are 1.9 usual zones; 130 kWh/K at COP 1 are 6.5 times the 20 kWh of a usual one.
    assert comfort_weight(ZoneModel.model_validate(AIR), unit, 75.0) == pytest.approx(75 / 40)
    assert comfort_weight(ZoneModel.model_validate(FLOOR), unit, 75.0) == pytest.approx(6.5)


def test_floor_whose_hall_is_not_seen_starts_half_a_day_before_people_and_says_so():
    at = MONDAY - timedelta(hours=12)
    starts = {}
    for model in (FLOOR, AIR):
        hvac = hvac_of(model)
        people = {"z": occupancy_grid(hvac.zones["z"], "UTC", at, 96, 900.0)}
        forecast = WeatherForecast(np.full(96, 2.0))
        plan = plan_hvac(hvac, Tariff(), HvacState({"z": None}), forecast, people, np.full(96, 0.15), at)
        first = next(step for step in plan.zones["z"] if step.heating_setpoint_degc > 20.0)
        starts[model["slab_share"]] = first.at, plan.notes["z"]

    assert starts[1.0][0] == MONDAY - timedelta(hours=5)
    assert "a fixed start 12 h before people come" in starts[1.0][1]
    assert starts[0.0][0] == MONDAY + timedelta(hours=5)
    assert "a fixed start 2 h before people come" in starts[0.0][1]
