"""The repository over MQTT: windows of blocks by request and answer, for one worker thread.

A session of its own beside the uplink's, there only while something is fetched: large messages never queue before
telemetry. Blocks come at QoS 0; what is lost on the way is asked for again.
"""

from __future__ import annotations

import queue
import secrets
import threading
from collections.abc import Callable, Iterator
from typing import Self

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.clock import elapsed_s
from agent.config.services import Uplink as UplinkConfig
from agent.update.source import NotThereError, SourceGoneError, StoppedError, Stream
from agent.update.wire import (
    DEFAULT_BLOCK_BYTES,
    Block,
    Request,
    Status,
    read_block,
    request_bytes,
)
from agent.uplink.connection import broker_address, send_at_once, use_certificates

KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 5.0
# Blocks asked for at once; a new request goes out when half of them has come, so that the line is never idle.
WINDOW = 32
# A block that has not come by then was lost, or the broker was.
ANSWER_S = 3.0
# The broker may restart and the server be renewed meanwhile.
PATIENCE_S = 60.0
_POLL_S = 0.2


class MqttSource:
    """Use as a context: connects on entering, leaves on exit. One stream at a time."""

    def __init__(
        self,
        config: UplinkConfig,
        site_id: str,
        *,
        password: str | None = None,
        block_bytes: int = DEFAULT_BLOCK_BYTES,
        rate_bytes_s: float | None = None,
        patience_s: float = PATIENCE_S,
        answer_s: float = ANSWER_S,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Connects nowhere yet. Raises ConfigError for an address or certificate that cannot be used."""
        self._session = secrets.token_hex(4)
        self._ask_topic = f"{config.topic_root}/{site_id}/up/ota/req"
        self._topic = f"{config.topic_root}/{site_id}/down/ota/{self._session}"
        self._block, self._rate = block_bytes, rate_bytes_s
        self._patience_s, self._answer_s, self._stopped = patience_s, answer_s, stopped
        self._n = 0
        self._pace_from_s, self._paced_bytes = elapsed_s(), 0
        self._blocks: queue.SimpleQueue[Block] = queue.SimpleQueue()
        self._ready = threading.Event()
        self._host, self._port, tls = broker_address(config.broker)
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            client_id=f"trimload-{site_id}-update-{self._session}",
            protocol=paho.MQTTv311,
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.reconnect_delay_set(1, 5)
        if config.username is not None:
            client.username_pw_set(config.username, password)
        if tls:
            use_certificates(client, config)
        client.on_socket_open = send_at_once
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._ready.set()
        client.on_disconnect = lambda *_: self._ready.clear()
        client.on_message = self._on_message
        self._client = client

    def __enter__(self) -> Self:
        self._client.connect_async(self._host, self._port, keepalive=KEEPALIVE_S)
        self._client.loop_start()
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def stream(self, path: str, offset: int = 0) -> Stream:
        """The file from `offset` on. Raises NotThereError, SourceGoneError, StoppedError."""
        blocks = self._blocks_of(path, offset)
        first = next(blocks)
        return Stream(first.size, _contents(first, blocks))

    def _blocks_of(self, path: str, offset: int) -> Iterator[Block]:
        """Blocks in order without a gap, asked for ahead; the last one may be empty."""
        expected, asked_to, first_n = offset, offset, self._n + 1
        heard_s = asked_s = elapsed_s()
        size: int | None = None
        while size is None or expected < size:
            left = WINDOW * self._block - (asked_to - expected)
            if left >= WINDOW * self._block // 2 and (size is None or asked_to < size):
                # The first request is small: metadata, or the news that there is nothing.
                count = WINDOW // 2 if size is not None else 4
                if self._ask(path, asked_to, count):
                    asked_to += count * self._block
                    asked_s = elapsed_s()
            block = self._next_block(first_n)
            now_s = elapsed_s()
            if block is None or block.offset > expected:
                # Silence, or a gap: ask again from where the gap begins, and drop what is still on its way.
                if now_s - heard_s > self._patience_s:
                    raise SourceGoneError(f"no answer for {self._patience_s:.0f} s")
                if block is not None or now_s - asked_s > self._answer_s:
                    asked_to, first_n = expected, self._n + 1
                continue
            if block.status in {Status.NOT_FOUND, Status.NOT_YOURS}:
                raise NotThereError(path)
            if block.offset < expected or block.status != Status.OK:
                continue
            if not block.content and expected < block.size:
                continue
            heard_s = now_s
            size, expected = block.size, expected + len(block.content)
            yield block

    def _next_block(self, first_n: int) -> Block | None:
        if self._stopped():
            raise StoppedError
        try:
            block = self._blocks.get(timeout=_POLL_S)
        except queue.Empty:
            return None
        while block.n < first_n:
            try:
                block = self._blocks.get(timeout=_POLL_S)
            except queue.Empty:
                return None
        return block

    def _ask(self, path: str, offset: int, count: int) -> bool:
        if not self._ready.wait(timeout=_POLL_S):
            return False
        self._pace(count * self._block)
        self._n += 1
        request = Request(self._session, self._n, path, offset, self._block, count)
        self._client.publish(self._ask_topic, request_bytes(request), qos=0)
        return True

    def _pace(self, wanted: int) -> None:
        """Hold a request back until the bytes asked for so far fit the rate."""
        if self._rate is None:
            return
        due_s = self._pace_from_s + self._paced_bytes / self._rate
        now_s = elapsed_s()
        if due_s < now_s:
            self._pace_from_s, self._paced_bytes = now_s, 0
        # An event that nobody sets is a sleep that can be looked after.
        pause = threading.Event()
        while (left_s := due_s - elapsed_s()) > 0:
            if self._stopped():
                raise StoppedError
            pause.wait(min(left_s, _POLL_S))
        self._paced_bytes += wanted

    def _on_connect(self, client: paho.Client, *_: object) -> None:
        client.subscribe(self._topic, qos=0)

    def _on_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        block = read_block(bytes(message.payload))
        if block is not None:
            self._blocks.put(block)


def _contents(first: Block, rest: Iterator[Block]) -> Iterator[bytes]:
    yield first.content
    for block in rest:
        yield block.content
