from __future__ import annotations

import asyncio
import json
import logging
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.clock import SimClock
from agent.config.services import Uplink as UplinkConfig
from agent.domain import Quality, Reading, Snapshot
from agent.errors import ConfigError
from agent.store.ledger import Head
from agent.store.outbox import Outbox
from agent.uplink.connection import broker_address
from agent.uplink.mqtt import Uplink
from twin.broker import BrokerError, broker

START_AT = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


def tick(number: int) -> Snapshot:
    at = START_AT + timedelta(seconds=10 * number)
    return Snapshot(at, {"air.pressure": Reading(float(number), Quality.GOOD, at)})


def uplink_to(port: int, outbox: Outbox, **options: float) -> Uplink:
    config = UplinkConfig(broker=f"mqtt://127.0.0.1:{port}")
    return Uplink(config, "plant-1", outbox, SimClock(START_AT), **options)


def values(consumer) -> list[float]:
    """What the consumer knows, in the order of the stream's numbers."""
    return [body["values"]["air.pressure"][0] for _, body in sorted(consumer.bodies.items())]


@pytest.mark.peers("mosquitto")
async def test_telemetry_and_events_arrive_with_their_number_and_the_outbox_empties(
    mosquitto, consumers, until
) -> None:
    mosquitto.start()
    consumer = consumers(mosquitto.port, acks=False)
    await until(lambda: consumer.subscribed)
    outbox = Outbox(":memory:")
    uplink = uplink_to(mosquitto.port, outbox)
    uplink.start()
    await until(lambda: uplink.connected)

    reported = [uplink.report(tick(0)), uplink.report(tick(0)), uplink.report(tick(1))]
    uplink.event("plan", START_AT, {"id": "air-1"}, Head(4, "ab"))
    await until(lambda: len(consumer.bodies) == 3 and len(outbox) == 0)
    await uplink.stop()

    assert reported == [True, False, True]
    assert [seq for _, seq in consumer.bodies] == [1, 2, 3]
    first, _, last = consumer.bodies.values()
    assert first["at"] == "2026-03-02T06:00:00.000Z"
    assert first["values"] == {"air.pressure": [0.0, 3]}
    assert (last["kind"], last["fields"], last["ledger"]) == (
        "plan",
        {"id": "air-1"},
        {"seq": 4, "hash": "ab"},
    )


@pytest.mark.peers("mosquitto")
@pytest.mark.parametrize("acks", [True, False])
async def test_what_a_killed_broker_had_taken_over_is_lost_unless_a_consumer_acknowledges(
    mosquitto, consumers, until, acks: bool
) -> None:
    mosquitto.start()
    consumer = consumers(mosquitto.port, acks=acks)
    await until(lambda: consumer.subscribed)
    outbox = Outbox(":memory:")
    uplink = uplink_to(mosquitto.port, outbox, resend_s=1.0)
    uplink.start()
    await until(lambda: uplink.connected)
    uplink.report(tick(0))
    await until(lambda: values(consumer) == [0.0] and outbox.acknowledged_end_to_end == acks)

    # Taken over (PUBACK), kept for the consumer that is away, and gone with the process.
    consumer.leave()
    for number in range(1, 41):
        uplink.report(tick(number))
    await until(lambda: uplink.published == 41 and uplink.waiting_for_broker == 0)
    mosquitto.kill()
    await until(lambda: not uplink.connected)
    mosquitto.start()
    consumer.come()
    await until(lambda: consumer.subscribed and uplink.connected)
    uplink.report(tick(41))
    await until(lambda: len(outbox) == 0 and 41.0 in values(consumer))
    await uplink.stop()

    assert values(consumer) == ([float(n) for n in range(42)] if acks else [0.0, 41.0])


@pytest.mark.peers("mosquitto")
async def test_a_broker_killed_in_the_middle_of_a_stream_costs_nothing(mosquitto, consumers, until) -> None:
    mosquitto.start()
    consumer = consumers(mosquitto.port, acks=True)
    await until(lambda: consumer.subscribed)
    outbox = Outbox(":memory:")
    uplink = uplink_to(mosquitto.port, outbox, resend_s=1.0)
    uplink.start()
    await until(lambda: uplink.connected)

    for number in range(300):
        uplink.report(tick(number))
    await until(lambda: len(consumer.bodies) > 0)
    mosquitto.kill()
    for number in range(300, 320):
        uplink.report(tick(number))
    mosquitto.start()
    await until(lambda: len(outbox) == 0)
    await uplink.stop()

    assert values(consumer) == [float(n) for n in range(320)]


