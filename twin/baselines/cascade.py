"""Pressure cascade: every machine's own switch, staggered. What most stations run on."""

from __future__ import annotations

from agent.config.site import Station
from twin.baselines.orders import OrderName, machine_order
from twin.local_control import cascade_switches
from twin.station import AirStation


class Cascade:
    """Sets the machines' own pressure switches and lets their controllers work.

    `order` first to last: the first loads at the highest pressure and so carries the base load. A
    speed-controlled machine holds the middle of its own switch; with `vsd_first` it stands highest.
    """

    def __init__(
        self,
        station: Station,
        *,
        order: OrderName | tuple[str, ...] = "priority",
        band_bar: float = 0.5,
        offset_bar: float = 0.15,
        run_on_s: float = 900.0,
        floor_bar: float = 0.1,
        vsd_first: bool = False,
    ) -> None:
        self.order = machine_order(station, order, vsd_first=vsd_first)
        self.switches = cascade_switches(
            station, self.order, band_bar=band_bar, offset_bar=offset_bar, floor_bar=floor_bar
        )
        self.run_on_s = run_on_s
        self._plant: AirStation | None = None

    def step(self, now_s: float, dt_s: float, plant: AirStation) -> None:  # noqa: ARG002 (controllers' common form)
        """Hand the machines to their own controllers, once a plant; these do the rest."""
        if plant is self._plant:
            return
        self._plant = plant
        plant.follow_master = False
        for name, control in plant.controls.items():
            control.switch = self.switches[name]
            control.run_on_s = self.run_on_s
