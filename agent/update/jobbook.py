"""The record of a site's jobs: each step in the store first, then in the ledger and upstream, with who and why."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from agent.clock import Clock
from agent.log import get_logger
from agent.update.job import Job, Kind, Progress, State, require_step
from agent.update.store import UpdateStore
from agent.update.taking import Finding

log = get_logger(__name__)

BEFORE_INSTALL = frozenset({State.OFFERED, State.ACCEPTED, State.DOWNLOADING, State.VERIFIED, State.WAITING})
Tell = Callable[[str, Mapping[str, object]], None]


class JobBook:
    """Jobs and what the site's people said of them."""

    def __init__(self, store: UpdateStore, clock: Clock, tell: Tell) -> None:
        self._store, self._clock, self._tell = store, clock, tell
        self.reached: dict[str, int] = {}

    def open(self) -> list[Progress]:
        """Jobs that have not ended, in the order in which they were offered."""
        return self._store.jobs(open_only=True)

    def job(self, job_id: str) -> Progress | None:
        """One job; None when it was never offered."""
        return self._store.job(job_id)

    def newest(self) -> list[dict[str, object]]:
        """The latest job of each kind, as it goes upstream."""
        newest: dict[Kind, Progress] = {}
        for progress in self._store.jobs():
            newest[progress.job.kind] = progress
        return [self._row(progress) for progress in newest.values()]

    def _row(self, progress: Progress) -> dict[str, object]:
        row = self._with_share(progress).as_dict()
        if progress.state in BEFORE_INSTALL and (asked := self.consent_asked(progress.job.id)):
            row["asks"] = asked
        return row

    def offer(self, job: Job) -> None:
        """A job that was not known."""
        progress = Progress(job, State.OFFERED, self._clock.now(), "", "fleet")
        self._store.put(progress)
        self._tell_step(progress, None)

    def move(self, progress: Progress, to: State, reason: str, who: str = "agent") -> Progress:
        """Take a step. Raises IllegalTransitionError for one that no job may take."""
        require_step(progress.state, to)
        after = Progress(progress.job, to, self._clock.now(), reason, who)
        self._store.put(after)
        self._tell_step(after, progress.state)
        return after

    def say(self, progress: Progress, reason: str) -> None:
        """The same state for another reason: kept, but no event."""
        if reason != progress.reason:
            self._store.put(progress._replace(reason=reason))

    def keep_finding(self, job_id: str, finding: Finding) -> None:
        """What an examination found."""
        self._store.set_facts(
            {f"asks:{job_id}": list(finding.consent), f"notes:{job_id}": list(finding.notes)}
        )

    def consent_asked(self, job_id: str) -> list[str]:
        """What of a job the site's people have to agree to."""
        return list(self._store.fact(f"asks:{job_id}", []))

    def notes(self, job_id: str) -> list[str]:
        """What the examination found: a configuration's differences, a model's replay."""
        return list(self._store.fact(f"notes:{job_id}", []))

    def consented(self, job_id: str) -> bool:
        """Whether somebody on site has agreed to exactly what is asked now."""
        return bool(self._store.fact(f"consent:{job_id}", None) == self.consent_asked(job_id))

    def consent(self, job_id: str, who: str) -> str:
        """Somebody on site agrees to what a job widens; why not, or ""."""
        progress = self.job(job_id)
        if progress is None or progress.state not in BEFORE_INSTALL:
            return f"no open job {job_id!r}"
        asked = self.consent_asked(job_id)
        if not asked:
            return f"job {job_id!r} asks for no consent (yet: it is {progress.state.value})"
        self._store.set_fact(f"consent:{job_id}", asked)
        self._tell("update_consent", {"job": job_id, "who": who, "what": asked})
        return ""

    def _with_share(self, progress: Progress) -> Progress:
        if progress.state in {State.OFFERED, State.ACCEPTED, State.REJECTED}:
            return progress
        if progress.state is not State.DOWNLOADING:
            return progress._replace(share=1.0)
        return progress._replace(
            share=min(self.reached.get(progress.job.id, 0) / max(progress.job.length, 1), 1.0)
        )

    def _tell_step(self, progress: Progress, before: State | None) -> None:
        job = progress.job
        fields: dict[str, object] = {
            "job": job.id,
            "kind": job.kind,
            "release": job.release,
            "counter": job.counter,
            "from": None if before is None else before,
            "to": progress.state,
            "reason": progress.reason,
            "who": progress.who,
        }
        log.info("update", **fields)
        if before is None:
            fields["targets"] = [target._asdict() for target in job.targets]
        self._tell("update", fields)
