import numpy as np
import pytest

from agent.inference.naive import naive_robust
from tests.inference.load_plant import PER_DAY, STEP_S, kinds, plant

LIMITS = (0.0, 60.0)


def run(history, length=None):
    length = len(history) if length is None else length
    return naive_robust(history, kinds(length + PER_DAY), step_s=STEP_S, horizon=PER_DAY, limits=LIMITS)


def test_a_weekly_pattern_is_forecast_within_its_noise():
    history = plant(26)  # the 26th day is a Friday, so tomorrow is a Saturday at 10

    answer = run(history)

    assert np.abs(answer.quantiles[:, 1] - 10.0).mean() < 1.5
    assert answer.rule.split("/")[0] != "yesterday"


def test_the_band_covers_about_four_in_five():
    inside = []
    for seed in range(12):
        series = plant(30, seed)
        answer = run(series[: 29 * PER_DAY])
        truth = series[29 * PER_DAY :]
        inside.append((truth >= answer.quantiles[:, 0]) & (truth <= answer.quantiles[:, 2]))

    assert 0.70 <= np.mean(inside) <= 0.92


def test_a_level_shift_is_followed_by_the_next_hours():
    history = plant(28)
    history[-3:] += 8.0  # 28th day is a Sunday: from 10 to 18 in the last three hours

    answer = run(history)

    plain = run(plant(28))
    assert answer.quantiles[0, 1] - plain.quantiles[0, 1] > 0 or answer.rule.endswith("/0h")


@pytest.mark.parametrize("hours", [0, 1, 3, 7, 25, 50, 80, 200])
def test_any_length_of_history_gives_finite_ordered_quantiles(hours):
    answer = run(plant(10)[:hours])

    assert np.isfinite(answer.quantiles).all()
    assert (np.diff(answer.quantiles, axis=1) >= 0).all()
    assert answer.quantiles.min() >= LIMITS[0]
    assert answer.quantiles.max() <= LIMITS[1]


def test_no_history_at_all_answers_with_the_physical_range():
    answer = run(np.full(200, np.nan))

    # 10 % and 90 % of 0..60
    assert answer.rule == "no_history"
    assert answer.quantiles[5].tolist() == [6.0, 30.0, 54.0]


def test_a_cold_start_has_a_wide_band():
    answer = run(np.full(6, 20.0))

    assert answer.rule == "cold_start"
    # At least 35 % of the level each way a day ahead: 20 -> 13..27.
    assert answer.quantiles[-1, 2] - answer.quantiles[-1, 0] > 13.0


@pytest.mark.parametrize("fault", ["random", "week", "last_day", "infinite"])
def test_gaps_never_reach_the_forecast(fault):
    history = plant(28)
    if fault == "random":
        history[np.random.default_rng(0).random(len(history)) < 0.1] = np.nan
    elif fault == "week":
        history[10 * PER_DAY : 17 * PER_DAY] = np.nan
    elif fault == "last_day":
        history[-PER_DAY:] = np.nan
    else:
        history[-5:] = np.inf

    answer = run(history)

    assert np.isfinite(answer.quantiles).all()
    # Tomorrow is a Monday: night 10, day 30.
    assert abs(answer.quantiles[2, 1] - 10.0) < 4.0
    assert abs(answer.quantiles[12, 1] - 30.0) < 8.0


def test_a_value_after_the_origin_cannot_matter():
    series = plant(30)
    spiked = series.copy()
    spiked[28 * PER_DAY :] = 1e6

    before = run(series[: 28 * PER_DAY])
    after = run(spiked[: 28 * PER_DAY])

    assert np.array_equal(before.quantiles, after.quantiles)


@pytest.mark.parametrize(
    ("days", "horizon", "gaps", "expected"),
    [
        (
            30,
            24,
            False,
            [[8.921988989, 10.040987609, 11.423053146], [28.093435507, 29.38296975, 30.922090694]],
        ),
        (
            30,
            60,
            False,
            [[8.920292258, 10.041262994, 11.428733097], [28.091738777, 29.383245135, 30.927770645]],
        ),
        (12, 24, True, [[7.846051662, 9.076554409, 10.963581488], [8.608383784, 9.78073108, 11.529346357]]),
    ],
)
def test_the_answer_is_that_of_the_plain_rule_by_rule_calculation(days, horizon, gaps, expected):
    # The figures come from a version that worked out each rule at each origin and each step's pool by itself.
    history = plant(days)
    if gaps:
        history[np.random.default_rng(0).random(len(history)) < 0.1] = np.nan

    answer = naive_robust(
        history, kinds(len(history) + horizon), step_s=STEP_S, horizon=horizon, limits=LIMITS
    )

    assert answer.rule == "same_day_type/0h"
    assert answer.quantiles[[0, 12]] == pytest.approx(np.array(expected), abs=1e-8)
