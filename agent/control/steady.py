"""The control's own time: it goes on by one tick when somebody sets the clock.

Minimum times, start limits and time-outs are about time that has passed. A clock that is set an hour back would
hold every motor for an hour; one set forward would forget that a motor has just been stopped.
"""

from __future__ import annotations

# Between two ticks the clock moves by a tick. Further than this it was set, or the program slept: either
# way nothing is known of the time between, and taking it for one tick keeps every limit on the safe side.
_LONGEST_TICK_S = 120.0


class SteadyTime:
    """Epoch seconds as they come in, made free of steps. `offset_s` is what the steps came to."""

    __slots__ = ("_last_s", "_tick_s", "offset_s", "stepped")

    def __init__(self) -> None:
        self._last_s: float | None = None
        self._tick_s = 0.0
        self.offset_s = 0.0
        self.stepped = False

    def at(self, wall_s: float) -> float:
        """The control's time of a tick at `wall_s`; `stepped` tells whether the clock was set before it."""
        last_s, self._last_s = self._last_s, wall_s
        self.stepped = False
        if last_s is None:
            return wall_s
        moved_s = wall_s - last_s
        if 0.0 <= moved_s <= _LONGEST_TICK_S:
            self._tick_s = moved_s
        else:
            self.stepped = True
            self.offset_s += self._tick_s - moved_s
        return wall_s + self.offset_s
