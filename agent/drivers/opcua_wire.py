"""Requests and answers of one OPC UA server, over asyncua."""

from __future__ import annotations

import logging
import math
import struct
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TypeVar

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from agent.config.parts import Device, Point
from agent.drivers.link import Link, LinkError
from agent.drivers.scaling import EncodeError, linear, raw_of, truth_of
from agent.drivers.write_path import Fault
from agent.drivers.writes import AWAY
from agent.errors import ConfigError

Answer = TypeVar("Answer")

# A killed agent leaves its session behind, and small PLCs grant few: they forget it after this.
SESSION_TIMEOUT_S = 60.0
# Between polls asyncua asks on its own account whether the server lives; our polls ask often enough.
WATCHDOG_S = 20.0
MOST_NODES = 500
# What asyncua raises for an answer that is not as the protocol says, or says no.
GARBAGE = (UaError, struct.error, ValueError)
INTEGERS = {
    ua.VariantType.SByte: (-(2**7), 2**7 - 1),
    ua.VariantType.Byte: (0, 2**8 - 1),
    ua.VariantType.Int16: (-(2**15), 2**15 - 1),
    ua.VariantType.UInt16: (0, 2**16 - 1),
    ua.VariantType.Int32: (-(2**31), 2**31 - 1),
    ua.VariantType.UInt32: (0, 2**32 - 1),
    ua.VariantType.Int64: (-(2**63), 2**63 - 1),
    ua.VariantType.UInt64: (0, 2**64 - 1),
}


