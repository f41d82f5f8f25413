"""An air handler with variable-air-volume boxes: one supply temperature for all zones, a flow for each.

The fan's power follows the cube of its flow. Outdoor air is mixed in, more of it while it is cold enough (economiser),
never under the share that people need. The cooling coil has a compressor of its own, or a chiller's water.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agent.config.site import Unit, Zone
from agent.planner.hvac_model import cooling_capacity_kw, cooling_cop, heating_cop
from twin.hvac_panel import UnitPanel, ZoneThermostat
from twin.hvac_timer import CompressorTimer
from twin.hvac_unit import CYCLING_LOSS, ECONOMISER_LOCKOUT_DEGC, FREEZE_DEGC, LEAST_SHARE

COIL_K = 11.0  # the fan is sized for full cooling at this much below the rooms
LEAST_FLOW = 0.3  # of a box while the fan runs: its minimum for fresh air
LEAST_FAN_SHARE = 0.15  # of full power, however little it moves
OUTDOOR_SHARE = 0.2
START_DELAY_S = 60.0
REHEAT_K = 1.0  # a box's heater is full on this far below its set-point
DESIGN_WATER_DEGC = 7.0
WATER_LOSS_PER_K = 0.06  # a coil gives less with warmer water


class AirHandlerTwin:
    """One air handler with its zones. `water_degc` is set by a chiller that feeds it; None is its own compressor."""

    def __init__(self, unit: Unit, zones: Mapping[str, Zone], *, on_water: bool = False) -> None:
        self.unit = unit
        self.panel = UnitPanel(unit, zones)
        self.energy_kwh = 0.0
        self.power_kw = 0.0
        self.fan_on = False
        self.supply_degc: float | None = None
        self.on_water = on_water
        self.water_degc: float | None = None
        self.coil_kw = 0.0  # cold taken from the air now, which a chiller has to make
        self.fan_share = 0.0
        self.outdoor_share = 0.0
        self.flow: dict[str, float] = dict.fromkeys(zones, 0.0)
        self._timer = CompressorTimer(unit, START_DELAY_S)
        self._set_degc = self._own_degc

    @property
    def _own_degc(self) -> float:
        """Its own programme: as cold as it was laid out for."""
        return self.unit.supply_low_degc if self.unit.supply_low_degc is not None else 13.0

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
        """The supply set-point that stands in its controller, [degC]."""
        return self._set_degc

    def write_supply(self, value: float) -> bool:
        """Refused where no air handler works."""
        if not 8.0 <= value <= 35.0:
            return False
        self._set_degc = value
        return True

    @property
    def points(self) -> Mapping[str, float | None]:
        """What its controller shows beside the roles of site.toml, by point name."""
        return {
            "running": float(self.fan_on),
            "supply_temp": self.supply_degc,
            "fan_share": self.fan_share,
            "outdoor_air": self.outdoor_share,
        }

    def step(
        self,
        step_s: float,
        now_s: float,
        temps_degc: Mapping[str, float],
        occupied: Mapping[str, bool],
        outdoor_degc: float,
    ) -> dict[str, float]:
        """Live for `step_s`; heat into each zone, [kW], negative in cooling."""
        if self.panel.follow(now_s, occupied):
            self._set_degc = self._own_degc
        people = any(occupied[name] for name in self.thermostats)
        hot, cold = self._signals(temps_degc)
        frost = any(temps_degc[name] < FREEZE_DEGC for name in self.thermostats)
        self.fan_on = frost or (self.enable and (people or any(hot.values()) or any(cold.values())))
        heats = dict.fromkeys(self.thermostats, 0.0)
        self.coil_kw = self.power_kw = 0.0
        if not self.fan_on:
            self.supply_degc, self.fan_share, self.outdoor_share = None, 0.0, 0.0
            self._timer.step(step_s, called=False)
            return heats
        self.flow = {name: LEAST_FLOW + (1.0 - LEAST_FLOW) * hot[name] for name in heats}
        per_zone = self.unit.cooling_kw / COIL_K / max(len(heats), 1)  # kW/K of air at full flow
        air = {name: per_zone * share for name, share in self.flow.items()}
        total = sum(air.values())
        back = sum(air[name] * temps_degc[name] for name in air) / total
        self.outdoor_share = self._outdoor(back, outdoor_degc, people=people)
        mixed = back + self.outdoor_share * (outdoor_degc - back)
        supply, electric_kw = self._coils(step_s, mixed, total, outdoor_degc)
        reheat_kw = self.unit.heating_kw / max(len(heats), 1)
        for name, kw_per_k in air.items():
            boost = reheat_kw * (1.0 if frost else cold[name])
            heats[name] = kw_per_k * (supply - temps_degc[name]) + boost
            electric_kw += boost / float(heating_cop(self.unit, np.array([outdoor_degc]))[0])
        self.supply_degc = supply
        self.fan_share = sum(self.flow.values()) / len(self.flow)
        self.power_kw = electric_kw + self.unit.fan_kw * max(LEAST_FAN_SHARE, self.fan_share**3)
        self.energy_kwh += self.power_kw * step_s / 3600.0
        return heats

    def _signals(self, temps_degc: Mapping[str, float]) -> tuple[dict[str, float], dict[str, float]]:
        """How far each zone asks for cooling and for heating, 0 to 1. A box is proportional, not a switch."""
        hot = {n: min(max(temps_degc[n] - t.cooling_degc, 0.0), 1.0) for n, t in self.thermostats.items()}
        cold = {
            n: min(max((t.heating_degc - temps_degc[n]) / REHEAT_K, 0.0), 1.0)
            for n, t in self.thermostats.items()
        }
        return hot, cold

    def _outdoor(self, back_degc: float, outdoor_degc: float, *, people: bool) -> float:
        """The share of outdoor air: what people need, more where it cools for nothing; locked out when warm."""
        least = OUTDOOR_SHARE if people else 0.0
        cools = self.unit.economiser and outdoor_degc < min(back_degc - 1.0, ECONOMISER_LOCKOUT_DEGC)
        if not cools or back_degc <= self._set_degc:
            return least
        return min(1.0, max(least, (back_degc - self._set_degc) / (back_degc - outdoor_degc)))

    def _coils(
        self, step_s: float, mixed: float, kw_per_k: float, outdoor_degc: float
    ) -> tuple[float, float]:
        """Supply temperature and electricity of the coils (a chiller's is its own)."""
        wanted_kw = kw_per_k * (mixed - self._set_degc)
        outdoor = np.array([outdoor_degc])
        if wanted_kw <= 0.0:
            self._timer.step(step_s, called=False)
            heat_kw = min(-wanted_kw, self.unit.heating_kw)
            return mixed + heat_kw / kw_per_k, heat_kw / float(heating_cop(self.unit, outdoor)[0])
        most_kw = float(cooling_capacity_kw(self.unit, outdoor)[0])
        if self.on_water:
            if self.water_degc is None:
                return mixed, 0.0
            warm_k = max(0.0, self.water_degc - DESIGN_WATER_DEGC)
            self.coil_kw = min(wanted_kw, self.unit.cooling_kw * max(0.0, 1.0 - WATER_LOSS_PER_K * warm_k))
            return mixed - self.coil_kw / kw_per_k, 0.0
        if not self._timer.step(step_s, called=wanted_kw > 0.1 * LEAST_SHARE * most_kw):
            return mixed, 0.0
        cold_kw = min(max(wanted_kw, LEAST_SHARE * most_kw), most_kw)
        loss = 1.0 - CYCLING_LOSS * (1.0 - cold_kw / most_kw)
        cop = float(cooling_cop(self.unit, outdoor)[0]) * (1.0 + 0.025 * (self._set_degc - self._own_degc))
        return mixed - cold_kw / kw_per_k, cold_kw / (cop * loss)
