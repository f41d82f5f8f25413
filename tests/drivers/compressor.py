"""One compressor's points as a site writes them, for the tests of the Modbus driver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agent.config.parts import Device
from agent.domain import Command

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
SETPOINT = {
    "register": "holding",
    "address": 10,
    "unit": "bar",
    "scale": 0.1,
    "writable": True,
    "write_min": 5.0,
    "write_max": 8.5,
    "tolerance": 0.01,
}


def device(port: int, points: dict[str, dict[str, object]], **changes: object) -> Device:
    return Device.model_validate(
        {
            "driver": "modbus-tcp",
            "host": "127.0.0.1",
            "port": port,
            "timeout_s": 0.3,
            "points": points,
            **changes,
        }
    )


def command(tag: str, value: float | None) -> Command:
    return Command(tag, value, NOON + timedelta(minutes=1), "test")
