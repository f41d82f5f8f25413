"""Heating and cooling in site.toml: zones, the units that serve them, their weather and the test of what is saved."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import Field

from agent.config.parts import FilePath, Identifier, Part, TagId, WeekTime


class Unit(Part):
    """[hvac.units.X]: a rooftop unit, air handler or similar."""

    device: Identifier = Field(description="Device that carries its points.")
    kind: Literal["rooftop", "air-handler", "chiller", "ventilation"] = Field(
        default="rooftop",
        description="Rooftop unit; air handler with boxes that vary the air of each zone; chiller plant; ventilation "
        "by CO2.",
    )
    serves: tuple[Identifier, ...] = Field(
        default=(),
        strict=False,
        description="Chiller: units it feeds with water. Ventilation: zones it airs.",
    )
    power: TagId | None = Field(default=None, description="Electrical power.")
    enable: TagId | None = Field(default=None, description="Unit enable, written.")
    heartbeat: TagId | None = Field(default=None, description="Word that the agent counts up.")
    dead_man_s: float | None = Field(
        default=None, gt=0, le=3600, description="Falls back when the heartbeat stands still."
    )
    cooling_kw: float = Field(default=0.0, ge=0, description="Thermal power in cooling at 35 degC outdoors.")
    heating_kw: float = Field(default=0.0, ge=0, description="Thermal power in heating.")
    cooling_cop: float = Field(
        default=3.0, gt=0, le=12, description="Thermal over electrical power in cooling, 35 degC."
    )
    heating_cop: float = Field(
        default=3.0, gt=0, le=12, description="Likewise in heating; 1 for electric, boiler at its efficiency."
    )
    fan_kw: float = Field(default=0.0, ge=0, description="Supply fan.")
    supply_temp: TagId | None = Field(default=None, description="Supply air or water temperature.")
    supply_setpoint: TagId | None = Field(
        default=None, description="Air handler, chiller: its set-point, read and written."
    )
    supply_low_degc: float | None = Field(
        default=None,
        ge=3,
        le=40,
        description="Coldest supply set-point, as laid out: 13 for air, 7 for water.",
    )
    supply_high_degc: float | None = Field(
        default=None, ge=3, le=40, description="Warmest supply set-point that still dries the air."
    )
    co2: TagId | None = Field(default=None, description="Ventilation: CO2 of the extract or the worst zone.")
    co2_setpoint: TagId | None = Field(default=None, description="Its set-point, read and written.")
    co2_low_ppm: float = Field(default=800.0, ge=450, le=2000, description="CO2 set-point with people.")
    co2_high_ppm: float = Field(default=1000.0, ge=450, le=2000, description="CO2 set-point without.")
    economiser: bool = Field(default=False, description="Cools with outdoor air while that is cold; twin.")
    min_run_s: float = Field(default=600.0, ge=0, description="Least run time.")
    min_stop_s: float = Field(default=600.0, ge=0, description="Least stop time.")
    max_starts_per_hour: int = Field(default=4, ge=1, le=30, description="Start limit.")
    left_behind: Literal["dead-man", "comfort"] = Field(
        default="dead-man",
        description="What makes it safe when the agent dies: its own dead-man, or, where it has none, that "
        "set-points never leave the comfort band and it is never switched off.",
    )


class ZoneModel(Part):
    """Two-node grey box of a zone: air and mass."""

    air_kwh_per_k: float = Field(gt=0, description="Heat capacity of air and light things.")
    mass_kwh_per_k: float = Field(default=0.0, ge=0, description="Heat capacity of the fabric.")
    ua_kw_per_k: float = Field(gt=0, description="Loss from air to outdoors.")
    mass_ua_kw_per_k: float = Field(default=0.0, ge=0, description="Coupling of air and mass.")
    slab_share: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Share of the heating that goes into the mass: a floor that heats.",
    )
    sun_kw_per_w_m2: float = Field(default=0.0, ge=0, description="Gain per global irradiance.")
    gain_occupied_kw: float = Field(default=0.0, ge=0, description="People and machines while occupied.")
    gain_always_kw: float = Field(default=0.0, ge=0, description="Gains at all hours.")
    vent_ua_kw_per_k: float = Field(
        default=0.0, ge=0, description="Further loss to outdoors by fresh air while occupied."
    )
    wind_kw_per_k_m_s: float = Field(
        default=0.0,
        ge=0,
        description="Further loss to outdoors per m/s of wind; then ua_kw_per_k is at calm.",
    )
    usual_wind_m_s: float = Field(
        default=0.0,
        ge=0,
        le=40,
        description="Wind to reckon with where it is not known: the mean of the past.",
    )
    neighbours_kw_per_k: dict[Identifier, float] = Field(
        default_factory=dict, description="Neighbouring zone -> conductance of the wall between."
    )
    heating_droop_k: float = Field(
        default=0.1, ge=-1, le=1, description="How far below its heating set-point the thermostat lets it."
    )
    cooling_droop_k: float = Field(
        default=0.1, ge=-1, le=1, description="How far above its cooling set-point the thermostat lets it."
    )
    heating_slope_k: float = Field(
        default=0.0,
        ge=0,
        le=3,
        description="How much further at full output: a proportional thermostat's band.",
    )
    cooling_slope_k: float = Field(default=0.0, ge=0, le=3, description="Likewise in cooling.")
    heating_least_k: float = Field(
        default=-1.0, ge=-1, le=1, description="Droop at low output at least, where a unit starts and stops."
    )
    cooling_least_k: float = Field(default=-1.0, ge=-1, le=1, description="Likewise in cooling.")
    heating_swing_k: float = Field(
        default=0.0,
        ge=0,
        le=1,
        description="Part of the droop that 97 % of the looks need, half do not.",
    )
    cooling_swing_k: float = Field(default=0.0, ge=0, le=1, description="Likewise in cooling.")
    heat_lag_share: float = Field(
        default=0.5, ge=0, le=1, description="Share of a quarter hour's heat that shows only after it."
    )


class Zone(Part):
    """[hvac.zones.X]: a room or hall with its comfort band."""

    unit: Identifier = Field(description="Unit that serves it.")
    temp: TagId = Field(description="Zone temperature.")
    heating_setpoint: TagId | None = Field(default=None, description="Heating set-point, read and written.")
    cooling_setpoint: TagId | None = Field(default=None, description="Cooling set-point, read and written.")
    occupied: TagId | None = Field(default=None, description="Occupancy contact, where there is one.")
    area_m2: float | None = Field(default=None, gt=0, description="Floor, for energy per area in the report.")
    comfort_low_degc: float = Field(default=20.0, ge=5, le=30, description="Lower edge while occupied.")
    comfort_high_degc: float = Field(default=25.0, ge=10, le=35, description="Upper edge while occupied.")
    setback_low_degc: float = Field(default=15.0, ge=4, le=30, description="Lower edge while empty.")
    setback_high_degc: float = Field(default=30.0, ge=10, le=40, description="Upper edge while empty.")
    people_low_degc: float | None = Field(
        default=None, ge=0, le=30, description="With people never colder; 15, or comfort_low_degc if lower."
    )
    people_high_degc: float | None = Field(
        default=None,
        ge=15,
        le=45,
        description="With people never warmer; 27.8 (82 degF), or comfort_high_degc if higher.",
    )
    goods_low_degc: float = Field(
        default=5.0, ge=-30, le=25, description="Never colder, for goods and pipes: below, it is heated."
    )
    goods_high_degc: float | None = Field(
        default=None, ge=0, le=50, description="Never warmer, for goods: above, it is cooled."
    )
    max_step_k: float | None = Field(
        default=None,
        gt=0,
        le=10,
        description="A set-point moves by no more in one write, if the device needs it.",
    )
    step_interval_s: float = Field(
        default=900.0, ge=0, le=7200, description="And so long after the write before; with max_step_k."
    )
    occupancy: tuple[WeekTime, ...] = Field(default=(), strict=False, description="Hours with people.")
    model: ZoneModel | None = Field(
        default=None, description="Grey box; without it the schedule is set-back + optimum start."
    )

    @property
    def hard_low_degc(self) -> float:
        """The hard floor with people, [degC]."""
        return min(15.0, self.comfort_low_degc) if self.people_low_degc is None else self.people_low_degc

    @property
    def hard_high_degc(self) -> float:
        """The hard ceiling with people, [degC]; the default is where Cal/OSHA section 3396 begins to act."""
        return max(27.8, self.comfort_high_degc) if self.people_high_degc is None else self.people_high_degc


class Switchback(Part):
    """[hvac.switchback]: a test of what the agent saves: blocks of days under it and under the site's own control."""

    begin: date = Field(description="First local day: 2026-05-04.")
    days: int = Field(default=100, ge=24, le=400, description="Length of the test; 14 weeks and more.")
    block_days: int = Field(
        default=10,
        ge=3,
        le=13,
        description="Days in a row under one control, not 7; the first does not count.",
    )
    seed: int = Field(default=1, ge=0, description="Of the lots that are drawn for the order.")


