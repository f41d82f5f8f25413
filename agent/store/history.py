"""What the site measured, as one-minute means: the memory of forecasts and of the page."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.domain import Quality, Reading, Snapshot
from agent.log import get_logger
from agent.store.database import Database, NoRoomError

log = get_logger(__name__)

# By tag first: a forecast reads weeks of one tag, and that must not walk over all the others.
_SCHEMA = """
CREATE TABLE tag (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE minute_mean (
    tag INTEGER NOT NULL, minute INTEGER NOT NULL, mean REAL NOT NULL,
    min_quality INTEGER NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (tag, minute)
) WITHOUT ROWID
"""
# A minute may come in two parts: a restart, or a clock that stepped back.
_MERGE = """
INSERT INTO minute_mean VALUES (?, ?, ?, ?, ?) ON CONFLICT (tag, minute) DO UPDATE SET
    mean = (mean * count + excluded.mean * excluded.count) / (count + excluded.count),
    min_quality = min(min_quality, excluded.min_quality), count = count + excluded.count
"""
_REPLACE = "INSERT OR REPLACE INTO minute_mean VALUES (?, ?, ?, ?, ?)"
_PURGE_EVERY_MIN = 60


class Grid(NamedTuple):
    """`values[i]` is the mean over [start_at + i*step_s, start_at + (i+1)*step_s), NaN where nothing is known."""

    start_at: datetime
    step_s: int
    values: NDArray[np.float64]


class MinuteMean(NamedTuple):
    """Mean of the usable readings of one minute, the lowest quality among them, and how many they were."""

    mean: float
    min_quality: Quality
    samples: int


class History:
    """Give `":memory:"` as path for a simulation."""

    def __init__(self, path: Path | str, keep_days: int) -> None:
        """Open the file, or begin it. Raises StoreError where that is impossible."""
        self._database = Database(path, schema=_SCHEMA, version=1, synchronous="NORMAL")
        self._keep_min = keep_days * 1440
        self._minute: int | None = None
        self._pending: list[Mapping[str, Reading]] = []
        self._next_purge_min = 0
        self._paused = False
        self.lost_minutes = 0
        self._ids = self._read_ids()

    def record(self, snapshot: Snapshot) -> None:
        """Take a tick's readings in; a minute is written once the next one begins."""
        minute = _minute_of(snapshot.at)
        if minute != self._minute:
            self.flush()
            self._minute = minute
        self._pending.append(snapshot.readings)

    def flush(self) -> None:
        """Write the minute that is under way, without waiting for its end."""
        if self._minute is None or not self._pending:
            return
        minute, pending, self._pending = self._minute, self._pending, []
        means = minute_means(pending)
        self._write([(tag, minute, *mean) for tag, mean in means.items()], _MERGE)
        if minute >= self._next_purge_min:
            self._next_purge_min = minute + _PURGE_EVERY_MIN
            self.purge(datetime.fromtimestamp(minute * 60, UTC))

    def load(self, rows: Iterable[tuple[datetime, str, float | None]]) -> int:
        """Append readings of the past, in any order, as `(at, tag, value)`; number of minutes written.

        None and NaN are gaps. A minute that stands there already is replaced, so a file may be loaded twice.
        """
        sums: dict[tuple[str, int], tuple[float, int]] = {}
        for at, tag, value in rows:
            if value is None or not isfinite(value):
                continue
            key = (tag, _minute_of(at))
            total, count = sums.get(key, (0.0, 0))
            sums[key] = (total + value, count + 1)
        written = [
            (tag, minute, total / count, Quality.GOOD, count)
            for (tag, minute), (total, count) in sorted(sums.items())
        ]
        return self._write(written, _REPLACE)

    def series(self, tag: str, from_at: datetime, to_at: datetime, step_s: int = 60) -> Grid:
        """The tag from `from_at` (down to a whole step) until before `to_at`.

        Each minute counts alike within a step. The minute under way is not in it. A tag never seen
        is all NaN. Raises ValueError unless `step_s` is whole minutes that divide a day.
        """
        return grid_of(
            lambda sql, span: self._database.read(
                lambda connection: connection.execute(sql, span).fetchall(), []
            ),
            self._ids.get(tag),
            from_at,
            to_at,
            step_s,
        )

    def minute(self, tag: str, at: datetime) -> MinuteMean | None:
        """What is known of the minute that holds `at`."""
        row = self._database.run(
            lambda connection: connection.execute(
                "SELECT mean, min_quality, count FROM minute_mean WHERE tag = ? AND minute = ?",
                (self._ids.get(tag), _minute_of(at)),
            ).fetchone()
        )
        return None if row is None else MinuteMean(row[0], Quality(row[1]), row[2])

    def span(self) -> tuple[datetime, datetime] | None:
        """Start of the first and end of the last minute known; None when there is none."""
        first, last = self._database.run(
            lambda connection: connection.execute(
                "SELECT min(minute), max(minute) FROM minute_mean"
            ).fetchone()
        )
        if first is None:
            return None
        return datetime.fromtimestamp(first * 60, UTC), datetime.fromtimestamp(last * 60 + 60, UTC)

    def tags(self) -> tuple[str, ...]:
        """Every tag that was ever known."""
        return tuple(sorted(self._ids))

    def purge(self, now: datetime) -> int:
        """Forget what is older than the days kept; number of rows forgotten."""
        oldest = _minute_of(now) - self._keep_min

        def work(connection: sqlite3.Connection) -> int:
            ends = [(tag_id, oldest) for tag_id in self._ids.values()]
            return connection.executemany(
                "DELETE FROM minute_mean WHERE tag = ? AND minute < ?", ends
            ).rowcount

        try:
            return self._database.run(work)
        except NoRoomError:
            return 0

    def close(self) -> None:
        """Write what is under way and close the file."""
        self.flush()
        self._database.close()

    def _read_ids(self) -> dict[str, int]:
        return dict(self._database.run(lambda c: c.execute("SELECT name, id FROM tag").fetchall()))

    def _write(self, rows: list[tuple[str, int, float, Quality, int]], statement: str) -> int:
        """Minute means `(tag, minute, mean, quality, count)` in one commit; 0 when there is no room."""

        def work(connection: sqlite3.Connection) -> int:
            # Read within the transaction: a file that was begun anew has its own numbers.
            ids = dict(connection.execute("SELECT name, id FROM tag").fetchall())
            for tag in sorted({row[0] for row in rows} - ids.keys()):
                ids[tag] = connection.execute("INSERT INTO tag (name) VALUES (?)", (tag,)).lastrowid or 0
            connection.executemany(
                statement, [(ids[tag], minute, mean, int(q), n) for tag, minute, mean, q, n in rows]
            )
            self._ids = ids
            return len(rows)

        if not rows:
            return 0
        try:
            if not self._database.has_room():
                raise NoRoomError("the disk's reserve is reached")
            written = self._database.run(work)
        except NoRoomError as error:
            self.lost_minutes += 1
            if not self._paused:
                log.warning("history_paused", reason=str(error))
            self._paused = True
            self._ids = self._read_ids()
            return 0
        if self._paused:
            log.info("history_resumed", lost_minutes=self.lost_minutes)
            self._paused = False
        return written


Rows = Callable[[str, tuple[int, int, int]], list[tuple[float, ...]]]


def grid_of(rows: Rows, tag_id: int | None, from_at: datetime, to_at: datetime, step_s: int) -> Grid:
    """The grid of `History.series` from whoever can run its query; all NaN for a tag without id."""
    if step_s < 60 or step_s % 60 or 86_400 % step_s:
        raise ValueError(f"step_s must be whole minutes that divide a day, got {step_s}")
    step_min = step_s // 60
    first = int(from_at.timestamp() // step_s)
    length = max(0, -int(-to_at.timestamp() // step_s) - first)
    start_at = datetime.fromtimestamp(first * step_s, UTC)
    values = np.full(length, np.nan)
    if tag_id is None or length == 0:
        return Grid(start_at, step_s, values)
    # Minutes at or after `to_at` stay out even where they fall into the last step.
    span = (tag_id, first * step_min, min((first + length) * step_min, -int(-to_at.timestamp() // 60)))
    found = rows("SELECT minute, mean FROM minute_mean WHERE tag = ? AND minute >= ? AND minute < ?", span)
    if found:
        minute, mean = np.array(found, dtype=np.float64).T
        slot = (minute // step_min).astype(np.int64) - first
        count = np.bincount(slot, minlength=length)
        np.divide(np.bincount(slot, weights=mean, minlength=length), count, out=values, where=count > 0)
    return Grid(start_at, step_s, values)


def minute_means(ticks: Iterable[Mapping[str, Reading]]) -> dict[str, MinuteMean]:
    """Mean of every tag over the ticks of a minute, of readings that control might use; others leave a gap."""
    columns: dict[str, list[tuple[float, Quality]]] = {}
    for readings in ticks:
        for tag, (value, quality, _) in readings.items():
            if value is not None and quality >= Quality.UNCERTAIN and isfinite(value):
                columns.setdefault(tag, []).append((value, quality))
    return {
        tag: MinuteMean(sum(value for value, _ in pairs) / len(pairs), min(q for _, q in pairs), len(pairs))
        for tag, pairs in columns.items()
    }


def _minute_of(at: datetime) -> int:
    return int((at - _EPOCH) // _MINUTE)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE = timedelta(minutes=1)
