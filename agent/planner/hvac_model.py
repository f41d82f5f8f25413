"""Heat and power of zones and their units: what the planner reckons with.

A zone is two nodes, air and mass. One step is implicit Euler, stable for any step length:
    Ca (A' - A)/h = UA (To - A') + Um (M' - A') + q        Cm (M' - M)/h = Um (A' - M')
with q the heat into the air, [kW]: gains, sun, heating less cooling. Solved for A' and M' it is
linear in A, M, To and q: the same four numbers serve the simulation and the linear programme.
A floor that heats gives the share `slab_share` of its heat to the mass instead, and the air has it from there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Unit, ZoneModel

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

# Direct-expansion units lose about 2.5 % of their COP and 0.8 % of their capacity a kelvin of
# outdoor temperature; makers' tables between 20 and 45 degC lie around these slopes.
COP_SLOPE_PER_K = 0.025
CAPACITY_SLOPE_PER_K = 0.008
COOLING_RATED_AT_DEGC = 35.0
HEATING_RATED_AT_DEGC = 7.0  # EN 14511, air source
LEAST_HEAT_PUMP_COP = 1.5  # below this it is a heater or a boiler, which does not mind the weather


class ZoneStepModel(NamedTuple):
    """A' = air_of_air A + air_of_mass M + air_of_outdoor To + air_of_kw (q + mass_of_air p);
    M' = mass_of_mass M + mass_of_air A' + mass_of_kw p, with p the heat into the mass, [kW]."""

    air_of_air: float
    air_of_mass: float
    air_of_outdoor: float
    air_of_kw: float
    mass_of_mass: float
    mass_of_air: float
    mass_of_kw: float


class _Capacities(NamedTuple):
    """Of one step: the air's capacity and the mass's pull on it, [kW/K], how much of itself the mass keeps, and what
    a kW into it moves it by, [K]."""

    air: float
    pull: float
    mass_of_mass: float
    mass_of_kw: float


def _capacities(model: ZoneModel, step_s: float) -> _Capacities:
    step_h = step_s / 3600.0
    air = model.air_kwh_per_k / step_h
    if model.mass_kwh_per_k <= 0 or model.mass_ua_kw_per_k <= 0:
        return _Capacities(air, 0.0, 0.0, 0.0)
    mass, coupling = model.mass_kwh_per_k / step_h, model.mass_ua_kw_per_k
    mass_of_mass = mass / (mass + coupling)
    return _Capacities(air, coupling * mass_of_mass, mass_of_mass, 1.0 / (mass + coupling))


def zone_step_model(model: ZoneModel, step_s: float) -> ZoneStepModel:
    """The zone's dynamics over one step of `step_s` without people, neighbours not counted, at the usual wind."""
    air, pull, keep, mass_of_kw = _capacities(model, step_s)
    ua = model.ua_kw_per_k + model.wind_kw_per_k_m_s * model.usual_wind_m_s
    total = air + ua + pull
    return ZoneStepModel(air / total, pull / total, ua / total, 1.0 / total, keep, 1.0 - keep, mass_of_kw)


def wind_reckoned_with(model: ZoneModel, wind_m_s: FloatArray | None, steps: int) -> FloatArray | None:
    """The wind of each step as far as it is known, the usual one else; None for a model without wind."""
    if model.wind_kw_per_k_m_s <= 0:
        return None
    known = np.full(steps, np.nan) if wind_m_s is None else wind_m_s
    return np.asarray(np.where(np.isfinite(known), known, model.usual_wind_m_s), dtype=np.float64)


class ZoneCourseModel(NamedTuple):
    """A zone over a horizon, one value a step; everything but the unit's heating H and cooling C is in `drive_degc`.

    A' = air_of_air A + air_of_mass M + drive + air_of_heating H - air_of_kw C;
    M' = mass_of_mass M + mass_of_air A' + mass_of_heating H.
    """

    air_of_air: FloatArray
    air_of_mass: FloatArray
    drive_degc: FloatArray
    air_of_kw: FloatArray
    mass_of_mass: float
    mass_of_air: float
    air_of_heating: FloatArray  # less than `air_of_kw` where a floor heats
    mass_of_heating: float


