"""Roll-outs in the database: begun once, changed by one at a time, each change with who and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from agent.errors import DataError
from agent.update.job import Kind, State, Target, Timeouts
from fleet.database import FleetDatabase, rollout_events, rollout_sites, rollout_targets, rollouts
from fleet.rollout.decide import OVER, Phase, Rollout, Row, Verdict, Wish
from fleet.rollout.plan import Plan, Ring

ENGINE = "rollout"
_EVERY_SITE = "*"


class Event(NamedTuple):
    """A line of a roll-out's record."""

    at: datetime
    who: str
    what: str


class Turn:
    """A roll-out that nobody else may change meanwhile."""

    def __init__(self, connection: sa.Connection, rollout: Rollout) -> None:
        self._connection, self.rollout = connection, rollout

    def put(self, after: Rollout, now: datetime, *, said: tuple[str, ...] = (), who: str = ENGINE) -> None:
        """Keep what has changed."""
        before, rollout_id = self.rollout, after.plan.id
        self.rollout = after
        if replace(before, rows={}) != replace(after, rows={}):
            self._connection.execute(
                rollouts.update().where(rollouts.c.id == rollout_id).values(**_phase_columns(after))
            )
        changed = [row for site, row in after.rows.items() if row is not before.rows[site]]
        for row in changed:
            self._connection.execute(
                rollout_sites.update()
                .where(rollout_sites.c.rollout == rollout_id, rollout_sites.c.site == row.site)
                .values(**_row_columns(row))
            )
        if after.phase in OVER and before.phase not in OVER:
            self._connection.execute(
                rollout_sites.update().where(rollout_sites.c.rollout == rollout_id).values(holds=False)
            )
        for what in said:
            _say(self._connection, rollout_id, now, who, what)


def begin(
    database: FleetDatabase,
    plan: Plan,
    targets: Mapping[str, tuple[Target, ...]],
    now: datetime,
    *,
    who: str,
    why: str,
) -> bool:
    """Record a new roll-out; False when it is there already, the same. Raises DataError for another of that id,
    and for a site that another roll-out of the kind still holds."""
    rows = {
        site: Row(site, number, targets[site])
        for number, ring in enumerate(plan.rings)
        for site in ring.sites
    }
    known = load(database, plan.id)
    if known is not None:
        if known.plan == plan and {s: r.targets for s, r in known.rows.items()} == dict(targets):
            return False
        raise DataError(
            f"roll-out {plan.id!r} is there, and another one", where="--id", fix="take another id"
        )
    common = targets[plan.rings[0].sites[0]] if plan.kind is Kind.AGENT else None
    try:
        with database.writing() as connection:
            connection.execute(
                rollouts.insert().values(
                    id=plan.id,
                    plan=_plan_json(plan),
                    begun_at=now,
                    **_phase_columns(Rollout(plan, rows, since_at=now)),
                )
            )
            connection.execute(
                rollout_sites.insert(),
                [
                    {
                        "rollout": plan.id,
                        "site": row.site,
                        "kind": plan.kind.value,
                        "holds": True,
                        "ring": row.ring,
                        "targets": _EVERY_SITE if common is not None else row.site,
                        **_row_columns(row),
                    }
                    for row in rows.values()
                ],
            )
            kept = {_EVERY_SITE: common} if common is not None else targets
            connection.execute(
                rollout_targets.insert(),
                [
                    {"rollout": plan.id, "key": key, "targets": _targets_json(each)}
                    for key, each in kept.items()
                ],
            )
            _say(connection, plan.id, now, who, f"begun: {why}")
    except IntegrityError:
        raise DataError(
            f"a site is still held by {', '.join(_holders(database, plan)) or 'another roll-out'}",
            where=f"one roll-out of kind {plan.kind.value} a site",
            fix="wait for its end, abort it, or leave those sites out",
        ) from None
    return True


@contextmanager
def turn(database: FleetDatabase, rollout_id: str) -> Iterator[Turn]:
    """Read a roll-out to change it. Raises DataError where there is none."""
    with database.writing() as connection:
        # PostgreSQL locks the row; SQLite has locked the file.
        query = sa.select(rollouts).where(rollouts.c.id == rollout_id).with_for_update()
        found = connection.execute(query).first()
        if found is None:
            raise DataError(
                f"there is no roll-out {rollout_id!r}", where="ID", fix="trimload-fleet rollout list"
            )
        yield Turn(connection, _read(connection, found))


def load(database: FleetDatabase, rollout_id: str) -> Rollout | None:
    """A roll-out as it stands; None where there is none."""
    with database.reading() as connection:
        found = connection.execute(sa.select(rollouts).where(rollouts.c.id == rollout_id)).first()
        return None if found is None else _read(connection, found)


