"""Two-node grey boxes of zones from their past: least squares with non-negative figures, then open loop.

For each time constant of the mass the equation of the air is linear in its figures,
    (A' - A)/h = (UA + vent people)(To - A')/Ca + Um (M' - A')/Ca + sum g (Aj - A')/Ca + (gains + Q)/Ca,
and non-negative least squares has one optimum, which is a passive building. Equation errors say little
about a day ahead: the best are polished on open-loop predictions over 24 h and judged on days held back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Hvac, Zone, ZoneModel
from agent.planner.hvac_model import BoolArray, FloatArray
from agent.planner.hvac_past import STEP_H, SitePast, UnitPast, bridged, setpoints_in_force, unit_past

TAU_GRID_H = (4.0, 8.0, 16.0, 32.0, 64.0)
LAGS = (0.0, 0.5, 1.0)
DAY = 96
HORIZON = DAY
WINDOW_EVERY = 8  # open-loop runs begin every two hours
SUMMED_STEPS = 4  # differences over an hour: the sensor's noise counts a quarter
POLISHED = 2
LEAST_DAYS = 7.0
HELD_BACK_SHARE = 0.25
LEAST_HELD_BACK_DAYS = 2.0
LEAST_ACTIVE_SHARE = 0.02
LEAST_SPREAD_K = 0.15
FROZEN_STEPS = 24
WORST_FROZEN_SHARE = 0.3
WORST_RMSE_24H_K = 2.0
WALLS_WORTH = 1.1  # a model with walls must miss this much less than one without
MOST_WALL_SHARE = 0.5  # of all other conductances together
LEADS = {"1h": 4, "4h": 16, "24h": 96}


class Refused(NamedTuple):
    """Why the data cannot support a model, and what would help."""

    reason: str


@dataclass(frozen=True, slots=True)
class ZoneFit:
    """A zone's figures and how far they predict days they have not seen, RMSE by lead [K]."""

    model: ZoneModel
    rmse_k: Mapping[str, float]
    naive_rmse_k: Mapping[str, float]
    days: float
    score: float


@dataclass(frozen=True, slots=True)
class SiteFit:
    """All zones: fitted, or refused with a reason."""

    zones: Mapping[str, ZoneFit]
    refused: Mapping[str, str]
    units: Mapping[str, UnitPast]


Starts = NDArray[np.int64]


class _Data(NamedTuple):
    """One zone's series on the grid, inputs paired with the temperatures they move."""

    air: FloatArray
    outdoor: FloatArray
    sun: FloatArray
    people: FloatArray
    heat: FloatArray
    neighbours: dict[str, FloatArray]


