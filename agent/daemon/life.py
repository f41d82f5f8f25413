"""When each device answered last, and when something was last written to it and read back."""

from __future__ import annotations

from datetime import datetime

from agent.domain import Quality, Snapshot


class LifeSigns:
    """Filled by the tick, read by whoever judges whether the agent is well."""

    def __init__(self) -> None:
        self.answered_at: dict[str, datetime] = {}
        self.written_at: dict[str, datetime] = {}

    def sensed(self, snapshot: Snapshot) -> None:
        """Take in a tick's readings: a device with one usable value has answered."""
        for tag, reading in snapshot.readings.items():
            if reading.quality >= Quality.UNCERTAIN:
                self.answered_at[tag.partition(".")[0]] = snapshot.at

    def wrote(self, tag: str, at: datetime) -> None:
        """A command was written, read back and found as it should be."""
        self.written_at[tag.partition(".")[0]] = at
