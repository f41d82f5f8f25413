"""Random halls that no planner was fitted to: three nodes, wind, doors, windows that face somewhere.

Every figure is drawn from a seed. The agent gets a site.toml with nameplates and hours, as an engineer
would write it; the figures of building and equipment stay here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from agent.config.parts import WeekTime
from agent.config.site import Hvac, Unit, Zone
from twin.hvac_unit import UnitTwin
from twin.weather import Conditions

STEP_S = 30.0
AIR_WH_PER_M3_K = 0.335  # 1.2 kg/m3 x 1005 J/(kg K)
SENSOR_NOISE_K = 0.03
SENSOR_OFFSET_K = 0.1


class Climate(NamedTuple):
    """Figures of `twin.weather.Weather`, and what equipment is sized for."""

    latitude_deg: float
    mean_degc: float
    yearly_swing_k: float
    daily_swing_k: float
    design_cold_degc: float
    design_warm_degc: float


CLIMATES: Mapping[str, Climate] = {
    "cold": Climate(58.0, 5.0, 13.0, 4.5, -18.0, 27.0),
    "mild": Climate(50.0, 10.5, 9.0, 5.5, -10.0, 30.0),
    "hot-dry": Climate(33.0, 20.5, 10.5, 8.5, -1.0, 41.0),
    "hot-humid": Climate(27.0, 23.0, 6.5, 4.5, 4.0, 35.0),
}


@dataclass(frozen=True, slots=True)
class Hall:
    """Figures of one hall. Conductances in kW/K, capacities in kWh/K."""

    area_m2: float
    air_kwh_per_k: float
    mass_kwh_per_k: float
    shell_kwh_per_k: float
    mass_ua: float
    shell_inside_ua: float
    shell_outside_ua: float
    leak_ua_at_4_m_s: float
    fresh_air_ua: float
    glass_m2: float
    faces_h: float  # solar hour at which the glass sees the sun best
    roof_sun_k_per_w_m2: float
    gain_occupied_kw: float
    gain_always_kw: float
    door_share: float  # leak added by open doors at work, as a share
    offset_k: float


def random_hall(rng: random.Random) -> Hall:
    """A hall between a packing room and a warehouse bay, well or badly built."""
    area = math.exp(rng.uniform(math.log(250.0), math.log(2500.0)))
    height = rng.uniform(4.0, 9.0)
    volume = area * height
    shell_area = 1.2 * area + 4.0 * math.sqrt(area) * height * 0.6
    shell_u = rng.uniform(0.25, 0.65)  # W/(m2 K)
    shell_ua = shell_u * shell_area / 1000.0
    return Hall(
        area_m2=area,
        air_kwh_per_k=volume * AIR_WH_PER_M3_K / 1000.0 * rng.uniform(2.5, 5.0),
        mass_kwh_per_k=area * rng.uniform(60.0, 160.0) / 1000.0,
        shell_kwh_per_k=shell_area * rng.uniform(8.0, 30.0) / 1000.0,
        mass_ua=area * rng.uniform(3.0, 6.0) / 1000.0,
        shell_inside_ua=shell_ua * 3.0,
        shell_outside_ua=shell_ua * 1.5,
        leak_ua_at_4_m_s=volume * rng.uniform(0.1, 0.4) * AIR_WH_PER_M3_K / 1000.0,
        fresh_air_ua=area * rng.uniform(0.2, 0.5) * 1.2 / 1000.0,
        glass_m2=area * rng.uniform(0.005, 0.03),
        faces_h=rng.uniform(9.0, 15.0),
        roof_sun_k_per_w_m2=rng.uniform(0.005, 0.02),
        gain_occupied_kw=area * rng.uniform(5.0, 16.0) / 1000.0,
        gain_always_kw=area * rng.uniform(0.5, 2.5) / 1000.0,
        door_share=rng.uniform(0.0, 1.0),
        offset_k=rng.gauss(0.0, SENSOR_OFFSET_K),
    )


class Around(NamedTuple):
    """What a hall meets in one step of 30 s, whatever its unit does. Heat in kW."""

    leak_ua: float
    outdoor_degc: float
    shell_air_degc: float
    air_kw: float
    mass_kw: float


class HallTwin:
    """One hall in motion: the `ZonePhysics` of a `Hall`. `around` is what it met in the last step."""

    def __init__(self, hall: Hall, zone: Zone, unit: UnitTwin, rng: random.Random) -> None:
        self.hall, self.zone, self._unit, self._rng = hall, zone, unit, rng
        middle = 0.5 * (zone.comfort_low_degc + zone.comfort_high_degc)
        self.air_degc = self.mass_degc = self.shell_degc = middle
        self.sensor_degc: float | None = middle
        self.occupied = False
        self.crowd = 1.0
        self.discomfort_kh = 0.0
        self.neighbours: list[tuple[HallTwin, float]] = []
        self.around: Around | None = None
        self._door = 0.0

    def step(self, outdoor: Conditions, heat_kw: float) -> None:
        """Live for 30 s with `heat_kw` from the unit."""
        hall, h = self.hall, STEP_S / 3600.0
        zone = self.zone
        work = 0.0
        leak = hall.leak_ua_at_4_m_s * (0.4 + 0.15 * outdoor.wind_m_s)
        if self.occupied:
            work = hall.gain_occupied_kw * self.crowd * (0.6 if 12.0 <= outdoor.solar_hour < 12.75 else 1.0)
            # Doors open and close by the quarter hour or so.
            self._door += (-self._door + self._rng.random() * 2.0) * STEP_S / 900.0
            leak *= 1.0 + hall.door_share * self._door
            if self._unit.fan_on:
                leak += hall.fresh_air_ua
            out = max(zone.comfort_low_degc - self.air_degc, self.air_degc - zone.comfort_high_degc, 0.0)
            self.discomfort_kh += out * h
        facing = max(0.2, math.cos((outdoor.solar_hour - hall.faces_h) / 24.0 * 2.0 * math.pi * 1.5))
        sun_kw = hall.glass_m2 * 0.5 * outdoor.sun_w_m2 * facing / 1000.0
        shell_air = outdoor.temp_degc + hall.roof_sun_k_per_w_m2 * outdoor.sun_w_m2
        free_kw = work + hall.gain_always_kw + 0.4 * sun_kw
        self.around = Around(leak, outdoor.temp_degc, shell_air, free_kw, 0.6 * sun_kw)
        to_mass = hall.mass_ua * (self.air_degc - self.mass_degc)
        to_shell = hall.shell_inside_ua * (self.air_degc - self.shell_degc)
        through = hall.shell_outside_ua * (self.shell_degc - shell_air)
        walls = sum(ua * (other.air_degc - self.air_degc) for other, ua in self.neighbours)
        air_kw = heat_kw + free_kw - to_mass - to_shell + walls + leak * (outdoor.temp_degc - self.air_degc)
        self.air_degc += h * air_kw / hall.air_kwh_per_k
        self.mass_degc += h * (to_mass + 0.6 * sun_kw) / hall.mass_kwh_per_k
        self.shell_degc += h * (to_shell - through) / hall.shell_kwh_per_k
        self.sensor_degc = self.air_degc + hall.offset_k + self._rng.gauss(0.0, SENSOR_NOISE_K)


class World(NamedTuple):
    """What the agent may know (`hvac`), and what it may not."""

    name: str
    climate: Climate
    hvac: Hvac
    halls: Mapping[str, Hall]
    units: Mapping[str, Unit]
    walls_kw_per_k: float


def random_world(climate: str, seed: int) -> World:
    """Two or three halls side by side, each with a unit of its own."""
    rng = random.Random(f"{climate}-{seed}")
    place = CLIMATES[climate]
    names = ("bay", "store", "packing")[: rng.choice((2, 2, 3))]
    halls = {name: random_hall(rng) for name in names}
    nameplates, truths, zones = {}, {}, {}
    for name, hall in halls.items():
        unit = _sized(f"{name}_unit", hall, place, rng)
        nameplates[f"{name}_unit"] = unit
        truths[f"{name}_unit"] = _as_built(unit, rng)
        zones[name] = _zone(name, rng)
    hvac = Hvac(
        mode="control", outdoor_temp="weather.temp", solar="weather.sun", units=nameplates, zones=zones
    )
    walls = rng.uniform(0.3, 1.2) * 0.08 * min(hall.area_m2 for hall in halls.values()) / 1000.0 * 4.0
    return World(f"{climate}-{seed}", place, hvac, halls, truths, walls)


def with_wind_sensor(world: World) -> World:
    """The world as a site that knows its wind: an anemometer, and a service that tells it."""
    return world._replace(hvac=world.hvac.model_copy(update={"wind": "weather.wind"}))


def hall_maker(world: World) -> Callable[[Mapping[str, UnitTwin], random.Random], dict[str, HallTwin]]:
    """What `HvacTwin(make_zones=...)` asks for: the halls of a world, walls between them."""

    def make(units: Mapping[str, UnitTwin], rng: random.Random) -> dict[str, HallTwin]:
        twins = {
            name: HallTwin(hall, world.hvac.zones[name], units[world.hvac.zones[name].unit], rng)
            for name, hall in world.halls.items()
        }
        row = list(twins.values())
        for left, right in zip(row, row[1:], strict=False):
            left.neighbours.append((right, world.walls_kw_per_k))
            right.neighbours.append((left, world.walls_kw_per_k))
        return twins

    return make


def _sized(device: str, hall: Hall, place: Climate, rng: random.Random) -> Unit:
    """Equipment as it is bought: for the design day, and a quarter more."""
    shell = hall.shell_inside_ua * hall.shell_outside_ua / (hall.shell_inside_ua + hall.shell_outside_ua)
    ua = shell + 1.6 * hall.leak_ua_at_4_m_s + hall.fresh_air_ua
    gains = hall.gain_occupied_kw + hall.gain_always_kw + 0.35 * hall.glass_m2
    cooling = ua * (place.design_warm_degc - 24.0) + gains + shell * hall.roof_sun_k_per_w_m2 * 800.0
    heating = ua * (20.0 - place.design_cold_degc)
    heating_cop = round(rng.choice((1.0, rng.uniform(2.8, 3.6))), 1)
    if heating_cop > 1.0:
        heating /= 1.0 - 0.015 * (7.0 - max(place.design_cold_degc, -15.0))  # a heat pump fades in the cold
    largest = max(cooling, heating)
    return Unit(
        device=device,
        power=f"{device}.power",
        enable=f"{device}.enable",
        heartbeat=f"{device}.beat",
        dead_man_s=1800.0,
        cooling_kw=round(max(cooling, 0.3 * largest) * rng.uniform(1.2, 1.5), 1),
        heating_kw=round(max(heating, 0.3 * largest) * rng.uniform(1.2, 1.5), 1),
        cooling_cop=round(rng.uniform(2.7, 3.6), 1),
        heating_cop=heating_cop,
        fan_kw=round(hall.area_m2 * rng.uniform(1.2, 2.5) / 1000.0, 2),
    )


def _as_built(unit: Unit, rng: random.Random) -> Unit:
    """What stands on the roof: not what the nameplate says."""
    return unit.model_copy(
        update={
            "cooling_kw": unit.cooling_kw * rng.uniform(0.9, 1.05),
            "heating_kw": unit.heating_kw * rng.uniform(0.9, 1.05),
            "cooling_cop": unit.cooling_cop * rng.uniform(0.8, 1.05),
            "heating_cop": unit.heating_cop * (1.0 if unit.heating_cop <= 1.0 else rng.uniform(0.8, 1.05)),
            "fan_kw": unit.fan_kw * rng.uniform(0.85, 1.15),
        }
    )


def _zone(name: str, rng: random.Random) -> Zone:
    begin, end = rng.choice((("06:00", "18:00"), ("07:00", "17:00"), ("06:00", "22:00"), ("08:00", "20:00")))
    hours = [WeekTime(days="mon-fri", from_=begin, to=end)]
    if rng.random() < 0.4:
        hours.append(WeekTime(days="sat", from_=begin, to="14:00"))
    low = rng.choice((18.0, 20.0, 21.0))
    return Zone(
        unit=f"{name}_unit",
        temp=f"{name}_unit.temp",
        heating_setpoint=f"{name}_unit.heat_set",
        cooling_setpoint=f"{name}_unit.cool_set",
        occupied=f"{name}_unit.occupied",
        comfort_low_degc=low,
        comfort_high_degc=low + rng.choice((4.0, 5.0, 6.0)),
        setback_low_degc=15.0,
        setback_high_degc=30.0,
        occupancy=tuple(hours),
    )
