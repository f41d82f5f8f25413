"""The past of a site's zones on a quarter-hour grid, and the heat that its units must have given.

Nobody meters heat. It is inferred from the unit's electrical power: fan and standby taken off, the
rest times the nameplate's COP at the outdoor temperature. A wrong nameplate scales all figures of
the zone alike, and what a plan pays for is electricity: the scale drops out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Hvac, Unit, Zone
from agent.planner.hvac_model import (
    BoolArray,
    FloatArray,
    cooling_capacity_kw,
    cooling_cop,
    heating_capacity_kw,
    heating_cop,
)

STEP_S = 900.0
LOOK_S = 300  # three looks at the air in each step
STEP_H = STEP_S / 3600.0
BRIDGED_STEPS = 4  # a gap of up to an hour is bridged
LEAST_COIL_SHARE = 0.02  # of the nameplate's electrical power; less is standby and noise
IDLE_K = 0.5  # no thermostat calls this far inside its set-points
LEAST_IDLE_STEPS = 8
FAR_K = 1.0  # so far beyond its set-point a thermostat calls for all there is
LEAST_FULL_STEPS = 6
OPEN_DAMPER_K = 0.35  # a zone so near its set-point still takes air from a unit that runs


@dataclass(frozen=True, slots=True)
class SitePast:
    """Series on one grid [n], NaN where unknown. `occupied` is 0 to 1, by contact or by calendar."""

    outdoor_degc: FloatArray
    sun_w_m2: FloatArray
    temp_degc: Mapping[str, FloatArray]
    heating_set_degc: Mapping[str, FloatArray]
    cooling_set_degc: Mapping[str, FloatArray]
    occupied: Mapping[str, FloatArray]
    power_kw: Mapping[str, FloatArray]
    # [n, looks in a quarter hour]: what a thermostat's swing does within a step, which its mean hides.
    looks_degc: Mapping[str, FloatArray] = field(default_factory=dict)
    # [n]: slots of hvac_present.py, -1 where the agent wrote the set-points; None: not asked for.
    own_slots: NDArray[np.int64] | None = None
    # [n, looks in a quarter hour]: power of a unit, which a run of some minutes does not fill.
    looks_kw: Mapping[str, FloatArray] = field(default_factory=dict)
    wind_m_s: FloatArray | None = None  # [n]; None: neither a sensor nor a provider tells
    stuck: Mapping[str, str] = field(default_factory=dict)  # zone: what its contact says all the time

    @property
    def size(self) -> int:
        return int(self.outdoor_degc.size)


@dataclass(frozen=True, slots=True)
class UnitPast:
    """What a unit did: heat into each of its zones [n] (negative in cooling), and its constant loads."""

    heat_kw: Mapping[str, FloatArray]
    fan_kw: float
    standby_kw: float
    cooling_kw: float
    heating_kw: float


def bridged(values: FloatArray) -> FloatArray:
    """Gaps of up to an hour filled in a straight line; longer ones stay NaN."""
    known = np.flatnonzero(np.isfinite(values))
    if known.size == 0:
        return values
    out = np.interp(np.arange(values.size), known, values[known])
    before = np.maximum.accumulate(np.where(np.isfinite(values), np.arange(values.size), -1))
    after = np.minimum.accumulate(np.where(np.isfinite(values), np.arange(values.size), values.size)[::-1])[
        ::-1
    ]
    outside = (before < 0) | (after >= values.size)
    out[outside | (after - before - 1 > BRIDGED_STEPS)] = np.nan
    return np.asarray(out, dtype=np.float64)


def unit_past(
    hvac: Hvac, name: str, past: SitePast, constants: tuple[float, float] | None = None
) -> UnitPast | None:
    """The heat of one unit; None without its power, its zones or the weather.

    `constants` are its fan and standby power where they are known already, [kW].
    """
    unit = hvac.units[name]
    zones = {zone: settings for zone, settings in hvac.zones.items() if settings.unit == name}
    power = past.power_kw.get(name)
    if power is None or not zones or not np.isfinite(power).any():
        return None
    if not np.isfinite(past.outdoor_degc).any():
        return None
    people = np.maximum.reduce([past.occupied[zone] for zone in zones]) > 0.5
    fan, standby = (
        constants if constants is not None else constant_loads(unit, power, people, idle_steps(zones, past))
    )
    outdoor = np.where(np.isfinite(past.outdoor_degc), past.outdoor_degc, np.nanmean(past.outdoor_degc))
    cool_cop, heat_cop = cooling_cop(unit, outdoor), heating_cop(unit, outdoor)
    heats = heating_side(hvac, zones, past)
    coil = np.maximum(power - standby - np.where(people, fan, 0.0), 0.0)
    nameplate = max(unit.cooling_kw / unit.cooling_cop, unit.heating_kw / unit.heating_cop, 1e-6)
    coil[coil < LEAST_COIL_SHARE * nameplate] = 0.0
    # Without people the fan runs only with the coil, and its power is in what was measured.
    extra_cool = np.where(people, 0.0, fan / max(unit.cooling_kw, 1e-6)) if unit.cooling_kw else 0.0
    extra_heat = np.where(people, 0.0, fan / max(unit.heating_kw, 1e-6)) if unit.heating_kw else 0.0
    heat = np.where(heats, coil / (1.0 / heat_cop + extra_heat), -coil / (1.0 / cool_cop + extra_cool))
    split = _split(zones, past, heats)
    hot, cold = far_off(zones, past)
    return UnitPast(
        {zone: heat * split[zone] for zone in zones},
        fan,
        standby,
        _capacity(-heat, cooling_capacity_kw(unit, outdoor), unit.cooling_kw, hot & ~heats),
        _capacity(heat, heating_capacity_kw(unit, outdoor), unit.heating_kw, cold & heats),
    )


def constant_loads(
    unit: Unit, power_kw: FloatArray, people: BoolArray, idle: BoolArray
) -> tuple[float, float]:
    """Fan power while occupied and standby power, [kW], from what the unit draws while no zone calls.

    A unit that never rests says nothing of either: then the fan is what the nameplate says, and standby nought.
    """
    known = np.isfinite(power_kw) & idle
    empty, full = power_kw[known & ~people], power_kw[known & people]
    standby = float(np.quantile(empty, 0.2)) if empty.size >= LEAST_IDLE_STEPS else 0.0
    if standby > 0.5 * unit.fan_kw > 0:
        # It ventilates day and night: then the fan is what the nameplate says.
        return unit.fan_kw, max(0.0, standby - unit.fan_kw)
    if full.size < LEAST_IDLE_STEPS:
        return unit.fan_kw, standby
    floor = float(np.quantile(full, 0.2)) - standby
    if unit.fan_kw > 0 and floor > 1.6 * unit.fan_kw:
        return unit.fan_kw, standby  # no fan of this size: something else draws
    return max(0.0, floor), standby


def idle_steps(zones: Mapping[str, Zone], past: SitePast) -> BoolArray:
    """Steps in which every zone is well between its set-points, as it was a step before."""
    idle = np.ones(past.size, dtype=np.bool_)
    for name, zone in zones.items():
        low, high = setpoints_in_force(name, zone, past)
        air = past.temp_degc[name]
        idle &= (air > low + IDLE_K) & (air < high - IDLE_K)
    return np.asarray(idle & np.concatenate([[False], idle[:-1]]), dtype=np.bool_)


def heating_side(hvac: Hvac, zones: Mapping[str, Zone], past: SitePast) -> BoolArray:
    """True where a unit that runs must be heating: the nearest set-point of its zones is a heating one."""
    unit = hvac.units[next(iter(zones.values())).unit]
    if unit.heating_kw <= 0 or unit.cooling_kw <= 0:
        return np.full(past.size, unit.heating_kw > 0)
    cold, warm = np.full(past.size, np.inf), np.full(past.size, np.inf)
    for name, zone in zones.items():
        low, high = setpoints_in_force(name, zone, past)
        air = past.temp_degc[name]
        cold = np.fmin(cold, air - low)
        warm = np.fmin(warm, high - air)
    return np.asarray(cold < warm, dtype=np.bool_)


def setpoints_in_force(name: str, zone: Zone, past: SitePast) -> tuple[FloatArray, FloatArray]:
    """Heating and cooling set-points as measured, the zone's own band where they are unknown."""
    people = past.occupied[name] > 0.5
    low = np.where(people, zone.comfort_low_degc, zone.setback_low_degc)
    high = np.where(people, zone.comfort_high_degc, zone.setback_high_degc)
    heating, cooling = past.heating_set_degc.get(name), past.cooling_set_degc.get(name)
    if heating is not None:
        low = np.where(np.isfinite(heating), heating, low)
    if cooling is not None:
        high = np.where(np.isfinite(cooling), cooling, high)
    return np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)