@pytest.mark.peers("mosquitto")
async def test_what_a_deaf_consumer_missed_is_sent_again_while_the_broker_stays_up(
    mosquitto, consumers, until
) -> None:
    mosquitto.start()
    outbox = Outbox(":memory:")
    outbox.expect_acks()
    uplink = uplink_to(mosquitto.port, outbox, resend_s=0.5)
    uplink.start()
    await until(lambda: uplink.connected)
    for number in range(5):
        uplink.report(tick(number))
    await until(lambda: uplink.published == 5)

    consumer = consumers(mosquitto.port, acks=True)
    await until(lambda: len(outbox) == 0)
    await uplink.stop()

    assert values(consumer) == [0.0, 1.0, 2.0, 3.0, 4.0]


@pytest.mark.peers("mosquitto")
async def test_the_backlog_of_an_outage_comes_in_order_behind_live_data(mosquitto, consumers, until) -> None:
    outbox = Outbox(":memory:")
    uplink = uplink_to(mosquitto.port, outbox)
    uplink.start()
    for number in range(150):
        uplink.report(tick(number))
    mosquitto.start()
    consumer = consumers(mosquitto.port, acks=False)
    await until(lambda: consumer.subscribed and uplink.connected)

    uplink.report(tick(150))
    await until(lambda: len(consumer.bodies) == 151 or len(outbox) == 0)
    await until(lambda: len(outbox) == 0)
    await uplink.stop()

    backlog = [seq for seq in consumer.order if seq <= 150]
    assert backlog == sorted(backlog)
    assert consumer.order[-1] == 150
    assert 151 in consumer.order[:60]


@pytest.mark.peers("mosquitto")
async def test_a_broker_that_is_absent_at_start_is_found_later_and_logged_once(
    mosquitto, until, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "agent.uplink")
    outbox = Outbox(":memory:")
    uplink = uplink_to(mosquitto.port, outbox)
    uplink.start()
    uplink.report(tick(0))
    await until(lambda: "uplink_lost" in caplog.text)

    mosquitto.start()
    await until(lambda: len(outbox) == 0)
    await uplink.stop()

    assert caplog.text.count("uplink_lost") == 1
    assert caplog.text.count("uplink_connected") == 1


AGENT = """
import asyncio, sys
from datetime import UTC, datetime
from agent.clock import SimClock, pause
from agent.config.services import Uplink as UplinkConfig
from agent.store.outbox import Outbox
from agent.uplink.mqtt import Uplink
async def main():
    config = UplinkConfig(broker=f"mqtt://127.0.0.1:{sys.argv[1]}")
    uplink = Uplink(config, "plant-1", Outbox(":memory:"), SimClock(datetime(2026, 3, 2, tzinfo=UTC)))
    await uplink.start()
asyncio.run(main())
"""


