"""Which machine starts first after a trip, and whether one starts that nobody planned."""

import math

import pytest

from agent.control.after_trip import TripWatch, next_starts
from agent.control.memory import StationMemory
from agent.control.refill import below_s, path_of, slot_s
from tests.control.plant import loaded, stopped, view

BIG, SMALL, VSD = 0, 1, 2


def starts(fleet, pressure, machines, wanted, *, active, memory=None):
    memory = memory or StationMemory(fleet.count)
    now = view(0, pressure, machines)
    memory.observe(now)
    return next_starts(fleet, now, memory, active=active, wanted_m3_min=wanted, tick_s=2.0)


def test_machine_that_brings_most_air_starts_first(fleet):
    # The drive has tripped: 24 m3/min are wanted, nothing runs, both others are meant to.
    found = starts(fleet, 6.3, [stopped(), stopped(), stopped(tripped=True)], 24.0, active=0b011)

    assert found == (BIG, -1)


def test_small_machine_that_was_planned_waits_for_a_large_one_that_was_not(fleet):
    # 8 m3/min: the small one (9) would refill the hole of 8 x 15 / 60 = 2 m3 in two minutes, the big one (16) in 15 s.
    found = starts(fleet, 6.3, [stopped(), stopped(), stopped(tripped=True)], 8.0, active=0b010)

    assert found == (BIG, BIG)


def test_second_machine_starts_only_where_the_dip_is_shorter_with_it(fleet):
    # 14 m3/min, the big one planned: hole 3.5 m3, refilled at 2 m3/min in 105 s. The small one comes 14 s later: 2 s are
    # 0.47 m3, the other 3.03 go at 11 m3/min.
    tight = starts(fleet, 6.3, [stopped(), stopped(), stopped(tripped=True)], 14.0, active=0b001)
    # 3 m3/min: the big one alone refills 0.75 m3 in 3 s.
    ample = starts(fleet, 6.3, [stopped(), stopped(), stopped(tripped=True)], 3.0, active=0b001)

    assert tight == (BIG, SMALL)
    assert ample == (BIG, -1)


def test_nothing_more_starts_while_the_net_bears_it(fleet):
    # 14 m3/min for 15 s are 3.5 m3 or 0.24 bar of a net that stands 0.5 bar above the minimum.
    found = starts(fleet, 6.8, [stopped(), stopped(), stopped(tripped=True)], 14.0, active=0b001)

    assert found.more == -1


def test_machine_that_must_stand_a_while_yet_is_not_counted_on(fleet):
    memory = StationMemory(fleet.count)
    memory.observe(view(-30, 6.4, [loaded(), stopped(), loaded()]))
    # The big one stopped 20 s ago and may not start before a minute is over.
    memory.observe(view(-20, 6.4, [stopped(), stopped(), loaded()]))

    found = starts(
        fleet, 6.3, [stopped(), stopped(), stopped(tripped=True)], 12.0, active=0b001, memory=memory
    )

    assert found == (SMALL, SMALL)


def test_order_that_stands_is_not_taken_for_another_start(fleet):
    memory = StationMemory(fleet.count)
    seen = [stopped(), stopped(), stopped(tripped=True)]
    memory.observe(view(-2, 6.3, seen))
    memory.machines[BIG].ordered_start_s = view(-2, 6.3, seen).at_s

    found = starts(fleet, 6.3, seen, 3.0, active=0b001, memory=memory)

    assert found == (-1, -1)


def test_trip_counts_for_five_minutes_and_only_of_a_machine_that_delivered():
    watch, idle = TripWatch(), TripWatch()
    watch.see(view(0, 6.5, [loaded()]), 0b1)
    idle.see(view(0, 6.5, [stopped()]), 0b0)
    tripped = [stopped(tripped=True)]

    assert [watch.see(view(at_s, 6.4, tripped), 0) for at_s in (2, 301, 302)] == [True, True, False]
    assert not idle.see(view(2, 6.5, tripped), 0)


@pytest.mark.parametrize(
    ("store_m3", "expected_s"),
    # 6 m3/min are missing for 10 s (1 m3), then 3 m3/min refill it: 20 s. From 0.5 m3: 5 s of the first and 10 s after.
    [(0.0, 30.0), (0.5, 15.0), (1.0, 0.0), (-0.5, 40.0)],
)
def test_time_below_the_minimum_is_that_of_the_falling_and_the_rising_line(store_m3, expected_s):
    path = path_of(-6.0, [(10.0, 9.0)])

    assert below_s(path, store_m3) == pytest.approx(expected_s)


def test_net_that_nothing_refills_stays_below_for_good():
    assert math.isinf(below_s(path_of(-6.0, [(10.0, 6.0)]), 0.0))
    assert below_s(path_of(-6.0, [(10.0, 6.0)]), 1.0) == 0.0


@pytest.mark.parametrize(("tick_s", "expected_s"), [(1.0, 13.0), (2.0, 14.0), (5.0, 20.0), (10.0, 30.0)])
def test_next_start_follows_at_the_first_tick_after_the_gap(tick_s, expected_s):
    # The first start is seen a tick after its order, and 12 s are to pass from there.
    assert slot_s(tick_s) == expected_s
