"""The whole site as a simulated plant: answers by tag, moves when told to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Protocol

from agent.config.site import WRITE_ROLES, Site
from agent.errors import ConfigError
from twin.compressor import Compressor
from twin.demand import DemandSeries
from twin.station import AirStation


class PlantPart(Protocol):
    """Another part of the plant with its own tags: zones and their units."""

    @property
    def tags(self) -> Sequence[str]: ...

    def advance_to(self, at: datetime) -> None: ...

    def read(self, tag: str) -> float | None: ...

    def write(self, tag: str, value: float) -> bool: ...


class TwinPlant:
    """A `twin.protocol.SimulatedPlant` of a site: its air stations and, where given, its HVAC.

    `demand` holds one series a station id. The plant moves in steps of `step_s` counted from
    `start_at`, so that the same calls give the same plant whoever asks in between.
    """

    def __init__(
        self,
        site: Site,
        *,
        demand: Mapping[str, DemandSeries],
        start_at: datetime,
        hvac: PlantPart | None = None,
        seed: int = 0,
        step_s: float = 1.0,
        settled: bool = True,
    ) -> None:
        missing = sorted(set(site.stations) - set(demand))
        if missing:
            raise ConfigError(
                f"no demand for station {', '.join(missing)}",
                where="[stations]",
                fix="give one demand series for each station, or leave the station out of the twin's site",
            )
        self.stations = {
            name: AirStation(station, seed=seed + index)
            for index, (name, station) in enumerate(site.stations.items())
        }
        self.hvac = hvac
        self._demand = {name: demand[name] for name in self.stations}
        self._at = start_at
        self._start_at = start_at
        self._step_s = step_s
        self._steps = 0
        self._reads: dict[str, Callable[[], float | None]] = {}
        self._writes: dict[str, Callable[[float], bool]] = {}
        for name, station in site.stations.items():
            air = self.stations[name]
            self._reads[station.pressure] = _pressure_of(air)
            if station.flow is not None:
                self._reads[station.flow] = _flow_of(air)
            for machine_name, machine in station.machines.items():
                compressor = air.compressors[machine_name]
                for role, read in _reads_of(compressor).items():
                    self._reads[machine.tag(role)] = read
                # A machine's own gauge stands before dryer and filters.
                self._reads[machine.tag("discharge_pressure")] = _discharge_of(air)
                for role, write in _writes_of(compressor).items():
                    self._writes[machine.tag(role)] = write
            if settled:
                air.settle(self._demand[name].at(start_at))
        self._hvac_tags = frozenset(hvac.tags) if hvac is not None else frozenset()
        self._tags = tuple(self._reads) + tuple(t for t in sorted(self._hvac_tags) if t not in self._reads)

    @property
    def at(self) -> datetime:
        return self._at

    @property
    def tags(self) -> Sequence[str]:
        return self._tags

    def advance_to(self, at: datetime) -> None:
        """Move in whole steps as far as they reach; the rest of a step waits for the next call.

        `at` afterwards is the last whole step, at most `step_s` before the instant asked for.
        """
        due = int((at - self._start_at).total_seconds() / self._step_s + 1e-9)
        step_s = self._step_s
        first = self._steps
        if due <= first:
            return
        for name, air in self.stations.items():
            level = self._demand[name].reader(self._start_at)
            step = air.step
            for index in range(first, due):
                step(step_s, level((index + 0.5) * step_s))
        self._steps = due
        self._at = self._start_at + timedelta(seconds=due * step_s)
        if self.hvac is not None:
            self.hvac.advance_to(self._at)

    def read(self, tag: str) -> float | None:
        """What the tag shows; None for a tag that no part of the plant knows, as for a dead sensor."""
        read = self._reads.get(tag)
        if read is not None:
            return read()
        if self.hvac is not None and tag in self._hvac_tags:
            return self.hvac.read(tag)
        return None

    def write(self, tag: str, value: float) -> bool:
        """False where the machine refuses or the tag is no command point."""
        write = self._writes.get(tag)
        if write is not None:
            return write(value)
        if self.hvac is not None and tag in self._hvac_tags:
            return self.hvac.write(tag, value)
        return False


def _pressure_of(air: AirStation) -> Callable[[], float | None]:
    return lambda: air.pressure_sensor_bar_g


def _discharge_of(air: AirStation) -> Callable[[], float | None]:
    return lambda: air.discharge_bar_g


def _flow_of(air: AirStation) -> Callable[[], float | None]:
    return lambda: air.flow_sensor_m3_min


def _reads_of(compressor: Compressor) -> dict[str, Callable[[], float | None]]:
    """Role -> what it shows. A written point reads back as the order that stands in the controller."""
    reads: dict[str, Callable[[], float | None]] = {
        "running": lambda: float(compressor.running),
        "loaded": lambda: float(compressor.loaded),
        "power_kw": lambda: compressor.power_kw,
        "output_share": lambda: compressor.output_share,
        "ready": lambda: float(compressor.ready),
        "tripped": lambda: float(compressor.tripped),
        "enable": lambda: float(compressor.order_enable),
        "run": lambda: float(compressor.order_run),
        "load": lambda: float(compressor.order_load),
        "output_share_set": lambda: compressor.order_share,
        "heartbeat": lambda: compressor.heartbeat,
        "hours_run": lambda: compressor.hours_run_s,
        "hours_loaded": lambda: compressor.hours_loaded_s,
        "starts": lambda: float(compressor.starts),
    }
    return reads


def _writes_of(compressor: Compressor) -> dict[str, Callable[[float], bool]]:
    writes = (
        compressor.write_enable,
        compressor.write_run,
        compressor.write_load,
        compressor.write_output_share,
        compressor.write_heartbeat,
    )
    return dict(zip(WRITE_ROLES, writes, strict=True))
