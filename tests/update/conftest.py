"""A fleet's repository with its keys, small and quick, and what an attacker may do to it."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.clock import SimClock
from agent.config.services import Uplink as UplinkConfig
from agent.update.job import Job, Kind, Target
from agent.update.mqtt_source import MqttSource
from fleet.broker import Broker
from fleet.keys import key_named, make_key
from fleet.publish import SiteKeys, add_targets, assign, delegate_agent, enrol, next_counter
from fleet.roles import begin_repository
from fleet.serve import BlockServer
from fleet.signing import Repository
from tests.uplink.conftest import Mosquitto, free_port

START_AT = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
KEY_NAMES = ("root1", "root2", "root3", "targets", "online", "release", "training", "operator", "assign")


class Fleet:
    """A repository with the sites `demo` and `other`. Every key in one folder: the tests' convenience."""

    def __init__(self, folder: Path) -> None:
        self.path, self.keys = folder / "repo", folder / "keys"
        self.clock = SimClock(START_AT)
        self.repository = Repository(self.path, self.keys, self.clock)

    def begin(self) -> None:
        for name in KEY_NAMES:
            make_key(self.keys, name)
        begin_repository(
            self.repository,
            roots=[self.key(f"root{n}") for n in (1, 2, 3)],
            threshold=2,
            targets=self.key("targets"),
            online=self.key("online"),
        )
        delegate_agent(self.repository, [self.key("release")])
        enrol(
            self.repository,
            ["demo", "other"],
            SiteKeys([self.key("training")], [self.key("operator")], [self.key("assign")]),
        )
        self.repository.publish_state()

    def key(self, name: str):
        return key_named(self.keys, name)

    @property
    def root(self) -> bytes:
        """The first root: what is installed with an agent."""
        return (self.path / "metadata" / "1.root.json").read_bytes()

    def publish(self, path: str, content: bytes, site: str = "demo") -> Target:
        """A target, signed by the role that may, and seen by sites."""
        role = "agent" if path.startswith("agent/") else f"{path.split('/', maxsplit=1)[0]}-{site}"
        _, targets = add_targets(self.repository, role, {path: content})
        self.repository.publish_state()
        return targets[0]

    def assign(self, *targets: Target, site: str = "demo", kind: Kind = Kind.MODEL, **fields) -> Job:
        """A job of these targets for the site."""
        counter = next_counter(self.repository, site)
        job = Job(
            **{
                "id": f"job{counter}",
                "kind": kind,
                "site": site,
                "counter": counter,
                "release": f"release {counter}",
                "targets": targets,
            }
            | fields
        )
        assign(self.repository, site, job)
        self.repository.publish_state()
        return job

    def later(self, **span: float) -> None:
        self.clock.advance_to(self.clock.now() + timedelta(**span))


@pytest.fixture(scope="session")
def made_once(tmp_path_factory) -> Path:
    """Keys and the first metadata: each test has its own copy."""
    folder = tmp_path_factory.mktemp("fleet")
    Fleet(folder).begin()
    return folder


@pytest.fixture
def fleet(tmp_path: Path, made_once: Path) -> Fleet:
    shutil.copytree(made_once, tmp_path / "fleet")
    return Fleet(tmp_path / "fleet")


@pytest.fixture
def wire(fleet: Fleet, tmp_path: Path):
    """The fleet's repository behind a real broker, and a site's way to it."""
    broker = Mosquitto(tmp_path, free_port())
    broker.configure("set_tcp_nodelay true\n")
    broker.start()
    server = BlockServer(Broker(f"mqtt://127.0.0.1:{broker.port}"), fleet.path)
    server.start()
    assert server.ready.wait(10)
    yield Wire(broker, server)
    server.stop()
    broker.kill()


class Wire:
    """A broker, a block server, and sources for sites."""

    def __init__(self, broker: Mosquitto, server: BlockServer) -> None:
        self.broker, self.server = broker, server
        self.config = UplinkConfig(broker=f"mqtt://127.0.0.1:{broker.port}")

    def source(self, site: str = "demo", **options) -> MqttSource:
        return MqttSource(self.config, site, **({"patience_s": 10.0, "answer_s": 0.5} | options))
