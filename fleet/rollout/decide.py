"""The roll-out's judgement: what was heard and the time in, what to do next out. No clock, no broker, no database.

A site is given its job once. What ends badly, or does not end in time, counts against its ring; too much of that
stops the roll-out and takes back what is not yet installed. Nothing restarts a stopped roll-out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

from agent.update.job import BAD_ENDS, Kind, State, Target, stamp, time_limit_s
from fleet.rollout.plan import Plan
from fleet.standing import Standing


class Phase(StrEnum):
    """Where a roll-out stands."""

    RUNNING = "running"
    # By hand: nobody new is given the job; those who have it go on.
    PAUSED = "paused"
    # By itself, for too many failures; by hand. Open jobs were taken back.
    STOPPED = "stopped"
    ABORTED = "aborted"
    DONE = "done"


# The most that [updates] shadow_s may be.
_LONGEST_SHADOW_S = 604_800.0
OVER = frozenset({Phase.STOPPED, Phase.ABORTED, Phase.DONE})


class Wish(StrEnum):
    """What is to happen with a site's job, and whether it has happened in the repository."""

    LATER = "later"
    GIVE = "give"
    GIVEN = "given"
    TAKE_BACK = "take_back"
    TAKEN_BACK = "taken_back"


class Verdict(StrEnum):
    """How it came out at a site. `OUT`: withdrawn or superseded, so it says nothing of the release."""

    OPEN = ""
    GOOD = "good"
    BAD = "bad"
    OUT = "out"


@dataclass(frozen=True, slots=True)
class Row:
    """One site in a roll-out. Instants are the fleet's own: a site's clock may be wrong."""

    site: str
    ring: int
    targets: tuple[Target, ...]
    wish: Wish = Wish.LATER
    given_at: datetime | None = None
    state: State | None = None
    state_at: datetime | None = None
    reason: str = ""
    share: float = 0.0
    verdict: Verdict = Verdict.OPEN


@dataclass(frozen=True, slots=True)
class Rollout:
    """A plan and how far it has come. `ring` is the one being served, `approved` the highest that may begin."""

    plan: Plan
    rows: Mapping[str, Row]
    phase: Phase = Phase.RUNNING
    reason: str = ""
    since_at: datetime | None = None
    ring: int = 0
    passed_at: datetime | None = None
    approved: int = 0


class RingCount(NamedTuple):
    """A ring in numbers of sites."""

    name: str
    sites: int
    given: int
    good: int
    bad: int
    out: int


class Judged(NamedTuple):
    """The roll-out as it is now, and what has changed, for its record."""

    rollout: Rollout
    said: tuple[str, ...]


def counts(rollout: Rollout) -> tuple[RingCount, ...]:
    """Every ring in numbers."""
    found = []
    for number, ring in enumerate(rollout.plan.rings):
        rows = [row for row in rollout.rows.values() if row.ring == number]
        verdicts = [row.verdict for row in rows]
        found.append(
            RingCount(
                ring.name,
                len(rows),
                sum(row.given_at is not None for row in rows),
                verdicts.count(Verdict.GOOD),
                verdicts.count(Verdict.BAD),
                verdicts.count(Verdict.OUT),
            )
        )
    return tuple(found)


def heard(plan: Plan, row: Row, standing: Standing, now: datetime) -> Row:
    """A site's row after its word. Only what it says about this very job counts, and only what really runs there."""
    if row.given_at is None:
        return row
    job = standing.job(plan.kind)
    if job is None:
        return row
    if job.id != plan.job_id(row.site):
        newer = row.state is not None and row.verdict is Verdict.OPEN
        return replace(row, verdict=Verdict.OUT, reason=f"superseded by {job.id}") if newer else row
    if (job.state, job.reason, job.share) != (row.state, row.reason, row.share):
        at = row.state_at if job.state is row.state else now
        row = replace(row, state=job.state, state_at=at, reason=job.reason, share=job.share)
    verdict = row.verdict
    if job.state in BAD_ENDS:
        verdict = Verdict.BAD
    elif verdict is Verdict.OPEN and job.state is State.CANCELLED:
        verdict = Verdict.OUT
    elif verdict is Verdict.OPEN and job.state is State.CONFIRMED:
        # A site that says confirmed and runs something else is not believed; its time goes on running out.
        if standing.runs(plan.kind, plan.release, row.targets):
            verdict = Verdict.GOOD
        else:
            row = replace(row, reason="confirmed, but something else runs there")
    return row if verdict is row.verdict else replace(row, verdict=verdict)


