"""Modbus TCP: coalesced block reads, writes with read-back, one device per connection."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from agent.clock import Clock, elapsed_s
from agent.config.parts import Device, Point
from agent.domain import Command, Quality, Reading, WriteResult
from agent.drivers.blocks import Block, Span, coalesce, rejoin, split
from agent.drivers.memory import LastValues
from agent.drivers.modbus_codec import (
    BIT_TABLES,
    BlockCodec,
    bit_of,
    decode,
    encode,
    with_bit,
    word_count,
)
from agent.drivers.modbus_wire import (
    DEVICE_FAILURE,
    GATEWAY_CODES,
    ILLEGAL_ADDRESS,
    ILLEGAL_VALUE,
    ModbusWire,
    Refused,
    why,
)
from agent.drivers.scaling import EncodeError
from agent.drivers.write_path import Fault, WritePath
from agent.errors import ConfigError

log = logging.getLogger("trimload.drivers")
Words = tuple[int, ...]

# A device may refuse registers only while it starts: ask again for what it once refused.
ASK_AGAIN_AFTER_S = 300.0
# Splitting goes on over several polls, so that a device that refuses all holds up no tick for long.
SEARCH_REQUESTS = 16


class Request(NamedTuple):
    """A block with what decodes it."""

    block: Block
    tags: tuple[str, ...]
    codec: BlockCodec


class ModbusDriver:
    """A Modbus TCP device: a `Driver` (agent/drivers/base.py)."""

    def __init__(self, device_id: str, device: Device, clock: Clock) -> None:
        self._id = device_id
        self._device = device
        self._clock = clock
        self._points = {f"{device_id}.{name}": point for name, point in device.points.items()}
        self._spans = {tag: _span(tag, point) for tag, point in self._points.items()}
        self._last = LastValues(device.stale_after_s)
        self._lock = asyncio.Lock()
        self._wire = ModbusWire(device_id, device, next(iter(self._spans.values()), None))
        self._requests: list[Request] = []
        self._refused_blocks: set[Block] = set()
        self._refused_tags: set[str] = set()
        self._parted = False
        self._search_left = 0
        self._planned_at_call = -1
        self._planned_at_s = 0.0
        registers = _Registers(self._points, self._spans, self._wire)
        self._writes = WritePath(device_id, self._points, registers, clock, self._lock)

    @property
    def device(self) -> str:
        return self._id

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self._points)

    async def connect(self) -> None:
        await self._wire.start()

    async def close(self) -> None:
        await self._wire.link.stop()

    # Reading

    async def read(self, tags: Sequence[str]) -> dict[str, Reading]:
        fresh: dict[str, Reading] = {}
        async with self._lock:
            if self._wire.link.client is not None:
                self._plan()
                self._search_left = SEARCH_REQUESTS
                all_answered, refused_before = True, len(self._refused_blocks)
                wanted = None if len(tags) >= len(self._points) else frozenset(tags)
                for request in tuple(self._requests):
                    if wanted is not None and wanted.isdisjoint(request.tags):
                        continue
                    if not await self._poll(request, fresh):
                        all_answered = False
                        break
                if len(self._refused_blocks) != refused_before:
                    self._parted = True
                elif self._parted and all_answered:
                    self._rejoin()
        now = self._clock.now()
        return {tag: fresh[tag] if tag in fresh else self._last.recall(tag, now) for tag in tags}

    def _plan(self) -> None:
        """Lay the blocks out anew on a new connection, and when a refusal has grown old."""
        grown_old = self._refused_blocks and elapsed_s() - self._planned_at_s > ASK_AGAIN_AFTER_S
        if self._planned_at_call == self._wire.link.calls and not grown_old:
            return
        self._planned_at_call, self._planned_at_s = self._wire.link.calls, elapsed_s()
        self._parted = False
        self._refused_blocks.clear()
        blocks = coalesce(
            self._spans.values(), max_registers=self._device.max_registers, max_gap=self._device.max_gap
        )
        self._requests = [self._request(block) for block in blocks]

    def _request(self, block: Block) -> Request:
        tags = tuple(tag for tag, span in self._spans.items() if span in block.spans)
        points = [(self._points[tag], self._spans[tag].address - block.address) for tag in tags]
        return Request(block, tags, BlockCodec(points))

    async def _poll(self, request: Request, fresh: dict[str, Reading]) -> bool:
        """Read one block into `fresh`; False when the device fell silent and the rest can wait."""
        words = await self._wire.read_words(request.block)
        if words is None:
            return False
        now = self._clock.now()
        if isinstance(words, Refused):
            if words.code in (ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE):
                return await self._search(request, words, fresh)
            if words.code in GATEWAY_CODES:
                return False
            for tag in request.tags:
                self._last.forget(tag)
            return True
        values = request.codec.decode(words)
        if self._refused_tags:
            self._refused_tags.difference_update(request.tags)
        for tag, value in zip(request.tags, values, strict=True):
            if value is None:
                self._last.forget(tag)
                continue
            reading = fresh[tag] = Reading(value, Quality.GOOD, now)
            self._last.keep(tag, reading)
        return True

    async def _search(self, request: Request, refused: Refused, fresh: dict[str, Reading]) -> bool:
        """Split a refused block until each refused value stands alone; keep the layout found."""
        self._refused_blocks.add(request.block)
        at = self._requests.index(request)
        halves = split(request.block)
        if halves is None:
            # A register that is not there is left out; one whose sensor failed may come back.
            if refused.code != DEVICE_FAILURE:
                del self._requests[at]
            for tag in request.tags:
                self._last.forget(tag)
                if tag in self._refused_tags:
                    continue
                self._refused_tags.add(tag)
                log.warning(
                    "point_refused device=%s tag=%s table=%s address=%d exception=%d",
                    self._id, tag, request.block.table, request.block.address, refused.code,
                )  # fmt: skip
            return True
        parts = [self._request(half) for half in halves]
        self._requests[at : at + 1] = parts
        for part in parts:
            if self._search_left <= 0:
                return True  # the next read goes on with the parts
            self._search_left -= 1
            if not await self._poll(part, fresh):
                return False
        return True

    def _rejoin(self) -> None:
        """After a poll without refusal: fewer blocks again, where no join was refused before."""
        self._parted = False
        blocks = rejoin(
            (request.block for request in self._requests),
            self._refused_blocks,
            max_registers=self._device.max_registers,
        )
        if len(blocks) < len(self._requests):
            self._requests = [self._request(block) for block in blocks]

    # Writing

    async def write(self, commands: Sequence[Command]) -> list[WriteResult]:
        return await self._writes.write(commands)

    async def release(self) -> None:
        await self._writes.release()


class _Registers:
    """The device's points for the write path, as the words that belong to each point alone."""

    def __init__(self, points: Mapping[str, Point], spans: Mapping[str, Span], wire: ModbusWire) -> None:
        self._points, self._spans, self._wire = points, spans, wire

    @property
    def away(self) -> bool:
        return self._wire.link.client is None

    async def fetch(self, tag: str) -> Words | Fault:
        answer = await self._wire.read_words(self._spans[tag])
        if answer is None or isinstance(answer, Refused):
            return Fault(why(answer))
        return _own_words(self._points[tag], answer)

    async def put(self, tag: str, raw: Words) -> Fault | None:
        answer = await self._wire.write_words(self._points[tag], raw)
        if answer is None or isinstance(answer, Refused):
            return Fault(why(answer), refused=answer is not None)
        return None

    def unfit(self, tag: str, value: float) -> str:
        try:
            encode(self._points[tag], value)
        except EncodeError as error:
            return str(error)
        return ""

    def raw_of(self, tag: str, value: float, standing: Words) -> Words:
        del standing  # a register has no type of its own
        return encode(self._points[tag], value)

    def value_of(self, tag: str, raw: Words) -> float | None:
        point = self._points[tag]
        return decode(point, _full_words(point, raw))


def _span(tag: str, point: Point) -> Span:
    if point.register_ is None or point.address is None:
        raise ConfigError(
            f"point {tag!r} of a Modbus device has no address",
            where=f"site.toml [devices.{tag.replace('.', '.points.', 1)}]",
            fix='give it register = "holding" (or input, coil, discrete) and address',
        )
    return Span(point.register_, point.address, word_count(point))


def _own_words(point: Point, words: Sequence[int]) -> Words:
    """What of the words read belongs to the point alone: its bit, or all its registers."""
    if point.bit is not None and point.register_ not in BIT_TABLES:
        return (bit_of(point, words[0]),)
    return tuple(words[: word_count(point)])


def _full_words(point: Point, own: Words) -> Words:
    if point.bit is not None and point.register_ not in BIT_TABLES:
        return (with_bit(point, 0, own[0]),)
    return own
