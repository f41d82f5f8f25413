"""OPC UA: all nodes polled in one request, writes with read-back, a fresh session after any loss.

Polled, not subscribed: a subscription can stand connected and silent for ever after a short freeze
of the server, and a poll once a tick costs about 10 us a value.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from datetime import datetime

from asyncua import ua

from agent.clock import Clock
from agent.config.parts import Device
from agent.domain import Command, Quality, Reading, WriteResult
from agent.drivers.memory import LastValues
from agent.drivers.opcua_wire import OpcUaWire
from agent.drivers.write_path import WritePath

log = logging.getLogger("trimload.drivers")

# A source clock may run ahead of ours by this much before its stamps are doubted.
CLOCK_SKEW_S = 5.0


class OpcUaDriver:
    """An OPC UA server's nodes: a `Driver` (agent/drivers/base.py)."""

    def __init__(self, device_id: str, device: Device, clock: Clock) -> None:
        self._id = device_id
        self._device = device
        self._clock = clock
        self._points = {f"{device_id}.{name}": point for name, point in device.points.items()}
        self._last = LastValues(device.stale_after_s)
        self._lock = asyncio.Lock()
        self._wire = OpcUaWire(device_id, device, self._points)
        self._writes = WritePath(device_id, self._points, self._wire, clock, self._lock)
        self._told_bad: set[str] = set()

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

    async def read(self, tags: Sequence[str]) -> dict[str, Reading]:
        fresh: dict[str, Reading] = {}
        known = [tag for tag in tags if tag in self._points]
        async with self._lock:
            start = 0
            while not self._wire.away and start < len(known):
                most_nodes = self._wire.most_nodes
                part = known[start : start + most_nodes]
                values = await self._wire.read_values(part)
                if values is None:
                    if self._wire.most_nodes == most_nodes:
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
        value = None if severity > 1 else self._wire.value_of(tag, data)
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

    async def write(self, commands: Sequence[Command]) -> list[WriteResult]:
        return await self._writes.write(commands)

    async def release(self) -> None:
        await self._writes.release()


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
