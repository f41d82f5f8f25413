"""The site as its engineer describes it: one immutable tree, each number with range and unit.

Numbers from the nameplate describe the machine; limits (minimum times, starts) bind the guard.
"""

from __future__ import annotations

from datetime import date
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Literal

from pydantic import Field

from agent.config.parts import Device, FilePath, Identifier, Part, Point, TagId, WeekTime
from agent.config.services import Production, Storage, Updates, Uplink

READ_ROLES = ("running", "loaded", "power_kw", "output_share", "ready", "tripped")
WRITE_ROLES = ("enable", "run", "load", "output_share_set", "heartbeat")


class Identity(Part):
    """[site]: who and where."""

    id: Identifier = Field(description="Name of the site in topics and reports; for ever.")
    name: str = Field(default="", description="For people.")
    timezone: str = Field(default="UTC", description='IANA time zone, "Europe/Berlin".')
    country: str = Field(default="", description="Two letters, for public holidays.")
    closed_days: tuple[date, ...] = Field(
        default=(), description="Local dates on which the plant stands though it is no Sunday: 2026-12-24."
    )
    altitude_m: float = Field(default=0.0, ge=-430, le=5000, description="Height above sea level.")


class PricePeriod(WeekTime):
    """A span of the week with its own price."""

    energy_price_per_kwh: float = Field(ge=0, description="Price inside the span.")


class Tariff(Part):
    """[tariff]: what energy costs."""

    currency: str = Field(default="EUR", min_length=3, max_length=3, description="ISO 4217.")
    energy_price_per_kwh: float = Field(default=0.15, ge=0, le=5, description="Price outside all periods.")
    periods: tuple[PricePeriod, ...] = Field(
        default=(), strict=False, description="Spans with another price; the first that holds counts."
    )
    demand_charge_per_kw: float = Field(
        default=0.0, ge=0, description="Price of a higher peak, per kW and billing period."
    )
    demand_interval_min: int = Field(default=15, ge=5, le=60, description="Length of a billing interval.")
    peak_so_far_kw: float = Field(default=0.0, ge=0, description="Peak already paid for.")
    site_limit_kw: float | None = Field(default=None, gt=0, description="Electrical limit of the site.")
    co2_kg_per_kwh: float = Field(default=0.36, ge=0, le=2, description="Emission factor of the electricity.")
    co2_price_per_kg: float = Field(default=0.0, ge=0, description="Price of emissions, for the plan.")


Control = Literal[
    "load-unload",
    "vsd",
    "modulation-unload",
    "variable-displacement-unload",
    "modulation",
    "start-stop",
    "centrifugal-blow-off",
    "centrifugal-load-unload",
    "centrifugal-modulation-unload",
]


