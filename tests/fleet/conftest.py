"""A repository with many sites, a real broker with the fleet's services on it, and databases of both kinds."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from agent.clock import WallClock
from fleet.broker import Broker
from fleet.keys import key_named, make_key
from fleet.publish import SiteKeys, delegate_agent, enrol, publish_agent
from fleet.roles import begin_repository
from fleet.serve import BlockServer
from fleet.signing import Repository
from tests.fleet.simulated_sites import release_file
from tests.uplink.conftest import Mosquitto, free_port


class Operator:
    """The operator's machine: repository, keys, broker, block server; `cli` is `trimload-fleet`."""

    def __init__(self, folder: Path, sites: list[str]) -> None:
        self.folder, self.sites = folder, sites
        self.keys, self.repo = folder / "keys", folder / "repo"
        names = ("root1", "root2", "targets", "online", "release", "training", "operator", "assign")
        for name in names:
            make_key(self.keys, name)
        key = {name: key_named(self.keys, name) for name in names}
        self.repository = Repository(self.repo, self.keys, WallClock())
        begin_repository(
            self.repository,
            roots=[key["root1"], key["root2"]],
            threshold=2,
            targets=key["targets"],
            online=key["online"],
        )
        delegate_agent(self.repository, [key["release"]])
        enrol(self.repository, sites, SiteKeys([key["training"]], [key["operator"]], [key["assign"]]))
        self.repository.publish_state()
        self.root_file = self.repo / "metadata" / "1.root.json"
        self.db = str(folder / "fleet.db")

    @contextmanager
    def online(self) -> Iterator[None]:
        """A broker, and the block server on it."""
        self.mosquitto = Mosquitto(self.folder, free_port())
        self.mosquitto.configure("set_tcp_nodelay true\n")
        self.mosquitto.start()
        self.broker = Broker(f"mqtt://127.0.0.1:{self.mosquitto.port}")
        server = BlockServer(self.broker, self.repo)
        server.start()
        try:
            assert server.ready.wait(10)
            yield
        finally:
            server.stop()
            self.mosquitto.kill()

    def publish(self, version: str, behaves: str = "good") -> str:
        """An agent release that does this to a gateway; its name."""
        wheel = release_file(self.folder / version, version, behaves)
        _, release, _ = publish_agent(
            self.repository, [wheel], version=version, python="3.11", machine="x86_64"
        )
        self.repository.publish_state()
        return release

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "fleet.cli", *words]

    def run_rollouts(self) -> subprocess.Popen[bytes]:
        """The service, as a process."""
        places = ["--repo", str(self.repo), "--keys", str(self.keys), "--db", self.db]
        words = self.command("rollout", "run", *places, "--broker", self.broker.url, "--no-reports")
        return subprocess.Popen(words, stderr=subprocess.DEVNULL)


def until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Path]:
    """A PostgreSQL of our own; the folder of its socket."""
    place = Path(tempfile.mkdtemp(prefix="trimload-pg-"))
    # PostgreSQL refuses to run as root.
    as_user: list[str] = []
    if os.geteuid() == 0:
        shutil.chown(place, "nobody", "nogroup")
        as_user = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"]
    data = place / "data"
    made = ["initdb", "-D", str(data), "-U", "fleet", "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8"]
    subprocess.run([*as_user, *made], check=True, stdout=subprocess.DEVNULL, cwd="/")
    options = ["-c", "listen_addresses=", "-c", "fsync=off"]
    server = subprocess.Popen(
        [*as_user, "postgres", "-D", str(data), "-k", str(place), *options],
        stderr=subprocess.DEVNULL,
        cwd="/",
    )
    url = f"postgresql://fleet@/postgres?host={place}"
    until(lambda: _answers(url))
    yield place
    # At once: nothing of it is wanted any more.
    server.send_signal(signal.SIGQUIT)
    server.wait(20)
    shutil.rmtree(place)


def _answers(url: str) -> bool:
    try:
        psycopg.connect(url).close()
    except psycopg.OperationalError:
        return False
    return True


@pytest.fixture
def postgres(postgres_server: Path) -> str:
    """An empty database's URL."""
    name = f"fleet_{secrets.token_hex(4)}"
    with psycopg.connect(
        f"postgresql://fleet@/postgres?host={postgres_server}", autocommit=True
    ) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return f"postgresql+psycopg://fleet@/{name}?host={postgres_server}"
