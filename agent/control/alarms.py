"""Alarms that a station's people wait for: the air does not suffice, and whether anything could be done about it."""

from __future__ import annotations

from typing import NamedTuple

from agent.control.demand import Demand
from agent.control.guard import start_bar
from agent.control.memory import StationMemory
from agent.control.view import Fleet, StationView

INSUFFICIENT, RESTRICTED = "insufficient-capacity", "restricted-capacity"
# Short for so long before it is said, well for so long before it is taken back.
RAISE_S, CLEAR_S = 20.0, 60.0


class Alarm(NamedTuple):
    """`kind` is one of the two above or that of control/high_pressure.py; `text` names figures and machines."""

    kind: str
    text: str


class CapacityWatch:
    """Tells from tick to tick whether the machines that may work can carry what is taken.

    Insufficient: more is taken than all machines of the station deliver, or all of them work and the pressure is
    below the minimum. Restricted: it would suffice, but machines are locked out, stopped by an operator, tripped,
    silent, set aside or at their start limit.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._short_since_s: float | None = None
        self._well_since_s: float | None = None
        self._alarm: Alarm | None = None

    def use(self, fleet: Fleet) -> None:
        """Go on with the same machines, of which another flow is known."""
        self._fleet = fleet

    def update(self, view: StationView, memory: StationMemory, demand: Demand | None) -> Alarm | None:
        """The alarm in force after this tick; it stays until the air has sufficed for a minute."""
        now_s = view.at_s
        found = self._short(view, memory, demand)
        if found is None:
            self._short_since_s = None
            if self._well_since_s is None:
                self._well_since_s = now_s
            if now_s - self._well_since_s >= CLEAR_S:
                self._alarm = None
            return self._alarm
        self._well_since_s = None
        if self._short_since_s is None:
            self._short_since_s = now_s
        if now_s - self._short_since_s >= RAISE_S and (self._alarm is None or self._alarm.kind != found.kind):
            self._alarm = found
        return self._alarm

    def _short(self, view: StationView, memory: StationMemory, demand: Demand | None) -> Alarm | None:
        fleet = self._fleet
        if demand is None:
            return None
        wanted = max(demand.fast_m3_min, demand.slow_m3_min)
        low = fleet.station.pressure_min_bar_g
        below = view.pressure_bar_g is not None and view.pressure_bar_g < low
        if wanted <= fleet.capacity(view.states.running) and not below:
            # Mostly those that run suffice, and nobody has to be asked why the others stand.
            return None
        out = self._out(view, memory)
        able = sum(flow for i, flow in enumerate(fleet.full_flow) if fleet.names[i] not in out)
        all_work = all(
            seen.loaded for name, seen in zip(fleet.names, view.machines, strict=True) if name not in out
        )
        if wanted <= able and not (below and all_work):
            return None
        total = sum(fleet.full_flow)
        figures = f"{wanted:.1f} m3/min taken, {able:.1f} of {total:.1f} able to deliver"
        if not out or wanted > total:
            return Alarm(INSUFFICIENT, figures)
        return Alarm(RESTRICTED, f"{figures}; out: " + "; ".join(f"{n} ({why})" for n, why in out.items()))

    def _out(self, view: StationView, memory: StationMemory) -> dict[str, str]:
        """Machines that cannot deliver now, and why."""
        fleet, now_s = self._fleet, view.at_s
        out: dict[str, str] = {}
        for index, (name, seen) in enumerate(zip(fleet.names, view.machines, strict=True)):
            past = memory.machines[index]
            if seen.running is None:
                out[name] = "silent"
            elif seen.running and not seen.tripped:
                if past.overridden(now_s) is False:
                    out[name] = past.override_text or "operator's override"
                elif past.stuck_unloaded:
                    out[name] = f"set aside: {past.barred_why}"
            elif rule := start_bar(fleet, view, memory, index)[0]:
                out[name] = rule
        return out
