"""Modbus TCP servers whose registers are the simulated plant, read and written at request time.

An own server instead of pymodbus' simulator: that one cannot answer with a maker's exception
code (16, "remote control not allowed"), and the agent's client should meet a stranger's frames.
Frames after the Modbus Application Protocol Specification V1.1b3, sections 4.1 and 6, and the
Messaging on TCP/IP Implementation Guide V1.0b, section 3.1.3.
"""

from __future__ import annotations

import asyncio
import math
import struct
from collections.abc import Mapping, Sequence

from agent.config.parts import Device, Point
from agent.drivers.modbus_codec import (
    CODES,
    bit_of,
    byte_order,
    decode,
    encode,
    is_bit,
    with_bit,
    word_count,
)
from agent.drivers.scaling import EncodeError
from agent.units import to_canonical
from twin.protocol import SimulatedPlant

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE, NO_SUCH_UNIT = 1, 2, 3, 4, 11
REMOTE_NOT_ALLOWED = 16  # what several compressor controllers answer while in local control
TABLE_OF_READ = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
TABLE_OF_WRITE = {5: "coil", 6: "holding", 15: "coil", 16: "holding"}
WORD_TABLES = ("holding", "input")
MOST_READ = {"coil": 2000, "discrete": 2000, "holding": 125, "input": 125}
MOST_WRITTEN = {"coil": 1968, "holding": 123}
LONGEST_FRAME = 260


