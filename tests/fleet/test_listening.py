"""What the fleet's ear keeps of real messages from a real broker, and how it shows who it is."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.clock import WallClock
from agent.errors import ConfigError
from fleet.broker import Broker, add_broker, broker_of, connect, session
from fleet.database import open_database
from fleet.listening import Listener
from fleet.sites import load_sites
from fleet.standing import Standing
from tests.fleet.conftest import until
from tests.uplink.conftest import Mosquitto, free_port

pytestmark = pytest.mark.peers("mosquitto")


@pytest.fixture
def mosquitto(tmp_path: Path):
    server = Mosquitto(tmp_path, free_port())
    server.start()
    yield server
    server.kill()


@pytest.fixture
def database(tmp_path: Path):
    database = open_database(str(tmp_path / "fleet.db"))
    yield database
    database.close()


class Site:
    """The wire of one site, without a site behind it."""

    def __init__(self, port: int, site_id: str) -> None:
        self._id, self.asked = site_id, []
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = lambda _c, _d, message: self.asked.append(json.loads(message.payload))
        self.client.on_connect = lambda client, *_: client.subscribe(f"trimload/{site_id}/down/ask", qos=1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def say(self, kind: str, body: object, *, retain: bool = False) -> None:
        self.client.publish(
            f"trimload/{self._id}/up/{kind}", json.dumps(body), qos=1, retain=retain
        ).wait_for_publish(10)

    def answer(self, ask_id: str, body: object, part_bytes: int) -> None:
        text = json.dumps(body)
        parts = [text[i : i + part_bytes] for i in range(0, len(text), part_bytes)]
        for number, part in enumerate(parts, start=1):
            self.say(
                "answer",
                {"id": ask_id, "op": "report", "ok": True, "part": number, "parts": len(parts), "body": part},
            )

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


def test_a_site_is_asked_for_its_savings_once_and_the_answer_is_kept(mosquitto, database):
    site = Site(mosquitto.port, "works")
    site.say("status", {"state": "online"}, retain=True)
    heard: dict[str, Standing] = {}
    listener = Listener(
        Broker(f"mqtt://127.0.0.1:{mosquitto.port}"), database, heard.__setitem__, WallClock()
    )
    listener.start()
    until(listener.ready.is_set)
    until(lambda: (listener.keep(), site.asked)[1])
    saving = {"share": 0.08, "share_interval": [0.05, 0.11], "saved_kwh": 900.0}
    report = {
        "air": {"regression": {"available": True, "saving": saving}},
        "hall": {"regression": {"why": "3 days"}},
    }

    site.answer("somebody-elses", {"air": {}}, 1000)
    site.answer(site.asked[0]["id"], report, 40)
    site.say("update", {"running": {"agent": {"version": "1.4.0"}}, "modes": {"air": "control"}})
    until(lambda: (listener.keep(), load_sites(database)["works"].savings)[1])
    until(lambda: "works" in heard)
    listener.stop()
    site.close()

    kept = load_sites(database)["works"]
    assert kept.savings == {
        "air": {"share": 0.08, "low": 0.05, "high": 0.11, "saved_kwh": 900.0},
        "hall": {"why": "3 days"},
    }
    assert (kept.online, kept.standing.version, kept.modes) == (True, "1.4.0", {"air": "control"})
    assert len(site.asked) == 1
    assert (site.asked[0]["op"], site.asked[0]["who"]) == ("report", "trimload-fleet")
    assert heard["works"].version == "1.4.0"


def test_the_fleet_shows_a_password_where_the_broker_wants_one(tmp_path):
    port = free_port()
    secret, passwords = tmp_path / "password", tmp_path / "passwords"
    secret.write_text("ring by ring\n")
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "fleet", "ring by ring"], check=True)
    passwords.chmod(0o644)
    server = Mosquitto(tmp_path, port)
    server.configure(f"password_file {passwords}\n")
    text = server._file.read_text()
    server._file.write_text(text.replace("allow_anonymous true", "allow_anonymous false"))
    server.start()
    url = f"mqtt://127.0.0.1:{port}"

    joined: dict[str, bool] = {}
    for who, broker in (
        ("fleet", Broker(url, username="fleet", password_file=secret)),
        ("stranger", Broker(url)),
    ):
        client = session(broker)
        client.on_disconnect = lambda *_, who=who: joined.setdefault(who, False)
        connect(client, broker, lambda _, who=who: joined.setdefault(who, True))
        until(lambda who=who: who in joined)
        client.disconnect()
        client.loop_stop()
    server.kill()

    assert joined == {"fleet": True, "stranger": False}


def test_a_key_that_is_not_there_is_told_before_anything_is_connected(tmp_path):
    parser = argparse.ArgumentParser()
    add_broker(parser)
    words = ["--broker", "mqtts://broker:8883", "--certificate", str(tmp_path / "no.pem"), "--root", "plants"]
    broker = broker_of(parser.parse_args([*words, "--certificate-key", str(tmp_path / "no.key")]))

    assert (broker.root, broker.place) == ("plants", "broker:8883")
    with pytest.raises(ConfigError, match="cannot be used"):
        session(broker)
