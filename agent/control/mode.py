"""Which of the four modes a station is in, and why."""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite

from agent.domain import Mode

# A sensor may drop out this long before control is handed back; the machines' own dead-man is longer.
_BLIND_S = 20.0
# After a fall-back the data must have been good for this long; doubled with each new one.
_RETURN_S = 120.0
_LONGEST_RETURN_S = 3600.0
_FORGET_S = 7200.0

# Noise moves the last digits of a live transmitter at almost every poll; a coarse one repeats itself. The
# pressure counts as frozen after this many times the longest repetition that this sensor showed lately.
_FROZEN_TIMES = 3.0
_LIVE_STRETCH_S = 20.0
_SHORTEST_FROZEN_S, _LONGEST_FROZEN_S = 20.0, 600.0
_LIVE_HALF_LIFE_S = 900.0
# Where ticks are slow a repetition or two is chance, however long they take.
_LEAST_REPEATS = 5
# A sensor whose smallest move, of so many, is this has no digits in which a pressure that is held could be seen to live.
_COARSE_BAR, _LEAST_MOVES = 0.04, 5

# A pressure that jumps: what machines deliver beyond their nameplates, the air that a burst pipe takes in
# multiples of all machines' flow, and a sensor's noise. After a longer pause between two looks nothing is said.
_SUPPLY_MARGIN, _BURST_TIMES, _JUMP_NOISE_BAR = 1.3, 3.0, 0.08
_LONGEST_LOOK_S = 30.0

_RANK = {Mode.OBSERVE: 0, Mode.ADVISE: 1, Mode.CONTROL: 2}


class ModeSwitch:
    """OBSERVE, ADVISE, CONTROL as configured and wished, FALLBACK by itself and back, damped.

    `ceiling` is the site's own consent, from its local configuration: no wish reaches above it.
    """

    def __init__(self, ceiling: Mode) -> None:
        self.ceiling = ceiling
        self.wished = ceiling
        self.mode = ceiling
        self.why = "as configured"
        # Why it was wished; `why` also tells of a fall-back and the return from it.
        self.wished_why = self.why
        self._bad_since_s: float | None = None
        self._good_since_s: float | None = None
        self._return_s = _RETURN_S
        self._fell_at_s = float("-inf")

    def wish(self, mode: Mode, why: str) -> bool:
        """A wish from outside; False if it lies above the site's consent."""
        if _RANK[mode] > _RANK[self.ceiling]:
            return False
        self.wished = mode
        self.why = self.wished_why = why
        if self.mode is not Mode.FALLBACK:
            self.mode = mode
        return True

    def update(self, now_s: float, trouble: str) -> bool:
        """Take in this tick's trouble ("" is none); True when the mode changed."""
        before = self.mode
        if trouble:
            self._good_since_s = None
            if self._bad_since_s is None:
                self._bad_since_s = now_s
            if self.mode is Mode.CONTROL and now_s - self._bad_since_s >= _BLIND_S:
                self._fall(now_s, trouble)
        else:
            self._bad_since_s = None
            if self._good_since_s is None:
                self._good_since_s = now_s
            if self.mode is Mode.FALLBACK and now_s - self._good_since_s >= self._return_s:
                self.mode, self.why = self.wished, "data and machines are good again"
        return self.mode is not before

    def fall_now(self, now_s: float, trouble: str) -> bool:
        """Hand back at once: for trouble that needs no second look. True when the mode changed.

        In a fall-back it becomes the reason: zones that are kept at comfort in it are let go too.
        """
        if self.mode is Mode.FALLBACK:
            self.why = trouble
        if self.mode is not Mode.CONTROL:
            return False
        self._fall(now_s, trouble)
        return True

    def _fall(self, now_s: float, trouble: str) -> None:
        again = now_s - self._fell_at_s < _FORGET_S
        self._return_s = min(self._return_s * 2.0, _LONGEST_RETURN_S) if again else _RETURN_S
        self._fell_at_s = now_s
        self._good_since_s = None
        self.mode, self.why = Mode.FALLBACK, trouble


