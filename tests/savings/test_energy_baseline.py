"""The energy baseline on hand-worked numbers."""

from __future__ import annotations

import numpy as np
import pytest

from agent.savings.daily import Day
from agent.savings.energy_baseline import EnergyBaseline, fit, outside, saving
from agent.savings.figure import Saving, Unsupported
from tests.savings.minutes import day

# Anscombe's first set (1973) as hundreds of m3 and kWh: y = 3.0001 + 0.5001 x, R2 0.6665, s = 1.2366 of 11 points.
X = (10.0, 8.0, 13.0, 9.0, 11.0, 14.0, 6.0, 4.0, 12.0, 7.0, 5.0)
Y = (8.04, 6.95, 7.58, 8.81, 8.33, 9.96, 7.24, 4.26, 10.84, 4.82, 5.68)


def anscombe() -> list[Day]:
    """Two days apart, so that no two are neighbours and none resembles another."""
    return [day(2 * i, 100.0 * y, 100.0 * x) for i, (x, y) in enumerate(zip(X, Y, strict=True))]


def fitted(days: list[Day]) -> EnergyBaseline:
    model = fit(days)
    assert isinstance(model, EnergyBaseline)
    return model


def test_regression_gives_the_published_numbers_of_anscombes_first_set():
    model = fitted(anscombe())

    assert model.base_kwh_day == pytest.approx(300.01, abs=0.01)
    assert model.slope_kwh_m3 == pytest.approx(0.50009, abs=1e-5)
    assert model.r2 == pytest.approx(0.66654, abs=1e-5)
    assert model.sigma_kwh == pytest.approx(123.66, abs=0.01)
    # 123.66 of a mean of 750.09.
    assert model.cv_rmse == pytest.approx(0.16486, abs=1e-4)
    assert model.correlation == 0.0


def test_interval_of_one_later_day_is_the_textbooks_prediction_interval():
    model = fitted(anscombe())

    found = saving(model, [day(40, 700.0, 1000.0)])

    # At x = 10 the line gives 8.0010; s * sqrt(1 + 1/11 + (10 - 9)^2 / 110) = 1.2968, t(9; 0.975) = 2.2622.
    assert isinstance(found, Saving)
    assert found.baseline_kwh == pytest.approx(800.1, abs=0.1)
    assert found.saved_kwh == pytest.approx(100.1, abs=0.1)
    assert found.high_kwh - found.saved_kwh == pytest.approx(100.0 * 2.2622 * 1.2968, rel=1e-3)


def test_more_used_than_expected_is_a_negative_saving():
    model = fitted(anscombe())

    found = saving(model, [day(40, 1900.0, 1000.0)])

    assert isinstance(found, Saving)
    assert found.saved_kwh == pytest.approx(-1099.9, abs=0.1)
    assert found.share == pytest.approx(-1.3747, abs=1e-3)
    assert found.high_kwh < 0.0


def test_half_a_day_measured_is_half_a_days_base_load():
    model = fitted(anscombe())

    # 150 for half a day and 0.5 x 500.
    assert model.expected_kwh(day(40, 0.0, 500.0, hours=12.0)) == pytest.approx(400.05, abs=0.05)


def test_days_that_resemble_their_neighbours_widen_the_interval():
    # The same residuals, once shuffled, once in runs of five equal ones.
    rng = np.random.default_rng(1)
    air = rng.uniform(1000.0, 2000.0, 40)
    runs = np.repeat(rng.normal(0.0, 50.0, 8), 5)
    shuffled = rng.permutation(runs)

    def width(residuals: np.ndarray) -> float:
        model = fitted(
            [day(i, 200.0 + 0.1 * a + r, a) for i, (a, r) in enumerate(zip(air, residuals, strict=True))]
        )
        found = saving(model, [day(50 + i, 300.0, 1500.0) for i in range(20)])
        assert isinstance(found, Saving)
        return found.high_kwh - found.low_kwh

    assert width(runs) > 1.5 * width(shuffled)


def test_six_days_support_no_baseline():
    refused = fit(anscombe()[:6])

    assert isinstance(refused, Unsupported)
    assert "6 whole days" in refused.why


def test_days_with_gaps_do_not_count():
    days = [*anscombe()[:6], day(30, 500.0, 500.0, hours=20.0)]

    assert isinstance(fit(days), Unsupported)


def test_days_of_equal_air_cannot_tell_base_load_from_air():
    refused = fit([day(i, 500.0 + i, 1000.0 + i) for i in range(10)])

    assert isinstance(refused, Unsupported)
    assert "too much alike" in refused.why


def test_air_beyond_the_baselines_own_is_named():
    model = fitted(anscombe())

    # The baseline has seen 400 to 1400 m3 a day, and a tenth more on both sides.
    beyond = outside(
        model, [day(40, 1.0, 350.0), day(41, 1.0, 365.0), day(42, 1.0, 1500.0), day(43, 1.0, 1600.0)]
    )

    assert [d.air_m3 for d in beyond] == [350.0, 1600.0]