class Machine(Part):
    """[stations.X.machines.Y]: one compressor."""

    device: Identifier = Field(description="Device that carries its points.")
    control: Control = Field(default="load-unload", description="How it trims its flow.")
    full_flow_m3_min: float = Field(gt=0, le=2000, description="Free air at full load (ISO 1217).")
    full_power_kw: float = Field(gt=0, le=5000, description="Package power at full load.")
    unloaded_power_kw: float = Field(
        ge=0,
        description="Package power unloaded; modulation: at no flow; blow-off: blowing off; start-stop: 0.",
    )
    turndown_flow_m3_min: float | None = Field(
        default=None, gt=0, description="VSD: least flow. Throttled: flow where it unloads or blows off."
    )
    turndown_power_kw: float | None = Field(default=None, gt=0, description="Power at that flow.")
    mid_flow_m3_min: float | None = Field(default=None, gt=0, description="VSD: a point between.")
    mid_power_kw: float | None = Field(default=None, gt=0, description="VSD: power there.")
    modulating_range_bar: float | None = Field(
        default=None, gt=0, le=5, description="Throttled: pressure rise from open to closed inlet (0.7)."
    )
    start_s: float = Field(default=15.0, ge=0, le=900, description="From start command to air.")
    reload_s: float = Field(default=3.0, ge=0, le=60, description="From load command to full flow.")
    blowdown_s: float = Field(
        default=40.0, ge=0, le=300, description="Sump blow-down after unloading; 0 if oil-free."
    )
    run_on_s: float = Field(default=300.0, ge=0, le=7200, description="Its own run-on timer before it stops.")
    min_run_s: float = Field(default=120.0, ge=0, le=7200, description="Least time between start and stop.")
    min_stop_s: float = Field(default=60.0, ge=0, le=7200, description="Least time between stop and start.")
    max_starts_per_hour: int = Field(default=6, ge=1, le=60, description="Motor start limit.")
    max_starts_per_day: int = Field(default=100, ge=1, le=1000, description="Motor start limit.")
    priority: int = Field(default=1, ge=1, le=100, description="Lower runs first when nothing else decides.")
    start_cost: float = Field(default=0.0, ge=0, description="Wear of one start, in the tariff's currency.")
    locked_out: bool = Field(default=False, description="Under maintenance: held stopped, never started.")
    dead_man_s: float | None = Field(
        default=None,
        gt=0,
        le=600,
        description="Its controller returns to local control when the heartbeat stands still this long.",
    )
    local_load_bar_g: float | None = Field(
        default=None, gt=0, description="Its own pressure switch: load below."
    )
    local_unload_bar_g: float | None = Field(
        default=None, gt=0, description="Its own pressure switch: unload above."
    )
    tags: dict[str, TagId] = Field(
        default_factory=dict, description="Role -> tag, where it is not device.role."
    )

    def tag(self, role: str) -> str:
        """The tag that plays `role`."""
        return self.tags.get(role, f"{self.device}.{role}")

    @cached_property
    def specific_power_kw_min_m3(self) -> float:
        """Full-load power per free air, [kW min/m3]."""
        return self.full_power_kw / self.full_flow_m3_min


class Baseline(Part):
    """[stations.X.baseline]: how the station was controlled before the agent; savings are counted against it."""

    control: Literal["switches", "cascade", "sequencer"] = Field(
        default="switches",
        description="Each machine's own pressure switch as given above, a staggered cascade, or a sequencer "
        "with one band.",
    )
    order: Literal["priority", "size-down", "size-up", "efficiency"] = Field(
        default="priority", description="Which machine comes first; not for switches."
    )
    floor_bar: float | None = Field(
        default=None, ge=0, le=5, description="Lowest switch or the band's begin, above pressure_min_bar_g."
    )
    band_bar: float | None = Field(default=None, gt=0, le=5, description="From loading to unloading.")
    offset_bar: float | None = Field(
        default=None, ge=0, le=2, description="Cascade: from one machine's switch to the next."
    )
    run_on_s: float | None = Field(
        default=None,
        ge=0,
        le=7200,
        description="Unloaded time before a machine is stopped; not for switches.",
    )
    vsd_first: bool | None = Field(
        default=None, description="Variable speed stands first in the order and trims; not for switches."
    )


