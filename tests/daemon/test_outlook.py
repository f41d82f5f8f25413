"""The station's memory of its demand."""

from datetime import UTC, datetime, timedelta

import numpy as np

from agent.daemon.outlook import DemandHistory

START = datetime(2026, 1, 1, tzinfo=UTC)


def after(days: float) -> tuple[DemandHistory, datetime]:
    """Ten quarter hours of 10 m3/min, silence for `days`, then one quarter hour of 20."""
    history, late = DemandHistory(), START + timedelta(days=days)
    history.load(START, [10.0] * 10)
    history.add(late.timestamp(), 20.0)
    history.add(late.timestamp() + 900, 21.0)
    return history, late


def test_gap_is_kept_as_unknown_quarter_hours():
    history, late = after(1)

    series = history.series()

    # A day has 96 quarter hours; ten are known, then 86 are not.
    assert series.first_at == START
    assert series.end_at == late + timedelta(minutes=15)
    assert np.isnan(series.values[10:96]).all()
    assert series.values[96] == 20.0


def test_history_begins_anew_behind_a_gap_longer_than_it_keeps():
    history, late = after(90)

    series = history.series()

    assert series.first_at == late
    assert list(series.values) == [20.0]
