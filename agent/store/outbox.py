"""Store and forward: what waits for the uplink, in order, until the far side says it has it.

A message is named by (epoch, seq). Every opening of the file begins a new epoch with seq 1: a cut
of power may take the last commits, and a number that was sent once must never come back with
another content. Within an epoch numbers have no holes but those that `oldest_seq` names.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from zlib import crc32

from agent.log import get_logger
from agent.store.database import RESERVE_BYTES, Database, NoRoomError

log = get_logger(__name__)

# SQLite does not check its pages: of 60 random overwrites integrity_check saw 8, a CRC per row 56.
_SCHEMA = """
CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT, epoch TEXT NOT NULL, seq INTEGER NOT NULL, topic TEXT NOT NULL,
    payload BLOB NOT NULL, at REAL NOT NULL, crc INTEGER NOT NULL, UNIQUE (epoch, seq)
);
CREATE TABLE quarantine AS SELECT * FROM message WHERE 0;
CREATE TABLE consumer (acknowledges INTEGER NOT NULL)
"""
_DROP_AT_ONCE = 64
_QUARANTINE_ROWS = 200


# id, epoch, seq, topic, payload, at, crc
_Row = tuple[int, str, int, str, bytes, float, int]


class Message(NamedTuple):
    """One message that waits. `id` orders all epochs; `oldest_seq` is the least seq of its epoch still here."""

    id: int
    epoch: str
    seq: int
    topic: str
    payload: bytes
    at: datetime
    oldest_seq: int


class Outbox:
    """Give `":memory:"` as path for a simulation."""

    def __init__(
        self, path: Path | str, max_bytes: int = 256 << 20, *, reserve_bytes: int = RESERVE_BYTES
    ) -> None:
        """Open the file, or begin it. Raises StoreError where that is impossible."""
        self.epoch = secrets.token_hex(4)
        self.dropped = 0
        self.refused = 0
        self.quarantined = 0
        self._seq = 0
        self._last_id = 0
        self._full = False
        self._paused = False
        self._database = Database(
            path,
            schema=_SCHEMA,
            version=1,
            synchronous="NORMAL",
            max_bytes=max_bytes,
            reserve_bytes=reserve_bytes,
        )
        self.acknowledged_end_to_end = self._database.run(
            lambda c: c.execute("SELECT 1 FROM consumer").fetchone() is not None
        )

    def expect_acks(self) -> None:
        """A consumer has acknowledged: from now on, and after a restart, only its word counts."""
        if self.acknowledged_end_to_end:
            return
        self.acknowledged_end_to_end = True
        try:
            self._database.run(lambda c: c.execute("INSERT INTO consumer VALUES (1)"))
        except NoRoomError as error:
            log.warning("acknowledgement_not_remembered", reason=str(error))

    @property
    def last_seq(self) -> int:
        """Number of the last message taken in this epoch, 0 before the first."""
        return self._seq

    def put(self, topic: str, payload: bytes, at: datetime) -> int | None:
        """Take a message in; its seq, or None when the disk's reserve is reached (counted in `refused`).

        At the size cap the oldest messages make room, counted in `dropped`.
        """
        seq = self._seq + 1
        stamp = at.timestamp()
        row = (self.epoch, seq, topic, payload, stamp, _crc(self.epoch, seq, topic, payload, stamp))

        def work(connection: sqlite3.Connection) -> int:
            # A file begun anew while we run would count ids from 1 again: whoever walks by id would miss them.
            used = connection.execute(
                "SELECT max(seq) FROM sqlite_sequence WHERE name = 'message'"
            ).fetchone()
            row_id = max(self._last_id, used[0] or 0) + 1
            connection.execute("INSERT INTO message VALUES (?, ?, ?, ?, ?, ?, ?)", (row_id, *row))
            return row_id

        while self._database.has_room():
            try:
                self._last_id = self._database.run(work)
            except NoRoomError:
                if self._drop_oldest() == 0:
                    break
                continue
            self._seq = seq
            if self._paused:
                log.info("outbox_resumed", refused=self.refused)
                self._paused = False
            return seq
        self.refused += 1
        if not self._paused:
            log.error("outbox_refuses", reason="no room on the disk")
            self._paused = True
        return None

    def batch(self, limit: int, *, after_id: int = 0) -> list[Message]:
        """The oldest messages after `after_id`, at most `limit`; damaged ones go to the quarantine."""
        found: list[Message] = []
        while len(found) < limit:
            last_id = found[-1].id if found else after_id
            more, damaged = self._select(last_id, limit - len(found))
            found += more
            if not damaged:
                break
            self._isolate(damaged)
        return found

    def newest(self, limit: int) -> list[Message]:
        """The latest messages of the running epoch, newest last: live data goes before the backlog."""
        rows: list[_Row] = self._database.read(
            lambda c: c.execute(
                "SELECT * FROM message WHERE epoch = ? ORDER BY id DESC LIMIT ?", (self.epoch, limit)
            ).fetchall(),
            [],
        )
        good, damaged = self._checked(rows)
        self._isolate(damaged)
        return good[::-1]

    def ack(self, up_to_seq: int, epoch: str | None = None) -> int:
        """The far side has everything of `epoch` (the running one) up to `up_to_seq`; number forgotten."""
        return self._delete("epoch = ? AND seq <= ?", (epoch or self.epoch, up_to_seq))

    def forget(self, ids: Sequence[int]) -> int:
        """These single messages arrived (a broker's PUBACK where nobody acknowledges end to end)."""
        if not ids:
            return 0
        return self._delete(f"id IN ({','.join('?' * len(ids))})", tuple(ids))

    def __len__(self) -> int:
        """Messages that wait."""
        return int(self._database.read(lambda c: c.execute("SELECT count(*) FROM message").fetchone()[0], 0))

    def close(self) -> None:
        """Close the file; what waits stays in it."""
        self._database.close()

    def _select(self, after_id: int, limit: int) -> tuple[list[Message], list[int]]:
        rows: list[_Row] = self._database.read(
            lambda c: c.execute(
                "SELECT * FROM message WHERE id > ? ORDER BY id LIMIT ?", (after_id, limit)
            ).fetchall(),
            [],
        )
        return self._checked(rows)

    def _checked(self, rows: list[_Row]) -> tuple[list[Message], list[int]]:
        epochs = {row[1] for row in rows}
        oldest: dict[str, int] = self._database.read(
            lambda c: {
                e: c.execute("SELECT min(seq) FROM message WHERE epoch = ?", (e,)).fetchone()[0]
                for e in epochs
            },
            {},
        )
        good: list[Message] = []
        damaged: list[int] = []
        for row_id, epoch, seq, topic, payload, at, crc in rows:
            if crc == _crc(epoch, seq, topic, payload, at):
                at_utc = datetime.fromtimestamp(at, UTC)
                good.append(Message(row_id, epoch, seq, topic, payload, at_utc, oldest.get(epoch, 1)))
            else:
                damaged.append(row_id)
        return good, damaged

    def _isolate(self, ids: Sequence[int]) -> None:
        if not ids:
            return
        holes = [(row_id,) for row_id in ids]

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("INSERT INTO quarantine SELECT * FROM message WHERE id = ?", holes)
            connection.executemany("DELETE FROM message WHERE id = ?", holes)
            connection.execute(
                "DELETE FROM quarantine WHERE rowid NOT IN (SELECT rowid FROM quarantine ORDER BY rowid DESC LIMIT ?)",
                (_QUARANTINE_ROWS,),
            )

        try:
            self._database.run(work)
        except NoRoomError:
            self._delete(f"id IN ({','.join('?' * len(ids))})", tuple(ids))
        self.quarantined += len(ids)
        log.error("messages_damaged", count=len(ids), first_id=ids[0])

    def _drop_oldest(self) -> int:
        dropped = self._delete(
            "id IN (SELECT id FROM message ORDER BY id LIMIT ?)",
            (_DROP_AT_ONCE,),
        )
        if dropped and not self._full:
            log.warning("outbox_full", dropped=dropped)
        self._full = self._full or dropped > 0
        self.dropped += dropped
        return dropped

    def _delete(self, condition: str, values: tuple[object, ...]) -> int:
        try:
            return self._database.run(
                lambda c: c.execute(f"DELETE FROM message WHERE {condition}", values).rowcount  # noqa: S608 - conditions of this file
            )
        except NoRoomError:
            return 0


def _crc(epoch: str, seq: int, topic: str, payload: object, at: object) -> int:
    # A damaged cell may come back as another type; then it is damaged, not a fault of ours.
    head = f"{epoch}\0{seq}\0{topic}\0{at!r}\0".encode(errors="replace")
    return crc32(payload, crc32(head)) if isinstance(payload, bytes) else -1
