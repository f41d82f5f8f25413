"""Requests and answers of one Modbus TCP device, over pymodbus: the only module that knows pymodbus."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import NamedTuple

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ConnectionException, ModbusException
from pymodbus.pdu import ModbusPDU

from agent.config.parts import Device, Point
from agent.drivers.blocks import Block, Span
from agent.drivers.link import Link, LinkError
from agent.drivers.modbus_codec import BIT_TABLES, with_bit
from agent.drivers.writes import AWAY

# Exception codes, Modbus Application Protocol V1.1b3, section 7.
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE = 1, 2, 3, 4
GATEWAY_CODES = (10, 11)  # the gateway answers, the device behind it does not
NEVER = 1_000_000_000  # silence is counted by Link, not by pymodbus


class Refused(NamedTuple):
    """The device answered with an exception code."""

    code: int


def why(answer: Refused | None) -> str:
    """The refusal, or the silence, in words."""
    return AWAY if answer is None else f"modbus exception {answer.code}"


class ModbusWire:
    """Keeps the device's connection and asks one thing at a time.

    `probe` is what a new connection asks first: a device that accepts and never answers is away.
    """

    def __init__(self, device_id: str, device: Device, probe: Span | None) -> None:
        self._id = device_id
        self._device = device
        self._probe = probe
        self._multiple_only = False
        self.link: Link[AsyncModbusTcpClient] = Link(
            device_id, self._dial, _hang_up, dial_timeout_s=2.0 * device.timeout_s + 1.0
        )

    async def start(self) -> None:
        """Begin to keep the connection up."""
        # pymodbus logs a frame dump for each failed request; what is lost is said once, by Link.
        logging.getLogger("pymodbus").setLevel(logging.CRITICAL)
        await self.link.start()

    async def write_words(self, point: Point, words: tuple[int, ...]) -> ModbusPDU | Refused | None:
        """Write a value's registers, its coil, or its bit among the other bits of its register."""
        client = self.link.client
        if client is None:
            return None
        address, unit = point.address or 0, self._device.unit_id
        if point.register_ == "coil":
            return await self._ask(lambda: client.write_coil(address, bool(words[0]), device_id=unit))
        if point.bit is not None:
            now_there = await self._read(client, Span("holding", address, 1))
            if now_there is None or isinstance(now_there, Refused):
                return now_there
            words = (with_bit(point, now_there[0], words[0]),)
        if len(words) == 1 and not self._multiple_only:
            answer = await self._ask(lambda: client.write_register(address, words[0], device_id=unit))
            if not (isinstance(answer, Refused) and answer.code == ILLEGAL_FUNCTION):
                return answer
            self._multiple_only = True  # some controllers know function 16 and not 6
        return await self._ask(lambda: client.write_registers(address, list(words), device_id=unit))

    async def read_words(self, span: Block | Span) -> list[int] | Refused | None:
        """The words of a span, `Refused`, or None for silence. Never fewer words than asked for."""
        client = self.link.client
        return None if client is None else await self._read(client, span)

    async def _read(self, client: AsyncModbusTcpClient, span: Block | Span) -> list[int] | Refused | None:
        read = {
            "holding": client.read_holding_registers,
            "input": client.read_input_registers,
            "coil": client.read_coils,
            "discrete": client.read_discrete_inputs,
        }[span.table]
        answer = await self._ask(
            lambda: read(span.address, count=span.length, device_id=self._device.unit_id)
        )
        if answer is None or isinstance(answer, Refused):
            return answer
        words = [int(bit) for bit in answer.bits] if span.table in BIT_TABLES else list(answer.registers)
        # A short answer says nothing certain about any register.
        return words if len(words) >= span.length else None

    async def _ask(self, request: Callable[[], Awaitable[ModbusPDU]]) -> ModbusPDU | Refused | None:
        """The device's answer, its refusal, or None for none; the link is told."""
        try:
            answer = await request()
        except ConnectionException:
            self.link.lost("connection closed")
            return None
        except ModbusException:
            self.link.missed()
            return None
        if not answer.isError():
            self.link.answered()
            return answer
        if answer.exception_code not in GATEWAY_CODES:
            self.link.answered()
        return Refused(answer.exception_code)

    async def _dial(self, lost: Callable[[str], None]) -> AsyncModbusTcpClient:
        host, port = self._device.host, self._device.port

        def trace_connect(up: bool) -> None:  # noqa: FBT001 - pymodbus calls it so
            if not up:
                lost("connection closed by the device")

        client = AsyncModbusTcpClient(
            host,
            port=port,
            name=self._id,
            timeout=self._device.timeout_s,
            retries=0,
            reconnect_delay=0,
            trace_connect=trace_connect,
        )
        client.set_max_no_responses(NEVER)
        try:
            if not await client.connect():
                raise LinkError(f"no connection to {host}:{port}")
            if self._probe is not None:
                answer = await self._read(client, self._probe)
                if answer is None:
                    raise LinkError(f"{host}:{port} unit {self._device.unit_id} does not answer")
                if isinstance(answer, Refused) and answer.code in GATEWAY_CODES:
                    raise LinkError(f"the gateway {host}:{port} does not reach unit {self._device.unit_id}")
        except BaseException:
            client.close()
            raise
        return client


async def _hang_up(client: AsyncModbusTcpClient) -> None:
    client.close()
