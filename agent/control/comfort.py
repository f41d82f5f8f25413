"""The guard of the zones: which set-points may leave, and when a zone is left alone.

Order of authority: frost, heat and goods; whoever is on site; the device's own timers; the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from agent.config.parts import Point
from agent.config.site import Hvac, Unit, Zone
from agent.control.comfort_limits import (
    allowed,
    danger,
    device_range,
    edges,
    may_follow,
    served_zones,
    stepped,
)
from agent.control.comfort_sensor import SensorWatch
from agent.control.comfort_supply import PlantSetpoint, ZoneCall, next_supply
from agent.control.comfort_units import UnitSwitch
from agent.domain import Command, Refusal, Snapshot, ZoneStep
from agent.planner.hvac_schedule import OPEN, is_occupied

# Set-points are supervisory: a command not sent within this time waits for the next tick.
_LIFE = timedelta(seconds=60)
_SAME_K = 0.05
_SAME_PPM = 5.0
_HELD_K = 0.3
_AIR_AHEAD = timedelta(minutes=30)
# A write that did not come through is tried again after this long: set-points wear the device's memory.
_RETRY = timedelta(minutes=5)


@dataclass(slots=True)
class _ZonePast:
    """Set-points as confirmed and as asked for, each with its instant.

    `moved`: when each was last moved by us, handing back too. A device that wants its pauses wants them then as well.
    """

    written: dict[str, tuple[float, datetime]] = field(default_factory=dict)
    asked: dict[str, tuple[float, datetime]] = field(default_factory=dict)
    moved: dict[str, datetime] = field(default_factory=dict)
    override_until: datetime | None = None


class ComfortGuard:
    """Remembers what was written to each zone and unit, and what the sensors have shown."""

    def __init__(
        self,
        hvac: Hvac,
        writable: frozenset[str],
        points: Mapping[str, Point] | None = None,
        timezone: str = "UTC",
        closed: frozenset[date] = OPEN,
    ) -> None:
        self._hvac = hvac
        self._writable = writable
        self._timezone = timezone
        self._closed = closed
        self._hold = timedelta(hours=hvac.override_hold_h)
        self._ranges = {
            tag: device_range((points or {}).get(tag))
            for zone in hvac.zones.values()
            for tag in (zone.heating_setpoint, zone.cooling_setpoint)
            if tag is not None
        }
        self._watch = {name: SensorWatch() for name in hvac.zones}
        self._past = {name: _ZonePast() for name in hvac.zones}
        self._units = {name: UnitSwitch(unit, self._hold) for name, unit in hvac.units.items()}
        self._plant = self._plant_setpoints(points or {})
        self._owed: dict[str, datetime] = {}
        self._beat = 0
        self._now: datetime | None = None

    def sensor_fault(self, name: str, snapshot: Snapshot) -> str:
        """Why the zone's temperature may not be used now; "" where it may. Once a tick."""
        zone = self._hvac.zones[name]
        temp = snapshot.value(zone.temp)
        setpoints = (snapshot.value(zone.heating_setpoint), snapshot.value(zone.cooling_setpoint))
        held = any(temp is not None and s is not None and abs(temp - s) <= _HELD_K for s in setpoints)
        return self._watch[name].look(snapshot.readings.get(zone.temp), snapshot.at, held=held)

    def temp_degc(self, name: str) -> float | None:
        """The zone's temperature as far as it may be used: for 15 min of silence, the last one."""
        return self._watch[name].value_degc

    def commands(
        self, snapshot: Snapshot, steps: Mapping[str, ZoneStep | None], plan_id: str
    ) -> tuple[list[Command], list[Refusal]]:
        """Commands for the zones' steps in force; a zone with step None is handed back."""
        self._now = snapshot.at
        out: list[Command] = []
        refusals: list[Refusal] = []
        wishes: dict[str, list[bool]] = {}
        needed: set[str] = set()
        urgent: set[str] = set()
        for name, zone in self._hvac.zones.items():
            step, unit = steps.get(name), self._hvac.units.get(zone.unit)
            if step is None:
                self._hand_back(name)
                # Nobody watches this zone: its unit must be free to do so itself.
                needed.add(zone.unit)
                continue
            people, temp = self.people(zone, snapshot), self._watch[name].value_degc
            peril = "" if temp is None else danger(zone, temp, people=people)
            low, high = edges(zone, unit, people=people)
            outside = temp is not None and not low <= temp <= high
            wishes.setdefault(zone.unit, []).append(step.enable)
            if people or peril or outside:
                needed.add(zone.unit)
            if peril:
                urgent.add(zone.unit)
            held = self._override(name, zone, snapshot)
            if held is not None and not peril:
                refusals.append(Refusal(name, "set-points", "someone on site moved the set-point", held))
                continue
            refused = self._steer(out, name, zone, unit, snapshot, step, plan_id, people=people, peril=peril)
            if refused:
                refusals.append(Refusal(name, "set-points", refused))
        steered = {name for name in self._hvac.zones if steps.get(name) is not None}
        full = {n for n, zone in self._hvac.zones.items() if self.people(zone, snapshot)}
        self._steer_plant(out, snapshot, steered, full, wishes, needed, plan_id)
        self._switch(out, refusals, snapshot, wishes, needed, urgent, plan_id)
        return out + self._pay_owed(snapshot), refusals

    def wrote(self, tag: str, value: float | None) -> None:
        """A value was written and read back; None: the point was handed back."""
        self._owed.pop(tag, None)
        if self._now is None:
            return
        for name, zone in self._hvac.zones.items():
            if tag in (zone.heating_setpoint, zone.cooling_setpoint):
                past = self._past[name]
                past.moved[tag] = self._now
                if value is not None:
                    past.written[tag] = value, self._now
                    past.asked.pop(tag, None)
        if value is None:
            return
        for switch in self._units.values():
            switch.wrote(tag, value, self._now)
        for points in self._plant.values():
            for point in points:
                point.wrote(tag, value, self._now)

    def hand_back_all(self, snapshot: Snapshot) -> list[Command]:
        """Every written point of every zone and unit back to what stood there."""
        for name in self._hvac.zones:
            self._hand_back(name)
        for switch in self._units.values():
            self._give_back(switch.release())
        for points in self._plant.values():
            for point in points:
                self._give_back(point.release())
        return self._pay_owed(snapshot, again=True)

    def owed(self, snapshot: Snapshot) -> list[Command]:
        """What was to be handed back and has not come through yet, when another attempt is due."""
        return self._pay_owed(snapshot)

    def people(self, zone: Zone, snapshot: Snapshot) -> bool:
        """Whether people are in: the contact says, or the calendar where there is none."""
        contact = snapshot.value(zone.occupied)
        due = is_occupied(zone, self._timezone, snapshot.at, self._closed)
        return contact >= 0.5 or (due and bool(zone.occupancy)) if contact is not None else due

    def _steer(
        self,
        out: list[Command],
        name: str,
        zone: Zone,
        unit: Unit | None,
        snapshot: Snapshot,
        step: ZoneStep,
        plan_id: str,
        *,
        people: bool,
        peril: str,
    ) -> str:
        """Put the zone's commands; why there are none where the limits leave no pair."""
        heating, cooling, reason = step.heating_setpoint_degc, step.cooling_setpoint_degc, step.reason
        if peril == "cold":
            heating, reason = max(heating, zone.comfort_low_degc), "too cold: heated whatever the plan"
        elif peril == "hot":
            cooling, reason = min(cooling, zone.comfort_high_degc), "too hot: cooled whatever the plan"
        anything = device_range(None)
        of_heating = self._ranges.get(zone.heating_setpoint or "", anything)
        of_cooling = self._ranges.get(zone.cooling_setpoint or "", anything)
        pair = allowed(heating, cooling, edges(zone, unit, people=people), of_heating, of_cooling)
        if pair is None:
            return "site and device leave no pair of set-points 2 K apart"
        put: dict[str, float] = {}
        sides = ((zone.heating_setpoint, pair[0], of_heating), (zone.cooling_setpoint, pair[1], of_cooling))
        for tag, wanted, device in sides:
            if tag is None or tag not in self._writable:
                continue
            standing = self._standing(name, tag, snapshot)
            value = wanted
            if standing is not None and not peril:
                value = stepped(wanted, standing, zone.max_step_k)
                if value != wanted:  # a part of the way: whole steps of the device
                    value = device.origin_degc + device.step_k * round(
                        (value - device.origin_degc) / device.step_k
                    )
            if standing is not None and abs(standing - value) <= max(_SAME_K, 0.49 * device.step_k):
                continue
            pause_s = zone.step_interval_s if zone.max_step_k is not None and not peril else 0.0
            if self._too_soon(name, tag, value, max(pause_s, device.least_interval_s), snapshot.at):
                continue
            put[tag] = value
        for tag, value in put.items():
            heats = tag == zone.heating_setpoint
            other = zone.cooling_setpoint if heats else zone.heating_setpoint
            standing = self._standing(name, tag, snapshot)
            beside = None if other is None else self._standing(name, other, snapshot)
            # Each write must stand alone, should the next one never come; the other goes first where not.
            if may_follow(value, value if standing is None else standing, beside, heating=heats):
                self._past[name].asked[tag] = value, snapshot.at
                out.append(Command(tag, round(value, 3), snapshot.at + _LIFE, reason, plan_id))
        return ""

    def _plant_setpoints(self, points: Mapping[str, Point]) -> dict[str, list[PlantSetpoint]]:
        """Supply and CO2 set-points by unit, as far as they may be written."""
        return {
            name: [
                PlantSetpoint(tag, device_range(points.get(tag)), self._hold, same)
                for tag, same in ((unit.supply_setpoint, _SAME_K), (unit.co2_setpoint, _SAME_PPM))
                if tag is not None and tag in self._writable
            ]
            for name, unit in self._hvac.units.items()
        }

    def _steer_plant(
        self,
        out: list[Command],
        snapshot: Snapshot,
        steered: set[str],
        people: set[str],
        wishes: dict[str, list[bool]],
        needed: set[str],
        plan_id: str,
    ) -> None:
        """Supply temperatures and CO2 of units, and whether plant without zones of its own is wanted."""
        for name, unit in self._hvac.units.items():
            served = served_zones(self._hvac, name)
            if not served & steered:
                for point in self._plant[name]:
                    self._give_back(point.release())
                continue
            if unit.kind == "chiller":
                wishes[name] = [on for fed in unit.serves for on in wishes.get(fed, [])]
                if served - steered or any(fed in needed for fed in unit.serves):
                    needed.add(name)
            elif unit.kind == "ventilation":
                # Fresh air is never traded away: on with people, and half an hour before they come.
                soon = snapshot.at + _AIR_AHEAD
                due = any(
                    is_occupied(self._hvac.zones[zone], self._timezone, soon, self._closed) for zone in served
                )
                wishes[name] = [due]
                if served & people:
                    needed.add(name)
            alone = self._units[name].was_alone(snapshot.at)
            for point in self._plant[name]:
                value, reason = self._plant_value(unit, point, snapshot, served, people)
                if value is None or (put := point.put(snapshot, value, alone=alone)) is None:
                    continue
                out.append(Command(point.tag, put, snapshot.at + _LIFE, reason, plan_id))

    def _plant_value(
        self, unit: Unit, point: PlantSetpoint, snapshot: Snapshot, served: set[str], people: set[str]
    ) -> tuple[float | None, str]:
        if point.tag == unit.co2_setpoint:
            full = bool(served & people)
            return (unit.co2_low_ppm, "people are in") if full else (unit.co2_high_ppm, "nobody is in")
        if not point.due(snapshot.at):
            return None, ""
        zones = self._hvac.zones
        calls = [
            ZoneCall(
                self._watch[name].value_degc,
                snapshot.value(zones[name].heating_setpoint),
                snapshot.value(zones[name].cooling_setpoint),
            )
            for name in served
        ]
        return next_supply(unit, point.standing(snapshot), calls), "supply reset: trim and respond"

    def _standing(self, name: str, tag: str, snapshot: Snapshot) -> float | None:
        """What stands in the device: as read since the last write, else as written."""
        written = self._past[name].written.get(tag)
        reading = snapshot.readings.get(tag)
        value = snapshot.value(tag)
        if value is None or reading is None or (written is not None and reading.at <= written[1]):
            return None if written is None else written[0]
        return value

    def _too_soon(self, name: str, tag: str, value: float, pause_s: float, now: datetime) -> bool:
        past = self._past[name]
        asked, written, moved = past.asked.get(tag), past.written.get(tag), past.moved.get(tag)
        if asked is not None and abs(asked[0] - value) <= _SAME_K and now - asked[1] < _RETRY:
            return True
        lately = [at for at in (moved, None if written is None else written[1]) if at is not None]
        return bool(lately) and now - max(lately) < timedelta(seconds=pause_s)

    def _switch(
        self,
        out: list[Command],
        refusals: list[Refusal],
        snapshot: Snapshot,
        wishes: Mapping[str, list[bool]],
        needed: set[str],
        urgent: set[str],
        plan_id: str,
    ) -> None:
        """Enable and heartbeat of the units; one none of whose zones is steered is handed back."""
        self._beat = (self._beat + 1) % 65536
        not_after = snapshot.at + _LIFE
        for name, switch in self._units.items():
            unit = self._hvac.units[name]
            if name not in wishes:
                self._give_back(switch.release())
                continue
            if unit.enable is not None and unit.enable in self._writable and unit.left_behind == "dead-man":
                wanted = name in needed or any(wishes[name])
                value, rule, until = switch.decide(snapshot, wanted=wanted, urgent=name in urgent)
                if rule:
                    refusals.append(Refusal(name, "enable", rule, until))
                elif value is not None:
                    out.append(Command(unit.enable, value, not_after, "schedule", plan_id))
            if unit.heartbeat is not None and unit.heartbeat in self._writable:
                out.append(Command(unit.heartbeat, float(self._beat), not_after, "alive", plan_id))

    def _override(self, name: str, zone: Zone, snapshot: Snapshot) -> datetime | None:
        """Until when the zone is left to whoever moved its set-point; None when it is ours."""
        past = self._past[name]
        switch = self._units.get(zone.unit)
        for tag in (zone.heating_setpoint, zone.cooling_setpoint):
            if tag is None or tag not in past.written:
                continue
            standing, (value, at) = snapshot.value(tag), past.written[tag]
            reading = snapshot.readings.get(tag)
            # A reading from before the write says nothing about what was done after it.
            if standing is None or reading is None or reading.at <= at:
                continue
            if abs(standing - value) <= max(_SAME_K, 0.51 * self._ranges[tag].step_k):
                continue
            if switch is not None and switch.was_alone(snapshot.at):
                # Our line was down: the unit went back to its own programme, nobody has moved anything.
                past.written.pop(tag)
                continue
            past.override_until = snapshot.at + self._hold
            past.written[tag] = standing, reading.at
        if past.override_until is not None and snapshot.at < past.override_until:
            return past.override_until
        past.override_until = None
        return None

    def _hand_back(self, name: str) -> None:
        past = self._past[name]
        self._give_back([*past.written, *(tag for tag in past.asked if tag not in past.written)])
        past.written.clear()
        past.asked.clear()

    def _give_back(self, tags: list[str]) -> None:
        for tag in tags:
            self._owed.setdefault(tag, datetime.min)

    def _pay_owed(self, snapshot: Snapshot, *, again: bool = False) -> list[Command]:
        """Hand-backs that are due; one that fails is tried again until it is confirmed."""
        due = [
            tag
            for tag, asked_at in self._owed.items()
            if again or asked_at == datetime.min or snapshot.at - asked_at >= _RETRY
        ]
        for tag in due:
            self._owed[tag] = snapshot.at
        return [Command(tag, None, snapshot.at + _LIFE, "hand back") for tag in due]
