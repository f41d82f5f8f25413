"""The planning case of a site's zones, and what a set-point schedule would cost in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from agent.config.site import Unit, Zone
from agent.planner.hvac_comfort import DISCOMFORT_KWH_PER_KH
from agent.planner.hvac_lumps import UNSEEN, LeastDraw
from agent.planner.hvac_model import (
    FloatArray,
    ZoneCourseModel,
    cooling_capacity_kw,
    cooling_cop,
    heating_capacity_kw,
    heating_cop,
    zone_course_model,
)
from agent.planner.hvac_reach import SHARE_LIMITS, Reach, UnitReach
from agent.planner.hvac_schedule import BoolArray, SetPoints

LEAST_PRICE_PER_KWH = 0.05  # so that free energy does not make comfort free
STORED_K = 0.15  # this far inside the band the air is stored in, not held
LED_K = 0.1  # in the first quarter hour: a run that goes on moves the air less
OVER_LIMIT_KWH_PER_KWH = 50.0  # energy above the site's limit, in energy at its price


@dataclass(frozen=True, slots=True)
class ZoneCase:
    """One zone over the horizon. Arrays have one value a step."""

    name: str
    zone: Zone
    model: ZoneCourseModel
    air_degc: float
    mass_degc: float
    wanted: BoolArray  # people are in, or come in with the next step
    low_degc: FloatArray
    high_degc: FloatArray
    weight: float = 1.0  # of its discomfort


@dataclass(frozen=True, slots=True)
class UnitCase:
    """One unit with its zones. Thermal powers in kW, `*_electric` electrical over thermal power."""

    name: str
    unit: Unit
    zones: tuple[ZoneCase, ...]
    people: BoolArray
    cooling_kw: FloatArray
    heating_kw: FloatArray
    cooling_electric: FloatArray
    heating_electric: FloatArray
    least: LeastDraw = UNSEEN


@dataclass(frozen=True, slots=True)
class HvacCase:
    """All units that can be planned by model, and what energy costs."""

    units: tuple[UnitCase, ...]
    outdoor_degc: FloatArray
    price_per_kwh: FloatArray
    base_kw: FloatArray
    step_h: float
    demand_charge_per_kw: float
    peak_so_far_kw: float
    limit_kw: float | None

    @property
    def discomfort_per_kh(self) -> float:
        """Price of a kelvin hour out of the band; a high demand charge does not buy comfort away."""
        price = max(float(np.mean(np.abs(self.price_per_kwh))), LEAST_PRICE_PER_KWH)
        return max(DISCOMFORT_KWH_PER_KH * price, 2.0 * self.demand_charge_per_kw)

    @property
    def over_limit_per_kwh(self) -> float:
        """Price of energy above the site's limit: the fuse comes before comfort."""
        return OVER_LIMIT_KWH_PER_KWH * max(float(np.max(np.abs(self.price_per_kwh))), LEAST_PRICE_PER_KWH)


@dataclass(frozen=True, slots=True)
class UnitCourse:
    """What a unit and its zones do under a schedule."""

    power_kw: FloatArray
    discomfort_kh: float
    weighed_kh: float  # the same, each zone by its weight
    air_degc: Mapping[str, FloatArray]  # at the end of each step
    heat_kw: Mapping[str, FloatArray]  # negative in cooling
    lump_kw: FloatArray  # what a billing interval may see beyond the mean: a unit that runs draws its least


@dataclass(frozen=True, slots=True)
class Course:
    """What all units do under their schedules."""

    units: Mapping[str, UnitCourse]
    energy_cost: float  # energy, demand charge and excess over the limit
    discomfort_kh: float
    cost: float  # with the price of discomfort


def unit_case(
    name: str,
    unit: Unit,
    zones: Sequence[ZoneCase],
    people: BoolArray,
    outdoor_degc: FloatArray,
    reaches: Sequence[UnitReach] = (),
    least: LeastDraw = UNSEEN,
) -> UnitCase:
    """A unit's case at the outdoor temperatures of the horizon. `reaches`: what its zones were seen to get."""
    cooling, heating = cooling_capacity_kw(unit, outdoor_degc), heating_capacity_kw(unit, outdoor_degc)
    heating = heating * _reached([reach.heating for reach in reaches], people, outdoor_degc)
    cooling = cooling * _reached([reach.cooling for reach in reaches], people, outdoor_degc)
    # Without people the fan runs only as long as it is called for.
    fan = np.where(people, 0.0, unit.fan_kw)
    return UnitCase(
        name,
        unit,
        tuple(zones),
        people,
        cooling,
        heating,
        1.0 / cooling_cop(unit, outdoor_degc) + fan / np.maximum(cooling, 1e-9) * (cooling > 0),
        1.0 / heating_cop(unit, outdoor_degc) + fan / np.maximum(heating, 1e-9) * (heating > 0),
        least,
    )


