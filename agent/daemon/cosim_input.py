"""A line of an outside simulator: understood whole, or refused with what, where and how to put it right. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Collection
from datetime import datetime
from typing import Any, NamedTuple

from agent.daemon.history_csv import instant
from agent.errors import DataError

EXAMPLE = '{"at": "2026-01-05T08:00:00Z", "readings": {"sim.zone_temp": 20.5, "sim.power_kw": null}}'


# A clock that stands outside these years was never set.
_YEARS = (1970, 2200)


class Line(NamedTuple):
    """One understood line."""

    at: datetime
    readings: dict[str, float | None]
    forecast: dict[str, list[tuple[datetime, float]]]


def read_line(text: str, tags: frozenset[str], last_at: datetime | None) -> Line:
    """Understand one line whole, or raise DataError and change nothing."""
    try:
        # Windows tools put a byte order mark before the first line.
        body = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_once_each)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"the line is not JSON: {error}", where="standard input", fix=f"send {EXAMPLE}"
        ) from None
    if not isinstance(body, dict):
        raise DataError("the line is not a JSON object", where="standard input", fix=f"send {EXAMPLE}")
    surplus = sorted(set(body) - {"at", "readings", "forecast"})
    if surplus:
        raise DataError(
            f"{surplus[0]!r} is no key of a line", where="standard input", fix="use at, readings and forecast"
        )
    at = _in_years(instant(body.get("at"), "at"), "at")
    if last_at is not None and at <= last_at:
        raise DataError(
            f"time {stamp(at)} is not after the line before, {stamp(last_at)}",
            where="at",
            fix="send lines in the order of time",
        )
    return Line(at, _readings(body.get("readings"), tags), _forecast(body.get("forecast", {}), tags))


def stamp(at: datetime) -> str:
    """The instant as it is written in a line."""
    return at.isoformat().replace("+00:00", "Z")


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object's keys, each once: of two values for one tag nobody knows which is meant."""
    body = dict(pairs)
    if len(body) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"key {twice!r} is there twice", where="standard input", fix="send each key once")
    return body


def _readings(raw: Any, tags: Collection[str]) -> dict[str, float | None]:
    if not isinstance(raw, dict):
        raise DataError("readings is not an object of tags", where="readings", fix=f"send {EXAMPLE}")
    out: dict[str, float | None] = {}
    for tag, value in raw.items():
        if tag not in tags:
            raise _no_such_tag(tag, tags, f"readings {tag}")
        number = None if value is None else _number(value)
        if value is not None and number is None:
            raise DataError(
                f"{_shortened(value)} is no number",
                where=f"readings {tag}",
                fix="send a number, or null where it is unknown",
            )
        # Many libraries write NaN or Infinity for a sensor that says nothing: unknown, not a line to be lost.
        out[tag] = number if number is not None and math.isfinite(number) else None
    return out


def _forecast(raw: Any, tags: Collection[str]) -> dict[str, list[tuple[datetime, float]]]:
    form = DataError(
        "forecast is not {tag: [[time, value], ...]}",
        where="forecast",
        fix='send {"weather.outdoor_temp": [["2026-01-05T09:00:00Z", 3.5], ...]}',
    )
    if not isinstance(raw, dict):
        raise form
    out: dict[str, list[tuple[datetime, float]]] = {}
    for tag, rows in raw.items():
        if not isinstance(rows, list):
            raise form
        series: list[tuple[datetime, float]] = []
        for row in rows:
            if not isinstance(row, list) or len(row) != 2 or isinstance(row[1], bool):
                raise form
            value = _number(row[1])
            if value is None or not math.isfinite(value):
                raise form
            series.append((instant(row[0], f"forecast {tag}"), value))
        if tag not in tags:
            raise _no_such_tag(tag, tags, f"forecast {tag}")
        out[tag] = sorted(series)
    return out


def _no_such_tag(tag: str, tags: Collection[str], where: str) -> DataError:
    device = tag.partition(".")[0] + "."
    near = sorted(name for name in tags if name.startswith(device)) or sorted(tags)
    return DataError(
        f"tag {tag!r} is not in site.toml",
        where=where,
        fix=f"use one of {', '.join(near[:6])} ... ([devices.X.points.Y] is tag X.Y)",
    )


def _number(value: Any) -> float | None:
    """The value as a number, true and false as 1 and 0; None if it is none that a float can hold."""
    if not isinstance(value, bool | int | float):
        return None
    try:
        return float(value)
    except OverflowError:
        return None


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:60] + "..."


def _in_years(at: datetime, where: str) -> datetime:
    if not _YEARS[0] <= at.year <= _YEARS[1]:
        raise DataError(f"{stamp(at)} is no time of today", where=where, fix="set the simulator's clock")
    return at
