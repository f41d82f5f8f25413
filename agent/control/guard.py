"""The last word before a command: what may not leave is held back here, with its rule.

Pure: the same wishes, view and memory give the same verdict. Order of authority: lock-out and trip, the
net's highest pressure, what protects a motor (minimum times, start limits), operator, then the band's wish.
An operator's stop waits, for a start's time at most, until the others carry what the machine delivers.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import NamedTuple

from agent.control.memory import DAY_S, HOUR_S, StationMemory
from agent.control.orders import LOADED, STOP, UNLOADED, Order
from agent.control.view import Fleet, StationView
from agent.domain import Refusal

# Two motors never start within this time of each other: star-delta inrush takes about 10 s.
START_GAP_S = 12.0
_HAND_OVER_S = 30.0
_LOCKED_OUT = "locked out for maintenance"


class Verdict(NamedTuple):
    """Orders that may leave, None for a machine to be handed back to its own controller, and refusals."""

    orders: tuple[Order | None, ...]
    refusals: tuple[Refusal, ...]


def guard(fleet: Fleet, view: StationView, memory: StationMemory, wishes: tuple[Order, ...]) -> Verdict:
    """Let out of `wishes` what the machines' limits allow."""
    now_s, station = view.at_s, fleet.station
    too_high = view.pressure_bar_g is not None and view.pressure_bar_g > station.pressure_max_bar_g
    orders: list[Order | None] = []
    refusals: list[Refusal] = []
    started = False
    handed_over_s = hand_over_s(fleet)
    for index, wish in enumerate(wishes):
        machine, seen, past = fleet.machines[index], view.machines[index], memory.machines[index]
        if (
            wish.run == past.running
            and seen.running is not None
            and not (too_high or machine.locked_out or past.locked_out or now_s < past.override_until_s)
        ):
            # As mostly: it goes on running or standing, and nobody has a say in it.
            orders.append(_in_range(fleet, index, wish))
            continue
        name = fleet.names[index]
        leaving = past.running and bool(seen.loaded) and now_s < past.taken_out_s + handed_over_s
        if machine.locked_out or (past.locked_out and not leaving) or seen.running is None:
            if wish.run:
                why = "machine is silent" if seen.running is None else _LOCKED_OUT
                refusals.append(Refusal(name, _text(wish), why))
            orders.append(None if seen.running is None else STOP)
            continue
        overridden = past.overridden(now_s)
        if overridden is False and leaving:
            # The band releases it as soon as the others carry what it delivers: no dip for a stop that was asked for.
            overridden = None
        if overridden is not None and overridden != wish.run:
            refusals.append(
                Refusal(
                    name,
                    _text(wish),
                    past.override_text or "operator's override",
                    _instant(past.override_until_s),
                )
            )
        if overridden is not None:
            wish = _overridden(wish, run=overridden)  # noqa: PLW2901
        if wish.load and too_high:
            # Whatever chose the loading, the net's highest pressure is not passed by an order of ours.
            refusals.append(Refusal(name, "load", f"pressure is above {station.pressure_max_bar_g:g} bar"))
            wish = Order(run=wish.run and past.running, load=False, share=wish.share)  # noqa: PLW2901
        if too_high and past.stuck_loaded and past.running and seen.loaded:
            # Its inlet does not close: the motor is the last way to stop the air.
            refusals.append(Refusal(name, _text(wish), "does not unload, and the pressure is too high"))
            orders.append(STOP)
            continue
        if wish.run and not past.running:
            # An order that stands already began its gap when it was given: a later one does not take it back.
            stands = not math.isinf(past.ordered_start_s)
            gap_end_s = memory.start_gap_end_s(index, START_GAP_S)
            if started and not stands:
                gap_end_s = now_s + START_GAP_S
            rule, until_s = _start_rule(fleet, view, memory, index, gap_end_s)
            if rule:
                refusals.append(Refusal(name, "start", rule, _instant(until_s)))
                orders.append(STOP)
                continue
            started = started or not stands
        elif not wish.run and past.running:
            free_s = past.since_s + machine.min_run_s
            if now_s < free_s and not seen.tripped:
                refusals.append(
                    Refusal(name, "stop", f"minimum run time {machine.min_run_s:g} s", _instant(free_s))
                )
                wish = Order(run=True, load=False, share=wish.share)  # noqa: PLW2901
        orders.append(_in_range(fleet, index, wish))
    return Verdict(tuple(orders), tuple(refusals))