def zone_course_model(
    model: ZoneModel,
    step_s: float,
    *,
    outdoor_degc: FloatArray,
    gain_kw: FloatArray,
    ventilated: BoolArray,
    neighbours_degc: Mapping[str, FloatArray],
    wind_m_s: FloatArray | None = None,
) -> ZoneCourseModel:
    """The zone's dynamics under the weather, gains and neighbours of a horizon.

    A neighbour whose temperature is not given has none of its walls counted; wind that is not known is the usual one.
    """
    walls = {name: ua for name, ua in model.neighbours_kw_per_k.items() if name in neighbours_degc}
    wall_ua = sum(walls.values())
    air, pull, keep, mass_of_kw = _capacities(model, step_s)
    ua = model.ua_kw_per_k + np.where(ventilated, wall_ua + model.vent_ua_kw_per_k, wall_ua)
    loss_kw_per_k = model.ua_kw_per_k + model.vent_ua_kw_per_k * ventilated
    blown = wind_reckoned_with(model, wind_m_s, outdoor_degc.size)
    if blown is not None:
        ua = ua + model.wind_kw_per_k_m_s * blown
        loss_kw_per_k = loss_kw_per_k + model.wind_kw_per_k_m_s * blown
    total = air + ua + pull
    of_kw = 1.0 / total
    drive = of_kw * (loss_kw_per_k * outdoor_degc + gain_kw)
    for name, wall in walls.items():
        drive = drive + of_kw * wall * neighbours_degc[name]
    return ZoneCourseModel(
        air / total,
        pull / total,
        drive,
        of_kw,
        keep,
        1.0 - keep,
        of_kw * (1.0 - model.slab_share * keep),
        model.slab_share * mass_of_kw,
    )


def next_temps(
    step: ZoneStepModel,
    air_degc: float,
    mass_degc: float,
    outdoor_degc: float,
    heat_kw: float,
    into_mass_kw: float = 0.0,
) -> tuple[float, float]:
    """Air and mass at the end of a step, [degC], with `heat_kw` into the air."""
    air = (
        step.air_of_air * air_degc
        + step.air_of_mass * mass_degc
        + step.air_of_outdoor * outdoor_degc
        + step.air_of_kw * (heat_kw + step.mass_of_air * into_mass_kw)
    )
    return air, step.mass_of_mass * mass_degc + step.mass_of_air * air + step.mass_of_kw * into_mass_kw


def next_mass_degc(model: ZoneModel, mass_degc: float, air_degc: float, elapsed_s: float) -> float:
    """The mass, which nobody measures, followed along the measured air temperature, [degC]."""
    step = zone_step_model(model, max(elapsed_s, 1e-6))
    return step.mass_of_mass * mass_degc + step.mass_of_air * air_degc


def cooling_cop(unit: Unit, outdoor_degc: FloatArray) -> FloatArray:
    """Thermal over electrical power in cooling, at the outdoor temperatures given."""
    share = 1.0 - COP_SLOPE_PER_K * (outdoor_degc - COOLING_RATED_AT_DEGC)
    return np.asarray(unit.cooling_cop * np.clip(share, 0.6, 1.6), dtype=np.float64)


def heating_cop(unit: Unit, outdoor_degc: FloatArray) -> FloatArray:
    """Thermal over electrical power in heating; constant for heaters and boilers."""
    if unit.heating_cop < LEAST_HEAT_PUMP_COP:
        return np.full_like(outdoor_degc, unit.heating_cop)
    share = 1.0 + COP_SLOPE_PER_K * (outdoor_degc - HEATING_RATED_AT_DEGC)
    return np.asarray(unit.heating_cop * np.clip(share, 0.4, 1.3), dtype=np.float64)


def cooling_capacity_kw(unit: Unit, outdoor_degc: FloatArray) -> FloatArray:
    """Greatest thermal power in cooling, [kW]."""
    share = 1.0 - CAPACITY_SLOPE_PER_K * (outdoor_degc - COOLING_RATED_AT_DEGC)
    return np.asarray(unit.cooling_kw * np.clip(share, 0.7, 1.2), dtype=np.float64)


def heating_capacity_kw(unit: Unit, outdoor_degc: FloatArray) -> FloatArray:
    """Greatest thermal power in heating, [kW]; heat pumps give less in the cold."""
    if unit.heating_cop < LEAST_HEAT_PUMP_COP:
        return np.full_like(outdoor_degc, unit.heating_kw)
    share = 1.0 + 0.015 * (outdoor_degc - HEATING_RATED_AT_DEGC)
    return np.asarray(unit.heating_kw * np.clip(share, 0.5, 1.1), dtype=np.float64)
