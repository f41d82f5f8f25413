"""In which order conventional controllers use a station's machines."""

from __future__ import annotations

from typing import Literal

from agent.config.site import Station

OrderName = Literal["priority", "size-down", "size-up", "efficiency"]
ORDER_NAMES: tuple[OrderName, ...] = ("priority", "size-down", "size-up", "efficiency")


def machine_order(
    station: Station, order: OrderName | tuple[str, ...], *, vsd_first: bool = True
) -> tuple[str, ...]:
    """Machine names, first used first. `vsd_first` keeps speed-controlled machines in front: they trim.

    ValueError for a tuple that does not name every machine once.
    """
    machines = station.machines
    if not isinstance(order, str):
        if sorted(order) != sorted(machines):
            msg = f"an order names every machine once: {', '.join(machines)}"
            raise ValueError(msg)
        return tuple(order)
    keys = {
        "priority": lambda name: float(machines[name].priority),
        "size-down": lambda name: -machines[name].full_flow_m3_min,
        "size-up": lambda name: machines[name].full_flow_m3_min,
        "efficiency": lambda name: machines[name].specific_power_kw_min_m3,
    }
    names = sorted(machines, key=keys[order])
    if vsd_first:
        names.sort(key=lambda name: machines[name].control != "vsd")
    return tuple(names)
