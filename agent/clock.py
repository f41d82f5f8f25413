"""The only place that knows what time it is. Everything else is told.

A wall clock and a simulated clock stand behind one protocol, so that the same daemon runs a
plant in real time and a simulated week in seconds.
"""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """What the program may know of time."""

    def now(self) -> datetime:
        """The present instant, UTC."""
        ...

    async def sleep_until(self, at: datetime) -> None:
        """Return at `at`, at once when that has passed."""
        ...

    def correct(self) -> float:
        """Follow a clock that was set meanwhile; the step so made, [s], mostly 0."""
        ...


# A wall clock that has moved further than this was set, by a person or by the time service after a cold start.
_SET_S = 2.0


class WallClock:
    """The machine's clock, carried on by the monotonic one: a step of the wall clock never
    stretches or repeats a tick. `correct` takes over a wall clock that was set.
    """

    def __init__(self) -> None:
        self._start, self._steady = datetime.now(UTC), time.monotonic()

    def correct(self) -> float:
        """Take the wall clock's reading where it has moved away; the step so made, [s]."""
        wall, steady = datetime.now(UTC), time.monotonic()
        step_s = (wall - self.now()).total_seconds()
        if abs(step_s) < _SET_S:
            return 0.0
        self._start, self._steady = wall, steady
        return step_s

    def now(self) -> datetime:
        return self._start + timedelta(seconds=time.monotonic() - self._steady)

    async def sleep_until(self, at: datetime) -> None:
        await asyncio.sleep(max(0.0, (at - self.now()).total_seconds()))


class SimClock:
    """A clock that only moves when told to, or when somebody sleeps on it."""

    def __init__(self, start_at: datetime) -> None:
        self._now = start_at

    def now(self) -> datetime:
        return self._now

    def advance_to(self, at: datetime) -> None:
        """Move forward to `at`; a clock never goes back."""
        self._now = max(self._now, at)

    def correct(self) -> float:
        """Nobody sets it."""
        return 0.0

    async def sleep_until(self, at: datetime) -> None:
        self.advance_to(at)
        await asyncio.sleep(0)


class ScaledClock:
    """Simulated time that runs `speed` times as fast as the wall: for servers on a real wire."""

    def __init__(self, start_at: datetime, speed: float) -> None:
        self._start, self._speed, self._steady = start_at, speed, time.monotonic()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=(time.monotonic() - self._steady) * self._speed)

    def correct(self) -> float:
        """Nobody sets it."""
        return 0.0

    async def sleep_until(self, at: datetime) -> None:
        await asyncio.sleep(max(0.0, (at - self.now()).total_seconds() / self._speed))


async def pause(wall_s: float) -> None:
    """Wait in real time, whatever the simulated clock says: for back-off on a real wire."""
    await asyncio.sleep(wall_s)


def elapsed_s() -> float:
    """Seconds of real time from a fixed, unspecified start: for measuring work only."""
    return time.perf_counter()


def cpu_s() -> float:
    """CPU seconds of this process: for measuring work only."""
    return time.process_time()


def boot_s() -> float:
    """Seconds since the machine was started, sleep included: for deadlines that no wall clock may move."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
