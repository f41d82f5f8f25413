"""`trimload run SITE.toml`: the agent on the wall clock, as the service starts it."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
from collections.abc import Sequence
from pathlib import Path

from agent import notify
from agent.clock import WallClock, elapsed_s
from agent.daemon.asks import Asks
from agent.daemon.loop import Daemon
from agent.daemon.messages import handler
from agent.daemon.models import load_models
from agent.daemon.production import ProductionPlan
from agent.daemon.report import Reporter
from agent.daemon.updates import Loaded, UpdateService, load_active
from agent.drivers.build import build_driver
from agent.errors import ConfigError
from agent.log import RecentLines, configure, get_logger
from agent.store.history import History
from agent.store.ledger import Ledger
from agent.store.outbox import Outbox
from agent.uplink.mqtt import Uplink
from agent.weather.service import WeatherService

log = get_logger(__name__)


def command(argv: Sequence[str]) -> int:
    """Run until SIGTERM or SIGINT; set-points and machines are handed back before the end."""
    parser = argparse.ArgumentParser(
        prog="trimload run",
        description="Run the agent of one site. It starts in the mode that site.toml allows (observe, advise or "
        "control), and on SIGTERM or Ctrl-C hands every machine and set-point back before it ends.",
    )
    parser.add_argument("site", type=Path, help="the site's configuration")
    parser.add_argument(
        "--state", type=Path, help="directory for the databases (default: [storage] directory)"
    )
    parser.add_argument("--log-level", default="info", choices=("debug", "info", "warning", "error"))
    options = parser.parse_args(argv)
    configure(options.log_level)
    while run_once(options.site, options.state):
        log.info("begins_anew", site=str(options.site))
    return 0


def run_once(site_file: Path, state_given: Path | None) -> bool:
    """One life of the agent, from its configuration to its end; True when an update wants another one."""
    loaded, state = load_active(site_file, state_given)
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the state directory {state} cannot be made: {error.strerror}",
            where=f"{site_file} [storage] directory",
            fix="name a directory that this user may write to, or give --state DIR",
        ) from error
    return asyncio.run(serve(loaded, site_file, state))


async def serve(loaded: Loaded, site_file: Path, state: Path) -> bool:
    """The composition root of the real agent; True when it ended to begin anew."""
    site = loaded.site
    clock = WallClock()
    history = History(state / "history.db", site.storage.history_days)
    ledger = Ledger(state / "ledger.db")
    outbox = uplink = None
    if site.uplink is not None:
        outbox = Outbox(state / "outbox.db", site.storage.outbox_mb << 20)
        uplink = Uplink(site.uplink, site.site.id, outbox, clock, _credential("mqtt_password"))
    daemon = Daemon(
        site,
        clock,
        {name: build_driver(name, device, clock) for name, device in site.devices.items()},
        history=history,
        ledger=ledger,
        reporter=Reporter(uplink, service=True),
        models=load_models(site, elapsed_s, loaded.models),
        plan_in_thread=True,
        production=None
        if site.production is None
        else ProductionPlan(site.production, site.site.timezone, state / "production_plan.csv"),
        zone_models=state / "hvac-models.json",
        overrides_folder=state / "overrides",
    )
    stopped = asyncio.Event()
    restarts: list[str] = []
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    recent = RecentLines()
    recent.attach()
    updates = None
    if site.updates is not None:

        def restart(why: str) -> None:
            restarts.append(why)
            stopped.set()

        updates = UpdateService(
            daemon,
            loaded,
            site_file,
            state,
            restart,
            uplink=uplink,
            password=_credential("mqtt_password"),
        )
    if uplink is not None:
        receive = handler(daemon, updates, Asks(daemon, state, recent, updates, uplink.answer))
        uplink.start(receive).add_done_callback(_uplink_ended)
    updating = forecasting = None
    try:
        await daemon.start()
        if site.hvac is not None and site.hvac.weather is not None and daemon.hvac is not None:
            service = WeatherService(
                site.hvac.weather,
                site.site.id,
                state,
                clock,
                daemon.hvac.weather.take,
                uplink=site.uplink,
                password=_credential("mqtt_password"),
                token=_credential("weather_token"),
            )
            forecasting = asyncio.create_task(service.run(stopped), name="weather")
            forecasting.add_done_callback(_weather_ended)
        if updates is not None:
            updating = asyncio.create_task(updates.run(stopped), name="updates")
            updating.add_done_callback(_updates_ended)
        await daemon.run(stopped)
    finally:
        notify.stopping("handing back")
        told = restarts[0] if restarts else "told to stop"
        await daemon.stop(told if stopped.is_set() else "failed")
        stopped.set()
        if forecasting is not None:
            await asyncio.gather(forecasting, return_exceptions=True)
        if updates is not None:
            if updating is not None:
                await asyncio.gather(updating, return_exceptions=True)
            updates.close()
        if uplink is not None:
            await uplink.stop()
        for store in (history, ledger, outbox):
            if store is not None:
                store.close()
        recent.detach()
    return bool(restarts)


def _updates_ended(task: asyncio.Task[None]) -> None:
    """A fault in the updater ends the updater: nothing that arrives over the wire may take control down."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("updates_failed", error=repr(error), consequence="no updates until the next start")


def _weather_ended(task: asyncio.Task[None]) -> None:
    """Without forecasts the zones are planned by the site's own sensors: nothing else ends with them."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("weather_failed", error=repr(error), consequence="no forecasts until the next start")


def _uplink_ended(task: asyncio.Task[None]) -> None:
    """A fault in our own code ends the process: systemd starts it anew, the machines are in local control."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("uplink_failed", error=repr(error))
        os.kill(os.getpid(), signal.SIGTERM)


def _credential(name: str) -> str | None:
    """A secret that systemd hands in as a file, or None."""
    directory = os.environ.get("CREDENTIALS_DIRECTORY")
    if not directory:
        return None
    # The unit loads a whole folder under the id `site`; a unit of one's own may load the file by its name.
    for path in (Path(directory) / f"site_{name}", Path(directory) / name):
        if path.is_file():
            return path.read_text(encoding="utf-8").strip()
    return None