class _Figures(NamedTuple):
    """Figures over Ca, [1/h]; `tau_h` of the mass."""

    ua: float
    vent: float
    mass: float
    sun: float
    people: float
    always: float
    heat: float
    walls: tuple[float, ...]
    tau_h: float


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
    if unit is None:
        return Refused(f"the power of unit {hvac.zones[name].unit} is not in the past: its heat is unknown")
    why = _unfit(name, past, unit)
    if why:
        return Refused(why)
    days = past.size / DAY
    split = _split(past.size)
    lag = _best_lag(hvac, name, past, unit, split)
    if lag is None:
        return Refused(
            "the unit's power explains nothing of the temperature: is its power tag the right one?"
        )
    chosen: tuple[float, _Figures, _Data] | None = None
    # Zones kept alike by their thermostats look coupled when they are not: walls must earn their place.
    for walls, worth in ((False, 1.0), (True, WALLS_WORTH)):
        data = _paired(hvac, name, past, unit, lag, walls=walls)
        starts, held_back = _starts(data, 0, split), _starts(data, split - HORIZON // 4, data.air.size)
        if not starts.size or not held_back.size:
            return Refused("no whole day without gaps among the first or the last days")
        if walls and not data.neighbours:
            break
        ranked = sorted(_candidates(data, split), key=lambda f: _score(open_loop(f, data, starts)))
        for figures in (polish(f, data, starts) for f in ranked[:POLISHED]):
            error = _score(open_loop(figures, data, held_back)) * worth
            if chosen is None or error < chosen[0]:
                chosen = error, figures, data
    assert chosen is not None
    _, figures, data = chosen
    held_back = _starts(data, split - HORIZON // 4, data.air.size)
    errors = open_loop(figures, data, held_back)
    rmse = {lead: _rms(errors[:, steps - 1]) for lead, steps in LEADS.items()}
    naive = {lead: _rms(_unchanged(data, held_back, steps)) for lead, steps in LEADS.items()}
    if rmse["24h"] > WORST_RMSE_24H_K:
        return Refused(f"the best model misses the held-back days by {rmse['24h']:.1f} K a day ahead")
    if rmse["4h"] > naive["4h"] and rmse["24h"] > naive["24h"]:
        return Refused(
            f"the best model ({rmse['4h']:.2f} K at 4 h) is worse than saying that nothing changes "
            f"({naive['4h']:.2f} K)"
        )
    final = polish(figures, data, _starts(data, 0, data.air.size))
    model = _model(final, data, lag, _droops(name, hvac.zones[name], past, unit))
    return ZoneFit(model, rmse, naive, days, _score(errors))


def _split(steps: int) -> int:
    """First of the steps that are held back."""
    return steps - round(max(LEAST_HELD_BACK_DAYS, HELD_BACK_SHARE * steps / DAY) * DAY)


def _best_lag(hvac: Hvac, name: str, past: SitePast, unit: UnitPast, split: int) -> float | None:
    """How power and temperature are paired in time, by open-loop error; None where no fit has an effect."""
    best, best_error = None, np.inf
    for lag in LAGS:
        data = _paired(hvac, name, past, unit, lag, walls=False)
        starts = _starts(data, 0, split)
        for figures in _candidates(data, split):
            error = _score(open_loop(figures, data, starts))
            if error < best_error:
                best, best_error = lag, error
    return best


def _unfit(name: str, past: SitePast, unit: UnitPast) -> str:
    """Why this past cannot support a model; "" where it may."""
    air = past.temp_degc[name]
    heat = unit.heat_kw[name]
    whole = np.isfinite(air) & np.isfinite(past.outdoor_degc) & np.isfinite(heat)
    if not np.isfinite(past.outdoor_degc).any():
        return "the outdoor temperature is not in the past"
    days = float(whole.sum()) / DAY
    if days < LEAST_DAYS:
        return f"only {days:.1f} days with temperature, weather and power: {LEAST_DAYS:g} are needed"
    still = np.abs(np.diff(air)) < 1e-6
    if _longest_run(still) >= FROZEN_STEPS and float(still.mean()) > WORST_FROZEN_SHARE:
        return f"the temperature stands still {100 * still.mean():.0f} % of the time: a frozen sensor"
    if float(np.nanstd(air)) < LEAST_SPREAD_K:
        return f"the temperature hardly varies ({np.nanstd(air):.2f} K): let the set-back work, or plan an excitation"
    active = np.abs(heat[whole]) > 0
    if float(active.mean()) < LEAST_ACTIVE_SHARE:
        return f"the unit worked only {100 * active.mean():.1f} % of the time: nothing tells its effect"
    if float(np.std(heat[whole])) < 1e-6 + 0.02 * float(np.abs(heat[whole]).max()):
        return "the unit's power hardly varies: nothing tells its effect"
    return ""


def _longest_run(flags: BoolArray) -> int:
    longest = run = 0
    for flag in flags.tolist():
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest


def _paired(hvac: Hvac, name: str, past: SitePast, unit: UnitPast, lag: float, *, walls: bool) -> _Data:
    """Inputs at k such that they move the air from k-1 to k."""

    def moved(values: FloatArray) -> FloatArray:
        before = np.concatenate([values[:1], values[:-1]])
        return np.asarray((1.0 - lag) * before + lag * values, dtype=np.float64)

    near = {other: bridged(past.temp_degc[other]) for other in hvac.zones if walls and other != name}
    near = {other: values for other, values in near.items() if np.isfinite(values).mean() > 0.9}
    return _Data(
        bridged(past.temp_degc[name]),
        moved(bridged(past.outdoor_degc)),
        moved(np.nan_to_num(bridged(past.sun_w_m2))),
        moved(np.nan_to_num(past.occupied[name])),
        moved(bridged(unit.heat_kw[name])),
        {other: _held(values) for other, values in near.items()},
    )


def _held(values: FloatArray) -> FloatArray:
    """No gaps, for series whose gaps must not break an open-loop run."""
    known = np.flatnonzero(np.isfinite(values))
    return np.asarray(np.interp(np.arange(values.size), known, values[known]), dtype=np.float64)


def mass_course(air_degc: FloatArray, tau_h: float) -> FloatArray:
    """The mass that follows the measured air, begun at the first day's mean."""
    from scipy.signal import lfilter

    keep = 1.0 / (1.0 + STEP_H / tau_h)
    air = _held(air_degc)
    first = float(air[:DAY].mean())
    out, _ = lfilter([1.0 - keep], [1.0, -keep], air, zi=[keep * first])
    return np.asarray(out, dtype=np.float64)


def _candidates(data: _Data, until: int) -> list[_Figures]:
    """One non-negative fit for each time constant; those on which the unit has an effect."""
    from scipy.optimize import nnls

    change = np.diff(data.air) / STEP_H
    after = data.air[1:]
    out = []
    for tau in TAU_GRID_H:
        mass = mass_course(data.air, tau)[1:]
        columns = [
            data.outdoor[1:] - after,
            data.people[1:] * (data.outdoor[1:] - after),
            mass - after,
            data.sun[1:],
            data.people[1:],
            np.ones_like(after),
            data.heat[1:],
            *(near[1:] - after for near in data.neighbours.values()),
        ]
        X = np.column_stack([_summed(column[:until]) for column in columns])
        y = _summed(change[:until])
        rows = np.isfinite(X).all(axis=1) & np.isfinite(y)
        if rows.sum() < DAY:
            continue
        X, y = X[rows], y[rows]
        scale = np.maximum(X.std(axis=0), 1e-9)
        scale[5] = 1.0
        found = nnls(X / scale, y)[0] / scale
        if found[6] > 0:
            out.append(_figures(found.tolist(), tau))
    return out


def _figures(values: Sequence[float], tau_h: float) -> _Figures:
    ua, vent, mass, sun, people, always, heat = values[:7]
    return _Figures(ua, vent, mass, sun, people, always, heat, tuple(values[7:]), tau_h)


def _summed(values: FloatArray) -> FloatArray:
    total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(values, nan=0.0))])
    out = (total[SUMMED_STEPS:] - total[:-SUMMED_STEPS]) / SUMMED_STEPS
    gaps = np.concatenate([[0], np.cumsum(~np.isfinite(values))])
    return np.where(gaps[SUMMED_STEPS:] > gaps[:-SUMMED_STEPS], np.nan, out)


