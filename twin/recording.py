"""A station's simulated weeks in the agent's own store, as the daemon beside it would have written them."""

from __future__ import annotations

import random
from datetime import UTC, datetime

from agent.config.site import Station
from agent.control.demand import DemandEstimator
from agent.control.view import MachineView, fleet_of, station_view
from agent.domain import Mode
from agent.store.history import History
from agent.store.tags import MODE_CODES, demand_tag, mode_tag
from twin.simulate import Scene
from twin.station import AirStation


class Recorder:
    """`take` is a Scene's `watch`; `keep` writes the minutes down: readings, estimated demand, mode."""

    def __init__(self, scene: Scene, mode: Mode) -> None:
        self._station = scene.station
        self._fleet = fleet_of(scene.station)
        self._estimator = DemandEstimator(self._fleet)
        self._demand_tag, self._mode_tag = demand_tag(scene.station_id), mode_tag(scene.station_id)
        self._mode = MODE_CODES[mode]
        self._tags = (
            *(
                m.tag(role)
                for m in self._fleet.machines
                for role in ("running", "loaded", "power_kw", "output_share")
            ),
            scene.station.pressure,
            scene.station.flow,
            self._demand_tag,
        )
        self._sums = [0.0] * len(self._tags)
        self._counts = [0] * len(self._tags)
        self._minute: int | None = None
        self._rows: list[tuple[datetime, str, float | None]] = []

    def take(self, at: datetime, plant: AirStation) -> None:
        """One step of the plant, begun at `at`."""
        minute = int(at.timestamp() // 60)
        if minute != self._minute:
            self._close()
            self._minute = minute
        machines = tuple(
            MachineView(c.running, c.loaded, c.power_kw, c.output_share, c.ready, c.tripped)
            for c in plant.compressors.values()
        )
        pressure = plant.pressure_sensor_bar_g
        flow = plant.flow_sensor_m3_min if self._station.flow is not None else None
        demand = self._estimator.update(station_view(at.timestamp(), pressure, flow, machines))
        column = 0
        for seen in machines:
            for value in seen[:4]:
                self._add(column, value)
                column += 1
        for value in (pressure, flow, None if demand is None else demand.fast_m3_min):
            self._add(column, value)
            column += 1

    def keep(self, history: History) -> None:
        """Write down all that was taken in."""
        self._close()
        history.load(self._rows)
        self._rows = []

    def _add(self, column: int, value: float | None) -> None:
        if value is not None:
            self._sums[column] += value
            self._counts[column] += 1

    def _close(self) -> None:
        if self._minute is None:
            return
        at = datetime.fromtimestamp(60 * self._minute, UTC)
        for tag, total, count in zip(self._tags, self._sums, self._counts, strict=True):
            if tag is not None and count:
                self._rows.append((at, tag, total / count))
        self._rows.append((at, self._mode_tag, self._mode))
        self._sums = [0.0] * len(self._tags)
        self._counts = [0] * len(self._tags)


class EnergyMeter:
    """`take` is a Scene's `watch`: the energy of all its steps, warm-up and all."""

    def __init__(self, step_s: float) -> None:
        self._step_h = step_s / 3600.0
        self.energy_kwh = 0.0

    def take(self, _at: datetime, plant: AirStation) -> None:
        """One step of the plant."""
        self.energy_kwh += plant.power_kw * self._step_h


def unlike_nameplate(station: Station, seed: int) -> Station:
    """The station as it may truly be: worn, overhauled, with more pipe than the drawing shows.

    Power of each machine within 8 %, its idle power within 30 %, delivered flow within 3 %, volume within 25 %.
    """
    rng = random.Random(seed)
    machines = {}
    for name, machine in station.machines.items():
        power, flow, middle = rng.uniform(0.94, 1.08), rng.uniform(0.97, 1.03), rng.uniform(0.98, 1.02)
        changes = {
            "full_power_kw": machine.full_power_kw * power,
            "full_flow_m3_min": machine.full_flow_m3_min * flow,
            "unloaded_power_kw": machine.unloaded_power_kw * rng.uniform(0.8, 1.3),
        }
        for key, factor in (
            ("turndown_power_kw", power),
            ("mid_power_kw", power * middle),
            ("turndown_flow_m3_min", flow),
            ("mid_flow_m3_min", flow),
        ):
            value = getattr(machine, key)
            if value is not None:
                changes[key] = value * factor
        machines[name] = machine.model_copy(update=changes)
    return station.model_copy(
        update={"machines": machines, "receiver_m3": station.receiver_m3 * rng.uniform(0.8, 1.25)}
    )
