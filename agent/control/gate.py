"""The gate: no command passes that is not allow-listed, in range, due, and still wanted."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from math import isfinite
from typing import NamedTuple

from agent.config.parts import Point
from agent.config.site import Site
from agent.domain import Command, Refusal


class Passed(NamedTuple):
    """Commands that may be written, and those that were held back."""

    commands: tuple[Command, ...]
    refusals: tuple[Refusal, ...]


def allow_list(site: Site) -> frozenset[str]:
    """Tags that may ever be written: writable in the device and named by `allow_writes`."""
    return frozenset(tag for tag, point in site.points.items() if point.writable and site.may_write(tag))


class Gate:
    """Remembers when each tag was written last, for points that wear."""

    def __init__(self, allowed: frozenset[str], points: Mapping[str, Point]) -> None:
        self.allowed = allowed
        self._points = points
        self._written_at: dict[str, datetime] = {}

    def check(self, commands: Iterable[Command], now: datetime) -> Passed:
        """Let pass what may be written now. Handing back (value None) always may."""
        passed: list[Command] = []
        refusals: list[Refusal] = []
        for command in commands:
            rule, until = self._rule(command, now)
            if rule:
                refusals.append(Refusal(command.tag, f"write {command.value}", rule, until))
            else:
                passed.append(command)
        return Passed(tuple(passed), tuple(refusals))

    def written(self, tag: str, now: datetime) -> None:
        """A write of the tag went out."""
        self._written_at[tag] = now

    def _rule(self, command: Command, now: datetime) -> tuple[str, datetime | None]:
        value = command.value
        if command.tag not in self.allowed:
            return "not on the site's allow-list (allow_writes)", None
        if value is None:
            return "", None
        if now > command.not_after:
            return "command has expired", None
        if not isfinite(value):
            return "not a number", None
        point = self._points[command.tag]
        if point.write_min is not None and value < point.write_min:
            return f"{value:g} is below write_min {point.write_min:g}", None
        if point.write_max is not None and value > point.write_max:
            return f"{value:g} is above write_max {point.write_max:g}", None
        last = self._written_at.get(command.tag)
        if last is not None and point.min_write_interval_s > 0:
            due = last + timedelta(seconds=point.min_write_interval_s)
            if now < due:
                return f"written less than {point.min_write_interval_s:g} s ago", due
        return "", None