def _starts(data: _Data, first: int, last: int) -> Starts:
    """Steps from which a run of a whole horizon has no gap and ends before `last`."""
    whole = np.isfinite(data.air) & np.isfinite(data.outdoor) & np.isfinite(data.heat)
    gaps = np.concatenate([[0], np.cumsum(~whole)])
    begins = np.arange(max(first, 0), last - HORIZON, WINDOW_EVERY)
    return np.asarray(begins[gaps[begins + HORIZON + 1] == gaps[begins]], dtype=np.int64)


def open_loop(figures: _Figures, data: _Data, starts: Starts) -> FloatArray:
    """Errors of open-loop runs, one row a start, one column a step of the horizon, [K]."""
    h = STEP_H
    keep = 1.0 / (1.0 + h / figures.tau_h)
    loss = figures.ua + figures.vent * data.people
    total = 1.0 + h * (loss + figures.mass * keep + sum(figures.walls))
    drive = loss * data.outdoor + figures.sun * data.sun + figures.people * data.people + figures.always
    drive = drive + figures.heat * data.heat
    for wall, near in zip(figures.walls, data.neighbours.values(), strict=True):
        drive = drive + wall * near
    of_air, of_mass, driven = 1.0 / total, h * figures.mass * keep / total, h * drive / total
    air = data.air[starts]
    mass = mass_course(data.air, figures.tau_h)[starts]
    errors = np.empty((starts.size, HORIZON))
    for k in range(1, HORIZON + 1):
        at = starts + k
        air = of_air[at] * air + of_mass[at] * mass + driven[at]
        mass = keep * mass + (1.0 - keep) * air
        errors[:, k - 1] = air - data.air[at]
    return errors


def polish(figures: _Figures, data: _Data, starts: Starts) -> _Figures:
    """The figures moved to where open-loop runs of a day miss least; never below nought."""
    from scipy.optimize import least_squares

    if not starts.size:
        return figures
    begin = np.array([*figures[:7], *figures.walls, np.log(figures.tau_h)])
    # What the linear fit found to be nought may yet grow a little.
    size = np.maximum(begin, 1e-3 * max(begin[:3].max(), 1e-3))
    size[3] = max(begin[3], 1e-6)
    size[6] = begin[6]
    size[-1] = 1.0
    picked = np.array([1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 40, 48, 56, 64, 72, 80, 88, 96]) - 1
    tolerated = _tolerated_k((picked + 1) / 4.0)

    def unpacked(x: FloatArray) -> _Figures:
        values = (x * size).tolist()
        return _figures(values[:-1], float(np.exp(values[-1])))

    def residual(x: FloatArray) -> FloatArray:
        return np.asarray((open_loop(unpacked(x), data, starts)[:, picked] / tolerated).ravel())

    low, high = np.zeros(begin.size), np.full(begin.size, np.inf)
    high[7:-1] = MOST_WALL_SHARE * begin[:3].sum() / size[7:-1]
    low[-1], high[-1] = np.log(2.0), np.log(200.0)
    first = np.clip(begin / size, low + 1e-6, 0.999 * high)
    done = least_squares(residual, first, bounds=(low, high), loss="soft_l1", f_scale=1.0, max_nfev=25)
    return unpacked(done.x)


