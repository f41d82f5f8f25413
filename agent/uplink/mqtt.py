"""The line to the broker: sends what the outbox holds, live first, and says when the site is gone.

paho's thread does the socket. Everything else runs in the event loop's thread: callbacks only hand
over, so there is no lock of ours for paho's own (it calls on_publish with its queue locked) to meet.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from agent.clock import Clock, elapsed_s, pause
from agent.config.services import Uplink as UplinkConfig
from agent.domain import Snapshot
from agent.log import get_logger
from agent.store.ledger import Head
from agent.store.outbox import Message, Outbox
from agent.uplink import payload
from agent.uplink.connection import broker_address, require_plain_topic, send_at_once, use_certificates

log = get_logger(__name__)

OnMessage = Callable[[str, bytes], None]

KEEPALIVE_S = 30
CONNECT_TIMEOUT_S = 5.0
RECONNECT_MIN_S, RECONNECT_MAX_S = 1, 60
# Larger windows gave no more throughput on paho 2.2, and each message in flight may come twice.
INFLIGHT = 100
# The backlog leaves room for live data on a thin line: a week at 10 s is through in ten minutes.
BACKLOG_PER_S = 100
BACKLOG_EVERY_S = 0.1
# Without word from the consumer for this long what it has not acknowledged is sent again.
RESEND_MIN_S, RESEND_MAX_S = 30.0, 3600.0
# What may wait for the consumer at once: bounds what a silent one costs on a line paid by volume.
UNACKED_MAX = 500
STOP_WAIT_S = 2.0


class Uplink:
    """One MQTT 3.1.1 session. Works without a broker: then the outbox only fills."""

    def __init__(
        self,
        config: UplinkConfig,
        site_id: str,
        outbox: Outbox,
        clock: Clock,
        password: str | None = None,
        *,
        resend_s: float = RESEND_MIN_S,
    ) -> None:
        """Connects nowhere yet. Raises ConfigError for an address or certificate that cannot be used."""
        self.connected = False
        self.published = 0
        self._outbox, self._clock = outbox, clock
        self._interval = timedelta(seconds=config.interval_s)
        require_plain_topic(config.topic_root)
        self._up = f"{config.topic_root}/{site_id}/up"
        self._down = f"{config.topic_root}/{site_id}/down/"
        self._host, self._port, self._tls = broker_address(config.broker)
        self._on_message: OnMessage | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._pump: asyncio.Task[None] | None = None
        self._stopping = False
        self._wake = asyncio.Event()
        self._next_at: datetime | None = None
        # Ids sent in this pass; the cursor is the last one that the backlog has reached.
        self._sent: set[int] = set()
        self._cursor = 0
        self._inflight: dict[int, int] = {}
        self._arrived: list[int] = []
        self._resend_first_s = self._resend_s = resend_s
        self._progress_s = 0.0
        self._complaints: set[str] = set()
        self._standing: dict[str, bytes] = {}
        self._client = self._build_client(config, site_id, password)

    def start(self, on_message: OnMessage | None = None) -> asyncio.Task[None]:
        """Begin to keep the session up, from within the event loop; returns at once.

        The task ends by `stop` alone; whoever runs the agent watches it for an error of the program.
        `on_message(name, bytes)` is called in the event loop's thread with the topic after `down/`.
        """
        self._on_message = on_message
        self._loop = asyncio.get_running_loop()
        self._client.connect_async(self._host, self._port, keepalive=KEEPALIVE_S)
        self._client.loop_start()
        self._pump = self._loop.create_task(self._send_backlog(), name="uplink")
        return self._pump

    @property
    def waiting_for_broker(self) -> int:
        """Messages that were sent and that the broker has not taken over yet."""
        return len(self._inflight)

    def report(self, snapshot: Snapshot) -> bool:
        """Take a tick's readings in; every `interval_s` they become a message. True when they did."""
        if self._next_at is not None and snapshot.at < self._next_at:
            return False
        self._next_at = snapshot.at + self._interval
        self._put("telemetry", payload.telemetry(snapshot), snapshot.at)
        return True

    def event(
        self, kind: str, at: datetime, fields: Mapping[str, object], ledger: Head | None = None
    ) -> None:
        """Send a plan, a command, a refusal ...: what the ledger holds, with the ledger's head."""
        self._put("events", payload.event(kind, at, fields, ledger), at)

    def stand(self, name: str, content: bytes) -> None:
        """Keep `up/<name>` saying this: retained at the broker, and said again whenever the line is back."""
        self._standing[name] = content
        if self.connected:
            self._client.publish(f"{self._up}/{name}", content, qos=1, retain=True)

    def answer(self, content: bytes) -> None:
        """An answer on `up/answer`; who asked will ask again where it is lost."""
        if self.connected:
            self._client.publish(f"{self._up}/answer", content, qos=1)

    async def stop(self) -> None:
        """Say goodbye and close; what was not acknowledged stays in the outbox."""
        if self._pump is None:
            return
        # A flag, not a cancellation: no step of the backlog is cut in two.
        self._stopping = True
        self._wake.set()
        await self._pump
        self._pump = None
        if self.connected:
            goodbye = self._publish_status("offline")
            began_s = elapsed_s()
            while not goodbye.is_published() or self._inflight:
                if elapsed_s() - began_s > STOP_WAIT_S or not self.connected:
                    break
                await pause(0.02)
        self._client.disconnect()
        await asyncio.to_thread(self._client.loop_stop)
        # What paho's thread handed over last is still queued in the loop.
        await pause(0)
        self._forget_arrived()
        self.connected = False

    def _build_client(self, config: UplinkConfig, site_id: str, password: str | None) -> paho.Client:
        client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"trimload-{site_id}", protocol=paho.MQTTv311
        )
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.reconnect_delay_set(RECONNECT_MIN_S, RECONNECT_MAX_S)
        client.max_inflight_messages_set(INFLIGHT)
        client.max_queued_messages_set(2 * INFLIGHT)
        client.will_set(f"{self._up}/status", payload.status("offline"), qos=1, retain=True)
        if config.username is not None:
            client.username_pw_set(config.username, password)
        if self._tls:
            use_certificates(client, config)
        client.on_socket_open = send_at_once
        client.on_connect = self._on_connect
        client.on_connect_fail = self._on_connect_fail
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_any_message
        return client

    # In paho's thread: hand over, nothing else.

    def _hand_over(self, call: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        # The loop may be gone when the program ends without stop().
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *arguments)

    def _on_connect(
        self,
        client: paho.Client,
        _data: object,
        _flags: paho.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            self._hand_over(self._lost, f"refused: {reason}")
        else:
            # One level only: the blocks of an update, below down/ota/, go to a session of their own.
            client.subscribe(f"{self._down}+", qos=1)

    def _on_subscribe(
        self,
        _client: paho.Client,
        _data: object,
        _mid: int,
        _reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        # Only now: the consumer's retained ack comes before the first PUBACK could delete a row.
        self._hand_over(self._back)

    def _on_connect_fail(self, _client: paho.Client, _data: object) -> None:
        self._hand_over(self._lost, "not reachable")

    def _on_disconnect(
        self,
        _client: paho.Client,
        _data: object,
        _flags: paho.DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._hand_over(self._lost, str(reason))

    def _on_publish(
        self,
        _client: paho.Client,
        _data: object,
        mid: int,
        _reason: ReasonCode,
        _properties: Properties,
    ) -> None:
        self._hand_over(self._puback, mid)

    def _on_any_message(self, _client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        self._hand_over(self._receive, message.topic, bytes(message.payload))

    # In the event loop's thread.

    def _back(self) -> None:
        self.connected = True
        self._complaints = set()
        self._publish_status("online")
        for name, content in self._standing.items():
            self._client.publish(f"{self._up}/{name}", content, qos=1, retain=True)
        # paho sends again what it holds itself; everything else starts over, the acknowledged being gone.
        self._start_over()
        log.info("uplink_connected", broker=f"{self._host}:{self._port}", waiting=len(self._outbox))

    def _lost(self, reason: str) -> None:
        # Once when lost, and once for each new reason why it does not come back.
        if self._pump is not None and reason not in self._complaints:
            log.warning("uplink_lost", broker=f"{self._host}:{self._port}", reason=reason)
        self._complaints |= {reason, "not reachable"} if self.connected else {reason}
        self.connected = False

    def _puback(self, mid: int) -> None:
        message_id = self._inflight.pop(mid, None)
        if message_id is None:
            return
        if not self._outbox.acknowledged_end_to_end:
            if not self._arrived:
                assert self._loop is not None
                self._loop.call_soon(self._forget_arrived)
            self._arrived.append(message_id)
        self._wake.set()

    def _forget_arrived(self) -> None:
        """One commit for all PUBACKs that came together."""
        arrived, self._arrived = self._arrived, []
        self._outbox.forget(arrived)
        self._sent.difference_update(arrived)

    def _receive(self, topic: str, content: bytes) -> None:
        name = topic.removeprefix(self._down)
        if name == "ack":
            self._acknowledged(content)
        elif self._on_message is not None:
            self._on_message(name, content)

    def _acknowledged(self, content: bytes) -> None:
        ack = payload.read_ack(content)
        if ack is None or (ack.epoch == self._outbox.epoch and ack.seq > self._outbox.last_seq):
            log.warning("ack_not_understood", content=repr(content[:80]))
            return
        self._outbox.expect_acks()
        if self._outbox.ack(ack.seq, ack.epoch):
            self._progress_s, self._resend_s = elapsed_s(), self._resend_first_s
            oldest = self._outbox.batch(1)
            self._sent = {i for i in self._sent if oldest and i >= oldest[0].id}
            self._wake.set()
        elif elapsed_s() - self._progress_s > self._resend_first_s:
            # A consumer that was away says where it stands.
            self._start_over()

    def _put(self, name: str, content: bytes, at: datetime) -> None:
        if self._outbox.put(f"{self._up}/{name}", content, at) is None:
            return
        if self.connected:
            # The newest goes out ahead of any backlog.
            self._send(self._outbox.newest(1))

    def _send(self, messages: Iterable[Message]) -> bool:
        """Publish what was not sent yet; False once paho's window is full."""
        for message in messages:
            if message.id in self._sent:
                continue
            if len(self._inflight) >= INFLIGHT:
                return False
            info = self._client.publish(message.topic, payload.seal(message), qos=1)
            if info.rc not in {MQTTErrorCode.MQTT_ERR_SUCCESS, MQTTErrorCode.MQTT_ERR_NO_CONN}:
                return False
            # paho keeps a message that met a dead line and sends it itself on reconnection.
            self._inflight[info.mid] = message.id
            self._sent.add(message.id)
            self.published += 1
        return True

    def _start_over(self) -> None:
        self._sent = set(self._inflight.values())
        self._cursor = 0
        self._progress_s = elapsed_s()
        self._wake.set()

    async def _send_backlog(self) -> None:
        """Walk the outbox from its oldest message, at a limited rate, for as long as the agent runs."""
        behind = False
        while not self._stopping:
            if behind:
                await pause(BACKLOG_EVERY_S)
            else:
                # Not wait_for: before Python 3.12 it may swallow a cancellation that meets a wake-up.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(1.0):
                        await self._wake.wait()
            self._wake.clear()
            behind = self.connected and self._send_some()
            self._send_again_when_silent()

    def _send_some(self) -> bool:
        """A step of the backlog; whether more waits."""
        if self._outbox.acknowledged_end_to_end and len(self._sent) >= UNACKED_MAX:
            return False
        limit = int(BACKLOG_PER_S * BACKLOG_EVERY_S)
        fresh: list[Message] = []
        cursor = self._cursor
        while len(fresh) < limit:
            batch = self._outbox.batch(limit, after_id=cursor)
            if not batch:
                break
            for message in batch:
                if message.id not in self._sent:
                    if len(fresh) == limit:
                        break
                    fresh.append(message)
                cursor = message.id
        if not self._send(fresh):
            return True
        self._cursor = cursor
        return len(fresh) == limit

    def _send_again_when_silent(self) -> None:
        if not (self.connected and self._outbox.acknowledged_end_to_end and self._sent):
            self._progress_s = elapsed_s()
        elif elapsed_s() - self._progress_s > self._resend_s:
            log.warning("no_ack_sending_again", silent_s=self._resend_s, messages=len(self._sent))
            self._resend_s = min(2 * self._resend_s, max(RESEND_MAX_S, self._resend_first_s))
            self._start_over()

    def _publish_status(self, state: str) -> paho.MQTTMessageInfo:
        content = payload.status(state, self._clock.now(), self._outbox.epoch)
        return self._client.publish(f"{self._up}/status", content, qos=1, retain=True)
