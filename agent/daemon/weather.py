"""Which weather the plan goes by, how old it is and why: said once when it changes, and in telemetry always."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Hvac
from agent.domain import Quality, Reading, Snapshot
from agent.log import get_logger
from agent.planner.hvac import WeatherForecast
from agent.planner.weather import Chosen, Kind, choose, value_at, wind_share
from agent.store.history import History
from agent.store.tags import WEATHER_AGE_TAG, WEATHER_CODES, WEATHER_TAG, WEATHER_WIND_TAG
from agent.weather.reading import Forecast

log = get_logger(__name__)

Events = list[tuple[str, datetime, dict[str, object]]]
MAX_AGE_H = 30.0
_PAST_DAYS = 14
_PAST_STEP_S = 900
_WIND_STEPS = 4
_UNKNOWN = Chosen(None, "unknown", None, "nothing is known yet")


class WeatherDesk:
    """Holds the latest forecast and chooses for each plan."""

    def __init__(self, hvac: Hvac) -> None:
        self._hvac = hvac
        self._max_age_h = hvac.weather.max_age_h if hvac.weather is not None else MAX_AGE_H
        self._rows: dict[str, Sequence[tuple[datetime, float]]] = {}
        self._issued_at: datetime | None = None
        self._origin = ""
        self._chosen: Chosen = _UNKNOWN
        self._told: str | None = None

    @property
    def source(self) -> str:
        """`provider`, `own sensors` or `unknown`: what the plan in force goes by."""
        return self._chosen.source

    @property
    def text(self) -> str:
        """For people: `provider, 3 h old` or `own sensors: the forecast is 38 h old, more than 30`."""
        age_h, why = self._chosen.age_h, self._chosen.why
        if self._chosen.source == "provider":
            return f"provider, {age_h:.0f} h old" if age_h is not None else "provider"
        return f"{self._chosen.source}: {why}" if why else self._chosen.source

    def take(self, forecast: Forecast) -> None:
        """A provider's forecast, however it came."""
        self._take(forecast.issued_at, forecast.series, forecast.origin)

    def take_tags(self, at: datetime, series: Mapping[str, Sequence[tuple[datetime, float]]]) -> None:
        """Likewise by tag (outdoor temperature, sun, wind), issued at `at`: an outside simulator's."""
        kinds = {
            self._hvac.outdoor_temp: "outdoor_temp",
            self._hvac.solar: "solar",
            self._hvac.wind: "wind",
            WEATHER_WIND_TAG: "wind",
        }
        rows = {kinds[tag]: rows for tag, rows in series.items() if tag in kinds}
        self._take(at, {**self._rows, **rows}, "outside simulator")

    def forecast(
        self, snapshot: Snapshot, history: History, events: Events, *, steps: int, step_s: float
    ) -> WeatherForecast:
        """The weather of the next `steps`; a change of source becomes an event."""
        temp = self._choose("outdoor_temp", self._hvac.outdoor_temp, snapshot, history, steps, step_s)
        sun = self._choose("solar", self._hvac.solar, snapshot, history, steps, step_s)
        wind = self._choose("wind", self._hvac.wind, snapshot, history, steps, step_s)
        self._chosen = temp
        self._tell(snapshot.at, events)
        return WeatherForecast(temp.values, sun.values, self.text, wind.values)

    def readings(self, at: datetime) -> dict[str, Reading]:
        """Source (by WEATHER_CODES) and age in hours, to be kept and sent like any reading."""
        out = {WEATHER_TAG: Reading(WEATHER_CODES[self._chosen.source], Quality.GOOD, at)}
        if self._issued_at is not None:
            age_h = max(0.0, (at - self._issued_at).total_seconds() / 3600.0)
            out[WEATHER_AGE_TAG] = Reading(age_h, Quality.GOOD, at)
            wind_m_s = value_at(self._rows.get("wind", ()), at)
            if wind_m_s is not None and age_h <= self._max_age_h:
                out[WEATHER_WIND_TAG] = Reading(wind_m_s, Quality.GOOD, at)
        return out

    def _take(
        self, issued_at: datetime, rows: Mapping[str, Sequence[tuple[datetime, float]]], origin: str
    ) -> None:
        if self._issued_at is not None and issued_at < self._issued_at:
            return
        self._rows, self._issued_at, self._origin = dict(rows), issued_at, origin

    def _choose(
        self, kind: Kind, tag: str | None, snapshot: Snapshot, history: History, steps: int, step_s: float
    ) -> Chosen:
        past: NDArray[np.float64] = np.empty(0)
        begin_at = snapshot.at - timedelta(days=_PAST_DAYS)
        if tag is not None:
            past = history.series(tag, begin_at, snapshot.at, _PAST_STEP_S).values
        rows, now = self._rows.get(kind, ()), snapshot.value(tag)
        if kind == "wind" and past.size:
            # One look in gusts says little: the mean of the last hour is the wind of now.
            late = past[-_WIND_STEPS:]
            now = float(np.nanmean(late)) if np.isfinite(late).any() else None
            told = history.series(WEATHER_WIND_TAG, begin_at, snapshot.at, _PAST_STEP_S).values
            share = wind_share(past, told)
            rows = [(at, share * value) for at, value in rows]
        return choose(
            kind,
            rows,
            self._issued_at,
            snapshot.at,
            past,
            now,
            past_step_s=_PAST_STEP_S,
            steps=steps,
            step_s=step_s,
            max_age_h=self._max_age_h,
        )

    def _tell(self, at: datetime, events: Events) -> None:
        """Once when the provider is lost and once when it is back; nothing where none was ever to be had."""
        source, expected = self._chosen.source, self._hvac.weather is not None or self._issued_at is not None
        if source == self._told or (self._told is None and not expected):
            return
        lost = source != "provider"
        self._told = source
        fields: dict[str, object] = {
            "source": source,
            "why": self._chosen.why,
            "issued_at": None if self._issued_at is None else self._issued_at.isoformat(),
            "origin": self._origin,
        }
        events.append(("weather_source", at, fields))
        (log.warning if lost else log.info)("weather_source", **fields)
