"""What no sensor shows: the mass's temperature and the heat that the model does not explain.

An observer on the two-node model. The air is taken as measured (the sensor's noise is a tenth of what a
quarter hour brings). The mass follows it. What the air did beyond the prediction is put down to heat from
wind, doors, people and machines that the model does not know (hvac_residual.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from agent.config.site import ZoneModel
from agent.planner.hvac_model import FloatArray, ZoneCourseModel, zone_course_model
from agent.planner.hvac_past import STEP_S, SitePast, UnitPast, bridged
from agent.planner.hvac_residual import Unexplained, unexplained

MOST_UNEXPLAINED_SHARE = 0.5  # of the unit's capacity


class ZoneEstimate(NamedTuple):
    """Air as measured; mass and unexplained heat as inferred."""

    air_degc: float
    mass_degc: float
    unexplained: Unexplained


class Followed(NamedTuple):
    """A zone's model led along its past, one value a step: what moves the air from the step before to this one."""

    course: ZoneCourseModel
    heat_kw: FloatArray  # of the unit, NaN where unknown
    air_degc: FloatArray  # measured, as foreseen in gaps
    mass_degc: FloatArray
    residual_kw: FloatArray  # heat that the model does not explain, NaN where unknown


def followed(name: str, model: ZoneModel, past: SitePast, unit: UnitPast | None) -> Followed | None:
    """The model along `past`; the mass begins at the first day's mean. None where the air is unknown throughout."""
    air = bridged(past.temp_degc[name])
    known = np.flatnonzero(np.isfinite(air))
    if known.size == 0:
        return None
    first = air[known]
    steps = past.size
    lag = model.heat_lag_share
    outdoor = _moved(_held(bridged(past.outdoor_degc)), lag)
    sun = _moved(np.nan_to_num(bridged(past.sun_w_m2)), lag)
    people = _moved(np.nan_to_num(past.occupied[name]), lag)
    heat = np.full(steps, np.nan) if unit is None else _moved(bridged(unit.heat_kw[name]), lag)
    gain = model.gain_always_kw + model.sun_kw_per_w_m2 * sun + model.gain_occupied_kw * people
    near = {
        other: _held(bridged(past.temp_degc[other]))
        for other in model.neighbours_kw_per_k
        if other in past.temp_degc and np.isfinite(past.temp_degc[other]).any()
    }
    course = zone_course_model(
        model,
        STEP_S,
        outdoor_degc=outdoor,
        gain_kw=gain,
        ventilated=people > 0.5,
        neighbours_degc=near,
        wind_m_s=None if past.wind_m_s is None else _moved(bridged(past.wind_m_s), lag),
    )
    at, mass = float(first[0]), float(first[: min(96, first.size)].mean())
    airs, masses, residual_kw = np.empty(steps), np.empty(steps), np.full(steps, np.nan)
    for k in range(steps):
        foreseen = course.air_of_air[k] * at + course.air_of_mass[k] * mass + course.drive_degc[k]
        foreseen += (course.air_of_heating if heat[k] > 0 else course.air_of_kw)[k] * heat[k]
        if np.isfinite(air[k]):
            residual_kw[k] = (air[k] - foreseen) / course.air_of_kw[k]
            at = float(air[k])
        elif np.isfinite(foreseen):
            at = float(foreseen)
        mass = course.mass_of_mass * mass + course.mass_of_air * at
        if heat[k] > 0:
            mass += course.mass_of_heating * heat[k]
        airs[k], masses[k] = at, mass
    return Followed(course, heat, airs, masses, residual_kw)


def observed(name: str, model: ZoneModel, past: SitePast, unit: UnitPast | None) -> ZoneEstimate | None:
    """The estimate at the end of `past`. None where the air is unknown throughout."""
    found = followed(name, model, past, unit)
    if found is None:
        return None
    most = np.inf if unit is None else MOST_UNEXPLAINED_SHARE * max(unit.cooling_kw, unit.heating_kw)
    return ZoneEstimate(
        float(found.air_degc[-1]), float(found.mass_degc[-1]), unexplained(found.residual_kw, most)
    )


def _moved(values: FloatArray, lag: float) -> FloatArray:
    before = np.concatenate([values[:1], values[:-1]])
    return np.asarray((1.0 - lag) * before + lag * values, dtype=np.float64)


def _held(values: FloatArray) -> FloatArray:
    known = np.flatnonzero(np.isfinite(values))
    if known.size == 0:
        return values
    return np.asarray(np.interp(np.arange(values.size), known, values[known]), dtype=np.float64)


def estimates(
    models: Mapping[str, ZoneModel | None],
    past: SitePast,
    units: Mapping[str, UnitPast | None],
) -> dict[str, ZoneEstimate]:
    """The estimates of all zones with a model; `units` by zone."""
    out = {}
    for name, model in models.items():
        if model is None:
            continue
        found = observed(name, model, past, units.get(name))
        if found is not None:
            out[name] = found
    return out