class OpcUaWire:
    """Keeps the session and asks one thing at a time; a `Wire` of the write path, whose raw values are DataValues.

    `most_nodes` is how many nodes a request may name; it shrinks when the server asks for that.
    """

    def __init__(self, device_id: str, device: Device, points: Mapping[str, Point]) -> None:
        self._device = device
        self._points = points
        self._nodes = {tag: _node_id(tag, point) for tag, point in points.items()}
        self._linear = {tag: linear(point) for tag, point in points.items()}
        self.most_nodes = MOST_NODES
        self.link: Link[Client] = Link(
            device_id, self._dial, _hang_up, dial_timeout_s=5.0 * device.timeout_s + 2.0
        )

    async def start(self) -> None:
        """Begin to keep the session up."""
        # asyncua logs a traceback for each lost request; what is lost is said once, by Link.
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        await self.link.start()

    @property
    def away(self) -> bool:
        """Whether there is no session."""
        return self.link.client is None

    async def fetch(self, tag: str) -> ua.DataValue | Fault:
        """The node's value."""
        values = await self.read_values([tag])
        return Fault(AWAY) if values is None else values[0]

    async def put(self, tag: str, raw: ua.DataValue) -> Fault | None:
        """Write the value, without status and stamps: those are the server's to give."""
        client = self.link.client
        if client is None:
            return Fault(AWAY)
        parameters = ua.WriteParameters()
        parameters.NodesToWrite = [
            ua.WriteValue(
                NodeId=self._nodes[tag], AttributeId=AttributeIds.Value, Value=ua.DataValue(raw.Value)
            )
        ]
        statuses = await self._ask(lambda: client.uaclient.write(parameters))
        if statuses is None:
            return Fault(AWAY)
        return Fault(name_of(statuses[0]), refused=True) if statuses[0].value >> 30 else None

    def unfit(self, tag: str, value: float) -> str:
        """Nothing: what fits is a matter of the node's type, which only the server knows."""
        del tag, value
        return ""

    def raw_of(self, tag: str, value: float, standing: ua.DataValue) -> ua.DataValue:
        """The value as the node's own type, which what stands there carries: a Double is refused by a Float node."""
        if standing.Value is None or standing.Value.Value is None:
            raise EncodeError(f"no value to hand back later: {name_of(standing.StatusCode)}")
        return ua.DataValue(to_variant(self._points[tag], value, standing.Value.VariantType))

    def value_of(self, tag: str, raw: ua.DataValue) -> float | None:
        """The value in canonical units; None where it is no finite number."""
        held = None if raw.Value is None else raw.Value.Value
        if not isinstance(held, bool | int | float):
            return None
        factor, offset = self._linear[tag]
        value = held * factor + offset
        return value if math.isfinite(value) else None

    async def read_values(self, tags: Sequence[str]) -> list[ua.DataValue] | None:
        """One DataValue for each tag; None for no answer, or after smaller requests were asked for."""
        client = self.link.client
        if client is None:
            return None
        parameters = ua.ReadParameters()
        parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
        parameters.NodesToRead = [
            ua.ReadValueId(NodeId=self._nodes[tag], AttributeId=AttributeIds.Value) for tag in tags
        ]
        values = await self._ask(lambda: client.uaclient.read(parameters))
        return values if values is not None and len(values) == len(tags) else None

    async def _ask(self, request: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """The server's answer, None for none; the link is told."""
        try:
            answer = await request()
        except TimeoutError:
            self.link.missed()
        except OSError as error:
            self.link.lost(str(error) or "connection closed")
        except UaStatusCodeError as error:
            if error.code == StatusCodes.BadTooManyOperations and self.most_nodes > 1:
                self.most_nodes //= 2
            else:
                # A session or channel that the server has forgotten: a new one is the cure.
                self.link.lost(name_of(ua.StatusCode(error.code)))
        except GARBAGE as error:
            self.link.lost(str(error))
        else:
            self.link.answered()
            return answer
        return None

    async def _dial(self, lost: Callable[[str], None]) -> Client:
        async def connection_lost(error: Exception) -> None:
            lost(str(error) or type(error).__name__)

        client = Client(self._device.url, timeout=self._device.timeout_s, watchdog_intervall=WATCHDOG_S)
        client.session_timeout = int(SESSION_TIMEOUT_S * 1000)
        client.connection_lost_callback = connection_lost
        try:
            await client.connect()
        except GARBAGE as error:
            await _hang_up(client)
            raise LinkError(f"{self._device.url}: {error}") from error
        except BaseException:
            await _hang_up(client)
            raise
        return client


async def _hang_up(client: Client) -> None:
    try:
        await client.disconnect()
    except UaError as error:
        raise LinkError(str(error)) from error
    finally:
        client.uaclient.disconnect_socket()


def to_variant(point: Point, value: float, kind: ua.VariantType) -> ua.Variant:
    """`value` (canonical unit) as the node's type asks for it. Raises EncodeError."""
    raw = raw_of(point, value)
    if kind == ua.VariantType.Boolean:
        return ua.Variant(bool(truth_of(raw, value)), kind)
    if kind == ua.VariantType.Double:
        return ua.Variant(raw, kind)
    if kind == ua.VariantType.Float:
        try:
            return ua.Variant(struct.unpack("<f", struct.pack("<f", raw))[0], kind)
        except OverflowError:
            raise EncodeError(f"{value} does not fit into Float") from None
    if kind not in INTEGERS:
        raise EncodeError(f"a node of type {kind.name} takes no number")
    low, high = INTEGERS[kind]
    if not low <= round(raw) <= high:
        raise EncodeError(f"{value} does not fit into {kind.name}")
    return ua.Variant(round(raw), kind)


def _node_id(tag: str, point: Point) -> ua.NodeId:
    where = f"site.toml [devices.{tag.replace('.', '.points.', 1)}]"
    fix = 'give it node = "ns=2;s=Hall.Temperature" as a browser of the server shows it'
    if point.node is None:
        raise ConfigError(f"point {tag!r} of an OPC UA device has no node", where=where, fix=fix)
    try:
        return ua.NodeId.from_string(point.node)
    except UaError:
        raise ConfigError(f"node {point.node!r} is no OPC UA node id", where=where, fix=fix) from None


def name_of(status: ua.StatusCode | None) -> str:
    """A status in words."""
    return "no status" if status is None else status.name
