"""A unit's enable between ticks: its timers, who has switched it, and whether our heartbeat reached it."""

from __future__ import annotations

from collections import deque
from datetime import datetime, timedelta

from agent.config.site import Unit
from agent.domain import Snapshot

_HOUR = timedelta(hours=1)
_RETRY = timedelta(minutes=5)
_NAMES = {0.0: "off", 1.0: "on"}


class UnitSwitch:
    """Decides whether the enable of one unit may be written now."""

    def __init__(self, unit: Unit, hold: timedelta) -> None:
        self._unit = unit
        self._hold = hold
        self._written: tuple[float, datetime] | None = None
        self._asked: tuple[float, datetime] | None = None
        self._state: float | None = None
        self._changed_at: datetime | None = None
        self._starts: deque[datetime] = deque()
        self._override_until: datetime | None = None
        self._beat_at: datetime | None = None

    def wrote(self, tag: str, value: float, at: datetime) -> None:
        """A value of ours was read back."""
        if tag == self._unit.enable:
            self._written, self._asked = (value, at), None
            self._moved(value, at)
        elif tag == self._unit.heartbeat:
            self._beat_at = at

    def was_alone(self, now: datetime) -> bool:
        """Whether our heartbeat has been missing for long enough that the unit went to its own programme."""
        lapse = self._unit.dead_man_s
        if lapse is None or self._unit.heartbeat is None:
            return False
        return self._beat_at is None or (now - self._beat_at).total_seconds() >= lapse

    def release(self) -> list[str]:
        """The points to be handed back; nothing is ours any more."""
        ours = self._written is not None or self._asked is not None
        self._written = self._asked = self._override_until = None
        return [self._unit.enable] if ours and self._unit.enable is not None else []

    def decide(
        self, snapshot: Snapshot, *, wanted: bool, urgent: bool
    ) -> tuple[float | None, str, datetime | None]:
        """(value to write or None, the rule that holds it back or "", until when)."""
        now, unit = snapshot.at, self._unit
        value, standing = float(wanted), self._standing(snapshot)
        if standing is not None:
            self._moved(standing, now)
        if self._moved_by_others(snapshot) and not urgent:
            return None, "someone on site has switched the unit", self._override_until
        if standing is not None and abs(standing - value) <= 0.5:
            return None, "", None
        if self._changed_at is not None and not urgent:
            least_s = unit.min_stop_s if wanted else unit.min_run_s
            due = self._changed_at + timedelta(seconds=least_s)
            if now < due:
                return None, f"{_NAMES[1.0 - value]} for less than {least_s:g} s", due
            while self._starts and now - self._starts[0] >= _HOUR:
                self._starts.popleft()
            if wanted and len(self._starts) >= unit.max_starts_per_hour:
                return None, f"{unit.max_starts_per_hour} starts in an hour", self._starts[0] + _HOUR
        if self._asked is not None and self._asked[0] == value and now - self._asked[1] < _RETRY:
            return None, "", None
        self._asked = value, now
        return value, "", None

    def _standing(self, snapshot: Snapshot) -> float | None:
        """The enable as it stands: as read since the last write, else as written."""
        tag = self._unit.enable
        value, reading = snapshot.value(tag), snapshot.readings.get(tag or "")
        if value is None or reading is None or (self._written is not None and reading.at <= self._written[1]):
            return None if self._written is None else self._written[0]
        return float(value >= 0.5)

    def _moved(self, value: float, at: datetime) -> None:
        if self._state is not None and value != self._state:
            self._changed_at = at
            if value >= 0.5:
                self._starts.append(at)
        self._state = value

    def _moved_by_others(self, snapshot: Snapshot) -> bool:
        now, standing = snapshot.at, self._standing(snapshot)
        if self._written is not None and standing is not None and abs(standing - self._written[0]) > 0.5:
            self._written = None
            if not self.was_alone(now):
                self._override_until = now + self._hold
        if self._override_until is not None and now < self._override_until:
            return True
        self._override_until = None
        return False
