"""Steps of set-points for the model's sake: inside the band, with people settled in, by lot, and over when they are over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from agent.config.site import Hvac
from agent.domain import HvacPlan, PlanStatus, ZoneStep
from agent.planner.hvac_excitation import excited
from agent.planner.hvac_identify import Refused, identify_zone
from agent.planner.hvac_model import next_temps, zone_step_model
from agent.planner.hvac_past import SitePast, unit_past

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)
MODEL = {"air_kwh_per_k": 3.0, "mass_kwh_per_k": 30.0, "ua_kw_per_k": 1.0, "mass_ua_kw_per_k": 4.0}
HOURS = [{"days": "mon-fri", "from": "06:00", "to": "18:00"}]


def hvac_of(*, hours=HOURS, **test: object) -> Hvac:
    unit = {"device": "r", "power": "r.power", "heating_kw": 40.0, "cooling_kw": 40.0, "heating_cop": 1.0}
    zone = {"unit": "u", "temp": "r.temp", "occupancy": hours, "model": MODEL}
    given = {"units": {"u": unit}, "zones": {"z": zone}}
    return Hvac.model_validate(given | ({"excitation": test} if test else {}), strict=False)


def plan_of(at: datetime, *, heating: float = 20.0, cooling: float = 25.0, hours=HOURS) -> HvacPlan:
    steps = [ZoneStep(at, heating, cooling, True, "comfort")]
    if hours:
        steps = [ZoneStep(at, 15.0, 30.0, True, "set-back")]
        steps += [ZoneStep(at + timedelta(hours=5), heating, cooling, True, "comfort")]
        steps += [ZoneStep(at + timedelta(hours=18), 15.0, 30.0, True, "set-back")]
    end = at + timedelta(hours=48)
    return HvacPlan("p", at, end, PlanStatus.GREEDY, {"z": tuple(steps)}, expected_degc={"z": (20.0,) * 96})


def pairs(plan: HvacPlan) -> np.ndarray:
    steps = [plan.step_at("z", plan.made_at + timedelta(minutes=15 * k)) for k in range(96)]
    return np.array([(s.heating_setpoint_degc, s.cooling_setpoint_degc) for s in steps])


@pytest.mark.parametrize("band", [(20.0, 25.0), (20.4, 22.6), (22.7, 24.8)])
def test_set_points_move_inside_the_band_with_people_settled_in_and_not_else(band):
    hvac = hvac_of(begin="2026-03-02", step_k=1.0)
    before = plan_of(MONDAY, heating=band[0], cooling=band[1])

    after = excited(before, hvac, "UTC")

    were, are = pairs(before), pairs(after)
    settled = slice(7 * 4, 18 * 4 - 1)
    assert (are[settled] != were[settled]).any()
    # An hour after people came until they go; the nights and the start ahead of them are as planned.
    for rest in (slice(0, 7 * 4), slice(18 * 4 - 1, 96)):
        assert are[rest].tolist() == were[rest].tolist()
    assert (are[settled, 0] >= were[settled, 0] - 1e-9).all()
    assert (are[settled, 1] <= were[settled, 1] + 1e-9).all()
    assert (are[settled, 1] - are[settled, 0] >= 2.0 - 1e-9).all()
    assert np.abs(np.diff(are[settled], axis=0)).max() <= 1.0 + 1e-9
    # Nobody expects of such a day what the plan expected.
    assert after.expected_degc == {}
    assert "excitation until 2026-03-07" in after.reasons[-1]


def test_it_begins_and_ends_by_itself():
    hvac = hvac_of(begin="2026-03-03", days=2)

    for day, moved in ((0, False), (1, True), (2, True), (3, False)):
        before = plan_of(MONDAY + timedelta(days=day))
        assert (pairs(excited(before, hvac, "UTC")) != pairs(before)).any() == moved
    assert excited(plan_of(MONDAY), hvac_of(), "UTC") == plan_of(MONDAY)


def lived(hvac: Hvac, days: int, *, test: bool) -> SitePast:
    """A hall that is comfortable day and night under an ideal thermostat, at 5 degC outdoors, give or take."""
    step = zone_step_model(hvac.zones["z"].model, 900.0)
    rng = np.random.default_rng(3)
    air, mass = 20.0, 20.0
    rows = []
    for day in range(days):
        plan = plan_of(MONDAY + timedelta(days=day), hours=None)
        wanted = pairs(excited(plan, hvac, "UTC") if test else plan)
        for k in range(96):
            outdoor = 5.0 + 4.0 * np.sin(2 * np.pi * k / 96) + 2.0 * np.sin(day)
            free, _ = next_temps(step, air, mass, outdoor, 0.0)
            heat = float(np.clip((wanted[k, 0] - free) / step.air_of_kw, 0.0, 40.0))
            air, mass = next_temps(step, air, mass, outdoor, heat)
            rows.append((air + 0.03 * rng.normal(), outdoor, heat, *wanted[k]))
    temp, out, heat, low, high = np.array(rows).T
    nothing = np.zeros(temp.size)
    return SitePast(out, nothing, {"z": temp}, {"z": low}, {"z": high}, {"z": nothing + 1.0}, {"u": heat})


def test_a_hall_held_still_is_refused_and_after_some_days_of_steps_has_a_model():
    hvac = hvac_of(hours=[], begin="2026-03-02", days=14, step_k=0.8)
    bare = hvac.model_copy(update={"zones": {"z": hvac.zones["z"].model_copy(update={"model": None})}})
    outcomes = {}
    for test in (False, True):
        past = lived(hvac, 10, test=test)
        outcomes[test] = identify_zone(bare, "z", past, unit_past(bare, "u", past))

    assert isinstance(outcomes[False], Refused)
    assert "[hvac.excitation]" in outcomes[False].reason
    found = outcomes[True]
    assert not isinstance(found, Refused)
    assert found.rmse_k["24h"] < 0.3
    assert found.model.ua_kw_per_k == pytest.approx(1.0, rel=0.3)