def _split(zones: Mapping[str, Zone], past: SitePast, heats: BoolArray) -> dict[str, FloatArray]:
    """Share of the unit's heat by zone: those that call take it, in proportion to how loudly."""
    if len(zones) == 1:
        return dict.fromkeys(zones, np.ones(past.size))
    calls = {}
    for name, zone in zones.items():
        low, high = setpoints_in_force(name, zone, past)
        air = past.temp_degc[name]
        short = np.where(heats, low - air, air - high) + OPEN_DAMPER_K
        calls[name] = np.clip(np.nan_to_num(short), 0.0, 1.0)
    total = np.sum(list(calls.values()), axis=0)
    return {
        name: np.where(total > 0, call / np.maximum(total, 1e-9), 1 / len(calls))
        for name, call in calls.items()
    }


def far_off(zones: Mapping[str, Zone], past: SitePast) -> tuple[BoolArray, BoolArray]:
    """Steps in which every zone is far above its cooling set-point (below its heating one), as it was a step before."""
    hot, cold = np.ones((2, past.size), dtype=np.bool_)
    for name, zone in zones.items():
        low, high = setpoints_in_force(name, zone, past)
        air = past.temp_degc[name]
        hot &= air > high + FAR_K
        cold &= air < low - FAR_K
    first = np.zeros(1, dtype=np.bool_)
    return hot & np.concatenate([first, hot[:-1]]), cold & np.concatenate([first, cold[:-1]])


def _capacity(
    heat_kw: FloatArray, by_nameplate_kw: FloatArray, nameplate_kw: float, called: BoolArray
) -> float:
    """Capacity at the nameplate's conditions, [kW]: what was given while all of it was called for.

    By nameplate, or what was seen where that is more, as long as that has not been seen.
    """
    if nameplate_kw <= 0:
        return 0.0
    full = called & np.isfinite(heat_kw) & (heat_kw > 0)
    if int(full.sum()) >= LEAST_FULL_STEPS:
        share = float(np.median(heat_kw[full] / by_nameplate_kw[full]))
        return nameplate_kw * min(max(share, 0.5), 1.5)
    seen = heat_kw[np.isfinite(heat_kw)]
    most = float(np.quantile(seen, 0.998)) if seen.size else 0.0
    return max(nameplate_kw, most)
