"""Figures of a two-node zone that miss least, held near what the size of its unit makes likely.

A zone in operation is a closed loop: an open door is met with heat at once, and whoever takes the measured heat
for a cause learns that heat does little. Least squares on the equation of the air, non-negative ones too, and on
open-loop temperatures did so here: capacities twice, losses three times the truth. So the thermostat is believed:
where it held the air, temperature is the cause and the heat is compared; where the unit was idle or at its limit,
heat is the cause and the temperature is compared. All in runs of a day, over figures that cannot be negative.
A zone that is held still may fit many buildings. One more witness breaks the tie: whoever bought the unit sized
it for the zone, and that holds within a factor of three (`likely`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Hvac, Unit, ZoneModel
from agent.planner.hvac_model import FloatArray
from agent.planner.hvac_past import STEP_H, STEP_S, SitePast, UnitPast, bridged
from agent.planner.hvac_residual import unexplained, unexplained_course

DAY = 96
HORIZON = DAY
WINDOW_EVERY = 12  # runs begin every three hours
# Figures of a zone over the thermal power of its unit: full load at a difference of about 20 K, an air node
# that full power moves by 3 K a quarter hour, a mass behind it that follows in a day.
LIKELY_PER_KW = {
    "ua": 1 / 35,
    "vent": 1 / 120,
    "mass": 1 / 20,
    "sun": 1 / 4000,
    "people": 1 / 8,
    "always": 1 / 40,
    "capacity": 1 / 12,
}
LIKELY_TAU_H = 24.0
TAU_LIMITS_H = (3.0, 100.0)  # a mass slower than weeks of data cannot be told from a source of heat
LIKELY_FACTOR = 2.5  # one standard deviation of the figures that are known by their logarithm
WALLS_PER_KW = 1 / 100
LEAST_WORK_SHARE = 0.02
FULL_SHARE = 0.9  # of a unit's power; above it the air goes where it will
TOLERATED_SHARE = 0.15  # of the heat that a thermostat calls for
BELIEVED_SHARE = 0.5  # one standard deviation, in units of what is tolerated
DRIFT_WEIGHT = 0.3  # what an open door heats away drifts in open loop: little weight, but some
WITNESSES_PER_DAY = 4.0  # independent pieces of news in a day of open-loop errors, which overlap

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


def likely(unit: Unit, zones: int) -> Figures:
    """What the size of a unit that serves so many zones says of one of them."""
    size_kw = max(unit.cooling_kw, unit.heating_kw, 1.0) / max(zones, 1)
    ua, vent, mass, sun, people, always, capacity = (share * size_kw for share in LIKELY_PER_KW.values())
    return Figures(ua, vent, mass, sun, people, always, capacity, LIKELY_TAU_H)


def paired(hvac: Hvac, name: str, past: SitePast, unit: UnitPast, lag: float, *, walls: bool) -> Data:
    """Inputs at k such that they move the air from k-1 to k."""

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


def starts_of(data: Data, first: int, last: int) -> Starts:
    """Steps from which a run of a whole horizon has no gap and ends before `last`."""
    whole = np.isfinite(data.air) & np.isfinite(data.outdoor) & np.isfinite(data.heat)
    gaps = np.concatenate([[0], np.cumsum(~whole)])
    begins = np.arange(max(first, 0), last - HORIZON, WINDOW_EVERY)
    return np.asarray(begins[gaps[begins + HORIZON + 1] == gaps[begins]], dtype=np.int64)


def residual_kw(figures: Figures, data: Data) -> FloatArray:
    """Heat that each step of the past lacks for the air to have done what it did, [kW]; NaN where unknown."""
    h = STEP_H / figures.capacity
    keep = 1.0 / (1.0 + STEP_H / figures.tau_h)
    loss = figures.ua + figures.vent * data.people
    total = 1.0 + h * (loss + figures.mass * keep + sum(figures.walls))
    drive = loss * data.outdoor + figures.sun * data.sun + figures.people * data.people + figures.always
    for wall, near in zip(figures.walls, data.neighbours.values(), strict=True):
        drive = drive + wall * near
    mass = mass_course(data.air, figures.tau_h)
    out = np.full(data.air.size, np.nan)
    out[1:] = (data.air[1:] * total[1:] - data.air[:-1]) / h - figures.mass * keep * mass[:-1]
    out[1:] -= drive[1:] + data.heat[1:]
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


def open_loop(figures: Figures, data: Data, starts: Starts, more_kw: FloatArray | None = None) -> FloatArray:
    """Errors of open-loop runs, one row a start, one column a step of the horizon, [K]; `more_kw` alike is heat."""
    h = STEP_H / figures.capacity
    keep = 1.0 / (1.0 + STEP_H / figures.tau_h)
    loss = figures.ua + figures.vent * data.people
    total = 1.0 + h * (loss + figures.mass * keep + sum(figures.walls))
    drive = loss * data.outdoor + figures.sun * data.sun + figures.people * data.people + figures.always
    drive = drive + data.heat
    for wall, near in zip(figures.walls, data.neighbours.values(), strict=True):
        drive = drive + wall * near
    of_air, of_mass, driven = 1.0 / total, h * figures.mass * keep / total, h * drive / total
    air = data.air[starts]
    mass = mass_course(data.air, figures.tau_h)[starts]
    errors = np.empty((starts.size, HORIZON))
    for k in range(1, HORIZON + 1):
        at = starts + k
        air = of_air[at] * air + of_mass[at] * mass + driven[at]
        if more_kw is not None:
            air = air + h * more_kw[:, k - 1] / total[at]
        mass = keep * mass + (1.0 - keep) * air
        errors[:, k - 1] = air - data.air[at]
    return errors


def half_open_loop(figures: Figures, data: Data, starts: Starts) -> tuple[FloatArray, FloatArray]:
    """Errors of runs of a day in which the thermostat is believed, [K] and [kW], NaN where the other one counts.

    Where the unit was idle or at its limit the temperature follows from the heat, and is compared. Where the
    thermostat held the air the heat follows from the temperature: then that heat is compared. An open door is
    met with heat at once, and a fit that took this heat for the cause would learn that heat does little.
    """
    h = STEP_H / figures.capacity
    keep = 1.0 / (1.0 + STEP_H / figures.tau_h)
    loss = figures.ua + figures.vent * data.people
    total = 1.0 + h * (loss + figures.mass * keep + sum(figures.walls))
    drive = loss * data.outdoor + figures.sun * data.sun + figures.people * data.people + figures.always
    for wall, near in zip(figures.walls, data.neighbours.values(), strict=True):
        drive = drive + wall * near
    of_air, of_mass, driven, of_kw = (
        1.0 / total,
        h * figures.mass * keep / total,
        h * drive / total,
        h / total,
    )
    heat = np.nan_to_num(data.heat)
    air = data.air[starts]
    mass = mass_course(data.air, figures.tau_h)[starts]
    kelvins, kilowatts = np.full((2, starts.size, HORIZON), np.nan)
    for k in range(1, HORIZON + 1):
        at = starts + k
        held = data.held[at] > 0.5
        free = of_air[at] * air + of_mass[at] * mass + driven[at]
        kilowatts[held, k - 1] = ((data.air[at] - free) / of_kw[at] - heat[at])[held]
        air = np.where(held, data.air[at], free + of_kw[at] * heat[at])
        kelvins[~held, k - 1] = (air - data.air[at])[~held]
        mass = keep * mass + (1.0 - keep) * air
    return kelvins, kilowatts


def missed(figures: Figures, data: Data, starts: Starts) -> FloatArray:
    """Errors of half-open runs in units of what is tolerated of them; hourly, nought where nothing counts."""
    kelvins, kilowatts = half_open_loop(figures, data, starts)
    worked = np.abs(data.heat[data.held > 0.5])
    size_kw = float(np.sqrt(np.mean(np.square(worked)))) if worked.size else 1.0
    by_kelvin = kelvins / tolerated_k(np.arange(1, HORIZON + 1) / 4.0)
    by_kilowatt = kilowatts / (TOLERATED_SHARE * size_kw)
    hours = []
    for errors in (by_kelvin, by_kilowatt):
        blocks = errors.reshape(errors.shape[0], -1, 4)
        hours.append(np.nan_to_num(blocks).sum(axis=2) / 4.0)
    return np.concatenate(hours, axis=1)


def loss_of(figures: Figures, data: Data, starts: Starts) -> float:
    """Root mean square of what is missed."""
    return rms(missed(figures, data, starts))


def fitted(figures: Figures, prior: Figures, data: Data, starts: Starts) -> Figures:
    """The figures moved to where runs of a day, and the prior, are missed least; never below nought."""
    from scipy.optimize import least_squares

    if not starts.size:
        return figures
    # By logarithm: what cannot be nought. Else in units of what is likely, from nought up.
    by_log = np.array([prior.ua, prior.mass, prior.capacity, prior.tau_h])
    linear = np.array([prior.vent, prior.sun, prior.people, prior.always])
    wall = prior.capacity * LIKELY_PER_KW["capacity"] ** -1 * WALLS_PER_KW
    expected = np.array([0.0] * 4 + [1.0] * 4 + [0.0] * len(figures.walls))
    weight = np.sqrt(WITNESSES_PER_DAY * WINDOW_EVERY / DAY / 24.0) / BELIEVED_SHARE

    def packed(given: Figures) -> FloatArray:
        logs = np.log(np.maximum([given.ua, given.mass, given.capacity, given.tau_h], 1e-9) / by_log)
        rest = np.array([given.vent, given.sun, given.people, given.always]) / linear
        return np.concatenate([logs / np.log(LIKELY_FACTOR), rest, np.array(given.walls) / wall])

    def unpacked(x: FloatArray) -> Figures:
        ua, mass, capacity, tau_h = (by_log * LIKELY_FACTOR ** x[:4]).tolist()
        vent, sun, people, always = (linear * x[4:8]).tolist()
        return Figures(ua, vent, mass, sun, people, always, capacity, tau_h, tuple((wall * x[8:]).tolist()))

    def residual(x: FloatArray) -> FloatArray:
        found = unpacked(x)
        drift = open_loop(found, data, starts)[:, 3::4] / tolerated_k(
            np.arange(1, HORIZON // 4 + 1, dtype=np.float64)
        )
        return np.concatenate(
            [
                weight * missed(found, data, starts).ravel(),
                DRIFT_WEIGHT * weight * drift.ravel(),
                x - expected,
            ]
        )

    low = np.array([-4.0] * 4 + [0.0] * (expected.size - 4))
    high = np.array([4.0] * 4 + [8.0] * (expected.size - 4))
    low[3], high[3] = np.log(np.array(TAU_LIMITS_H) / LIKELY_TAU_H) / np.log(LIKELY_FACTOR)
    first = np.clip(packed(figures), low + 1e-4, high - 1e-4)
    done = least_squares(residual, first, bounds=(low, high), x_scale=1.0, max_nfev=25)
    return unpacked(done.x)


def tolerated_k(lead_h: FloatArray) -> FloatArray:
    """The error that counts as one: 0.3 K at once, 0.8 K a day ahead."""
    return 0.3 + 0.5 * lead_h / 24.0


def rms(errors: FloatArray) -> float:
    """Root mean square; infinite where there is nothing."""
    return float(np.sqrt(np.mean(np.square(errors)))) if errors.size else float("inf")


def figures_of(model: ZoneModel, neighbours: tuple[str, ...]) -> Figures:
    """A standing model as figures."""
    massive = model.mass_ua_kw_per_k > 0
    return Figures(
        model.ua_kw_per_k,
        model.vent_ua_kw_per_k,
        model.mass_ua_kw_per_k,
        model.sun_kw_per_w_m2,
        model.gain_occupied_kw,
        model.gain_always_kw,
        model.air_kwh_per_k,
        model.mass_kwh_per_k / model.mass_ua_kw_per_k if massive else 1.0,
        tuple(model.neighbours_kw_per_k[name] for name in neighbours),
    )


def model_of(
    figures: Figures, neighbours: tuple[str, ...], lag: float, droops: Mapping[str, float]
) -> ZoneModel:
    """Figures as a zone's model."""
    walls = dict(zip(neighbours, figures.walls, strict=True))
    return ZoneModel(
        air_kwh_per_k=figures.capacity,
        mass_kwh_per_k=figures.mass * figures.tau_h,
        ua_kw_per_k=max(figures.ua, 1e-6),
        mass_ua_kw_per_k=figures.mass,
        sun_kw_per_w_m2=figures.sun,
        gain_occupied_kw=figures.people,
        gain_always_kw=figures.always,
        vent_ua_kw_per_k=figures.vent,
        neighbours_kw_per_k={
            name: round(wall, 6) for name, wall in walls.items() if wall > 1e-3 * figures.ua
        },
        heat_lag_share=lag,
        **droops,
    )
