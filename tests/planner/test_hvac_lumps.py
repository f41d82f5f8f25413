"""What a billing interval sees of a unit that turns down only so far, and set-points that give way about a peak."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from agent.config.site import Hvac, Unit, Zone
from agent.planner.hvac_case import HvacCase, follow, metered_kw, simulate, unit_case, zone_case
from agent.planner.hvac_lumps import LeastDraw, least_draws
from agent.planner.hvac_past import SitePast, UnitPast
from agent.planner.hvac_schedule import brought_forward, scheduled
from agent.planner.hvac_search import shaved

STEPS = 96
AT = datetime(2026, 3, 2, tzinfo=UTC)
HOURS = np.arange(STEPS) / 4.0
PEOPLE = (HOURS >= 6.0) & (HOURS < 18.0)
HEATER = Unit.model_validate({"device": "d", "heating_kw": 40.0, "heating_cop": 1.0, "cooling_kw": 0.0})
MODEL = {"air_kwh_per_k": 3.0, "mass_kwh_per_k": 30.0, "ua_kw_per_k": 0.4, "mass_ua_kw_per_k": 3.0}


def case_of(
    halls: int,
    *,
    demand_charge: float = 12.0,
    least_kw: float = 0.0,
    outdoor: float = 12.0,
    now: float = 18.5,
    model: Mapping[str, float] = MODEL,
) -> HvacCase:
    """Halls with electric heaters of 40 kW, people from 06:00 to 18:00, 20 degC wanted."""
    outdoor_degc, wanted = np.full(STEPS, outdoor), brought_forward(PEOPLE, 1)
    units = []
    for k in range(halls):
        zone = Zone.model_validate(
            {"unit": f"u{k}", "temp": f"z{k}.t", "comfort_low_degc": 20.0, "model": model}
        )
        hall = zone_case(
            f"z{k}",
            zone,
            air_degc=now,
            mass_degc=now,
            outdoor_degc=outdoor_degc,
            sun_w_m2=np.zeros(STEPS),
            occupied=PEOPLE,
            wanted=wanted,
            band=scheduled(zone, wanted),
            step_s=900.0,
        )
        units.append(unit_case(f"u{k}", HEATER, [hall], PEOPLE, outdoor_degc, (), LeastDraw(least_kw)))
    return HvacCase(
        tuple(units), outdoor_degc, np.full(STEPS, 0.15), np.zeros(STEPS), 0.25, demand_charge, 0.0, None
    )


def plain(case: HvacCase):
    return {z.name: scheduled(z.zone, z.wanted) for u in case.units for z in u.zones}


def past_of(looks_kw: np.ndarray, *, heats: bool = True) -> tuple[Hvac, SitePast, UnitPast]:
    """A hall with a heater whose power was looked at three times each quarter hour."""
    hvac = Hvac.model_validate(
        {
            "units": {"u": {"device": "d", "heating_kw": 40.0, "heating_cop": 1.0, "cooling_kw": 30.0}},
            "zones": {"z": {"unit": "u", "temp": "z.t"}},
        }
    )
    steps = looks_kw.size // 3
    air = np.full(steps, 20.0 if heats else 25.0)
    past = SitePast(
        outdoor_degc=np.zeros(steps),
        sun_w_m2=np.zeros(steps),
        temp_degc={"z": air},
        heating_set_degc={"z": np.full(steps, 20.0)},
        cooling_set_degc={"z": np.full(steps, 25.0)},
        occupied={"z": np.ones(steps)},
        power_kw={"u": looks_kw.reshape(-1, 3).mean(axis=1)},
        looks_kw={"u": looks_kw.reshape(-1, 3)},
    )
    return hvac, past, UnitPast({"z": np.zeros(steps)}, 2.0, 0.0, 30.0, 40.0)


def test_a_unit_that_turns_down_to_a_quarter_is_seen_to_draw_that_at_least():
    # Fan 2 kW; runs of 35 minutes, most at 10 kW and some at 30, with looks at either end that lie half in them.
    run = [2.0, 7.0, 12.0, 12.0, 12.0, 12.0, 12.0, 7.0, 2.0, 2.0]
    strong = [2.0, 17.0, 32.0, 32.0, 32.0, 32.0, 32.0, 17.0, 2.0, 2.0]
    hvac, past, unit = past_of(np.array((run * 4 + strong) * 6))

    seen = least_draws(hvac, past, {"u": unit})["u"]

    assert seen.heating_kw == pytest.approx(10.0)
    assert seen.cooling_kw == 0.0  # never seen: nothing is assumed


def test_a_unit_that_gives_any_output_is_seen_to_have_hardly_a_least():
    hvac, past, unit = past_of(2.0 + np.abs(15.0 * np.sin(np.arange(900) / 40.0)), heats=False)

    seen = least_draws(hvac, past, {"u": unit})["u"]

    assert seen.cooling_kw < 5.0


def test_without_looks_within_the_quarter_hours_nothing_is_assumed():
    hvac, past, unit = past_of(np.full(300, 12.0))

    assert least_draws(hvac, replace(past, looks_kw={}), {"u": unit}) == {}


def test_little_heat_of_a_unit_that_draws_ten_kilowatts_at_least_is_billed_as_ten():
    case = case_of(1, least_kw=10.0)
    course = follow(case, case.units[0], plain(case))
    gentle = (course.power_kw > 0.0) & (course.power_kw < 10.0)
    assert gentle.sum() > 20  # an afternoon's losses are a few kilowatts

    seen = metered_kw(case, {"u0": course})

    assert seen[gentle & PEOPLE] == pytest.approx(10.0)
    assert (seen[course.power_kw == 0.0] == 0.0).all()
    assert (seen >= course.power_kw).all()


def test_the_lumps_of_many_units_come_as_they_like_and_not_all_at_once():
    case = case_of(4, least_kw=10.0)
    courses = {u.name: follow(case, u, plain(case)) for u in case.units}
    one = courses["u0"].power_kw[60]  # in the afternoon, all alike

    seen = metered_kw(case, courses)[60]

    # 4 x the mean, and the root of the sum of four equal squares: twice one lump, not four times.
    assert seen == pytest.approx(4 * one + 2 * (10.0 - one))


def test_energy_is_paid_as_before_and_lumps_only_where_a_peak_is():
    lumpy, smooth = (simulate(c, plain(c)) for c in (case_of(2, least_kw=15.0), case_of(2)))
    free, same = (
        simulate(c, plain(c))
        for c in (case_of(2, demand_charge=0.0, least_kw=15.0), case_of(2, demand_charge=0.0))
    )

    assert free.energy_cost == pytest.approx(same.energy_cost)
    assert lumpy.energy_cost >= smooth.energy_cost


def test_moves_about_a_peak_never_cost_more_and_keep_set_points_apart():
    # Led up evenly from 16 degC at midnight, but for one quarter hour that asks for half a kelvin too much.
    case = case_of(1, outdoor=5.0, now=16.0)
    start = plain(case)
    start["z0"].heating_degc[:24] = np.linspace(16.2, 20.0, 24)
    start["z0"].heating_degc[11] += 0.5
    before = simulate(case, start)

    points, course = shaved(case, start, before)

    assert course.energy_cost < 0.9 * before.energy_cost
    assert course.discomfort_kh < 0.05
    assert simulate(case, points).cost == pytest.approx(course.cost)
    for zone in points.values():
        assert (zone.cooling_degc - zone.heating_degc >= 2.0 - 1e-9).all()
        assert zone.heating_degc.min() >= 15.0 - 1e-9


def test_no_move_is_made_below_the_peak_that_was_paid():
    case = replace(case_of(2, now=16.0), peak_so_far_kw=500.0)
    start = plain(case)
    before = simulate(case, start)

    points, course = shaved(case, start, before)

    assert points == start
    assert course is before


def test_storing_ahead_begins_with_the_thermostats_swing_and_holding_does_not():
    model = {**MODEL, "heating_droop_k": 0.2, "heating_swing_k": 0.25}
    case = case_of(1, outdoor=5.0, now=20.0, model=model)
    held = plain(case)
    stored = {"z0": replace(held["z0"], heating_degc=held["z0"].heating_degc.copy())}
    stored["z0"].heating_degc[48:60] += 0.6  # from noon on, with people in

    lumps = [follow(case, case.units[0], points).lump_kw for points in (held, stored)]

    assert (lumps[0][PEOPLE] == 0.0).all()
    # 0.45 K in an air of 3 kWh/K and its walls, within a quarter hour: at least 0.45 x 3 / 0.25 = 5.4 kW.
    assert 5.4 < lumps[1][48] < 8.0
    assert (lumps[1][49:60] == 0.0).all()


def test_a_run_that_goes_on_does_not_begin_anew_with_each_plan():
    model = {**MODEL, "heating_droop_k": 0.2, "heating_swing_k": 0.25}
    case = case_of(1, outdoor=5.0, now=20.6, model=model)
    unit = replace(case.units[0], people=np.ones(STEPS, dtype=np.bool_))
    points = plain(case)
    points["z0"].heating_degc[:] = 20.6  # stored already, as the plan before had it

    assert follow(case, unit, points).lump_kw[0] == 0.0
