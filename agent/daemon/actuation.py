"""From commands to the wire: the gate's last word, the drivers' writes, and what of them is told."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import datetime

from agent.control.gate import Gate
from agent.daemon.life import LifeSigns
from agent.domain import Command, Snapshot, WriteResult
from agent.drivers.base import Driver
from agent.log import get_logger

log = get_logger(__name__)

Events = list[tuple[str, datetime, dict[str, object]]]


class Actuation:
    """`wrote` is told of each value that has reached its point."""

    def __init__(
        self,
        gate: Gate,
        drivers: Mapping[str, Driver],
        signs: LifeSigns,
        wrote: Callable[[str, float | None], None] | None,
    ) -> None:
        self._gate, self._drivers, self._signs, self._wrote = gate, drivers, signs, wrote
        # What is wrong with a tag, as it was told: told once, until it is gone or another.
        self._faults: dict[str, str] = {}

    async def out(self, snapshot: Snapshot, commands: list[Command], events: Events, now: datetime) -> None:
        """Write what the gate lets through, all devices at once; what became of it goes into `events`."""
        passed, refusals = self._gate.check(commands, now)
        for refusal in refusals:
            self._fault(refusal.subject, f"{refusal.wish}: {refusal.rule}", "command_refused", events, now)
        by_device: dict[str, list[Command]] = {}
        for command in passed:
            by_device.setdefault(command.tag.partition(".")[0], []).append(command)
        results: list[list[WriteResult]] = await asyncio.gather(
            *(self._drivers[device].write(batch) for device, batch in by_device.items())
        )
        for batch, outcome in zip(by_device.values(), results, strict=True):
            for command, result in zip(batch, outcome, strict=True):
                self._account(command, result, snapshot.value(command.tag), events, now)

    def _account(
        self, command: Command, result: WriteResult, before: float | None, events: Events, now: datetime
    ) -> None:
        if not result.ok:
            self._fault(command.tag, f"write {command.value}: {result.error}", "write_failed", events, now)
            return
        self._gate.written(command.tag, now)
        self._signs.wrote(command.tag, now)
        self._faults.pop(command.tag, None)
        if self._wrote is not None:
            self._wrote(command.tag, command.value)
        if command.reason == "alive":
            return
        fields: dict[str, object] = {
            "tag": command.tag,
            "value": command.value,
            "before": before,
            "read_back": result.read_back,
            "reason": command.reason,
            "plan": command.plan_id,
        }
        events.append(("command_written", now, fields))
        log.debug("command_written", tag=command.tag, value=command.value, reason=command.reason)

    def _fault(self, tag: str, text: str, event: str, events: Events, now: datetime) -> None:
        if self._faults.get(tag) == event + text:
            return
        self._faults[tag] = event + text
        events.append((event, now, {"tag": tag, "what": text}))
        log.warning(event, tag=tag, what=text)