class Excitation(Part):
    """[hvac.excitation]: some days of small set-point steps inside the comfort band, for better zone models."""

    begin: date = Field(description="First local day: 2026-05-04.")
    days: int = Field(default=5, ge=1, le=14, description="Days; then it ends by itself.")
    step_k: float = Field(default=0.8, ge=0.3, le=1.0, description="Largest step of a set-point.")


class WeatherSource(Part):
    """[hvac.weather]: where a forecast of the outdoor temperature and the sun comes from; one of the three."""

    topic: str | None = Field(default=None, min_length=1, description="MQTT topic that brings it, retained.")
    broker: str | None = Field(default=None, description="Its broker, if not the uplink's.")
    file: FilePath | None = Field(default=None, description="File that some other job keeps fresh.")
    url: str | None = Field(default=None, description='Address to ask, "https://...".')
    every_s: float = Field(default=3600.0, ge=10, le=86400, description="File and URL: how often to look.")
    timeout_s: float = Field(default=10.0, ge=1, le=60, description="URL: how long to wait.")
    most_kb: int = Field(default=512, ge=4, le=4096, description="Longest document that is read.")
    max_age_h: float = Field(
        default=30.0,
        ge=1,
        le=120,
        description="Issued longer ago, it is not used: the site's own sensors are.",
    )


