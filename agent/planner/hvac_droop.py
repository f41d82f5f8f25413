"""How far a thermostat lets the air slip beyond its set-points, learned from the past, and told that much earlier.

A proportional thermostat holds the air further beyond its set-point the more it has to give (slope); one that
switches on and off lets it swing about it (droop, the swing within a quarter hour included).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agent.config.site import Zone, ZoneModel
from agent.planner.hvac_model import BoolArray, FloatArray
from agent.planner.hvac_past import SitePast, UnitPast, setpoints_in_force

# The air is beyond the set-point by less than the droop for this share of the time. A tenth of a kelvin on the
# set-point costs about 0.1 kWh an hour in a hall of 40 kW, and a tenth of a kelvin out of comfort 2 kWh an hour: there a
# swing may pass the edge of the band for a twentieth of the time, in larger halls, whose comfort weighs more, for less.
DROOP_QUANTILE = 0.97
LEAST_STEPS = 12  # quarter hours: fewer are one morning, and its looks alike
CYCLE_STEPS = 4  # before and after a run a unit stands by within its thermostat's dead-band
LEAST_SLOPE_SAMPLES = 48
LEAST_SHARE_SPREAD = 0.04
LEAST_CORRELATION = 0.5  # one that switches on and off shows less: its air swings whatever it gives
DROOP_LIMITS_K = (-0.8, 0.6)
MOST_SLOPE_K = 1.5
FULL_SHARE = 0.95
DEFAULT_DROOP_K = 0.1
LOW_SHARE = 0.3  # below, units start and stop: the air swings by the dead-band, whatever the line says
USUAL_SHARE = 0.5  # of its output, where a plan does not say what a unit will give
SLOPE_STEP_K = 0.2  # a set-point does not follow each breath of the load


def droops(name: str, zone: Zone, past: SitePast, unit: UnitPast) -> dict[str, float]:
    """The droops and slopes of a zone's model, [K], by their names there."""
    low, high = setpoints_in_force(name, zone, past)
    heat, air = unit.heat_kw[name], past.temp_degc[name]
    out: dict[str, float] = {}
    seen: dict[str, bool] = {}
    for kind, setpoint, sign, capacity in (
        ("heating", low, 1.0, unit.heating_kw),
        ("cooling", high, -1.0, unit.cooling_kw),
    ):
        settled = np.zeros(air.size, dtype=np.bool_)
        settled[3:] = (np.abs(setpoint[3:] - setpoint[:-3]) < 0.05) & (past.occupied[name][3:] > 0.5)
        settled &= np.isfinite(air)
        share = sign * heat / max(capacity, 1e-6)
        rows = settled & (share > 0.02) & (share < FULL_SHARE)
        # A unit that starts and stops rests while the air slips from where it stopped to where it starts again.
        rests = settled & (np.abs(share) <= 0.02) & _near(rows, CYCLE_STEPS)
        beyond = sign * (setpoint[rows] - air[rows])
        slope = _slope_k(share[rows], beyond)
        looks = past.looks_degc.get(name, air[:, None])
        swings = sign * (setpoint[rows, None] - looks[rows])
        resting = sign * (setpoint[rests, None] - looks[rests])
        resting = resting[np.abs(resting) < 1.0]
        rest = (swings - slope * share[rows, None])[np.abs(swings) < 1.0]
        if slope == 0.0:
            rest = np.concatenate([rest, resting])
        droop, swing = DEFAULT_DROOP_K, 0.0
        seen[kind] = int(rows.sum() + rests.sum()) >= LEAST_STEPS and rest.size >= LEAST_STEPS
        if seen[kind]:
            half, most = np.quantile(rest, (0.5, DROOP_QUANTILE))
            droop, swing = float(np.clip(most, *DROOP_LIMITS_K)), float(np.clip(most - half, 0.0, 1.0))
        low_looks = swings[(share[rows] < LOW_SHARE)[:, None] & (np.abs(swings) < 1.0)]
        low_looks = np.concatenate([low_looks, resting])
        least = DEFAULT_DROOP_K if slope > 0.0 else -1.0
        if slope > 0.0 and low_looks.size >= LEAST_SLOPE_SAMPLES:
            least = float(np.clip(np.quantile(low_looks, DROOP_QUANTILE), *DROOP_LIMITS_K))
        out |= {
            f"{kind}_{what}_k": round(value, 2)
            for what, value in (("droop", droop), ("slope", slope), ("swing", swing), ("least", least))
        }
    # One thermostat, one dead-band: the side that has not been seen slips as far as the other, at the least.
    for kind, other in (("heating", "cooling"), ("cooling", "heating")):
        if seen[other] and not seen[kind]:
            out[f"{kind}_droop_k"] = max(DEFAULT_DROOP_K, out[f"{other}_droop_k"], out[f"{other}_least_k"])
    return out


