"""The production plan on site: a file that is watched, messages that come, and what both said kept over restarts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.config.services import Production
from agent.inference.production import PlanRow, merged, parse_plan, plan_columns, plan_text
from agent.log import get_logger
from agent.update.files import write_durably

log = get_logger(__name__)

Event = tuple[str, datetime, dict[str, object]]

LOOK_EVERY_S = 60.0
# The longest history that a model looks back at, and the day before it.
KEEP_DAYS = 64
MOST_BYTES = 4_000_000


class ProductionPlan:
    """The plan in force. `version` changes with every change of it.

    `kept_at` is where it is remembered: an export or a retained message may hold the days to come alone, and a model
    looks back. A plan that cannot be read changes nothing and is told.
    """

    def __init__(
        self,
        config: Production,
        timezone: str,
        kept_at: Path | None = None,
        *,
        rows: tuple[PlanRow, ...] = (),
    ) -> None:
        self.version = 0
        self.topic = config.topic
        self._file, self._timezone, self._kept_at = config.file, timezone, kept_at
        self._rows = rows
        self._stamp: tuple[int, int] | None = None
        self._looked_at: datetime | None = None
        self._said = ""
        self._events: list[Event] = []
        if kept_at is not None:
            self._remember(kept_at)

    @property
    def rows(self) -> tuple[PlanRow, ...]:
        """By line and time."""
        return self._rows

    def take(self, text: str, source: str, now: datetime) -> bool:
        """Take a plan in, CSV or JSON; False where it cannot be read, which changes nothing."""
        try:
            read = parse_plan(text, self._timezone)
        except ValueError as error:
            self._tell("production_plan_refused", now, {"source": source, "reason": str(error)})
            return False
        since = now - timedelta(days=KEEP_DAYS)
        rows = tuple(each for each in merged(self._rows, read.rows) if each.at >= since)
        # The row in force when the past was cut off still holds.
        older = {each.line: each for each in sorted(merged(self._rows, read.rows)) if each.at < since}
        rows = tuple(sorted([*older.values(), *rows]))
        if rows != self._rows:
            self._rows = rows
            self.version += 1
            self._keep()
        lines = sorted({each.line for each in read.rows})
        self._tell(
            "production_plan",
            now,
            {
                "source": source,
                "rows": len(read.rows),
                "skipped": read.skipped,
                "lines": lines[:20],
                "from": min(each.at for each in read.rows).isoformat(),
                "to": max(each.at for each in read.rows).isoformat(),
            },
        )
        return True

    def receive(self, content: bytes, now: datetime) -> bool:
        """Take a message in; False where it cannot be read."""
        if len(content) > MOST_BYTES:
            reason = f"{len(content)} bytes, at most {MOST_BYTES}"
        else:
            try:
                return self.take(content.decode("utf-8-sig"), "message", now)
            except UnicodeDecodeError as error:
                reason = str(error)
        self._tell("production_plan_refused", now, {"source": "message", "reason": reason})
        return False

    def look(self, now: datetime) -> list[Event]:
        """Read the file again where it has changed, at most once a minute; what is to be told since the last look."""
        due = self._looked_at is None or (now - self._looked_at).total_seconds() >= LOOK_EVERY_S
        if self._file is not None and due:
            self._looked_at = now
            self._read_file(self._file, now)
        told, self._events = self._events, []
        return told

    def columns(
        self, names: Sequence[str], first_at: datetime, step_s: int, length: int
    ) -> NDArray[np.float64]:
        """[length, len(names)], NaN where the plan says nothing."""
        return plan_columns(self._rows, names, first_at, step_s, length)

    def _read_file(self, path: Path, now: datetime) -> None:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if stamp == self._stamp:
                return
            if status.st_size > MOST_BYTES:
                raise ValueError(f"{status.st_size} bytes, at most {MOST_BYTES}")
            text = path.read_text(encoding="utf-8-sig")
        except (OSError, ValueError) as error:
            self._stamp = None
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self._tell("production_plan_refused", now, {"source": str(path), "reason": reason or repr(error)})
            return
        self._stamp = stamp
        self.take(text, str(path), now)

    def _tell(self, kind: str, now: datetime, fields: dict[str, object]) -> None:
        """Once for each change of what there is to say: a file that is missing is missing every minute."""
        text = f"{kind} {fields}"
        if text == self._said:
            return
        self._said = text
        self._events.append((kind, now, fields))
        (log.info if kind == "production_plan" else log.warning)(kind, **fields)

    def _remember(self, kept_at: Path) -> None:
        try:
            self._rows = parse_plan(kept_at.read_text(encoding="utf-8"), "UTC").rows
        except FileNotFoundError:
            return
        except (OSError, ValueError) as error:
            log.warning("production_plan_forgotten", path=str(kept_at), reason=str(error))

    def _keep(self) -> None:
        if self._kept_at is None:
            return
        try:
            write_durably(self._kept_at, plan_text(self._rows).encode())
        except OSError as error:
            log.warning("production_plan_not_kept", path=str(self._kept_at), reason=error.strerror)
