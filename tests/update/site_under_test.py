"""A whole agent on a simulated clock, fed by lines, with its updater on a copy of the fleet's repository."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, timedelta
from pathlib import Path

from agent.clock import SimClock
from agent.daemon.loop import Daemon
from agent.daemon.models import load_models
from agent.daemon.updates import UpdateService, load_active
from agent.drivers.lines import LinesDriver
from agent.store.history import History
from agent.store.ledger import Ledger
from agent.update.local import leave_request, take_answer

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = (ROOT / "examples" / "air_lines" / "site.toml").read_text(encoding="utf-8")
UPDATES = """
[updates]
root_file = "root.json"
check_every_s = 60
healthy_s = 30
shadow_s = 60
"""


def site_text(*changes: tuple[str, str], updates: str = UPDATES) -> str:
    """The example as site `demo`, with these texts replaced."""
    text = EXAMPLE.replace('id = "air-lines"', 'id = "demo"') + updates
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


class Site:
    """`begin` is what `trimload run` does; `turn` is a tick and a step of the updater."""

    def __init__(self, folder: Path, fleet, text: str | None = None) -> None:
        self.folder, self.fleet = folder, fleet
        self.file, self.state = folder / "site.toml", folder / "state"
        folder.mkdir()
        self.file.write_text(text or site_text(), encoding="utf-8")
        (folder / "root.json").write_bytes(fleet.root)
        self.clock: SimClock = fleet.clock
        self.restarts: list[str] = []
        self.pressure_bar_g = 6.8
        self.silent: set[str] = set()
        self.more: dict[str, float] = {}
        self.orders: dict[str, float] = {}

    async def begin(self) -> None:
        self.restarts = []
        self.loaded, _ = load_active(self.file, self.state)
        site = self.loaded.site
        self.drivers = {name: LinesDriver(name, device) for name, device in site.devices.items()}
        self.history = History(":memory:", 60)
        self.ledger = Ledger(self.state / "ledger.db")
        self.daemon = Daemon(
            site,
            self.clock,
            self.drivers,
            history=self.history,
            ledger=self.ledger,
            models=load_models(site, time.perf_counter, self.loaded.models),
        )
        self.service = UpdateService(self.daemon, self.loaded, self.file, self.state, self.restarts.append)
        self.service.updater.look_into(self.fleet.path)
        await self.daemon.start()

    async def end(self) -> None:
        await self.daemon.stop("the test is over")
        await self.service.updater.stop()
        self.service.close()
        self.ledger.close()
        self.history.close()

    async def restart(self) -> None:
        await self.end()
        await self.begin()

    async def turn(self, seconds: float = 10.0) -> None:
        """Time goes on, the plant answers, a tick, a step; the worker is waited for."""
        self.clock.advance_to(self.clock.now() + timedelta(seconds=seconds))
        at = self.clock.now()
        readings = {"header.pressure": self.pressure_bar_g + 0.001 * (at.second % 7), "header.flow": 20.0}
        for name in ("c1", "c2", "c3", "c4"):
            self.orders |= {
                tag: value for tag, value in self.drivers[name].take().items() if value is not None
            }
            on = self.orders.get(f"{name}.run", float(name == "c1"))
            load = on * self.orders.get(f"{name}.load", on)
            readings |= {
                f"{name}.running": on,
                f"{name}.loaded": load,
                f"{name}.power_kw": 30.0 * on + 68.0 * load,
            }
            readings |= {f"{name}.output_share": self.orders.get(f"{name}.output_share_set", 1.0) * load}
            readings |= {f"{name}.ready": 1.0, f"{name}.tripped": 0.0}
        readings |= self.more
        for name, driver in self.drivers.items():
            if name not in self.silent:
                driver.feed(at, {tag: value for tag, value in readings.items() if tag in driver.tags})
            else:
                driver.feed(at, {})
        await self.daemon.tick()
        self.service.step()
        deadline = time.monotonic() + 30
        while (work := self.service.updater._work) is not None and not work.task.done():
            assert time.monotonic() < deadline
            await asyncio.sleep(0.002)
        if self.service.updater._work is not None:
            self.service.step()

    async def until(self, state: str, turns: int = 60, seconds: float = 10.0) -> dict:
        """Turn until the newest job is in that state; restarts are obeyed on the way."""
        for _ in range(turns):
            if self.restarts:
                await self.restart()
            await self.turn(seconds)
            job = self.job()
            if job is not None and job["state"] == state and not self.restarts:
                return job
        raise AssertionError(f"not {state}: {self.service.status()}")

    def job(self) -> dict | None:
        jobs = self.service.updater.book.newest()
        return jobs[-1] if jobs else None

    def look(self) -> None:
        self.service.updater.look_into(self.fleet.path)

    async def ask(self, op: str, argument: str, who: str = "anna") -> dict:
        request_id = leave_request(self.service.folder, op, argument, who, "a test")
        for _ in range(20):
            await self.turn(1.0)
            answer = take_answer(self.service.folder, request_id)
            if answer is not None:
                return answer
        raise AssertionError("no answer")

    def told(self, kind: str, since: datetime | None = None) -> list[dict]:
        rows = self.ledger.since(since or datetime.fromisoformat("2020-01-01T00:00:00Z"), kind, limit=10_000)
        return [row.values() for row in rows]

    def steps(self, job_id: str) -> list[str]:
        return [row["to"] for row in self.told("update") if row["job"] == job_id]
