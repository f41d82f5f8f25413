"""A controller and a demand on a simulated station, as fast as it goes."""

from __future__ import annotations

from typing import Protocol

from agent.config.site import Station
from twin.demand import DemandSeries
from twin.station import AirStation


class StationController(Protocol):
    """What acts on the station before each step."""

    def step(self, now_s: float, dt_s: float, plant: AirStation) -> None: ...


def play(
    station: Station,
    controller: StationController,
    demand: DemandSeries,
    *,
    seed: int = 0,
    step_s: float = 5.0,
    duration_s: float | None = None,
    warm_up_s: float = 900.0,
) -> AirStation:
    """The station after living through the demand under `controller`; its `books` tell the rest.

    It begins settled on the first demand and lives `warm_up_s` of it before the books are opened, so
    that no controller is blamed for the first minutes.
    """
    plant = AirStation(station, seed=seed)
    level = demand.reader(demand.start_at)
    first = level(0.0)
    plant.settle(first)
    for _ in range(round(warm_up_s / step_s)):
        controller.step(plant.now_s, step_s, plant)
        plant.step(step_s, first)
    plant.open_books()
    total_s = demand.step_s * len(demand.values) if duration_s is None else duration_s
    begin = plant.now_s
    for index in range(round(total_s / step_s)):
        controller.step(begin + index * step_s, step_s, plant)
        plant.step(step_s, level((index + 0.5) * step_s))
    return plant
