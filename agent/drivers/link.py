"""Keeps the connection to one device up, whatever protocol speaks over it.

The protocol's own reconnection is not used: pymodbus never retries a failed first attempt, and
asyncua may come back connected yet silent. Here a lost client is thrown away and a new one is
dialled, with back-off in real time, in a task of its own: while the device is away, reading and
writing cost nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

from agent.clock import pause

log = logging.getLogger("trimload.drivers")
Client = TypeVar("Client")

FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0
# One lost answer is no lost device (a gateway may drop one); two in a row are.
MISSES_UNTIL_LOST = 2


class LinkError(OSError):
    """The device cannot be reached, or does not answer as its protocol asks."""


class Link(Generic[Client]):
    """One device's client while it is connected, and the task that renews it.

    `dial` connects and proves that the device answers, or raises OSError; it is given the
    function to call when the connection is lost later. `hang_up` drops a client and may raise
    OSError. Anything else that they raise is a fault of the program and surfaces at `client`.
    """

    def __init__(
        self,
        device: str,
        dial: Callable[[Callable[[str], None]], Awaitable[Client]],
        hang_up: Callable[[Client], Awaitable[None]],
        *,
        dial_timeout_s: float,
    ) -> None:
        self._device = device
        self._dial = dial
        self._hang_up = hang_up
        self._dial_timeout_s = dial_timeout_s
        self._client: Client | None = None
        self._lost = asyncio.Event()
        self._tried = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._misses = 0
        self._told_lost = False
        self._stopping = False
        self.calls = 0  # connections made, so that a driver can forget what the last one taught it

    @property
    def client(self) -> Client | None:
        """The connected client, None while the device is away. Raises what ended the task."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()
        return self._client

    async def start(self) -> None:
        """Begin to dial; returns after the first attempt, whatever came of it."""
        if self._task is None:
            self._stopping = False
            self._task = asyncio.create_task(self._keep_up(), name=f"link {self._device}")
            waiter = asyncio.create_task(self._tried.wait())
            await asyncio.wait({waiter, self._task}, return_when=asyncio.FIRST_COMPLETED)
            waiter.cancel()

    async def stop(self) -> None:
        """Hang up and dial no more."""
        # A library that swallows a cancellation (asyncua, hanging up) must not keep the task alive.
        self._stopping = True
        task, self._task = self._task, None
        client, self._client = self._client, None
        self._tried.clear()
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        if client is not None:
            await self._drop(client)

    def answered(self) -> None:
        """The device answered."""
        self._misses = 0

    def missed(self) -> None:
        """The device let a request pass unanswered."""
        self._misses += 1
        if self._misses >= MISSES_UNTIL_LOST:
            self.lost("no answer")

    def lost(self, reason: str) -> None:
        """The connection is gone, or of no use any more."""
        if self._client is not None:
            self._client = None
            self._lost.set()
            self._tell_lost(reason)

    async def _keep_up(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._stopping:
            self._lost.clear()
            try:
                async with asyncio.timeout(self._dial_timeout_s):
                    client = await self._dial(self.lost)
            except OSError as error:
                self._tell_lost(str(error) or type(error).__name__)
                self._tried.set()
                await pause(wait_s)
                wait_s = min(2.0 * wait_s, LONGEST_WAIT_S)
                continue
            wait_s = FIRST_WAIT_S
            self._misses = 0
            self._client = client
            self.calls += 1
            self._tell_back()
            self._tried.set()
            await self._lost.wait()
            await self._drop(client)
            await pause(wait_s)

    async def _drop(self, client: Client) -> None:
        try:
            async with asyncio.timeout(self._dial_timeout_s):
                await self._hang_up(client)
        except OSError as error:
            log.debug("hang_up_failed device=%s reason=%s", self._device, error)

    def _tell_lost(self, reason: str) -> None:
        if not self._told_lost:
            self._told_lost = True
            log.warning("device_lost device=%s reason=%s", self._device, reason)

    def _tell_back(self) -> None:
        if self._told_lost:
            self._told_lost = False
            log.warning("device_back device=%s", self._device)
        else:
            log.info("device_connected device=%s", self._device)
