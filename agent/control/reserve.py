"""What a trip costs in pressure: how far above the minimum the net must stand to bear it."""

from __future__ import annotations

import math

from agent.control.demand import Demand
from agent.control.guard import START_GAP_S, may_start
from agent.control.memory import StationMemory
from agent.control.view import Fleet, StationView

# From the trip to the order for another machine: it is read, decided and written within two ticks.
_TICKS = 2.0
# A transmitter's noise, and a net that is no ideal vessel.
_MARGIN_BAR = 0.03
# After a trip the next machines are to refill the net within a minute (agent/control/band.py).
_REFILL_MIN = 1.0
# What all that is left lacks of the demand may be so small a share of it that a lower pressure makes it up.
_CARRIED_SHARE = 0.97
_HALVINGS = 8


def trip_reserve_bar(
    fleet: Fleet,
    view: StationView,
    memory: StationMemory,
    demand: Demand,
    *,
    tick_s: float,
    borne_s: float = 0.0,
) -> float:
    """Pressure [bar] above the minimum at which the trip of the worst running machine is borne.

    First its flow is missing until those that run have loaded, then what these cannot carry until a standing
    one has started, and so on with the gap between two starts. `borne_s`: so long the pressure may be below
    the minimum after it. 0 where nothing runs; a machine whose trip leaves too little for good is not counted
    where a dip is borne at all: a higher band would only put off what comes.
    """
    wanted = max(demand.fast_m3_min, demand.slow_m3_min)
    running = [i for i, seen in enumerate(view.machines) if seen.running and not seen.tripped]
    standing = sorted(
        (
            i
            for i, seen in enumerate(view.machines)
            if seen.running is False and memory.machines[i].known and may_start(fleet, view, memory, i)
        ),
        key=lambda i: fleet.machines[i].start_s - fleet.full_flow[i] / 1e3,
    )
    worst_m3 = 0.0
    for lost in running:
        path = _after_trip(fleet, running, standing, lost, wanted, tick_s)
        worst_m3 = max(worst_m3, _least_store_m3(path, wanted, borne_s))
    if borne_s > 0.0 and worst_m3 == 0.0:
        return 0.0
    return worst_m3 / fleet.m3_per_bar + _MARGIN_BAR if running else 0.0


def _after_trip(
    fleet: Fleet, running: list[int], standing: list[int], lost: int, wanted: float, tick_s: float
) -> list[tuple[float, float]]:
    """(seconds, what is delivered beyond the demand [m3/min]) from the trip on; the last of them lasts."""
    others = [i for i in running if i != lost]
    flow = min(fleet.full_flow[lost], wanted)
    left = sum(fleet.full_flow[i] for i in others)
    reload_s = max((fleet.machines[i].reload_s for i in others), default=0.0)
    at_s = _TICKS * tick_s + reload_s
    path = [(at_s, -flow)]
    missing_m3 = flow * at_s / 60.0
    for number, index in enumerate(standing):
        if left - wanted >= missing_m3 / _REFILL_MIN:
            break
        # It is up to speed, seen to be, told to load, and loads.
        machine = fleet.machines[index]
        delivers_s = (_TICKS + 1.0) * tick_s + number * START_GAP_S + machine.start_s + machine.reload_s
        lasts_s = max(delivers_s - at_s, 0.0)
        path.append((lasts_s, left - wanted))
        missing_m3 = max(missing_m3 + (wanted - left) * lasts_s / 60.0, 0.0)
        at_s, left = max(delivers_s, at_s), left + fleet.full_flow[index]
    path.append((math.inf, left - wanted))
    return path


def _least_store_m3(path: list[tuple[float, float]], wanted: float, borne_s: float) -> float:
    """Least store [m3] above the minimum with which it is passed for `borne_s` at most."""
    level = deepest = 0.0
    for lasts_s, beyond in path[:-1]:
        level += beyond * lasts_s / 60.0
        deepest = min(deepest, level)
    if borne_s <= 0.0:
        return -deepest
    if wanted + path[-1][1] < _CARRIED_SHARE * wanted or _below_s(path, 0.0) <= borne_s:
        return 0.0
    low, high = 0.0, -deepest
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if _below_s(path, middle) <= borne_s else (middle, high)
    return high


def _below_s(path: list[tuple[float, float]], store_m3: float) -> float:
    """Seconds below the minimum on the path, with `store_m3` above it at its begin; its last stretch never ends."""
    level, below_s = store_m3, 0.0
    for lasts_s, beyond in path[:-1]:
        after = level + beyond * lasts_s / 60.0
        if level < 0.0 and after < 0.0:
            below_s += lasts_s
        elif level < 0.0 or after < 0.0:
            below_s += lasts_s * max(-level, -after) / abs(after - level)
        level = after
    beyond = path[-1][1]
    if level < 0.0:
        return below_s + (-level / beyond * 60.0 if beyond > 0.0 else math.inf)
    return below_s
