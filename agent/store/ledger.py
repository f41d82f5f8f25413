"""What the agent decided, wrote and was refused, and what came of it: append-only, hash-chained.

Each row carries sha256 of the row before and of its own content, and is on the disk before
`append` returns. The chain shows that a row was changed, taken out or put in between; that rows
were cut off at the end only shows against a `head` that somebody else has seen (the uplink sends it).
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from datetime import UTC, datetime
from enum import Enum
from itertools import groupby
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agent.log import get_logger
from agent.store.database import MEMORY, Database, NoRoomError

log = get_logger(__name__)

_SCHEMA = """
CREATE TABLE entry (
    seq INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, fields TEXT NOT NULL, hash TEXT NOT NULL
);
CREATE INDEX entry_kind ON entry (kind, seq);
CREATE TABLE anchor (seq INTEGER NOT NULL, hash TEXT NOT NULL);
INSERT INTO anchor VALUES (0, '')
"""
# Share of the rows that goes out to files when the size cap is reached.
_EXPORT_SHARE = 4


class Entry(NamedTuple):
    """One row as it stands. `fields` is JSON text, exactly as it was hashed."""

    seq: int
    at: datetime
    kind: str
    fields: str
    hash: str

    def values(self) -> dict[str, Any]:
        """`fields` read back."""
        values: dict[str, Any] = json.loads(self.fields)
        return values


class Head(NamedTuple):
    """End of a chain: number and hash of its last row."""

    seq: int
    hash: str


class Verdict(NamedTuple):
    """What a check of the chain found. `bad_seq` is the first row that does not fit."""

    ok: bool
    rows: int
    bad_seq: int | None = None
    reason: str = ""


class Ledger:
    """Give `":memory:"` as path for a simulation: the oldest part is then forgotten at the cap."""

    def __init__(self, path: Path | str, max_bytes: int = 64 << 20) -> None:
        """Open the file, or begin it. Raises StoreError where that is impossible."""
        # FULL: a row is on the disk before the command it speaks of goes out.
        self._database = Database(path, schema=_SCHEMA, version=1, synchronous="FULL", max_bytes=max_bytes)
        self._directory = None if self._database.path == MEMORY else Path(self._database.path).parent
        self._stem = Path(self._database.path).stem
        self._paused = False
        self.lost = 0
        self.head = self._database.run(_head)

    def append(self, kind: str, at: datetime, fields: Mapping[str, object]) -> int | None:
        """Add one row; its seq once it is on the disk, None when there was no room (counted in `lost`)."""
        appended = self.append_all([(kind, at, fields)])
        return appended[0] if appended else None

    def append_all(self, rows: Sequence[tuple[str, datetime, Mapping[str, object]]]) -> list[int]:
        """Add the rows `(kind, at, fields)` of one tick in one commit: all of them or none."""
        texts = [(kind, _stamp(at), canonical(fields)) for kind, at, fields in rows]

        def work(connection: sqlite3.Connection) -> Head:
            # From the file, not from memory: a file begun anew begins its own chain.
            head = _head(connection)
            for kind, at, text in texts:
                head = Head(head.seq + 1, link(head.hash, head.seq + 1, at, kind, text))
                connection.execute(
                    "INSERT INTO entry VALUES (?, ?, ?, ?, ?)", (head.seq, at, kind, text, head.hash)
                )
            return head

        if not rows:
            return []
        for attempt in (1, 2):
            try:
                self.head = self._database.run(work)
            except NoRoomError as error:
                if attempt == 2 or not self._export():
                    self._count_lost(len(rows), str(error))
                    return []
                continue
            break
        if self._paused:
            log.info("ledger_resumed", lost=self.lost)
            self._paused = False
        return list(range(self.head.seq - len(rows) + 1, self.head.seq + 1))

    def since(self, at: datetime, kind: str | None = None, *, limit: int = 10_000) -> list[Entry]:
        """Rows stamped `at` or later, oldest first; of the newest ones when there are more than `limit`."""
        rows = self._database.run(
            lambda c: c.execute(
                "SELECT * FROM entry WHERE at >= ? AND kind = coalesce(?, kind) ORDER BY seq DESC LIMIT ?",
                (_stamp(at), kind, limit),
            ).fetchall()
        )
        return [entry_of(row) for row in reversed(rows)]

    def after(self, seq: int, *, limit: int = 1000) -> list[Entry]:
        """Rows after number `seq`, oldest first."""
        rows = self._database.run(
            lambda c: c.execute(
                "SELECT * FROM entry WHERE seq > ? ORDER BY seq LIMIT ?", (seq, limit)
            ).fetchall()
        )
        return [entry_of(row) for row in rows]

    def verify(self) -> Verdict:
        """Check every row that the database holds, from the anchor that the exported part left."""
        anchor, rows = self._database.run(
            lambda c: (_anchor(c), c.execute("SELECT * FROM entry ORDER BY seq").fetchall())
        )
        verdict = check(map(entry_of, rows), anchor)
        if verdict.ok and self.head.seq != anchor.seq + verdict.rows:
            return Verdict(False, verdict.rows, anchor.seq + verdict.rows + 1, "rows are missing at the end")
        return verdict

    def exported(self) -> list[Path]:
        """Files of the part that went out, oldest first."""
        if self._directory is None:
            return []
        return sorted(self._directory.glob(f"{self._stem}-????-??-??.jsonl"))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _export(self) -> int:
        """Move the oldest rows to files named by their day; number of rows moved.

        Files are on the disk before the rows go. A kill in between leaves rows in both; they are
        not written twice.
        """
        anchor, rows = self._database.run(
            lambda c: (
                _anchor(c),
                c.execute(
                    "SELECT * FROM entry ORDER BY seq LIMIT (SELECT count(*) / ? + 1 FROM entry)",
                    (_EXPORT_SHARE,),
                ).fetchall(),
            )
        )
        entries = [entry_of(row) for row in rows]
        if not entries:
            return 0
        if self._directory is not None:
            before = anchor
            try:
                for day, of_day in groupby(entries, key=lambda entry: entry.at.date()):
                    part = list(of_day)
                    write_export(self._directory / f"{self._stem}-{day}.jsonl", part, before)
                    before = Head(part[-1].seq, part[-1].hash)
            except OSError as error:
                log.warning("ledger_export_failed", reason=str(error))
                return 0
        last = entries[-1]

        def work(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM entry WHERE seq <= ?", (last.seq,))
            connection.execute("UPDATE anchor SET seq = ?, hash = ?", (last.seq, last.hash))

        try:
            self._database.run(work)
        except NoRoomError:
            return 0
        log.info("ledger_exported", rows=len(entries), up_to_seq=last.seq)
        return len(entries)

    def _count_lost(self, rows: int, reason: str) -> None:
        self.lost += rows
        if not self._paused:
            log.error("ledger_paused", reason=reason)
        self._paused = True


def link(previous_hash: str, seq: int, at: str, kind: str, fields: str) -> str:
    """Hash of a row: sha256 over the hash before it and its content, hexadecimal."""
    content = json.dumps([previous_hash, seq, at, kind, fields], ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(content.encode()).hexdigest()


def check(entries: Iterable[Entry], start: Head) -> Verdict:
    """Whether `entries` continue the chain that ends in `start`."""
    seq, previous, rows = start.seq, start.hash, 0
    for entry in entries:
        seq += 1
        if entry.seq != seq:
            return Verdict(False, rows, seq, f"row {seq} is missing")
        if link(previous, seq, _stamp(entry.at), entry.kind, entry.fields) != entry.hash:
            return Verdict(False, rows, seq, f"row {seq} is not what was written")
        previous, rows = entry.hash, rows + 1
    return Verdict(True, rows)


def canonical(fields: Mapping[str, object]) -> str:
    """One text for one content: JSON with sorted keys, what is not a number as null."""
    return json.dumps(
        _plain(fields), sort_keys=True, ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def write_export(path: Path, entries: Sequence[Entry], before: Head) -> None:
    """Append to a file of JSON lines, flushed to the disk; rows it holds already are not repeated.

    The first line of a new file is `before`, the chain's end so far: each file can be checked alone.
    """
    if path.exists():
        _set_damaged_aside(path)
    with path.open("a+b") as out:
        known = read_export(path)[1]
        lines = [] if out.seek(0, os.SEEK_END) else [json.dumps(before._asdict())]
        for entry in entries:
            if not known or entry.seq > known[-1].seq:
                lines.append(json.dumps(entry._asdict() | {"at": _stamp(entry.at)}, ensure_ascii=False))
        out.write("".join(line + "\n" for line in lines).encode())
        out.flush()
        os.fsync(out.fileno())


def _set_damaged_aside(path: Path) -> None:
    with path.open("r+b") as file:
        # A line that a kill has torn goes: its row still stands in the database.
        file.truncate(file.read().rfind(b"\n") + 1)
    try:
        read_export(path)
    except (ValueError, TypeError) as error:
        path.rename(f"{path}.damaged")
        log.warning("ledger_export_damaged", file=str(path), reason=str(error))


def read_export(path: Path) -> tuple[Head, list[Entry]]:
    """An exported file: end of the chain before it, and its rows. Raises ValueError for anything else."""
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line]
    if not lines:
        return Head(0, ""), []
    entries = [Entry(**(line | {"at": datetime.fromisoformat(line["at"])})) for line in lines[1:]]
    return Head(**lines[0]), entries


def _plain(value: object) -> object:
    """`value` in JSON's own kinds: instants as ISO 8601, records by field, sets sorted, the rest as text."""
    if isinstance(value, Enum):
        return value.name.lower() if isinstance(value.value, int) else value.value
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return float(value) if isfinite(value) else None
    if isinstance(value, datetime):
        return _stamp(value)
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return _plain(value._asdict())
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in dataclass_fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, frozenset | set):
        return sorted((_plain(inner) for inner in value), key=str)
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return str(value)


def _stamp(at: datetime) -> str:
    # Fixed width, so that text order is time order.
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def entry_of(row: tuple[int, str, str, str, str]) -> Entry:
    """A row of the table, its stamp read."""
    seq, at, kind, fields, digest = row
    return Entry(seq, datetime.fromisoformat(at), kind, fields, digest)


def _anchor(connection: sqlite3.Connection) -> Head:
    return Head(*connection.execute("SELECT seq, hash FROM anchor").fetchone())


def _head(connection: sqlite3.Connection) -> Head:
    row = connection.execute("SELECT seq, hash FROM entry ORDER BY seq DESC LIMIT 1").fetchone()
    return Head(*row) if row else _anchor(connection)
