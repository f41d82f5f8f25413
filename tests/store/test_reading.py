"""The history read beside the agent that writes it."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.errors import StoreError
from agent.store.history import History
from agent.store.reading import HistoryReader

START = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


def rows(count: int):
    return [(START + timedelta(minutes=i), "net.pressure", 6.0 + i) for i in range(count)]


def test_reader_sees_what_a_living_agent_has_written_and_locks_nothing(tmp_path: Path):
    with closing(History(tmp_path / "history.db", 30)) as history:
        history.load(rows(3))

        with HistoryReader(tmp_path / "history.db") as reader:
            seen = reader.series("net.pressure", START, START + timedelta(minutes=4)).values
            history.load([(START + timedelta(minutes=3), "net.pressure", 9.0)])
            later = reader.series("net.pressure", START, START + timedelta(minutes=4)).values

    np.testing.assert_array_equal(seen, [6.0, 7.0, 8.0, np.nan])
    np.testing.assert_array_equal(later, [6.0, 7.0, 8.0, 9.0])


def test_reader_gives_span_and_unknown_tags(tmp_path: Path):
    with closing(History(tmp_path / "history.db", 30)) as history:
        history.load(rows(3))

    with HistoryReader(tmp_path / "history.db") as reader:
        assert reader.span() == (START, START + timedelta(minutes=3))
        assert reader.knows("net.pressure")
        assert not reader.knows("net.flow")
        assert np.isnan(reader.series("net.flow", START, START + timedelta(minutes=1)).values).all()


def test_missing_history_is_named(tmp_path: Path):
    with pytest.raises(StoreError, match="there is no history"):
        HistoryReader(tmp_path / "history.db")


def test_file_that_is_no_history_is_named(tmp_path: Path):
    (tmp_path / "history.db").write_bytes(b"not a database, however long it may be" * 200)

    with pytest.raises(StoreError, match="cannot be read"):
        HistoryReader(tmp_path / "history.db")