class JumpWatch:
    """Tells a header sensor that jumps from a pressure that moves: air comes and goes no faster than it can.

    Upwards no faster than the machines that deliver could fill the net if nothing were taken; downwards a burst
    pipe is allowed. Whoever steers by a sensor that shows too much starves the plant without a sign of it.
    What has jumped is believed again once it has jumped back, or when others bear it out (`believe`), not by itself.
    A fall that a burst pipe alone explains is followed; if as much comes back at one stroke, it was the sensor.
    """

    def __init__(self, m3_per_bar: float, total_flow_m3_min: float) -> None:
        self._m3_per_bar, self._total = m3_per_bar, total_flow_m3_min
        self._last: tuple[float, float] | None = None
        self._off_bar = 0.0
        self._steep_fall_bar = 0.0

    @property
    def off_bar(self) -> float:
        """By how much the sensor has jumped; 0 while it is believed."""
        return self._off_bar

    def believe(self) -> None:
        """What it shows now is right: the machines' gauges say so, or somebody who has looked."""
        self._off_bar = self._steep_fall_bar = 0.0

    def skip(self) -> None:
        """Nothing is known of the time since the last look: what the pressure did in it is no jump."""
        self._last = None

    @property
    def trouble(self) -> str:
        """Why the sensor is not believed now; "" if it is."""
        return (
            f"header pressure jumped by {self._off_bar:+.2f} bar and has not come back"
            if self._off_bar
            else ""
        )

    def see(self, now_s: float, pressure_bar_g: float | None, supply_m3_min: Callable[[], float]) -> None:
        """Take in one tick: `supply_m3_min` tells what the machines delivered at most since the last one."""
        if pressure_bar_g is None or not isfinite(pressure_bar_g):
            return
        if self._last is not None and self._last[1] == pressure_bar_g:
            # Coarse, slow or frozen: what it shows next has had all this time to come about.
            return
        last, self._last = self._last, (now_s, pressure_bar_g)
        if last is None or not 0.0 < now_s - last[0] <= _LONGEST_LOOK_S:
            return
        minutes, moved = (now_s - last[0]) / 60.0, pressure_bar_g - last[1]
        if abs(moved) <= _JUMP_NOISE_BAR:
            # As mostly: nobody has to be asked what was delivered.
            return
        up = _SUPPLY_MARGIN * supply_m3_min() * minutes / self._m3_per_bar + _JUMP_NOISE_BAR
        down = _BURST_TIMES * self._total * minutes / self._m3_per_bar + _JUMP_NOISE_BAR
        back = self._off_bar + moved
        came_back = abs(back) < 0.5 * abs(self._off_bar)
        if -down <= moved <= up:
            drawn = _SUPPLY_MARGIN * self._total * minutes / self._m3_per_bar + _JUMP_NOISE_BAR
            if moved < -drawn:
                # Steeper than all that the machines deliver is ever drawn.
                self._steep_fall_bar = 0.0 if came_back else moved
                self._off_bar = 0.0 if came_back else self._off_bar
            return
        fall, self._steep_fall_bar = self._steep_fall_bar, 0.0
        if not self._off_bar and abs(fall + moved) < 0.5 * abs(fall):
            return
        self._off_bar = 0.0 if came_back else back


class StillWatch:
    """Tells a frozen sensor from a coarse one by how long its value repeats itself exactly.

    A frozen header pressure is worse than a missing one: loads look useless and unloads look free.
    """

    def __init__(self) -> None:
        self._value: float | None = None
        self._since_s = 0.0
        self._repeats = 0
        self._longest_s = _LIVE_STRETCH_S
        self._moves = 0
        self._smallest_move_bar = float("inf")

    @property
    def coarse_bar(self) -> float:
        """The step in which a coarse sensor moves; 0 for a fine one, and while too little was seen."""
        known = self._moves >= _LEAST_MOVES and self._smallest_move_bar >= _COARSE_BAR
        return self._smallest_move_bar if known else 0.0

    @property
    def limit_s(self) -> float:
        """The value counts as frozen once it has stood still for this long."""
        if self.coarse_bar:
            return _LONGEST_FROZEN_S
        return min(max(_FROZEN_TIMES * self._longest_s, _SHORTEST_FROZEN_S), _LONGEST_FROZEN_S)

    def frozen(self, still_s: float) -> bool:
        """Whether standing still for `still_s` is more than this sensor's habit."""
        return still_s >= self.limit_s and self._repeats >= _LEAST_REPEATS

    def still_s(self, now_s: float, value: float | None) -> float:
        """Take in one tick's value; seconds for which it has been exactly this one."""
        if value is not None and value == self._value:
            self._repeats += 1
            return now_s - self._since_s
        if value is not None and self._value is not None:
            stretch_s = now_s - self._since_s
            kept_s = self._longest_s * 0.5 ** (stretch_s / _LIVE_HALF_LIFE_S)
            # One long stretch may have been a frozen sensor: it counts for no more than twice the longest.
            self._longest_s = max(kept_s, min(stretch_s, 2.0 * self._longest_s))
            self._moves += 1
            self._smallest_move_bar = min(self._smallest_move_bar, abs(value - self._value))
        self._value, self._since_s, self._repeats = value, now_s, 0
        return 0.0
