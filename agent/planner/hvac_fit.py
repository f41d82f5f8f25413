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

import numpy as np

from agent.config.site import Unit, ZoneModel
from agent.planner.hvac_balance import (
    DAY,
    HORIZON,
    WINDOW_EVERY,
    Data,
    Figures,
    Starts,
    half_open_loop,
    open_loop,
)
from agent.planner.hvac_model import FloatArray

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
    "wind": 1 / 700,  # a twentieth of the losses per m/s
}
LIKELY_TAU_H = 24.0
TAU_LIMITS_H = (3.0, 100.0)  # a mass slower than weeks of data cannot be told from a source of heat
# A floor that heats: the screed moves the air more than walls do, and follows it within the working day.
SLAB_MASS_FACTOR, SLAB_TAU_H = 3.0, 10.0
LIKELY_FACTOR = 2.5  # one standard deviation of the figures that are known by their logarithm
WALLS_PER_KW = 1 / 100
TOLERATED_SHARE = 0.15  # of the heat that a thermostat calls for
BELIEVED_SHARE = 0.5  # one standard deviation, in units of what is tolerated
SLAB_SHARE_LIMITS = (0.3, 1.0)
DRIFT_WEIGHT = 0.3  # what an open door heats away drifts in open loop: little weight, but some
WITNESSES_PER_DAY = 4.0  # independent pieces of news in a day of open-loop errors, which overlap


def likely(unit: Unit, zones: int) -> Figures:
    """What the size of a unit that serves so many zones says of one of them."""
    size_kw = max(unit.cooling_kw, unit.heating_kw, 1.0) / max(zones, 1)
    ua, vent, mass, sun, people, always, capacity, wind = (
        share * size_kw for share in LIKELY_PER_KW.values()
    )
    return Figures(ua, vent, mass, sun, people, always, capacity, LIKELY_TAU_H, wind=wind)


def likely_slab(plain: Figures) -> Figures:
    """The same zone, were it heated by its floor."""
    return plain._replace(mass=SLAB_MASS_FACTOR * plain.mass, tau_h=SLAB_TAU_H, slab=1.0)


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
    windy, floor = data.wind is not None, figures.slab > 0.0
    slab_at = 8 + len(figures.walls)
    expected = np.array([0.0] * 4 + [1.0] * 4 + [0.0] * len(figures.walls) + [1.0] * floor + [1.0] * windy)
    weight = np.sqrt(WITNESSES_PER_DAY * WINDOW_EVERY / DAY / 24.0) / BELIEVED_SHARE

    def packed(given: Figures) -> FloatArray:
        logs = np.log(np.maximum([given.ua, given.mass, given.capacity, given.tau_h], 1e-9) / by_log)
        rest = np.array([given.vent, given.sun, given.people, given.always]) / linear
        blown = [given.wind / prior.wind] * windy
        more = [given.slab] * floor + blown
        return np.concatenate([logs / np.log(LIKELY_FACTOR), rest, np.array(given.walls) / wall, more])

    def unpacked(x: FloatArray) -> Figures:
        ua, mass, capacity, tau_h = (by_log * LIKELY_FACTOR ** x[:4]).tolist()
        vent, sun, people, always = (linear * x[4:8]).tolist()
        walls = tuple((wall * x[8:slab_at]).tolist())
        blown = prior.wind * float(x[-1]) if windy else 0.0
        slab = float(x[slab_at]) if floor else 0.0
        return Figures(ua, vent, mass, sun, people, always, capacity, tau_h, walls, blown, slab)

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
    low[3], high[3] = np.log(np.array(TAU_LIMITS_H) / prior.tau_h) / np.log(LIKELY_FACTOR)
    if floor:
        low[slab_at], high[slab_at] = SLAB_SHARE_LIMITS
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
        model.wind_kw_per_k_m_s,
        model.slab_share,
    )


def model_of(
    figures: Figures,
    neighbours: tuple[str, ...],
    lag: float,
    droops: Mapping[str, float],
    usual_wind_m_s: float = 0.0,
) -> ZoneModel:
    """Figures as a zone's model; `usual_wind_m_s` is what it reckons with where the wind is not known."""
    walls = dict(zip(neighbours, figures.walls, strict=True))
    return ZoneModel(
        air_kwh_per_k=figures.capacity,
        mass_kwh_per_k=figures.mass * figures.tau_h,
        ua_kw_per_k=max(figures.ua, 1e-6),
        mass_ua_kw_per_k=figures.mass,
        slab_share=figures.slab,
        sun_kw_per_w_m2=figures.sun,
        gain_occupied_kw=figures.people,
        gain_always_kw=figures.always,
        vent_ua_kw_per_k=figures.vent,
        neighbours_kw_per_k={
            name: round(wall, 6) for name, wall in walls.items() if wall > 1e-3 * figures.ua
        },
        heat_lag_share=lag,
        wind_kw_per_k_m_s=figures.wind,
        usual_wind_m_s=usual_wind_m_s,
        **droops,
    )
