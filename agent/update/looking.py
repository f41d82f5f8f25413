"""The updater's worker: one look at the repository, or one job's files, in a thread of its own.

Keeps what was believed, the time that was believed, and the day's bytes in the store, whatever happens.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from agent.config.services import Updates
from agent.config.services import Uplink as UplinkConfig
from agent.errors import ConfigError
from agent.update.files import sha256_of
from agent.update.job import Assignment, Job
from agent.update.mqtt_source import MqttSource
from agent.update.source import FolderSource, MeteredSource, Source, SourceGoneError
from agent.update.store import UpdateStore
from agent.update.taking import Files, Taker

if TYPE_CHECKING:
    from agent.update.trust import Look

_SPENT_EVERY = 4_000_000


class Seen(NamedTuple):
    """What one look gave: the open jobs of the site, and those known ones that are no longer signed as they were."""

    assignment: Assignment | None
    root: int
    unsigned: tuple[str, ...]
    assignment_sha256: str = ""


class Looker:
    """Everything that touches the repository. Its methods run in the worker's thread, one at a time."""

    def __init__(
        self,
        updates: Updates,
        uplink: UplinkConfig | None,
        site_id: str,
        folder: Path,
        store: UpdateStore,
        now: Callable[[], datetime],
        *,
        password: str | None = None,
    ) -> None:
        self.metadata, self.files = folder / "metadata", folder / "files"
        self._updates, self._uplink, self._site_id, self._store = updates, uplink, site_id, store
        self._now, self._password = now, password
        self.stopped = self.interrupted = False
        self._day, self._bytes = "", 0

    def look(self, stick: Path | None, jobs: list[Job]) -> Seen:
        """One look: the assignment, and whether what open jobs name is still signed.

        Raises RefusedError, SourceGoneError, BudgetSpentError, StoppedError.
        """
        from agent.update.trust import RefusedError

        with self._session(stick) as (source, see):
            found = see(source)
            assignment = found.assignment(self._site_id, self.files)
            known = int(self._store.fact("counter", 0))
            if assignment is not None and assignment.counter < known:
                raise RefusedError("BadAssignment", f"counter {assignment.counter} after {known}")
            unsigned = []
            for job in jobs:
                signed = [(target, found.signed(target.path)) for target in job.targets]
                if any(info is None or info.hashes.get("sha256") != target.sha256 for target, info in signed):
                    unsigned.append(job.id)
            # Only now is it believed as a whole, and the clock with it.
            self._store.set_facts(
                {
                    "versions": found.versions._asdict(),
                    "floor": self._now().isoformat(),
                    "counter": known if assignment is None else assignment.counter,
                }
            )
            signed_as = found.signed(f"assign/{self._site_id}.json")
            sha256 = "" if signed_as is None else signed_as.hashes["sha256"]
            return Seen(assignment, found.versions.root, tuple(unsigned), sha256)

    def fetch(self, stick: Path | None, taker: Taker, job: Job, on_bytes: Callable[[int], None]) -> Files:
        """A job's files, verified. Raises as `look`."""
        with self._session(stick) as (source, see):
            return taker.fetch(see(source), job, self.files, on_bytes)

    def kept(self, job: Job) -> Files:
        """Those files of a job that lie here and are what the job says, by their hashes."""
        found: dict[str, Path] = {}
        for target in job.targets:
            path = self.files / target.sha256
            try:
                if sha256_of(path) == target.sha256:
                    found[target.path] = path
            except OSError:
                continue
        return found

    def forget_files(self, wanted: frozenset[str]) -> None:
        """Remove the files of jobs that have ended."""
        if not self.files.is_dir():
            return
        for path in self.files.iterdir():
            if path.name.removesuffix(".part") not in wanted:
                path.unlink(missing_ok=True)

    @contextmanager
    def _session(self, stick: Path | None) -> Iterator[tuple[Source, Callable[[Source], Look]]]:
        from agent.update.trust import BUILT_AT, look, versions_from

        self.interrupted = False
        try:
            root = self._updates.root_file.read_bytes()
        except OSError as error:
            raise SourceGoneError(
                f"the trusted root {self._updates.root_file} cannot be read: {error}"
            ) from error
        floor = datetime.fromisoformat(self._store.fact("floor", BUILT_AT.isoformat()))
        known = versions_from(self._store.fact("versions", {}))

        def see(source: Source) -> Look:
            return look(source, self.metadata, root, self._now(), floor=floor, known=known)

        if stick is not None:
            yield FolderSource(stick), see
            return
        self._begin_day()
        try:
            with self._broker() as source:
                yield MeteredSource(source, self._left, self._spend), see
        finally:
            self._keep_spent()

    def _broker(self) -> MqttSource:
        if self._uplink is None:
            raise SourceGoneError("there is no [uplink]: updates come from a stick only")
        try:
            return MqttSource(
                self._uplink,
                self._site_id,
                password=self._password,
                block_bytes=self._updates.block_kb << 10,
                rate_bytes_s=1000.0 * self._updates.rate_kb_s,
                stopped=lambda: self.stopped or self.interrupted,
            )
        except ConfigError as error:
            raise SourceGoneError(error.what) from error

    def _begin_day(self) -> None:
        today = f"{self._now():%Y-%m-%d}"
        if today != self._day:
            kept = self._store.fact("spent", {})
            self._day, self._bytes = today, int(kept.get("bytes", 0)) if kept.get("day") == today else 0

    def _left(self) -> int:
        return int(1e6 * self._updates.daily_mb) - self._bytes

    def _spend(self, count: int) -> None:
        before = self._bytes
        self._bytes += count
        if before // _SPENT_EVERY != self._bytes // _SPENT_EVERY:
            self._keep_spent()

    def _keep_spent(self) -> None:
        self._store.set_fact("spent", {"day": self._day, "bytes": self._bytes})
