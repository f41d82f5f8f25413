"""What the page shows, gathered from the files that the agent writes: nothing is asked of the agent itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from agent.config.site import Site, Station
from agent.config.zones import Hvac, Zone
from agent.daemon.overrides import Override, read_overrides
from agent.page.told import TELLS, Told, is_trimming, tell
from agent.savings.measured import Floats, StationMinutes, read_minutes
from agent.store.ledger import Entry
from agent.store.reading import HistoryReader, LedgerReader, unreadable
from agent.store.tags import MODE_CODES, WEATHER_AGE_TAG, WEATHER_CODES, WEATHER_TAG, mode_tag

BACK = timedelta(hours=24)
# A value of a minute that ended longer ago is not called present.
FRESH = timedelta(minutes=5)
_ROWS = 60
# Rows looked through for those: a day's moves of a speed control lie between them.
_LOOK_THROUGH = 3000


@dataclass(frozen=True, slots=True)
class ModeNow:
    """`mode` None: not known, the agent has not written for a while."""

    mode: str | None
    since: datetime | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class MachineNow:
    """A machine in the last minute. `state` is loaded, unloaded, stopped or unknown; `held` tells of an override."""

    name: str
    state: str
    power_kw: float | None
    output_share: float | None
    hours_loaded: float
    starts: int
    held: str


@dataclass(frozen=True, slots=True)
class DayPlan:
    """The plan in force. `running` are (from, machines); demand and reserve [m3/min] stand at `at`."""

    plan_id: str
    made_at: datetime
    status: str
    cause: str
    reasons: tuple[str, ...]
    running: tuple[tuple[datetime, frozenset[str]], ...]
    at: tuple[datetime, ...]
    demand_m3_min: tuple[float, ...]
    reserve_m3_min: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class AirNow:
    """A station: its last day and its state in the last minute. `forecast_error` is the ratio to the naive rule."""

    station_id: str
    station: Station
    mode: ModeNow
    alarm: str
    minutes: StationMinutes
    pressure_bar_g: float | None
    demand_m3_min: float | None
    power_kw: float | None
    machines: tuple[MachineNow, ...]
    plan: DayPlan | None
    forecast: str
    forecast_error: float | None


@dataclass(frozen=True, slots=True)
class ZoneNow:
    """A zone: temperature and set-points [degC] by minute over the last day, NaN where unknown."""

    zone_id: str
    zone: Zone
    start_at: datetime
    temp_degc: Floats
    heating_degc: Floats
    cooling_degc: Floats
    enabled: bool | None


@dataclass(frozen=True, slots=True)
class HvacNow:
    """All zones. `weather` names whose weather is planned by, `weather_age_h` how old a provider's forecast is."""

    mode: ModeNow
    zones: tuple[ZoneNow, ...]
    outdoor_degc: float | None
    weather: str
    weather_age_h: float | None
    plan: str
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SiteNow:
    """Everything on the page. `seen_at` is the end of the last minute that was written, None before the first."""

    site: Site
    now: datetime
    seen_at: datetime | None
    air: tuple[AirNow, ...]
    hvac: HvacNow | None
    rows: tuple[tuple[datetime, Told], ...]

    @property
    def age_s(self) -> float | None:
        """Seconds since the last minute that was written."""
        return None if self.seen_at is None else max((self.now - self.seen_at).total_seconds(), 0.0)

    @property
    def is_fresh(self) -> bool:
        """Whether the agent is writing."""
        return self.age_s is not None and self.age_s <= FRESH.total_seconds()


def gather(site: Site, state: Path, now: datetime) -> SiteNow:
    """Read the state directory of an agent, beside it. Raises StoreError where it holds no readable history or ledger."""
    try:
        return _gather(site, state, now)
    except sqlite3.DatabaseError as error:
        raise unreadable("history or ledger", state, error) from error


def _gather(site: Site, state: Path, now: datetime) -> SiteNow:
    with HistoryReader(state / "history.db") as history, LedgerReader(state / "ledger.db") as ledger:
        span = history.span()
        seen_at = None if span is None else span[1]
        begin, end = now - BACK, now + timedelta(minutes=1)
        held = {(each.station, each.machine): each for each in read_overrides(state)}
        air = tuple(
            _air(history, ledger, station_id, station, begin, end, held)
            for station_id, station in site.stations.items()
        )
        hvac = None if site.hvac is None else _hvac(history, ledger, site.hvac, begin, end)
        entries = [e for e in ledger.newest(TELLS, _LOOK_THROUGH) if not is_trimming(e)][:_ROWS]
    return SiteNow(site, now, seen_at, air, hvac, tuple((entry.at, tell(entry)) for entry in entries))