def _reached(lines: Sequence[Reach], people: BoolArray, outdoor_degc: FloatArray) -> FloatArray:
    """Share of a capacity to reckon with: on the safe side before people come, what is expected while they are in.

    Zones share the unit: the one that it reaches least is to be in time too.
    """
    shares = [np.where(people, line.expected(outdoor_degc), line.cautious(outdoor_degc)) for line in lines]
    return np.asarray(
        np.minimum.reduce([np.full(outdoor_degc.size, SHARE_LIMITS[1]), *shares]) if shares else 1.0
    )


def zone_case(
    name: str,
    zone: Zone,
    *,
    air_degc: float,
    mass_degc: float,
    outdoor_degc: FloatArray,
    sun_w_m2: FloatArray,
    occupied: BoolArray,
    wanted: BoolArray,
    band: SetPoints,
    step_s: float,
    more_kw: FloatArray | None = None,
    neighbours_degc: Mapping[str, FloatArray] | None = None,
    weight: float = 1.0,
    wind_m_s: FloatArray | None = None,
) -> ZoneCase:
    """A zone's case; the zone has a model. `more_kw` is heat that the model does not explain."""
    model = zone.model
    assert model is not None
    gain = model.gain_always_kw + model.sun_kw_per_w_m2 * sun_w_m2 + model.gain_occupied_kw * occupied
    return ZoneCase(
        name,
        zone,
        zone_course_model(
            model,
            step_s,
            outdoor_degc=outdoor_degc,
            gain_kw=gain if more_kw is None else gain + more_kw,
            ventilated=occupied,
            neighbours_degc=neighbours_degc or {},
            wind_m_s=wind_m_s,
        ),
        air_degc,
        mass_degc,
        wanted,
        band.heating_degc,
        band.cooling_degc,
        weight,
    )


def follow(case: HvacCase, unit: UnitCase, setpoints: Mapping[str, SetPoints]) -> UnitCourse:
    """A unit whose thermostats hold these set-points as far as its capacity reaches.

    A unit heats or cools in a step, whichever is asked for more; its zones share its capacity in
    proportion to what they ask for.
    """
    if len(unit.zones) == 1:
        return _follow_one(case, unit, unit.zones[0], setpoints[unit.zones[0].name])
    steps = case.outdoor_degc.size
    names = [zone.name for zone in unit.zones]
    air = {zone.name: zone.air_degc for zone in unit.zones}
    mass = {zone.name: zone.mass_degc for zone in unit.zones}
    courses = {name: np.empty(steps) for name in names}
    heats = {name: np.zeros(steps) for name in names}
    power = np.where(unit.people, unit.unit.fan_kw, 0.0)
    # Python lists: a step at a time, numpy scalars cost five times as much.
    cooling, heating = unit.cooling_kw.tolist(), unit.heating_kw.tolist()
    cooling_electric, heating_electric = unit.cooling_electric.tolist(), unit.heating_electric.tolist()
    rows = [
        (
            zone.name,
            zone.model.air_of_air.tolist(),
            zone.model.air_of_mass.tolist(),
            zone.model.drive_degc.tolist(),
            zone.model.air_of_kw.tolist(),
            zone.model.air_of_heating.tolist(),
            zone.model.mass_of_mass,
            zone.model.mass_of_air,
            zone.model.mass_of_heating,
            setpoints[zone.name].heating_degc.tolist(),
            setpoints[zone.name].cooling_degc.tolist(),
        )
        for zone in unit.zones
    ]
    for k in range(steps):
        free, asked = {}, {}
        heat_asked = cool_asked = 0.0
        for name, of_air, of_mass, drive, of_kw, of_heating, _, _, _, heating_set, cooling_set in rows:
            drift = of_air[k] * air[name] + of_mass[k] * mass[name] + drive[k]
            free[name] = drift
            wish = 0.0
            if drift < heating_set[k]:
                wish = (heating_set[k] - drift) / of_heating[k]
                heat_asked += wish
            elif drift > cooling_set[k]:
                wish = (cooling_set[k] - drift) / of_kw[k]
                cool_asked -= wish
            asked[name] = wish
        heats_now = heat_asked >= cool_asked
        total, capacity = (heat_asked, heating[k]) if heats_now else (cool_asked, cooling[k])
        share = min(1.0, capacity / total) if total > 0 else 0.0
        power[k] += share * total * (heating_electric[k] if heats_now else cooling_electric[k])
        for name, _, _, _, of_kw, of_heating, mass_of_mass, mass_of_air, mass_of_heating, _, _ in rows:
            heat = share * asked[name] if (asked[name] > 0) == heats_now else 0.0
            after = free[name] + (of_heating if heat > 0 else of_kw)[k] * heat
            mass[name] = mass_of_mass * mass[name] + mass_of_air * after + mass_of_heating * max(heat, 0.0)
            air[name] = courses[name][k] = after
            heats[name][k] = heat
    discomfort = {zone.name: out_of_band_kh(case, zone, courses[zone.name]) for zone in unit.zones}
    weighed = sum(zone.weight * discomfort[zone.name] for zone in unit.zones)
    return UnitCourse(
        power,
        sum(discomfort.values()),
        weighed,
        courses,
        heats,
        _lump_kw(case, unit, power - np.where(unit.people, unit.unit.fan_kw, 0.0), heats, courses),
    )


