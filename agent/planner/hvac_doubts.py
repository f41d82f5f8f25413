"""Why a past cannot support a zone's model: what is missing, stands still, or cannot be in the unit it is said to be in.

Each reason is for whoever exported the past: what was seen, and what would help.
"""

from __future__ import annotations

import numpy as np

from agent.config.site import Hvac, Unit
from agent.planner.hvac_balance import DAY
from agent.planner.hvac_model import BoolArray, FloatArray
from agent.planner.hvac_past import STEP_S, SitePast, UnitPast

LEAST_DAYS = 7.0
LEAST_SPREAD_K = 0.15
FROZEN_STEPS = 24
WORST_FROZEN_SHARE = 0.3
# Rooms that people work in are below, in degF above; outdoors no place on earth has such a median.
FAHRENHEIT_FROM_DEGC = 45.0
WARMER_OUTDOORS_K = 3.0  # than in a zone that is being heated,
MOST_WARMER_SHARE = 0.5  # in most of the steps in which it is
LEAST_HEATED_STEPS = 48
MOST_NAMEPLATES = 5.0  # of a unit's electrical power; a meter of the whole house, or W told as kW
POWER_QUANTILE = 0.99


def unfit(hvac: Hvac, name: str, past: SitePast, unit: UnitPast | None) -> str:
    """Why the past of zone `name` cannot support a model; "" where it may. `unit` as its past has it, None without."""
    zone = hvac.zones[name]
    air = past.temp_degc[name]
    if not np.isfinite(past.outdoor_degc).any():
        return "the outdoor temperature is not in the past"
    if not np.isfinite(air).any():
        return f"its temperature {zone.temp} is not in the past"
    for what, values in (
        (f"its temperature {zone.temp}", air),
        ("the outdoor temperature", past.outdoor_degc),
        (f"its set-point {zone.heating_setpoint}", past.heating_set_degc.get(name)),
        (f"its set-point {zone.cooling_setpoint}", past.cooling_set_degc.get(name)),
    ):
        if values is None or not np.isfinite(values).any():
            continue
        if (middle := float(np.nanmedian(values))) > FAHRENHEIT_FROM_DEGC:
            return f"{what} has a median of {middle:.0f}: that is in degF, write degC"
    if unit is None:
        return f"the power of unit {zone.unit} is not in the past: its heat is unknown"
    why = _wrong_power(hvac.units[zone.unit], zone.unit, past) or _sparse(zone.temp, air)
    if why:
        return why
    heat = unit.heat_kw[name]
    whole = np.isfinite(air) & np.isfinite(past.outdoor_degc) & np.isfinite(heat)
    days = float(whole.sum()) / DAY
    if days < LEAST_DAYS:
        return f"only {days:.1f} days with temperature, weather and power: {LEAST_DAYS:g} are needed"
    still = np.abs(np.diff(air)) < 1e-6
    if _longest_run(still) >= FROZEN_STEPS and float(still.mean()) > WORST_FROZEN_SHARE:
        return f"the temperature stands still {100 * still.mean():.0f} % of the time: a frozen sensor"
    heated = whole & (np.nan_to_num(heat) > 0)
    warmer = heated & (past.outdoor_degc > air + WARMER_OUTDOORS_K)
    if heated.sum() >= LEAST_HEATED_STEPS and warmer.sum() > MOST_WARMER_SHARE * heated.sum():
        return (
            f"it is heated while it is warmer outdoors, {100 * warmer.sum() / heated.sum():.0f} % of the time: is the "
            "outdoor temperature in degF, or are two columns swapped?"
        )
    if float(np.nanstd(air)) < LEAST_SPREAD_K:
        return f"the temperature hardly varies ({np.nanstd(air):.2f} K): let the set-back work, or write [hvac.excitation]"
    return ""


def _wrong_power(unit: Unit, name: str, past: SitePast) -> str:
    """Power that the unit cannot draw."""
    power = past.power_kw[name]
    nameplate_kw = max(unit.cooling_kw / unit.cooling_cop, unit.heating_kw / unit.heating_cop) + unit.fan_kw
    most_kw = float(np.nanquantile(power, POWER_QUANTILE))
    if most_kw > MOST_NAMEPLATES * max(nameplate_kw, 1.0):
        return (
            f"the power of unit {name} reaches {most_kw:.0f} kW, by its nameplate {nameplate_kw:.0f} kW: is it in W, or of "
            "more than this unit?"
        )
    return ""


def _sparse(tag: str, air: FloatArray) -> str:
    """Rows that come less often than the grid's steps."""
    known = np.flatnonzero(np.isfinite(air))
    if known.size < 3 or (apart := float(np.median(np.diff(known)))) < 2:
        return ""
    minutes = STEP_S / 60.0
    return f"{tag} has a value each {apart * minutes:.0f} min: one each {minutes:.0f} min is needed"


def _longest_run(flags: BoolArray) -> int:
    longest = run = 0
    for flag in flags.tolist():
        run = run + 1 if flag else 0
        longest = max(longest, run)
    return longest