def _air(
    history: HistoryReader,
    ledger: LedgerReader,
    station_id: str,
    station: Station,
    begin: datetime,
    end: datetime,
    held: Mapping[tuple[str, str], Override],
) -> AirNow:
    def ours(entry: Entry) -> bool:
        return entry.values().get("station") == station_id

    minutes = read_minutes(history, station_id, station, begin, end)
    started = ledger.last("agent_started")
    alarm = ledger.last("alarm", ours)
    # An agent that started anew says again what still holds.
    stands = alarm is not None and (started is None or alarm.seq > started.seq)
    text = str(alarm.values().get("text", "")) if alarm is not None and stands else ""
    forecast, quality = ledger.last("forecast", ours), ledger.last("forecast_quality", ours)
    plan = ledger.last("plan", ours)
    error = None if quality is None else quality.values().get("ratio_to_naive")
    machines = []
    for index, name in enumerate(minutes.names):
        override = held.get((station_id, name))
        machines.append(_machine(minutes, index, "" if override is None else override.text))
    return AirNow(
        station_id,
        station,
        _mode(history, ledger, station_id, begin, end),
        "" if text == "over" else text,
        minutes,
        latest(minutes.pressure_bar_g),
        latest(minutes.demand_m3_min),
        latest(minutes.station_power_kw),
        tuple(machines),
        None if plan is None else _plan(plan),
        "" if forecast is None else str(forecast.values().get("text", "")),
        float(error) if isinstance(error, int | float) else None,
    )


def _machine(minutes: StationMinutes, index: int, held: str) -> MachineNow:
    running, loaded = minutes.running[:, index], minutes.loaded[:, index]
    on = running >= 0.5
    ran, loads = latest(running), latest(loaded)
    if ran is None:
        state = "unknown"
    elif ran < 0.5:
        state = "stopped"
    else:
        state = "running" if loads is None else "loaded" if loads >= 0.5 else "unloaded"
    known = np.isfinite(running)
    return MachineNow(
        minutes.names[index],
        state,
        latest(minutes.power_kw[:, index]),
        latest(minutes.output_share[:, index]),
        float(np.nansum(np.where(on, np.nan_to_num(loaded), 0.0)) / 60.0),
        int((on[1:] & ~on[:-1] & known[:-1]).sum()),
        held,
    )


def _plan(entry: Entry) -> DayPlan:
    fields = entry.values()
    case = fields.get("case") or {}
    steps = [float(minutes) for minutes in case.get("step_minutes", ())]
    starts = np.concatenate([[0.0], np.cumsum(steps)])[:-1] if steps else np.empty(0)
    return DayPlan(
        str(fields.get("plan", "")),
        entry.at,
        str(fields.get("status", "")),
        str(fields.get("cause", "")),
        tuple(map(str, fields.get("reasons", ()))),
        tuple((datetime.fromisoformat(at), frozenset(names)) for at, names, _ in fields.get("running", ())),
        tuple(entry.at + timedelta(minutes=float(start)) for start in starts),
        tuple(map(float, case.get("demand_m3min", ()))),
        tuple(map(float, case.get("reserve_m3min", ()) or ())),
    )


def _mode(history: HistoryReader, ledger: LedgerReader, name: str, begin: datetime, end: datetime) -> ModeNow:
    code = latest(history.series(mode_tag(name), begin, end).values)
    if code is None:
        return ModeNow(None)
    mode = next(mode.value for mode, number in MODE_CODES.items() if number == round(code))
    changed = ledger.last("mode_changed", lambda entry: entry.values().get("station") == name)
    if changed is None or changed.values().get("mode") != mode:
        return ModeNow(mode)
    return ModeNow(mode, changed.at, str(changed.values().get("why", "")))


def _hvac(
    history: HistoryReader,
    ledger: LedgerReader,
    hvac: Hvac,
    begin: datetime,
    end: datetime,
) -> HvacNow:
    def column(tag: str | None) -> Floats:
        if tag is None:
            return np.full(int((end - begin).total_seconds() // 60), np.nan)
        return history.series(tag, begin, end).values

    zones = []
    for zone_id, zone in hvac.zones.items():
        temp = history.series(zone.temp, begin, end)
        on = latest(column(hvac.units[zone.unit].enable))
        zones.append(
            ZoneNow(
                zone_id,
                zone,
                temp.start_at,
                temp.values,
                column(zone.heating_setpoint),
                column(zone.cooling_setpoint),
                None if on is None else on >= 0.5,
            )
        )
    code = latest(column(WEATHER_TAG))
    source = next((name for name, number in WEATHER_CODES.items() if number == code), "unknown")
    plan = ledger.last("hvac_plan")
    fields = {} if plan is None else plan.values()
    return HvacNow(
        _mode(history, ledger, "hvac", begin, end),
        tuple(zones),
        latest(column(hvac.outdoor_temp)),
        source,
        latest(column(WEATHER_AGE_TAG)),
        str(fields.get("plan", "")),
        tuple(map(str, fields.get("reasons", ()))),
    )


def latest(values: Floats) -> float | None:
    """The last minute's value where it is not older than FRESH; None otherwise."""
    recent = values[-int(FRESH.total_seconds() // 60) - 1 :]
    known = recent[np.isfinite(recent)]
    return float(known[-1]) if len(known) else None
