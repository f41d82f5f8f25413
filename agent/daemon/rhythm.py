"""What the agent says of its forecasts: who makes them and why, and once a night how good they were.

The rhythm is APScheduler's cron trigger asked with the injected clock, so that it knows the site's
clock changes and a simulated week has seven nights. Its own scheduler, and clock, are not used.
"""

from __future__ import annotations

from datetime import datetime
from typing import cast
from zoneinfo import ZoneInfo

import numpy as np
from apscheduler.triggers.cron import CronTrigger

from agent.control.alarms import Alarm
from agent.daemon.header_drift import tell_drift
from agent.daemon.runtime import StationRuntime
from agent.inference.forecaster import ALARMS, LOSES_AT, Forecaster, QuantileForecast
from agent.log import get_logger
from agent.store.history import History

log = get_logger(__name__)

Events = list[tuple[str, datetime, dict[str, object]]]

# In the quietest hour, off the full hour that everybody else chooses, outside the hours that clocks skip or repeat.
_HOUR, _MINUTE = 4, 17


class Nightly:
    """Says when the night's work is due."""

    def __init__(self, timezone: str, now: datetime) -> None:
        self._trigger = CronTrigger(hour=_HOUR, minute=_MINUTE, timezone=ZoneInfo(timezone))
        self._due_at = self._next(now)

    def due(self, now: datetime) -> bool:
        """True once each night."""
        if now < self._due_at:
            return False
        self._due_at = self._next(now)
        return True

    def _next(self, now: datetime) -> datetime:
        return cast("datetime", self._trigger.get_next_fire_time(now, now))


def tell_forecast(runtime: StationRuntime, forecast: QuantileForecast, events: Events, at: datetime) -> None:
    """Who forecasts and why, whenever that changes. Another of the naive rules is no change."""
    by_model = forecast.source.startswith("model:")
    who = forecast.source if by_model else forecast.source.partition("/")[0]
    text = " ".join((who, *forecast.reasons))
    if runtime.said.get("forecast") == text:
        return
    runtime.said["forecast"] = text
    fields: dict[str, object] = {
        "station": runtime.station_id,
        "text": forecast.source,
        "reasons": list(forecast.reasons),
    }
    events.append(("forecast", at, fields))
    (log.warning if ALARMS & set(forecast.reasons) else log.info)("forecast", **fields)


def night_work(runtimes: list[StationRuntime], history: History, now: datetime, events: Events) -> None:
    """Hold each station's header sensor against its machines' gauges, and score its forecasts of the last weeks."""
    for runtime in runtimes:
        drift = tell_drift(runtime, history, now)
        if drift is not None:
            events.append(drift)
        _score_forecasts(runtime, now, events)


def _score_forecasts(runtime: StationRuntime, now: datetime, events: Events) -> None:
    forecaster, past = runtime.foresight.forecaster, runtime.foresight.history.series()
    if not isinstance(forecaster, Forecaster) or past is None:
        return
    scores = forecaster.scores(past, now)
    if scores.judged == 0:
        return
    quality: dict[str, object] = {
        "station": runtime.station_id,
        "judged": scores.judged,
        "pinball_m3_min": round(scores.pinball, 4),
        "ratio_to_naive": round(scores.pinball / scores.pinball_naive, 4) if scores.pinball_naive else None,
        "coverage": round(scores.coverage, 4),
        "bias_m3_min": round(scores.bias, 4),
        "model_to_naive": _rounded(scores.ratio),
        "drift": bool(np.isfinite(scores.ratio) and scores.ratio > LOSES_AT),
        "share_of_model": forecaster.share,
    }
    events.append(("forecast_quality", now, quality))
    (log.warning if quality["drift"] else log.info)("forecast_quality", **quality)


def _rounded(value: float) -> float | None:
    return round(value, 4) if np.isfinite(value) else None


def tell_alarm(runtime: StationRuntime, alarm: Alarm | None, events: Events, at: datetime) -> None:
    """An alarm when it comes, when it becomes another, and when it is over; not at every change of its figures."""
    text = "" if alarm is None else f"{alarm.kind}: {alarm.text}"
    if runtime.said.get("alarm", "").partition(":")[0] != text.partition(":")[0]:
        events.append(("alarm", at, {"station": runtime.station_id, "text": text or "over"}))
        log.warning("alarm", station=runtime.station_id, text=text or "over")
    runtime.said["alarm"] = text
