"""The running billing interval: heating and cooling give way before its mean passes the peak that is accepted. Pure.

A plan keeps the mean of a quarter hour under a peak; doors, thermostats in step and a cold morning lift what the meter
sees over it, and the highest interval of a month is paid. So the interval is watched as it runs: what it has drawn,
and what it may still draw. Where it would end too high, the zones with the most room inside their band are told less
until the interval is over. A zone at the edge of its band with people in gives nothing, for comfort comes first; one that
is led back into it fast may come back more slowly.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from agent.config.site import Hvac, Unit, Zone
from agent.domain import ZoneStep

# Between two decisions thermostats and compressors need time to answer, and power is smoothed over as long.
LOOK_S = 240.0
# The last minutes of an interval are beyond what can be corrected.
RESERVE = 0.02
# With people in a zone gives way while it is this far inside its band: sensors and the minutes until the next look.
# Held at the edge of its band it would come back the harder a few minutes later.
ROOM_K = 0.1
# One without room that is led back faster than this between two decisions may come back more slowly: by half its
# power, and told at most so far beyond the edge of its band.
PULLED_K = 0.1
PULLED_SHARE = 0.5
PULLED_EDGE_K = 0.4
# From no to full output of a thermostat whose line is not known; one that switches lets go a look or two later.
USUAL_SLOPE_K = 1.0
RUNNING_SHARE = 0.1  # of the nameplate's power: below, the coil stands
FORGIVEN_KW = 0.1


@dataclass(frozen=True, slots=True)
class ZoneLook:
    """What one zone shows now: its air, [degC], whether people are in, and the step that is planned."""

    temp_degc: float
    people: bool
    step: ZoneStep


@dataclass(frozen=True, slots=True)
class _Room:
    """A unit that may give way, or take back what it gave."""

    unit: str
    heats: bool
    coil_kw: float  # drawn now
    spare_kw: float  # of it, what may be given up
    full_kw: float  # at full output
    room_k: float  # of its zone nearest to the edge of the band


class RunningInterval:
    """The energy of the billing interval that is running, [kWh]; unknown until one was seen from its begin."""

    def __init__(self, interval_s: float) -> None:
        self._interval_s = interval_s
        self._began_s: float | None = None
        self._kwh: float | None = None
        self._looked_s: float | None = None
        self._lately: deque[tuple[float, float]] = deque()

    def look(self, at: datetime, power_kw: float | None) -> None:
        """A look at the meter: the site's power, [kW], as it was since the last look."""
        now_s = at.timestamp()
        began_s = now_s // self._interval_s * self._interval_s
        last_s, self._looked_s = self._looked_s, now_s
        if power_kw is None or last_s is None or now_s - last_s > self._interval_s:
            self._kwh = 0.0 if power_kw is not None and now_s == began_s else None
            self._lately.clear()
        elif began_s != self._began_s:
            self._kwh = power_kw * (now_s - began_s) / 3600.0
        elif self._kwh is not None:
            self._kwh += power_kw * (now_s - last_s) / 3600.0
        self._began_s = began_s
        if power_kw is not None:
            self._lately.append((now_s, power_kw))
            while self._lately[0][0] <= now_s - LOOK_S:
                self._lately.popleft()

    def over_kw(self, limit_kw: float) -> float | None:
        """How much the site must draw less from now on for the interval to end at the limit; None: not known, [kW]."""
        if self._kwh is None or self._looked_s is None or self._began_s is None or not self._lately:
            return None
        left_s = self._began_s + self._interval_s - self._looked_s
        may_kw = (limit_kw * self._interval_s / 3600.0 - self._kwh) * 3600.0 / max(left_s, 1.0)
        return sum(power for _, power in self._lately) / len(self._lately) - may_kw


