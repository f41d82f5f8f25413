"""A device whose readings are fed by the caller and whose commands the caller takes: co-simulation."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from agent.config.parts import Device
from agent.domain import Command, Quality, Reading, WriteResult
from agent.drivers.memory import LastValues
from agent.drivers.writes import why_not

# Before the first line there is no time but the earliest.
BEFORE_THE_FIRST_LINE = datetime.min.replace(tzinfo=UTC)


class LinesDriver:
    """A `Driver` (agent/drivers/base.py) without a wire. Its time is the time of the lines.

    Values are canonical already; nothing is read back, so a written command counts as taken.
    """

    def __init__(self, device_id: str, device: Device) -> None:
        self._id = device_id
        self._points = {f"{device_id}.{name}": point for name, point in device.points.items()}
        self._last = LastValues(device.stale_after_s)
        self._now = BEFORE_THE_FIRST_LINE
        self._fresh: dict[str, Reading] = {}
        self._written: set[str] = set()
        self._commands: dict[str, float | None] = {}

    @property
    def device(self) -> str:
        return self._id

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self._points)

    def feed(self, at: datetime, readings: Mapping[str, float | None]) -> None:
        """Take one line: tag -> canonical value, None (or NaN) for unknown. Other tags are let be.

        A tag that the line does not name keeps its last value, UNCERTAIN and then STALE.
        """
        self._now = at
        self._fresh.clear()
        for tag in self._points:
            if tag not in readings:
                continue
            value = readings[tag]
            if value is None or not math.isfinite(value):
                self._last.forget(tag)
            else:
                reading = self._fresh[tag] = Reading(float(value), Quality.GOOD, at)
                self._last.keep(tag, reading)

    def take(self) -> dict[str, float | None]:
        """The commands since the last call, the latest of each tag; None hands the point back."""
        commands, self._commands = self._commands, {}
        return commands

    async def connect(self) -> None:
        return

    async def read(self, tags: Sequence[str]) -> dict[str, Reading]:
        return {
            tag: self._fresh[tag] if tag in self._fresh else self._last.recall(tag, self._now) for tag in tags
        }

    async def write(self, commands: Sequence[Command]) -> list[WriteResult]:
        return [self._write_one(command) for command in commands]

    async def release(self) -> None:
        for tag in sorted(self._written):
            self._commands[tag] = None
        self._written.clear()

    async def close(self) -> None:
        return

    def _write_one(self, command: Command) -> WriteResult:
        tag, value = command.tag, command.value
        point = self._points.get(tag)
        if point is None:
            return WriteResult(tag, value, ok=False, error=f"device {self._id} has no such point")
        reason = why_not(point, command, self._now)
        if reason:
            return WriteResult(tag, value, ok=False, error=reason)
        if value is not None:
            self._written.add(tag)
            self._commands[tag] = value
        elif tag in self._written:
            self._written.discard(tag)
            self._commands[tag] = None
        return WriteResult(tag, value, ok=True, read_back=value)
