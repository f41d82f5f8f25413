"""Whether a zone's temperature may be believed: unknown, old, implausible, jumping or frozen.

Sources of the limits: docs/hvac.md, "Guard".
"""

from __future__ import annotations

from datetime import datetime, timedelta

from agent.domain import Quality, Reading

# Set-points that stand are safe, so a silent link is waited for; a device that says "broken" is not.
STALE_HOLD_S = 15 * 60.0
_PLAUSIBLE_DEGC = (-20.0, 60.0)
_JUMP_K_PER_5_MIN = 3.0
_JUMP_HOLD = timedelta(minutes=15)
_MOVED_K = 1e-6
# A live sensor repeats itself as its resolution and the hall have it. It counts as frozen after this many
# times the longest repetition that it showed of late, within these bounds; unknown habits get the upper one.
_FROZEN_TIMES = 3.0
_SHORTEST_FROZEN_S, _LONGEST_FROZEN_S = 3600.0, 6 * 3600.0
# At a set-point in force a still temperature is what good control looks like: it says little.
_HELD_FROZEN_S = 24 * 3600.0
_HABIT_MOVES = 20
_HABIT_HALF_LIFE_S = 86400.0


class SensorWatch:
    """Follows one zone's sensor. `look` once a tick."""

    def __init__(self) -> None:
        self.value_degc: float | None = None  # what may be used now
        self._last: float | None = None
        self._last_at: datetime | None = None
        self._moved_at: datetime | None = None
        self._bad_until: datetime | None = None
        self._moves = 0
        self._longest_s = 0.0
        self._held = False  # the value stood at a set-point at some time since it moved last

    def look(self, reading: Reading | None, now: datetime, *, held: bool = False) -> str:
        """Why the temperature may not be used now; "" where it may. `held`: it stands at a set-point in force."""
        self.value_degc = None
        if reading is None or reading.value is None or reading.quality is Quality.BAD:
            return "zone temperature is unknown"
        if reading.quality is Quality.STALE:
            if (now - reading.at).total_seconds() > STALE_HOLD_S:
                return "zone temperature is older than 15 min"
            self.value_degc = reading.value if self._bad_until is None or now >= self._bad_until else None
            return "" if self.value_degc is not None else "zone temperature has jumped"
        value = reading.value
        low, high = _PLAUSIBLE_DEGC
        if not low <= value <= high:
            return f"zone temperature {value:.1f} degC is implausible"
        if self._last is not None and self._last_at is not None:
            span_s = max((now - self._last_at).total_seconds(), 300.0)
            if abs(value - self._last) > _JUMP_K_PER_5_MIN * span_s / 300.0:
                self._bad_until = now + _JUMP_HOLD
        self._follow(value, now, held=held)
        if self._bad_until is not None and now < self._bad_until:
            return "zone temperature has jumped"
        if self._moved_at is not None and (now - self._moved_at).total_seconds() > self._frozen_s(held=held):
            return "zone temperature is frozen"
        self.value_degc = value
        return ""

    def _follow(self, value: float, now: datetime, *, held: bool) -> None:
        if self._last is None or self._moved_at is None:
            self._moved_at = now
        elif abs(value - self._last) > _MOVED_K:
            stretch_s = (now - self._moved_at).total_seconds()
            kept_s = self._longest_s * 0.5 ** (stretch_s / _HABIT_HALF_LIFE_S)
            # One stretch may have been a frozen sensor: it counts for no more than the bound. One at a set-point is
            # the thermostat's habit, not the sensor's.
            self._longest_s = kept_s if self._held else max(kept_s, min(stretch_s, _LONGEST_FROZEN_S))
            self._moves += 1
            self._moved_at, self._held = now, False
        self._held = self._held or held
        self._last, self._last_at = value, now

    def _frozen_s(self, *, held: bool) -> float:
        if held:
            return _HELD_FROZEN_S
        if self._moves < _HABIT_MOVES:
            return _LONGEST_FROZEN_S
        return min(max(_FROZEN_TIMES * self._longest_s, _SHORTEST_FROZEN_S), _LONGEST_FROZEN_S)
