"""A ventilation unit that follows CO2: fan by what the worst of its zones shows, heat recovery, its own programme."""

from __future__ import annotations

import math
from collections.abc import Mapping

from agent.config.site import Unit
from twin.hvac_panel import UnitPanel, ZoneThermostat

OUTDOOR_PPM = 420.0
# At full flow and full occupancy the zone stands so far above outdoors.
RISE_PPM = 450.0
AIR_CHANGE_S = 1200.0  # at full flow
BAND_PPM = 200.0  # full fan this far above the set-point
LEAST_WITH_PEOPLE, LEAST_LEAK = 0.3, 0.05
RECOVERY = 0.7
KW_PER_M3_S = 1.5  # of a supply and an extract fan at full flow
START_DELAY_S = 60.0  # dampers before fans
OWN_PPM = 800.0


class VentilationTwin:
    """One unit and the CO2 of the zones that it airs. Has no thermostats."""

    def __init__(self, unit: Unit) -> None:
        self.unit = unit
        self.panel = UnitPanel(unit, {})
        self.energy_kwh = 0.0
        self.power_kw = 0.0
        self.starts = 0
        self.fan_on = False
        self.fan_share = 0.0
        self.supply_degc: float | None = None
        self.ppm = dict.fromkeys(unit.serves, OUTDOOR_PPM + 60.0)
        self._set_ppm = OWN_PPM
        self._called_s = 0.0

    @property
    def thermostats(self) -> Mapping[str, ZoneThermostat]:
        return self.panel.thermostats

    @property
    def enable(self) -> bool:
        return self.panel.enable

    @property
    def co2_ppm(self) -> float:
        """In the extract: the worst zone's."""
        return max(self.ppm.values(), default=OUTDOOR_PPM)

    @property
    def co2_set(self) -> float:
        """The CO2 set-point that stands in its controller, [ppm]."""
        return self._set_ppm

    def write_co2(self, value: float) -> bool:
        """Refused outside what such units take."""
        if not 500.0 <= value <= 2000.0:
            return False
        self._set_ppm = value
        return True

    @property
    def points(self) -> Mapping[str, float | None]:
        """What its controller shows beside the roles of site.toml, by point name."""
        return {"running": float(self.fan_on), "fan_share": self.fan_share, "supply_temp": self.supply_degc}

    def step(
        self,
        step_s: float,
        now_s: float,
        temps_degc: Mapping[str, float],
        occupied: Mapping[str, bool],
        outdoor_degc: float,
    ) -> dict[str, float]:
        """Live for `step_s`; the heat that fresh air brings into each zone, [kW], negative in the cold."""
        if self.panel.follow(now_s, {}):
            self._set_ppm = OWN_PPM
        people = any(occupied[name] for name in self.ppm)
        excess = (self.co2_ppm - self._set_ppm) / BAND_PPM
        called = self.enable and (people or excess > 0.0)
        self._called_s = self._called_s + step_s if called else 0.0
        before, self.fan_on = self.fan_on, called and self._called_s > START_DELAY_S
        self.starts += int(self.fan_on and not before)
        least = LEAST_WITH_PEOPLE if people else 0.0
        self.fan_share = min(1.0, max(least, excess)) if self.fan_on else 0.0
        flow = max(self.fan_share, LEAST_LEAK)
        for name, ppm in self.ppm.items():
            rise = RISE_PPM * float(occupied[name])
            settled = OUTDOOR_PPM + rise / flow
            self.ppm[name] = settled + (ppm - settled) * math.exp(-step_s * flow / AIR_CHANGE_S)
        self.power_kw = self.unit.fan_kw * self.fan_share**3 + (
            0.05 * self.unit.fan_kw if self.fan_on else 0.0
        )
        self.energy_kwh += self.power_kw * step_s / 3600.0
        ua = 1.2 * 1.005 * self.unit.fan_kw / KW_PER_M3_S * self.fan_share * (1.0 - RECOVERY)
        share = ua / max(len(self.ppm), 1)
        back = sum(temps_degc[n] for n in self.ppm) / max(len(self.ppm), 1)
        self.supply_degc = outdoor_degc + RECOVERY * (back - outdoor_degc) if self.fan_on else None
        return {name: share * (outdoor_degc - temps_degc[name]) for name in self.ppm}
