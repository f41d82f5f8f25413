"""OPC UA: all nodes polled in one request, writes with read-back, a fresh session after any loss.

Polled, not subscribed: a subscription can stand connected and silent for ever after a short freeze
of the server, and a poll once a tick costs about 10 us a value.
"""

from __future__ import annotations

import asyncio
import logging
import math
import struct
from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import TypeVar

from asyncua import ua
from asyncua.client.client import Client
from asyncua.ua.attribute_ids import AttributeIds
from asyncua.ua.status_codes import StatusCodes
from asyncua.ua.uaerrors import UaError, UaStatusCodeError

from agent.clock import Clock, pause
from agent.config.parts import Device, Point
from agent.domain import Command, Quality, Reading, WriteResult
from agent.drivers.link import Link, LinkError
from agent.drivers.memory import LastValues
from agent.drivers.scaling import EncodeError, linear, raw_of, truth_of
from agent.drivers.writes import AWAY, READ_BACK_AGAIN_AFTER_S, Outcome, agrees, shown, why_not
from agent.errors import ConfigError

log = logging.getLogger("trimload.drivers")
Answer = TypeVar("Answer")

# A killed agent leaves its session behind, and small PLCs grant few: they forget it after this.
SESSION_TIMEOUT_S = 60.0
# Between polls asyncua asks on its own account whether the server lives; our polls ask often enough.
WATCHDOG_S = 20.0
MOST_NODES = 500
# A source clock may run ahead of ours by this much before its stamps are doubted.
CLOCK_SKEW_S = 5.0
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


