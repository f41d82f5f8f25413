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
from typing import Any, Protocol

from agent.clock import Clock
from agent.config.site import Site, Updates
from agent.log import get_logger
from agent.update.gates import interlock_reason, rejection, window_reason
from agent.update.health import Baseline, read_baseline
from agent.update.job import ENDED, Job, Kind, Progress, State, WaitFor, stamp, time_limit_s
from agent.update.jobbook import BEFORE_INSTALL, JobBook
from agent.update.looking import Looker, Seen
from agent.update.source import BudgetSpentError, NotThereError, SourceGoneError, StoppedError
from agent.update.store import UpdateStore
from agent.update.taking import Files, Finding, Taker

log = get_logger(__name__)

# A hint is cheap to send: it hastens the next look, but no two follow closer than this.
_LEAST_BETWEEN_S = 5.0
_RETRY_MIN_S, _RETRY_MAX_S = 30.0, 3600.0
RESERVE_BYTES = 128 << 20
_WITH_FILES = frozenset({State.DOWNLOADING, State.VERIFIED, State.WAITING, State.INSTALLING})
_SWITCHING = frozenset({State.INSTALLING, State.TRIAL})


class Host(Protocol):
    """What the updater asks of the agent around it."""

    def interlocks(self) -> tuple[str, ...]:
        """What on site speaks against a change now."""
        ...

    def baseline(self) -> Baseline:
        """What works now."""
        ...

    def ailment(self, before: Baseline, since_at: datetime) -> str:
        """What of it does not work any more; "" for nothing."""
        ...

    def hold(self, why: str) -> bool:
        """Hand machines and set-points back; True once that is done."""
        ...

    def let_go(self) -> None:
        """Control may go on."""
        ...

    def tell(self, kind: str, fields: Mapping[str, object]) -> None:
        """Into the ledger, and upstream."""
        ...


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
        self._site, self._updates, self._store, self._looker = site, updates, store, looker
        self._takers, self._host, self._clock = takers, host, clock
        self.book = JobBook(store, clock, host.tell)
        self._work: _Work | None = None
        self._look_at: datetime = clock.now()
        self._looked_at: datetime | None = None
        self._retry_s = _RETRY_MIN_S
        self._stick: Path | None = None
        self._stick_in_work: Path | None = None
        self._fetch_from: dict[str, Path] = {}
        self._retry_job_at: dict[str, datetime] = {}
        self._files: dict[str, Files] = {}
        self._installing: set[str] = set()
        self._healthy_since: dict[str, datetime] = {}
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
        trials = [p for p in self.book.open() if p.job.kind is kind and p.state in _SWITCHING]
        job_id = trials[0].job.id if trials else taker.last_job()
        progress = self.book.job(job_id) if job_id else None
        if progress is None or progress.state not in {State.TRIAL, State.CONFIRMED}:
            return f"there is no {kind.value} update that could be rolled back"
        self._roll_back(progress, why, who)
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
        waiting = [p.job for p in self.book.open() if p.state in BEFORE_INSTALL and p.job.id in self._files]
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
                self._move(progress, State.FAILED, reason)
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
                self._move(progress, State.CANCELLED, "withdrawn by the fleet", "fleet")
            elif progress.job.id in seen.unsigned:
                to = State.FAILED if progress.state is not State.OFFERED else State.CANCELLED
                self._move(progress, to, "its files are no longer signed as they were")
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
            self._move(
                progress, State.TIMED_OUT, f"{progress.state.value} for {limit_s:.0f} s: {progress.reason}"
            )
        elif progress.state is State.OFFERED:
            self._decide(progress, now)
        elif progress.state in {State.ACCEPTED, State.DOWNLOADING}:
            self._download(progress, now)
        elif progress.state in {State.VERIFIED, State.WAITING}:
            self._wait(progress, now)
        elif taker is not None and progress.state is State.INSTALLING:
            self._install(progress, taker, now, late=late)
        elif taker is not None and progress.state is State.TRIAL:
            self._try(progress, taker, now, late=late)

    def _decide(self, progress: Progress, now: datetime) -> None:
        job = progress.job
        others = [p for p in self.book.open() if p.job.kind is job.kind and p.job.id != job.id]
        if any(p.state in _SWITCHING for p in others):
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
            self._move(progress, State.REJECTED, reason)
            return
        for other in others:
            if other.job.counter < job.counter:
                self._move(other, State.CANCELLED, f"superseded by {job.id}", "fleet")
        self._move(progress, State.ACCEPTED, "")

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
            progress = self._move(progress, State.DOWNLOADING, "")
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
            progress = self._move(progress, State.VERIFIED, "; ".join(finding.notes)[:300])
        if finding.refused:
            self._move(progress, State.FAILED, finding.refused)

    def _wait(self, progress: Progress, now: datetime) -> None:
        job = progress.job
        if job.id not in self._files:
            # After a restart: what lies on the disk is verified again before it is used.
            self._fetch_again(progress, now)
            return
        if job.not_after is not None and now > job.not_after:
            self._move(progress, State.TIMED_OUT, f"not_after {stamp(job.not_after)} has passed")
            return
        reason = self._hindrance(progress, now)
        if not reason:
            baseline = self._host.baseline()
            self._store.set_fact(f"baseline:{job.id}", baseline.as_dict())
            self._move(progress, State.INSTALLING, "")
        elif progress.state is State.VERIFIED:
            self._move(progress, State.WAITING, reason)
        else:
            self.book.say(progress, reason)

    def _hindrance(self, progress: Progress, now: datetime) -> str:
        asked = self.book.consent_asked(progress.job.id)
        if asked and not self.book.consented(progress.job.id):
            return (
                f"{WaitFor.OPERATOR.value}: {len(asked)} changes need the site's consent "
                f"(trimload update SITE.toml --consent {progress.job.id})"
            )
        window = window_reason(self._updates.window, self._site.site.timezone, now)
        if window:
            return window
        busy = [p for p in self.book.open() if p.state in _SWITCHING]
        if busy:
            return f"{WaitFor.INTERLOCK.value}: {busy[0].job.id} is on trial"
        return interlock_reason(self._host.interlocks())

    def _fetch_again(self, progress: Progress, now: datetime) -> None:
        if self._work is None and now >= self._retry_job_at.get(progress.job.id, now):
            self._begin_fetch(progress.job, again=True)

    def _install(self, progress: Progress, taker: Taker, now: datetime, *, late: bool) -> None:
        job = progress.job
        verdict = taker.installed(job)
        if verdict.stage == "good":
            self._installing.discard(job.id)
            self._host.let_go()
            self._move(progress, State.TRIAL, verdict.reason)
        elif verdict.stage == "bad" or late:
            reason = verdict.reason if verdict.stage == "bad" else f"not installed in time: {verdict.reason}"
            self._installing.discard(job.id)
            self._host.let_go()
            self._roll_back(progress, reason)
        elif job.id not in self._installing:
            if job.id not in self._files:
                self._fetch_again(progress, now)
            elif not taker.hands_back or self._host.hold(f"update {job.id}"):
                self._installing.add(job.id)
                taker.install(job, self._files[job.id])

    def _try(self, progress: Progress, taker: Taker, now: datetime, *, late: bool) -> None:
        job = progress.job
        verdict = taker.trial(progress)
        if verdict.stage == "bad":
            self._roll_back(progress, verdict.reason)
            return
        before = read_baseline(self._store.fact(f"baseline:{job.id}", {}))
        ill = self._host.ailment(before, progress.since_at)
        if verdict.stage == "on" or ill:
            self._healthy_since.pop(job.id, None)
            if late:
                self._roll_back(progress, f"not healthy within its trial: {ill or verdict.reason}")
            else:
                self.book.say(progress, ill or verdict.reason)
            return
        since = self._healthy_since.setdefault(job.id, now)
        wanted_s = min(self._updates.healthy_s, job.timeouts.trial_s / 2)
        if (now - since).total_seconds() < wanted_s:
            self.book.say(progress, f"healthy since {stamp(since)}")
            return
        done = taker.confirm(job)
        if done.stage == "good":
            self._move(progress, State.CONFIRMED, f"healthy for {wanted_s:.0f} s")
        elif done.stage == "bad" or late:
            self._roll_back(progress, done.reason)
        else:
            self.book.say(progress, done.reason)

    def _move(self, progress: Progress, to: State, reason: str, who: str = "agent") -> Progress:
        after = self.book.move(progress, to, reason, who)
        if to in ENDED:
            for kept in (self._files, self._healthy_since, self._retry_job_at):
                kept.pop(progress.job.id, None)
        return after

    def _roll_back(self, progress: Progress, why: str, who: str = "agent") -> None:
        self._move(progress, State.ROLLED_BACK, why, who)
        self._takers[progress.job.kind].undo(progress.job, why)


def _free_bytes(folder: Path) -> int:
    while not folder.exists():
        folder = folder.parent
    disk = os.statvfs(folder)
    return disk.f_bavail * disk.f_frsize
