"""The least that a unit draws while it runs, learned from its meter: what a billing interval sees of a little heat.

A plan may ask a unit of 60 kW for 5 kW over an hour. A unit that switches, or turns down to a quarter and no lower,
gives them in one run, and a demand charge counts the quarter hour of that run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from agent.config.site import Hvac
from agent.planner.hvac_model import FloatArray
from agent.planner.hvac_past import LEAST_COIL_SHARE, SitePast, UnitPast, heating_side

LEAST_LOOKS = 12
QUANTILE = 0.1  # of the looks within runs: some lie half in one, and noise does the rest


class LeastDraw(NamedTuple):
    """Electrical power of a unit at its least while it runs, fan left out, [kW]; 0 where the past does not show it."""

    heating_kw: float = 0.0
    cooling_kw: float = 0.0


UNSEEN = LeastDraw()


def least_draws(hvac: Hvac, past: SitePast, units: Mapping[str, UnitPast | None]) -> dict[str, LeastDraw]:
    """Of each unit whose power was looked at within the quarter hours (`SitePast.looks_kw`)."""
    out = {}
    for name, unit in units.items():
        looks = past.looks_kw.get(name)
        if unit is None or looks is None:
            continue
        zones = {zone: settings for zone, settings in hvac.zones.items() if settings.unit == name}
        people = np.maximum.reduce([past.occupied[zone] for zone in zones]) > 0.5
        settings = hvac.units[name]
        nameplate = max(
            settings.cooling_kw / settings.cooling_cop, settings.heating_kw / settings.heating_cop
        )
        # Without people the fan runs with the coil.
        coil = looks - unit.standby_kw - np.where(people, unit.fan_kw, 0.0)[:, None]
        runs = (coil > LEAST_COIL_SHARE * nameplate).ravel()
        inside = np.zeros(runs.size, dtype=np.bool_)
        inside[1:-1] = runs[1:-1] & runs[:-2] & runs[2:]
        heats = np.repeat(heating_side(hvac, zones, past), coil.shape[1])
        each = coil.ravel()
        out[name] = LeastDraw(_least(each[inside & heats]), _least(each[inside & ~heats]))
    return out


def _least(coil_kw: FloatArray) -> float:
    return float(np.quantile(coil_kw, QUANTILE)) if coil_kw.size >= LEAST_LOOKS else 0.0