class Hvac(Part):
    """[hvac]: zones and the units that serve them."""

    mode: Literal["observe", "advise", "control"] = Field(
        default="observe", description="The most the agent may do."
    )
    outdoor_temp: TagId | None = Field(default=None, description="Outdoor temperature.")
    solar: TagId | None = Field(default=None, description="Global irradiance, W/m2.")
    wind: TagId | None = Field(
        default=None,
        description="Wind speed, m/s: leaky halls lose more in it; the provider's where there is none.",
    )
    weather: WeatherSource | None = Field(default=None, description="A provider's forecast.")
    switchback: Switchback | None = Field(default=None, description="A test of what the agent saves.")
    excitation: Excitation | None = Field(
        default=None, description="Small steps inside the band, for the models."
    )
    override_hold_h: float = Field(
        default=4.0, ge=0.25, le=72, description="What someone on site has moved is left alone for so long."
    )
    fallback: Literal["hand-back", "comfort"] = Field(
        default="hand-back",
        description="A zone whose temperature is not known is handed back; or, while its device answers, it is kept at "
        "comfort set-points by the calendar, two hours ahead and inside the band by its thermostat's droop.",
    )
    models: FilePath | None = Field(
        default=None, description="Zone models of `trimload identify`; the agent's own later ones win."
    )
    units: dict[Identifier, Unit] = Field(default_factory=dict, description="Units.")
    zones: dict[Identifier, Zone] = Field(default_factory=dict, description="Zones.")
