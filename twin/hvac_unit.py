"""A rooftop unit with its own controller: thermostats, timers, dead-man and day programme."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from agent.config.site import Unit, Zone
from agent.planner.hvac_model import (
    cooling_capacity_kw,
    cooling_cop,
    heating_capacity_kw,
    heating_cop,
)
from twin.hvac_panel import UnitPanel, ZoneThermostat
from twin.hvac_timer import CompressorTimer

LEAST_SHARE = 0.25  # staged or inverter compressors give no less
COIL_K = 11.0  # supply to return air at full output: 10-12 K is what air conditioning is laid out for
START_DELAY_S = 60.0  # fan before compressor
CYCLING_LOSS = 0.12  # lost at least output against full output, by COP
# An economiser opens outdoor air while it is this much cooler than the room, and never above the lock-out.
ECONOMISER_K, ECONOMISER_LOCKOUT_DEGC = 2.0, 18.0
FREEZE_DEGC = 5.0  # below, a zone is heated whoever has switched the unit off


class UnitTwin:
    """One unit with its zones. `step` moves it; writes change registers at once."""

    def __init__(self, unit: Unit, zones: Mapping[str, Zone]) -> None:
        self.unit = unit
        self.panel = UnitPanel(unit, zones)
        self.energy_kwh = 0.0
        self.power_kw = 0.0
        self.fan_on = False
        self.supply_degc: float | None = None
        self.mode = 0  # of the compressor or burner: 1 heating, -1 cooling, 0 standing
        self._timer = CompressorTimer(unit, START_DELAY_S)
        self.free_share = 0.0  # of the cooling that outdoor air gives

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
    def points(self) -> Mapping[str, float | None]:
        """What its controller shows beside the roles of site.toml, by point name."""
        return {
            "running": float(self.fan_on),
            "supply_temp": self.supply_degc,
            "free_cooling": self.free_share,
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
        self.panel.follow(now_s, occupied)
        asked = {name: t.demand(temps_degc[name]) for name, t in self.thermostats.items()}
        if not self.enable:
            asked = {name: float(temps_degc[name] < FREEZE_DEGC) for name in asked}
        mode = self._next_mode(step_s, asked)
        self.free_share = self._outdoor_air(mode, temps_degc, outdoor_degc)
        calls = {name: abs(value) for name, value in asked.items() if value * mode > 0}
        heats, electric_kw = self._deliver(mode, calls, outdoor_degc)
        people = self.enable and any(occupied[name] for name in self.thermostats)
        self.fan_on = people or mode != 0 or self._timer.called_s > 0
        self.supply_degc = self._supply_degc(temps_degc, sum(heats.values()))
        self.power_kw = electric_kw + (self.unit.fan_kw if self.fan_on else 0.0)
        self.energy_kwh += self.power_kw * step_s / 3600.0
        return heats

    def _outdoor_air(self, mode: int, temps_degc: Mapping[str, float], outdoor_degc: float) -> float:
        """Share of the cooling that the economiser takes over."""
        if not self.unit.economiser or mode >= 0 or outdoor_degc > ECONOMISER_LOCKOUT_DEGC:
            return 0.0
        back = sum(temps_degc[name] for name in self.thermostats) / max(len(self.thermostats), 1)
        return min(1.0, max(0.0, (back - ECONOMISER_K - outdoor_degc) / COIL_K))

    def _supply_degc(self, temps_degc: Mapping[str, float], heat_kw: float) -> float:
        """Supply air: the return air moved by the coil, the fan sized for `COIL_K` at full output."""
        back = sum(temps_degc[name] for name in self.thermostats) / max(len(self.thermostats), 1)
        full_kw = max(self.unit.cooling_kw, self.unit.heating_kw)
        return back + (COIL_K * heat_kw / full_kw if full_kw > 0 else 0.0)

    def _next_mode(self, step_s: float, asked: Mapping[str, float]) -> int:
        """One mode at a time, as its timers let it."""
        strongest = max(asked.values(), key=abs, default=0.0)
        wish = (strongest > 0) - (strongest < 0)
        called = wish == self.mode if self._timer.running else wish != 0
        if not self._timer.step(step_s, called=called):
            self.mode = 0
        elif self.mode == 0:
            self.mode = wish
        return self.mode

    def _deliver(
        self, mode: int, calls: Mapping[str, float], outdoor_degc: float
    ) -> tuple[dict[str, float], float]:
        heats = dict.fromkeys(self.thermostats, 0.0)
        if mode == 0:
            return heats, 0.0
        # A unit held by its minimum run time pushes its least output into all its zones.
        open_ = calls or dict.fromkeys(self.thermostats, 1.0)
        wanted = sum(calls.values()) / len(self.thermostats)
        share = min(1.0, max(LEAST_SHARE, wanted))
        outdoor = np.array([outdoor_degc])
        if mode > 0:
            full_kw, cop = heating_capacity_kw(self.unit, outdoor)[0], heating_cop(self.unit, outdoor)[0]
        else:
            full_kw, cop = cooling_capacity_kw(self.unit, outdoor)[0], cooling_cop(self.unit, outdoor)[0]
        heat_kw = share * float(full_kw)
        total = sum(open_.values())
        for name, weight in open_.items():
            heats[name] = mode * heat_kw * weight / total
        loss = 1.0 - CYCLING_LOSS * (1.0 - share)
        return heats, (1.0 - self.free_share) * heat_kw / (float(cop) * loss)
