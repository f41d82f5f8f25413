"""Two-node grey boxes of zones from their past, judged on days held back, or refused with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agent.config.site import Hvac, ZoneModel
from agent.planner.hvac_balance import (
    DAY,
    HORIZON,
    Data,
    Figures,
    Starts,
    open_loop,
    paired,
    starts_of,
    unexplained_courses,
)
from agent.planner.hvac_doubts import unfit
from agent.planner.hvac_droop import droops
from agent.planner.hvac_fit import figures_of, fitted, likely, likely_slab, loss_of, model_of, rms
from agent.planner.hvac_model import FloatArray, wind_reckoned_with
from agent.planner.hvac_past import SitePast, UnitPast, bridged, unit_past

LAGS = (0.0, 0.5, 1.0)
HELD_BACK_SHARE = 0.25
LEAST_HELD_BACK_DAYS = 2.0
WORST_RMSE_24H_K = 2.0
GOOD_RMSE_24H_K = 0.8  # in a zone that hardly changes, saying so is hard to beat and nothing to be ashamed of
SLAB_WORTH = 1.25  # so much less must a floor that heats miss: heat that comes late may be other things
LEAST_SLAB_SHARE = 0.6  # halls that air heats come out at the least that the fit allows, floors near one
LEAST_HEATED_STEPS = 48
WALLS_WORTH = 1.1  # a model with walls must miss this much less than one without
LEAST_WIND_SHARE = 0.9  # of the past in which the wind must be known, to be reckoned with
LEAST_WIND_SPREAD_M_S = 0.3
LEADS = {"1h": 4, "4h": 16, "24h": 96}


class Refused(NamedTuple):
    """Why the data cannot support a model, and what would help."""

    reason: str


@dataclass(frozen=True, slots=True)
class ZoneFit:
    """A zone's figures and how far they predict days they have not seen, RMSE by lead [K].

    `rmse_k` with the heat that was not explained until then, as the plan has it; `alone_rmse_k` without.
    """

    model: ZoneModel
    rmse_k: Mapping[str, float]
    alone_rmse_k: Mapping[str, float]
    naive_rmse_k: Mapping[str, float]
    days: float
    score: float


@dataclass(frozen=True, slots=True)
class SiteFit:
    """All zones: fitted, or refused with a reason."""

    zones: Mapping[str, ZoneFit]
    refused: Mapping[str, str]
    units: Mapping[str, UnitPast]


def identify(hvac: Hvac, past: SitePast) -> SiteFit:
    """Fit every zone of a site on its past of `past.size` quarter hours."""
    units = {name: done for name in hvac.units if (done := unit_past(hvac, name, past)) is not None}
    fits: dict[str, ZoneFit] = {}
    refused: dict[str, str] = {}
    for name in hvac.zones:
        result = identify_zone(hvac, name, past, units.get(hvac.zones[name].unit))
        if isinstance(result, Refused):
            refused[name] = result.reason
        else:
            fits[name] = result
    return SiteFit(fits, refused, units)


def identify_zone(hvac: Hvac, name: str, past: SitePast, unit: UnitPast | None) -> ZoneFit | Refused:
    """The best model of one zone, judged on its last days."""
    why = unfit(hvac, name, past, unit)
    if why or unit is None:
        return Refused(why)
    days = past.size / DAY
    split = held_back_from(past.size)
    settings = hvac.zones[name]
    prior = likely(hvac.units[settings.unit], sum(z.unit == settings.unit for z in hvac.zones.values()))
    lag, first = _best_lag(hvac, name, past, unit, prior, split)
    if first is None:
        return Refused("no whole day without gaps among the first or the last days")
    data = paired(hvac, name, past, unit, lag, walls=False)
    held_back = starts_of(data, split - HORIZON // 4, data.air.size)
    if not held_back.size:
        return Refused("no whole day without gaps among the first or the last days")
    figures, data = _widened(hvac, name, past, unit, (first, data), lag, prior, held_back)
    slab = _slab(figures, data, prior, split, held_back)
    if slab is not None:
        figures, prior = slab, likely_slab(prior)
    alone = _by_lead(open_loop(figures, data, held_back))
    rmse = foreseen_rmse(figures, data, held_back)
    naive = {lead: rms(_unchanged(data, held_back, steps)) for lead, steps in LEADS.items()}
    if rmse["24h"] > WORST_RMSE_24H_K:
        return Refused(
            f"the best model misses the held-back days by {rmse['24h']:.1f} K a day ahead: are temperature, set-points "
            "and power those of this zone?"
        )
    if rmse["24h"] > GOOD_RMSE_24H_K and rmse["4h"] > naive["4h"] and rmse["24h"] > naive["24h"]:
        return Refused(
            f"the best model ({rmse['4h']:.2f} K at 4 h) is worse than saying that nothing changes "
            f"({naive['4h']:.2f} K)"
        )
    final = fitted(figures, prior, data, starts_of(data, 0, data.air.size))
    usual = 0.0 if data.wind is None else float(data.wind.mean())
    model = model_of(final, tuple(data.neighbours), lag, droops(name, settings, past, unit), usual)
    return ZoneFit(model, rmse, alone, naive, days, loss_of(figures, data, held_back))


def _widened(
    hvac: Hvac,
    name: str,
    past: SitePast,
    unit: UnitPast,
    plain: tuple[Figures, Data],
    lag: float,
    prior: Figures,
    held_back: Starts,
) -> tuple[Figures, Data]:
    """The plain figures, or those with wind, walls or both: what misses the days held back least.

    Wind must win. Zones kept alike by their thermostats look coupled when they are not: walls must win clearly.
    """
    figures, data = plain
    split = held_back_from(past.size)
    error = loss_of(figures, data, held_back)
    wind = _wind(past)
    for walls, worth in ((False, 1.0), (True, WALLS_WORTH)):
        blown = wind if not walls or data.wind is not None else None
        wider = paired(hvac, name, past, unit, lag, walls=walls, wind_m_s=blown)
        if (walls and not wider.neighbours) or (not walls and wider.wind is None):
            continue
        first = figures._replace(walls=(0.0,) * len(wider.neighbours))
        if not walls:
            # As much loss as before at the usual wind, part of it by wind.
            calm = figures.ua - prior.wind * float(blown.mean() if blown is not None else 0.0)
            first = first._replace(wind=prior.wind, ua=max(calm, 0.3 * figures.ua))
        found = fitted(first, prior, wider, starts_of(wider, 0, split))
        missed = loss_of(found, wider, held_back) * worth
        if missed < error:
            figures, data, error = found, wider, missed
    return figures, data


def _slab(figures: Figures, data: Data, prior: Figures, split: int, held_back: Starts) -> Figures | None:
    """The figures of a zone that its floor heats, where they miss the days held back clearly less at each lead of hours."""
    starts = starts_of(data, 0, split)
    if not starts.size or int((data.heat[: split + 1] > 0).sum()) < LEAST_HEATED_STEPS:
        return None
    expected = likely_slab(prior)._replace(walls=figures.walls, wind=figures.wind)
    found = fitted(expected, likely_slab(prior), data, starts)
    plain, slab = foreseen_rmse(figures, data, held_back), foreseen_rmse(found, data, held_back)
    clearly = all(slab[lead] * SLAB_WORTH < plain[lead] for lead in ("4h", "24h"))
    return found if clearly and found.slab >= LEAST_SLAB_SHARE else None


def foreseen_rmse(figures: Figures, data: Data, starts: Starts) -> dict[str, float]:
    """RMSE by lead with what was not explained until then, as the plan has it, [K]."""
    return _by_lead(open_loop(figures, data, starts, unexplained_courses(figures, data, starts)))


def _wind(past: SitePast) -> FloatArray | None:
    """The wind without gaps, its mean where it is missing; None where too little of it is known or it never changes."""
    if past.wind_m_s is None:
        return None
    values = bridged(past.wind_m_s)
    known = np.isfinite(values)
    if known.mean() < LEAST_WIND_SHARE or float(np.std(values[known])) < LEAST_WIND_SPREAD_M_S:
        return None
    return np.where(known, values, float(values[known].mean()))


def _by_lead(errors: FloatArray) -> dict[str, float]:
    return {lead: rms(errors[:, steps - 1]) for lead, steps in LEADS.items()}


def held_back_from(steps: int) -> int:
    """First of the `steps` of a past that are held back."""
    return steps - round(max(LEAST_HELD_BACK_DAYS, HELD_BACK_SHARE * steps / DAY) * DAY)


def _best_lag(
    hvac: Hvac, name: str, past: SitePast, unit: UnitPast, prior: Figures, split: int
) -> tuple[float, Figures | None]:
    """How power and temperature are paired in time, and the figures that miss least with it."""
    best, best_error, best_figures = 0.5, np.inf, None
    for lag in LAGS:
        data = paired(hvac, name, past, unit, lag, walls=False)
        starts = starts_of(data, 0, split)
        if not starts.size:
            continue
        figures = fitted(prior, prior, data, starts)
        error = loss_of(figures, data, starts)
        if error < best_error:
            best, best_error, best_figures = lag, error, figures
    return best, best_figures


def _unchanged(data: Data, starts: Starts, steps: int) -> FloatArray:
    return np.asarray(data.air[starts + steps] - data.air[starts], dtype=np.float64)


def _as_modelled(
    hvac: Hvac, name: str, past: SitePast, unit: UnitPast, model: ZoneModel
) -> tuple[Figures, Data]:
    """A model's figures and the past with what it reckons with: its neighbours, and the wind, known or usual."""
    wind = wind_reckoned_with(model, past.wind_m_s, past.size)
    data = paired(hvac, name, past, unit, model.heat_lag_share, walls=True, wind_m_s=wind)
    near = {n: v for n, v in data.neighbours.items() if n in model.neighbours_kw_per_k}
    return figures_of(model, tuple(near)), data._replace(neighbours=near)


def standing_score(
    hvac: Hvac, name: str, past: SitePast, unit: UnitPast, model: ZoneModel
) -> tuple[float, dict[str, float]]:
    """Of a model in force, on the days that a new one is judged by: score (lower is better), RMSE by lead."""
    figures, data = _as_modelled(hvac, name, past, unit, model)
    held_back = starts_of(data, held_back_from(past.size) - HORIZON // 4, data.air.size)
    if not held_back.size:
        return float("inf"), {}
    return loss_of(figures, data, held_back), foreseen_rmse(figures, data, held_back)


def held_back_course(
    hvac: Hvac, name: str, past: SitePast, unit: UnitPast, model: ZoneModel
) -> tuple[FloatArray, FloatArray]:
    """Air as measured on the days held back and as foreseen, each day from its first measurement, [degC]."""
    figures, data = _as_modelled(hvac, name, past, unit, model)
    begins = np.arange(held_back_from(past.size), past.size - HORIZON, DAY)
    errors = open_loop(figures, data, begins, unexplained_courses(figures, data, begins))
    measured = np.concatenate([data.air[k + 1 : k + 1 + HORIZON] for k in begins])
    return measured, measured + errors.ravel()
