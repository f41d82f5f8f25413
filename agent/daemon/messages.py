"""What may come down: wishes to do less, the production plan. CONTROL is armed on site alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from agent.log import get_logger
from agent.uplink.payload import read_mode

if TYPE_CHECKING:
    from agent.daemon.asks import Asks
    from agent.daemon.loop import Daemon
    from agent.daemon.updates import UpdateService

log = get_logger(__name__)


def handler(
    daemon: Daemon, updates: UpdateService | None = None, asks: Asks | None = None
) -> Callable[[str, bytes], None]:
    """A receiver for the uplink: `mode`, `update`, `ask` and the site's plan are understood, everything else is refused aloud."""

    def receive(name: str, content: bytes) -> None:
        if name == "update" and updates is not None:
            # A hint without content: it can hasten a look, and nothing else.
            updates.updater.hint()
            return
        if name == "ask" and asks is not None:
            asks.take(content)
            return
        plan = daemon.production
        if plan is not None and name == plan.topic:
            plan.receive(content, daemon.clock.now())
            return
        request = read_mode(content) if name == "mode" else None
        if request is None:
            log.warning("message_refused", topic=name, what="not a message that this agent obeys")
            return
        places = [request.station] if request.station is not None else [*daemon.stations, "hvac"]
        for place in places:
            if place in daemon.stations or (place == "hvac" and daemon.hvac is not None):
                daemon.wish_mode(place, request.mode, "asked for over MQTT")
            elif request.station is not None:
                log.warning("message_refused", topic=name, what=f"no station {place!r}")

    return receive
