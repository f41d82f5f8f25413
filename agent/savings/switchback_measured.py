"""Days of a switchback test from the store: whole ones, on which the arm that was drawn did rule."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import numpy as np

from agent.config.site import Hvac, Site
from agent.domain import Mode
from agent.planner.hvac_schedule import occupancy_grid
from agent.planner.prices import price_grid
from agent.planner.switchback import Day, days
from agent.savings.measured import SeriesSource
from agent.savings.switchback import SwitchDay
from agent.store.tags import MODE_CODES, mode_tag

LEAST_COVERAGE = 0.9
_STEP_S = 900
# CONTROL, or a fall-back from it, is the agent's; observing and advising is the site's.
_ARMED = 0.5 * (MODE_CODES[Mode.ADVISE] + MODE_CODES[Mode.CONTROL])
_LEAST_RULED = 0.9


class Left(NamedTuple):
    """A day that is not counted, and why."""

    day: Day
    why: str


def read_days(
    source: SeriesSource, site: Site, until: datetime
) -> tuple[tuple[SwitchDay, ...], tuple[Left, ...]]:
    """Days of the test that are over, and those left out with the reason."""
    hvac = site.hvac or Hvac()
    counted: list[SwitchDay] = []
    left: list[Left] = []
    for day in days(hvac, site.site.timezone):
        if day.to_at > until:
            break
        found = _measured(source, site, hvac, day)
        if isinstance(found, str):
            left.append(Left(day, found))
        else:
            counted.append(found)
    return tuple(counted), tuple(left)


def _measured(source: SeriesSource, site: Site, hvac: Hvac, day: Day) -> SwitchDay | str:
    def series(tag: str | None) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return source.series(tag or "", day.from_at, day.to_at, _STEP_S).values

    steps = len(series(None))
    modes = series(mode_tag("hvac"))
    known = np.isfinite(modes)
    ruled = float((modes[known] > _ARMED).mean()) if known.any() else float("nan")
    if not known.any() or known.mean() < LEAST_COVERAGE:
        return "the agent did not run"
    if (ruled if day.arm == "agent" else 1.0 - ruled) < _LEAST_RULED:
        return f"{'the agent' if day.arm == 'agent' else 'the site'} ruled {100 * (ruled if day.arm == 'agent' else 1 - ruled):.0f} % of it"
    powers = [series(unit.power) for unit in hvac.units.values() if unit.power is not None]
    if not powers:
        return "no unit has a power tag"
    power = np.sum(powers, axis=0)
    measured = np.isfinite(power)
    if measured.mean() < LEAST_COVERAGE:
        return f"power was known for {100 * measured.mean():.0f} % of it"
    outdoor = series(hvac.outdoor_temp)
    if np.isfinite(outdoor).mean() < LEAST_COVERAGE:
        return "the outdoor temperature is not known"
    hours = _STEP_S / 3600.0
    price = price_grid(site.tariff, site.site.timezone, day.from_at, steps, _STEP_S)
    # Gaps count at the day's own mean: each day has the same length in both arms.
    filled = np.where(measured, power, power[measured].mean())
    occupied_h = discomfort = 0.0
    closed = frozenset(site.site.closed_days)
    for zone in hvac.zones.values():
        people = occupancy_grid(zone, site.site.timezone, day.from_at, steps, _STEP_S, closed)
        temp = series(zone.temp)
        out = np.maximum(np.maximum(zone.comfort_low_degc - temp, temp - zone.comfort_high_degc), 0.0)
        occupied_h = max(occupied_h, float(people.sum()) * hours)
        discomfort += float(np.nansum(out[people])) * hours
    sun = series(hvac.solar)
    return SwitchDay(
        day=day,
        energy_kwh=float(filled.sum()) * hours,
        cost=float((filled * price).sum()) * hours,
        outdoor_degc=float(np.nanmean(outdoor)),
        sun_w_m2=float(np.nanmean(sun)) if np.isfinite(sun).any() else float("nan"),
        occupied_h=occupied_h,
        discomfort_kh=discomfort,
    )
