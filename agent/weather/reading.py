"""From the bytes of a forecast to its rows: JSON or CSV, units and times checked. Pure.

docs/hvac.md, "Weather", is the contract for whoever writes such a file or message.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from math import isfinite
from typing import Any

from agent.errors import DataError

Row = tuple[datetime, float]
KINDS = ("outdoor_temp", "solar", "wind")
EXAMPLE = (
    '{"issued_at": "2026-01-05T06:00:00Z", "series": {"outdoor_temp": [["2026-01-05T07:00:00Z", 3.5], ...]}}'
)
MOST_ROWS = 4000
_LEAST_ROWS = 4
_RANGE = {"outdoor_temp": (-60.0, 60.0, "degC"), "solar": (-20.0, 1500.0, "W/m2"), "wind": (0.0, 75.0, "m/s")}
# Clocks differ a little; a forecast from the future is a mix-up of time zones.
_AHEAD = timedelta(minutes=30)
# Without an issue time of its own, a forecast is at most so much younger than its first row.
_FIRST_ROW = timedelta(hours=24)
# Names in the answer of Open-Meteo (https://open-meteo.com/en/docs, "JSON Return Object").
_OPEN_METEO = {"temperature_2m": "outdoor_temp", "shortwave_radiation": "solar", "wind_speed_10m": "wind"}
# Its units of wind by wind_speed_unit; km/h is the default.
_TO_M_S = {"km/h": 1 / 3.6, "m/s": 1.0, "mp/h": 0.44704, "mph": 0.44704, "kn": 1852 / 3600}


@dataclass(frozen=True, slots=True)
class Forecast:
    """Rows by kind (`outdoor_temp` in degC, `solar` in W/m2, `wind` in m/s), ordered by time, and when it was issued."""

    issued_at: datetime
    received_at: datetime
    origin: str
    series: Mapping[str, tuple[Row, ...]]


def read_forecast(
    content: bytes, *, origin: str, received_at: datetime, dated_at: datetime | None = None
) -> Forecast:
    """Understand one document whole, or raise DataError. `dated_at`: when its carrier says it was made."""
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _bad(origin, f"byte {error.start} is not UTF-8") from None
    if text.lstrip().startswith("{"):
        issued, series = _from_json(text, origin)
    else:
        issued, series = _from_csv(text, origin)
    checked = {kind: _checked(kind, rows, origin) for kind, rows in series.items() if rows}
    if "outdoor_temp" not in checked:
        raise _bad(origin, "there is no outdoor_temp in it")
    if issued is None:
        first_at = min(rows[0][0] for rows in checked.values())
        issued = min(dated_at or received_at, received_at, first_at + _FIRST_ROW)
    if issued > received_at + _AHEAD:
        raise _bad(origin, f"it was issued at {issued:%Y-%m-%d %H:%M} UTC, which is still to come")
    return Forecast(min(issued, received_at), received_at, origin, checked)


def as_json(forecast: Forecast) -> str:
    """The form that `read_forecast` reads back."""
    body = {
        "issued_at": forecast.issued_at.isoformat(),
        "received_at": forecast.received_at.isoformat(),
        "origin": forecast.origin,
        "series": {
            kind: [[at.isoformat(), value] for at, value in rows] for kind, rows in forecast.series.items()
        },
    }
    return json.dumps(body, allow_nan=False)


def _from_json(text: str, origin: str) -> tuple[datetime | None, dict[str, list[Row]]]:
    try:
        body = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _bad(origin, f"it is not JSON: {error}") from None
    if "hourly" in body:
        return _from_open_meteo(body, origin)
    series = body.get("series")
    if not isinstance(series, dict):
        raise _bad(origin, "it has no series")
    unknown = sorted(set(series) - set(KINDS))
    if unknown:
        raise _bad(origin, f"{unknown[0]!r} is no series; known: {', '.join(KINDS)}")
    raw = body.get("issued_at")
    issued = None if raw is None else _instant(raw, origin)
    return issued, {kind: list(_pairs(kind, rows, origin)) for kind, rows in series.items()}


def _pairs(kind: str, rows: Any, origin: str) -> Iterable[Row]:
    if not isinstance(rows, list):
        raise _bad(origin, f"series {kind} is no list of [time, value]")
    for row in rows:
        if not isinstance(row, list) or len(row) != 2:
            raise _bad(origin, f"series {kind} has {row!r}, not [time, value]")
        if row[1] is not None:
            yield _instant(row[0], origin), _number(row[1], kind, origin)


def _from_open_meteo(body: Mapping[str, Any], origin: str) -> tuple[datetime | None, dict[str, list[Row]]]:
    hourly, units = body["hourly"], body.get("hourly_units") or {}
    if not isinstance(hourly, dict) or not isinstance(hourly.get("time"), list):
        raise _bad(origin, "hourly has no list of times")
    if str(units.get("temperature_2m", "°C")) not in ("°C", "C", "degC"):
        raise _bad(origin, f"temperature_2m is in {units['temperature_2m']}, not in degC")
    of_wind = str(units.get("wind_speed_10m", "km/h"))
    if of_wind not in _TO_M_S:
        raise _bad(origin, f"wind_speed_10m is in {of_wind}, not in one of {', '.join(_TO_M_S)}")
    zone = timezone(timedelta(seconds=float(body.get("utc_offset_seconds") or 0)))
    out: dict[str, list[Row]] = {}
    for theirs, kind in _OPEN_METEO.items():
        values = hourly.get(theirs)
        if values is None:
            continue
        if not isinstance(values, list) or len(values) != len(hourly["time"]):
            raise _bad(origin, f"{theirs} has not one value a time")
        factor = _TO_M_S[of_wind] if kind == "wind" else 1.0
        out[kind] = [
            (_instant(at, origin, zone), factor * _number(value, kind, origin))
            for at, value in zip(hourly["time"], values, strict=True)
            if value is not None
        ]
    return None, out


def _from_csv(text: str, origin: str) -> tuple[datetime | None, dict[str, list[Row]]]:
    issued: datetime | None = None
    lines = []
    for line in text.splitlines():
        if line.startswith("#"):
            key, _, value = line.lstrip("# ").partition("=")
            if key.strip() == "issued_at":
                issued = _instant(value.strip(), origin)
        elif line.strip():
            lines.append(line)
    table = list(csv.reader(lines))
    if not table or table[0][0].strip() != "time":
        raise _bad(origin, "it is neither JSON nor a CSV whose first column is called time")
    head = [name.strip() for name in table[0]]
    unknown = sorted(set(head[1:]) - set(KINDS))
    if unknown:
        raise _bad(origin, f"{unknown[0]!r} is no column; known: time, {', '.join(KINDS)}")
    out: dict[str, list[Row]] = {kind: [] for kind in head[1:]}
    for row in table[1:]:
        at = _instant(row[0].strip(), origin)
        for kind, field in zip(head[1:], row[1:], strict=False):
            if field.strip():
                out[kind].append((at, _number(field, kind, origin)))
    return issued, out


def _checked(kind: str, rows: list[Row], origin: str) -> tuple[Row, ...]:
    if not _LEAST_ROWS <= len(rows) <= MOST_ROWS:
        raise _bad(origin, f"{kind} has {len(rows)} rows; {_LEAST_ROWS} to {MOST_ROWS} are read")
    low, high, unit = _RANGE[kind]
    for at, value in rows:
        if not low <= value <= high:
            raise _bad(origin, f"{kind} is {value:g} at {at:%Y-%m-%d %H:%M}: that is not in {unit}")
    ordered = sorted(dict(rows).items())
    return tuple((at, max(value, 0.0) if kind == "solar" else value) for at, value in ordered)


def _instant(raw: Any, origin: str, zone: timezone | None = None) -> datetime:
    try:
        at = datetime.fromisoformat(raw)
    except (TypeError, ValueError):
        raise _bad(origin, f"{raw!r} is no time") from None
    if at.tzinfo is None:
        if zone is None:
            raise _bad(origin, f"{raw!r} names no time zone")
        at = at.replace(tzinfo=zone)
    return at.astimezone(UTC)


def _number(raw: Any, kind: str, origin: str) -> float:
    try:
        value = float("nan") if isinstance(raw, bool) else float(raw)
    except (TypeError, ValueError):
        value = float("nan")
    if not isfinite(value):
        raise _bad(origin, f"{kind} has {raw!r}, which is no number")
    return value


def _bad(origin: str, what: str) -> DataError:
    return DataError(
        f"the weather forecast cannot be used: {what}", where=origin, fix=f"send {EXAMPLE}, or CSV"
    )
