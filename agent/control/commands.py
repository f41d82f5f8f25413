"""Orders into commands: only what differs from what stands in the machines' controllers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from agent.control.orders import Order
from agent.control.view import Fleet
from agent.domain import Command, Snapshot

# A VSD's share is rewritten when it moves by this much: less is below what its speed control resolves.
_SHARE_STEP = 0.005
# An order that was not sent within this time is not sent at all.
COMMAND_LIFE_S = 10.0
HEARTBEAT_WRAP = 65536


class OrderWriter:
    """Tags of a station's command points, and which of them the agent may write."""

    def __init__(self, fleet: Fleet, writable: frozenset[str]) -> None:
        roles = ("enable", "heartbeat", "run", "load", "output_share_set")
        self._fleet = fleet
        self._tags = tuple(
            tuple(tag if (tag := machine.tag(role)) in writable else None for role in roles)
            for machine in fleet.machines
        )
        self._beat = 0
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
        for order, (enable, heartbeat, run, load, share) in zip(orders, self._tags, strict=True):
            if order is None:
                self._put(out, snapshot, enable, 0.0, not_after, reason, plan_id)
                continue
            self._put(out, snapshot, run, float(order.run), not_after, reason, plan_id)
            self._put(out, snapshot, load, float(order.load), not_after, reason, plan_id)
            if order.share is not None:
                self._put(out, snapshot, share, order.share, not_after, reason, plan_id, step=_SHARE_STEP)
            self._put(out, snapshot, enable, 1.0, not_after, reason, plan_id)
            if heartbeat is not None:
                out.append(Command(heartbeat, float(self._beat), not_after, "alive", plan_id))
        return out

    def hand_back(self, snapshot: Snapshot, reason: str) -> list[Command]:
        """Enable off on every machine: its own controller takes over at once."""
        not_after = snapshot.at + timedelta(seconds=COMMAND_LIFE_S)
        out: list[Command] = []
        for enable, *_ in self._tags:
            self._put(out, snapshot, enable, 0.0, not_after, reason, "")
        return out

    def _put(
        self,
        out: list[Command],
        snapshot: Snapshot,
        tag: str | None,
        value: float,
        not_after: datetime,
        reason: str,
        plan_id: str,
        *,
        step: float = 1e-6,
    ) -> None:
        if tag is None:
            return
        standing = snapshot.value(tag)
        if standing is None:
            standing = self._ordered.get(tag)
        if standing is None or abs(standing - value) >= step:
            self._ordered[tag] = value
            out.append(Command(tag, value, not_after, reason, plan_id))
