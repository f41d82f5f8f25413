"""The far side of the uplink in the demonstration: counts what arrives and acknowledges it."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.clock import elapsed_s, pause

_CONNECT_S = 5.0
_LAST_S = 2.0
_ACK_EVERY = 50


class Consumer:
    """An independent subscriber of one site's uplink."""

    def __init__(self, port: int, root: str, site_id: str) -> None:
        self._port = port
        self._topics = f"{root}/{site_id}/up/#"
        self._ack = f"{root}/{site_id}/down/ack"
        self._seen: set[tuple[str, int]] = set()
        self._reached: dict[str, int] = {}
        self._told: dict[str, int] = {}
        self._ready = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._client = paho.Client(CallbackAPIVersion.VERSION2, client_id=f"{site_id}-consumer")
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message

    async def start(self) -> None:
        """Subscribe; returns when the broker has granted it."""
        self._loop = asyncio.get_running_loop()
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        await asyncio.wait_for(self._ready.wait(), _CONNECT_S)

    async def stop(self) -> int:
        """Messages that have arrived, each counted once."""
        began_s, before = elapsed_s(), -1
        while elapsed_s() - began_s < _LAST_S and before != len(self._seen):
            before = len(self._seen)
            await pause(0.1)
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        return len(self._seen)

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(self._topics, qos=1)

    def _on_subscribe(self, *_: Any) -> None:
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._ready.set)

    def _on_message(self, client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        body = json.loads(message.payload)
        if "seq" not in body:
            return
        epoch, seq = body["epoch"], body["seq"]
        self._seen.add((epoch, seq))
        reached = self._reached.get(epoch, body["oldest"] - 1)
        while (epoch, reached + 1) in self._seen:
            reached += 1
        # The agent may forget what has arrived without a gap; word of it now and then is enough.
        if reached - self._told.get(epoch, 0) >= _ACK_EVERY:
            self._told[epoch] = reached
            client.publish(self._ack, json.dumps({"epoch": epoch, "seq": reached}), qos=1)
        self._reached[epoch] = reached
