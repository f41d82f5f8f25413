"""The alarm for a pressure that nobody brings down: which machine goes on delivering, and what to do about it."""

from __future__ import annotations

from agent.config.site import Station
from agent.control.alarms import CLEAR_S, RAISE_S, Alarm
from agent.control.effect import EffectWatch
from agent.control.view import Fleet, StationView

HIGH_PRESSURE = "high-pressure"
# A machine may unload a little late and above its switch: its sensor is not the header's.
_ABOVE_BAR = 0.1


def alarm_bar_g(station: Station) -> float:
    """Where the alarm is raised [bar gauge]: as the site says, else a little above all that is meant to unload."""
    if station.pressure_alarm_bar_g is not None:
        return station.pressure_alarm_bar_g
    switches = [m.local_unload_bar_g for m in station.machines.values() if m.local_unload_bar_g is not None]
    bar_g = max([station.pressure_max_bar_g, *switches]) + _ABOVE_BAR
    rated = station.receiver_rated_bar_g
    return bar_g if rated is None else min(bar_g, rated)


class HighPressureWatch:
    """Raised when the header has stood above the alarm's pressure for 20 s, over when it was below for a minute.

    It only tells: what can be ordered against it the guard has ordered already.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._limit_bar_g = alarm_bar_g(fleet.station)
        self._high_since_s: float | None = None
        self._well_since_s: float | None = None
        self._alarm: Alarm | None = None

    def update(self, view: StationView, effect: EffectWatch) -> Alarm | None:
        """The alarm in force after this tick. A pressure that is unknown neither raises nor ends it."""
        pressure, now_s = view.pressure_bar_g, view.at_s
        if pressure is None:
            self._high_since_s = self._well_since_s = None
            return self._alarm
        if pressure <= self._limit_bar_g:
            self._high_since_s = None
            if self._alarm is not None:
                self._well_since_s = now_s if self._well_since_s is None else self._well_since_s
                if now_s - self._well_since_s >= CLEAR_S:
                    self._alarm = None
            return self._alarm
        self._well_since_s = None
        self._high_since_s = now_s if self._high_since_s is None else self._high_since_s
        if now_s - self._high_since_s >= RAISE_S:
            self._alarm = Alarm(HIGH_PRESSURE, self._text(view, pressure, effect))
        return self._alarm

    def _text(self, view: StationView, pressure: float, effect: EffectWatch) -> str:
        names, told = self._fleet.names, effect.defied(view)
        parts = []
        for index, (machine, seen) in enumerate(zip(self._fleet.machines, view.machines, strict=True)):
            switch = machine.local_unload_bar_g
            if index in told:
                parts.append(f"{names[index]} delivers although it was told to {told[index]}")
            elif seen.running and seen.loaded and switch is not None and pressure > switch + _ABOVE_BAR:
                parts.append(
                    f"{names[index]} delivers although its own switch is to unload it at {switch:g} bar"
                )
            elif seen.running is None:
                parts.append(f"{names[index]} is silent")
            elif seen.running and seen.loaded:
                parts.append(f"{names[index]} delivers")
        figures = f"{pressure:.2f} bar, above {self._limit_bar_g:.2f} bar"
        if not parts:
            return f"{figures}; no machine says that it delivers: look at the header's sensor first"
        return (
            f"{figures}; {'; '.join(parts)}. Stop it at the machine itself, and have its inlet valve and contactor "
            "looked at before it runs again"
        )
