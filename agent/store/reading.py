"""What stands in an agent's history, read beside the running agent: nothing is locked, nothing is written."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Self

from agent.errors import StoreError
from agent.store.history import Grid, grid_of


class HistoryReader:
    """Series of `history.db`, as `History.series` gives them. Use as a context manager."""

    def __init__(self, path: Path) -> None:
        """Open the file for reading. Raises StoreError where there is none or it is no history."""
        self.path = path
        if not path.is_file():
            raise StoreError(
                "there is no history",
                where=str(path),
                fix="name the state directory of an agent that has run: `trimload run SITE.toml` writes it",
            )
        try:
            self._connection = open_to_read(path, "tag")
            self._ids: dict[str, int] = dict(self._connection.execute("SELECT name, id FROM tag").fetchall())
        except sqlite3.DatabaseError as error:
            raise StoreError(
                f"the history cannot be read: {error}",
                where=str(path),
                fix="check the permissions, or name another state directory",
            ) from error

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
