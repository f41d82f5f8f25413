"""The guard of the zones: which set-points may leave, and when a zone is left alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from agent.config.site import Hvac, Zone
from agent.domain import Command, Refusal, Snapshot, ZoneStep

# Set-points are supervisory: a command not sent within this time waits for the next tick.
_LIFE_S = 60.0
# Heating stays this far below cooling, so that the two never work against each other.
DEAD_BAND_K = 2.0
# Someone on site moved a set-point: hands off for this long.
OVERRIDE_HOLD_S = 4 * 3600.0
_SAME_K = 0.05
# A sensor that shows the same value for this long is frozen; one outside this range or jumping is broken.
_FROZEN_S = 3600.0 * 6
_FROZEN_K = 1e-6
_PLAUSIBLE_DEGC = (-20.0, 60.0)
_JUMP_K_PER_5_MIN = 3.0


@dataclass(slots=True)
class _ZonePast:
    written: dict[str, float]
    override_until: datetime | None = None
    value: float | None = None
    value_at: datetime | None = None
    moved_at: datetime | None = None
    bad_until: datetime | None = None


class ComfortGuard:
    """Remembers what was written to each zone and what its sensor has shown."""

    def __init__(self, hvac: Hvac, writable: frozenset[str]) -> None:
        self._hvac = hvac
        self._writable = writable
        self._past = {name: _ZonePast({}) for name in hvac.zones}
        self._enabled: dict[str, float] = {}
        self._beat = 0

    def sensor_fault(self, name: str, snapshot: Snapshot) -> str:
        """Why the zone's temperature may not be used now; "" where it may."""
        zone, past, now = self._hvac.zones[name], self._past[name], snapshot.at
        value = snapshot.value(zone.temp)
        if value is None:
            return "zone temperature is unknown"
        low, high = _PLAUSIBLE_DEGC
        if not low <= value <= high:
            return f"zone temperature {value:.1f} degC is implausible"
        if past.value is not None and past.value_at is not None:
            span_s = max((now - past.value_at).total_seconds(), 300.0)
            if abs(value - past.value) > _JUMP_K_PER_5_MIN * span_s / 300.0:
                past.bad_until = now + timedelta(minutes=15)
        if past.value is None or abs(value - past.value) > _FROZEN_K or past.moved_at is None:
            past.moved_at = now
        past.value, past.value_at = value, now
        if past.bad_until is not None and now < past.bad_until:
            return "zone temperature has jumped"
        if (now - past.moved_at).total_seconds() > _FROZEN_S:
            return "zone temperature is frozen"
        return ""

    def commands(
        self, snapshot: Snapshot, steps: Mapping[str, ZoneStep | None], plan_id: str
    ) -> tuple[list[Command], list[Refusal]]:
        """Commands for the zones' steps in force; a zone with step None is handed back."""
        out: list[Command] = []
        refusals: list[Refusal] = []
        enabled: dict[str, bool] = {}
        for name, zone in self._hvac.zones.items():
            step = steps.get(name)
            if step is None:
                out += self._hand_back(name, zone, snapshot)
                continue
            enabled[zone.unit] = enabled.get(zone.unit, False) or step.enable
            held = self._override(name, zone, snapshot)
            if held is not None:
                refusals.append(Refusal(name, "set-points", "someone on site moved the set-point", held))
                continue
            heating, cooling = _clamped(zone, step)
            for tag, value in ((zone.heating_setpoint, heating), (zone.cooling_setpoint, cooling)):
                self._put(out, name, snapshot, tag, value, step.reason, plan_id)
        out += self._units(snapshot, enabled, plan_id)
        return out, refusals

    def wrote(self, tag: str, value: float) -> None:
        """A set-point was written and read back."""
        for name, zone in self._hvac.zones.items():
            if tag in (zone.heating_setpoint, zone.cooling_setpoint):
                self._past[name].written[tag] = value

    def hand_back_all(self, snapshot: Snapshot) -> list[Command]:
        """Every written point of every zone and unit back to what stood there."""
        out: list[Command] = []
        for name, zone in self._hvac.zones.items():
            out += self._hand_back(name, zone, snapshot)
        not_after = snapshot.at + timedelta(seconds=_LIFE_S)
        self._enabled.clear()
        out += [
            Command(unit.enable, None, not_after, "hand back")
            for unit in self._hvac.units.values()
            if unit.enable in self._writable and unit.enable is not None
        ]
        return out

    def _units(self, snapshot: Snapshot, enabled: Mapping[str, bool], plan_id: str) -> list[Command]:
        self._beat = (self._beat + 1) % 65536
        not_after = snapshot.at + timedelta(seconds=_LIFE_S)
        out: list[Command] = []
        for name, unit in self._hvac.units.items():
            if name not in enabled:
                # None of its zones is steered: off by our order it would stay off for nobody's reason.
                if self._enabled.pop(name, None) is not None and unit.enable is not None:
                    out.append(Command(unit.enable, None, not_after, "hand back"))
                continue
            if unit.enable is not None and unit.enable in self._writable:
                value = float(enabled[name])
                standing = snapshot.value(unit.enable)
                if standing is None:
                    standing = self._enabled.get(name)
                self._enabled[name] = value
                if standing is None or abs(standing - value) > 0.5:
                    out.append(Command(unit.enable, value, not_after, "schedule", plan_id))
            if unit.heartbeat is not None and unit.heartbeat in self._writable:
                out.append(Command(unit.heartbeat, float(self._beat), not_after, "alive", plan_id))
        return out

    def _override(self, name: str, zone: Zone, snapshot: Snapshot) -> datetime | None:
        """Until when the zone is left to whoever moved its set-point; None when it is ours."""
        past = self._past[name]
        for tag in (zone.heating_setpoint, zone.cooling_setpoint):
            if tag is None or tag not in past.written:
                continue
            standing = snapshot.value(tag)
            if standing is not None and abs(standing - past.written[tag]) > _SAME_K:
                past.override_until = snapshot.at + timedelta(seconds=OVERRIDE_HOLD_S)
                past.written[tag] = standing
        if past.override_until is not None and snapshot.at < past.override_until:
            return past.override_until
        past.override_until = None
        return None

    def _hand_back(self, name: str, zone: Zone, snapshot: Snapshot) -> list[Command]:
        past = self._past[name]
        not_after = snapshot.at + timedelta(seconds=_LIFE_S)
        out = [
            Command(tag, None, not_after, "hand back")
            for tag in (zone.heating_setpoint, zone.cooling_setpoint)
            if tag is not None and tag in past.written
        ]
        past.written.clear()
        return out

    def _put(
        self,
        out: list[Command],
        name: str,
        snapshot: Snapshot,
        tag: str | None,
        value: float,
        reason: str,
        plan_id: str,
    ) -> None:
        if tag is None or tag not in self._writable:
            return
        standing = snapshot.value(tag)
        if standing is None:
            standing = self._past[name].written.get(tag)
        if standing is not None and abs(standing - value) <= _SAME_K:
            return
        not_after = snapshot.at + timedelta(seconds=_LIFE_S)
        out.append(Command(tag, value, not_after, reason, plan_id))


def _clamped(zone: Zone, step: ZoneStep) -> tuple[float, float]:
    """Set-points inside the zone's own edges, heating at least the dead-band below cooling, in tenths."""
    low = min(zone.setback_low_degc, zone.comfort_low_degc)
    high = max(zone.setback_high_degc, zone.comfort_high_degc)
    cooling = min(max(step.cooling_setpoint_degc, low + DEAD_BAND_K), high)
    heating = min(max(step.heating_setpoint_degc, low), cooling - DEAD_BAND_K)
    return round(heating, 1), round(cooling, 1)