def start_agent(port: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", AGENT, str(port)], cwd=Path(__file__).parents[2])


@pytest.mark.peers("mosquitto")
async def test_killing_the_agent_lets_the_broker_say_offline_and_keep_it(mosquitto, consumers, until) -> None:
    mosquitto.start()
    consumer = consumers(mosquitto.port, acks=False)
    agent = start_agent(mosquitto.port)
    await until(lambda: len(consumer.statuses) == 1)

    agent.send_signal(signal.SIGKILL)
    agent.wait()
    await until(lambda: len(consumer.statuses) == 2)
    late = consumers(mosquitto.port, acks=False)
    await until(lambda: len(late.statuses) == 1)

    online, offline = consumer.statuses
    assert json.loads(online)["state"] == "online"
    assert json.loads(offline) == {"state": "offline"}
    assert late.statuses == [offline]


@pytest.mark.peers("mosquitto")
async def test_a_clean_stop_says_offline_itself_and_when(mosquitto, consumers, until) -> None:
    mosquitto.start()
    consumer = consumers(mosquitto.port, acks=False)
    await until(lambda: consumer.subscribed)
    outbox = Outbox(":memory:")
    uplink = uplink_to(mosquitto.port, outbox)
    uplink.start()
    await until(lambda: uplink.connected)

    await uplink.stop()
    await until(lambda: len(consumer.statuses) == 2)

    assert json.loads(consumer.statuses[1]) == {
        "state": "offline",
        "at": "2026-03-02T06:00:00.000Z",
        "epoch": outbox.epoch,
    }


@pytest.mark.peers("mosquitto")
async def test_messages_to_the_site_reach_the_callback_and_an_ack_does_not(
    mosquitto, consumers, until
) -> None:
    mosquitto.start()
    consumer = consumers(mosquitto.port, acks=False)
    outbox = Outbox(":memory:")
    uplink = uplink_to(mosquitto.port, outbox)
    heard: list[tuple[str, bytes]] = []
    uplink.start(lambda name, content: heard.append((name, content)))
    await until(lambda: uplink.connected and consumer.subscribed)

    consumer.publish("trimload/plant-1/down/ack", b'{"epoch":"0","seq":0}')
    consumer.publish("trimload/plant-2/down/mode", b"not for us")
    consumer.publish("trimload/plant-1/down/mode", b'{"mode":"observe"}')
    await until(lambda: bool(heard))
    await uplink.stop()

    assert heard == [("mode", b'{"mode":"observe"}')]
    assert outbox.acknowledged_end_to_end


@pytest.mark.peers("mosquitto")
@pytest.mark.parametrize("content", [b"", b"[]", b'{"epoch":5,"seq":1}', b'{"epoch":"EPOCH","seq":99}'])
async def test_an_ack_that_makes_no_sense_deletes_nothing(
    mosquitto, consumers, until, content: bytes
) -> None:
    mosquitto.start()
    consumer = consumers(mosquitto.port, acks=False)
    outbox = Outbox(":memory:")
    outbox.expect_acks()
    uplink = uplink_to(mosquitto.port, outbox)
    heard: list[str] = []
    uplink.start(lambda name, _: heard.append(name))
    await until(lambda: uplink.connected and consumer.subscribed)
    uplink.report(tick(0))

    consumer.publish("trimload/plant-1/down/ack", content.replace(b"EPOCH", outbox.epoch.encode()))
    consumer.publish("trimload/plant-1/down/after", b"")
    await until(lambda: heard == ["after"])
    await uplink.stop()

    assert len(outbox) == 1


@pytest.mark.peers("mosquitto")
async def test_a_kept_outbox_is_sent_by_the_next_agent_with_its_own_epoch(
    mosquitto, consumers, until, tmp_path: Path
) -> None:
    first = Outbox(tmp_path / "o.db")
    offline = uplink_to(mosquitto.port, first)
    for number in range(3):
        offline.report(tick(number))
    first.close()
    mosquitto.start()
    consumer = consumers(mosquitto.port, acks=True)
    await until(lambda: consumer.subscribed)

    second = Outbox(tmp_path / "o.db")
    uplink = uplink_to(mosquitto.port, second)
    uplink.start()
    uplink.report(tick(3))
    await until(lambda: len(second) == 0)
    await uplink.stop()
    second.close()

    assert list(consumer.bodies) == [(first.epoch, 1), (first.epoch, 2), (first.epoch, 3), (second.epoch, 1)]


async def test_the_embedded_broker_carries_telemetry_to_a_consumer(
    tmp_path: Path, consumers, until, port: int
) -> None:
    outbox = Outbox(":memory:")
    async with broker(port, tmp_path, embedded=True) as name:
        consumer = consumers(port, acks=True)
        await until(lambda: consumer.subscribed)
        uplink = uplink_to(port, outbox)
        uplink.start()
        await until(lambda: uplink.connected)
        for number in range(20):
            uplink.report(tick(number))
        await until(lambda: len(outbox) == 0)
        await uplink.stop()
        consumer.leave()

    assert name == "amqtt (embedded)"
    assert values(consumer) == [float(n) for n in range(20)]


@pytest.mark.peers("mosquitto")
async def test_the_demo_takes_mosquitto_where_it_is_and_ends_it(
    tmp_path: Path, consumers, until, port: int
) -> None:
    async with broker(port, tmp_path / "new") as name:
        consumer = consumers(port, acks=False)
        await until(lambda: consumer.subscribed)
        with pytest.raises(BrokerError, match="does not start"):
            async with broker(port, tmp_path / "second"):
                pass

    assert name == "mosquitto"
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", port)


async def test_an_embedded_broker_on_a_taken_port_names_the_port(tmp_path: Path, port: int) -> None:
    server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", port)

    with pytest.raises(BrokerError) as refused:
        async with broker(port, tmp_path, embedded=True):
            pass
    server.close()
    await server.wait_closed()

    assert str(port) in refused.value.fix


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("mqtt://broker", ("broker", 1883, False)),
        ("mqtts://broker.example:8884", ("broker.example", 8884, True)),
        ("mqtts://[::1]", ("::1", 8883, True)),
    ],
)
def test_a_broker_address_is_read(url: str, address: tuple[str, int, bool]) -> None:
    read = broker_address(url)

    assert read == address


@pytest.mark.parametrize("url", ["broker:1883", "http://broker", "mqtt://", "mqtt://b:port", "mqtt://u:p@b"])
def test_another_address_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        broker_address(url)

    assert "mqtts://HOST:8883" in refused.value.fix


def test_certificates_that_are_not_there_are_named_before_anything_connects(tmp_path: Path) -> None:
    config = UplinkConfig(broker="mqtts://broker", ca_file=tmp_path / "none.pem")

    with pytest.raises(ConfigError, match="certificates cannot be used"):
        Uplink(config, "plant-1", Outbox(":memory:"), SimClock(START_AT))


@pytest.mark.parametrize("root", ["", "a/#", "+", "$SYS"])
def test_a_root_that_cannot_begin_a_topic_is_refused(root: str) -> None:
    config = UplinkConfig(broker="mqtt://broker", topic_root=root)

    with pytest.raises(ConfigError, match="cannot begin a topic"):
        Uplink(config, "plant-1", Outbox(":memory:"), SimClock(START_AT))
