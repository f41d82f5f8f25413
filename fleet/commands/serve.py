"""`trimload-fleet serve`: the repository to every site over MQTT, and its short-lived metadata renewed."""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Sequence
from datetime import timedelta

from agent.clock import WallClock
from agent.log import configure, get_logger
from fleet.broker import add_broker, broker_of
from fleet.commands.options import add_places, repository_of
from fleet.commands.trust import renew
from fleet.serve import BlockServer
from fleet.signing import EXPIRY, Repository

log = get_logger(__name__)

_RENEW_EVERY = timedelta(hours=1)


def command(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="trimload-fleet serve",
        description="Answer every site's requests for blocks of the repository. A site gets its own models, "
        "configuration and assignment, and nobody else's. With --keys (online and assign), timestamp, snapshot and "
        "assignments are renewed before half of their life is over: without it, sites stop updating after a week.",
    )
    add_places(parser)
    add_broker(parser)
    options = parser.parse_args(argv)
    configure("info")
    repository = repository_of(options)
    repository.root()
    asyncio.run(_serve(BlockServer(broker_of(options), options.repo), repository))
    return 0


async def _serve(server: BlockServer, repository: Repository) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    clock = WallClock()
    server.start()
    try:
        while not stopped.is_set():
            if repository.keys is not None:
                with repository.lock():
                    outcomes = renew(repository, EXPIRY["timestamp"].total_seconds() / 2)
                log.info("metadata_kept_fresh", renewed=len(outcomes))
            waiter = asyncio.ensure_future(stopped.wait())
            sleeper = asyncio.ensure_future(clock.sleep_until(clock.now() + _RENEW_EVERY))
            await asyncio.wait({waiter, sleeper}, return_when=asyncio.FIRST_COMPLETED)
            sleeper.cancel()
            waiter.cancel()
    finally:
        server.stop()
