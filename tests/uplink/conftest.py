"""A real broker to kill, and a consumer that acknowledges end to end as docs/uplink.md asks."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from twin.broker import mosquitto_program


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


async def until(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    """Let the event loop turn until `condition` holds."""
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        await asyncio.sleep(0.01)


class Mosquitto:
    """A broker without persistence: whatever it had taken and not passed on dies with it."""

    def __init__(self, directory: Path, port: int) -> None:
        self.port = port
        self._file = directory / "mosquitto.conf"
        self._process: subprocess.Popen[bytes] | None = None
        self.configure("")

    def configure(self, listener: str) -> None:
        """Write the configuration, with these lines for the listener."""
        user = "user root\n" if os.geteuid() == 0 else ""
        self._file.write_text(
            f"{user}persistence false\nlog_dest none\nallow_anonymous true\n"
            f"listener {self.port} 127.0.0.1\n{listener}"
        )

    def start(self) -> None:
        program = mosquitto_program()
        assert program is not None
        self._process = subprocess.Popen([program, "-c", str(self._file)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "mosquitto does not listen"
                time.sleep(0.01)

    def kill(self) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def mosquitto(tmp_path: Path):
    server = Mosquitto(tmp_path, free_port())
    yield server
    server.kill()


class Consumer:
    """The far side: keeps each message once by (epoch, seq); with `acks` it says how far it is."""

    def __init__(self, port: int, *, acks: bool, topic: str = "trimload/+/up/#") -> None:
        self.bodies: dict[tuple[str, int], dict] = {}
        self.order: list[int] = []
        self.statuses: list[bytes] = []
        self.subscribed = False
        self._acks, self._topic = acks, topic
        self._upto: dict[str, int] = {}
        self._port = port
        self.come()

    def come(self) -> None:
        """Connect, as one and the same session each time."""
        self.subscribed = False
        self._client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"consumer-{id(self)}", clean_session=False
        )
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = lambda client, *_: client.subscribe(self._topic, qos=1)
        self._client.on_subscribe = self._on_subscribe
        self._client.on_message = self._on_message
        self._client.connect_async("127.0.0.1", self._port, keepalive=10)
        self._client.loop_start()

    def leave(self) -> None:
        """Disconnect; the broker keeps for the session what comes meanwhile."""
        self._client.disconnect()
        self._client.loop_stop()

    def _on_subscribe(self, *_: object) -> None:
        self.subscribed = True

    def _on_message(self, client: paho.Client, _data: object, message: paho.MQTTMessage) -> None:
        root, site, _, name = message.topic.split("/", 3)
        if name == "status":
            self.statuses.append(message.payload)
            return
        body = json.loads(message.payload)
        epoch, seq = body["epoch"], body["seq"]
        if (epoch, seq) not in self.bodies:
            self.order.append(seq)
        self.bodies[epoch, seq] = body
        upto = max(self._upto.get(epoch, 0), body["oldest"] - 1)
        while (epoch, upto + 1) in self.bodies:
            upto += 1
        self._upto[epoch] = upto
        if self._acks:
            ack = json.dumps({"epoch": epoch, "seq": upto})
            client.publish(f"{root}/{site}/down/ack", ack, qos=1, retain=True)

    def publish(self, topic: str, content: bytes, *, retain: bool = False) -> None:
        self._client.publish(topic, content, qos=1, retain=retain)


@pytest.fixture
def consumers():
    made: list[Consumer] = []

    def make(port: int, **options: bool) -> Consumer:
        made.append(Consumer(port, **options))
        return made[-1]

    yield make
    for consumer in made:
        consumer.leave()


@pytest.fixture(name="until")
def until_fixture():
    """Tests are no package: what they share comes as a fixture."""
    return until


@pytest.fixture
def port() -> int:
    return free_port()
