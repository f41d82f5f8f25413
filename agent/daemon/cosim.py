"""`trimload cosim SITE.toml`: an outside simulator drives the agent, one JSON line in, one out."""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TextIO

from agent.clock import SimClock, elapsed_s
from agent.config.load import load_site
from agent.config.site import Site
from agent.daemon.history_csv import history_rows, instant
from agent.daemon.loop import Daemon
from agent.daemon.models import load_models
from agent.drivers.lines import LinesDriver
from agent.errors import ConfigError, DataError
from agent.log import configure
from agent.store.history import History
from agent.store.ledger import Ledger

EXAMPLE = '{"at": "2026-01-05T08:00:00Z", "readings": {"sim.zone_temp": 20.5, "sim.power_kw": null}}'


class Line(NamedTuple):
    """One understood line."""

    at: datetime
    readings: dict[str, float | None]
    forecast: dict[str, list[tuple[datetime, float]]]


def command(argv: Sequence[str]) -> int:
    """Exit 0 at the end of input, 2 when the site or its history cannot be used."""
    parser = argparse.ArgumentParser(
        prog="trimload cosim",
        description="Drive the agent from any simulator. Each line on standard input is a JSON object with the "
        "time and the readings; each answer is one line with the commands. Time is the line's time.",
        epilog=f"in:  {EXAMPLE}\n"
        'out: {"at": ..., "commands": {"sim.cooling_setpoint": 25.0}, "mode": {"hvac": "control"}, "plan": id, '
        '"notes": [...]}\n\nnull as a reading is unknown; null as a command hands the point back. '
        '"forecast": {tag: [[time, value], ...]} is optional (outdoor temperature, sun, wind). '
        'Every device of the site has driver = "lines".',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("site", type=Path, help="the site's configuration")
    parser.add_argument("--history", type=Path, help="CSV of the past: a column `time` and one column a tag")
    parser.add_argument("--log-level", default="warning", choices=("debug", "info", "warning", "error"))
    options = parser.parse_args(argv)
    configure(options.log_level)
    site = load_site(options.site)
    refuse_other_drivers(site, options.site)
    history = History(":memory:", site.storage.history_days)
    if options.history is not None:
        history.load(history_rows(options.history, site))
    asyncio.run(serve(site, history, sys.stdin, sys.stdout))
    return 0


def refuse_other_drivers(site: Site, path: Path) -> None:
    """Raise ConfigError unless every device is fed by lines."""
    wired = [name for name, device in site.devices.items() if device.driver != "lines"]
    if wired:
        raise ConfigError(
            f"device {wired[0]!r} has driver {site.devices[wired[0]].driver!r}; a co-simulation has no wire",
            where=f"{path} [devices.{wired[0]}] driver",
            fix='set driver = "lines" for every device, or use `trimload run` for a real site',
        )


async def serve(site: Site, history: History, source: TextIO, sink: TextIO) -> None:
    """Answer each line of `source` with one line on `sink` until the source ends."""
    drivers = {name: LinesDriver(name, device) for name, device in site.devices.items()}
    ledger = Ledger(":memory:")
    tags = frozenset(tag for driver in drivers.values() for tag in driver.tags)
    daemon: Daemon | None = None
    clock: SimClock | None = None
    for text in source:
        if not text.strip():
            continue
        try:
            line = read_line(text, tags, None if clock is None else clock.now())
        except DataError as error:
            _say(sink, {"error": error.as_dict()})
            continue
        if daemon is None or clock is None:
            clock = SimClock(line.at)
            daemon = Daemon(
                site, clock, drivers, history=history, ledger=ledger, models=load_models(site, elapsed_s)
            )
            for driver in drivers.values():
                driver.feed(line.at, {})
            await daemon.start()
        clock.advance_to(line.at)
        for driver in drivers.values():
            driver.feed(line.at, line.readings)
        if daemon.hvac is not None and line.forecast:
            daemon.hvac.take_forecast(line.at, line.forecast)
        await daemon.tick()
        _say(sink, _answer(daemon, drivers, line.at))


def _answer(daemon: Daemon, drivers: Mapping[str, LinesDriver], at: datetime) -> dict[str, object]:
    commands: dict[str, float | None] = {}
    for driver in drivers.values():
        commands.update(driver.take())
    modes = {name: runtime.mode.value for name, runtime in daemon.stations.items()}
    plans = [r.foresight.plan.plan_id for r in daemon.stations.values() if r.foresight.plan is not None]
    if daemon.hvac is not None:
        modes["hvac"] = daemon.hvac.switch.mode.value
        if daemon.hvac.plan is not None:
            plans.append(daemon.hvac.plan.plan_id)
    return {
        "at": _stamp(at),
        "commands": commands,
        "mode": modes,
        "plan": " ".join(plans) or None,
        "notes": list(daemon.notes),
    }


def read_line(text: str, tags: frozenset[str], last_at: datetime | None) -> Line:
    """Understand one line whole, or raise DataError and change nothing."""
    try:
        body = json.loads(text)
    except ValueError as error:
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
    at = instant(body.get("at"), "at")
    if last_at is not None and at <= last_at:
        raise DataError(
            f"time {_stamp(at)} is not after the line before, {_stamp(last_at)}",
            where="at",
            fix="send lines in the order of time",
        )
    return Line(at, _readings(body.get("readings"), tags), _forecast(body.get("forecast", {})))


def _readings(raw: Any, tags: frozenset[str]) -> dict[str, float | None]:
    if not isinstance(raw, dict):
        raise DataError("readings is not an object of tags", where="readings", fix=f"send {EXAMPLE}")
    out: dict[str, float | None] = {}
    for tag, value in raw.items():
        if tag not in tags:
            raise DataError(
                f"tag {tag!r} is not in site.toml",
                where=f"readings {tag}",
                fix=f"use one of {', '.join(sorted(tags)[:6])} ... ([devices.X.points.Y] is tag X.Y)",
            )
        if isinstance(value, bool):
            value = float(value)  # noqa: PLW2901
        if value is not None and (not isinstance(value, int | float) or not math.isfinite(value)):
            raise DataError(
                f"{value!r} is no number",
                where=f"readings {tag}",
                fix="send a number, or null where it is unknown",
            )
        out[tag] = None if value is None else float(value)
    return out


def _forecast(raw: Any) -> dict[str, list[tuple[datetime, float]]]:
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
            if (
                not isinstance(row, list)
                or len(row) != 2
                or isinstance(row[1], bool)
                or not isinstance(row[1], int | float)
                or not math.isfinite(row[1])
            ):
                raise form
            series.append((instant(row[0], f"forecast {tag}"), float(row[1])))
        out[tag] = sorted(series)
    return out


def _stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def _say(sink: TextIO, body: dict[str, object]) -> None:
    sink.write(json.dumps(body, allow_nan=False) + "\n")
    sink.flush()
