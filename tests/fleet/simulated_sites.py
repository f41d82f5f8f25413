"""Many sites in one process: each with the agent's own update engine, TUF client and MQTT wire; only the plant is missing.

What an agent release does to a site is written in its wheel: `good`, `crashes`, `hangs` or `ails`.
"""

from __future__ import annotations

import asyncio
import json
import selectors
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.clock import WallClock
from agent.config.load import load_site
from agent.config.services import Updates
from agent.config.services import Uplink as UplinkConfig
from agent.update.engine import Updater
from agent.update.health import Baseline
from agent.update.job import Job, Kind, stamp
from agent.update.looking import Looker
from agent.update.store import UpdateStore
from agent.update.taking import Finding, Verdict, fetch_all

ROOT = Path(__file__).resolve().parents[2]
FIRST_RELEASE = "1.0.0-00000000"


class Gateway:
    """What a release does on a gateway: the launcher's and the health check's part, in memory."""

    hands_back = True
    shadow_s = 0.0

    def __init__(self) -> None:
        self.release, self.previous, self.behaves = FIRST_RELEASE, FIRST_RELEASE, "good"
        self.installed_jobs: list[str] = []

    def fetch(self, seen, job: Job, folder: Path, on_bytes) -> Mapping[str, Path]:
        return fetch_all(seen, job, folder, on_bytes)

    def examine(self, job: Job, files: Mapping[str, Path]) -> Finding:
        wheel = next(path for name, path in files.items() if name.endswith(".whl"))
        self.behaves = json.loads(wheel.read_text())["behaves"]
        return Finding()

    def install(self, job: Job, files: Mapping[str, Path]) -> None:
        self.installed_jobs.append(job.id)
        self.previous, self.release = self.release, job.release

    def installed(self, job: Job) -> Verdict:
        return Verdict("good") if self.release == job.release else Verdict("on")

    def trial(self, progress) -> Verdict:
        if self.behaves == "crashes":
            return Verdict("bad", "crash loop: 3 starts")
        return Verdict("on", "no tick") if self.behaves == "hangs" else Verdict("good")

    def confirm(self, job: Job) -> Verdict:
        return Verdict("good")

    def undo(self, job: Job, why: str) -> None:
        self.release, self.behaves = self.previous, "good"

    def last_job(self) -> str:
        return ""

    # The part of `Host`.

    def interlocks(self) -> tuple[str, ...]:
        return ()

    def baseline(self) -> Baseline:
        return Baseline()

    def ailment(self, before: Baseline, since_at) -> str:
        return "no plan was made for air" if self.behaves == "ails" else ""

    def hold(self, why: str) -> bool:
        return True

    def let_go(self) -> None:
        pass

    def tell(self, kind: str, fields: Mapping[str, object]) -> None:
        pass


class SimulatedSite:
    """One site: a session of its own at the broker, with its will, and its updater."""

    def __init__(self, site_id: str, port: int, folder: Path, root_file: Path, site, options: dict) -> None:
        self.id, self.gateway = site_id, Gateway()
        self._said = ""
        uplink = UplinkConfig(broker=f"mqtt://127.0.0.1:{port}")
        updates = Updates(root_file=root_file, **options)
        clock = WallClock()
        self._clock = clock
        self.store = UpdateStore(":memory:")
        looker = Looker(updates, uplink, site_id, folder / site_id, self.store, clock.now)
        self.updater = Updater(
            site, updates, self.store, looker, {Kind.AGENT: self.gateway}, self.gateway, clock
        )
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, client_id=f"trimload-{site_id}", protocol=paho.MQTTv311
        )
        self._up = f"trimload/{site_id}/up"
        self.client.will_set(f"{self._up}/status", b'{"state":"offline"}', qos=1, retain=True)
        self.client.on_connect = self._on_connect
        self.client.on_message = lambda *_: self.updater.hint()
        self.port = port

    def _on_connect(self, client: paho.Client, *_) -> None:
        client.subscribe(f"trimload/{self.id}/down/update", qos=1)
        client.publish(f"{self._up}/status", b'{"state":"online"}', qos=1, retain=True)

    def step(self) -> None:
        self.updater.step()
        status = {
            "site": self.id,
            "running": {
                "agent": {"version": self.gateway.release.partition("-")[0], "release": self.gateway.release}
            },
            "modes": {"air": "control"},
            "health": self.gateway.ailment(Baseline(), None),
            **self.updater.status(),
        }
        text = json.dumps(status, default=str)
        if text != self._said:
            self._said = text
            body = {"at": stamp(self._clock.now()), **status}
            self.client.publish(f"{self._up}/update", json.dumps(body, default=str), qos=1, retain=True)

    def state(self) -> str:
        jobs = self.updater.book.newest()
        return str(jobs[0]["state"]) if jobs else ""


class SimulatedFleet:
    """Sites on one event loop in a thread of their own; all their sessions on one selector. Use as a context."""

    def __init__(
        self,
        site_ids: list[str],
        port: int,
        folder: Path,
        root_file: Path,
        *,
        step_s: float = 0.2,
        workers: int = 8,
        **options: object,
    ) -> None:
        shared = load_site(ROOT / "examples" / "air_lines" / "site.toml")
        wanted = {"check_every_s": 3600, "healthy_s": 1.0, "rate_kb_s": 1e6, "daily_mb": 1e6} | options
        self.sites = {each: SimulatedSite(each, port, folder, root_file, shared, wanted) for each in site_ids}
        self._step_s, self._workers = step_s, workers
        self._stopped = threading.Event()
        self.failures: list[BaseException] = []

    def __enter__(self):
        for site in self.sites.values():
            site.client.connect("127.0.0.1", site.port, keepalive=60)
        self._threads = [
            threading.Thread(target=self._watched(work)) for work in (self._run_sessions, self._run_sites)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()
        for site in self.sites.values():
            site.client.disconnect()
        assert not self.failures, self.failures

    def states(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for site in self.sites.values():
            state = site.state()
            found[state] = found.get(state, 0) + 1
        return found

    def _watched(self, work: Callable[[], None]) -> Callable[[], None]:
        def run() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - the test fails with it
                self.failures.append(error)

        return run

    def _run_sessions(self) -> None:
        clients = [site.client for site in self.sites.values()]
        selector = selectors.DefaultSelector()
        for client in clients:
            selector.register(client.socket(), selectors.EVENT_READ, client)
        misc_at = 0.0
        while not self._stopped.is_set():
            for key, _ in selector.select(0.02):
                key.data.loop_read()
            for client in clients:
                if client.want_write():
                    client.loop_write()
            if time.monotonic() > misc_at:
                misc_at = time.monotonic() + 1.0
                for client in clients:
                    client.loop_misc()

    def _run_sites(self) -> None:
        asyncio.run(self._step_all())

    async def _step_all(self) -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(self._workers))
        while not self._stopped.is_set():
            began = time.monotonic()
            for site in self.sites.values():
                site.step()
            await asyncio.sleep(max(self._step_s - (time.monotonic() - began), 0.01))
        for site in self.sites.values():
            await site.updater.stop()
            site.store.close()


def release_file(folder: Path, version: str, behaves: str) -> Path:
    """A wheel that says what it does to a gateway."""
    path = folder / f"trimload-{version}-py3-none-any.whl"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"version": version, "behaves": behaves}))
    return path