def _tolerated_k(lead_h: FloatArray) -> FloatArray:
    """The error that counts as one: 0.3 K at once, 0.8 K a day ahead."""
    return 0.3 + 0.5 * lead_h / 24.0


def _score(errors: FloatArray) -> float:
    """Root mean square of open-loop errors, each lead by what is tolerated of it."""
    return _rms(errors / _tolerated_k(np.arange(1, errors.shape[1] + 1) / 4.0))


def _unchanged(data: _Data, starts: Starts, steps: int) -> FloatArray:
    return np.asarray(data.air[starts + steps] - data.air[starts], dtype=np.float64)


def _rms(errors: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(errors)))) if errors.size else float("inf")


def _model(figures: _Figures, data: _Data, lag: float, droops: tuple[float, float]) -> ZoneModel:
    air = 1.0 / figures.heat
    walls = {
        name: round(wall * air, 6)
        for name, wall in zip(data.neighbours, figures.walls, strict=True)
        if wall * air > 1e-5
    }
    mass_ua = figures.mass * air
    return ZoneModel(
        air_kwh_per_k=air,
        mass_kwh_per_k=mass_ua * figures.tau_h,
        ua_kw_per_k=max(figures.ua * air, 1e-6),
        mass_ua_kw_per_k=mass_ua,
        sun_kw_per_w_m2=figures.sun * air,
        gain_occupied_kw=figures.people * air,
        gain_always_kw=figures.always * air,
        vent_ua_kw_per_k=figures.vent * air,
        neighbours_kw_per_k=walls,
        heating_droop_k=droops[0],
        cooling_droop_k=droops[1],
        heat_lag_share=lag,
    )


def standing_score(
    hvac: Hvac, name: str, past: SitePast, unit: UnitPast, model: ZoneModel
) -> tuple[float, dict[str, float]]:
    """Of a model in force, on the days that a new one is judged by: score (lower is better), RMSE by lead."""
    data = _paired(hvac, name, past, unit, model.heat_lag_share, walls=True)
    data = data._replace(
        neighbours={n: v for n, v in data.neighbours.items() if n in model.neighbours_kw_per_k}
    )
    held_back = _starts(data, _split(past.size) - HORIZON // 4, data.air.size)
    if not held_back.size:
        return float("inf"), {}
    air = model.air_kwh_per_k
    massive = model.mass_ua_kw_per_k > 0
    figures = _Figures(
        model.ua_kw_per_k / air,
        model.vent_ua_kw_per_k / air,
        model.mass_ua_kw_per_k / air,
        model.sun_kw_per_w_m2 / air,
        model.gain_occupied_kw / air,
        model.gain_always_kw / air,
        1.0 / air,
        tuple(model.neighbours_kw_per_k[n] / air for n in data.neighbours),
        model.mass_kwh_per_k / model.mass_ua_kw_per_k if massive else 1.0,
    )
    errors = open_loop(figures, data, held_back)
    return _score(errors), {lead: _rms(errors[:, steps - 1]) for lead, steps in LEADS.items()}


# How often the air may be beyond the set-point by more than the droop: comfort has no cheaper buyer.
DROOP_QUANTILE = 0.8
LEAST_DROOP_SAMPLES = 12
DROOP_LIMITS_K = (-0.4, 0.6)
FULL_SHARE = 0.95
DEFAULT_DROOP_K = 0.1


def _droops(name: str, zone: Zone, past: SitePast, unit: UnitPast) -> tuple[float, float]:
    """How far the thermostat lets the air slip beyond its heating and cooling set-points, [K]."""
    low, high = setpoints_in_force(name, zone, past)
    heat, air = unit.heat_kw[name], past.temp_degc[name]
    out = []
    for setpoint, sign, capacity in ((low, 1.0, unit.heating_kw), (high, -1.0, unit.cooling_kw)):
        settled = np.zeros(air.size, dtype=np.bool_)
        settled[3:] = (np.abs(setpoint[3:] - setpoint[:-3]) < 0.05) & (past.occupied[name][3:] > 0.5)
        share = sign * heat / max(capacity, 1e-6)
        rows = settled & (share > 0.02) & (share < FULL_SHARE) & np.isfinite(air)
        beyond = sign * (setpoint - air)[rows]
        beyond = beyond[np.abs(beyond) < 1.0]
        if beyond.size < LEAST_DROOP_SAMPLES:
            out.append(DEFAULT_DROOP_K)
        else:
            out.append(float(np.clip(np.quantile(beyond, DROOP_QUANTILE), *DROOP_LIMITS_K)))
    return round(out[0], 2), round(out[1], 2)