def _near(rows: BoolArray, steps: int) -> BoolArray:
    """Steps no further than `steps` from one of `rows`."""
    return np.asarray(np.convolve(rows, np.ones(2 * steps + 1), mode="same") > 0.5, dtype=np.bool_)


def _slope_k(share: FloatArray, beyond_k: FloatArray) -> float:
    """Kelvins further beyond the set-point from no to full output; 0 where the past does not show it."""
    near = np.abs(beyond_k) < 1.0
    share, beyond_k = share[near], beyond_k[near]
    if share.size < LEAST_SLOPE_SAMPLES or float(share.std()) < LEAST_SHARE_SPREAD:
        return 0.0
    if float(beyond_k.std()) < 1e-6 or float(np.corrcoef(share, beyond_k)[0, 1]) < LEAST_CORRELATION:
        return 0.0
    slope = float(np.polyfit(share, beyond_k, 1)[0])
    return float(np.clip(slope, 0.0, MOST_SLOPE_K))


class PlannedAir(NamedTuple):
    """What a plan says of a zone, by step: output over capacity (negative in cooling), air at the end [degC]."""

    share: FloatArray
    air_degc: FloatArray
    air_now_degc: float


def ramp_k(model: ZoneModel, planned: PlannedAir, people: BoolArray) -> tuple[FloatArray, FloatArray]:
    """How much later a set-point is told while the air is led up (heating) or down (cooling) without people, [K].

    A proportional thermostat gives by how far the air is from its set-point. Told at once where the air shall be
    at the end of a step, it gives more than planned at first, and so in each step: the peak that the plan spread
    comes back. Told where the air shall be in the middle, it gives what was planned. Its swing is no matter there.
    """
    rise = 0.5 * np.diff(planned.air_degc, prepend=planned.air_now_degc)
    led = ~people
    up = led & (rise > 0.0) & (planned.share > 0.0) & (planned.share < FULL_SHARE)
    down = led & (rise < 0.0) & (planned.share < 0.0) & (planned.share > -FULL_SHARE)
    # One that switches on and off gives all or nothing either way: told later, it would only be late.
    heats = min(1.0, model.heating_slope_k) * np.where(up, rise + model.heating_swing_k, 0.0)
    cools = min(1.0, model.cooling_slope_k) * np.where(down, -rise + model.cooling_swing_k, 0.0)
    return heats, cools


def droop_at(
    model: ZoneModel, share: FloatArray | None, steps: int, *, at_most: bool = False
) -> tuple[FloatArray, FloatArray]:
    """Droop in heating and in cooling by step, [K]; `share`: output over capacity, negative in cooling.

    Where that is not known both are reckoned at the usual output, or, `at_most`, at the one with the most of it. A step
    counts with what its neighbours give: plans are off by a quarter hour.
    """
    if share is None and at_most:
        least = droop_at(model, np.zeros(steps), steps)
        heating, cooling = (
            droop_at(model, sign * np.ones(steps), steps)[k] for k, sign in enumerate((1.0, -1.0))
        )
        return np.maximum(least[0], heating), np.maximum(least[1], cooling)
    if share is None:
        heats = cools = np.full(steps, USUAL_SHARE)
    else:
        padded = np.concatenate([share[:1], share, share[-1:]])
        around = np.stack([padded[:-2], padded[1:-1], padded[2:]])
        heats, cools = np.clip(around, 0.0, 1.0).max(axis=0), np.clip(-around, 0.0, 1.0).max(axis=0)
    return (
        _droop_k(heats, model.heating_droop_k, model.heating_slope_k, model.heating_least_k),
        _droop_k(cools, model.cooling_droop_k, model.cooling_slope_k, model.cooling_least_k),
    )


def _droop_k(share: FloatArray, droop_k: float, slope_k: float, least_k: float) -> FloatArray:
    line = droop_k + _stepped(slope_k * share)
    return np.where(share < LOW_SHARE, np.maximum(line, least_k), line)


def _stepped(kelvins: FloatArray) -> FloatArray:
    return np.asarray(np.round(kelvins / SLOPE_STEP_K) * SLOPE_STEP_K, dtype=np.float64)
