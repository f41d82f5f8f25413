"""A job: which exact files are to run on which site, within which time, and the one state machine for all kinds.

Pure data and rules. Jobs reach a site inside the signed assignment `assign/<site>.json`; nothing that comes
unsigned over the wire can make, change or hasten one. docs/updates.md is the contract for the fleet's side.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple

ASSIGNMENT_FORMAT = "trimload-assign/1"
# Ids go into paths and topics.
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SEGMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,159}")
MAX_TARGETS = 400


class Kind(StrEnum):
    """What a job replaces. At most one open job of each kind at a site."""

    MODEL = "model"
    CONFIG = "config"
    AGENT = "agent"


class State(StrEnum):
    """Where a job stands. The reason beside it says why."""

    OFFERED = "offered"
    ACCEPTED = "accepted"
    REJECTED = "rejected"
    DOWNLOADING = "downloading"
    VERIFIED = "verified"
    WAITING = "waiting"
    INSTALLING = "installing"
    TRIAL = "trial"
    CONFIRMED = "confirmed"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


class WaitFor(StrEnum):
    """What a waiting job waits for: the first word of its reason."""

    WINDOW = "window"
    INTERLOCK = "interlock"
    OPERATOR = "operator"


# Until the files are switched a job may be taken back; afterwards it is confirmed or rolled back, nothing else.
_MAY_STOP = frozenset({State.CANCELLED, State.TIMED_OUT})
TRANSITIONS: Mapping[State, frozenset[State]] = {
    State.OFFERED: frozenset({State.ACCEPTED, State.REJECTED}) | _MAY_STOP,
    State.ACCEPTED: frozenset({State.DOWNLOADING}) | _MAY_STOP,
    State.DOWNLOADING: frozenset({State.VERIFIED, State.FAILED}) | _MAY_STOP,
    State.VERIFIED: frozenset({State.WAITING, State.INSTALLING, State.FAILED}) | _MAY_STOP,
    State.WAITING: frozenset({State.INSTALLING, State.FAILED}) | _MAY_STOP,
    State.INSTALLING: frozenset({State.TRIAL, State.FAILED, State.ROLLED_BACK}),
    State.TRIAL: frozenset({State.CONFIRMED, State.ROLLED_BACK, State.FAILED}),
    # Only by hand, on site.
    State.CONFIRMED: frozenset({State.ROLLED_BACK}),
    State.REJECTED: frozenset(),
    State.FAILED: frozenset(),
    State.ROLLED_BACK: frozenset(),
    State.TIMED_OUT: frozenset(),
    State.CANCELLED: frozenset(),
}
ENDED = frozenset(
    {
        State.CONFIRMED,
        State.REJECTED,
        State.FAILED,
        State.ROLLED_BACK,
        State.TIMED_OUT,
        State.CANCELLED,
    }
)
# For a roll-out: the ends that are not what was wanted.
BAD_ENDS = ENDED - {State.CONFIRMED, State.CANCELLED}


class JobFaultError(Exception):
    """An assignment or job that cannot be what it claims to be."""


class IllegalTransitionError(Exception):
    """A step that the state machine does not know: an error of the program."""


class Target(NamedTuple):
    """One file of the TUF repository, exactly."""

    path: str
    sha256: str
    length: int


class Timeouts(NamedTuple):
    """How long a job may stay in a state, [s]; what is overdue counts as failed."""

    download_s: float = 7 * 86_400.0
    wait_s: float = 14 * 86_400.0
    install_s: float = 900.0
    trial_s: float = 1800.0


DEFAULT_TIMEOUTS = Timeouts()


@dataclass(frozen=True, slots=True)
class Job:
    """What a site is to run from now on. `counter` rises with every job of the site, of whatever kind.

    `release` is its name for people (`1.4.0`, `air 2026-11-20`); what counts are the hashes of `targets`.
    """

    id: str
    kind: Kind
    site: str
    counter: int
    release: str
    targets: tuple[Target, ...]
    not_before: datetime | None = None
    not_after: datetime | None = None
    timeouts: Timeouts = DEFAULT_TIMEOUTS

    @property
    def length(self) -> int:
        """Bytes of all targets together."""
        return sum(target.length for target in self.targets)

    def may_fetch(self, path: str) -> bool:
        """Whether a target lies where this kind of job of this site may take files from."""
        head = "agent/" if self.kind is Kind.AGENT else f"{_FOLDER[self.kind]}/{self.site}/"
        return path.startswith(head) and all(_SEGMENT.fullmatch(part) for part in path.split("/"))


_FOLDER = {Kind.MODEL: "models", Kind.CONFIG: "config"}


@dataclass(frozen=True, slots=True)
class Assignment:
    """Content of `assign/<site>.json`: the open jobs of one site, at most one a kind. No job is a withdrawal."""

    site: str
    counter: int
    jobs: tuple[Job, ...]


class Progress(NamedTuple):
    """What is known of a job: where it stands, since when, why, and who moved it."""

    job: Job
    state: State
    since_at: datetime
    reason: str = ""
    who: str = "agent"
    share: float = 0.0

    def as_dict(self) -> dict[str, object]:
        """The JSON form in `up/update`."""
        return {
            "id": self.job.id,
            "kind": self.job.kind.value,
            "release": self.job.release,
            "counter": self.job.counter,
            "state": self.state.value,
            "since": stamp(self.since_at),
            "reason": self.reason,
            "who": self.who,
            "share": round(self.share, 3),
        }


def require_step(before: State, after: State) -> None:
    """Raises IllegalTransitionError for a step that no job may take. To stay is always allowed."""
    if after is not before and after not in TRANSITIONS[before]:
        raise IllegalTransitionError(f"{before.value} -> {after.value}")


def time_limit_s(state: State, timeouts: Timeouts) -> float | None:
    """How long a job may stay in `state`; None where it may stay for ever."""
    return {
        State.OFFERED: timeouts.download_s,
        State.ACCEPTED: timeouts.download_s,
        State.DOWNLOADING: timeouts.download_s,
        State.VERIFIED: timeouts.wait_s,
        State.WAITING: timeouts.wait_s,
        State.INSTALLING: timeouts.install_s,
        State.TRIAL: timeouts.trial_s,
    }.get(state)


def assignment_json(assignment: Assignment) -> bytes:
    """The signed file's content: canonical, so that equal assignments are equal bytes."""
    body = {
        "format": ASSIGNMENT_FORMAT,
        "site": assignment.site,
        "counter": assignment.counter,
        "jobs": [job_dict(job) for job in assignment.jobs],
    }
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def job_dict(job: Job) -> dict[str, object]:
    """A job as JSON."""
    return {
        "id": job.id,
        "kind": job.kind.value,
        "site": job.site,
        "counter": job.counter,
        "release": job.release,
        "targets": [target._asdict() for target in job.targets],
        "not_before": None if job.not_before is None else stamp(job.not_before),
        "not_after": None if job.not_after is None else stamp(job.not_after),
        "timeouts": job.timeouts._asdict(),
    }


