"""Views and snapshots written by hand."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from agent.config.site import Station
from agent.control.view import MachineView, StationView, station_view
from agent.domain import Quality, Reading, Snapshot

START = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


def stopped(**changes) -> MachineView:
    return MachineView(False, False, 0.0, 0.0, True, False)._replace(**changes)


def loaded(power_kw: float = 98.0, share: float = 1.0, **changes) -> MachineView:
    return MachineView(True, True, power_kw, share, True, False)._replace(**changes)


def idle(power_kw: float = 20.0, **changes) -> MachineView:
    return MachineView(True, False, power_kw, 0.0, True, False)._replace(**changes)


def silent() -> MachineView:
    return MachineView(None, None, None, None, None, None)


def view(
    at_s: float, pressure: float | None, machines: Sequence[MachineView], flow: float | None = None
) -> StationView:
    return station_view(START.timestamp() + at_s, pressure, flow, machines)


def snapshot(
    station: Station, at_s: float, pressure: float | None, machines: Sequence[MachineView]
) -> Snapshot:
    at = START + timedelta(seconds=at_s)
    readings = {}

    def put(tag: str, value: float | bool | None) -> None:
        quality = Quality.BAD if value is None else Quality.GOOD
        readings[tag] = Reading(None if value is None else float(value), quality, at)

    put(station.pressure, pressure)
    for machine, seen in zip(station.machines.values(), machines, strict=True):
        for role, value in zip(
            ("running", "loaded", "power_kw", "output_share", "ready", "tripped"), seen, strict=True
        ):
            put(machine.tag(role), value)
    return Snapshot(at, readings)
