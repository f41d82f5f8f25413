"""What the updater sees of the agent around it, and may do to it: look, hold control back, swap a model, restart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from agent.clock import boot_s, cpu_s
from agent.control.mode import ModeSwitch
from agent.daemon.outlook import demand_spec
from agent.domain import Mode
from agent.inference.forecaster import Forecaster, TargetSpec
from agent.inference.model import Model, ModelRefusedError, load_model
from agent.inference.series import Series
from agent.log import get_logger
from agent.update.boot import boot_id
from agent.update.health import Baseline, Vitals, ailment

if TYPE_CHECKING:
    from agent.daemon.loop import Daemon
    from agent.daemon.runtime import StationRuntime

log = get_logger(__name__)

_HVAC = "hvac"
# A device that has not answered for this long is silent; one that has been for a day is out of use.
_SILENT = timedelta(seconds=60)
_OUT_OF_USE = timedelta(days=1)
_PEAK_SHARE = 0.9
_PAGE_BYTES = 4096

Event = Callable[[str, datetime, Mapping[str, object]], None]


class UpdateHost:
    """`restart(why)` ends the daemon's loop and has it begun anew; `event` sends upstream what the ledger holds."""

    def __init__(
        self,
        daemon: Daemon,
        site_file: Path,
        running_config: str,
        restart: Callable[[str], None],
        event: Event | None = None,
    ) -> None:
        self.site, self.site_file, self.running_config = daemon.site, site_file, running_config
        self._daemon, self._restart, self._event = daemon, restart, event
        self._held: dict[str, tuple[Mode, str]] = {}
        self._lost = daemon.ledger.lost
        self._began_cpu_s = cpu_s()
        self._began_at = daemon.clock.now()

    def now(self) -> datetime:
        """The present instant."""
        return self._daemon.clock.now()

    def boot(self) -> tuple[str, float]:
        """Name of the machine's present start, and seconds since it."""
        return boot_id(), boot_s()

    def restart(self, why: str) -> None:
        """Hand back, end, and begin anew with what is active then."""
        log.info("agent_restarts", why=why)
        self._restart(why)

    def tell(self, kind: str, fields: Mapping[str, object]) -> None:
        """Into the ledger, and upstream."""
        now = self.now()
        self._daemon.ledger.append(kind, now, fields)
        if self._event is not None:
            self._event(kind, now, fields)

    # Interlocks and control.

    def modes(self) -> dict[str, str]:
        """What is really done, by station."""
        return {name: switch.mode.value for name, switch in self._switches().items()}

    def interlocks(self) -> tuple[str, ...]:
        """Alarms, machines in manual, a peak: what a change had better wait for."""
        return (*self.alarms(), *self._peak())

    def alarms(self) -> tuple[str, ...]:
        """What somebody on site should look at: fall-back, tripped and manual machines, silent devices."""
        found: list[str] = []
        for station_id, runtime in self._daemon.stations.items():
            if runtime.mode is Mode.FALLBACK:
                found.append(f"alarm: {station_id} is in fall-back, {runtime.control.switch.why}")
            found += _machines_in_the_way(runtime)
        hvac = self._daemon.hvac
        if hvac is not None and hvac.switch.mode is Mode.FALLBACK:
            found.append(f"alarm: hvac is in fall-back, {hvac.switch.why}")
        now = self.now()
        for device, at in self._daemon.signs.answered_at.items():
            if _SILENT < now - at < _OUT_OF_USE:
                found.append(f"alarm: {device} has been silent since {at:%H:%M:%S}Z")
        return tuple(found)

    def _peak(self) -> tuple[str, ...]:
        tariff = self.site.tariff
        limits = [limit for limit in (tariff.site_limit_kw, tariff.peak_so_far_kw) if limit]
        if not limits:
            return ()
        power_kw = sum(
            machine.power_kw or 0.0
            for runtime in self._daemon.stations.values()
            if runtime.last is not None
            for machine in runtime.last.view.machines
        )
        limit_kw = min(limits)
        return (f"peak: {power_kw:.0f} of {limit_kw:.0f} kW",) if power_kw >= _PEAK_SHARE * limit_kw else ()

    def _switches(self) -> dict[str, ModeSwitch]:
        switches = {name: runtime.control.switch for name, runtime in self._daemon.stations.items()}
        if self._daemon.hvac is not None:
            switches[_HVAC] = self._daemon.hvac.switch
        return switches

    def hold(self, why: str) -> bool:
        """Hand machines and set-points back; True once nothing of ours stands in them."""
        for name, switch in self._switches().items():
            if name not in self._held:
                self._held[name] = (switch.wished, why)
                if switch.wished is Mode.CONTROL:
                    switch.wish(Mode.ADVISE, why)
        stations = any(runtime.was_controlling for runtime in self._daemon.stations.values())
        hvac = self._daemon.hvac is not None and self._daemon.hvac.was_controlling
        return not stations and not hvac

    def let_go(self) -> None:
        """Control may go on where it was before `hold`, unless somebody has wished otherwise since."""
        for name, switch in self._switches().items():
            before, why = self._held.pop(name, (None, ""))
            if before is Mode.CONTROL and switch.wished_why == why:
                switch.wish(before, "the update is over")

    # Health.

    def baseline(self) -> Baseline:
        """What works now: devices that answer, stations with a plan in force, what is in control."""
        now = self.now()
        return Baseline(
            self._answering(now - _SILENT),
            frozenset(
                name
                for name, runtime in self._daemon.stations.items()
                if runtime.foresight.plan is not None and runtime.foresight.plan.not_after > now
            ),
            self._controlling()
            | frozenset(name for name, (mode, _) in self._held.items() if mode is Mode.CONTROL),
        )

    def ailment(self, before: Baseline, since_at: datetime) -> str:
        """What of the baseline does not work since `since_at`; what the change took away is no loss."""
        now = self.now()
        since = max(since_at, self._began_at)
        stations, wished = self._daemon.stations, self._switches()
        vitals = Vitals(
            since_at=since,
            at=now,
            ticks=self._daemon.ticks,
            late_ticks=self._daemon.late_ticks,
            devices=self._answering(max(since, now - _SILENT)),
            planned=frozenset(
                name
                for name, runtime in stations.items()
                if runtime.foresight.plan is not None and runtime.foresight.plan.made_at >= since
            ),
            wrote=self._written(since),
            controlling=self._controlling(),
            rss_mb=_rss_mb(),
            cpu_share=(cpu_s() - self._began_cpu_s) / max((now - self._began_at).total_seconds(), 1.0),
            store_writable=self._daemon.ledger.lost == self._lost,
        )
        left = Baseline(
            before.devices & frozenset(self.site.devices),
            before.planned & frozenset(stations),
            frozenset(n for n in before.controlling if n in wished and wished[n].wished is Mode.CONTROL),
        )
        return ailment(vitals, left)

    def _answering(self, since: datetime) -> frozenset[str]:
        return frozenset(name for name, at in self._daemon.signs.answered_at.items() if at >= since)

    def _controlling(self) -> frozenset[str]:
        return frozenset(name for name, switch in self._switches().items() if switch.mode is Mode.CONTROL)

    def _written(self, since: datetime) -> frozenset[str]:
        """Stations (and hvac) of which a device was written to, the heartbeat included."""
        devices = {name for name, at in self._daemon.signs.written_at.items() if at >= since}
        found = {
            name
            for name, runtime in self._daemon.stations.items()
            if devices & {machine.device for machine in runtime.station.machines.values()}
        }
        hvac = self.site.hvac
        if hvac is not None and devices & {unit.device for unit in hvac.units.values()}:
            found.add(_HVAC)
        return frozenset(found)

    # Models.

    def specs(self) -> Mapping[str, TargetSpec]:
        """What the site forecasts, by target."""
        return {
            runtime.demand_tag: demand_spec(name, runtime.station, self.site.site.timezone)
            for name, runtime in self._daemon.stations.items()
        }

    def live(self, target: str) -> Model | None:
        """The model in force."""
        forecaster = self._runtime(target).foresight.forecaster
        return forecaster.model if isinstance(forecaster, Forecaster) else None

    def own(self, target: str) -> Model | None:
        """The model that site.toml names, as it is now."""
        path = self.site.models.get(target) or self.site.models.get(target.removesuffix(".demand_m3_min"))
        try:
            return None if path is None else load_model(path.read_bytes())
        except (OSError, ModelRefusedError) as error:
            log.warning("model_refused", target=target, path=str(path), reason=str(error))
            return None

    def history(self, target: str) -> Series | None:
        """The target as it was measured."""
        return self._runtime(target).foresight.history.series()

    def known(self, target: str, model: Model, at: datetime) -> Series | None:
        """What is known ahead of the model's columns, for a forecast at `at`."""
        return self._runtime(target).foresight.known_for(model, at)

    def forecast_at(self, target: str) -> datetime | None:
        """When the forecast in force was made."""
        forecast = self._runtime(target).foresight.forecast
        return None if forecast is None else forecast.issued_at

    def adopt(self, target: str, model: Model | None) -> None:
        """Forecast with this model from now on."""
        forecaster = self._runtime(target).foresight.forecaster
        if isinstance(forecaster, Forecaster):
            forecaster.replace_model(model)
            log.info("model_adopted", target=target, sha256=None if model is None else model.sha256[:12])

    def _runtime(self, target: str) -> StationRuntime:
        return self._daemon.stations[target.removesuffix(".demand_m3_min")]


def _machines_in_the_way(runtime: StationRuntime) -> list[str]:
    if runtime.last is None:
        return []
    found = []
    names = runtime.control.fleet.names
    for name, machine, view in zip(
        names, runtime.control.fleet.machines, runtime.last.view.machines, strict=True
    ):
        if machine.locked_out:
            continue
        if view.tripped:
            found.append(f"alarm: {name} has tripped")
        elif view.ready is False:
            found.append(f"manual: {name} takes no commands")
    return found


def _rss_mb() -> float:
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return pages * _PAGE_BYTES / 1e6
