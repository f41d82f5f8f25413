from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from agent.inference.record import KEEP_MOST, Record
from agent.inference.series import Series

FIRST_AT = datetime(2024, 1, 1, tzinfo=UTC)
QUARTER_S = 900


def band(middle, half=1.0):
    return np.tile([middle - half, middle, middle + half], (4, 1))


def at(quarters):
    return FIRST_AT + timedelta(seconds=QUARTER_S * quarters)


def test_one_forecast_an_hour_is_kept_and_never_more_than_fifteen_days_of_them():
    record = Record(QUARTER_S, 4)
    history = Series(FIRST_AT, QUARTER_S, np.full(96 * 20, 10.0))

    for quarter in range(96 * 18):
        record.add(at(quarter), band(10), band(10), band(10), None, None)

    assert record.version == 18 * 24
    assert len(record.past(history, at(96 * 18), of_model=False)) == KEEP_MOST == 15 * 24


def test_scores_compare_model_and_naive_on_the_truth_known_so_far():
    record = Record(QUARTER_S, 4)
    history = Series(FIRST_AT, QUARTER_S, np.array([10.0, 10.0, 99.0, 99.0]))
    record.add(at(0), band(10), band(12), band(12), band(10), band(10))

    scores = record.scores(history, at(2))

    # Two steps are known. Model: 0.1*1, 0, 0.1*1 a quantile. Naive, 2 too high: 11 -> 0.9*1, 12 -> 0.5*2, 13 -> 0.1*3.
    assert scores.judged == 1
    assert scores.pinball_model == pytest.approx(0.2 / 3)
    assert scores.pinball_naive == pytest.approx(2.2 / 3)
    assert scores.coverage == 1.0


def test_a_partial_score_is_replaced_when_the_whole_truth_is_in():
    record = Record(QUARTER_S, 4)
    history = Series(FIRST_AT, QUARTER_S, np.array([10.0, 10.0, 13.0, 13.0, 10.0]))
    record.add(at(0), band(10), band(10), band(10), None, None)

    early, late = record.scores(history, at(2)), record.scores(history, at(5))

    assert (early.coverage, late.coverage) == (1.0, 0.5)


def test_what_the_old_model_said_is_not_held_against_the_new_one():
    record = Record(QUARTER_S, 4)
    history = Series(FIRST_AT, QUARTER_S, np.full(8, 10.0))
    record.add(at(0), band(10), band(10), band(10), band(30), band(30))
    record.scores(history, at(8))

    record.forget_model()

    assert np.isnan(record.scores(history, at(8)).ratio)
    assert record.past(history, at(8), of_model=True) == []
