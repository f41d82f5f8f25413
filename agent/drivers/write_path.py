"""The road of a written value, the same over every wire: remember what stood there, write, read back, compare, hand back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import Generic, NamedTuple, Protocol, TypeVar

from agent.clock import Clock, pause
from agent.config.parts import Point
from agent.domain import Command, WriteResult
from agent.drivers.scaling import EncodeError
from agent.drivers.writes import AWAY, agrees, shown, why_not

log = logging.getLogger("trimload.drivers")
Raw = TypeVar("Raw")

# A PLC takes a written value over at the end of its scan.
READ_BACK_AGAIN_AFTER_S = 0.05


class Fault(NamedTuple):
    """Why the wire did not do what was asked; `refused`: the device said no, and nothing has changed there."""

    text: str
    refused: bool = False


class Outcome(NamedTuple):
    """What became of a write: an error or "", what stands there now, whether nothing was taken."""

    error: str
    read_back: float | None = None
    refused: bool = False


class Wire(Protocol[Raw]):
    """What a protocol does for it. `Raw` is a value as the device holds it."""

    @property
    def away(self) -> bool:
        """Whether there is no link."""
        ...

    async def fetch(self, tag: str) -> Raw | Fault:
        """What stands at the point now."""
        ...

    async def put(self, tag: str, raw: Raw) -> Fault | None:
        """Write; None where the device has taken it."""
        ...

    def unfit(self, tag: str, value: float) -> str:
        """Why no device could take the value, "" where that is not known before asking it."""
        ...

    def raw_of(self, tag: str, value: float, standing: Raw) -> Raw:
        """The value for the device, of the kind of what stands there. Raises EncodeError."""
        ...

    def value_of(self, tag: str, raw: Raw) -> float | None:
        """The value in canonical units; None where it is no number."""
        ...


class WritePath(Generic[Raw]):
    """Writes of one device. `lock` is the device's: one question at a time on its wire."""

    def __init__(
        self, device_id: str, points: Mapping[str, Point], wire: Wire[Raw], clock: Clock, lock: asyncio.Lock
    ) -> None:
        self._id = device_id
        self._points = points
        self._wire = wire
        self._clock = clock
        self._lock = lock
        # What stood at each point before our first write.
        self._originals: dict[str, Raw] = {}

    async def write(self, commands: Sequence[Command]) -> list[WriteResult]:
        """Write, read back, compare; one result for each command, in order."""
        async with self._lock:
            return [await self._write_one(command) for command in commands]

    async def release(self) -> None:
        """Hand back every point that was written since the last release."""
        async with self._lock:
            # Last written, first handed back: "remote control on" came before its set-points.
            for tag in reversed(tuple(self._originals)):
                result = await self._hand_back(tag)
                if not result.ok:
                    log.warning("hand_back_failed device=%s tag=%s reason=%s", self._id, tag, result.error)

    async def _write_one(self, command: Command) -> WriteResult:
        tag, value = command.tag, command.value
        point = self._points.get(tag)
        if point is None:
            return WriteResult(tag, value, ok=False, error=f"device {self._id} has no such point")
        if value is None:
            return await self._hand_back(tag)
        reason = why_not(point, command, self._clock.now()) or self._wire.unfit(tag, value)
        if reason:
            return WriteResult(tag, value, ok=False, error=reason)
        if self._wire.away:
            return WriteResult(tag, value, ok=False, error=AWAY)
        first = tag not in self._originals
        standing = await self._wire.fetch(tag) if first else self._originals[tag]
        if isinstance(standing, Fault):
            return WriteResult(tag, value, ok=False, error=f"read before the first write: {standing.text}")
        try:
            raw = self._wire.raw_of(tag, value, standing)
        except EncodeError as error:
            return WriteResult(tag, value, ok=False, error=str(error))
        self._originals[tag] = standing
        outcome = await self._put(tag, raw)
        if first and outcome.refused:
            del self._originals[tag]
        return WriteResult(tag, value, not outcome.error, outcome.read_back, outcome.error)

    async def _hand_back(self, tag: str) -> WriteResult:
        if tag not in self._originals:
            return WriteResult(tag, None, ok=True)
        if self._wire.away:
            return WriteResult(tag, None, ok=False, error=AWAY)
        outcome = await self._put(tag, self._originals[tag])
        if not outcome.error:
            del self._originals[tag]
        return WriteResult(tag, None, not outcome.error, outcome.read_back, outcome.error)

    async def _put(self, tag: str, raw: Raw) -> Outcome:
        """Write, read back, compare."""
        fault = await self._wire.put(tag, raw)
        if fault is not None:
            return Outcome(f"write{' refused' if fault.refused else ''}: {fault.text}", refused=fault.refused)
        wanted = self._wire.value_of(tag, raw)
        read_back: float | None = None
        for again in (True, False):
            back = await self._wire.fetch(tag)
            if isinstance(back, Fault):
                return Outcome(f"read back: {back.text}")
            read_back = self._wire.value_of(tag, back)
            if agrees(self._points[tag], wanted, read_back):
                return Outcome("", read_back)
            if again:
                await pause(READ_BACK_AGAIN_AFTER_S)
        return Outcome(f"read back {shown(read_back)}, wanted {shown(wanted)}", read_back)
