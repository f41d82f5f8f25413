"""What a driver remembers of a device's tags between two polls: the last good value of each."""

from __future__ import annotations

from datetime import datetime

from agent.domain import Quality, Reading, unknown


class LastValues:
    """Last good readings, and what they are worth when a poll brings nothing new.

    A missed poll does not make a value false at once: until `stale_after_s` it is UNCERTAIN, with
    the time at which it was true; then it is STALE, and a tag never read is BAD.
    """

    def __init__(self, stale_after_s: float) -> None:
        self._stale_after_s = stale_after_s
        self._readings: dict[str, Reading] = {}

    def keep(self, tag: str, reading: Reading) -> None:
        """Remember a reading that has a value."""
        self._readings[tag] = reading

    def forget(self, tag: str) -> None:
        """The device itself says that there is no value."""
        self._readings.pop(tag, None)

    def recall(self, tag: str, now: datetime) -> Reading:
        """The reading of a tag of which this poll brought nothing."""
        last = self._readings.get(tag)
        if last is None:
            return unknown(now)
        stale = (now - last.at).total_seconds() > self._stale_after_s
        return last._replace(quality=Quality.STALE if stale else Quality.UNCERTAIN)
