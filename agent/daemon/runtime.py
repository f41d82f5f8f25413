"""What the daemon holds of one station between ticks."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.clock import elapsed_s
from agent.config.site import Site, Station
from agent.control.commands import OrderWriter
from agent.control.station import StationControl, TickResult
from agent.daemon.outlook import DemandForecast, DemandHistory, Foresight, site_forecaster
from agent.daemon.replanning import PlanWatch
from agent.domain import Mode
from agent.inference.model import Model
from agent.store.tags import demand_tag, mode_tag


@dataclass(slots=True)
class StationRuntime:
    """Control, foresight and writer of one station."""

    station_id: str
    station: Station
    control: StationControl
    foresight: Foresight
    writer: OrderWriter
    last: TickResult | None = None
    planning: bool = False
    was_controlling: bool = False
    plan_watch: PlanWatch = field(default_factory=PlanWatch)
    said: dict[str, str] = field(default_factory=dict)

    @property
    def mode(self) -> Mode:
        """The station's mode now."""
        return self.control.switch.mode

    @property
    def demand_tag(self) -> str:
        """The tag under which the estimated demand is kept."""
        return demand_tag(self.station_id)

    @property
    def mode_tag(self) -> str:
        """The tag under which the mode is kept: savings ask who was in command when."""
        return mode_tag(self.station_id)


def station_runtimes(
    site: Site,
    writable: frozenset[str],
    models: dict[str, Model],
    forecasters: dict[str, DemandForecast] | None = None,
) -> dict[str, StationRuntime]:
    """A runtime for each station of the site."""
    out: dict[str, StationRuntime] = {}
    for station_id, station in site.stations.items():
        control = StationControl(station)
        forecaster = (forecasters or {}).get(station_id) or site_forecaster(
            station_id,
            station,
            site.site.timezone,
            models.get(station_id),
            elapsed_s,
            holidays=frozenset(site.site.closed_days),
        )
        out[station_id] = StationRuntime(
            station_id=station_id,
            station=station,
            control=control,
            foresight=Foresight(
                station_id, station, site.tariff, site.site.timezone, forecaster, DemandHistory()
            ),
            writer=OrderWriter(control.fleet, writable),
        )
    return out