class Refused(Exception):
    """A request that is answered with a Modbus exception of this code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class UnitImage:
    """The four tables of one Modbus unit, filled from the plant."""

    def __init__(self, points: Mapping[str, Point], plant: SimulatedPlant) -> None:
        """Take `points` by tag; only those with a Modbus address count."""
        self._plant = plant
        self._points = {tag: p for tag, p in points.items() if p.address is not None and p.register_}
        self._starts: dict[tuple[str, int], list[str]] = {}
        self._covered: dict[tuple[str, int], int] = {}
        for tag, point in self._points.items():
            table, address = str(point.register_), int(point.address or 0)
            self._starts.setdefault((table, address), []).append(tag)
            for used in range(address, address + word_count(point)):
                self._covered[table, used] = address

    def read(self, table: str, address: int, count: int) -> list[int]:
        """Raw contents of `count` addresses. Raises Refused where one of them is not defined."""
        wanted = range(address, address + count)
        starts = {self._start_of(table, a) for a in wanted}
        cells: dict[int, int] = {}
        for start in starts:
            for offset, raw in enumerate(self._cells(table, start)):
                cells[start + offset] = raw
        return [cells[a] for a in wanted]

    def write(self, table: str, address: int, values: Sequence[int]) -> None:
        """Write whole points. Raises Refused, as the device would, at the first that cannot be."""
        position = 0
        while position < len(values):
            start = self._start_of(table, address + position)
            tags = [tag for tag in self._starts[table, start] if self._points[tag].writable]
            if not tags:
                raise Refused(ILLEGAL_ADDRESS)
            length = word_count(self._points[tags[0]])
            raw = list(values[position : position + length])
            if start != address + position or len(raw) < length:
                raise Refused(ILLEGAL_VALUE)  # half of a long value makes no sense to any device
            words_of_bits = table in WORD_TABLES and self._points[tags[0]].bit is not None
            before = self._cells(table, start) if words_of_bits else ()
            for tag in tags:
                self._write_point(tag, raw, before)
            position += length

    def _write_point(self, tag: str, raw: Sequence[int], before: Sequence[int]) -> None:
        point = self._points[tag]
        if before and bit_of(point, raw[0]) == bit_of(point, before[0]):
            return  # a word of bits is written whole; only a bit that changes is a command
        value = decode(point, raw)
        if value is None:
            raise Refused(ILLEGAL_VALUE)
        if not self._plant.write(tag, value):
            raise Refused(REMOTE_NOT_ALLOWED)

    def _start_of(self, table: str, address: int) -> int:
        try:
            return self._covered[table, address]
        except KeyError:
            raise Refused(ILLEGAL_ADDRESS) from None

    def _cells(self, table: str, start: int) -> tuple[int, ...]:
        """What stands in the registers of the points that begin at `start`."""
        cells: tuple[int, ...] = ()
        for tag in self._starts[table, start]:
            point = self._points[tag]
            words = measured_words(point, self._plant.read(tag))
            if point.bit is not None and table in WORD_TABLES:
                words = (with_bit(point, cells[0] if cells else 0, words[0]),)
            cells = words
        return cells


def measured_words(point: Point, value: float | None) -> tuple[int, ...]:
    """The registers that show `value`, as devices do: saturated at the end of the type's range,
    NaN where a float's sensor shows nothing. Raises Refused for an integer without a value.
    """
    code = "" if is_bit(point) else CODES[point.type]
    if value is None:
        if code not in {"f", "d"}:
            raise Refused(DEVICE_FAILURE)
        packed = struct.pack(">" + code, math.nan)
        received = bytearray(len(packed))
        for place, byte in zip(byte_order(point), packed, strict=True):
            received[place] = byte
        return struct.unpack(f">{len(packed) // 2}H", received)
    try:
        return encode(point, value)
    except EncodeError:
        if code not in {"H", "h", "I", "i"} or not math.isfinite(value):
            raise Refused(DEVICE_FAILURE) from None
        bits = 8 * struct.calcsize(">" + code)
        low = -(2 ** (bits - 1)) if code.islower() else 0
        ends = [
            to_canonical(raw * point.scale + point.offset, point.unit) for raw in (low, low + 2**bits - 1)
        ]
        return encode(point, min(ends, key=lambda end: abs(end - value)))


class ModbusServer:
    """One TCP port with one or more units behind it."""

    def __init__(self, host: str, port: int, devices: Mapping[str, Device], plant: SimulatedPlant) -> None:
        self.host, self.port = host, port
        self._units = {
            device.unit_id: UnitImage({f"{name}.{p}": point for p, point in device.points.items()}, plant)
            for name, device in devices.items()
        }
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.StreamWriter] = set()
        self.requests = 0

    @property
    def unit_ids(self) -> tuple[int, ...]:
        return tuple(self._units)

    async def start(self) -> None:
        """Open the port. OSError when it is taken."""
        self._server = await asyncio.start_server(self._serve, self.host, self.port, backlog=64)

    async def stop(self) -> None:
        """Close the port and every connection, as a device does that loses its power."""
        if self._server is None:
            return
        self._server.close()
        for writer in list(self._connections):
            writer.close()
        await self._server.wait_closed()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections.add(writer)
        try:
            while True:
                header = await reader.readexactly(7)
                transaction, protocol, length, unit = struct.unpack(">HHHB", header)
                if protocol != 0 or not 2 <= length <= LONGEST_FRAME - 6:
                    break  # not Modbus: there is no way to find the next frame
                answer = self._answer(unit, await reader.readexactly(length - 1))
                writer.write(struct.pack(">HHHB", transaction, 0, len(answer) + 1, unit) + answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the client went away
        finally:
            self._connections.discard(writer)
            writer.close()

    def _answer(self, unit: int, request: bytes) -> bytes:
        self.requests += 1
        function = request[0]
        try:
            image = self._units.get(unit) or self._units.get(0)
            if image is None:
                raise Refused(NO_SUCH_UNIT)
            if function in TABLE_OF_READ:
                return _read(image, function, request[1:])
            if function in TABLE_OF_WRITE:
                return _write(image, function, request[1:])
            raise Refused(ILLEGAL_FUNCTION)
        except Refused as refusal:
            return bytes([function | 0x80, refusal.code])


def _read(image: UnitImage, function: int, body: bytes) -> bytes:
    table = TABLE_OF_READ[function]
    if len(body) != 4:
        raise Refused(ILLEGAL_VALUE)
    address, count = struct.unpack(">HH", body)
    if not 1 <= count <= MOST_READ[table]:
        raise Refused(ILLEGAL_VALUE)
    values = image.read(table, address, count)
    if table in WORD_TABLES:
        return struct.pack(f">BB{count}H", function, 2 * count, *values)
    packed = bytearray((count + 7) // 8)
    for index, bit in enumerate(values):
        packed[index // 8] |= (bit & 1) << index % 8
    return bytes([function, len(packed)]) + bytes(packed)


def _write(image: UnitImage, function: int, body: bytes) -> bytes:
    table = TABLE_OF_WRITE[function]
    if len(body) < 4:
        raise Refused(ILLEGAL_VALUE)
    address, second = struct.unpack(">HH", body[:4])
    if function == 5:
        if len(body) != 4 or second not in {0x0000, 0xFF00}:
            raise Refused(ILLEGAL_VALUE)
        values = [int(second == 0xFF00)]
    elif function == 6:
        if len(body) != 4:
            raise Refused(ILLEGAL_VALUE)
        values = [second]
    else:
        expected = (second + 7) // 8 if table == "coil" else 2 * second
        if not 1 <= second <= MOST_WRITTEN[table] or len(body) != 5 + expected or body[4] != expected:
            raise Refused(ILLEGAL_VALUE)
        if table == "coil":
            values = [body[5 + i // 8] >> i % 8 & 1 for i in range(second)]
        else:
            values = list(struct.unpack(f">{second}H", body[5:]))
    image.write(table, address, values)
    return bytes([function]) + body[:4]