def judge(rollout: Rollout, now: datetime) -> Judged:
    """One step: time-outs, thresholds, the next sites, the next ring."""
    rows = {site: _late(rollout.plan, row, now) for site, row in rollout.rows.items()}
    rollout = replace(rollout, rows=rows)
    if rollout.phase in OVER:
        return Judged(rollout, ())
    why = _too_many_failures(rollout)
    if why:
        return _end(rollout, Phase.STOPPED, why, now)
    if rollout.phase is Phase.PAUSED:
        return Judged(rollout, ())
    ring = counts(rollout)[rollout.ring]
    if ring.given < ring.sites:
        rollout = _give(rollout, now)
        ring = counts(rollout)[rollout.ring]
    if ring.given < ring.sites or not _passed(rollout.plan, ring):
        if ring.given == ring.sites == ring.good + ring.bad + ring.out:
            why = f"ring {ring.name}: {ring.good} of {ring.sites - ring.out} confirmed, {_needed(rollout.plan, ring)} wanted"
            return _end(rollout, Phase.STOPPED, why, now)
        return Judged(replace(rollout, passed_at=None), ())
    if rollout.passed_at is None:
        said = f"ring {ring.name} is passed: {ring.good} of {ring.sites} confirmed"
        return Judged(replace(rollout, passed_at=now), (said,))
    if now < rollout.passed_at + timedelta(seconds=rollout.plan.soak_s):
        return Judged(rollout, ())
    return _next_ring(rollout, now)


def pause(rollout: Rollout, why: str, now: datetime) -> Rollout:
    """Give it to nobody else for now."""
    return replace(rollout, phase=Phase.PAUSED, reason=why, since_at=now)


def resume(rollout: Rollout, now: datetime) -> Rollout:
    """Go on after a pause."""
    return replace(rollout, phase=Phase.RUNNING, reason="", since_at=now)


def abort(rollout: Rollout, why: str, now: datetime) -> Rollout:
    """End it by hand; open jobs are taken back."""
    return _end(rollout, Phase.ABORTED, why, now).rollout


def approve(rollout: Rollout) -> Rollout:
    """The next ring may begin once it is its turn."""
    return replace(rollout, approved=rollout.ring + 1)


def waits_for_approval(rollout: Rollout) -> bool:
    """Whether a person has to say yes before anything else happens, or will have to at the end of this ring."""
    after = rollout.ring + 1
    return rollout.phase not in OVER and after in rollout.plan.approve and rollout.approved < after


def where_it_stands(rollout: Rollout, now: datetime) -> str:
    """One line for people."""
    if rollout.phase is not Phase.RUNNING:
        return rollout.phase.value + (f": {rollout.reason}" if rollout.reason else "")
    ring = counts(rollout)[rollout.ring]
    text = f"ring {rollout.ring + 1} of {len(rollout.plan.rings)} ({ring.name}): {ring.good} of {ring.sites} confirmed"
    if ring.bad:
        text += f", {ring.bad} failed"
    if rollout.passed_at is None:
        return text
    soaked_at = rollout.passed_at + timedelta(seconds=rollout.plan.soak_s)
    if now < soaked_at:
        return f"{text}, soaks until {stamp(soaked_at)}"
    return f"{text}, waits for approval" if waits_for_approval(rollout) else text


