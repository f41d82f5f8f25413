"""The default under a meter's faults against naive_robust under the same ones: issued forecasts over three weeks."""

from datetime import timedelta

import numpy as np
import pytest

from agent.inference.calendar import calendar_columns, day_types
from agent.inference.forecaster import Forecaster, TargetSpec
from agent.inference.model import load_model
from agent.inference.naive import naive_robust
from agent.inference.series import Series, window
from tests.training.plants import frame
from training.fit import fit_target
from training.metrics import pinball

DAYS, TRAIN_DAYS, HORIZON, STEP_S = 85, 60, 24, 3600
LIMITS = (0.0, 60.0)


@pytest.fixture(scope="module")
def model():
    data = frame(TRAIN_DAYS)
    return load_model(
        fit_target(data, target="load", unit="kW", step_s=STEP_S, horizon=HORIZON, tz="UTC", seed=1, quick=True,
                   known=["temp"], limits=LIMITS)
    )  # fmt: skip


def faulty(fault, y, origin, rng):
    """What the gateway has seen at `origin`."""
    seen = y[:origin].copy()
    if fault == "tenth_missing":
        seen[rng.random(len(seen)) < 0.1] = np.nan
    elif fault == "week_gap":
        seen[-9 * 24 : -2 * 24] = np.nan
    elif fault == "last_day_missing":
        seen[-24:] = np.nan
    elif fault == "frozen_12_h":
        seen[-12:] = seen[-13]
    elif fault == "frozen_at_zero":
        seen[-24:] = 0.0
    elif fault == "clock_an_hour_off":
        seen[-7 * 24 :] = np.roll(seen, 1)[-7 * 24 :]
    return seen


@pytest.mark.parametrize(
    "fault",
    ["tenth_missing", "week_gap", "last_day_missing", "frozen_12_h", "frozen_at_zero", "clock_an_hour_off"],
)
def test_the_default_is_no_worse_than_the_naive_rule_under_the_same_fault(model, fault):
    data = frame(DAYS)
    y, temp = data.columns["load"], data.columns["temp"]
    forecaster = Forecaster(TargetSpec("load", "kW", STEP_S, HORIZON, "UTC", *LIMITS), model)
    rng = np.random.default_rng(3)
    issued, naive, truth = [], [], []
    for origin in range(TRAIN_DAYS * 24, (DAYS - 1) * 24, 17):
        at = data.first_at + timedelta(hours=origin)
        seen = Series(data.first_at, STEP_S, faulty(fault, y, origin, rng))
        known = Series(data.first_at, STEP_S, temp[: origin + HORIZON, None])
        cal = calendar_columns(at - timedelta(days=30), STEP_S, 30 * 24 + HORIZON, tz="UTC")

        issued.append(forecaster.forecast(seen, known, at).quantiles)
        plain = naive_robust(
            window(seen, at, 720), day_types(cal), step_s=STEP_S, horizon=HORIZON, limits=LIMITS
        )
        naive.append(plain.quantiles)
        truth.append(y[origin : origin + HORIZON])

    assert np.isfinite(issued).all()
    assert pinball(np.stack(truth), np.stack(issued)) <= 1.05 * pinball(np.stack(truth), np.stack(naive))
