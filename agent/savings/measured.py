"""A station's minutes as they stand in the store: nothing filled, nothing guessed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Station
from agent.domain import Mode
from agent.store.history import Grid
from agent.store.tags import MODE_CODES, demand_tag, mode_tag

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

MINUTE_S = 60
MINUTES_PER_HOUR = 60.0


class SeriesSource(Protocol):
    """A store of minute means."""

    def series(self, tag: str, from_at: datetime, to_at: datetime, step_s: int = 60) -> Grid:
        """The tag on a grid, NaN where nothing is known."""
        ...


@dataclass(frozen=True, slots=True)
class StationMinutes:
    """Minute means of a station, NaN where unknown. Machine arrays are (minutes, machines)."""

    start_at: datetime
    names: tuple[str, ...]
    power_kw: Floats
    running: Floats
    loaded: Floats
    output_share: Floats
    pressure_bar_g: Floats
    demand_m3_min: Floats
    flow_m3_min: Floats
    mode: Floats

    @property
    def count(self) -> int:
        """Number of minutes."""
        return len(self.pressure_bar_g)

    @property
    def end_at(self) -> datetime:
        """End of the last minute."""
        return self.start_at + timedelta(minutes=self.count)

    @property
    def station_power_kw(self) -> Floats:
        """Power of all machines together; unknown as soon as one machine's is."""
        total: Floats = self.power_kw.sum(axis=1)
        return total

    @property
    def armed(self) -> Flags:
        """Minutes in CONTROL, or in a FALLBACK from it; a minute without a mode is not."""
        return self.mode > 0.5 * (MODE_CODES[Mode.ADVISE] + MODE_CODES[Mode.CONTROL])

    @property
    def watched(self) -> Flags:
        """Minutes in OBSERVE or ADVISE: the plant ran as it did without the agent."""
        return np.isfinite(self.mode) & ~self.armed

    def between(self, from_at: datetime, to_at: datetime) -> StationMinutes:
        """The minutes from `from_at` until before `to_at`, as far as they are here."""
        first = self.index_of(from_at)
        last = max(first, self.index_of(to_at))
        return StationMinutes(
            self.start_at + timedelta(minutes=first),
            self.names,
            *(
                column[first:last]
                for column in (
                    self.power_kw,
                    self.running,
                    self.loaded,
                    self.output_share,
                    self.pressure_bar_g,
                    self.demand_m3_min,
                    self.flow_m3_min,
                    self.mode,
                )
            ),
        )

    def index_of(self, at: datetime) -> int:
        """The minute that holds `at`, held inside the span."""
        return min(max(int((at - self.start_at).total_seconds() // MINUTE_S), 0), self.count)


def read_minutes(
    source: SeriesSource, station_id: str, station: Station, from_at: datetime, to_at: datetime
) -> StationMinutes:
    """The station's minutes of the span. `demand_m3_min` is the agent's estimate, the meter's where it has none."""

    def column(tag: str | None) -> Floats:
        if tag is None:
            return np.full(length, np.nan)
        return source.series(tag, from_at, to_at).values

    pressure = source.series(station.pressure, from_at, to_at)
    length = len(pressure.values)
    machines = station.machines.values()
    by_role = {
        role: np.column_stack([column(machine.tag(role)) for machine in machines])
        for role in ("power_kw", "running", "loaded", "output_share")
    }
    demand, flow = column(demand_tag(station_id)), column(station.flow)
    return StationMinutes(
        start_at=pressure.start_at,
        names=tuple(station.machines),
        power_kw=by_role["power_kw"],
        running=by_role["running"],
        loaded=by_role["loaded"],
        output_share=by_role["output_share"],
        pressure_bar_g=pressure.values,
        demand_m3_min=np.where(np.isfinite(demand), demand, flow),
        flow_m3_min=flow,
        mode=column(mode_tag(station_id)),
    )
