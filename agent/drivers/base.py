"""The one face that every protocol shows to the daemon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from agent.domain import Command, Reading, WriteResult


class Driver(Protocol):
    """One device. The world's failures are values here: BAD readings, results that are not ok.

    `read` and `write` never raise for a dead link, a refused write or a strange answer; they
    return within the device's time-out. Values are canonical units (agent/units.py).
    """

    @property
    def device(self) -> str:
        """The device's id in site.toml."""
        ...

    @property
    def tags(self) -> tuple[str, ...]:
        """Every tag of the device, `device.point`."""
        ...

    async def connect(self) -> None:
        """Begin to keep the link up; returns at once or after the first attempt, never raises for a dead link."""
        ...

    async def read(self, tags: Sequence[str]) -> dict[str, Reading]:
        """One reading for each tag asked for, BAD with the present time where there is none."""
        ...

    async def write(self, commands: Sequence[Command]) -> list[WriteResult]:
        """Write, read back, compare; one result for each command, in order. A command whose value
        is None hands its point back: the value that stood there before our first write returns.
        """
        ...

    async def release(self) -> None:
        """Hand back every point that was written since the last release."""
        ...

    async def close(self) -> None:
        """Drop the link without writing anything."""
        ...
