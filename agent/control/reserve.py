"""What a trip costs in pressure: how far above the minimum the net must stand to bear it."""

from __future__ import annotations

from agent.control.demand import Demand
from agent.control.guard import START_GAP_S, may_start
from agent.control.memory import StationMemory
from agent.control.view import Fleet, StationView

# From the trip to the order for another machine: it is read, decided and written within two ticks.
_TICKS = 2.0
# A transmitter's noise, and a net that is no ideal vessel.
_MARGIN_BAR = 0.03


def trip_reserve_bar(
    fleet: Fleet, view: StationView, memory: StationMemory, demand: Demand, *, tick_s: float
) -> float:
    """Pressure [bar] that the trip of the worst running machine takes before others deliver what it did.

    First its flow is missing until those that run have loaded, then what these cannot carry until a standing
    one has started, and so on with the gap between two starts. 0 where nothing runs.
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
    able = sum(fleet.full_flow[i] for i in running)
    worst_m3 = 0.0
    for lost in running:
        flow = min(fleet.full_flow[lost], wanted)
        others = [i for i in running if i != lost]
        reload_s = max((fleet.machines[i].reload_s for i in others), default=0.0)
        at_s = _TICKS * tick_s + reload_s
        missing_m3 = flow * at_s / 60.0
        left = able - fleet.full_flow[lost]
        for number, index in enumerate(standing):
            if left >= wanted:
                break
            # It is up to speed, seen to be, told to load, and loads.
            machine = fleet.machines[index]
            delivers_s = (_TICKS + 1.0) * tick_s + number * START_GAP_S + machine.start_s + machine.reload_s
            missing_m3 += (wanted - left) * max(delivers_s - at_s, 0.0) / 60.0
            at_s, left = max(delivers_s, at_s), left + fleet.full_flow[index]
        worst_m3 = max(worst_m3, missing_m3)
    return worst_m3 / fleet.m3_per_bar + _MARGIN_BAR if running else 0.0