class Station(Part):
    """[stations.X]: machines that feed one net."""

    name: str = Field(default="", description="For people.")
    mode: Literal["observe", "advise", "control"] = Field(
        default="observe", description="The most the agent may do."
    )
    pressure: TagId = Field(description="Header pressure, gauge.")
    flow: TagId | None = Field(default=None, description="Flow meter of the net, where there is one.")
    pressure_min_bar_g: float = Field(gt=0, le=45, description="What the plant needs at the header.")
    pressure_max_bar_g: float = Field(gt=0, le=45, description="The band never reaches above.")
    receiver_m3: float = Field(gt=0, le=5000, description="Receivers and pipes together.")
    receiver_rated_bar_g: float | None = Field(default=None, gt=0, description="Nameplate of the receiver.")
    atmosphere_bar: float = Field(default=1.013, gt=0.5, lt=1.1, description="Air pressure on site.")
    treatment_drop_bar: float = Field(
        default=0.0, ge=0, le=2, description="Loss of dryers and filters at all machines' full flow; twin."
    )
    unregulated_share: float = Field(
        default=0.0, ge=0, le=1, description="Air use that follows the pressure, 0.6 is usual; twin."
    )
    band_floor_bar: float = Field(
        default=0.08, ge=0, le=2, description="The band begins this far above the minimum, at first."
    )
    band_adapts: bool = Field(
        default=True, description="Whether the floor then learns from the dips that come."
    )
    band_width_bar: float = Field(default=0.25, gt=0, le=2, description="Width of the band.")
    trip_reserve: bool = Field(
        default=False,
        description="The band stands so high that the trip of any one machine does not pass the minimum.",
    )
    hours_spread_h: float | None = Field(
        default=None,
        ge=1,
        le=20000,
        description="Machines with the same nameplate share the hours run, at most this far apart.",
    )
    lead_s: float = Field(
        default=10.0, ge=0, le=120, description="Machines load this long before the band would be left."
    )
    start_cost_min: float = Field(
        default=3.0, ge=0, le=30, description="A start is weighed as so many minutes of full power."
    )
    demand_spread: float = Field(
        default=0.05,
        ge=0,
        le=0.5,
        description="The demand's relative swing within minutes, for the choice of machines.",
    )
    shift_hours: tuple[WeekTime, ...] = Field(
        default=(), strict=False, description="When the plant works: for reports and the twin."
    )
    baseline: Baseline = Field(
        default=Baseline(), description="The control that savings are counted against."
    )
    machines: dict[Identifier, Machine] = Field(min_length=1, description="Its compressors.")


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
    sun_kw_per_w_m2: float = Field(default=0.0, ge=0, description="Gain per global irradiance.")
    gain_occupied_kw: float = Field(default=0.0, ge=0, description="People and machines while occupied.")
    gain_always_kw: float = Field(default=0.0, ge=0, description="Gains at all hours.")
    vent_ua_kw_per_k: float = Field(
        default=0.0, ge=0, description="Further loss to outdoors by fresh air while occupied."
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
    weather: WeatherSource | None = Field(default=None, description="A provider's forecast.")
    switchback: Switchback | None = Field(default=None, description="A test of what the agent saves.")
    override_hold_h: float = Field(
        default=4.0, ge=0.25, le=72, description="What someone on site has moved is left alone for so long."
    )
    models: FilePath | None = Field(
        default=None, description="Zone models of `trimload identify`; the agent's own later ones win."
    )
    units: dict[Identifier, Unit] = Field(default_factory=dict, description="Units.")
    zones: dict[Identifier, Zone] = Field(default_factory=dict, description="Zones.")


class Site(Part):
    """A whole site.toml."""

    site: Identity
    tariff: Tariff = Tariff()
    storage: Storage = Storage()
    uplink: Uplink | None = None
    updates: Updates | None = None
    tick_s: float = Field(default=1.0, ge=0.2, le=60, description="Period of the control loop.")
    allow_writes: tuple[str, ...] = Field(
        default=(), strict=False, description='Tags that may ever be written; "c1.*" takes all of c1.'
    )
    devices: dict[Identifier, Device] = Field(min_length=1)
    stations: dict[Identifier, Station] = Field(default_factory=dict)
    hvac: Hvac | None = None
    production: Production | None = None
    models: dict[str, FilePath] = Field(
        default_factory=dict, description="Forecast target (tag or station id) -> ONNX file."
    )

    @cached_property
    def points(self) -> dict[str, Point]:
        """Every point of the site by tag id, profiles already merged in by the loader."""
        return {f"{d}.{p}": point for d, device in self.devices.items() for p, point in device.points.items()}

    def may_write(self, tag: str) -> bool:
        """Whether `allow_writes` names the tag, by itself or by a pattern with `*`."""
        return any(names_tag(pattern, tag) for pattern in self.allow_writes)


def names_tag(pattern: str, tag: str) -> bool:
    """Whether a line of allow_writes means the tag: `c1.*` means all of c1."""
    return fnmatchcase(tag, pattern)
