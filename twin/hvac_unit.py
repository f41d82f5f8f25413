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

DEAD_BAND_K = 0.5  # on half of it beyond the set-point, off half of it on the other side
PROPORTIONAL_K = 1.0  # full output this far beyond the set-point
LEAST_SHARE = 0.25  # staged or inverter compressors give no less
COIL_K = 11.0  # supply to return air at full output: 10-12 K is what air conditioning is laid out for
START_DELAY_S = 60.0  # fan before compressor
CYCLING_LOSS = 0.12  # lost at least output against full output, by COP
FREEZE_DEGC = 5.0  # below, a zone is heated whoever has switched the unit off
SETPOINT_RANGE_DEGC = (4.0, 40.0)
LEAST_SPREAD_K = 0.5  # a thermostat refuses set-points that would fight each other


class ZoneThermostat:
    """Set-points of a zone as its controller holds them: the written ones and the own programme."""

    def __init__(self, zone: Zone) -> None:
        self.zone = zone
        self.heating_degc, self.cooling_degc = self.programme(occupied=False)
        self.written = False
        self.calling = 0  # 1 heating, -1 cooling
        self._programme_occupied: bool | None = None

    def programme(self, *, occupied: bool) -> tuple[float, float]:
        """Own day programme: comfort with people, set-back without, [degC]."""
        if occupied:
            return self.zone.comfort_low_degc, self.zone.comfort_high_degc
        return self.zone.setback_low_degc, self.zone.setback_high_degc

    def follow_programme(self, *, occupied: bool) -> None:
        """Local control: each change of the programme goes into the registers, over what stands there."""
        if occupied != self._programme_occupied or self.written:
            self.heating_degc, self.cooling_degc = self.programme(occupied=occupied)
        self._programme_occupied, self.written = occupied, False

    def demand(self, temp_degc: float) -> float:
        """Output asked for: positive heating, negative cooling, 0..1 in size."""
        half = 0.5 * DEAD_BAND_K
        cold, warm = self.heating_degc - temp_degc, temp_degc - self.cooling_degc
        if cold > half or (self.calling > 0 and cold > -half):
            self.calling = 1
        elif warm > half or (self.calling < 0 and warm > -half):
            self.calling = -1
        else:
            self.calling = 0
            return 0.0
        beyond = (cold if self.calling > 0 else warm) + half
        return self.calling * min(1.0, max(0.0, beyond / PROPORTIONAL_K))


class UnitTwin:
    """One unit with its zones. `step` moves it; writes change registers at once."""

    def __init__(self, unit: Unit, zones: Mapping[str, Zone]) -> None:
        self.unit = unit
        self.thermostats = {name: ZoneThermostat(zone) for name, zone in zones.items()}
        self.enable = True
        self.heartbeat = 0.0
        self.energy_kwh = 0.0
        self.starts = 0
        self.power_kw = 0.0
        self.fan_on = False
        self.supply_degc: float | None = None
        self.mode = 0  # of the compressor or burner: 1 heating, -1 cooling, 0 standing
        self._beat_at_s: float | None = None
        self._mode_s = 1e9  # since the last start or stop
        self._call_s = 0.0

    def remote(self, now_s: float) -> bool:
        """Whether the agent's set-points are in force: its heartbeat moves, or the unit has none."""
        if self.unit.heartbeat is None or self.unit.dead_man_s is None:
            return True
        return self._beat_at_s is not None and now_s - self._beat_at_s < self.unit.dead_man_s

    def write_heartbeat(self, value: float, now_s: float) -> bool:
        if value != self.heartbeat:
            self._beat_at_s = now_s
        self.heartbeat = value
        return True

    def write_enable(self, value: float) -> bool:
        if value not in {0.0, 1.0}:
            return False
        self.enable = value == 1.0
        return True

    def write_setpoint(self, zone: str, side: str, value: float) -> bool:
        """Refused outside the controller's range or where heating would reach cooling."""
        thermostat = self.thermostats[zone]
        low, high = SETPOINT_RANGE_DEGC
        heating = value if side == "heating" else thermostat.heating_degc
        cooling = value if side == "cooling" else thermostat.cooling_degc
        if not low <= value <= high or heating > cooling - LEAST_SPREAD_K:
            return False
        thermostat.heating_degc, thermostat.cooling_degc, thermostat.written = heating, cooling, True
        return True

    def step(
        self,
        step_s: float,
        now_s: float,
        temps_degc: Mapping[str, float],
        occupied: Mapping[str, bool],
        outdoor_degc: float,
    ) -> dict[str, float]:
        """Live for `step_s`; heat into each zone, [kW], negative in cooling."""
        if not self.remote(now_s):
            self.enable = True
            for name, thermostat in self.thermostats.items():
                thermostat.follow_programme(occupied=occupied[name])
        asked = {name: t.demand(temps_degc[name]) for name, t in self.thermostats.items()}
        if not self.enable:
            asked = {name: float(temps_degc[name] < FREEZE_DEGC) for name in asked}
        mode = self._next_mode(step_s, asked)
        calls = {name: abs(value) for name, value in asked.items() if value * mode > 0}
        heats, electric_kw = self._deliver(mode, calls, outdoor_degc)
        people = self.enable and any(occupied[name] for name in self.thermostats)
        self.fan_on = people or mode != 0 or self._call_s > 0
        self.supply_degc = self._supply_degc(temps_degc, sum(heats.values()))
        self.power_kw = electric_kw + (self.unit.fan_kw if self.fan_on else 0.0)
        self.energy_kwh += self.power_kw * step_s / 3600.0
        return heats

    def _supply_degc(self, temps_degc: Mapping[str, float], heat_kw: float) -> float:
        """Supply air: the return air moved by the coil, the fan sized for `COIL_K` at full output."""
        back = sum(temps_degc[name] for name in self.thermostats) / max(len(self.thermostats), 1)
        full_kw = max(self.unit.cooling_kw, self.unit.heating_kw)
        return back + (COIL_K * heat_kw / full_kw if full_kw > 0 else 0.0)

    def _next_mode(self, step_s: float, asked: Mapping[str, float]) -> int:
        """The short-cycle timers: start delay, least run and stop time, one mode at a time."""
        strongest = max(asked.values(), key=abs, default=0.0)
        wish = (strongest > 0) - (strongest < 0)
        self._mode_s += step_s
        if self.mode != 0:
            if wish != self.mode and self._mode_s >= self.unit.min_run_s:
                self.mode, self._mode_s, self._call_s = 0, 0.0, 0.0
            return self.mode
        self._call_s = self._call_s + step_s if wish != 0 else 0.0
        if wish != 0 and self._call_s > START_DELAY_S and self._mode_s >= self.unit.min_stop_s:
            self.mode, self._mode_s = wish, 0.0
            self.starts += 1
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
        return heats, heat_kw / (float(cop) * loss)
