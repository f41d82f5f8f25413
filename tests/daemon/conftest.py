"""A site on free ports, its twin in a process, and the agent beside it."""

import json
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "demo" / "site.toml"


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    """The demo site on ports that nobody uses, with a dead-man of 4 s and a tick of 0.5 s."""
    text = DEMO.read_text(encoding="utf-8")
    used = sorted({int(p) for p in _numbers_after(text, "port = ")} | {14840, 18830})
    for old, new in zip(used, free_ports(len(used)), strict=True):
        text = text.replace(str(old), str(new))
    text = text.replace("tick_s = 10.0", "tick_s = 0.5").replace("dead_man_s = 30", "dead_man_s = 4")
    assert "tick_s = 0.5" in text
    assert "dead_man_s = 4\n" in text
    path = tmp_path / "site.toml"
    path.write_text(text, encoding="utf-8")
    return path


def _numbers_after(text: str, key: str) -> list[str]:
    return [line.partition(key)[2].strip() for line in text.splitlines() if line.strip().startswith(key)]


class Twin:
    """The lock-step twin as a child process."""

    def __init__(self, site: Path, start: str, *more: str) -> None:
        command = [
            sys.executable,
            "-m",
            "agent.cli",
            "twin",
            str(site),
            "--lockstep",
            "--start",
            start,
            *more,
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.read() == {"ready": True}

    def read(self) -> dict:
        line = self.process.stdout.readline()
        assert line, "the twin has ended"
        return json.loads(line)

    def ask(self, request: dict) -> dict:
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self.read()

    def close(self) -> None:
        for stream in (self.process.stdin, self.process.stdout):
            stream.close()
        self.process.kill()
        self.process.wait(10)


@pytest.fixture
def start_twin() -> Iterator[Callable[..., Twin]]:
    twins: list[Twin] = []

    def start(site: Path, start: str, *more: str) -> Twin:
        twins.append(Twin(site, start, *more))
        return twins[-1]

    yield start
    for twin in twins:
        twin.close()


@contextmanager
def agent_process(site: Path, state: Path) -> Iterator[subprocess.Popen[str]]:
    """`trimload run` on the wall clock."""
    process = subprocess.Popen(
        [sys.executable, "-m", "agent.cli", "run", str(site), "--state", str(state)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate(timeout=10)
