"""The station as one tick sees it: tags turned into machines, once, in a fixed order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from agent.config.site import Machine, Station
from agent.domain import USABLE, Reading, Snapshot
from agent.planner.curves import nameplate_curve, running_power_kw
from agent.planner.part_load import KINDS


class MachineView(NamedTuple):
    """What a machine's controller says. None is unknown: a silent machine is not a stopped one."""

    running: bool | None
    loaded: bool | None
    power_kw: float | None
    output_share: float | None
    ready: bool | None
    tripped: bool | None


class StationView(NamedTuple):
    """A station at one instant. `at_s` are seconds of the epoch, UTC."""

    at_s: float
    pressure_bar_g: float | None
    flow_m3_min: float | None
    machines: tuple[MachineView, ...]


@dataclass(frozen=True, slots=True)
class Fleet:
    """The machines of a station as parallel tuples, for loops that run every second."""

    station: Station
    names: tuple[str, ...]
    machines: tuple[Machine, ...]
    full_flow: tuple[float, ...]
    least_flow: tuple[float, ...]
    is_vsd: tuple[bool, ...]
    throttles: tuple[bool, ...]
    starts_to_load: tuple[bool, ...]  # no unloading valve: it delivers whenever it runs
    read_tags: tuple[tuple[str, str, str, str, str, str], ...]
    p_atm_bar: float
    m3_per_bar: float
    count: int
    longest_start_s: float

    def flow_of(self, index: int, view: MachineView) -> float:
        """Free air [m3/min] that the machine delivers now, by what it says of itself."""
        if not view.running or not view.loaded:
            return 0.0
        if not self.is_vsd[index] and (not self.throttles[index] or view.output_share is None):
            return self.full_flow[index]
        share = view.output_share
        if share is None:
            return (
                self.least_flow[index] if view.power_kw is None else self._flow_at_power(index, view.power_kw)
            )
        return self.full_flow[index] * min(max(share, 0.0), 1.0)

    def _flow_at_power(self, index: int, power_kw: float) -> float:
        """Inverse of the power curve by bisection: it rises strictly."""
        machine = self.machines[index]
        low, high = 0.0, machine.full_flow_m3_min
        for _ in range(30):
            middle = 0.5 * (low + high)
            low, high = (middle, high) if running_power_kw(machine, middle) < power_kw else (low, middle)
        return 0.5 * (low + high)


def fleet_of(station: Station) -> Fleet:
    """The station's machines in the order of site.toml."""
    names = tuple(station.machines)
    machines = tuple(station.machines.values())
    return Fleet(
        station=station,
        names=names,
        machines=machines,
        full_flow=tuple(m.full_flow_m3_min for m in machines),
        least_flow=tuple(nameplate_curve(m)[0].flow_m3_min for m in machines),
        is_vsd=tuple(m.control == "vsd" for m in machines),
        throttles=tuple(KINDS[m.control].throttles for m in machines),
        starts_to_load=tuple(m.control == "start-stop" for m in machines),
        read_tags=tuple(
            (
                m.tag("running"),
                m.tag("loaded"),
                m.tag("power_kw"),
                m.tag("output_share"),
                m.tag("ready"),
                m.tag("tripped"),
            )
            for m in machines
        ),
        p_atm_bar=station.atmosphere_bar,
        m3_per_bar=station.receiver_m3 / station.atmosphere_bar,
        count=len(names),
        longest_start_s=max((m.start_s for m in machines), default=0.0),
    )


def view_station(fleet: Fleet, snapshot: Snapshot) -> StationView:
    """The station's part of a snapshot."""
    return StationReader(fleet).view(snapshot)


class StationReader:
    """`view_station` tick by tick: a machine whose readings are still the same ones is not looked at again."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._seen: list[tuple[Reading | None, ...]] = [()] * fleet.count
        self._views: list[MachineView] = [MachineView(None, None, None, None, None, None)] * fleet.count

    def view(self, snapshot: Snapshot) -> StationView:
        """The station's part of this snapshot."""
        fleet, get, seen, views = self._fleet, snapshot.readings.get, self._seen, self._views
        for index, tags in enumerate(fleet.read_tags):
            readings = tuple(map(get, tags))
            if readings != seen[index]:
                seen[index] = readings
                views[index] = _machine_view(readings, alone=fleet.starts_to_load[index])
        station = fleet.station
        return StationView(
            snapshot.at.timestamp(),
            snapshot.value(station.pressure),
            snapshot.value(station.flow),
            tuple(views),
        )


def _machine_view(readings: tuple[Reading | None, ...], *, alone: bool) -> MachineView:
    # As `Snapshot.value`, without a call for each tag.
    running, loaded, power_kw, output_share, ready, tripped = [
        reading.value if reading is not None and reading.quality >= USABLE else None for reading in readings
    ]
    if alone and loaded is None:
        # Where running is delivering, a device need not say that it is loaded.
        loaded = running
    return MachineView(
        None if running is None else running >= 0.5,
        None if loaded is None else loaded >= 0.5,
        power_kw,
        output_share,
        None if ready is None else ready >= 0.5,
        None if tripped is None else tripped >= 0.5,
    )
