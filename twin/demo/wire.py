"""The twin in a process of its own, moved in lock-step, and the clock that moves it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.clock import SimClock
from agent.errors import TrimloadError

_STOP_S = 10.0


class TwinFailedError(TrimloadError):
    """The simulated plant did not start or went away."""


class TwinLink:
    """Requests to the twin's process, one line each way."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.state: dict[str, Any] = {}

    async def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send one request and read its answer."""
        reader, writer = self._process.stdout, self._process.stdin
        assert reader is not None
        assert writer is not None
        writer.write(json.dumps(request).encode() + b"\n")
        await writer.drain()
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """Read one line. Raises TwinFailedError when the process has ended."""
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        if not line:
            detail = b"" if self._process.stderr is None else await self._process.stderr.read()
            raise TwinFailedError(
                "the simulated plant has ended: "
                + (detail.decode(errors="replace").strip() or "no word from it"),
                where="trimload twin --lockstep",
                fix="mend what it says; ports in use are named in examples/demo/site.toml",
            )
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def advance_to(self, at: datetime) -> None:
        """Let the plant live until `at`."""
        self.state = await self.ask({"advance_to": at.isoformat()})


class LockstepClock(SimClock):
    """A simulated clock that takes the plant along: sleeping is letting the plant live."""

    def __init__(self, start_at: datetime, link: TwinLink) -> None:
        super().__init__(start_at)
        self._link = link

    async def sleep_until(self, at: datetime) -> None:
        """Move plant and clock to `at`."""
        await self._link.advance_to(at)
        self.advance_to(at)


@asynccontextmanager
async def twin_process(site: Path, *, start_at: datetime, demand: str, seed: int) -> AsyncIterator[TwinLink]:
    """The twin with all its ports open."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "agent.cli",
        "twin",
        str(site),
        "--lockstep",
        "--start",
        start_at.isoformat(),
        "--seed",
        str(seed),
        "--demand",
        demand,
        "--after-eof-s",
        "0",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    link = TwinLink(process)
    try:
        await link.answer()
        yield link
    finally:
        if process.stdin is not None:
            process.stdin.close()
        try:
            await asyncio.wait_for(process.wait(), _STOP_S)
        except TimeoutError:
            process.kill()
            await process.wait()
