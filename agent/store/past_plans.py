"""The plans that stand in an agent's ledger, read beside the running agent: nothing is locked or written."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from agent.errors import StoreError
from agent.store.ledger import read_export
from agent.store.reading import open_to_read


class PastPlan(NamedTuple):
    """A row of kind `plan`: when it was made and its fields."""

    at: datetime
    fields: dict[str, Any]


def past_plan(state: Path, until: datetime, station: str | None = None) -> PastPlan:
    """The last plan made at or before `until`, of `station` or of any.

    Looks into `ledger.db` and, for what has gone out of it, into the exported files beside it. Raises
    StoreError where there is no ledger or no such plan.
    """
    path = state / "ledger.db" if state.is_dir() else state
    if not path.is_file():
        raise StoreError(
            "there is no ledger",
            where=str(path),
            fix="name the state directory of an agent that has run: `trimload run SITE.toml` writes it",
        )
    stations: set[str] = set()
    earliest: datetime | None = None
    for plan in _plans(path, until):
        name = str(plan.fields.get("station"))
        if station is None or name == station:
            return plan
        stations.add(name)
        earliest = plan.at
    known = f"; there are plans of {', '.join(sorted(stations))}" if stations else ""
    raise StoreError(
        f"no plan{f' of {station}' if station else ''} at or before {until.isoformat()}{known}",
        where=str(path),
        fix="name a later instant" if earliest is None else "name a station that has plans",
    )


def _plans(path: Path, until: datetime) -> Iterator[PastPlan]:
    """Rows of kind `plan`, newest first, the database's before the exported files'."""
    stamp = until.astimezone(UTC).isoformat(timespec="microseconds")
    try:
        with closing(open_to_read(path, "entry")) as connection:
            rows = connection.execute(
                "SELECT at, fields FROM entry WHERE kind = 'plan' AND at <= ? ORDER BY seq DESC", (stamp,)
            )
            for at, fields in rows:
                yield PastPlan(datetime.fromisoformat(at), json.loads(fields))
    except sqlite3.DatabaseError as error:
        raise StoreError(
            f"the ledger cannot be read: {error}",
            where=str(path),
            fix="check the permissions, or name another state directory",
        ) from error
    for export in sorted(path.parent.glob(f"{path.stem}-????-??-??.jsonl"), reverse=True):
        try:
            entries = read_export(export)[1]
        except (ValueError, TypeError) as error:
            raise StoreError(
                f"an exported part of the ledger cannot be read: {error}",
                where=str(export),
                fix="look at the file; move it away to pass it over",
            ) from error
        for entry in reversed(entries):
            if entry.kind == "plan" and entry.at <= until:
                yield PastPlan(entry.at, entry.values())
