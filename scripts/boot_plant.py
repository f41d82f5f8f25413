"""The demo site's machines, simulated in the gateway's network: they live on when the gateway dies."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from boot_machine import LabError, Machine

ROOT = Path(__file__).resolve().parent.parent
START = datetime(2026, 6, 16, 8, 0, tzinfo=UTC)
DEAD_MAN_S = 4.0
TICK_S = 0.5


def demo_site(into: Path, extra: str = "") -> Path:
    """The demo site with a quick tick and a short dead-man, so that a test of them does not take minutes."""
    text = (ROOT / "examples" / "demo" / "site.toml").read_text(encoding="utf-8")
    for old, new in (
        ("tick_s = 10.0", f"tick_s = {TICK_S}"),
        ("dead_man_s = 30", f"dead_man_s = {DEAD_MAN_S:g}"),
        ('directory = "./state"', 'directory = "/var/lib/trimload"'),
    ):
        if old not in text:
            raise LabError(f"examples/demo/site.toml has no {old!r}")
        text = text.replace(old, new)
    into.write_text(text + extra, encoding="utf-8")
    return into


class Plant:
    """The lock-step twin, moved along with real time by a thread."""

    def __init__(self, machine: Machine, site: Path) -> None:
        words = [
            sys.executable,
            "-m",
            "agent.cli",
            "twin",
            str(site),
            "--lockstep",
            "--start",
            START.isoformat(),
        ]
        self._process = machine.beside(
            *words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, cwd=ROOT
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        if json.loads(self._process.stdout.readline()) != {"ready": True}:
            raise LabError("the twin does not start")
        self._machine = machine
        self._began = time.monotonic()
        self._ended = threading.Event()
        self.lowest_bar_g = 99.0
        self._state: dict[str, Any] = {}
        self._mover = threading.Thread(target=self._move, daemon=True)
        self._mover.start()

    def _move(self) -> None:
        while not self._ended.wait(0.1):
            at = START + timedelta(seconds=time.monotonic() - self._began)
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps({"advance_to": at.isoformat()}) + "\n")
            self._process.stdin.flush()
            self._state = json.loads(self._process.stdout.readline())["stations"]["air"]
            self.lowest_bar_g = min(self.lowest_bar_g, self._state["pressure_bar_g"])

    def _local(self) -> list[bool]:
        return [machine["local"] for machine in self._state.get("machines", {}).values()]

    def all_local(self) -> bool:
        """Whether every machine is in the hands of its own controller."""
        return bool(self._local()) and all(self._local())

    def none_local(self) -> bool:
        """Whether the agent has all of them in hand."""
        return bool(self._local()) and not any(self._local())

    def until(self, condition: Callable[[], object], within_s: float, else_say: str) -> float:
        """Seconds until the condition holds. Raises LabError."""
        return self._machine.until(condition, within_s, else_say)

    def close(self) -> None:
        self._ended.set()
        self._mover.join(5)
        self._process.kill()
        self._process.wait(10)
