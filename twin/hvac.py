"""The simulated HVAC of a site: zones, units, people and weather, told by tag.

The zones follow the two-node model of site.toml, but not to the letter: each figure is off by some
per cent (seeded), people come and go, clouds pass. A planner that trusts its model finds out here.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

from agent.config.site import Hvac, Site, Unit, Zone, ZoneModel
from agent.planner.hvac_model import ZoneStepModel, next_temps, zone_step_model
from agent.planner.hvac_schedule import is_occupied
from twin.hvac_kinds import role_reads, role_writes, unit_twins
from twin.hvac_unit import UnitTwin
from twin.weather import Conditions, Weather

STEP_S = 30.0
MODEL_ERROR = 0.08  # standard deviation of each figure of a zone about what site.toml says
SENSOR_NOISE_K = 0.03
WIND_GUSTS = 0.15  # standard deviation of one look, as a share
PHYSICAL = (
    "air_kwh_per_k",
    "mass_kwh_per_k",
    "ua_kw_per_k",
    "mass_ua_kw_per_k",
    "sun_kw_per_w_m2",
    "gain_occupied_kw",
    "gain_always_kw",
)
SUN_DELAY_S = 900.0  # the sun warms floors and walls first


class ZonePhysics(Protocol):
    """What the plant needs of a zone, however it is simulated."""

    zone: Zone
    air_degc: float
    sensor_degc: float | None
    occupied: bool
    crowd: float
    discomfort_kh: float

    def step(self, outdoor: Conditions, heat_kw: float) -> None:
        """Live for `STEP_S` with `heat_kw` from the unit; `sensor_degc` is what is then measured."""
        ...


ZoneMaker = Callable[[Mapping[str, UnitTwin], random.Random], Mapping[str, ZonePhysics]]


class ZoneTwin:
    """Air and mass of one zone, and how long people were out of comfort."""

    def __init__(self, zone: Zone, unit: Unit, *, rng: random.Random, model_error: float) -> None:
        self.zone = zone
        self.model = spoiled(zone.model or model_from_unit(unit), rng, model_error)
        self.step_model: ZoneStepModel = zone_step_model(self.model, STEP_S)
        middle = 0.5 * (zone.comfort_low_degc + zone.comfort_high_degc)
        self.air_degc = self.mass_degc = middle
        self.sun_kw = 0.0
        self.occupied = False
        self.crowd = 1.0
        self.discomfort_kh = 0.0
        self.sensor_degc: float | None = middle
        self._rng = rng

    def step(self, outdoor: Conditions, heat_kw: float) -> None:
        """Live for one step with `heat_kw` from the unit."""
        self.sun_kw += (self.model.sun_kw_per_w_m2 * outdoor.sun_w_m2 - self.sun_kw) * STEP_S / SUN_DELAY_S
        gains = self.model.gain_always_kw + self.sun_kw
        if self.occupied:
            gains += self.model.gain_occupied_kw * self.crowd
            out = max(
                self.zone.comfort_low_degc - self.air_degc, self.air_degc - self.zone.comfort_high_degc, 0.0
            )
            self.discomfort_kh += out * STEP_S / 3600.0
        into_mass_kw = self.model.slab_share * max(heat_kw, 0.0)
        self.air_degc, self.mass_degc = next_temps(
            self.step_model,
            self.air_degc,
            self.mass_degc,
            outdoor.temp_degc,
            heat_kw - into_mass_kw + gains,
            into_mass_kw,
        )
        self.sensor_degc = self.air_degc + self._rng.gauss(0.0, SENSOR_NOISE_K)


class HvacTwin:
    """Zones and units of a site. Moves in steps of 30 s counted from `start_at`.

    `weather` may be given; otherwise it is made from the seed. `model_error` 0 gives zones that
    follow site.toml exactly. Zones begin settled: two days are lived before `start_at`.
    `units` are the units as built, where they are not as site.toml has them; `make_zones` makes
    zones of another kind (twin/hvac_world.py).
    """

    def __init__(
        self,
        site: Site,
        *,
        start_at: datetime,
        seed: int,
        weather: Weather | None = None,
        model_error: float = MODEL_ERROR,
        warm_up_days: int = 2,
        units: Mapping[str, Unit] | None = None,
        make_zones: ZoneMaker | None = None,
    ) -> None:
        hvac = site.hvac or Hvac()
        rng = random.Random(seed)
        first_at = start_at.astimezone(UTC) - timedelta(days=warm_up_days)
        self.weather = weather or Weather(start_at=first_at, seed=seed, timezone=site.site.timezone)
        self.units = unit_twins(hvac, units)
        self.zones: Mapping[str, ZonePhysics] = (
            make_zones({n: u for n, u in self.units.items() if isinstance(u, UnitTwin)}, rng)
            if make_zones is not None
            else {
                name: ZoneTwin(zone, hvac.units[zone.unit], rng=rng, model_error=model_error)
                for name, zone in hvac.zones.items()
            }
        )
        self.outdoor = self.weather.at(first_at)
        self.hvac = hvac
        self._timezone = site.site.timezone
        self._closed = frozenset(site.site.closed_days)
        self._rng = rng
        self._start_at = first_at
        self._asked_s = 0.0
        self._steps = 0
        self._day: int | None = None
        self._reads = self._read_table()
        self._writes = self._write_table()
        self.advance_to(start_at)
        self.open_books()

    @property
    def tags(self) -> Sequence[str]:
        return tuple({**self._reads, **self._writes})

    @property
    def energy_kwh(self) -> float:
        """Electricity of all units since the books were opened."""
        return sum(unit.energy_kwh for unit in self.units.values())

    @property
    def discomfort_kh(self) -> float:
        """Kelvin hours outside the comfort band with people in, all zones."""
        return sum(zone.discomfort_kh for zone in self.zones.values())

    @property
    def starts(self) -> int:
        """Compressor or burner starts of all units."""
        return sum(unit.starts for unit in self.units.values())

    @property
    def power_kw(self) -> float:
        return sum(unit.power_kw for unit in self.units.values())

    def branch(self) -> HvacTwin:
        """Another plant that goes on from here by itself."""
        other = copy.deepcopy(self)
        # The tables hold functions of this plant; the other needs its own.
        vars(other).update(_reads=other._read_table(), _writes=other._write_table())  # noqa: SLF001
        return other

    def open_books(self) -> None:
        """Begin counting anew."""
        for unit in self.units.values():
            unit.energy_kwh, unit.starts = 0.0, 0
        for zone in self.zones.values():
            zone.discomfort_kh = 0.0

    def remote(self, unit: str) -> bool:
        """Whether the agent's orders are in force at a unit."""
        return self.units[unit].panel.remote(self._asked_s)

    def advance_to(self, at: datetime) -> None:
        """Live until `at`, in whole steps; the rest of a step waits for the next call."""
        self._asked_s = max(self._asked_s, (at - self._start_at).total_seconds())
        due = int(self._asked_s / STEP_S + 1e-9)
        while self._steps < due:
            self._step()
            self._steps += 1

    def read(self, tag: str) -> float | None:
        read = self._reads.get(tag)
        return read() if read is not None else None

    def write(self, tag: str, value: float) -> bool:
        write = self._writes.get(tag)
        return write(value) if write is not None else False

    def _step(self) -> None:
        now_s = self._steps * STEP_S
        at = self._start_at + timedelta(seconds=now_s)
        self.outdoor = self.weather.at(at)
        for zone in self.zones.values():
            if self._steps % 2 == 0:  # the programme has minutes
                zone.occupied = is_occupied(zone.zone, self._timezone, at, self._closed)
            if at.toordinal() != self._day:
                zone.crowd = self._rng.uniform(0.8, 1.1)
        self._day = at.toordinal()
        occupied = {name: zone.occupied for name, zone in self.zones.items()}
        temps = {name: zone.air_degc for name, zone in self.zones.items()}
        heats: dict[str, float] = dict.fromkeys(self.zones, 0.0)
        for unit in self.units.values():
            for name, kw in unit.step(STEP_S, now_s, temps, occupied, self.outdoor.temp_degc).items():
                heats[name] += kw
        for name, zone in self.zones.items():
            zone.step(self.outdoor, heats[name])

    def _read_table(self) -> dict[str, Callable[[], float | None]]:
        reads: dict[str, Callable[[], float | None]] = {}
        for name, zone in self.hvac.zones.items():
            twin, thermostat = self.zones[name], self.units[zone.unit].thermostats[name]
            reads[zone.temp] = lambda twin=twin: twin.sensor_degc  # type: ignore[misc]
            for tag, read in (
                (zone.heating_setpoint, lambda t=thermostat: t.heating_degc),
                (zone.cooling_setpoint, lambda t=thermostat: t.cooling_degc),
                (zone.occupied, lambda twin=twin: float(twin.occupied)),
            ):
                if tag is not None:
                    reads[tag] = read
        for name, unit in self.hvac.units.items():
            device = self.units[name]
            reads.update(role_reads(unit, device))
        if self.hvac.outdoor_temp is not None:
            reads[self.hvac.outdoor_temp] = lambda: self.outdoor.temp_degc
        if self.hvac.solar is not None:
            reads[self.hvac.solar] = lambda: self.outdoor.sun_w_m2
        if self.hvac.wind is not None:
            reads[self.hvac.wind] = self._wind_m_s
        return reads

    def _wind_m_s(self) -> float:
        """What a cup anemometer in gusts shows of the wind that counts."""
        gust = random.Random(self._steps).gauss(1.0, WIND_GUSTS)
        return max(0.0, self.outdoor.wind_m_s * gust)

    def _write_table(self) -> dict[str, Callable[[float], bool]]:
        writes: dict[str, Callable[[float], bool]] = {}
        for name, zone in self.hvac.zones.items():
            unit = self.units[zone.unit]
            for tag, side in ((zone.heating_setpoint, "heating"), (zone.cooling_setpoint, "cooling")):
                if tag is not None:
                    writes[tag] = lambda v, u=unit, n=name, s=side: u.panel.write_setpoint(n, s, v)  # type: ignore[misc]
        for name, settings in self.hvac.units.items():
            device = self.units[name]
            writes.update(role_writes(settings, device))
            if settings.heartbeat is not None:
                writes[settings.heartbeat] = lambda v, d=device: d.panel.write_heartbeat(v, self._asked_s)  # type: ignore[misc]
        return writes


def model_from_unit(unit: Unit) -> ZoneModel:
    """A plausible zone for a unit of this size: full load at 12 K, mass ten times the air."""
    size_kw = max(unit.cooling_kw, unit.heating_kw, 1.0)
    return ZoneModel(
        air_kwh_per_k=size_kw / 15.0,
        mass_kwh_per_k=size_kw / 1.5,
        ua_kw_per_k=size_kw / 35.0,
        mass_ua_kw_per_k=size_kw / 10.0,
        sun_kw_per_w_m2=size_kw / 4000.0,
        gain_occupied_kw=size_kw / 6.0,
        gain_always_kw=size_kw / 30.0,
    )


def spoiled(model: ZoneModel, rng: random.Random, model_error: float) -> ZoneModel:
    """The model with every figure off by a share of `model_error` (standard deviation, seeded)."""
    figures = {
        name: getattr(model, name) * min(1.3, max(0.7, 1.0 + rng.gauss(0.0, model_error)))
        for name in PHYSICAL
    }
    return model.model_copy(update=figures)
