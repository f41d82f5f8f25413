"""One line of the doctor's report."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple


class Level(StrEnum):
    """FAIL: the agent will not do its work. WARN: it will, and something about it should be put right."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


class Finding(NamedTuple):
    """What was looked at, how it is, and what to do about it (empty where it is well)."""

    check: str
    level: Level
    what: str
    fix: str = ""


def ok(check: str, what: str) -> Finding:
    return Finding(check, Level.OK, what)


def warn(check: str, what: str, fix: str) -> Finding:
    return Finding(check, Level.WARN, what, fix)


def fail(check: str, what: str, fix: str) -> Finding:
    return Finding(check, Level.FAIL, what, fix)


def worst(findings: Iterable[Finding]) -> Level:
    """The level of the whole: its worst line's."""
    order = list(Level)
    return max((finding.level for finding in findings), key=order.index, default=Level.OK)
