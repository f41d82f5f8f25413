from __future__ import annotations

import asyncio

import pytest

from agent.drivers.link import Link, LinkError
from tests.drivers.waiting import until


async def hang_up(client: str) -> None:
    return


async def test_a_fault_of_the_program_surfaces_where_the_client_is_asked_for():
    async def dial(lost):
        raise KeyError("a bug")

    link = Link("c1", dial, hang_up, dial_timeout_s=1.0)
    await link.start()

    with pytest.raises(KeyError, match="a bug"):
        _ = link.client

    await link.stop()


async def test_a_dial_that_never_ends_is_given_up_and_tried_again():
    dialled = []

    async def dial(lost):
        dialled.append(len(dialled))
        if len(dialled) == 1:
            await asyncio.Event().wait()
        return "client"

    link = Link("c1", dial, hang_up, dial_timeout_s=0.05)
    await link.start()
    first = link.client

    async def connected() -> bool:
        return link.client is not None

    await until(connected)
    await link.stop()

    assert first is None
    assert dialled == [0, 1]
    assert link.client is None


async def test_a_stop_is_not_held_up_by_a_library_that_swallows_the_cancellation():
    hanging_up = asyncio.Event()

    async def dial(lost):
        return "client"

    async def swallow(client: str) -> None:
        hanging_up.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    link = Link("c1", dial, swallow, dial_timeout_s=5.0)
    await link.start()
    link.lost("gone")
    await hanging_up.wait()

    async with asyncio.timeout(3.0):
        await link.stop()

    assert link.client is None


async def test_a_client_that_fails_to_hang_up_is_dropped_all_the_same():
    dialled = []

    async def dial(lost):
        dialled.append("client")
        return "client"

    async def fail(client: str) -> None:
        raise LinkError("the socket is gone")

    link = Link("c1", dial, fail, dial_timeout_s=1.0)
    await link.start()
    link.lost("gone")

    async def again() -> bool:
        return link.client is not None

    await until(again)
    await link.stop()

    assert dialled == ["client", "client"]


async def test_one_missed_answer_is_forgiven_and_two_in_a_row_are_a_loss():
    async def dial(lost):
        return "client"

    link = Link("c1", dial, hang_up, dial_timeout_s=1.0)
    await link.start()

    link.missed()
    link.answered()
    link.missed()
    after_one = link.client
    link.missed()
    after_two = link.client
    await link.stop()

    assert (after_one, after_two) == ("client", None)
