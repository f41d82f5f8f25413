"""How fast the demand can rise: learned from the steepest rise seen, and what pressure outlasts one.

Between a sudden rise and the air of the next machine lie its start and a tick. What the running machines
lack meanwhile comes out of the receiver. Where they have room for the steepest rise the band needs no
reserve; where they do not, it stands so high that the dip stays bearable. A floor that learns from dips
alone (agent/control/level.py) knows such a rise only after it has happened.
"""

from __future__ import annotations

import math
from collections import deque

# Before anything was seen: a line that starts, a blow gun left open. Share of all machines' flow.
_EXPECTED_SHARE = 0.15
# A rise counts over this time: a start of most screws; what comes slower is met by a start in time.
_RISE_S = 30.0
# A rise is half forgotten after two weeks, so that a plant that has become calm gets its low band back.
_HALF_LIFE_S = 14 * 86400.0
# The dip below the minimum that is borne when the steepest rise meets the least room: three quarters of the
# 0.2 bar that users of sequencers accept.
_BORNE_BAR = 0.15
# From a rise to a start order: the filter of a flow meter.
_NOTICE_S = 6.0
_SETTLE_S = 60.0
_HIGHEST_BAR = 0.25


class Surge:
    """Steepest rise of the demand [m3/min within half a minute], and the lift of the band for it [bar]."""

    __slots__ = ("_past", "lift_bar", "rise_m3_min")

    def __init__(self, total_flow_m3_min: float) -> None:
        self.rise_m3_min = _EXPECTED_SHARE * total_flow_m3_min
        self.lift_bar = 0.0
        self._past: deque[tuple[float, float]] = deque()

    def see(self, at_s: float, demand_m3_min: float, dt_s: float) -> None:
        """Take in one tick's demand."""
        past = self._past
        if past and at_s <= past[-1][0]:
            past.clear()
        past.append((at_s, demand_m3_min))
        while len(past) > 2 and at_s - past[1][0] >= _RISE_S:
            past.popleft()
        self.rise_m3_min *= math.exp(-math.log(2.0) * dt_s / _HALF_LIFE_S)
        if at_s - past[0][0] <= 2.0 * _RISE_S:
            self.rise_m3_min = max(self.rise_m3_min, demand_m3_min - past[0][1])

    def lift(self, room_m3_min: float, start_s: float | None, m3_per_bar: float, dt_s: float) -> float:
        """How far below the minimum plus this the pressure may not be held now [bar], smoothed over a minute.

        `room_m3_min` is what the running machines deliver beyond the demand; `start_s` the time until the
        next one delivers, None where none stands ready: then a higher band would buy time for nothing.
        """
        wanted = 0.0
        if start_s is not None:
            lacking = max(self.rise_m3_min - room_m3_min, 0.0)
            wanted = lacking * (start_s + _NOTICE_S + dt_s) / 60.0 / m3_per_bar - _BORNE_BAR
        wanted = min(max(wanted, 0.0), _HIGHEST_BAR)
        self.lift_bar += (wanted - self.lift_bar) * min(dt_s / _SETTLE_S, 1.0)
        return self.lift_bar
