"""What the site has drawn: the billing month's peak so far, and what compressors and zones will draw beside each other."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Site
from agent.daemon.outlook import STEP_S
from agent.domain import Snapshot
from agent.planner.day import Beside
from agent.planner.hvac_present import week_slots
from agent.planner.site_load import usual_course
from agent.store.history import History

Floats = NDArray[np.float64]

_PAST_DAYS = 14


class SitePower:
    """Measured by the tags of units and machines; a site may draw more that nobody measures."""

    def __init__(self, site: Site) -> None:
        units = site.hvac.units.values() if site.hvac is not None else ()
        self._hvac = tuple(unit.power for unit in units if unit.power is not None)
        self._air = tuple(
            tag
            for station in site.stations.values()
            for machine in station.machines.values()
            if (tag := machine.tag("power_kw")) in site.points
        )
        self._place = ZoneInfo(site.site.timezone)
        self._interval_s = site.tariff.demand_interval_min * 60
        self._peak_kw = 0.0
        self._counted_to: datetime | None = None

    def now_kw(self, snapshot: Snapshot) -> float | None:
        """What the site draws now, as far as it is measured, [kW]; None while a meter of it is silent."""
        drawn = [snapshot.value(tag) for tag in (*self._hvac, *self._air)]
        known = [value for value in drawn if value is not None]
        return sum(known) if known and len(known) == len(drawn) else None

    def peak_so_far_kw(self, history: History, at: datetime) -> float:
        """The highest billing interval since the local month began, [kW]; 0 where nothing was measured."""
        month_at = at.astimezone(self._place).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
        closed_at = datetime.fromtimestamp(at.timestamp() // self._interval_s * self._interval_s, at.tzinfo)
        if self._counted_to is None or self._counted_to < month_at:
            self._peak_kw, self._counted_to = 0.0, month_at
        if closed_at > self._counted_to:
            drawn = _summed((*self._hvac, *self._air), history, self._counted_to, closed_at, self._interval_s)
            self._peak_kw = max(self._peak_kw, float(np.nanmax(drawn, initial=0.0)))
            self._counted_to = closed_at
        return self._peak_kw

    def air_kw(self, history: History, at: datetime, *, steps: int, step_s: int) -> Floats | None:
        """What the compressors will draw, as on days like this one and as of now; None without any, [kW]."""
        return self._course(self._air, history, at, steps=steps, step_s=step_s)

    def hvac_kw(self, history: History, at: datetime, *, steps: int, step_s: int) -> Floats | None:
        """What the units of the zones will draw, by the same rule; None without any, [kW]."""
        return self._course(self._hvac, history, at, steps=steps, step_s=step_s)

    def _course(
        self, tags: tuple[str, ...], history: History, at: datetime, *, steps: int, step_s: int
    ) -> Floats | None:
        if not tags:
            return None
        from_at = at - timedelta(days=_PAST_DAYS)
        past = _summed(tags, history, from_at, at, step_s)
        then = week_slots(self._place.key, from_at, past.size, step_s)
        return usual_course(past, then, week_slots(self._place.key, at, steps, step_s))


def beside_stations(site: Site, history: History) -> Callable[[datetime, int], Beside] | None:
    """What a day plan of the compressors must know of the rest of the meter; None where no peak or limit counts."""
    tariff = site.tariff
    if tariff.demand_charge_per_kw <= 0 and tariff.site_limit_kw is None:
        return None
    power = SitePower(site)

    def beside(at: datetime, steps: int) -> Beside:
        load_kw = power.hvac_kw(history, at, steps=steps, step_s=STEP_S)
        return Beside(load_kw, power.peak_so_far_kw(history, at) if tariff.demand_charge_per_kw else 0.0)

    return beside


def _summed(
    tags: tuple[str, ...], history: History, from_at: datetime, to_at: datetime, step_s: int
) -> Floats:
    """Sum of the tags that are known, by step; NaN where none is."""
    if not tags:
        return np.zeros(0)
    rows = np.stack([history.series(tag, from_at, to_at, step_s).values for tag in tags])
    known = np.isfinite(rows)
    return np.where(known.any(axis=0), np.where(known, rows, 0.0).sum(axis=0), np.nan)
