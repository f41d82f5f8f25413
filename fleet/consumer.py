"""The far side of every site's uplink: takes what arrives, acknowledges it, knows who is there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as paho

from agent.clock import elapsed_s, pause
from agent.uplink.connection import broker_address
from fleet.broker import Broker, BrokerUnreachableError, session

_CONNECT_S = 5.0
_QUIET_S = 2.0
_ACK_EVERY = 50


@dataclass(slots=True)
class SiteSeen:
    """What is known of one site."""

    state: str = "unknown"
    telemetry_at: str | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    modes: dict[str, str] = field(default_factory=dict)
    messages: int = 0
    missing: int = 0


class Consumer:
    """One subscriber of all sites below a topic root. Each message counts once, gaps are counted."""

    def __init__(
        self, broker: Broker, *, on_message: Callable[[str, str, dict[str, Any]], None] | None = None
    ) -> None:
        self._broker, self._root = broker, broker.root
        self._on_each = on_message
        self.sites: dict[str, SiteSeen] = {}
        self._reached: dict[tuple[str, str], int] = {}
        self._early: dict[tuple[str, str], set[int]] = {}
        self._told: dict[tuple[str, str], int] = {}
        self._ready = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client = session(broker)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    async def start(self) -> None:
        """Subscribe; returns when the broker has granted it. Raises BrokerUnreachableError."""
        self._loop = asyncio.get_running_loop()
        try:
            self._client.connect(*broker_address(self._broker.url)[:2])
            self._client.loop_start()
            await asyncio.wait_for(self._ready.wait(), _CONNECT_S)
        except (OSError, TimeoutError) as error:
            raise BrokerUnreachableError(
                f"no broker answers at {self._broker.place} ({type(error).__name__})",
                where="--broker",
                fix="start it, or give the address that the sites' [uplink] broker names",
            ) from None

    async def stop(self) -> int:
        """Wait until nothing more arrives, then leave; the number of messages that came."""
        began_s, before = elapsed_s(), -1
        while elapsed_s() - began_s < _QUIET_S and before != self.messages:
            before = self.messages
            await pause(0.1)
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        return self.messages

    @property
    def messages(self) -> int:
        """Messages of all sites, each counted once."""
        return sum(site.messages for site in self.sites.values())

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(f"{self._root}/+/up/#", qos=1)

    def _on_subscribe(self, *_: Any) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._ready.set)

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        site_id, _, kind = message.topic.removeprefix(f"{self._root}/").partition("/up/")
        try:
            body = json.loads(message.payload)
        except ValueError:
            return
        site = self.sites.setdefault(site_id, SiteSeen())
        if kind == "status":
            site.state = str(body.get("state"))
        elif self._first_time(client, site_id, site, body):
            site.messages += 1
            self._take(site, kind, body)
            if self._on_each is not None:
                self._on_each(site_id, kind, body)

    @staticmethod
    def _take(site: SiteSeen, kind: str, body: dict[str, Any]) -> None:
        if kind == "telemetry":
            site.telemetry_at, site.values = body.get("at"), body.get("values", {})
        elif body.get("kind") == "mode_changed":
            site.modes[body["fields"]["station"]] = body["fields"]["mode"]

    def _first_time(self, client: paho.Client, site_id: str, site: SiteSeen, body: dict[str, Any]) -> bool:
        """Whether the message is new; acknowledges now and then what has come without a gap."""
        epoch, seq = body.get("epoch"), body.get("seq")
        if not isinstance(epoch, str) or not isinstance(seq, int):
            return False
        key = (site_id, epoch)
        reached = self._reached.get(key)
        oldest = int(body.get("oldest", seq))
        if reached is None:
            reached = oldest - 1
        elif oldest - 1 > reached:
            # What the site had to drop will never come.
            site.missing += oldest - 1 - reached
            reached = oldest - 1
        early = self._early.setdefault(key, set())
        if seq <= reached or seq in early:
            return False
        early.add(seq)
        while reached + 1 in early:
            reached += 1
            early.discard(reached)
        self._reached[key] = reached
        if reached - self._told.get(key, 0) >= _ACK_EVERY:
            self._told[key] = reached
            client.publish(
                f"{self._root}/{site_id}/down/ack", json.dumps({"epoch": epoch, "seq": reached}), qos=1
            )
        return True
