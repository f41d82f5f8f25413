from __future__ import annotations

import sqlite3
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent.errors import StoreError
from agent.store.database import Database, NoRoomError
from agent.store.ledger import Ledger

AT = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)
SCHEMA = "CREATE TABLE t (x BLOB)"


def opened(path: Path | str, version: int = 1, max_bytes: int | None = None) -> Database:
    return Database(path, schema=SCHEMA, version=version, synchronous="NORMAL", max_bytes=max_bytes)


def count(database: Database) -> int:
    return database.run(lambda c: c.execute("SELECT count(*) FROM t").fetchone()[0])


def add(database: Database, size: int = 10) -> None:
    database.run(lambda c: c.execute("INSERT INTO t VALUES (randomblob(?))", (size,)))


def test_a_file_that_is_no_database_is_set_aside_and_a_new_one_begun(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"not a database, whatever its name says" * 500)

    database = opened(path)
    add(database)

    assert count(database) == 1
    (kept,) = tmp_path.glob("a.db.corrupt-*Z")
    assert kept.read_bytes().startswith(b"not a database")
    assert database.set_aside == str(kept)
    database.close()


def test_a_second_broken_file_of_the_same_second_gets_its_own_name(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    for _ in range(2):
        path.write_bytes(b"x" * 5000)
        opened(path).close()

    kept = list(tmp_path.glob("a.db.corrupt-*"))

    assert len(kept) == 2


def test_pages_overwritten_while_open_end_in_a_new_file_not_in_an_error(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    database = opened(path)
    for _ in range(50):
        add(database, 2000)
    database.run(lambda c: None)
    database._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 10)
    # The pages stand in this connection's cache; a small cache makes it read the disk.
    database._connection.execute("PRAGMA shrink_memory")
    database._connection.execute("PRAGMA cache_size=1")

    add(database)

    assert count(database) == 1
    assert len(list(tmp_path.glob("a.db.corrupt-*Z"))) == 1
    database.close()


def test_a_file_of_another_version_is_kept_beside_the_new_one(tmp_path: Path) -> None:
    newer = opened(tmp_path / "a.db", version=2)
    add(newer)
    newer.close()

    older = opened(tmp_path / "a.db", version=1)

    assert count(older) == 0
    (kept,) = tmp_path.glob("a.db.version-2-*Z")
    with sqlite3.connect(kept) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (1,)
    connection.close()
    older.close()


def test_a_second_writer_is_refused_until_the_first_has_closed(tmp_path: Path) -> None:
    first = opened(tmp_path / "a.db")

    with pytest.raises(StoreError, match="in use by another agent"):
        opened(tmp_path / "a.db")
    first.close()

    opened(tmp_path / "a.db").close()


def test_a_place_that_cannot_be_written_is_named_with_a_fix(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StoreError) as refused:
        opened(tmp_path / "file" / "a.db")

    assert refused.value.where == str(tmp_path / "file" / "a.db")
    assert "writable" in refused.value.fix


@pytest.mark.parametrize("place", ["file", "memory"])
def test_the_size_cap_raises_and_keeps_what_was_there(tmp_path: Path, place: str) -> None:
    database = opened(tmp_path / "a.db" if place == "file" else ":memory:", max_bytes=20 * 4096)
    for _ in range(10):
        add(database, 1000)

    with pytest.raises(NoRoomError):
        add(database, 200_000)

    assert count(database) == 10
    database.close()


def test_a_transaction_that_fails_leaves_nothing(tmp_path: Path) -> None:
    database = opened(tmp_path / "a.db")

    def half(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        raise KeyError("half way")

    with pytest.raises(KeyError):
        database.run(half)

    assert count(database) == 0
    database.close()


def test_a_broken_ledger_begins_a_new_chain(tmp_path: Path) -> None:
    (tmp_path / "ledger.db").write_bytes(b"\0" * 9000)

    ledger = Ledger(tmp_path / "ledger.db")
    seq = ledger.append("plan", AT, {})

    assert seq == 1
    assert ledger.verify().ok
    ledger.close()
