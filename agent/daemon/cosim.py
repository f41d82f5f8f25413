"""`trimload cosim SITE.toml`: an outside simulator drives the agent, one JSON line in, one out."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import TextIO

from agent.clock import SimClock, elapsed_s
from agent.config.load import load_site
from agent.config.site import Site
from agent.daemon.cosim_input import EXAMPLE, read_line, stamp
from agent.daemon.history_csv import history_rows
from agent.daemon.loop import Daemon
from agent.daemon.models import load_models
from agent.daemon.past_demand import complete_past
from agent.drivers.lines import LinesDriver
from agent.errors import ConfigError, DataError
from agent.log import configure
from agent.store.history import History
from agent.store.ledger import Ledger


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
        load_past(history, site, options.history)
    asyncio.run(serve(site, history, sys.stdin, sys.stdout))
    return 0


def load_past(history: History, site: Site, path: Path) -> None:
    """Put the CSV into the store, with the demand that follows from it. DataError where it teaches nothing."""
    history.load(history_rows(path, site))
    span = history.span()
    if span is None:
        raise DataError(f"{path} holds no value", where=str(path), fix="give it rows below the columns")
    complete_past(history, site, span[0], span[1] + timedelta(minutes=1))


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
        "at": stamp(at),
        "commands": commands,
        "mode": modes,
        "plan": " ".join(plans) or None,
        "notes": list(daemon.notes),
    }


def _say(sink: TextIO, body: dict[str, object]) -> None:
    sink.write(json.dumps(body, allow_nan=False) + "\n")
    sink.flush()
