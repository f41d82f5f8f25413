"""What a thermostat's swing may leave outside the band: a share of what people lived with, nought where it was comfortable."""

from __future__ import annotations

import numpy as np
import pytest

from agent.config.site import Zone, ZoneModel
from agent.planner.hvac_droop import PlannedAir
from agent.planner.hvac_ease import Ease, OutOfBand, ease_of, out_of_band
from agent.planner.hvac_schedule import SetPoints
from agent.planner.hvac_setpoints import sent

ZONE = Zone.model_validate({"unit": "u", "temp": "z.t", "comfort_low_degc": 20.0, "comfort_high_degc": 26.0})
# A swing of 0.5 K either way about 0.1 K below the set-point: 97 % of the looks are no more than 0.57 K below it.
MODEL = ZoneModel.model_validate(
    {"air_kwh_per_k": 3.0, "ua_kw_per_k": 1.0, "heating_droop_k": 0.57, "heating_swing_k": 0.47}
)
STILL = PlannedAir(np.full(4, 0.5), np.full(4, 20.0), 20.0)


def test_where_people_were_comfortable_nothing_is_left_outside_the_band():
    assert ease_of(MODEL, OutOfBand(0.0, 0.0), 0.2) == Ease(0.0, 0.0)
    assert ease_of(MODEL, OutOfBand(0.5, 0.5), 0.0) == Ease(0.0, 0.0)


@pytest.mark.parametrize("lived_with_k", [0.05, 0.2, 0.4])
def test_a_swing_passes_the_edge_by_the_share_that_is_asked_for(lived_with_k):
    ease = ease_of(MODEL, OutOfBand(lived_with_k, 0.0), 0.2)
    setpoint = 20.0 + MODEL.heating_droop_k - ease.heating_k
    air = setpoint - 0.1 + np.linspace(-0.5, 0.5, 10_001)

    assert np.maximum(20.0 - air, 0.0).mean() == pytest.approx(0.2 * lived_with_k, rel=0.02)


def test_the_air_is_out_of_the_band_half_of_the_time_at_most():
    ease = ease_of(MODEL, OutOfBand(3.0, 0.0), 0.5)

    # To the middle of the swing: 0.47 K less than the upper quantile.
    assert ease.heating_k == pytest.approx(0.47)


def test_set_points_never_pass_the_edge_of_the_band_and_nobody_in_changes_nothing():
    band = SetPoints(np.full(4, 20.0), np.full(4, 26.0))
    people = np.array([True, True, False, False])

    told = sent(ZONE, band, people, STILL, Ease(heating_k=0.3))
    least = sent(ZONE, band, people, STILL, Ease(heating_k=5.0))
    plain = sent(ZONE, band, people, STILL)
    unplanned = sent(ZONE, band, people, None, Ease(heating_k=5.0))

    assert told.heating_degc.tolist() == pytest.approx(
        [plain.heating_degc[0] - 0.1] * 2 + [plain.heating_degc[2]] * 2
    )
    assert (least.heating_degc >= 20.0).all()
    # Where nobody can plan, comfort has all of its droop.
    assert unplanned.heating_degc.tolist() == pytest.approx([20.1] * 4)


def test_what_people_lived_with_is_below_and_above_apart_and_unknown_for_less_than_twenty_hours():
    looks = np.full((100, 3), 20.5)
    looks[:50, 0] = 19.0
    looks[50:, 1] = 27.0
    looks[7] = np.nan
    people = np.ones(100, dtype=np.bool_)

    found = out_of_band(ZONE, looks, people)

    # One look of three 1 K below in 49 of 99 steps, 1 K above in 50.
    assert found.below_k == pytest.approx(49 / 99 / 3)
    assert found.above_k == pytest.approx(50 / 99 / 3)
    assert out_of_band(ZONE, looks, people & (np.arange(100) < 79)) is None
