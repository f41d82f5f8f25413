"""Whose day it is: blocks by lot, in pairs, from the coming of people, over both clock changes."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from agent.config.parts import WeekTime
from agent.config.site import Hvac, Switchback, Unit, Zone
from agent.planner.switchback import arm_at, days

BERLIN = "Europe/Berlin"


def hvac(*, begin=date(2026, 5, 4), span=84, block=5, seed=1) -> Hvac:
    hours = (
        WeekTime(days="mon-fri", from_="06:00", to="18:00"),
        WeekTime(days="sat", from_="08:00", to="12:00"),
    )
    zone = Zone(unit="u", temp="u.temp", occupancy=hours)
    test = Switchback(begin=begin, days=span, block_days=block, seed=seed)
    return Hvac(units={"u": Unit(device="u")}, zones={"hall": zone}, switchback=test)


def test_a_day_runs_from_the_coming_of_people_to_their_next_coming():
    test = days(hvac(), BERLIN)
    clock = [day.from_at.astimezone(ZoneInfo(BERLIN)).strftime("%a %H:%M") for day in test[:8]]

    # Nobody comes on Sundays: the usual hour counts.
    assert clock == [
        "Mon 06:00", "Tue 06:00", "Wed 06:00", "Thu 06:00", "Fri 06:00", "Sat 08:00", "Sun 06:00", "Mon 06:00",
    ]  # fmt: skip
    assert all(a.to_at == b.from_at for a, b in zip(test, test[1:], strict=False))


@pytest.mark.parametrize("block", [3, 4, 5])
def test_blocks_come_in_pairs_with_one_of_each_and_the_first_day_of_each_is_marked(block):
    test = days(hvac(block=block), BERLIN)
    arms = [day.arm for day in test if day.first]

    assert len(arms) % 2 == 0
    assert len(arms) >= 84 // block - 1
    assert all({a, b} == {"agent", "site"} for a, b in zip(arms[::2], arms[1::2], strict=True))
    assert all(len([d for d in test if d.block == n]) == block for n in range(len(arms)))


def test_the_order_is_drawn_by_lot_and_the_same_seed_draws_the_same():
    orders = {
        seed: tuple(d.arm for d in days(hvac(seed=seed, block=3), BERLIN) if d.first) for seed in range(8)
    }

    assert len(set(orders.values())) > 4
    assert orders[3] == tuple(d.arm for d in days(hvac(seed=3, block=3), BERLIN) if d.first)


def test_days_on_which_the_clock_changes_have_23_and_25_hours_and_leave_no_gap():
    spring = days(hvac(begin=date(2026, 3, 23)), BERLIN)
    autumn = days(hvac(begin=date(2026, 10, 19)), BERLIN)

    hours = {d.on: (d.to_at - d.from_at) / timedelta(hours=1) for d in (*spring, *autumn)}
    # Saturday 08:00 to Sunday 06:00 is 22 h; an hour less or more where the clock changes in between.
    assert hours[date(2026, 3, 28)] == 21.0
    assert hours[date(2026, 10, 24)] == 23.0
    assert hours[date(2026, 3, 30)] == 24.0


def test_nobody_is_in_turn_before_and_after_the_test():
    test = days(hvac(), BERLIN)

    assert arm_at(test, datetime(2026, 5, 4, 3, 59, tzinfo=UTC)) is None
    assert arm_at(test, datetime(2026, 5, 4, 4, 0, tzinfo=UTC)) == test[0].arm
    assert arm_at(test, test[-1].to_at) is None
    assert days(Hvac(), BERLIN) == ()
