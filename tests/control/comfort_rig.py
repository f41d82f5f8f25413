"""A guard on one hall or more and one unit, told minute by minute what is read."""

from __future__ import annotations

from datetime import timedelta

from agent.config.parts import WeekTime
from agent.config.site import Hvac, Unit, Zone
from agent.control.comfort import ComfortGuard
from agent.domain import Command, Quality, Reading, Snapshot, ZoneStep
from tests.control.plant import START

HEAT, COOL, ON, BEAT = "r.heat", "r.cool", "r.on", "r.beat"
TAGS = frozenset({HEAT, COOL, ON, BEAT})
EMPTY = (WeekTime(days="sun"),)  # START is a Monday: nobody is in
FULL = (WeekTime(days="mon"),)


def guard_of(*, occupancy=EMPTY, point=None, unit=None, zones=("hall",), hold_h=4.0, **zone) -> ComfortGuard:
    device = Unit(device="r", enable=ON, heartbeat=BEAT, dead_man_s=120.0, **(unit or {}))
    made = {
        name: Zone(
            unit="rtu",
            temp=f"r.temp_{name}",
            heating_setpoint=HEAT if name == "hall" else None,
            cooling_setpoint=COOL if name == "hall" else None,
            occupancy=occupancy,
            **zone,
        )
        for name in zones
    }
    points = {} if point is None else {HEAT: point, COOL: point}
    hvac = Hvac(mode="control", units={"rtu": device}, zones=made, override_hold_h=hold_h)
    return ComfortGuard(hvac, TAGS, points)


def seen(minute: float, *, temp: float | None = 22.0, heat=15.0, cool=30.0, on=1.0, other=22.0) -> Snapshot:
    at = START + timedelta(minutes=minute)
    values = {"r.temp_hall": temp, "r.temp_store": other, HEAT: heat, COOL: cool, ON: on}
    return Snapshot(
        at,
        {t: Reading(v, Quality.BAD if v is None else Quality.GOOD, at) for t, v in values.items()},
    )


def step(heat: float, cool: float, *, enable: bool = True) -> ZoneStep:
    return ZoneStep(START, heat, cool, enable=enable, reason="plan")


def tell(
    guard: ComfortGuard, snapshot: Snapshot, *steps: ZoneStep | None, confirm: bool = True
) -> list[Command]:
    """One tick: sensors, commands, and what came through."""
    names = list(guard._hvac.zones)
    faults = {name: guard.sensor_fault(name, snapshot) for name in names}
    wanted = {n: None if faults[n] else s for n, s in zip(names, steps, strict=True)}
    commands, _ = guard.commands(snapshot, wanted, "p")
    if confirm:
        for command in commands:
            guard.wrote(command.tag, command.value)
    return [c for c in commands if c.tag != BEAT]


def values(commands: list[Command]) -> dict[str, float | None]:
    return {c.tag: c.value for c in commands}


# ---- hard limits ------------------------------------------------------------------------------------------
