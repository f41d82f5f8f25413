"""What stands in an agent's history and ledger, read beside the running agent: nothing is locked, nothing is written."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from agent.errors import StoreError
from agent.store.history import Grid, grid_of
from agent.store.ledger import Entry, entry_of


class HistoryReader:
    """Series of `history.db`, as `History.series` gives them. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the file for reading. Raises StoreError where there is none or it is no history."""
        self.path = path
        self._connection = _opened(path, "tag", "history")
        try:
            self._ids: dict[str, int] = dict(self._connection.execute("SELECT name, id FROM tag").fetchall())
        except sqlite3.DatabaseError as error:
            raise unreadable("history", path, error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def series(self, tag: str, from_at: datetime, to_at: datetime, step_s: int = 60) -> Grid:
        """The tag from `from_at` (down to a whole step) until before `to_at`; NaN where nothing is known."""
        return grid_of(
            lambda sql, span: self._connection.execute(sql, span).fetchall(),
            self._ids.get(tag),
            from_at,
            to_at,
            step_s,
        )

    def span(self) -> tuple[datetime, datetime] | None:
        """Start of the first and end of the last minute known; None when there is none."""
        first, last = self._connection.execute("SELECT min(minute), max(minute) FROM minute_mean").fetchone()
        if first is None:
            return None
        return datetime.fromtimestamp(first * 60, UTC), datetime.fromtimestamp(last * 60 + 60, UTC)

    def knows(self, tag: str) -> bool:
        """Whether the tag was ever recorded."""
        return tag in self._ids


class LedgerReader:
    """Rows of `ledger.db`, newest first. Use as a context manager."""

    # Rows of one kind that are looked through for the one that fits: weeks of plans.
    _LOOK_BACK = 2000

    def __init__(self, path: Path) -> None:
        """Open the file for reading. Raises StoreError where there is none or it is no ledger."""
        self.path = path
        self._connection = _opened(path, "entry", "ledger")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def last(self, kind: str, fits: Callable[[Entry], bool] = lambda _entry: True) -> Entry | None:
        """The newest row of that kind that fits, among the newest 2000 of the kind."""
        rows = self._connection.execute(
            "SELECT * FROM entry WHERE kind = ? ORDER BY seq DESC LIMIT ?", (kind, self._LOOK_BACK)
        )
        return next((entry for entry in map(entry_of, rows) if fits(entry)), None)

    def newest(self, kinds: Iterable[str], limit: int) -> list[Entry]:
        """The newest rows of these kinds."""
        wanted = sorted(kinds)
        marks = ", ".join("?" * len(wanted))
        rows = self._connection.execute(
            f"SELECT * FROM entry WHERE kind IN ({marks}) ORDER BY seq DESC LIMIT ?",  # noqa: S608 - marks only
            (*wanted, limit),
        )
        return [entry_of(row) for row in rows]


def _opened(path: Path, table: str, what: str) -> sqlite3.Connection:
    if not path.is_file():
        raise StoreError(
            f"there is no {what}",
            where=str(path),
            fix="name the state directory of an agent that has run: `trimload run SITE.toml` writes it",
        )
    try:
        return open_to_read(path, table)
    except sqlite3.DatabaseError as error:
        raise unreadable(what, path, error) from error


def unreadable(what: str, path: Path, error: sqlite3.Error) -> StoreError:
    """What to say of a file that is there and cannot be read."""
    return StoreError(
        f"the {what} cannot be read: {error}",
        where=str(path),
        fix="check the permissions, or name another state directory",
    )


def open_to_read(path: Path, table: str) -> sqlite3.Connection:
    """The database beside its writer. Raises sqlite3.DatabaseError where it has no such table."""
    uri = path.resolve().as_uri()
    try:
        return _usable(f"{uri}?mode=ro", table)
    except sqlite3.OperationalError:
        # A write-ahead log wants a shared-memory file beside it, which a directory that may only be read
        # does not allow. Without a log there is nothing that another process could be writing.
        if Path(f"{path}-wal").exists():
            raise
        return _usable(f"{uri}?immutable=1", table)


def _usable(uri: str, table: str) -> sqlite3.Connection:
    connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=5.0)
    try:
        with closing(connection.execute(f"SELECT 1 FROM {table} LIMIT 1")) as cursor:  # noqa: S608
            cursor.fetchone()
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection
