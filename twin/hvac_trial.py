"""A random world lived through under one controller after another: same weather, same people, same past.

The past is lived under the units' own programme and recorded. The agent gets it as history and then meets the
plant over the lines of `trimload cosim`: what an outside simulator would send, it is sent here.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import NamedTuple

import numpy as np

from agent.config.site import Site, Tariff
from agent.daemon.cosim import serve
from agent.planner.hvac_schedule import is_occupied
from agent.planner.prices import price_grid
from agent.store.history import History
from twin.hvac import HvacTwin
from twin.hvac_world import World, hall_maker
from twin.weather import Weather

LINE_S = 300.0
BILLED_S = 900.0
TIMEZONE = "Europe/Berlin"
FORECAST_H = 37
SAME_K = 0.05
_WARM_UP_DAYS = 2


class Scene(NamedTuple):
    """A world, its span and its weather."""

    world: World
    start_at: datetime
    days: float
    past_days: float
    seed: int

    @property
    def end_at(self) -> datetime:
        return self.start_at + timedelta(days=self.days)


@dataclass(slots=True)
class Account:
    """What a controller used and what people felt, from the scene's start to its end."""

    energy_kwh: float = 0.0
    empty_kwh: float = 0.0  # of units while nobody was in any of their zones
    discomfort_kh: float = 0.0
    power_kw: list[float] = field(default_factory=list)  # mean of each quarter hour
    starts: dict[str, list[datetime]] = field(default_factory=dict)
    writes: int = 0
    idle_writes: int = 0  # set-points that stood there already
    day_ends: list[tuple[datetime, str, float]] = field(default_factory=list)  # zone, kelvins out of its band

    def cost(self, tariff: Tariff, start_at: datetime) -> float:
        """Energy by the hour, and the highest quarter hour as one billing period."""
        price = price_grid(tariff, TIMEZONE, start_at, len(self.power_kw), BILLED_S)
        energy = float(price @ np.array(self.power_kw)) * BILLED_S / 3600.0
        return energy + tariff.demand_charge_per_kw * max(self.power_kw, default=0.0)

    def starts_per_hour(self, unit: str) -> int:
        """The most starts of a unit within any hour."""
        times = self.starts.get(unit, [])
        hour = timedelta(hours=1)
        return max((sum(first <= at < first + hour for at in times) for first in times), default=0)


Control = Callable[[HvacTwin, datetime], None]


def site_of(world: World, tariff: Tariff, *, mode: str = "control") -> Site:
    """What an engineer would write of a world for co-simulation: nameplates, hours, no models."""
    sensors = {"temp": {"unit": "degC"}, "sun": {"unit": "W/m2"}}
    if world.hvac.wind is not None:
        sensors["wind"] = {"unit": "m/s"}
    devices: dict[str, object] = {"weather": {"driver": "lines", "stale_after_s": 1800.0, "points": sensors}}
    for name in world.hvac.units:
        setpoint = {"unit": "degC", "writable": True, "write_min": 4.0, "write_max": 40.0}
        devices[name] = {
            "driver": "lines",
            "stale_after_s": 1800.0,
            "points": {
                "temp": {"unit": "degC"},
                "power": {"unit": "kW"},
                "occupied": {},
                "heat_set": setpoint,
                "cool_set": setpoint,
                "enable": {"writable": True, "write_min": 0.0, "write_max": 1.0},
                "beat": {"writable": True, "write_min": 0.0, "write_max": 65535.0},
            },
        }
    return Site.model_validate(
        {
            "site": {"id": world.name, "name": world.name, "timezone": TIMEZONE, "country": "DE"},
            "tariff": tariff,
            "tick_s": 60.0,
            "allow_writes": [f"{name}.*" for name in world.hvac.units],
            "devices": devices,
            "hvac": world.hvac.model_copy(update={"mode": mode}),
        }
    )


def plant(scene: Scene, site: Site) -> HvacTwin:
    """The world at the beginning of its past."""
    begin_at = scene.start_at - timedelta(days=scene.past_days)
    place = scene.world.climate
    weather = Weather(
        start_at=begin_at - timedelta(days=_WARM_UP_DAYS),
        seed=scene.seed,
        timezone=TIMEZONE,
        latitude_deg=place.latitude_deg,
        mean_degc=place.mean_degc,
        yearly_swing_k=place.yearly_swing_k,
        daily_swing_k=place.daily_swing_k,
    )
    return HvacTwin(
        site,
        start_at=begin_at,
        seed=scene.seed,
        weather=weather,
        warm_up_days=_WARM_UP_DAYS,
        units=scene.world.units,
        make_zones=hall_maker(scene.world),
    )


Rows = list[tuple[datetime, str, float | None]]


def lived(twin: HvacTwin, scene: Scene, control: Control) -> Rows:
    """The scene's past under a controller, as a logger at the site would have it."""
    at = scene.start_at - timedelta(days=scene.past_days)
    rows: Rows = []
    meters = _Meters(twin)
    while at < scene.start_at:
        control(twin, at)
        after = at + timedelta(seconds=LINE_S)
        twin.advance_to(after)
        rows += [(at, tag, value) for tag, value in meters.readings(twin).items()]
        at = after
    return rows


def run(twin: HvacTwin, scene: Scene, control: Control) -> Account:
    """The scene under a controller that is asked every five minutes."""
    books = _Books(twin)
    at = scene.start_at
    while at < scene.end_at:
        control(twin, at)
        at = books.live(twin, at)
    return books.close(twin)


def run_agent(
    twin: HvacTwin,
    scene: Scene,
    site: Site,
    past: Rows,
    *,
    forecast: bool = True,
    lost: tuple[datetime, datetime] | None = None,
    answers: list[dict[str, object]] | None = None,
) -> Account:
    """The scene under `trimload cosim`, from a standing start with its past as history.

    `forecast`: whether the lines carry the weather to come, as a service with errors of its own would
    tell it. `lost`: from when to when no zone's temperature is known.
    """
    history = History(":memory:", 60)
    history.load(past)
    dialogue = _Dialogue(twin, scene, forecast=forecast, lost=lost, answers=answers)
    asyncio.run(serve(site, history, dialogue, dialogue))  # type: ignore[arg-type]
    return dialogue.books.close(twin)


def programme(twin: HvacTwin, at: datetime) -> None:
    """Nobody but the units' own controllers: set-back by their clocks, no start ahead."""
    del twin, at


class SetBack(NamedTuple):
    """A static schedule: comfort from `lead_h` before people come, `inset_k` within the band; else `depth_k` beyond it."""

    lead_h: float
    depth_k: float
    inset_k: float

    def __call__(self, twin: HvacTwin, at: datetime) -> None:
        for name, zone in twin.hvac.zones.items():
            ahead = (0.25 * k for k in range(round(4 * self.lead_h) + 1))
            comfort = any(is_occupied(zone, TIMEZONE, at + timedelta(hours=lead)) for lead in ahead)
            inset = self.inset_k if comfort else -self.depth_k
            low = max(zone.comfort_low_degc + inset, zone.setback_low_degc)
            high = min(zone.comfort_high_degc - inset, zone.setback_high_degc)
            _hold(twin, name, low, high, at)


class Always(NamedTuple):
    """Comfort day and night, `inset_k` within the band: the site that nobody ever set back."""

    inset_k: float

    def __call__(self, twin: HvacTwin, at: datetime) -> None:
        for name, zone in twin.hvac.zones.items():
            _hold(twin, name, zone.comfort_low_degc + self.inset_k, zone.comfort_high_degc - self.inset_k, at)