def _follow_one(case: HvacCase, unit: UnitCase, zone: ZoneCase, points: SetPoints) -> UnitCourse:
    """`follow` of a unit with one zone, as most have: the same figures in a third of the time."""
    model = zone.model
    air, mass, mass_of_mass, mass_of_air = (
        zone.air_degc,
        zone.mass_degc,
        model.mass_of_mass,
        model.mass_of_air,
    )
    mass_of_heating = model.mass_of_heating
    course, heats = [], []
    for of_air, of_mass, drive, of_kw, of_heating, low, high, heating, cooling in zip(
        model.air_of_air.tolist(),
        model.air_of_mass.tolist(),
        model.drive_degc.tolist(),
        model.air_of_kw.tolist(),
        model.air_of_heating.tolist(),
        points.heating_degc.tolist(),
        points.cooling_degc.tolist(),
        unit.heating_kw.tolist(),
        unit.cooling_kw.tolist(),
        strict=True,
    ):
        air = of_air * air + of_mass * mass + drive
        heat = 0.0
        if air < low:
            wish = (low - air) / of_heating
            heat = min(1.0, heating / wish) * wish
            air += of_heating * heat
        elif air > high:
            wish = (high - air) / of_kw
            heat = min(1.0, cooling / -wish) * wish
            air += of_kw * heat
        mass = mass_of_mass * mass + mass_of_air * air
        if heat > 0.0:
            mass += mass_of_heating * heat
        course.append(air)
        heats.append(heat)
    air_degc, heat_kw = np.array(course), np.array(heats)
    drawn = np.where(heat_kw > 0, heat_kw * unit.heating_electric, -heat_kw * unit.cooling_electric)
    power = np.where(unit.people, unit.unit.fan_kw, 0.0) + drawn
    discomfort = out_of_band_kh(case, zone, air_degc)
    return UnitCourse(
        power,
        discomfort,
        zone.weight * discomfort,
        {zone.name: air_degc},
        {zone.name: heat_kw},
        _lump_kw(case, unit, drawn, {zone.name: heat_kw}, {zone.name: air_degc}),
    )


