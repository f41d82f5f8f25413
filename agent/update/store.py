"""What the updater remembers: every job it was ever offered, and a few facts. One row a job, on the disk."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from agent.store.database import Database
from agent.update.job import (
    ENDED,
    Kind,
    Progress,
    State,
    job_dict,
    read_job,
)

_SCHEMA = """
CREATE TABLE job (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, counter INTEGER NOT NULL, body TEXT NOT NULL, state TEXT NOT NULL,
    since TEXT NOT NULL, reason TEXT NOT NULL, who TEXT NOT NULL, ended INTEGER NOT NULL,
    number INTEGER NOT NULL
);
CREATE INDEX job_kind ON job (kind, number);
CREATE TABLE fact (name TEXT PRIMARY KEY, value TEXT NOT NULL)
"""
_MAX_BYTES = 16 << 20
# Ended jobs beyond this many are forgotten; their counters are not.
_KEPT = 200


class UpdateStore:
    """`updates.db`. Raises StoreError where another agent has it."""

    def __init__(self, path: Path | str) -> None:
        self._database = Database(path, schema=_SCHEMA, version=1, synchronous="FULL", max_bytes=_MAX_BYTES)

    def put(self, progress: Progress) -> None:
        """Keep where a job stands; on the disk when it returns."""
        job = progress.job

        def work(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO job VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, (SELECT coalesce(max(number), 0) + 1 FROM job)) "
                "ON CONFLICT (id) DO UPDATE SET state = excluded.state, since = excluded.since, "
                "reason = excluded.reason, who = excluded.who, ended = excluded.ended",
                (
                    job.id,
                    job.kind.value,
                    job.counter,
                    json.dumps(job_dict(job)),
                    progress.state.value,
                    progress.since_at.astimezone(UTC).isoformat(),
                    progress.reason,
                    progress.who,
                    progress.state in ENDED,
                ),
            )
            connection.execute(
                "DELETE FROM job WHERE ended AND number <= (SELECT max(number) FROM job) - ?", (_KEPT,)
            )

        self._database.run(work)
        if progress.state is State.ACCEPTED:
            self.set_fact(f"taken:{job.kind.value}", job.counter)

    def jobs(self, *, open_only: bool = False) -> list[Progress]:
        """Jobs in the order in which they were offered."""
        rows = self._database.run(
            lambda c: c.execute("SELECT body, state, since, reason, who FROM job ORDER BY number").fetchall()
        )
        found = [
            Progress(read_job(json.loads(body)), State(state), datetime.fromisoformat(since), reason, who)
            for body, state, since, reason, who in rows
        ]
        return [each for each in found if each.state not in ENDED] if open_only else found

    def job(self, job_id: str) -> Progress | None:
        """One job; None when it was never offered."""
        return next((each for each in self.jobs() if each.job.id == job_id), None)

    def taken_counter(self, kind: Kind) -> int:
        """The highest counter of a job of this kind that was accepted."""
        return int(self.fact(f"taken:{kind.value}", 0))

    def fact(self, name: str, otherwise: Any) -> Any:
        """A fact as it was set."""
        row = self._database.run(
            lambda c: c.execute("SELECT value FROM fact WHERE name = ?", (name,)).fetchone()
        )
        return json.loads(row[0]) if row else otherwise

    def set_fact(self, name: str, value: object) -> None:
        """Keep a fact; on the disk when it returns."""
        self.set_facts({name: value})

    def set_facts(self, facts: Mapping[str, object]) -> None:
        """Keep several facts, all or none."""
        rows = [(name, json.dumps(value)) for name, value in facts.items()]
        self._database.run(
            lambda c: c.executemany(
                "INSERT INTO fact VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value", rows
            )
        )

    def close(self) -> None:
        """Close the file."""
        self._database.close()
