"""What the twin's servers need of a plant, and nothing more."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol


class SimulatedPlant(Protocol):
    """A plant that moves when told to and answers by tag, in canonical units."""

    @property
    def at(self) -> datetime:
        """Simulated present, UTC."""
        ...

    @property
    def tags(self) -> Sequence[str]:
        """Every tag that can be read or written."""
        ...

    def advance_to(self, at: datetime) -> None:
        """Let the plant live until `at`."""
        ...

    def read(self, tag: str) -> float | None:
        """What the tag shows now; None where its sensor shows nothing."""
        ...

    def write(self, tag: str, value: float) -> bool:
        """Write a command point. False: the machine's controller refuses it."""
        ...