def read_assignment(content: bytes, site: str) -> Assignment:
    """The assignment of `site`. Raises JobFaultError for anything else, another site's included."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise JobFaultError(f"the assignment is no JSON: {error}") from None
    if not isinstance(body, dict) or body.get("format") != ASSIGNMENT_FORMAT:
        raise JobFaultError(f"the assignment is not of the format {ASSIGNMENT_FORMAT}")
    if body.get("site") != site:
        raise JobFaultError(f"the assignment is for site {body.get('site')!r}, this is {site!r}")
    rows = body.get("jobs")
    if not isinstance(rows, list):
        raise JobFaultError("the assignment has no list of jobs")
    jobs = tuple(read_job(row) for row in rows)
    if len({job.kind for job in jobs}) != len(jobs):
        raise JobFaultError("the assignment has two jobs of one kind")
    strange = [job.id for job in jobs if job.site != site]
    if strange:
        raise JobFaultError(f"job {strange[0]!r} is for another site")
    return Assignment(site, _whole(body, "counter"), jobs)


def read_job(row: Any) -> Job:
    """A job from its JSON form. Raises JobFaultError."""
    if not isinstance(row, dict):
        raise JobFaultError("a job is no table")
    job_id = row.get("id")
    if not isinstance(job_id, str) or not _ID.fullmatch(job_id):
        raise JobFaultError(f"{job_id!r} is no job id")
    try:
        kind = Kind(str(row.get("kind")))
    except ValueError:
        raise JobFaultError(f"job {job_id}: kind {row.get('kind')!r} is not known") from None
    targets = row.get("targets")
    if not isinstance(targets, list) or not 0 < len(targets) <= MAX_TARGETS:
        raise JobFaultError(f"job {job_id}: names no targets, or more than {MAX_TARGETS}")
    job = Job(
        id=job_id,
        kind=kind,
        site=str(row.get("site")),
        counter=_whole(row, "counter"),
        release=str(row.get("release"))[:120],
        targets=tuple(_target(each, job_id) for each in targets),
        not_before=_instant(row.get("not_before"), job_id),
        not_after=_instant(row.get("not_after"), job_id),
        timeouts=_timeouts(row.get("timeouts"), job_id),
    )
    for target in job.targets:
        if not job.may_fetch(target.path):
            raise JobFaultError(f"job {job_id}: a {kind.value} job may not take {target.path!r}")
    return job


def _target(row: Any, job_id: str) -> Target:
    path, sha256, length = (row.get(key) for key in Target._fields) if isinstance(row, dict) else (None,) * 3
    if (
        not isinstance(path, str)
        or not isinstance(sha256, str)
        or not _SHA256.fullmatch(sha256)
        or not isinstance(length, int)
        or isinstance(length, bool)
        or length < 0
    ):
        raise JobFaultError(f"job {job_id}: a target needs path, sha256 and length")
    return Target(path, sha256, length)


def _timeouts(row: Any, job_id: str) -> Timeouts:
    if row is None:
        return Timeouts()
    if not isinstance(row, dict) or set(row) - set(Timeouts._fields):
        raise JobFaultError(f"job {job_id}: timeouts may hold {', '.join(Timeouts._fields)}")
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and v > 0 for v in row.values()):
        raise JobFaultError(f"job {job_id}: a time-out is a number of seconds above 0")
    return Timeouts(**{key: float(value) for key, value in row.items()})


def _whole(row: Mapping[str, Any], key: str) -> int:
    value = row.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise JobFaultError(f"{key} must be a whole number of at least 0")
    return value


def _instant(value: Any, job_id: str) -> datetime | None:
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise JobFaultError(f"job {job_id}: {value!r} is no instant") from None
    if at.tzinfo is None:
        raise JobFaultError(f"job {job_id}: {value!r} lacks its time zone")
    return at.astimezone(UTC)


def stamp(at: datetime) -> str:
    """An instant as text: UTC, whole seconds."""
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