def _hold(twin: HvacTwin, name: str, heating_degc: float, cooling_degc: float, at: datetime) -> None:
    """Another master than the agent: its heartbeat and its set-points."""
    zone = twin.hvac.zones[name]
    unit = twin.hvac.units[zone.unit]
    twin.write(unit.heartbeat or "", at.timestamp() // LINE_S % 65536)
    for _ in range(2):  # a thermostat refuses one that would pass the other as it stands
        twin.write(zone.cooling_setpoint or "", cooling_degc)
        twin.write(zone.heating_setpoint or "", heating_degc)


class _Meters:
    """What a site's meters say: sensors now, power as the mean since the last reading."""

    def __init__(self, twin: HvacTwin) -> None:
        self._energy_kwh = {name: unit.energy_kwh for name, unit in twin.units.items()}

    def readings(self, twin: HvacTwin) -> dict[str, float | None]:
        hvac = twin.hvac
        out: dict[str, float | None] = {}
        for name, unit in hvac.units.items():
            energy = twin.units[name].energy_kwh
            out[unit.power or ""] = (energy - self._energy_kwh[name]) * 3600.0 / LINE_S
            self._energy_kwh[name] = energy
            out[unit.enable or ""] = twin.read(unit.enable or "")
        for zone in hvac.zones.values():
            for tag in (zone.temp, zone.heating_setpoint, zone.cooling_setpoint, zone.occupied):
                out[tag or ""] = twin.read(tag or "")
        for tag in (hvac.outdoor_temp, hvac.solar, hvac.wind):
            if tag is not None:
                out[tag] = twin.read(tag)
        return out


class _Books:
    """Counts what happens from now on."""

    def __init__(self, twin: HvacTwin) -> None:
        twin.open_books()
        self.account = Account()
        self._quarter_kwh: list[float] = []
        self._starts = dict.fromkeys(twin.units, 0)

    def live(self, twin: HvacTwin, at: datetime) -> datetime:
        """Five minutes; when they are over."""
        before = twin.energy_kwh
        manned = {zone.zone.unit for zone in twin.zones.values() if zone.occupied}
        drawn = {name: unit.energy_kwh for name, unit in twin.units.items() if name not in manned}
        at_work = {name: zone.air_degc for name, zone in twin.zones.items() if zone.occupied}
        after = at + timedelta(seconds=LINE_S)
        twin.advance_to(after)
        self._quarter_kwh.append(twin.energy_kwh - before)
        self.account.empty_kwh += sum(twin.units[name].energy_kwh - kwh for name, kwh in drawn.items())
        if len(self._quarter_kwh) * LINE_S >= BILLED_S:
            self.account.power_kw.append(sum(self._quarter_kwh) * 3600.0 / BILLED_S)
            self._quarter_kwh.clear()
        for name, unit in twin.units.items():
            self.account.starts.setdefault(name, []).extend([at] * (unit.starts - self._starts[name]))
            self._starts[name] = unit.starts
        for name, air_degc in at_work.items():
            # They left within these five minutes, as the set-points did: the air as they last had it counts.
            if not twin.zones[name].occupied:
                settings = twin.hvac.zones[name]
                cold = settings.comfort_low_degc - air_degc
                warm = air_degc - settings.comfort_high_degc
                self.account.day_ends.append((at, name, max(cold, warm, 0.0)))
        return after

    def close(self, twin: HvacTwin) -> Account:
        self.account.energy_kwh, self.account.discomfort_kh = twin.energy_kwh, twin.discomfort_kh
        return self.account


class _Dialogue:
    """Standard input and output of `trimload cosim` at once: lines of the plant, answers into it."""

    def __init__(
        self,
        twin: HvacTwin,
        scene: Scene,
        *,
        forecast: bool,
        lost: tuple[datetime, datetime] | None,
        answers: list[dict[str, object]] | None,
    ) -> None:
        self._twin, self._scene, self._tells_weather, self._lost = twin, scene, forecast, lost
        self._answers = answers
        self.books = _Books(twin)

    def __iter__(self) -> Iterator[str]:
        at = self._scene.start_at
        meters = _Meters(self._twin)
        while at < self._scene.end_at:
            readings = meters.readings(self._twin)
            if self._lost is not None and self._lost[0] <= at < self._lost[1]:
                readings |= dict.fromkeys((zone.temp for zone in self._twin.hvac.zones.values()), None)
            line: dict[str, object] = {"at": at.isoformat(), "readings": readings}
            if self._tells_weather and at.minute == 0:
                line["forecast"] = self._forecast(at)
            yield json.dumps(line)
            at = self.books.live(self._twin, at)

    def write(self, text: str) -> None:
        """An answer: its commands go to the plant before the next line is asked for."""
        answer = json.loads(text)
        if "error" in answer:
            raise ValueError(f"the agent did not understand the plant: {answer['error']}")
        if self._answers is not None:
            self._answers.append(answer)
        setpoints = {
            tag
            for zone in self._twin.hvac.zones.values()
            for tag in (zone.heating_setpoint, zone.cooling_setpoint)
        }
        orders = [(tag, value) for tag, value in answer["commands"].items() if value is not None]
        for tag, value in orders:
            if tag in setpoints:
                self.books.account.writes += 1
                self.books.account.idle_writes += abs((self._twin.read(tag) or 0.0) - value) < SAME_K
        for _ in range(2):
            for tag, value in orders:
                self._twin.write(tag, value)

    def flush(self) -> None:
        return

    def _forecast(self, at: datetime) -> dict[str, list[list[object]]]:
        """A weather service: right on the whole, off by about 1 K soon and 1.5 K a day ahead; wind by 15 and 30 %."""
        rng = random.Random(f"{self._scene.seed} {at}")
        temp: list[list[object]] = []
        sun: list[list[object]] = []
        wind: list[list[object]] = []
        gusts = random.Random(f"wind {self._scene.seed} {at}")
        blown = gusts.gauss(1.0, 0.15)
        off = rng.gauss(0.0, 0.6)
        clouds = rng.gauss(1.0, 0.15)
        for hour in range(FORECAST_H):
            when = at + timedelta(hours=hour)
            truth = self._twin.weather.at(when)
            temp.append([when.isoformat(), truth.temp_degc + off])
            sun.append([when.isoformat(), truth.sun_w_m2 * min(max(clouds, 0.5), 1.5)])
            wind.append([when.isoformat(), max(truth.wind_m_s * blown, 0.0)])
            blown = 1.0 + 0.97 * (blown - 1.0) + gusts.gauss(0.0, 0.075)
            # AR(1) by the hour after the error model of BOPTEST's forecasts (Zheng et al. 2025), "medium".
            off = 0.97 * off + rng.gauss(0.0, 0.35)
            clouds = 1.0 + 0.9 * (clouds - 1.0) + rng.gauss(0.0, 0.08)
        hvac = self._twin.hvac
        told = {hvac.outdoor_temp or "": temp, hvac.solar or "": sun}
        return told if hvac.wind is None else {**told, hvac.wind: wind}
