"""What each machine really delivers, learned beside a flow meter: worn screws, clogged filters, nameplates that flatter.

With figures that are too high a set of machines looks able to carry what the meter shows, and is not; with figures
that are too low one runs too many. Both are seen in the mass balance over minutes in which no machine changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from agent.config.site import Machine, Station
from agent.control.view import Fleet, States, StationView, bits_in

# A window begins so long after the last change of a machine (valves, a meter's own filter), is closed at the longest
# length, and says nothing below the shortest. It is looked at this often.
_SETTLE_S = 20.0
_LOOK_S = 10.0
_LONGEST_S, _SHORTEST_S = 120.0, 60.0
# Looks that lie further apart do not tell what happened between them.
_GAP_S = 30.0
# How far machines stray from their nameplates before anything was seen: all alike (a meter that errs, hot air) and
# each for itself. ISO 1217 allows 4 to 7 % to begin with, wear comes on top.
_ALIKE, _EACH = 0.05, 0.05
# What one window is off by: a share of what is delivered (meter, states that come late), of what the receiver gives or
# takes (its volume is as good as site.toml), and of what a VSD holds back (flow is not quite in proportion to speed).
_METER_SHARE, _STORED_SHARE, _SPEED_SHARE = 0.04, 0.3, 0.05
# A meter between two receivers shows the second one's filling too: while much is stored a window tells nothing.
_MUCH_STORED = 0.1
# How sure it is of what was learned fades in so long: filters clog in weeks, the air's temperature changes in hours.
_FORGET_S = 8.0 * 3600.0
# Beyond this the meter and the machines do not speak of the same air (agent/control/demand.py leaves it there too).
_FARTHEST = 0.25
_LEAST_OF_TOTAL = 0.1
# Nameplates stand until they are this far off, are believed again within the second, and a share is renewed by the third.
_WRONG, _RIGHT, _STEP = 0.035, 0.01, 0.015
_EVERY_S = 600.0
# Nothing is believed before so much was seen.
_BEGIN_S = 300.0


@dataclass(slots=True)
class _Window:
    """Sums over looks at machines that do not change. Times are seconds since `begin_s`, flows m3/min."""

    begin_s: float
    # Machines that deliver all of their flow, and those that tell how much of it.
    full: tuple[int, ...]
    telling: tuple[int, ...]
    looks: int = 0
    time: float = 0.0
    time_squared: float = 0.0
    pressure: float = 0.0
    time_pressure: float = 0.0
    metered: float = 0.0
    told: list[float] = field(default_factory=list)
    last_s: float = 0.0


class Delivered:
    """Share of its nameplate flow that each machine delivers, in the meter's air.

    A Kalman filter over windows: metered + stored = sum of share x nameplate flow. Machines that never ran alone are
    told apart as far as the sets that did run allow; one that has not run yet is taken to be like the others.
    """

    def __init__(self, plates: Fleet) -> None:
        """`plates`: the machines as site.toml has them."""
        self._plates = plates
        self._total = sum(plates.full_flow)
        count = plates.count
        self._prior = [
            [_ALIKE**2 + (_EACH**2 if i == j else 0.0) for j in range(count)] for i in range(count)
        ]
        # What is reckoned with now: 1 where a nameplate is good enough.
        self.shares: tuple[float, ...] = (1.0,) * count
        self._forget()
        self._due_s = self._renewed_s = float("-inf")
        self._states: States | None = None
        self._window: _Window | None = None

    def _forget(self) -> None:
        self._found = [1.0] * self._plates.count
        self._spread = [row[:] for row in self._prior]
        self._seen_s = 0.0

    def see(self, view: StationView, *, meter_doubted: bool) -> bool:
        """Take in one tick; whether `shares` has changed. A meter that is not believed has taught nothing."""
        now_s = view.at_s
        if view.states != self._states:
            self._close()
            self._states, self._due_s = view.states, now_s + _SETTLE_S
        if now_s < self._due_s:
            return False
        if meter_doubted:
            changed = any(share != 1.0 for share in self.shares)
            self.shares, self._window = (1.0,) * self._plates.count, None
            self._forget()
            return changed
        if view.pressure_bar_g is None or view.flow_m3_min is None:
            self._window, self._due_s = None, now_s + _SETTLE_S
            return False
        window = self._window
        if window is not None and now_s - window.begin_s - window.last_s > _GAP_S:
            window = None
        if window is None:
            window = self._window = self._opened(view)
        if window is None:
            self._due_s = now_s + _SETTLE_S
            return False
        self._due_s = now_s + _LOOK_S
        self._look(window, view, view.pressure_bar_g, view.flow_m3_min)
        if window.last_s < _LONGEST_S:
            return False
        self._close()
        return self._renew(now_s)

    def _opened(self, view: StationView) -> _Window | None:
        """A window that begins now; None while a machine does not tell enough of itself."""
        plates, states = self._plates, view.states
        delivering = states.running & states.loaded
        if states.silent or delivering & states.tripped:
            return None
        telling = tuple(i for i in bits_in(delivering) if plates.is_vsd[i] or plates.throttles[i])
        full = tuple(i for i in bits_in(delivering) if i not in telling)
        return _Window(view.at_s, full, telling, told=[0.0] * len(telling))

    def _look(self, window: _Window, view: StationView, pressure_bar_g: float, flow_m3_min: float) -> None:
        """Add one look; a machine whose flow nobody tells makes the window worthless."""
        at_s = view.at_s - window.begin_s
        for place, index in enumerate(window.telling):
            share = view.machines[index].output_share
            if share is None:
                self._window, self._due_s = None, view.at_s + _SETTLE_S
                return
            window.told[place] += share
        window.looks += 1
        window.time += at_s
        window.time_squared += at_s * at_s
        window.pressure += pressure_bar_g
        window.time_pressure += at_s * pressure_bar_g
        window.metered += flow_m3_min
        window.last_s = at_s

    def _close(self) -> None:
        """End the window and learn from it, if it is long enough."""
        window, self._window = self._window, None
        if window is None or window.last_s < _SHORTEST_S:
            return
        looks, full_flow = window.looks, self._plates.full_flow
        varied_s2 = window.time_squared - window.time * window.time / looks
        slope_bar_s = (window.time_pressure - window.time * window.pressure / looks) / varied_s2
        stored = 60.0 * slope_bar_s * self._plates.m3_per_bar
        delivered = window.metered / looks + stored
        flows, held_back = [0.0] * self._plates.count, 0.0
        for index in window.full:
            flows[index] = full_flow[index]
        for index, told in zip(window.telling, window.told, strict=True):
            flows[index] = full_flow[index] * min(max(told / looks, 0.0), 1.0)
            held_back += full_flow[index] - flows[index]
        expected = sum(flows)
        if (
            expected < _LEAST_OF_TOTAL * self._total
            or abs(delivered - expected) > _FARTHEST * expected
            or abs(stored) > _MUCH_STORED * expected
        ):
            return
        self._seen_s += window.last_s
        noise = (
            (_METER_SHARE * delivered) ** 2 + (_STORED_SHARE * stored) ** 2 + (_SPEED_SHARE * held_back) ** 2
        )
        self._learn(flows, delivered, noise, window.last_s / _FORGET_S)

    def _learn(self, flows: Sequence[float], delivered: float, noise: float, forgotten: float) -> None:
        """One step of the filter; what was known of the spread fades back into what was supposed at first."""
        spread, prior = self._spread, self._prior
        for row, before in zip(spread, prior, strict=True):
            for j, value in enumerate(before):
                row[j] += forgotten * (value - row[j])
        reach = [sum(a * b for a, b in zip(row, flows, strict=True)) for row in spread]
        variance = sum(a * b for a, b in zip(reach, flows, strict=True)) + noise
        missing = delivered - sum(a * b for a, b in zip(self._found, flows, strict=True))
        for i, one in enumerate(reach):
            share = self._found[i] + one / variance * missing
            self._found[i] = min(max(share, 1.0 - _FARTHEST), 1.0 + _FARTHEST)
            for j, other in enumerate(reach):
                spread[i][j] -= one * other / variance

    def _renew(self, now_s: float) -> bool:
        """Reckon with what was found where it differs from what is reckoned with."""
        if self._seen_s < _BEGIN_S or now_s - self._renewed_s < _EVERY_S:
            return False
        shares = tuple(
            _reckoned(_surely(found, math.sqrt(max(row[i], 0.0))), used)
            for i, (found, row, used) in enumerate(zip(self._found, self._spread, self.shares, strict=True))
        )
        if shares == self.shares:
            return False
        self.shares, self._renewed_s = shares, now_s
        return True


def _surely(found: float, deviation: float) -> float:
    """More than the nameplate only as far as it is sure: to believe too little costs energy, too much costs air."""
    return min(found, max(found - deviation, 1.0))


def _reckoned(found: float, used: float) -> float:
    if used == 1.0:
        return found if abs(found - 1.0) > _WRONG else 1.0
    if abs(found - 1.0) < _RIGHT:
        return 1.0
    return found if abs(found - used) > _STEP else used


def as_delivered(station: Station, shares: Sequence[float]) -> Station:
    """The station with machines that deliver so much of what site.toml says, at the same power."""
    if all(share == 1.0 for share in shares):
        return station
    machines = {
        name: _scaled(machine, share)
        for (name, machine), share in zip(station.machines.items(), shares, strict=True)
    }
    return station.model_copy(update={"machines": machines})


def _scaled(machine: Machine, share: float) -> Machine:
    flows = {
        key: value * share
        for key in ("full_flow_m3_min", "turndown_flow_m3_min", "mid_flow_m3_min")
        if (value := getattr(machine, key)) is not None
    }
    return machine.model_copy(update=flows)
