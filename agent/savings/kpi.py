"""Key figures of a station's period: what an auditor of compressed air looks at first.

A figure is None where nothing was measured; what was measured in part comes with its coverage. Nothing
unknown counts as zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

import numpy as np

from agent.config.site import Station, Tariff
from agent.domain import Mode
from agent.planner.prices import price_grid
from agent.savings.measured import MINUTE_S, MINUTES_PER_HOUR, Flags, Floats, StationMinutes
from agent.savings.periods import Period
from agent.store.tags import MODE_CODES

# Rest begins this long after a shift's end and ends this long before the next: lines fill and empty.
_REST_MARGIN_MIN = 60
_LEAST_REST_MIN = 120
_WHOLE = 0.999
_NONE = 0.001


@dataclass(frozen=True, slots=True)
class Rest:
    """Demand while nobody works: leaks and what stays on. Median and quartiles of the minutes at rest."""

    demand_m3_min: float
    low_m3_min: float
    high_m3_min: float
    share_of_mean: float | None
    hours: float


@dataclass(frozen=True, slots=True)
class Figures:
    """One period of one station."""

    period: Period
    energy_kwh: float | None
    air_m3: float | None
    specific_power_kw_min_m3: float | None
    idle_energy_kwh: float | None
    idle_share: float | None
    mean_pressure_bar_g: float | None
    below_min_min: float | None
    below_min_share: float | None
    rest: Rest | None
    starts: Mapping[str, int | None]
    hours_run: Mapping[str, float | None]
    hours_loaded: Mapping[str, float | None]
    cost: float | None
    co2_kg: float | None
    peak_kw: float | None
    power_coverage: float
    air_coverage: float
    pressure_coverage: float
    control_share: float | None
    fallback_share: float | None


@dataclass(frozen=True, slots=True)
class Derived:
    """Columns that every period of the same minutes shares."""

    minutes: StationMinutes
    power_kw: Floats
    idle_kw: Floats
    starts: Floats
    price_per_kwh: Floats
    at_rest: Flags


def derive(minutes: StationMinutes, station: Station, tariff: Tariff, timezone: str) -> Derived:
    """What the figures need of each minute."""
    return Derived(
        minutes=minutes,
        power_kw=minutes.station_power_kw,
        idle_kw=idle_power_kw(minutes, station),
        starts=starts_by_minute(minutes.running),
        price_per_kwh=price_grid(tariff, timezone, minutes.start_at, minutes.count, MINUTE_S),
        at_rest=rest_minutes(minutes, station, timezone),
    )


def figures(derived: Derived, station: Station, tariff: Tariff, period: Period) -> Figures:
    """The period's figures from its minutes."""
    minutes = derived.minutes
    cut = slice(minutes.index_of(period.from_at), minutes.index_of(period.to_at))
    power, air = derived.power_kw[cut], minutes.demand_m3_min[cut]
    pressure, idle = minutes.pressure_bar_g[cut], derived.idle_kw[cut]
    mode = minutes.mode[cut]
    expected = period.hours * MINUTES_PER_HOUR
    both = np.isfinite(power) & np.isfinite(air)
    energy = _sum(power, MINUTES_PER_HOUR)
    both_air = float(air[both].sum())
    idle_known = np.isfinite(idle) & np.isfinite(power)
    power_there = float(power[idle_known].sum())
    below = _mean((pressure < station.pressure_min_bar_g).astype(float), np.isfinite(pressure))
    known_mode = np.isfinite(mode)
    return Figures(
        period=period,
        energy_kwh=energy,
        air_m3=_sum(air, 1.0),
        specific_power_kw_min_m3=float(power[both].sum()) / both_air if both_air > 0.0 else None,
        idle_energy_kwh=_sum(idle, MINUTES_PER_HOUR),
        idle_share=float(idle[idle_known].sum()) / power_there if power_there > 0.0 else None,
        mean_pressure_bar_g=_mean(pressure, np.isfinite(pressure)),
        below_min_min=None if below is None else below * float(np.isfinite(pressure).sum()),
        below_min_share=below,
        rest=_rest(derived, cut),
        starts={name: _whole(_sum(derived.starts[cut, i], 1.0)) for i, name in enumerate(minutes.names)},
        hours_run={
            name: _sum(minutes.running[cut, i], MINUTES_PER_HOUR) for i, name in enumerate(minutes.names)
        },
        hours_loaded={
            name: _sum(minutes.loaded[cut, i], MINUTES_PER_HOUR) for i, name in enumerate(minutes.names)
        },
        cost=_sum(power * derived.price_per_kwh[cut], MINUTES_PER_HOUR),
        co2_kg=None if energy is None else energy * tariff.co2_kg_per_kwh,
        peak_kw=_peak(power, tariff.demand_interval_min),
        power_coverage=float(np.isfinite(power).sum()) / expected,
        air_coverage=float(np.isfinite(air).sum()) / expected,
        pressure_coverage=float(np.isfinite(pressure).sum()) / expected,
        control_share=_mean((mode > MODE_CODES[Mode.CONTROL] - 0.5).astype(float), known_mode),
        fallback_share=_mean((mode > MODE_CODES[Mode.FALLBACK] - 0.5).astype(float), known_mode),
    )


