"""The updater: takes jobs from the signed assignment through their states, beside the control loop and never in it.

`step` is called about once a second in the event loop's thread and returns at once; what takes time runs in one worker
thread. Each step of a job is in the store before anything follows from it, and in the ledger with who and why.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from agent.clock import Clock
from agent.config.services import Updates
from agent.config.site import Site
from agent.log import get_logger
from agent.update.gates import rejection
from agent.update.job import Job, Kind, Progress, State, stamp, time_limit_s
from agent.update.jobbook import BEFORE_INSTALL, JobBook
from agent.update.looking import Looker, Seen
from agent.update.source import BudgetSpentError, NotThereError, SourceGoneError, StoppedError
from agent.update.store import UpdateStore
from agent.update.switching import SWITCHING, Host, Switcher
from agent.update.taking import Files, Finding, Taker

log = get_logger(__name__)

# A hint is cheap to send: it hastens the next look, but no two follow closer than this.
_LEAST_BETWEEN_S = 5.0
_RETRY_MIN_S, _RETRY_MAX_S = 30.0, 3600.0
RESERVE_BYTES = 128 << 20
_WITH_FILES = frozenset({State.DOWNLOADING, State.VERIFIED, State.WAITING, State.INSTALLING})


@dataclass
class _Work:
    task: asyncio.Task[Any]
    job_id: str = ""


class Updater:
    """One site's updates. `step` until the end; `stop` before the store is closed."""

    def __init__(
        self,
        site: Site,
        updates: Updates,
        store: UpdateStore,
        looker: Looker,
        takers: Mapping[Kind, Taker],
        host: Host,
        clock: Clock,
    ) -> None:
        self._updates, self._store, self._looker = updates, store, looker
        self._takers, self._host, self._clock = takers, host, clock
        self.book = JobBook(store, clock, host.tell)
        self._switcher = Switcher(site, updates, store, self.book, takers, host)
        self._work: _Work | None = None
        self._look_at: datetime = clock.now()
        self._looked_at: datetime | None = None
        self._retry_s = _RETRY_MIN_S
        self._stick: Path | None = None
        self._stick_in_work: Path | None = None
        self._fetch_from: dict[str, Path] = {}
        self._retry_job_at: dict[str, datetime] = {}
        self._files: dict[str, Files] = {}
        self.refused: str = store.fact("refused", "")
        self.unreachable: str = ""

    # What people and the fleet may ask for.

    def hint(self) -> None:
        """There may be news: look soon."""
        soon = self._clock.now()
        if self._looked_at is not None:
            soon = max(soon, self._looked_at + timedelta(seconds=_LEAST_BETWEEN_S))
        self._look_at = min(self._look_at, soon)

    def look_into(self, stick: Path) -> None:
        """Look into a copy of the repository next."""
        self._stick, self._look_at = stick, self._clock.now()

    def roll_back(self, kind: Kind, who: str, why: str) -> str:
        """Undo the last confirmed or running trial of a kind, by hand; why not, or ""."""
        taker = self._takers[kind]
        trials = [p for p in self.book.open() if p.job.kind is kind and p.state in SWITCHING]
        job_id = trials[0].job.id if trials else taker.last_job()
        progress = self.book.job(job_id) if job_id else None
        if progress is None or progress.state not in {State.TRIAL, State.CONFIRMED}:
            return f"there is no {kind.value} update that could be rolled back"
        self._switcher.roll_back(progress, why, who)
        return ""

    @property
    def idle(self) -> bool:
        """Whether no look is wanted or under way, and nothing is being fetched."""
        return self._work is None and self._stick is None and self._clock.now() < self._look_at

    def status(self) -> dict[str, object]:
        """Where things stand: `jobs` and `trust` of `up/update`."""
        versions = self._store.fact("versions", {})
        return {
            "jobs": self.book.newest(),
            "trust": {
                "root": versions.get("root", 0),
                "timestamp": versions.get("timestamp", 0),
                "counter": self._store.fact("counter", 0),
                "refreshed_at": None if self._looked_at is None else stamp(self._looked_at),
                "refused": self.refused,
                "unreachable": self.unreachable,
            },
        }

    async def stop(self) -> None:
        """End what the worker does; what was fetched stays."""
        self._looker.stopped = True
        if self._work is not None:
            await asyncio.gather(self._work.task, return_exceptions=True)
            self._work = None

    # The step.

    def step(self) -> None:
        """Move what can be moved. Raises what the worker's program error was."""
        now = self._clock.now()
        self._take_result()
        if now >= self._look_at:
            if self._work is None:
                self._begin_look(now)
            elif self._work.job_id:
                # A long download must not keep a withdrawal from being heard; it goes on where it was.
                self._looker.interrupted = True
        for progress in self.book.open():
            self._advance(progress, now)

    def _begin_look(self, now: datetime) -> None:
        stick, self._stick = self._stick, None
        self._looked_at = now
        self._look_at = now + timedelta(seconds=self._updates.check_every_s)
        going_on = self.book.open()
        waiting = [p.job for p in going_on if p.state in BEFORE_INSTALL and p.job.id in self._files]
        # What ended jobs have left here.
        left = {p.job.id for p in going_on}
        self._files = {job_id: files for job_id, files in self._files.items() if job_id in left}
        self._retry_job_at = {job_id: at for job_id, at in self._retry_job_at.items() if job_id in left}
        task = asyncio.create_task(asyncio.to_thread(self._looker.look, stick, waiting))
        self._work = _Work(task)
        self._stick_in_work = stick

    def _take_result(self) -> None:
        """What the worker has finished, if anything."""
        if self._work is None or not self._work.task.done():
            return
        work, self._work = self._work, None
        from agent.update.trust import RefusedError

        try:
            result = work.task.result()
        except StoppedError:
            return
        except RefusedError as error:
            self._was_refused(work.job_id, str(error))
        except NotThereError as error:
            self._was_refused(work.job_id, f"NotThere: {error}")
        except (SourceGoneError, BudgetSpentError) as error:
            self._was_unreachable(work.job_id, str(error))
        else:
            self._retry_s, self.unreachable = _RETRY_MIN_S, ""
            if work.job_id:
                self._fetched(work.job_id, *result)
            else:
                self._seen(result)

    def _was_refused(self, job_id: str, reason: str) -> None:
        if job_id:
            progress = self.book.job(job_id)
            if progress is not None and progress.state is State.DOWNLOADING:
                self.book.move(progress, State.FAILED, reason)
        if reason != self.refused:
            self.refused = reason
            self._store.set_fact("refused", reason)
            log.warning("update_refused", reason=reason)
            self._host.tell("update_refused", {"what": job_id or "repository", "reason": reason})

    def _was_unreachable(self, job_id: str, reason: str) -> None:
        now = self._clock.now()
        if not self.unreachable:
            log.info("updates_unreachable", reason=reason)
        self.unreachable = reason
        again = now + timedelta(seconds=self._retry_s)
        self._retry_s = min(2.0 * self._retry_s, _RETRY_MAX_S)
        if job_id:
            self._retry_job_at[job_id] = again
        else:
            self._look_at = min(self._look_at, again)

    def _seen(self, seen: Seen) -> None:
        """A believed assignment: withdraw, supersede, offer."""
        if self.refused:
            self.refused = ""
            self._store.set_fact("refused", "")
            log.info("updates_believed_again", root=seen.root)
        jobs = () if seen.assignment is None else seen.assignment.jobs
        assigned = {job.id for job in jobs}
        for progress in self.book.open():
            if progress.state not in BEFORE_INSTALL:
                continue
            if progress.job.id not in assigned:
                self.book.move(progress, State.CANCELLED, "withdrawn by the fleet", "fleet")
            elif progress.job.id in seen.unsigned:
                to = State.FAILED if progress.state is not State.OFFERED else State.CANCELLED
                self.book.move(progress, to, "its files are no longer signed as they were")
        for job in jobs:
            if self.book.job(job.id) is None:
                self.book.offer(job)
            if self._stick_in_work is not None:
                self._fetch_from[job.id] = self._stick_in_work
        # What ended jobs left behind; the installer wants the assignment itself as well.
        wanted = {target.sha256 for p in self.book.open() for target in p.job.targets}
        self._looker.forget_files(frozenset(wanted | {seen.assignment_sha256}))

    def _advance(self, progress: Progress, now: datetime) -> None:
        job, taker = progress.job, self._takers.get(progress.job.kind)
        limit_s = time_limit_s(progress.state, job.timeouts)
        if limit_s is not None and taker is not None and progress.state is State.TRIAL:
            limit_s += taker.shadow_s
        late = limit_s is not None and (now - progress.since_at).total_seconds() > limit_s
        if progress.state in BEFORE_INSTALL and late:
            self.book.move(
                progress, State.TIMED_OUT, f"{progress.state.value} for {limit_s:.0f} s: {progress.reason}"
            )
        elif progress.state is State.OFFERED:
            self._decide(progress, now)
        elif progress.state in {State.ACCEPTED, State.DOWNLOADING}:
            self._download(progress, now)
        elif progress.state in {State.VERIFIED, State.WAITING}:
            self._wait(progress, now)
        elif taker is not None and progress.state is State.INSTALLING:
            if not self._switcher.install(progress, self._files.get(job.id), late=late):
                self._fetch_again(progress, now)
        elif taker is not None and progress.state is State.TRIAL:
            self._switcher.attempt(progress, now, late=late)

    def _decide(self, progress: Progress, now: datetime) -> None:
        job = progress.job
        others = [p for p in self.book.open() if p.job.kind is job.kind and p.job.id != job.id]
        if any(p.state in SWITCHING for p in others):
            return
        free = _free_bytes(self._looker.files)
        reason = rejection(
            job,
            kinds=self._updates.kinds,
            taken_counter=self._store.taken_counter(job.kind),
            now=now,
            free_bytes=free,
            reserve_bytes=RESERVE_BYTES,
        )
        if reason:
            self.book.move(progress, State.REJECTED, reason)
            return
        for other in others:
            if other.job.counter < job.counter:
                self.book.move(other, State.CANCELLED, f"superseded by {job.id}", "fleet")
        self.book.move(progress, State.ACCEPTED, "")

    def _download(self, progress: Progress, now: datetime) -> None:
        job = progress.job
        if job.not_before is not None and now < job.not_before:
            self.book.say(progress, f"not before {stamp(job.not_before)}")
            return
        if self._work is not None or now < self._retry_job_at.get(job.id, now):
            if self.unreachable:
                self.book.say(progress, self.unreachable)
            return
        if progress.state is State.ACCEPTED:
            progress = self.book.move(progress, State.DOWNLOADING, "")
        self._begin_fetch(job)

    def _begin_fetch(self, job: Job, *, again: bool = False) -> None:
        """Bring and examine a job's files, in the worker; what lies on the disk is verified again."""
        stick, taker = self._fetch_from.get(job.id), self._takers[job.kind]

        def heard(reached: int) -> None:
            self.book.reached[job.id] = reached

        def work() -> tuple[Files, Finding]:
            if again:
                # By their hashes, which stand in the store: a site without a network may go on.
                kept = self._looker.kept(job)
                finding = taker.examine(job, kept) if kept else Finding("nothing is kept")
                if not finding.refused:
                    return kept, finding
            files = self._looker.fetch(stick, taker, job, heard)
            return files, taker.examine(job, files)

        self._work = _Work(asyncio.create_task(asyncio.to_thread(work)), job.id)

    def _fetched(self, job_id: str, files: Files, finding: Finding) -> None:
        progress = self.book.job(job_id)
        if progress is None or progress.state not in _WITH_FILES:
            return
        self._files[job_id] = files
        if progress.state is State.INSTALLING:
            return
        self.book.keep_finding(job_id, finding)
        if progress.state is State.DOWNLOADING:
            progress = self.book.move(progress, State.VERIFIED, "; ".join(finding.notes)[:300])
        if finding.refused:
            self.book.move(progress, State.FAILED, finding.refused)

    def _wait(self, progress: Progress, now: datetime) -> None:
        job = progress.job
        if job.id not in self._files:
            # After a restart: what lies on the disk is verified again before it is used.
            self._fetch_again(progress, now)
            return
        if job.not_after is not None and now > job.not_after:
            self.book.move(progress, State.TIMED_OUT, f"not_after {stamp(job.not_after)} has passed")
            return
        reason = self._switcher.hindrance(progress, now)
        if not reason:
            self._switcher.begin(progress)
        elif progress.state is State.VERIFIED:
            self.book.move(progress, State.WAITING, reason)
        else:
            self.book.say(progress, reason)

    def _fetch_again(self, progress: Progress, now: datetime) -> None:
        if self._work is None and now >= self._retry_job_at.get(progress.job.id, now):
            self._begin_fetch(progress.job, again=True)


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
