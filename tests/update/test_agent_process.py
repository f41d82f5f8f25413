"""`trimload run` as a process, on a real wire to plant and broker: updated, attacked and asked from afar."""

from __future__ import annotations

import base64
import gzip
import json
import threading
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from agent.clock import WallClock
from agent.store.ledger import Ledger
from agent.update.job import Kind
from fleet.keys import make_key, signer_of
from fleet.publish import SiteKeys, enrol
from tests.daemon.conftest import agent_process, site_file, start_twin  # noqa: F401 - fixtures
from tests.daemon.test_life_and_death import START, Plant, none_local

pytestmark = pytest.mark.peers("mosquitto")

UPDATES = """
[updates]
root_file = "root.json"
check_every_s = 30
healthy_s = 2
kinds = ["config", "model"]
"""


class Operator:
    """Someone far away with a line to the broker."""

    def __init__(self, port: int, site: str) -> None:
        self.site, self.standing, self.answers = site, {}, []
        self._heard = threading.Condition()
        self.client = paho.Client(CallbackAPIVersion.VERSION2)
        self.client.on_message = self._on_message
        self.client.on_connect = lambda client, *_: client.subscribe(f"trimload/{site}/up/#", qos=1)
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def _on_message(self, _client, _data, message) -> None:
        name = message.topic.rpartition("/")[2]
        if name in {"update", "answer"}:
            body = json.loads(message.payload)
            if name == "update":
                self.standing = body
            else:
                self.answers.append(body)

    def ask(self, **fields) -> None:
        self.client.publish(f"trimload/{self.site}/down/ask", json.dumps(fields), qos=1)

    def hint(self) -> None:
        self.client.publish(f"trimload/{self.site}/down/update", b"{}", qos=1)

    def answered(self, ask_id: str) -> tuple[bool, dict] | None:
        parts = [a for a in self.answers if a["id"] == ask_id]
        if not parts or len(parts) < parts[0]["parts"]:
            return None
        text = "".join(part["body"] for part in sorted(parts, key=lambda p: p["part"]))
        return parts[0]["ok"], json.loads(text)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def fleet_now(fleet):
    """The repository on the machine's own clock: the agent under test has no other."""
    fleet.repository.clock = WallClock()
    keys = [fleet.key(name) for name in ("training", "operator", "assign")]
    enrol(fleet.repository, ["demo-plant"], SiteKeys(*([key] for key in keys)))
    for role in ("root", "agent", *(r for r in fleet.repository.delegated() if r != "agent")):
        fleet.repository.change(role, lambda _: None)
    fleet.repository.publish_state()
    return fleet


def test_an_agent_is_attacked_updated_and_asked_while_it_is_in_control(
    fleet_now,
    wire,
    site_file: Path,  # noqa: F811
    tmp_path: Path,
    start_twin,  # noqa: F811
):
    fleet = fleet_now
    text = site_file.read_text(encoding="utf-8")
    text = text.replace('id = "demo"', 'id = "demo-plant"', 1)
    head, _, rest = text.partition("[uplink]")
    tail = rest.partition("\n[")[2]
    text = f'{head}[uplink]\nbroker = "{wire.config.broker}"\n\n[{tail}{UPDATES}'
    site_file.write_text(text, encoding="utf-8")
    (site_file.parent / "root.json").write_bytes(fleet.root)
    operator = Operator(wire.broker.port, "demo-plant")
    plant = Plant(start_twin(site_file, START.isoformat()))
    state = tmp_path / "state"
    with agent_process(site_file, state) as agent:
        plant.live_until(none_local, 30)

        # A forged timestamp, then an honest update.
        timestamp = fleet.path / "metadata" / "timestamp.json"
        honest = timestamp.read_bytes()
        stranger = signer_of(tmp_path / "evil", make_key(tmp_path / "evil", "mallory"))
        forged = fleet.repository.role("timestamp")
        forged.signed.version += 1
        forged.sign(stranger)
        timestamp.write_bytes(forged.to_bytes())
        operator.hint()
        plant.live_until(lambda _: "Unsigned" in operator.standing.get("trust", {}).get("refused", ""), 40)
        assert none_local(plant.twin.ask({"advance_to": plant.at.isoformat()})["stations"]["air"])
        timestamp.write_bytes(honest)

        cheaper = text.replace("energy_price_per_kwh = 0.", "energy_price_per_kwh = 0.0", 1)
        target = fleet.publish("config/demo-plant/site.toml", cheaper.encode(), "demo-plant")
        job = fleet.assign(target, site="demo-plant", kind=Kind.CONFIG)
        operator.hint()
        plant.live_until(
            lambda _: [j["state"] for j in operator.standing.get("jobs", [])] == ["confirmed"], 60
        )
        assert operator.standing["running"]["config"] == {"sha256": target.sha256, "source": "update"}
        assert operator.standing["trust"]["refused"] == ""

        for ask_id, fields in {
            "a1": {"op": "status", "who": "bo", "why": "round"},
            "a2": {"op": "mode", "mode": "control", "who": "bo", "why": "more"},
            "a3": {"op": "shell", "who": "bo", "why": "ls"},
            "a4": {"op": "log", "who": "bo", "why": "look"},
            "a5": {"op": "explain", "who": "bo", "why": "look", "station": "air"},
            "a6": {"op": "status"},
            "a7": {"op": "report", "who": "bo", "why": "month"},
            "a8": {"op": "mode", "mode": "advise", "who": "bo", "why": "less", "station": "air"},
        }.items():
            operator.ask(id=ask_id, **fields)
        plant.live_until(lambda _: all(operator.answered(f"a{n}") for n in range(1, 9)), 40)
        # What was asked for afterwards is granted: less.
        plant.live_until(lambda s: all(m["local"] for m in s["machines"].values()), 20)
        agent.terminate()
        assert agent.wait(20) == 0
    operator.close()

    answers = {f"a{n}": operator.answered(f"a{n}") for n in range(1, 9)}
    assert {key: value[0] for key, value in answers.items() if key != "a7"} == {
        "a1": True,
        "a2": False,
        "a3": False,
        "a4": True,
        "a5": True,
        "a6": False,
        "a8": True,
    }
    assert answers["a1"][1]["modes"]["air"] == "control"
    assert "only be lowered" in answers["a2"][1]["reason"]
    assert "plan" in answers["a5"][1]["air"]
    log_text = gzip.decompress(base64.b64decode(answers["a4"][1]["data"])).decode()
    assert "update_refused" in log_text
    with closing(Ledger(state / "ledger.db")) as ledger:
        rows = ledger.since(datetime(2020, 1, 1, tzinfo=UTC), limit=100_000)
        assert ledger.verify().ok
    steps = [r.values()["to"] for r in rows if r.kind == "update" and r.values()["job"] == job.id]
    assert steps[-1] == "confirmed"
    asked = {r.values()["id"]: r.values() for r in rows if r.kind == "remote_asked"}
    assert (asked["a3"]["granted"], asked["a8"]["granted"], asked["a8"]["who"]) == (False, True, "bo")