def idle_power_kw(minutes: StationMinutes, station: Station) -> Floats:
    """Power of machines that run and deliver nothing, [kW] a minute; NaN as soon as one machine's is unknown.

    A minute run unloaded from end to end gives it by measurement. Of a mixed minute the unloaded part counts
    with the median of such whole minutes, with the nameplate's unloaded power where there was none.
    """
    total = np.zeros(minutes.count)
    for index, machine in enumerate(station.machines.values()):
        power, running, loaded = (
            column[:, index] for column in (minutes.power_kw, minutes.running, minutes.loaded)
        )
        whole = (running > _WHOLE) & (loaded < _NONE) & np.isfinite(power)
        unloaded_kw = float(np.median(power[whole])) if whole.any() else machine.unloaded_power_kw
        part = np.clip(running - loaded, 0.0, 1.0)
        total = total + np.where(whole, power, np.minimum(part * unloaded_kw, power))
    return total


def starts_by_minute(running: Floats) -> Floats:
    """1 in each minute in which a machine was started, NaN where this or the minute before is unknown.

    From the share of the minute that it ran: a share that rises after one that did not is a start. Two starts
    within one minute would count as one; no motor protection allows them.
    """
    before = np.vstack([np.full((1, running.shape[1]), np.nan), running[:-1]])
    rises = running > before + _NONE
    rose_before = np.vstack([np.zeros((1, running.shape[1]), dtype=bool), rises[:-1]])
    return np.where(np.isfinite(running) & np.isfinite(before), (rises & ~rose_before).astype(float), np.nan)


def rest_minutes(minutes: StationMinutes, station: Station, timezone: str) -> Flags:
    """Minutes at least an hour away from every shift; none where the site names no shifts."""
    count = minutes.count
    if not station.shift_hours or count == 0:
        return np.zeros(count, dtype=bool)
    zone = ZoneInfo(timezone)
    margin = _REST_MARGIN_MIN
    # Shifts begin and end on quarter hours at the finest; each is looked up once.
    step, begin = 5, minutes.start_at - timedelta(minutes=margin)
    busy = np.zeros(count + 2 * margin, dtype=bool)
    for first in range(0, len(busy), step):
        local = (begin + timedelta(minutes=first)).astimezone(zone)
        clock = local.hour * 60 + local.minute
        busy[first : first + step] = any(s.contains(local.weekday(), clock) for s in station.shift_hours)
    counts = np.concatenate([[0], np.cumsum(busy)])
    near: Floats = (counts[2 * margin + 1 :] - counts[: -2 * margin - 1])[:count]
    far: Flags = near == 0
    return far


def _rest(derived: Derived, cut: slice) -> Rest | None:
    demand = derived.minutes.demand_m3_min[cut]
    known = np.isfinite(demand)
    rest = demand[known & derived.at_rest[cut]]
    if len(rest) < _LEAST_REST_MIN:
        return None
    low, middle, high = (float(q) for q in np.quantile(rest, (0.25, 0.5, 0.75)))
    mean = float(demand[known].mean())
    return Rest(middle, low, high, middle / mean if mean > 0.0 else None, len(rest) / MINUTES_PER_HOUR)


def _peak(power_kw: Floats, interval_min: int) -> float | None:
    """Highest mean of a whole billing interval; intervals are counted from the period's begin."""
    blocks = power_kw[: len(power_kw) // interval_min * interval_min].reshape(-1, interval_min).mean(axis=1)
    known = blocks[np.isfinite(blocks)]
    return float(known.max()) if len(known) else None


def _sum(values: Floats, per: float) -> float | None:
    known = values[np.isfinite(values)]
    return float(known.sum()) / per if len(known) else None


def _mean(values: Floats, known: Flags) -> float | None:
    return float(values[known].mean()) if known.any() else None


def _whole(value: float | None) -> int | None:
    return None if value is None else round(value)
