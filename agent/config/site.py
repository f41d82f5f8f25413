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
from agent.config.zones import Hvac, Switchback, Unit, WeatherSource, Zone, ZoneModel

# What a reader of a site needs is found here; zones and units are written down in agent/config/zones.py.
__all__ = [
    "READ_ROLES",
    "WRITE_ROLES",
    "Baseline",
    "Control",
    "Hvac",
    "Identity",
    "Machine",
    "PricePeriod",
    "Site",
    "Station",
    "Switchback",
    "Tariff",
    "Unit",
    "WeatherSource",
    "Zone",
    "ZoneModel",
    "names_tag",
]

READ_ROLES = ("running", "loaded", "power_kw", "output_share", "ready", "tripped", "discharge_pressure")
WRITE_ROLES = ("enable", "run", "load", "output_share_set", "heartbeat")


class Identity(Part):
    """[site]: who and where."""

    id: Identifier = Field(description="Name of the site in topics and reports; for ever.")
    name: str = Field(default="", description="For people.")
    timezone: str = Field(default="UTC", description='IANA time zone, "Europe/Berlin".')
    country: str = Field(default="", description="Two letters, for public holidays.")
    closed_days: tuple[date, ...] = Field(
        default=(),
        strict=False,
        description="Local dates on which the plant stands though it is no Sunday: 2026-12-24. Zones with hours stay set back.",
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
    pressure_alarm_bar_g: float | None = Field(
        default=None,
        gt=0,
        le=45,
        description="Above it for 20 s the alarm high-pressure is raised. Not set: 0.1 bar above pressure_max_bar_g and "
        "all local_unload_bar_g, at most receiver_rated_bar_g.",
    )
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
    trip_below_s: float | None = Field(
        default=None,
        gt=0,
        le=3600,
        description="Without trip_reserve: so long the pressure may be below the minimum after a trip, by nameplates; "
        "where it would be longer the band stands higher. Not set: no reserve.",
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
        default=8.0, ge=0, le=30, description="A start is weighed as so many minutes of full power."
    )
    starts_per_day_budget: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        description="Motor starts of all machines on an average day; beyond it starts become dearer. Not set: as "
        "many as the old control made while the agent only watched.",
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
