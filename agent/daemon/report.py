"""What the agent tells the world after each tick: the uplink, the service manager, a person watching."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from agent import notify
from agent.domain import Reading, Snapshot
from agent.store.ledger import Head

if TYPE_CHECKING:
    from agent.daemon.loop import Daemon

# What goes upstream of the events; notes and refusals of each tick stay on site.
_UPSTREAM = frozenset(
    {
        "plan",
        "hvac_plan",
        "weather_source",
        "mode_changed",
        "mode_wish",
        "command_refused",
        "write_failed",
        "agent_started",
        "agent_stopped",
        "forecast",
        "forecast_quality",
        "production_plan",
        "production_plan_refused",
        "alarm",
        "header_drift",
        "override_asked",
        "override_ended",
        "clock_set",
        "ledger_verified",
    }
)
# What a plan was made of is kilobytes, and of use only beside the ledger.
_ON_SITE = frozenset({"case", "budget"})
_STATUS_EVERY_S = 10.0


class Sender(Protocol):
    """What the daemon needs of an uplink."""

    def report(self, snapshot: Snapshot) -> bool:
        """Take a tick's readings in."""
        ...

    def event(
        self, kind: str, at: datetime, fields: Mapping[str, object], ledger: Head | None = None
    ) -> None:
        """Send an event with the end of the ledger's chain."""
        ...


class Reporter:
    """Fans a tick out. Nothing here can stop a tick: a dead broker only fills the outbox."""

    def __init__(
        self,
        uplink: Sender | None = None,
        *,
        service: bool = False,
        watch: Callable[[Daemon], None] | None = None,
    ) -> None:
        self._uplink = uplink
        self._service = service
        self._watch = watch
        self._ready = False
        self._status_at: datetime | None = None

    def report(
        self,
        daemon: Daemon,
        derived: Mapping[str, Reading],
        events: list[tuple[str, datetime, dict[str, object]]],
    ) -> None:
        """Tell of the tick that has just been completed."""
        snapshot = daemon.snapshot
        if snapshot is None:
            return
        if self._uplink is not None:
            self._uplink.report(Snapshot(snapshot.at, {**snapshot.readings, **derived}))
            for kind, at, fields in events:
                if kind in _UPSTREAM:
                    told = {key: value for key, value in fields.items() if key not in _ON_SITE}
                    self._uplink.event(kind, at, told, daemon.ledger.head)
        if self._service:
            self._tell_service(daemon, snapshot.at)
        if self._watch is not None:
            self._watch(daemon)

    def _tell_service(self, daemon: Daemon, at: datetime) -> None:
        # READY and WATCHDOG come from completed ticks only: a loop that hangs feeds nobody.
        text = status_text(daemon)
        if not self._ready:
            self._ready = True
            notify.ready(text)
        due = self._status_at is None or (at - self._status_at).total_seconds() >= _STATUS_EVERY_S
        if due:
            self._status_at = at
        notify.alive(text if due else "")


def status_text(daemon: Daemon) -> str:
    """One line for people: `air 6.51 bar, 31.2 m3/min, c1 c4 run, control`."""
    parts = []
    for station_id, runtime in daemon.stations.items():
        result = runtime.last
        if result is None:
            continue
        pressure = result.view.pressure_bar_g
        shown = "pressure unknown" if pressure is None else f"{pressure:.2f} bar"
        demand = "" if result.demand is None else f", {result.demand.fast_m3_min:.1f} m3/min"
        running = " ".join(
            name
            for name, machine in zip(runtime.control.fleet.names, result.view.machines, strict=True)
            if machine.running
        )
        alarm = "" if result.alarm is None else f", {result.alarm.kind}"
        parts.append(
            f"{station_id} {shown}{demand}, {running or 'nothing'} running, {result.mode.value}{alarm}"
        )
    parts += [f"{each.station} {each.machine}: {each.text}" for each in daemon.overrides.in_force]
    if daemon.hvac is not None:
        parts.append(f"hvac {daemon.hvac.switch.mode.value}, weather {daemon.hvac.weather.text}")
    return "; ".join(parts)
