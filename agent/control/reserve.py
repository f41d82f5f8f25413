"""What a trip costs in pressure: how far above the minimum the net must stand to bear it."""

from __future__ import annotations

from agent.control.demand import Demand
from agent.control.guard import may_start
from agent.control.memory import StationMemory
from agent.control.refill import below_s, helps_m3, path_of, slot_s
from agent.control.view import Fleet, StationView

# A trip is seen at the next tick at the latest; what is then decided is written and obeyed within a second.
_WRITTEN_S = 1.0
# A transmitter's noise, and a net that is no ideal vessel.
_MARGIN_BAR = 0.03
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
        key=lambda i: -helps_m3(fleet.full_flow[i], fleet.machines[i].start_s),
    )
    worst_m3 = 0.0
    for lost in running:
        path = _after_trip(fleet, running, standing, lost, wanted, tick_s)
        worst_m3 = max(worst_m3, _least_store_m3(path, wanted, borne_s))
    # Who bears seconds of it needs no margin for a transmitter's noise.
    margin_bar = _MARGIN_BAR if running and borne_s <= 0.0 else 0.0
    return worst_m3 / fleet.m3_per_bar + margin_bar


def _after_trip(
    fleet: Fleet, running: list[int], standing: list[int], lost: int, wanted: float, tick_s: float
) -> list[tuple[float, float]]:
    """(seconds, what is delivered beyond the demand [m3/min]) from the trip on; the last of them lasts."""
    others = [i for i in running if i != lost]
    left = sum(fleet.full_flow[i] for i in others)
    flow = min(fleet.full_flow[lost], wanted)
    if fleet.is_vsd[lost]:
        # It delivers what the others leave to it.
        flow = min(flow, max(wanted - left, fleet.least_flow[lost]))
    ordered_s = tick_s + _WRITTEN_S
    reload_s = max((fleet.machines[i].reload_s for i in others), default=0.0)
    gains = [(ordered_s + reload_s, left - wanted + flow)]
    for number, index in enumerate(standing):
        # Ordered to load with its start, it delivers as soon as it is up to speed.
        starts_s = ordered_s + number * slot_s(tick_s)
        gains.append((starts_s + fleet.machines[index].start_s, fleet.full_flow[index]))
    return path_of(-flow, gains)


def _least_store_m3(path: list[tuple[float, float]], wanted: float, borne_s: float) -> float:
    """Least store [m3] above the minimum with which it is passed for `borne_s` at most."""
    level = deepest = 0.0
    for lasts_s, beyond in path[:-1]:
        level += beyond * lasts_s / 60.0
        deepest = min(deepest, level)
    if borne_s <= 0.0:
        return -deepest
    if wanted + path[-1][1] < _CARRIED_SHARE * wanted or below_s(path, 0.0) <= borne_s:
        return 0.0
    low, high = 0.0, -deepest
    for _ in range(_HALVINGS):
        middle = 0.5 * (low + high)
        low, high = (low, middle) if below_s(path, middle) <= borne_s else (middle, high)
    return high
