"""From a verified job to its end: may it be switched now, the switch itself, its trial, and back.

What is under way here is remembered in the store alone, but for the time since when all has been healthy.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Protocol

from agent.config.services import Updates
from agent.config.site import Site
from agent.update.gates import interlock_reason, window_reason
from agent.update.health import Baseline, read_baseline
from agent.update.job import Kind, Progress, State, WaitFor, stamp
from agent.update.jobbook import JobBook
from agent.update.store import UpdateStore
from agent.update.taking import Files, Taker

SWITCHING = frozenset({State.INSTALLING, State.TRIAL})


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


class Switcher:
    """Everything that a job goes through once its files are here and were examined."""

    def __init__(
        self,
        site: Site,
        updates: Updates,
        store: UpdateStore,
        book: JobBook,
        takers: Mapping[Kind, Taker],
        host: Host,
    ) -> None:
        self._site, self._updates, self._store, self._book = site, updates, store, book
        self._takers, self._host = takers, host
        self._installing: set[str] = set()
        self._healthy_since: dict[str, datetime] = {}

    def hindrance(self, progress: Progress, now: datetime) -> str:
        """Why a job has to wait; "" when it may be switched now."""
        asked = self._book.consent_asked(progress.job.id)
        if asked and not self._book.consented(progress.job.id):
            return (
                f"{WaitFor.OPERATOR.value}: {len(asked)} changes need the site's consent "
                f"(trimload update SITE.toml --consent {progress.job.id})"
            )
        window = window_reason(self._updates.window, self._site.site.timezone, now)
        if window:
            return window
        busy = [p for p in self._book.open() if p.state in SWITCHING]
        if busy:
            return f"{WaitFor.INTERLOCK.value}: {busy[0].job.id} is on trial"
        return interlock_reason(self._host.interlocks())

    def begin(self, progress: Progress) -> None:
        """Keep what works now, to hold it against afterwards; the installation is next."""
        baseline = self._host.baseline()
        self._store.set_fact(f"baseline:{progress.job.id}", baseline.as_dict())
        self._book.move(progress, State.INSTALLING, "")

    def install(self, progress: Progress, files: Files | None, *, late: bool) -> bool:
        """Switch; False when the files are wanted again for it, after a restart in between."""
        job, taker = progress.job, self._takers[progress.job.kind]
        verdict = taker.installed(job)
        if verdict.stage == "good":
            self._installing.discard(job.id)
            self._host.let_go()
            self._book.move(progress, State.TRIAL, verdict.reason)
        elif verdict.stage == "bad" or late:
            reason = verdict.reason if verdict.stage == "bad" else f"not installed in time: {verdict.reason}"
            self._installing.discard(job.id)
            self._host.let_go()
            self.roll_back(progress, reason)
        elif job.id not in self._installing:
            if files is None:
                return False
            if not taker.hands_back or self._host.hold(f"update {job.id}"):
                self._installing.add(job.id)
                taker.install(job, files)
        return True

    def attempt(self, progress: Progress, now: datetime, *, late: bool) -> None:
        """A trial goes on, is confirmed or taken back."""
        job, taker = progress.job, self._takers[progress.job.kind]
        verdict = taker.trial(progress)
        if verdict.stage == "bad":
            self.roll_back(progress, verdict.reason)
            return
        before = read_baseline(self._store.fact(f"baseline:{job.id}", {}))
        ill = self._host.ailment(before, progress.since_at)
        if verdict.stage == "on" or ill:
            self._healthy_since.pop(job.id, None)
            if late:
                self.roll_back(progress, f"not healthy within its trial: {ill or verdict.reason}")
            else:
                self._book.say(progress, ill or verdict.reason)
            return
        since = self._healthy_since.setdefault(job.id, now)
        wanted_s = min(self._updates.healthy_s, job.timeouts.trial_s / 2)
        if (now - since).total_seconds() < wanted_s:
            self._book.say(progress, f"healthy since {stamp(since)}")
            return
        done = taker.confirm(job)
        if done.stage == "good":
            self._healthy_since.pop(job.id, None)
            self._book.move(progress, State.CONFIRMED, f"healthy for {wanted_s:.0f} s")
        elif done.stage == "bad" or late:
            self.roll_back(progress, done.reason)
        else:
            self._book.say(progress, done.reason)

    def roll_back(self, progress: Progress, why: str, who: str = "agent") -> None:
        """Back to what was before."""
        self._healthy_since.pop(progress.job.id, None)
        self._book.move(progress, State.ROLLED_BACK, why, who)
        self._takers[progress.job.kind].undo(progress.job, why)