class DemandLimit:
    """Which set-points stand in for the planned ones until the interval is over."""

    def __init__(self, interval_s: float) -> None:
        self.interval = RunningInterval(interval_s)
        self._told: dict[str, float] = {}  # by zone: what its thermostat is told instead, [degC]
        self._heats: dict[str, bool] = {}
        self._seen_degc: dict[str, float] = {}  # at the last decision
        self._decided_s = float("-inf")

    @property
    def held(self) -> tuple[str, ...]:
        """Zones that are told less than planned."""
        return tuple(self._told)

    def clear(self) -> None:
        """Everything as planned again."""
        self._told.clear()

    def steps(
        self,
        at: datetime,
        hvac: Hvac,
        zones: Mapping[str, ZoneLook],
        drawn_kw: Mapping[str, float],
        limit_kw: float | None,
    ) -> dict[str, ZoneStep]:
        """The steps of `zones` as they are to be told now; `drawn_kw`: each unit's power, fan included, [kW]."""
        over_kw = None if limit_kw is None else self.interval.over_kw(limit_kw * (1.0 - RESERVE))
        for name in [name for name in self._told if name not in zones]:
            del self._told[name]
        if over_kw is None:
            self._told.clear()
        elif at.timestamp() - self._decided_s >= LOOK_S:
            self._decided_s = at.timestamp()
            self._decide(over_kw, hvac, zones, drawn_kw)
            self._seen_degc = {name: look.temp_degc for name, look in zones.items()}
        for name in self._told:
            self._told[name] = _inside(
                self._told[name], hvac.zones[name], zones[name], heats=self._heats[name]
            )
        return {name: self._step(name, look, limit_kw) for name, look in zones.items()}

    def _decide(
        self, over_kw: float, hvac: Hvac, zones: Mapping[str, ZoneLook], drawn_kw: Mapping[str, float]
    ) -> None:
        rooms = [
            room
            for name, unit in hvac.units.items()
            if (room := self._room(name, unit, hvac, zones, drawn_kw)) is not None
        ]
        for name in hvac.units.keys() - {room.unit for room in rooms}:
            self._forget(name, hvac)  # nobody knows any more what it gives
        if over_kw > FORGIVEN_KW:
            for room in sorted(rooms, key=lambda room: -room.room_k):
                if over_kw > FORGIVEN_KW and room.spare_kw > 0.0:
                    less_kw = min(over_kw, room.spare_kw)
                    self._give(room, less_kw, hvac, zones)
                    over_kw -= less_kw
            for room in rooms:
                if room.room_k <= 0.0 and room.spare_kw <= 0.0:
                    self._forget(room.unit, hvac)
            return
        spare_kw = -over_kw
        for room in sorted(rooms, key=lambda room: room.room_k):
            spare_kw -= self._take_back(room, spare_kw, hvac, zones)

    def _room(
        self,
        name: str,
        unit: Unit,
        hvac: Hvac,
        zones: Mapping[str, ZoneLook],
        drawn_kw: Mapping[str, float],
    ) -> _Room | None:
        mine = {zone: zones[zone] for zone in _of(hvac, name) if zone in zones}
        if len(mine) != len(_of(hvac, name)) or not mine or name not in drawn_kw:
            return None
        told = next((zone for zone in mine if zone in self._told), None)
        heats = self._heats[told] if told is not None else _heats(mine)
        capacity, cop = (unit.heating_kw, unit.heating_cop) if heats else (unit.cooling_kw, unit.cooling_cop)
        full_kw = capacity / cop
        coil_kw = max(drawn_kw[name] - unit.fan_kw, 0.0)
        room_k = min(_room_k(hvac.zones[zone], look, heats=heats) for zone, look in mine.items())
        coil_kw = coil_kw if coil_kw > RUNNING_SHARE * full_kw else 0.0
        toward = 1.0 if heats else -1.0
        pulled_k = min(
            toward * (look.temp_degc - self._seen_degc.get(zone, look.temp_degc))
            for zone, look in mine.items()
        )
        spare_kw = coil_kw if room_k > 0.0 else PULLED_SHARE * coil_kw if pulled_k >= PULLED_K else 0.0
        asks = any(_asks(hvac.zones[zone], look, heats=heats) for zone, look in mine.items())
        spare_kw = spare_kw if asks else 0.0
        return _Room(name, heats, coil_kw, spare_kw, max(full_kw, 1e-6), room_k)

    def _give(self, room: _Room, less_kw: float, hvac: Hvac, zones: Mapping[str, ZoneLook]) -> None:
        """Tell the zones of a unit so much less that it draws `less_kw` less."""
        for name in _of(hvac, room.unit):
            air, planned = zones[name].temp_degc, _setpoint(zones[name].step, heats=room.heats)
            slope_k = _slope_k(hvac.zones[name], heats=room.heats)
            # One that asks for more than there is would not notice: from where the line gives what is drawn now.
            by_k = slope_k * less_kw / room.full_kw
            line_k = slope_k * room.coil_kw / room.full_kw
            standing = self._told.get(
                name, min(planned, air + line_k) if room.heats else max(planned, air - line_k)
            )
            self._told[name] = standing - by_k if room.heats else standing + by_k
            self._heats[name] = room.heats

    def _take_back(self, room: _Room, spare_kw: float, hvac: Hvac, zones: Mapping[str, ZoneLook]) -> float:
        """Give a unit's zones back what `spare_kw` allows, all of it where they have no room; what it takes, [kW]."""
        taken_kw = 0.0
        for name in [name for name in _of(hvac, room.unit) if name in self._told]:
            toward, air = 1.0 if room.heats else -1.0, zones[name].temp_degc
            slope_k = _slope_k(hvac.zones[name], heats=room.heats)
            # One that was told far beyond its air gives nothing: its line begins half of itself before the air at most.
            begins = air - toward * 0.5 * slope_k
            told = max(self._told[name], begins) if room.heats else min(self._told[name], begins)
            missing_k = toward * (_setpoint(zones[name].step, heats=room.heats) - told)
            taken_kw = max(min(room.full_kw * missing_k / slope_k, spare_kw), 0.0)
            self._told[name] = told + toward * slope_k * taken_kw / room.full_kw
            if room.room_k <= 0.0 or slope_k * taken_kw / room.full_kw >= missing_k - 0.01:
                del self._told[name]
        return taken_kw

    def _forget(self, unit: str, hvac: Hvac) -> None:
        for name in _of(hvac, unit):
            self._told.pop(name, None)

    def _step(self, name: str, look: ZoneLook, limit_kw: float | None) -> ZoneStep:
        told = self._told.get(name)
        step = look.step
        if told is None or limit_kw is None:
            return step
        why = f"gives way: the billing interval would pass {limit_kw:.0f} kW"
        if self._heats[name] and told < step.heating_setpoint_degc - 0.05:
            return replace(step, heating_setpoint_degc=round(told, 1), reason=why)
        if not self._heats[name] and told > step.cooling_setpoint_degc + 0.05:
            return replace(step, cooling_setpoint_degc=round(told, 1), reason=why)
        return step