def ids(database: FleetDatabase, *, unfinished: bool = False) -> list[str]:
    """Roll-outs, newest first; with `unfinished`, those on which something may still happen."""
    query = sa.select(rollouts.c.id).order_by(rollouts.c.begun_at.desc(), rollouts.c.id)
    if unfinished:
        site = rollout_sites.c
        going_on = sa.select(site.rollout).where(
            sa.or_(
                site.wish.in_([Wish.GIVE.value, Wish.TAKE_BACK.value]),
                sa.and_(site.given_at.is_not(None), site.verdict == Verdict.OPEN.value),
            )
        )
        over = [phase.value for phase in OVER]
        query = query.where(sa.or_(rollouts.c.phase.not_in(over), rollouts.c.id.in_(going_on)))
    with database.reading() as connection:
        return list(connection.execute(query).scalars())


def recent(database: FleetDatabase, *, over: int, site: str | None = None) -> list[Rollout]:
    """Those going on, then the newest `over` that are over; with `site`, those that it is in."""
    query = sa.select(rollouts.c.id, rollouts.c.phase).order_by(rollouts.c.begun_at.desc(), rollouts.c.id)
    if site is not None:
        c = rollout_sites.c
        query = query.where(rollouts.c.id.in_(sa.select(c.rollout).where(c.site == site)))
    with database.reading() as connection:
        rows = [(rollout_id, Phase(phase)) for rollout_id, phase in connection.execute(query)]
    going_on = [rollout_id for rollout_id, phase in rows if phase not in OVER]
    ended = [rollout_id for rollout_id, phase in rows if phase in OVER][:over]
    return [rollout for each in (*going_on, *ended) if (rollout := load(database, each)) is not None]


def events(database: FleetDatabase, rollout_id: str) -> list[Event]:
    """The record of a roll-out, oldest first."""
    c = rollout_events.c
    query = sa.select(c.at, c.who, c.what).where(c.rollout == rollout_id).order_by(c.id)
    with database.reading() as connection:
        return [Event(*row) for row in connection.execute(query)]


def _holders(database: FleetDatabase, plan: Plan) -> list[str]:
    c = rollout_sites.c
    wanted = [site for ring in plan.rings for site in ring.sites]
    query = sa.select(c.rollout, c.site).where(c.holds, c.kind == plan.kind.value)
    with database.reading() as connection:
        return sorted({rollout for rollout, site in connection.execute(query) if site in set(wanted)})


def _say(connection: sa.Connection, rollout_id: str, now: datetime, who: str, what: str) -> None:
    connection.execute(rollout_events.insert().values(rollout=rollout_id, at=now, who=who, what=what))


def _read(connection: sa.Connection, found: sa.Row[Any]) -> Rollout:
    plan = _read_plan(found.plan)
    c = rollout_targets.c
    kept = {
        key: _read_targets(text)
        for key, text in connection.execute(sa.select(c.key, c.targets).where(c.rollout == found.id))
    }
    rows = {
        row.site: Row(
            site=row.site,
            ring=row.ring,
            targets=kept[row.targets],
            wish=Wish(row.wish),
            given_at=row.given_at,
            state=None if row.state is None else State(row.state),
            state_at=row.state_at,
            reason=row.reason,
            share=row.share,
            verdict=Verdict(row.verdict),
        )
        for row in connection.execute(sa.select(rollout_sites).where(rollout_sites.c.rollout == found.id))
    }
    return Rollout(
        plan,
        rows,
        Phase(found.phase),
        found.reason,
        found.since_at,
        found.ring,
        found.passed_at,
        found.approved,
    )


def _phase_columns(rollout: Rollout) -> dict[str, object]:
    return {
        "phase": rollout.phase.value,
        "reason": rollout.reason,
        "since_at": rollout.since_at,
        "ring": rollout.ring,
        "passed_at": rollout.passed_at,
        "approved": rollout.approved,
    }


def _row_columns(row: Row) -> dict[str, object]:
    return {
        "wish": row.wish.value,
        "given_at": row.given_at,
        "state": None if row.state is None else row.state.value,
        "state_at": row.state_at,
        "reason": row.reason,
        "share": row.share,
        "verdict": row.verdict.value,
    }


def _plan_json(plan: Plan) -> str:
    body = asdict(plan)
    body["rings"] = [[ring.name, list(ring.sites)] for ring in plan.rings]
    body["approve"] = sorted(plan.approve)
    body["timeouts"] = plan.timeouts._asdict()
    return json.dumps(body, sort_keys=True)


@lru_cache(maxsize=64)
def _read_plan(text: str) -> Plan:
    body = json.loads(text)
    return Plan(
        **{
            **body,
            "kind": Kind(body["kind"]),
            "rings": tuple(Ring(name, tuple(sites)) for name, sites in body["rings"]),
            "approve": frozenset(body["approve"]),
            "timeouts": Timeouts(**body["timeouts"]),
        }
    )


def _targets_json(targets: tuple[Target, ...]) -> str:
    return json.dumps([list(target) for target in targets])


@lru_cache(maxsize=4096)
def _read_targets(text: str) -> tuple[Target, ...]:
    return tuple(Target(path, sha256, length) for path, sha256, length in json.loads(text))
