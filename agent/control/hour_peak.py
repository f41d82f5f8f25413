"""How high the demand gets within the next hour: what is expected, and how far the demand has wandered above it so far.

A set of machines that just carries what is expected will need another start soon. How soon depends on how the
demand wanders, which differs from plant to plant.
"""

from __future__ import annotations

import math
from collections import deque
from typing import NamedTuple

from agent.control.memory import HOUR_S

# An expectation is kept for comparison this often.
_EVERY_S = 300.0
# Errors are forgotten with this many comparisons: two days. What is assumed at first counts as three hours of them.
_MEMORY, _BEGIN = 576.0, 36
# A shift that nobody expected tells nothing of how the demand wanders: no comparison counts for more than this share.
_LARGEST = 0.25


class Peak(NamedTuple):
    """The highest demand of the coming hour [m3/min], taken as normally distributed."""

    mean_m3_min: float
    deviation_m3_min: float


class HourWander(NamedTuple):
    """What was learned so far, to be kept over a restart: shares of what was expected, and of how many comparisons."""

    mean_share: float
    deviation_share: float
    comparisons: float


class HourPeak:
    """Compares what was expected of an hour with what came. `spread`: the demand's relative swing, to begin with."""

    def __init__(self, spread: float) -> None:
        self._asked: deque[tuple[float, float]] = deque()
        # Instants and values of the last hour, each value smaller than the one before: the first is the peak.
        self._falling: deque[tuple[float, float]] = deque()
        # Of (highest demand / highest expected - 1): mean, and mean square.
        self._mean, self._square = spread, 2.0 * spread * spread
        self._seen = _BEGIN
        self._expected_m3_min = 0.0

    @property
    def peak(self) -> Peak:
        """What the expectation last told of grows into, by what was learned."""
        deviation = math.sqrt(max(self._square - self._mean**2, 0.0))
        return Peak(self._expected_m3_min * (1.0 + self._mean), self._expected_m3_min * deviation)

    @property
    def learned(self) -> HourWander | None:
        """What the comparisons have taught; None before the first."""
        if self._seen <= _BEGIN:
            return None
        deviation = math.sqrt(max(self._square - self._mean**2, 0.0))
        return HourWander(self._mean, deviation, min(self._seen, _MEMORY))

    def recall(self, learned: HourWander | None) -> None:
        """Go on from what was learned before a restart; what cannot have been learned here is left out."""
        if learned is None or not all(map(math.isfinite, learned)):
            return
        mean, deviation, comparisons = learned
        if abs(mean) > _LARGEST or not 0.0 <= deviation <= _LARGEST or comparisons <= _BEGIN:
            return
        self._mean, self._square = mean, mean * mean + deviation * deviation
        self._seen = int(min(comparisons, _MEMORY))

    def see(self, at_s: float, demand_m3_min: float) -> None:
        """Take in a tick's demand."""
        falling, asked = self._falling, self._asked
        if falling and at_s <= falling[-1][0]:
            falling.clear()
            asked.clear()
        while falling and falling[-1][1] <= demand_m3_min:
            falling.pop()
        falling.append((at_s, demand_m3_min))
        while falling[0][0] < at_s - HOUR_S:
            falling.popleft()
        while asked and at_s - asked[0][0] >= HOUR_S:
            _, expected = asked.popleft()
            share = falling[0][1] / expected - 1.0
            self._learn(min(max(share, -_LARGEST), _LARGEST))

    def expect(self, at_s: float, highest_m3_min: float) -> None:
        """Note the highest demand that is expected of the hour from now on."""
        self._expected_m3_min = highest_m3_min
        if highest_m3_min > 0.0 and (not self._asked or at_s - self._asked[-1][0] >= _EVERY_S):
            self._asked.append((at_s, highest_m3_min))

    def _learn(self, share: float) -> None:
        self._seen += 1
        gain = max(1.0 / self._seen, 1.0 / _MEMORY)
        self._mean += (share - self._mean) * gain
        self._square += (share * share - self._square) * gain
