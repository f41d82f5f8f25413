"""The station as one tick sees it: tags turned into machines, once, in a fixed order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from agent.config.site import Machine, Station
from agent.domain import USABLE, Reading, Snapshot
from agent.planner.curves import nameplate_curve, running_power_kw
from agent.planner.part_load import KINDS

# What changes when a machine changes its state.
_STATES = ("running", "loaded", "ready", "tripped")


class MachineView(NamedTuple):
    """What a machine's controller says. None is unknown: a silent machine is not a stopped one."""

    running: bool | None
    loaded: bool | None
    power_kw: float | None
    output_share: float | None
    ready: bool | None
    tripped: bool | None


class States(NamedTuple):
    """What all machines say of themselves as bits: machine i of the fleet is 1 << i.

    `silent`: not known whether it runs; `unready`: it says that it is not ready, not merely nothing.
    """

    running: int
    loaded: int
    silent: int
    tripped: int
    unready: int


class StationView(NamedTuple):
    """A station at one instant. `at_s` are seconds of the epoch, UTC; `states` are those of `machines`."""

    at_s: float
    pressure_bar_g: float | None
    flow_m3_min: float | None
    machines: tuple[MachineView, ...]
    states: States


def station_view(
    at_s: float, pressure_bar_g: float | None, flow_m3_min: float | None, machines: Sequence[MachineView]
) -> StationView:
    """The view of these machines."""
    return StationView(at_s, pressure_bar_g, flow_m3_min, tuple(machines), states_of(machines))


def states_of(machines: Sequence[MachineView]) -> States:
    """The machines' states as bits."""
    running = loaded = silent = tripped = unready = 0
    for index, seen in enumerate(machines):
        bit = 1 << index
        if seen.running is None:
            silent |= bit
        elif seen.running:
            running |= bit
        if seen.loaded:
            loaded |= bit
        if seen.tripped:
            tripped |= bit
        if seen.ready is False:
            unready |= bit
    return States(running, loaded, silent, tripped, unready)


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
    p_atm_bar: float
    m3_per_bar: float
    count: int
    longest_start_s: float
    # What is asked of the same few sets of machines every tick: their full flow by their bits.
    _flow_of_set: dict[int, float] = field(default_factory=dict, compare=False, repr=False)

    def capacity(self, bits: int) -> float:
        """Full flow [m3/min] of the machines `bits` together."""
        flow = self._flow_of_set.get(bits)
        if flow is None:
            flow = sum(self.full_flow[i] for i in bits_in(bits))
            self._flow_of_set[bits] = flow
        return flow

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

    def supply(self, view: StationView) -> float:
        """Free air [m3/min] that all machines deliver now."""
        supply = 0.0
        delivering = view.states.running & view.states.loaded
        for index, machine in enumerate(view.machines):
            if (delivering >> index) & 1:
                supply += self.flow_of(index, machine)
        return supply

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
        p_atm_bar=station.atmosphere_bar,
        m3_per_bar=station.receiver_m3 / station.atmosphere_bar,
        count=len(names),
        longest_start_s=max((m.start_s for m in machines), default=0.0),
    )


def view_station(fleet: Fleet, snapshot: Snapshot) -> StationView:
    """The station's part of a snapshot."""
    return StationReader(fleet).view(snapshot)


class StationReader:
    """`view_station` tick by tick: what still has the same readings is not looked at again.

    States change seldom, power and speed all the time: each is compared for all machines at once.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._state_tags = tuple(m.tag(role) for m in fleet.machines for role in _STATES)
        self._moving_tags = tuple(
            m.tag(role) for m in fleet.machines for role in ("power_kw", "output_share")
        )
        self._state_readings: tuple[Reading | None, ...] = ()
        self._moving_readings: tuple[Reading | None, ...] = (None,) * len(self._moving_tags)
        self._views = [MachineView(None, None, None, None, None, None)] * fleet.count
        self._states = states_of(self._views)
        self._loaded_kw = tuple(map(_loaded_kw, fleet.machines))
        # Machines that run and do not say whether they are loaded.
        self._untold: tuple[int, ...] = ()

    def view(self, snapshot: Snapshot) -> StationView:
        """The station's part of this snapshot."""
        get, views = snapshot.readings.get, self._views
        said, last = tuple(map(get, self._state_tags)), self._state_readings
        if said != last:
            self._state_readings = said
            width = len(_STATES)
            for index, alone in enumerate(self._fleet.starts_to_load):
                running, loaded, ready, tripped = map(_yes, said[index * width : (index + 1) * width])
                if alone and loaded is None:
                    # Where running is delivering, a device need not say that it is loaded.
                    loaded = running
                views[index] = MachineView(running, loaded, *views[index][2:4], ready, tripped)
            self._untold = tuple(i for i, seen in enumerate(views) if seen.running and seen.loaded is None)
            self._states = states_of(views)
        moving, last = tuple(map(get, self._moving_tags)), self._moving_readings
        if moving != last:
            self._moving_readings = moving
            for index, seen in enumerate(views):
                power, share = moving[2 * index], moving[2 * index + 1]
                if power is not last[2 * index] or share is not last[2 * index + 1]:
                    running, loaded, _, _, ready, tripped = seen
                    views[index] = MachineView(running, loaded, _value(power), _value(share), ready, tripped)
        if self._untold:
            self._tell_by_power()
        station = self._fleet.station
        return StationView(
            snapshot.at.timestamp(),
            snapshot.value(station.pressure),
            snapshot.value(station.flow),
            tuple(views),
            self._states,
        )

    def _tell_by_power(self) -> None:
        """A machine that runs and does not say whether it is loaded: its power tells. Without either it is silent:
        a machine of which nobody knows what it delivers cannot be steered.
        """
        views = self._views
        for index in self._untold:
            power = views[index].power_kw
            if power is None:
                views[index] = views[index]._replace(running=None, loaded=None)
            else:
                views[index] = views[index]._replace(running=True, loaded=power >= self._loaded_kw[index])
        self._states = states_of(views)


def bits_in(bits: int) -> Iterator[int]:
    """The machines of a set, lowest first."""
    while bits:
        yield (bits & -bits).bit_length() - 1
        bits &= bits - 1


def _loaded_kw(machine: Machine) -> float:
    """Half way from unloaded to the least power at which it delivers, [kW]; 0 for a machine that always does."""
    kind = KINDS[machine.control]
    if not kind.unloads:
        return 0.0
    least_kw = nameplate_curve(machine)[0].power_kw * (kind.closed_share if kind.throttles else 1.0)
    return 0.5 * (machine.unloaded_power_kw + least_kw)


def _value(reading: Reading | None) -> float | None:
    # As `Snapshot.value`, of a reading that is at hand.
    return reading.value if reading is not None and reading.quality >= USABLE else None


def _yes(reading: Reading | None) -> bool | None:
    value = _value(reading)
    return None if value is None else value >= 0.5