class OpcUaDriver:
    """An OPC UA server's nodes: a `Driver` (agent/drivers/base.py)."""

    def __init__(self, device_id: str, device: Device, clock: Clock) -> None:
        self._id = device_id
        self._device = device
        self._clock = clock
        self._points = {f"{device_id}.{name}": point for name, point in device.points.items()}
        self._nodes = {tag: _node_id(tag, point) for tag, point in self._points.items()}
        self._linear = {tag: linear(point) for tag, point in self._points.items()}
        self._last = LastValues(device.stale_after_s)
        self._lock = asyncio.Lock()
        self._link: Link[Client] = Link(
            device_id, self._dial, _hang_up, dial_timeout_s=5.0 * device.timeout_s + 2.0
        )
        self._most_nodes = MOST_NODES
        self._originals: dict[str, ua.Variant] = {}
        self._told_bad: set[str] = set()

    @property
    def device(self) -> str:
        return self._id

    @property
    def tags(self) -> tuple[str, ...]:
        return tuple(self._points)

    async def connect(self) -> None:
        # asyncua logs a traceback for each lost request; what is lost is said once, by Link.
        logging.getLogger("asyncua").setLevel(logging.CRITICAL)
        await self._link.start()

    async def close(self) -> None:
        await self._link.stop()

    async def read(self, tags: Sequence[str]) -> dict[str, Reading]:
        fresh: dict[str, Reading] = {}
        known = [tag for tag in tags if tag in self._nodes]
        async with self._lock:
            client = self._link.client
            start = 0
            while client is not None and start < len(known):
                part = known[start : start + self._most_nodes]
                most_nodes = self._most_nodes
                values = await self._read_values(client, part)
                if values is None:
                    if self._most_nodes == most_nodes:
                        break
                    continue  # the server asked for smaller requests
                now = self._clock.now()
                for tag, value in zip(part, values, strict=True):
                    self._take(tag, value, now, fresh)
                start += len(part)
        now = self._clock.now()
        return {tag: fresh[tag] if tag in fresh else self._last.recall(tag, now) for tag in tags}

    def _take(self, tag: str, data: ua.DataValue, now: datetime, fresh: dict[str, Reading]) -> None:
        status = data.StatusCode
        severity = 0 if status is None else status.value >> 30  # 0 good, 1 uncertain, else bad
        value = None if severity > 1 else self._canonical(tag, data)
        if value is None:
            self._last.forget(tag)
            if tag not in self._told_bad:
                self._told_bad.add(tag)
                name = "no number" if status is None or severity <= 1 else status.name
                log.warning("point_bad device=%s tag=%s status=%s", self._id, tag, name)
            return
        self._told_bad.discard(tag)
        at, certain = true_at(
            data.SourceTimestamp,
            now,
            stale_after_s=self._device.stale_after_s,
            setpoint=self._points[tag].writable,
        )
        quality = Quality.GOOD if certain and severity == 0 else Quality.UNCERTAIN
        reading = fresh[tag] = Reading(value, quality, at)
        self._last.keep(tag, reading)

    def _canonical(self, tag: str, data: ua.DataValue) -> float | None:
        raw = None if data.Value is None else data.Value.Value
        if not isinstance(raw, bool | int | float):
            return None
        factor, offset = self._linear[tag]
        value = raw * factor + offset
        return value if math.isfinite(value) else None

    # Writing

    async def write(self, commands: Sequence[Command]) -> list[WriteResult]:
        async with self._lock:
            return [await self._write_one(command) for command in commands]

    async def release(self) -> None:
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
        reason = why_not(point, command, self._clock.now())
        if reason:
            return WriteResult(tag, value, ok=False, error=reason)
        client = self._link.client
        if client is None:
            return WriteResult(tag, value, ok=False, error=AWAY)
        original = self._originals.get(tag)
        first = original is None
        if original is None:
            before = await self._read_values(client, [tag])
            if before is None:
                return WriteResult(tag, value, ok=False, error=AWAY)
            original = before[0].Value
            if original is None or original.Value is None:
                return WriteResult(
                    tag, value, ok=False, error=f"no value to hand back later: {_name(before[0].StatusCode)}"
                )
        try:
            # The node's own variant carries its type: a Double is refused by a Float node.
            variant = to_variant(point, value, original.VariantType)
        except EncodeError as error:
            return WriteResult(tag, value, ok=False, error=str(error))
        self._originals[tag] = original
        outcome = await self._put(client, tag, variant)
        if first and outcome.refused:
            del self._originals[tag]
        return WriteResult(tag, value, not outcome.error, outcome.read_back, outcome.error)

    async def _hand_back(self, tag: str) -> WriteResult:
        original = self._originals.get(tag)
        if original is None:
            return WriteResult(tag, None, ok=True)
        client = self._link.client
        if client is None:
            return WriteResult(tag, None, ok=False, error=AWAY)
        outcome = await self._put(client, tag, original)
        if not outcome.error:
            del self._originals[tag]
        return WriteResult(tag, None, not outcome.error, outcome.read_back, outcome.error)

    async def _put(self, client: Client, tag: str, variant: ua.Variant) -> Outcome:
        """Write the variant, read it back, compare."""
        parameters = ua.WriteParameters()
        parameters.NodesToWrite = [
            ua.WriteValue(
                NodeId=self._nodes[tag], AttributeId=AttributeIds.Value, Value=ua.DataValue(variant)
            )
        ]
        statuses = await self._ask(lambda: client.uaclient.write(parameters))
        if statuses is None:
            return Outcome(f"write: {AWAY}")
        if statuses[0].value >> 30:
            return Outcome(f"write refused: {_name(statuses[0])}", refused=True)
        wanted = self._canonical(tag, ua.DataValue(variant))
        read_back: float | None = None
        for again in (True, False):
            values = await self._read_values(client, [tag])
            if values is None:
                return Outcome(f"read back: {AWAY}")
            read_back = self._canonical(tag, values[0])
            if agrees(self._points[tag], wanted, read_back):
                return Outcome("", read_back)
            if again:
                await pause(READ_BACK_AGAIN_AFTER_S)
        return Outcome(f"read back {shown(read_back)}, wanted {shown(wanted)}", read_back)

    # The wire

    async def _read_values(self, client: Client, tags: Sequence[str]) -> list[ua.DataValue] | None:
        """One DataValue for each tag; None for no answer, or after smaller requests were asked for."""
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
            self._link.missed()
        except OSError as error:
            self._link.lost(str(error) or "connection closed")
        except UaStatusCodeError as error:
            if error.code == StatusCodes.BadTooManyOperations and self._most_nodes > 1:
                self._most_nodes //= 2
            else:
                # A session or channel that the server has forgotten: a new one is the cure.
                self._link.lost(_name(ua.StatusCode(error.code)))
        except GARBAGE as error:
            self._link.lost(str(error))
        else:
            self._link.answered()
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


def true_at(
    source_at: datetime | None, now: datetime, *, stale_after_s: float, setpoint: bool
) -> tuple[datetime, bool]:
    """When a value was true, and whether that is certain.

    The source's stamp where it is sane. Many servers stamp the last change, not the last sample: an
    old stamp of a set-point is no fault, that of a measurement is a doubt.
    """
    if source_at is None:
        return now, True
    age_s = (now - source_at).total_seconds()
    if age_s < -CLOCK_SKEW_S:
        return now, False
    if age_s > stale_after_s:
        return now, setpoint
    return min(source_at, now), True


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


def _name(status: ua.StatusCode | None) -> str:
    return "no status" if status is None else status.name
