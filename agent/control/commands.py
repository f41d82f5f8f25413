"""Orders into commands: only what differs from what stands in the machines' controllers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from agent.control.orders import Order
from agent.control.view import Fleet
from agent.domain import USABLE, Command, Reading, Snapshot

# A VSD's share is rewritten when it moves by this much: less is below what its speed control resolves.
_SHARE_STEP = 0.005
# Any other value is rewritten when it differs at all.
_SAME = 1e-6
# An order that was not sent within this time is not sent at all.
COMMAND_LIFE_S = 10.0
HEARTBEAT_WRAP = 65536


class OrderWriter:
    """Tags of a station's command points, and which of them the agent may write."""

    def __init__(self, fleet: Fleet, writable: frozenset[str]) -> None:
        roles = ("enable", "heartbeat", "run", "load", "output_share_set")
        self._tags = tuple(
            tuple(tag if (tag := machine.tag(role)) in writable else "" for role in roles)
            for machine in fleet.machines
        )
        self._beat = 0
        # Per machine: the order at which nothing was to be written. As long as it and the readings stand, nothing is.
        self._settled: list[Order | None] = [None] * len(self._tags)
        # Enable, run, load and share of one machine after the other.
        self._standing_tags = tuple(tag for enable, _, *rest in self._tags for tag in (enable, *rest))
        self._standing: tuple[Reading | None, ...] = ()
        # What was ordered last: it stands for the device's own word where that is not to be had.
        self._ordered: dict[str, float] = {}

    def commands(
        self, snapshot: Snapshot, orders: Sequence[Order | None], *, tick_s: float, reason: str, plan_id: str
    ) -> list[Command]:
        """Commands for every machine that may be commanded; the heartbeat is among them at each tick.

        Run, load and share come before enable, so that a machine that is taken over finds its orders
        already there; a machine with an order None is handed back.
        """
        self._beat = (self._beat + 1) % HEARTBEAT_WRAP
        not_after = snapshot.at + timedelta(seconds=max(COMMAND_LIFE_S, 2.0 * tick_s))
        out: list[Command] = []
        beat, is_due, settled = float(self._beat), self._is_due, self._settled
        read = snapshot.readings.get
        standing = tuple(map(read, self._standing_tags))
        if standing != self._standing:
            for index in range(len(settled)):
                mine = slice(4 * index, 4 * index + 4)
                if standing[mine] != self._standing[mine]:
                    settled[index] = None
            self._standing = standing
        for index, (order, (enable, heartbeat, run, load, share)) in enumerate(
            zip(orders, self._tags, strict=True)
        ):
            if order is None:
                settled[index] = None
                if enable and is_due(read(enable), enable, 0.0):
                    out.append(Command(enable, 0.0, not_after, reason, plan_id))
                continue
            if order == settled[index]:
                if heartbeat:
                    out.append(Command(heartbeat, beat, not_after, "alive", plan_id))
                continue
            before = len(out)
            if run and is_due(read(run), run, value := float(order.run)):
                out.append(Command(run, value, not_after, reason, plan_id))
            if load and is_due(read(load), load, value := float(order.load)):
                out.append(Command(load, value, not_after, reason, plan_id))
            if share and order.share is not None and is_due(read(share), share, order.share, _SHARE_STEP):
                out.append(Command(share, order.share, not_after, reason, plan_id))
            if enable and is_due(read(enable), enable, 1.0):
                out.append(Command(enable, 1.0, not_after, reason, plan_id))
            settled[index] = order if len(out) == before else None
            if heartbeat:
                out.append(Command(heartbeat, beat, not_after, "alive", plan_id))
        return out

    def hand_back(self, snapshot: Snapshot, reason: str) -> list[Command]:
        """Enable off on every machine: its own controller takes over at once."""
        not_after = snapshot.at + timedelta(seconds=COMMAND_LIFE_S)
        self._settled = [None] * len(self._tags)
        out: list[Command] = []
        for enable, *_ in self._tags:
            if enable and self._is_due(snapshot.readings.get(enable), enable, 0.0):
                out.append(Command(enable, 0.0, not_after, reason))
        return out

    def _is_due(self, reading: Reading | None, tag: str, value: float, step: float = _SAME) -> bool:
        """Whether something else stands in the device, as its `reading` says; the value then counts as ordered."""
        standing = None if reading is None or reading.quality < USABLE else reading.value
        if standing is None:
            standing = self._ordered.get(tag)
        if standing is None or abs(standing - value) >= step:
            self._ordered[tag] = value
            return True
        return False
