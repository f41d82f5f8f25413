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
from agent.config.load import load_site
from agent.config.site import Site
from agent.daemon.loop import Daemon
from agent.daemon.messages import handler
from agent.daemon.models import load_models
from agent.daemon.report import Reporter
from agent.drivers.build import build_driver
from agent.errors import ConfigError
from agent.log import configure, get_logger
from agent.store.history import History
from agent.store.ledger import Ledger
from agent.store.outbox import Outbox
from agent.uplink.mqtt import Uplink

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
    site = load_site(options.site)
    state = options.state or site.storage.directory
    try:
        state.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the state directory {state} cannot be made: {error.strerror}",
            where=f"{options.site} [storage] directory",
            fix="name a directory that this user may write to, or give --state DIR",
        ) from error
    asyncio.run(serve(site, state))
    return 0


async def serve(site: Site, state: Path) -> None:
    """The composition root of the real agent."""
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
        models=load_models(site, elapsed_s),
        plan_in_thread=True,
    )
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    if uplink is not None:
        uplink.start(handler(daemon)).add_done_callback(_uplink_ended)
    try:
        await daemon.start()
        await daemon.run(stopped)
    finally:
        notify.stopping("handing back")
        await daemon.stop("told to stop" if stopped.is_set() else "failed")
        if uplink is not None:
            await uplink.stop()
        for store in (history, ledger, outbox):
            if store is not None:
                store.close()


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
