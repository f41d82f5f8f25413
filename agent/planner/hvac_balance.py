"""A zone's balance over its past: its series on the grid, and runs over them of which errors are read.

Open loop: from a measured start on with known weather and heat. Half open: where the thermostat held the air it
is believed, and the heat that it called for is compared instead (hvac_fit.py says why).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Hvac
from agent.planner.hvac_model import FloatArray
from agent.planner.hvac_past import STEP_H, STEP_S, SitePast, UnitPast, bridged
from agent.planner.hvac_residual import unexplained, unexplained_course

DAY = 96
HORIZON = DAY
WINDOW_EVERY = 12  # runs begin every three hours
LEAST_WORK_SHARE = 0.02
FULL_SHARE = 0.9  # of a unit's power; above it the air goes where it will

Starts = NDArray[np.int64]


class Data(NamedTuple):
    """One zone's series on the grid, inputs paired with the temperatures they move."""

    air: FloatArray
    outdoor: FloatArray
    sun: FloatArray
    people: FloatArray
    heat: FloatArray
    held: FloatArray  # 1 where the thermostat held the air and the heat was its answer
    neighbours: dict[str, FloatArray]
    wind: FloatArray | None = None  # [m/s]; None: not reckoned with


class Figures(NamedTuple):
    """Conductances [kW/K], gains [kW, kW m2/W], capacity of the air [kWh/K], `tau_h` of the mass."""

    ua: float
    vent: float
    mass: float
    sun: float
    people: float
    always: float
    capacity: float
    tau_h: float
    walls: tuple[float, ...] = ()
    wind: float = 0.0  # loss per m/s of wind, [kW/K per m/s]; then `ua` is that of calm air
    slab: float = 0.0  # share of the heating that goes into the mass


def paired(
    hvac: Hvac,
    name: str,
    past: SitePast,
    unit: UnitPast,
    lag: float,
    *,
    walls: bool,
    wind_m_s: FloatArray | None = None,
) -> Data:
    """Inputs at k such that they move the air from k-1 to k. `wind_m_s` without gaps, where it is to count."""

    def moved(values: FloatArray) -> FloatArray:
        before = np.concatenate([values[:1], values[:-1]])
        return np.asarray((1.0 - lag) * before + lag * values, dtype=np.float64)

    near = {other: bridged(past.temp_degc[other]) for other in hvac.zones if walls and other != name}
    near = {other: values for other, values in near.items() if np.isfinite(values).mean() > 0.9}
    heat = bridged(unit.heat_kw[name])
    full = np.where(heat > 0, unit.heating_kw, unit.cooling_kw)
    worked = np.abs(np.nan_to_num(heat)) > LEAST_WORK_SHARE * full
    free = (np.abs(np.nan_to_num(heat)) > FULL_SHARE * full) | ~worked
    return Data(
        bridged(past.temp_degc[name]),
        moved(bridged(past.outdoor_degc)),
        moved(np.nan_to_num(bridged(past.sun_w_m2))),
        moved(np.nan_to_num(past.occupied[name])),
        moved(heat),
        np.asarray(~free & ~np.concatenate([[True], free[:-1]]), dtype=np.float64),
        {other: _held(values) for other, values in near.items()},
        None if wind_m_s is None else moved(wind_m_s),
    )


def _held(values: FloatArray) -> FloatArray:
    """No gaps, for series whose gaps must not break an open-loop run."""
    known = np.flatnonzero(np.isfinite(values))
    return np.asarray(np.interp(np.arange(values.size), known, values[known]), dtype=np.float64)


def mass_course(air_degc: FloatArray, tau_h: float, warmed_k: FloatArray | float = 0.0) -> FloatArray:
    """The mass that follows the measured air, begun at the first day's mean; `warmed_k`: by a floor in each step."""
    from scipy.signal import lfilter

    keep = 1.0 / (1.0 + STEP_H / tau_h)
    air = _held(air_degc)
    first = float(air[:DAY].mean())
    out, _ = lfilter([1.0], [1.0, -keep], (1.0 - keep) * air + warmed_k, zi=[keep * first])
    return np.asarray(out, dtype=np.float64)


def _shared(figures: Figures, heat_kw: FloatArray) -> tuple[FloatArray, FloatArray]:
    """What the air feels of a unit's heat within the step, [kW], and what it warms the mass by, [K]."""
    keep = 1.0 / (1.0 + STEP_H / figures.tau_h)
    floor_kw = figures.slab * np.maximum(np.nan_to_num(heat_kw), 0.0)
    return heat_kw - keep * floor_kw, (1.0 - keep) / max(figures.mass, 1e-9) * floor_kw


def starts_of(data: Data, first: int, last: int) -> Starts:
    """Steps from which a run of a whole horizon has no gap and ends before `last`."""
    whole = np.isfinite(data.air) & np.isfinite(data.outdoor) & np.isfinite(data.heat)
    gaps = np.concatenate([[0], np.cumsum(~whole)])
    begins = np.arange(max(first, 0), last - HORIZON, WINDOW_EVERY)
    return np.asarray(begins[gaps[begins + HORIZON + 1] == gaps[begins]], dtype=np.int64)


