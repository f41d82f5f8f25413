"""Log lines as an event name and fields: `command_written tag=c1.load value=1 plan=air-17`.

One line per event, the same for a person and for grep; under systemd the journal gets the fields one by
one besides (`journalctl TRIMLOAD_EVENT=command_written -o json`). Callers log what changes (lost, back), never
what lasts.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import TextIO

from agent.journal import Journal, field_name, stderr_is_the_journal

_PLAIN = re.compile(r"[^\s\"'=\\]+")
_SECRET = re.compile(r"(password|passwd|secret|token|credential|private_key)$", re.IGNORECASE)
# sd-daemon(3): journald reads the syslog priority from a "<n>" before each line.
_PRIORITY = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}


def _text(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, datetime):
        return value.isoformat()
    plain = str(value.value if isinstance(value, Enum) else value)
    return plain if _PLAIN.fullmatch(plain) else json.dumps(plain, ensure_ascii=False)


def event_line(event: str, fields: Mapping[str, object]) -> str:
    """`event key=value ...`; text with blanks is quoted, a field named like a secret is hidden."""
    parts = [event]
    parts += [f"{key}={_shown(key, _text(value))}" for key, value in fields.items()]
    return " ".join(parts)


def _shown(key: str, text: str) -> str:
    return "***" if _SECRET.search(key) else text


@dataclass(frozen=True, slots=True)
class EventLog:
    """What a module writes to. Level by audience: INFO is for the site's engineer, DEBUG for us."""

    logger: logging.Logger

    def debug(self, event: str, **fields: object) -> None:
        self._write(logging.DEBUG, event, fields)

    def info(self, event: str, **fields: object) -> None:
        self._write(logging.INFO, event, fields)

    def warning(self, event: str, **fields: object) -> None:
        self._write(logging.WARNING, event, fields)

    def error(self, event: str, **fields: object) -> None:
        self._write(logging.ERROR, event, fields)

    def _write(self, level: int, event: str, fields: Mapping[str, object]) -> None:
        if self.logger.isEnabledFor(level):
            self.logger.log(level, "%s", event_line(event, fields), extra={"event": event, "fields": fields})


def get_logger(name: str) -> EventLog:
    """The log of a module: `get_logger(__name__)`."""
    return EventLog(logging.getLogger(name))


class _LineFormat(logging.Formatter):
    def __init__(self, now: Callable[[], datetime] | None, *, journal: bool) -> None:
        super().__init__()
        self._now = now
        self._journal = journal

    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        name = record.name.removeprefix("agent.")
        if self._journal:
            prefix = f"<{_PRIORITY.get(record.levelno, 6)}>"
            return "\n".join(f"{prefix}{name}: {line}" for line in text.splitlines())
        at = self._now() if self._now else datetime.fromtimestamp(record.created, UTC)
        return f"{at:%Y-%m-%dT%H:%M:%S}Z {record.levelname.lower():7} {name}: {text}"


class RecentLines(logging.Handler):
    """The last lines, for whoever cannot read the journal: a log bundle asked for from afar."""

    def __init__(self, lines: int = 2000) -> None:
        super().__init__()
        self.lines: deque[str] = deque(maxlen=lines)
        self.setFormatter(_LineFormat(None, journal=False))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))

    def attach(self) -> None:
        """Hear every line from now on, beside where they go already."""
        logging.getLogger().addHandler(self)

    def detach(self) -> None:
        """Hear no more."""
        logging.getLogger().removeHandler(self)


class _JournalHandler(logging.StreamHandler[TextIO]):
    """To the journal with fields; as a line on standard error where it does not take the message."""

    def __init__(self) -> None:
        super().__init__(sys.stderr)
        self._journal = Journal()

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{logging.Formatter().formatException(record.exc_info)}"
        name = record.name.removeprefix("agent.")
        fields = {
            "MESSAGE": f"{name}: {text}",
            "PRIORITY": str(_PRIORITY.get(record.levelno, 6)),
            "SYSLOG_IDENTIFIER": "trimload",
            "CODE_FUNC": name,
        }
        event: str | None = getattr(record, "event", None)
        if event is not None:
            fields["TRIMLOAD_EVENT"] = event
            values: Mapping[str, object] = getattr(record, "fields", {})
            for key, value in values.items():
                plain = value if isinstance(value, str) else _text(value)
                fields[field_name(key)] = _shown(key, plain)
        if not self._journal.send(fields):
            super().emit(record)

    def close(self) -> None:
        self._journal.close()
        super().close()


def configure(
    level: str = "info", *, stream: TextIO | None = None, now: Callable[[], datetime] | None = None
) -> None:
    """Send every log line to `stream` (standard error); call once, at the composition root.

    `now` stamps the lines with a simulated clock. Under systemd the stamp is journald's own and
    the level goes as its priority prefix.
    """
    to_journal = stream is None and stderr_is_the_journal()
    handler = _JournalHandler() if to_journal else logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(_LineFormat(now, journal=stream is None and "JOURNAL_STREAM" in os.environ))
    root = logging.getLogger()
    for before in root.handlers:
        if isinstance(before, _JournalHandler):
            before.close()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for ours in ("agent", "twin", "training", "fleet"):
        logging.getLogger(ours).setLevel(level.upper())