def _late(plan: Plan, row: Row, now: datetime) -> Row:
    """A site that does not come to an end in time has failed: one that is never heard of must not hold the ring up."""
    if row.given_at is None or row.verdict is not Verdict.OPEN:
        return row
    state = row.state or State.OFFERED
    since = row.state_at or row.given_at
    # A model is in its shadow run first, as long as its site says.
    limit_s = None if plan.kind is Kind.MODEL and state is State.TRIAL else time_limit_s(state, plan.timeouts)
    everything_s = (
        plan.timeouts.download_s + plan.timeouts.wait_s + plan.timeouts.install_s + plan.timeouts.trial_s
    )
    in_state_s, in_all_s = (now - since).total_seconds(), (now - row.given_at).total_seconds()
    if limit_s is not None and in_state_s > limit_s + plan.grace_s:
        why = f"timed out: {state.value} for {in_state_s:.0f} s" if row.state else "timed out: never heard of"
    elif in_all_s > everything_s + plan.grace_s + (_LONGEST_SHADOW_S if plan.kind is Kind.MODEL else 0.0):
        why = f"timed out: not over after {in_all_s:.0f} s"
    else:
        return row
    reason = f"{why} ({row.reason})" if row.reason else why
    # It must not install it unwatched some day.
    wish = Wish.TAKE_BACK if row.wish is not Wish.TAKEN_BACK else row.wish
    return replace(row, verdict=Verdict.BAD, reason=reason, wish=wish)


def _too_many_failures(rollout: Rollout) -> str:
    plan, rings = rollout.plan, counts(rollout)
    for ring in rings:
        if ring.bad > plan.error_share * ring.sites:
            return f"ring {ring.name}: {ring.bad} of {ring.sites} failed, {plan.error_share:.0%} may"
    failed = sum(ring.bad for ring in rings)
    if plan.error_count is not None and failed >= plan.error_count:
        return f"{failed} sites failed, fewer than {plan.error_count} may"
    return ""


def _end(rollout: Rollout, phase: Phase, why: str, now: datetime) -> Judged:
    """Nobody new, and back with every job that has not come to its end. A site that installs already goes on."""
    rows = {
        site: replace(row, wish=Wish.TAKE_BACK)
        if row.wish in {Wish.GIVE, Wish.GIVEN} and row.verdict is Verdict.OPEN
        else row
        for site, row in rollout.rows.items()
    }
    ended = replace(rollout, rows=rows, phase=phase, reason=why, since_at=now)
    return Judged(ended, (f"{phase.value}: {why}",))


def _give(rollout: Rollout, now: datetime) -> Rollout:
    """As many of the ring's sites as the pace allows, in the ring's order."""
    rows = dict(rollout.rows)
    minute_ago = now - timedelta(minutes=1)
    lately = sum(row.given_at is not None and row.given_at > minute_ago for row in rows.values())
    left = rollout.plan.per_minute - lately
    for site in rollout.plan.rings[rollout.ring].sites:
        if left <= 0:
            break
        if rows[site].given_at is None:
            rows[site] = replace(rows[site], wish=Wish.GIVE, given_at=now)
            left -= 1
    return replace(rollout, rows=rows)


def _needed(plan: Plan, ring: RingCount) -> int:
    return max(1, math.ceil(plan.success_share * (ring.sites - ring.out) - 1e-9))


def _passed(plan: Plan, ring: RingCount) -> bool:
    return ring.good >= _needed(plan, ring)


def _next_ring(rollout: Rollout, now: datetime) -> Judged:
    plan, after = rollout.plan, rollout.ring + 1
    if after == len(plan.rings):
        if any(row.verdict is Verdict.OPEN for row in rollout.rows.values()):
            return Judged(rollout, ())
        rings = counts(rollout)
        good, sites = sum(ring.good for ring in rings), sum(ring.sites for ring in rings)
        done = replace(rollout, phase=Phase.DONE, reason=f"{good} of {sites} confirmed", since_at=now)
        return Judged(done, (f"done: {good} of {sites} confirmed",))
    if waits_for_approval(rollout):
        return Judged(rollout, ())
    name = plan.rings[after].name
    return Judged(replace(rollout, ring=after, passed_at=None), (f"ring {name} begins",))
