"""A plant of a few fixed values: enough to test what the servers make of it."""

from __future__ import annotations

import socket
from datetime import UTC, datetime

START = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


class WirePlant:
    """Values by tag; the tags in `refused` take no write."""

    def __init__(self, values: dict[str, float | None], *, refused: set[str] | None = None) -> None:
        self.values = dict(values)
        self.refused = refused or set()
        self.written: list[tuple[str, float]] = []
        self.at = START

    @property
    def tags(self) -> list[str]:
        return list(self.values)

    def advance_to(self, at: datetime) -> None:
        self.at = at

    def read(self, tag: str) -> float | None:
        return self.values[tag]

    def write(self, tag: str, value: float) -> bool:
        if tag in self.refused:
            return False
        self.written.append((tag, value))
        self.values[tag] = value
        return True


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
