"""Which of the costed schedules goes out: the plainest that no other beats by more than the model is worth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from agent.planner.hvac_case import Course, HvacCase, UnitCase, ZoneCase, metered_kw
from agent.planner.hvac_model import FloatArray

MARGIN = 0.02  # of the standing schedule's money, at least
DIFFERS_K = 0.1  # set-points go by tenths
ORDER = ("present", "plain", "start", "lp")  # from what stands there to what asks most of the model


class Choice(NamedTuple):
    """The schedule that goes out, and the cheapest of all with what it lacked."""

    name: str
    cheapest: str
    cheaper_by: float
    margin: float


def choose(
    case: HvacCase, courses: Mapping[str, Course], error_k: Mapping[str, Mapping[str, float]]
) -> Choice:
    """From the plainest on: the next one stands where it beats what stands by the margin.

    `error_k`: what the model of a zone missed on days held back, [K], by lead ("1h", "4h", "24h");
    a zone without has no error known, and the 2 % count alone.
    """
    names = [name for name in ORDER if name in courses]
    chosen = names[0]
    for name in names[1:]:
        if courses[name].cost < courses[chosen].cost - margin_of(
            case, courses[chosen], courses[name], error_k
        ):
            chosen = name
    cheapest = min(names, key=lambda name: courses[name].cost)
    return Choice(
        chosen,
        cheapest,
        courses[chosen].cost - courses[cheapest].cost,
        margin_of(case, courses[chosen], courses[cheapest], error_k),
    )


def margin_of(
    case: HvacCase, standing: Course, other: Course, error_k: Mapping[str, Mapping[str, float]]
) -> float:
    """Money by which the model may be wrong about the difference of two schedules; 2 % at least.

    Where the two hold the air alike, what the model gets wrong is the same in both. Where they do not, a
    zone that is `e` kelvin off loses `e` times its losses more or less, every quarter hour the same way;
    zones are wrong independently of each other. The peak is wrong by as much where the two peak.
    """
    energy, peak = 0.0, 0.0
    for unit in case.units:
        for zone in unit.zones:
            if zone.name not in error_k or unit.name not in standing.units:
                continue
            wrong_kw = _wrong_kw(case, unit, zone, standing, other, error_k[zone.name])
            energy += float(np.abs(case.price_per_kwh) @ wrong_kw * case.step_h) ** 2
            peak += max(wrong_kw[_peak_step(case, standing)], wrong_kw[_peak_step(case, other)]) ** 2
    charged = max(_over_peak_kw(case, standing), _over_peak_kw(case, other)) > 0
    charge = case.demand_charge_per_kw * float(np.sqrt(peak)) if charged else 0.0
    return max(MARGIN * abs(standing.energy_cost), float(np.sqrt(energy)) + charge)


def _wrong_kw(
    case: HvacCase,
    unit: UnitCase,
    zone: ZoneCase,
    standing: Course,
    other: Course,
    error_k: Mapping[str, float],
) -> FloatArray:
    """Electrical power by which the model may be off in each step in which the two schedules differ, [kW]."""
    a, b = standing.units[unit.name], other.units[unit.name]
    differs = np.abs(a.air_degc[zone.name] - b.air_degc[zone.name]) > DIFFERS_K
    model = zone.zone.model
    assert model is not None
    losses = model.ua_kw_per_k + model.wind_kw_per_k_m_s * model.usual_wind_m_s
    losses += sum(model.neighbours_kw_per_k.values())
    losses_kw_per_k = losses + model.vent_ua_kw_per_k * zone.wanted
    heat = a.heat_kw[zone.name] + b.heat_kw[zone.name]
    cools = np.where(heat == 0.0, heat.sum() < 0, heat < 0)
    electric = np.where(cools, unit.cooling_electric, unit.heating_electric)
    return np.asarray(differs * _error_at(case, error_k) * losses_kw_per_k * electric, dtype=np.float64)


def _error_at(case: HvacCase, error_k: Mapping[str, float]) -> FloatArray:
    """The model's error by lead, straight lines between the leads that were judged, [K] by step."""
    known = sorted((float(lead.removesuffix("h")), value) for lead, value in error_k.items())
    lead_h = (np.arange(case.price_per_kwh.size) + 1.0) * case.step_h
    hours, kelvin = [0.0, *(h for h, _ in known)], [0.0, *(k for _, k in known)]
    return np.asarray(np.interp(lead_h, hours, kelvin), dtype=np.float64)


def _peak_step(case: HvacCase, course: Course) -> int:
    return int(np.argmax(metered_kw(case, course.units)))


def _over_peak_kw(case: HvacCase, course: Course) -> float:
    return float(metered_kw(case, course.units).max()) - case.peak_so_far_kw


def unserved_kh(case: HvacCase, course: Course) -> float:
    """Kelvin hours out of the band on a side for which a zone's unit has no capacity at all."""
    out = 0.0
    for unit in case.units:
        for zone in unit.zones:
            air = course.units[unit.name].air_degc[zone.name]
            if unit.unit.cooling_kw <= 0:
                out += float(np.maximum(air - zone.high_degc, 0.0).sum())
            if unit.unit.heating_kw <= 0:
                out += float(np.maximum(zone.low_degc - air, 0.0).sum())
    return out * case.step_h
