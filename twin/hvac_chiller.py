"""A chiller plant: cold water for air handlers at a supply set-point, pump, timers, and less power for warmer water."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from agent.config.site import Unit
from agent.planner.hvac_model import cooling_cop
from twin.hvac_air_handler import AirHandlerTwin
from twin.hvac_panel import UnitPanel, ZoneThermostat
from twin.hvac_timer import CompressorTimer

START_DELAY_S = 120.0  # pump before compressor, and the flow switch must have closed
COP_PER_K = 0.025  # gained by each kelvin of warmer water
LEAST_SHARE = 0.15  # hot-gas bypass below
WATER_LAG_S = 300.0
STANDING_DEGC = 16.0  # where the water drifts to when the compressor stands


class ChillerTwin:
    """One chiller and the air handlers on its water. Has no zones of its own."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.panel = UnitPanel(unit, {})
        self.energy_kwh = 0.0
        self.power_kw = 0.0
        self.supply_degc: float | None = STANDING_DEGC
        self.fan_on = False  # here: the pump
        self.load_kw = 0.0
        self.coils: Sequence[AirHandlerTwin] = ()
        self._timer = CompressorTimer(unit, START_DELAY_S)
        self._set_degc = self._own_degc

    @property
    def _own_degc(self) -> float:
        return self.unit.supply_low_degc if self.unit.supply_low_degc is not None else 7.0

    @property
    def thermostats(self) -> Mapping[str, ZoneThermostat]:
        return self.panel.thermostats

    @property
    def enable(self) -> bool:
        return self.panel.enable

    @property
    def starts(self) -> int:
        return self._timer.starts

    @starts.setter
    def starts(self, value: int) -> None:
        self._timer.starts = value

    @property
    def supply_set(self) -> float:
        """The water set-point that stands in its controller, [degC]."""
        return self._set_degc

    def write_supply(self, value: float) -> bool:
        """Refused where water would freeze or cool nothing."""
        if not 4.0 <= value <= 20.0:
            return False
        self._set_degc = value
        return True

    @property
    def points(self) -> Mapping[str, float | None]:
        """What its controller shows beside the roles of site.toml, by point name."""
        return {
            "running": float(self._timer.running),
            "supply_temp": self.supply_degc,
            "return_temp": self._return_degc(),
            "pump": float(self.fan_on),
        }

    def step(
        self,
        step_s: float,
        now_s: float,
        temps_degc: Mapping[str, float],  # noqa: ARG002 -- it sees only its water
        occupied: Mapping[str, bool],  # noqa: ARG002
        outdoor_degc: float,
    ) -> dict[str, float]:
        """Live for `step_s` on what the coils took; no heat into any zone."""
        if self.panel.follow(now_s, {}):
            self._set_degc = self._own_degc
        self.load_kw = sum(coil.coil_kw for coil in self.coils)
        wanted = self.enable and any(coil.fan_on and coil.enable for coil in self.coils)
        asked = wanted and (self.load_kw > 0.02 * self.unit.cooling_kw or not self._timer.running)
        running = self._timer.step(step_s, called=asked)
        self.fan_on = wanted or running
        water = self.supply_degc if self.supply_degc is not None else STANDING_DEGC
        target = max(self._set_degc, self._reached()) if running else STANDING_DEGC
        self.supply_degc = target + (water - target) * math.exp(-step_s / WATER_LAG_S)
        for coil in self.coils:
            coil.water_degc = self.supply_degc if self.supply_degc < 0.9 * STANDING_DEGC else None
        self.power_kw = self.unit.fan_kw if self.fan_on else 0.0
        if running:
            cop = float(cooling_cop(self.unit, np.array([outdoor_degc]))[0])
            cop *= 1.0 + COP_PER_K * (self.supply_degc - 7.0)
            self.power_kw += max(self.load_kw, LEAST_SHARE * self.unit.cooling_kw) / cop
        self.energy_kwh += self.power_kw * step_s / 3600.0
        return {}

    def _reached(self) -> float:
        """Overloaded, the water comes warmer than it should."""
        beyond = self.load_kw / max(self.unit.cooling_kw, 1e-9) - 1.0
        return self._set_degc + max(0.0, beyond) * 5.0

    def _return_degc(self) -> float | None:
        if self.supply_degc is None:
            return None
        return self.supply_degc + 5.0 * self.load_kw / max(self.unit.cooling_kw, 1e-9)