class _Balance(NamedTuple):
    """The zone's implicit step at each instant: A' total = A + h (um keep M + drive + heat), M' = keep M + (1 - keep) A'.

    `per_kw`: what a kW of heat moves the air by, but for `total`, [K]. `drive`: all heat but the mass's, [kW].
    """

    per_kw: float
    keep: float
    total: FloatArray
    drive: FloatArray


def _balance(figures: Figures, data: Data, heat_kw: FloatArray | None = None) -> _Balance:
    """Of each step of the past; `heat_kw` where the unit's heat is a cause, else it stays out of `drive`."""
    h = STEP_H / figures.capacity
    keep = 1.0 / (1.0 + STEP_H / figures.tau_h)
    loss = figures.ua + figures.vent * data.people
    if data.wind is not None:
        loss = loss + figures.wind * data.wind
    total = 1.0 + h * (loss + figures.mass * keep + sum(figures.walls))
    drive = loss * data.outdoor + figures.sun * data.sun + figures.people * data.people + figures.always
    if heat_kw is not None:
        drive = drive + heat_kw
    for wall, near in zip(figures.walls, data.neighbours.values(), strict=True):
        drive = drive + wall * near
    return _Balance(h, keep, total, drive)


def residual_kw(figures: Figures, data: Data) -> FloatArray:
    """Heat that each step of the past lacks for the air to have done what it did, [kW]; NaN where unknown."""
    h, keep, total, drive = _balance(figures, data)
    felt_kw, warmed_k = _shared(figures, data.heat)
    mass = mass_course(data.air, figures.tau_h, warmed_k)
    out = np.full(data.air.size, np.nan)
    out[1:] = (data.air[1:] * total[1:] - data.air[:-1]) / h - figures.mass * keep * mass[:-1]
    out[1:] -= drive[1:] + felt_kw[1:]
    return out


def unexplained_courses(figures: Figures, data: Data, starts: Starts) -> FloatArray:
    """What was not explained until each start, as it is reckoned with from there on, [kW], [starts, horizon]."""
    residual = residual_kw(figures, data)
    return np.array(
        [
            unexplained_course(unexplained(residual[max(0, k + 1 - DAY) : k + 1]), HORIZON, STEP_S)
            for k in starts.tolist()
        ]
    ).reshape(starts.size, HORIZON)


class _Runs(NamedTuple):
    """Runs of a day from each of `starts`: how the air follows from air, mass and drive, and where both begin."""

    of_air: FloatArray
    of_mass: FloatArray
    driven: FloatArray
    of_kw: FloatArray
    keep: float
    air: FloatArray
    mass: FloatArray
    felt_kw: FloatArray
    warmed_k: FloatArray


def _runs(figures: Figures, data: Data, starts: Starts, *, heated: bool) -> _Runs:
    felt_kw, warmed_k = _shared(figures, data.heat)
    h, keep, total, drive = _balance(figures, data, felt_kw if heated else None)
    return _Runs(
        1.0 / total,
        h * figures.mass * keep / total,
        h * drive / total,
        h / total,
        keep,
        data.air[starts],
        mass_course(data.air, figures.tau_h, warmed_k)[starts],
        np.nan_to_num(felt_kw),
        warmed_k,
    )


def open_loop(figures: Figures, data: Data, starts: Starts, more_kw: FloatArray | None = None) -> FloatArray:
    """Errors of open-loop runs, one row a start, one column a step of the horizon, [K]; `more_kw` alike is heat."""
    of_air, of_mass, driven, of_kw, keep, air, mass, _, warmed = _runs(figures, data, starts, heated=True)
    errors = np.empty((starts.size, HORIZON))
    for k in range(1, HORIZON + 1):
        at = starts + k
        air = of_air[at] * air + of_mass[at] * mass + driven[at]
        if more_kw is not None:
            air = air + of_kw[at] * more_kw[:, k - 1]
        mass = keep * mass + (1.0 - keep) * air + warmed[at]
        errors[:, k - 1] = air - data.air[at]
    return errors


def half_open_loop(figures: Figures, data: Data, starts: Starts) -> tuple[FloatArray, FloatArray]:
    """Errors of runs of a day in which the thermostat is believed, [K] and [kW], NaN where the other one counts.

    Where the unit was idle or at its limit the temperature follows from the heat, and is compared. Where the
    thermostat held the air the heat follows from the temperature: then that heat is compared. An open door is
    met with heat at once, and a fit that took this heat for the cause would learn that heat does little. A floor
    answers hours later: there heat is the cause throughout.
    """
    of_air, of_mass, driven, of_kw, keep, air, mass, heat, warmed = _runs(figures, data, starts, heated=False)
    kelvins, kilowatts = np.full((2, starts.size, HORIZON), np.nan)
    for k in range(1, HORIZON + 1):
        at = starts + k
        held = (data.held[at] > 0.5) & (figures.slab == 0.0)
        free = of_air[at] * air + of_mass[at] * mass + driven[at]
        kilowatts[held, k - 1] = ((data.air[at] - free) / of_kw[at] - heat[at])[held]
        air = np.where(held, data.air[at], free + of_kw[at] * heat[at])
        kelvins[~held, k - 1] = (air - data.air[at])[~held]
        mass = keep * mass + (1.0 - keep) * air + warmed[at]
    return kelvins, kilowatts
