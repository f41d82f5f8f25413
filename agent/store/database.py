"""One SQLite file with one writer, that outlives kill -9, a cut of power and a bad sector.

A file that cannot be read, or that another version wrote, is set aside under another name and a
new one is begun: the agent never loops over a broken file, and nothing is deleted.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from threading import RLock
from typing import IO, Literal, TypeVar

from agent.clock import WallClock
from agent.errors import StoreError
from agent.log import get_logger

T = TypeVar("T")
log = get_logger(__name__)

MEMORY = ":memory:"
# Below this the disk's last room is left to the system, its journal and our own deletions: at ENOSPC
# SQLite can neither delete nor checkpoint.
RESERVE_BYTES = 64 << 20
_BROKEN = frozenset([sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB])
_NO_ROOM = frozenset([sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR])
_PAGE_BYTES = 4096


class NoRoomError(Exception):
    """The size cap or the disk is full, or the disk refuses; nothing of the transaction was kept."""


class Database:
    """`schema` is executed on a new file and stamped with `version`; `":memory:"` is a file that ends with us."""

    def __init__(
        self,
        path: Path | str,
        *,
        schema: str,
        version: int,
        synchronous: Literal["NORMAL", "FULL"],
        max_bytes: int | None = None,
        reserve_bytes: int = RESERVE_BYTES,
    ) -> None:
        """Open or begin the file. Raises StoreError where the place cannot be written or is in use."""
        self.path = str(path)
        self.set_aside: str | None = None
        self._schema, self._version = schema, version
        self._synchronous, self._max_bytes, self._reserve_bytes = synchronous, max_bytes, reserve_bytes
        self._lock = RLock()
        self._owner: IO[bytes] | None = None
        if self.path != MEMORY:
            self._owner = self._take_ownership()
        try:
            self._connection = self._open()
        except BaseException:
            self._give_up_ownership()
            raise

    def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """`work` as one transaction. Raises NoRoomError when full; a file found broken is set aside
        and `work` done on a new one.
        """
        with self._lock:
            try:
                return self._transaction(work)
            except sqlite3.DatabaseError as error:
                if _code(error) not in _BROKEN:
                    raise
                self._connection.close()
                self._move_away("corrupt", str(error))
                self._connection = self._begin()
                return self._transaction(work)

    def read(self, query: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """What `query` finds; `otherwise` where the disk refuses to be read."""
        try:
            return self.run(query)
        except NoRoomError as error:
            log.warning("database_not_readable", file=self.path, reason=str(error))
            return otherwise

    def has_room(self) -> bool:
        """Whether the disk has more left than the reserve."""
        if self.path == MEMORY:
            return True
        try:
            disk = os.statvfs(self.path)
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize > self._reserve_bytes

    def close(self) -> None:
        """Write the log back into the file and let go of it."""
        with self._lock:
            try:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.Error as error:
                log.warning("checkpoint_failed", file=self.path, error=str(error))
            self._connection.close()
            self._give_up_ownership()

    def _transaction(self, work: Callable[[sqlite3.Connection], T]) -> T:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            result = work(self._connection)
            self._connection.execute("COMMIT")
        except BaseException as error:
            if self._connection.in_transaction:
                try:
                    self._connection.execute("ROLLBACK")
                except sqlite3.Error as second:
                    log.warning("rollback_failed", file=self.path, error=str(second))
            if isinstance(error, sqlite3.Error) and _code(error) in _NO_ROOM:
                raise NoRoomError(str(error)) from error
            raise
        return result

    def _open(self) -> sqlite3.Connection:
        if self.path == MEMORY or not Path(self.path).exists():
            return self._begin()
        try:
            with closing(self._connect()) as probe:
                verdict = str(probe.execute("PRAGMA quick_check(1)").fetchone()[0])
                version = int(probe.execute("PRAGMA user_version").fetchone()[0])
        except sqlite3.DatabaseError as error:
            if _code(error) not in _BROKEN:
                raise self._unusable(str(error)) from error
            verdict, version = str(error), self._version
        if verdict != "ok":
            self._move_away("corrupt", verdict)
        elif version not in {self._version, 0}:
            # An update that was rolled back left a newer file: the older agent begins its own.
            self._move_away(f"version-{version}", f"schema {version}, this agent writes {self._version}")
        return self._begin()

    def _begin(self) -> sqlite3.Connection:
        try:
            connection = self._connect()
            if self._max_bytes is not None:
                connection.execute(f"PRAGMA max_page_count={max(16, self._max_bytes // _PAGE_BYTES)}")
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                connection.executescript(
                    f"BEGIN IMMEDIATE;{self._schema};PRAGMA user_version={self._version};COMMIT;"
                )
        except sqlite3.DatabaseError as error:
            raise self._unusable(str(error)) from error
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=5.0)
        connection.execute(f"PRAGMA page_size={_PAGE_BYTES}")
        if self.path != MEMORY:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute(f"PRAGMA journal_size_limit={4 << 20}")
        connection.execute(f"PRAGMA synchronous={self._synchronous}")
        return connection

    def _move_away(self, suffix: str, reason: str) -> None:
        stamp = f"{WallClock().now():%Y%m%dT%H%M%SZ}"
        target, count = f"{self.path}.{suffix}-{stamp}", 1
        while Path(target).exists():
            count += 1
            target = f"{self.path}.{suffix}-{stamp}-{count}"
        # The write-ahead log belongs to the old file; left behind it would be replayed into the new one.
        for tail in ("-wal", "-shm", ""):
            if Path(self.path + tail).exists():
                Path(self.path + tail).rename(target + tail)
        self.set_aside = target
        log.error("database_set_aside", file=self.path, kept_as=target, reason=reason)

    def _take_ownership(self) -> IO[bytes]:
        try:
            Path(self.path).parent.mkdir(parents=True, exist_ok=True)
            owner = Path(f"{self.path}.lock").open("ab")  # noqa: SIM115 - held for as long as the file is ours
        except OSError as error:
            raise self._unusable(str(error)) from error
        try:
            fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            owner.close()
            raise StoreError(
                "the database is in use by another agent",
                where=self.path,
                fix="stop the other agent, or give this one its own [storage] directory",
            ) from error
        return owner

    def _give_up_ownership(self) -> None:
        if self._owner is not None:
            self._owner.close()
            self._owner = None

    def _unusable(self, reason: str) -> StoreError:
        return StoreError(
            f"the database cannot be opened: {reason}",
            where=self.path,
            fix="make [storage] directory writable for the agent's user and free some space on its disk",
        )


def _code(error: sqlite3.Error) -> int:
    """Primary result code; extended ones (SQLITE_IOERR_WRITE ...) carry it in the low byte."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF
