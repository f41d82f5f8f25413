"""Which machine starts next after a trip: the one with which the net is below the minimum for the shortest time.

Two starts never go together, so the order counts: the machine that brings most air within the minute first. And one
that is not meant to run is started all the same where it shortens the dip.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from agent.control.guard import START_GAP_S, may_start
from agent.control.memory import StationMemory
from agent.control.refill import below_s, helps_m3, path_of, slot_s
from agent.control.view import Fleet, StationView, bits_in

# So long after a trip the net is to be filled again, not only to be carried on.
_AFTER_TRIP_S = 300.0
# A start that nobody planned is to shorten the dip by so long.
_WORTH_S = 5.0
# Beyond that one dip is as long as another.
_LONGEST_S = 600.0
_NONE = -1


class TripWatch:
    """Notes when a machine trips that delivered a tick ago."""

    def __init__(self) -> None:
        self.until_s = float("-inf")
        self._delivering = 0

    def see(self, view: StationView, loaded: int) -> bool:
        """Take in a tick with the machines (bits) that deliver; whether a trip is so young that its dip may last."""
        if view.states.tripped & self._delivering:
            self.until_s = view.at_s + _AFTER_TRIP_S
        self._delivering = loaded
        return view.at_s < self.until_s


class Starts(NamedTuple):
    """Index of the machine to start next, and of one to start that is not meant to run; -1 for none."""

    first: int
    more: int


def next_starts(
    fleet: Fleet,
    view: StationView,
    memory: StationMemory,
    *,
    active: int,
    wanted_m3_min: float,
    tick_s: float,
) -> Starts:
    """What shortens the dip most.

    `active`: machines (bits) that are meant to run and will be started anyway, one after the other.
    """
    now_s, pressure = view.at_s, view.pressure_bar_g
    assert pressure is not None, "the band does not run blind"
    states = view.states
    able, coming = 0.0, []
    for index in bits_in(states.running & ~states.tripped):
        left_s = memory.machines[index].since_s + fleet.machines[index].start_s - now_s
        if (states.loaded >> index) & 1 or left_s <= 0.0:
            able += fleet.full_flow[index]
        else:
            coming.append((left_s, fleet.full_flow[index]))
    ready = []
    for index in bits_in(~(states.running | states.silent | states.tripped) & ((1 << fleet.count) - 1)):
        past = memory.machines[index]
        if not math.isinf(past.ordered_start_s) and (active >> index) & 1:
            coming.append((fleet.machines[index].start_s, fleet.full_flow[index]))
        elif past.known and may_start(fleet, view, memory, index):
            ready.append(index)
    if not ready:
        return Starts(_NONE, _NONE)
    ready.sort(key=lambda i: -helps_m3(fleet.full_flow[i], fleet.machines[i].start_s))
    free_s = max(memory.start_gap_end_s(ready[0], START_GAP_S) - now_s, 0.0)
    store_m3 = (pressure - fleet.station.pressure_min_bar_g) * fleet.m3_per_bar

    def dip_s(order: Sequence[int]) -> float:
        gains = [
            (free_s + number * slot_s(tick_s) + fleet.machines[i].start_s, fleet.full_flow[i])
            for number, i in enumerate(order)
        ]
        path = path_of(able - wanted_m3_min, coming + gains)
        # Where nothing ends it, it is the longer the more is missing for good.
        return min(below_s(path, store_m3), _LONGEST_S) + max(-path[-1][1], 0.0)

    def best(which: Sequence[int]) -> tuple[float, int]:
        # What comes after the first goes by the air that it brings.
        return min(
            ((dip_s([i, *(j for j in which if j != i)]), i) for i in which), default=(dip_s(()), _NONE)
        )

    planned = [i for i in ready if (active >> i) & 1]
    shortest_s, first = best(planned)
    chosen = Starts(first, _NONE)
    if shortest_s <= _WORTH_S:
        return chosen
    for more in ready:
        if more in planned:
            continue
        lasts_s, first = best([i for i in ready if i in planned or i == more])
        if lasts_s < shortest_s - (_WORTH_S if chosen.more == _NONE else 0.0):
            shortest_s, chosen = lasts_s, Starts(first, more)
    return chosen


def may_wait(view: StationView, memory: StationMemory, index: int) -> bool:
    """Whether the machine stands and no start of it has been ordered yet."""
    return view.machines[index].running is False and math.isinf(memory.machines[index].ordered_start_s)
