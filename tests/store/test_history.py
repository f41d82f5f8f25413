from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.domain import Quality, Reading, Snapshot
from agent.store import database
from agent.store.history import History, MinuteMean

START_AT = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


def tick(second: float, **values: float | None) -> Snapshot:
    at = START_AT + timedelta(seconds=second)
    return Snapshot(
        at, {tag: Reading(v, Quality.BAD if v is None else Quality.GOOD, at) for tag, v in values.items()}
    )


@pytest.fixture(params=["file", "memory"])
def history(request: pytest.FixtureRequest, tmp_path: Path):
    history = History(tmp_path / "history.db" if request.param == "file" else ":memory:", keep_days=7)
    yield history
    history.close()


def test_a_minute_is_stored_as_the_mean_of_its_usable_readings(history: History) -> None:
    for second, value in [(0, 6.0), (20, 7.0), (40, None), (60, 9.0)]:
        history.record(tick(second, pressure=value))

    grid = history.series("pressure", START_AT, START_AT + timedelta(minutes=2))

    # (6 + 7) / 2; the minute of second 60 is still under way.
    assert grid.start_at == START_AT
    np.testing.assert_array_equal(grid.values, [6.5, np.nan])
    assert history.minute("pressure", START_AT) == MinuteMean(6.5, Quality.GOOD, 2)


def test_the_lowest_quality_that_entered_the_mean_is_kept(history: History) -> None:
    at = START_AT
    history.record(Snapshot(at, {"p": Reading(6.0, Quality.GOOD, at)}))
    history.record(Snapshot(at, {"p": Reading(8.0, Quality.UNCERTAIN, at)}))
    history.record(Snapshot(at, {"p": Reading(99.0, Quality.STALE, at)}))

    history.flush()

    assert history.minute("p", at) == MinuteMean(7.0, Quality.UNCERTAIN, 2)


def test_a_minute_written_in_two_parts_is_their_weighted_mean(history: History) -> None:
    for second, value in [(0, 1.0), (1, 1.0), (2, 1.0)]:
        history.record(tick(second, p=value))
    history.flush()
    history.record(tick(30, p=5.0))

    history.flush()

    # (3 * 1 + 1 * 5) / 4
    assert history.minute("p", START_AT) == MinuteMean(2.0, Quality.GOOD, 4)


def test_longer_steps_average_minutes_alike_and_leave_gaps_as_nan(history: History) -> None:
    minutes = [(0, 1.0), (1, 2.0), (14, 6.0), (31, 8.0)]
    history.load((START_AT + timedelta(minutes=m), "flow", v) for m, v in minutes)

    grid = history.series("flow", START_AT + timedelta(minutes=3), START_AT + timedelta(minutes=45), 900)

    # from 06:03 goes down to 06:00: (1 + 2 + 6) / 3, nothing, 8
    assert (grid.start_at, grid.step_s) == (START_AT, 900)
    np.testing.assert_array_equal(grid.values, [3.0, np.nan, 8.0])


def test_the_future_of_to_at_stays_out_of_the_last_step(history: History) -> None:
    history.load([(START_AT, "p", 1.0), (START_AT + timedelta(minutes=10), "p", 100.0)])

    grid = history.series("p", START_AT, START_AT + timedelta(minutes=10), 900)

    np.testing.assert_array_equal(grid.values, [1.0])


def test_an_unknown_tag_is_all_gap(history: History) -> None:
    grid = history.series("nobody", START_AT, START_AT + timedelta(minutes=3))

    np.testing.assert_array_equal(grid.values, [np.nan] * 3)


@pytest.mark.parametrize("step_s", [0, 30, 90, 7 * 60 * 60])
def test_a_step_that_does_not_divide_a_day_is_refused(history: History, step_s: int) -> None:
    with pytest.raises(ValueError, match="step_s"):
        history.series("p", START_AT, START_AT, step_s)


def test_loading_a_file_twice_changes_nothing(history: History) -> None:
    rows = [(START_AT, "p", 2.0), (START_AT, "p", 4.0), (START_AT, "p", None), (START_AT, "p", float("nan"))]
    history.load(rows)

    written = history.load(rows)

    assert written == 1
    assert history.minute("p", START_AT) == MinuteMean(3.0, Quality.GOOD, 2)


def test_rows_older_than_the_days_kept_are_forgotten_while_recording(history: History) -> None:
    history.load(
        [(START_AT - timedelta(days=7, minutes=1), "p", 1.0), (START_AT - timedelta(days=6), "p", 2.0)]
    )

    history.record(tick(0, p=3.0))
    history.record(tick(60, p=3.0))

    assert history.span() == (START_AT - timedelta(days=6), START_AT + timedelta(minutes=1))


def test_history_survives_closing_and_opening(tmp_path: Path) -> None:
    first = History(tmp_path / "h.db", keep_days=7)
    first.record(tick(5, p=4.0))
    first.close()

    second = History(tmp_path / "h.db", keep_days=7)
    mean = second.minute("p", START_AT)
    second.close()

    assert mean == MinuteMean(4.0, Quality.GOOD, 1)


def test_recording_goes_on_without_a_word_lost_where_there_is_no_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = History(tmp_path / "h.db", keep_days=7)
    history.record(tick(0, p=1.0))
    # The reserve is raised above any disk: the guard sees a full one.
    history._database._reserve_bytes = 1 << 62
    history.record(tick(60, p=2.0))
    history._database._reserve_bytes = database.RESERVE_BYTES
    history.record(tick(120, p=3.0))

    grid = history.series("p", START_AT, START_AT + timedelta(minutes=2))
    history.close()

    np.testing.assert_array_equal(grid.values, [np.nan, 2.0])
    assert history.lost_minutes == 1