def _of(hvac: Hvac, unit: str) -> list[str]:
    return [name for name, zone in hvac.zones.items() if zone.unit == unit]


def _heats(zones: Mapping[str, ZoneLook]) -> bool:
    """Whether the unit of these zones heats rather than cools: the set-point that is nearer."""
    below = max(look.step.heating_setpoint_degc - look.temp_degc for look in zones.values())
    above = max(look.temp_degc - look.step.cooling_setpoint_degc for look in zones.values())
    return below >= above


def _setpoint(step: ZoneStep, *, heats: bool) -> float:
    return step.heating_setpoint_degc if heats else step.cooling_setpoint_degc


def _edge(zone: Zone, look: ZoneLook, *, heats: bool) -> float:
    """The furthest that a zone may be told, [degC]: its band with people in, its set-back without; never past the plan's."""
    planned = _setpoint(look.step, heats=heats)
    if heats:
        return min(planned, zone.comfort_low_degc if look.people else zone.setback_low_degc)
    return max(planned, zone.comfort_high_degc if look.people else zone.setback_high_degc)


def _asks(zone: Zone, look: ZoneLook, *, heats: bool) -> bool:
    """Whether the plan asks for more than the edge, or the air is out of it: else there is nothing to give."""
    planned, edge = _setpoint(look.step, heats=heats), _edge(zone, look, heats=heats)
    return abs(planned - edge) > 0.05 or _room_k(zone, look, heats=heats) <= 0.0


def _inside(told_degc: float, zone: Zone, look: ZoneLook, *, heats: bool) -> float:
    """As far as a zone may be told, [degC]: the edge; a little more while it is on its way back into its band."""
    edge = _edge(zone, look, heats=heats)
    beyond = PULLED_EDGE_K if _room_k(zone, look, heats=heats) <= 0.0 else 0.0
    return max(told_degc, edge - beyond) if heats else min(told_degc, edge + beyond)


def _room_k(zone: Zone, look: ZoneLook, *, heats: bool) -> float:
    """How far the air is inside what it may give up, [K]; not above 0 where it has nothing to give."""
    margin = ROOM_K if look.people else 0.0
    if heats:
        low = zone.comfort_low_degc if look.people else zone.setback_low_degc
        return look.temp_degc - low - margin
    high = zone.comfort_high_degc if look.people else zone.setback_high_degc
    return high - look.temp_degc - margin


def _slope_k(zone: Zone, *, heats: bool) -> float:
    model = zone.model
    slope = 0.0 if model is None else (model.heating_slope_k if heats else model.cooling_slope_k)
    return slope or USUAL_SLOPE_K