def hand_over_s(fleet: Fleet) -> float:
    """Longest time that a machine which an operator takes out may go on delivering: another one's start."""
    return _HAND_OVER_S + fleet.longest_start_s


def may_start(fleet: Fleet, view: StationView, memory: StationMemory, index: int) -> bool:
    """Whether the machine could be started now, apart from the gap between two starts."""
    return not _start_rule(fleet, view, memory, index, float("-inf"))[0]


def start_bar(fleet: Fleet, view: StationView, memory: StationMemory, index: int) -> tuple[str, float | None]:
    """What forbids a start of the machine now, apart from the gap between two starts, and until when."""
    return _start_rule(fleet, view, memory, index, float("-inf"))


def _start_rule(
    fleet: Fleet, view: StationView, memory: StationMemory, index: int, gap_end_s: float
) -> tuple[str, float | None]:
    """The rule that forbids a start now and until when; "" if none does."""
    now_s = view.at_s
    machine, seen, past = fleet.machines[index], view.machines[index], memory.machines[index]
    if machine.locked_out or past.locked_out:
        return _LOCKED_OUT, None
    if past.overridden(now_s) is False:
        return past.override_text or "operator's override", past.override_until_s
    if seen.tripped:
        return "tripped", None
    if seen.ready is False:
        return "not ready: in local mode, blocked or blowing down", None
    if now_s < past.barred_until_s:
        return f"set aside: {past.barred_why}", past.barred_until_s
    if now_s < past.since_s + machine.min_stop_s:
        return f"minimum stop time {machine.min_stop_s:g} s", past.since_s + machine.min_stop_s
    if past.starts_within(now_s, HOUR_S) >= machine.max_starts_per_hour:
        oldest_s = past.starts_s[-machine.max_starts_per_hour]
        return f"start limit {machine.max_starts_per_hour} an hour", oldest_s + HOUR_S
    if past.starts_within(now_s, DAY_S) >= machine.max_starts_per_day:
        return f"start limit {machine.max_starts_per_day} a day", past.starts_s[
            -machine.max_starts_per_day
        ] + DAY_S
    if now_s < gap_end_s:
        return f"another machine started less than {START_GAP_S:g} s ago", gap_end_s
    return "", None


def _overridden(wish: Order, *, run: bool) -> Order:
    if run == wish.run:
        return wish
    return Order(run=True, load=True, share=wish.share) if run else STOP


def _in_range(fleet: Fleet, index: int, order: Order) -> Order:
    if not order.run:
        return STOP
    if not fleet.is_vsd[index]:
        return LOADED if order.load else UNLOADED
    share = 1.0 if order.share is None else order.share
    if math.isnan(share):
        # No order is made of what is not a number: the least that the machine delivers.
        share = 0.0
    least = fleet.least_flow[index] / fleet.full_flow[index]
    return Order(True, order.load, min(max(share, least), 1.0))


def _text(order: Order) -> str:
    if not order.run:
        return "stop"
    return "load" if order.load else "run unloaded"


def _instant(at_s: float | None) -> datetime | None:
    return None if at_s is None or not math.isfinite(at_s) else datetime.fromtimestamp(at_s, UTC)


def may_start_or_runs(fleet: Fleet, view: StationView, memory: StationMemory, index: int) -> bool:
    """Whether the machine can help: it runs, or it may be started."""
    seen = view.machines[index]
    if seen.running is None or seen.tripped:
        return False
    return bool(seen.running) or may_start(fleet, view, memory, index)
