"""The panel of a unit: set-points as its controller holds them, enable, heartbeat, and its own day programme."""

from __future__ import annotations

from collections.abc import Mapping

from agent.config.site import Unit, Zone

DEAD_BAND_K = 0.5  # on half of it beyond the set-point, off half of it on the other side
PROPORTIONAL_K = 1.0  # full output this far beyond the set-point
SETPOINT_RANGE_DEGC = (4.0, 40.0)
LEAST_SPREAD_K = 0.5  # a thermostat refuses set-points that would fight each other


class ZoneThermostat:
    """Set-points of a zone as its controller holds them: the written ones and the own programme."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.heating_degc, self.cooling_degc = self.programme(occupied=False)
        self.written = False
        self.calling = 0  # 1 heating, -1 cooling
        self._programme_occupied: bool | None = None

    def programme(self, *, occupied: bool) -> tuple[float, float]:
        """Own day programme: comfort with people, set-back without, [degC]."""
        if occupied:
            return self.zone.comfort_low_degc, self.zone.comfort_high_degc
        return self.zone.setback_low_degc, self.zone.setback_high_degc

    def follow_programme(self, *, occupied: bool) -> None:
        """Local control: each change of the programme goes into the registers, over what stands there."""
        if occupied != self._programme_occupied or self.written:
            self.heating_degc, self.cooling_degc = self.programme(occupied=occupied)
        self._programme_occupied, self.written = occupied, False

    def demand(self, temp_degc: float) -> float:
        """Output asked for: positive heating, negative cooling, 0..1 in size."""
        half = 0.5 * DEAD_BAND_K
        cold, warm = self.heating_degc - temp_degc, temp_degc - self.cooling_degc
        if cold > half or (self.calling > 0 and cold > -half):
            self.calling = 1
        elif warm > half or (self.calling < 0 and warm > -half):
            self.calling = -1
        else:
            self.calling = 0
            return 0.0
        beyond = (cold if self.calling > 0 else warm) + half
        return self.calling * min(1.0, max(0.0, beyond / PROPORTIONAL_K))


class UnitPanel:
    """What the agent can reach of a unit, whatever stands behind it. Writes change registers at once."""

    def __init__(self, unit: Unit, zones: Mapping[str, Zone]) -> None:
        self.unit = unit
        self.thermostats = {name: ZoneThermostat(zone) for name, zone in zones.items()}
        self.enable = True
        self.heartbeat = 0.0
        self._beat_at_s: float | None = None

    def remote(self, now_s: float) -> bool:
        """Whether the agent's set-points are in force: its heartbeat moves, or the unit has none."""
        if self.unit.heartbeat is None or self.unit.dead_man_s is None:
            return True
        return self._beat_at_s is not None and now_s - self._beat_at_s < self.unit.dead_man_s

    def write_heartbeat(self, value: float, now_s: float) -> bool:
        if value != self.heartbeat:
            self._beat_at_s = now_s
        self.heartbeat = value
        return True

    def write_enable(self, value: float) -> bool:
        if value not in {0.0, 1.0}:
            return False
        self.enable = value == 1.0
        return True

    def write_setpoint(self, zone: str, side: str, value: float) -> bool:
        """Refused outside the controller's range or where heating would reach cooling."""
        thermostat = self.thermostats[zone]
        low, high = SETPOINT_RANGE_DEGC
        heating = value if side == "heating" else thermostat.heating_degc
        cooling = value if side == "cooling" else thermostat.cooling_degc
        if not low <= value <= high or heating > cooling - LEAST_SPREAD_K:
            return False
        thermostat.heating_degc, thermostat.cooling_degc, thermostat.written = heating, cooling, True
        return True

    def follow(self, now_s: float, occupied: Mapping[str, bool]) -> bool:
        """Local control when the heartbeat has stopped: on, and by the own programme. True while local."""
        if self.remote(now_s):
            return False
        self.enable = True
        for name, thermostat in self.thermostats.items():
            thermostat.follow_programme(occupied=occupied[name])
        return True