def _lump_kw(
    case: HvacCase,
    unit: UnitCase,
    coil_kw: FloatArray,
    heats_kw: Mapping[str, FloatArray],
    airs_degc: Mapping[str, FloatArray],
) -> FloatArray:
    """How much more than its mean a unit may draw in a quarter hour; 0 where no peak is paid. `coil_kw`: without its fan.

    It runs at its least or not at all; and a run, or storing ahead, begins with the heat that brings the air from
    where it is wanted to where the thermostat, told earlier by its droop, lets go.
    """
    lump = np.zeros(coil_kw.size)
    if case.demand_charge_per_kw <= 0:
        return lump
    total = sum(heats_kw.values(), lump)
    if unit.least != UNSEEN:
        least = np.where(total > 0, unit.least.heating_kw, unit.least.cooling_kw)
        lump = np.where(coil_kw > 0, np.maximum(least - coil_kw, 0.0), 0.0)
    beyond_kw = np.zeros(coil_kw.size)
    for zone in unit.zones:
        heat = heats_kw[zone.name]
        for k in _begun(zone, heat, airs_degc[zone.name], unit.people).nonzero()[0].tolist():
            of_kw = zone.model.air_of_heating if heat[k] > 0 else zone.model.air_of_kw
            beyond_kw[k] += _swing_k(zone, heats=heat[k] > 0) / of_kw[k]
    if beyond_kw.any():
        capacity = np.where(total > 0, unit.heating_kw, unit.cooling_kw)
        electric = np.where(total > 0, unit.heating_electric, unit.cooling_electric)
        more = np.minimum(beyond_kw, np.maximum(capacity - np.abs(total), 0.0)) * electric
        lump = np.maximum(lump, more)
    return np.asarray(lump, dtype=np.float64)


def _begun(zone: ZoneCase, heat_kw: FloatArray, air_degc: FloatArray, people: BoolArray) -> BoolArray:
    """Steps in which a run begins, or with people in the air is led further into the band than it has to be.

    Held at the band's edge with people in, it swings about what is wanted, and no run begins so.
    """
    runs = heat_kw != 0.0
    inside = np.where(heat_kw > 0, air_degc - zone.low_degc, zone.high_degc - air_degc)
    led = runs & (~people | (inside > STORED_K))
    before = np.empty_like(led)
    before[1:] = led[:-1] & (heat_kw[1:] * heat_kw[:-1] > 0)
    toward = 1.0 if heat_kw[0] > 0 else -1.0
    before[0] = bool(people[0]) and toward * (air_degc[0] - zone.air_degc) < LED_K
    return np.asarray(led & ~before, dtype=np.bool_)


def _swing_k(zone: ZoneCase, *, heats: bool) -> float:
    """From where the air is wanted to the far end of a thermostat's swing, [K]."""
    model = zone.zone.model
    assert model is not None
    if heats:
        return max(model.heating_droop_k + model.heating_swing_k, 0.0)
    return max(model.cooling_droop_k + model.cooling_swing_k, 0.0)


def metered_kw(case: HvacCase, courses: Mapping[str, UnitCourse]) -> FloatArray:
    """What the billing intervals will see of the site: the mean, and the units' lumps, which come as they like."""
    mean = case.base_kw + sum((course.power_kw for course in courses.values()), np.zeros(case.base_kw.size))
    lumps = sum((course.lump_kw**2 for course in courses.values()), np.zeros(case.base_kw.size))
    return np.asarray(mean + np.sqrt(lumps), dtype=np.float64)


def out_of_band_kh(case: HvacCase, zone: ZoneCase, air_degc: FloatArray) -> float:
    """Kelvin hours outside the zone's band, all steps."""
    out = np.maximum(zone.low_degc - air_degc, 0.0) + np.maximum(air_degc - zone.high_degc, 0.0)
    return float(out.sum()) * case.step_h


def cost_of(case: HvacCase, courses: Mapping[str, UnitCourse]) -> Course:
    """The courses of all units priced together: demand charge and limit see their sum."""
    power = case.base_kw + sum((course.power_kw for course in courses.values()), np.zeros(case.base_kw.size))
    hvac = power - case.base_kw
    money = float(hvac @ case.price_per_kwh) * case.step_h
    if case.demand_charge_per_kw > 0:
        peak_kw = float(metered_kw(case, courses).max(initial=0.0))
        money += case.demand_charge_per_kw * max(0.0, peak_kw - case.peak_so_far_kw)
    if case.limit_kw is not None:
        excess = np.maximum(power - case.limit_kw, 0.0)
        money += case.over_limit_per_kwh * float(excess.sum()) * case.step_h
    discomfort = sum(course.discomfort_kh for course in courses.values())
    weighed = sum(course.weighed_kh for course in courses.values())
    return Course(dict(courses), money, discomfort, money + case.discomfort_per_kh * weighed)


def simulate(case: HvacCase, setpoints: Mapping[str, SetPoints]) -> Course:
    """All units under their set-points."""
    return cost_of(case, {unit.name: follow(case, unit, setpoints) for unit in case.units})
