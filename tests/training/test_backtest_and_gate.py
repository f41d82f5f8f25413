from dataclasses import replace

import numpy as np
import pytest

from agent.errors import DataError
from tests.training.plants import frame
from training import metrics
from training.backtest import run_backtest, score
from training.dataset import Frame
from training.gate import judge
from training.origins import Plan, default_origins

END_ROW = 34 * 24


def plan(data, **changes):
    origins = default_origins(data, horizon=24, train_end_row=END_ROW, target="load", count=8)
    return replace(Plan("load", 24, ("temp",), "UTC", END_ROW, origins, quick=True), **changes)


def test_a_future_spike_changes_no_forecast_made_before_it():
    data = frame(50)
    here = plan(data)
    cut = here.origins[2]  # the last origins come more than a week after it
    spiked = data.columns["load"].copy()
    spiked[cut:] += 500.0
    dirty = Frame(data.first_at, data.step_s, {**data.columns, "load": spiked})
    models = ("daily", "weekly", "naive", "lgbm", "ensemble")
    # The same limits for both: the default would be taken from the training span, which is equal anyway.
    clean_results = run_backtest(data, replace(here, limits=(0.0, 100.0)), models)
    dirty_results = run_backtest(dirty, replace(here, limits=(0.0, 100.0)), models)

    for clean, other in zip(clean_results, dirty_results, strict=True):
        assert np.array_equal(clean.quantiles[:3], other.quantiles[:3]), clean.model
        assert not np.array_equal(clean.quantiles[3:], other.quantiles[3:]), clean.model


def test_the_learned_forecast_beats_the_seasonal_ones_where_weather_matters():
    data = frame(42)

    scores = score(data, plan(data), run_backtest(data, plan(data), ("daily", "weekly", "ensemble")))

    assert scores["ensemble"]["pinball"] < min(scores["daily"]["pinball"], scores["weekly"]["pinball"])


def test_statistical_references_run_on_gaps():
    data = frame(36, missing=0.05)
    here = plan(data, origins=(34 * 24,))

    results = run_backtest(data, here, ("mstl", "autoets"))

    assert all(np.isfinite(result.quantiles).all() for result in results)


def test_an_unknown_model_is_named_with_the_known_ones():
    data = frame(40)

    with pytest.raises(DataError) as error:
        run_backtest(data, plan(data), ("oracle",))

    assert "oracle" in error.value.what
    assert "ensemble" in error.value.fix


def test_pinball_wql_and_coverage_by_hand():
    truth = np.array([[10.0, np.nan]])
    quantiles = np.array([[[8.0, 9.0, 9.5], [0.0, 0.0, 0.0]]])

    # 0.1 * 2 = 0.2, 0.5 * 1 = 0.5, 0.9 * 0.5 = 0.45: mean 0.38333; WQL = 2 * 0.38333 / 10
    assert metrics.pinball(truth, quantiles) == pytest.approx(1.15 / 3)
    assert metrics.wql(truth, quantiles) == pytest.approx(2 * 1.15 / 30)
    assert metrics.coverage(truth, quantiles) == 0.0
    assert metrics.bias(truth, quantiles) == pytest.approx(-1.0)


def forecasts(half, noise=0.0, n=40, seed=0):
    rng = np.random.default_rng(seed)
    truth = 20 + rng.normal(0, 1, (n, 24))
    centre = 20 + rng.normal(0, noise, (n, 24)) if noise else np.full((n, 24), 20.0)
    return truth, np.stack([centre - half, centre, centre + half], axis=2)


def test_a_better_challenger_is_published():
    truth, challenger = forecasts(1.28)
    _, naive = forecasts(1.28, noise=1.5)

    verdict = judge(truth, challenger, naive, None)

    assert verdict.publish
    assert verdict.reasons == ()
    assert verdict.numbers["ratio_naive_upper"] < 1.0


def test_a_challenger_no_better_than_the_naive_rule_is_refused_with_the_figure():
    truth, challenger = forecasts(1.28)

    verdict = judge(truth, challenger, challenger, None)

    assert not verdict.publish
    assert verdict.reasons == ("pinball is 1.000 of the naive's, 0.97 or less needed",)


def test_a_challenger_no_better_than_the_model_in_force_is_refused():
    truth, challenger = forecasts(1.28)
    _, naive = forecasts(1.28, noise=1.5)

    verdict = judge(truth, challenger, naive, challenger)

    assert verdict.reasons == ("pinball is 1.000 of the champion's, 0.98 or less needed",)


def test_a_band_that_hardly_covers_is_refused():
    truth, challenger = forecasts(0.5)
    _, naive = forecasts(1.28, noise=3.0)

    verdict = judge(truth, challenger, naive, None)

    assert any("band covers" in reason for reason in verdict.reasons)


def test_too_few_origins_and_too_big_a_file_are_refused():
    truth, challenger = forecasts(1.28, n=10)
    _, naive = forecasts(1.28, noise=3.0, n=10)

    verdict = judge(truth, challenger, naive, None, model_bytes=9_000_000)

    assert verdict.reasons == ("10 origins, 20 needed", "the file has 9000000 bytes, at most 2097152 wanted")
