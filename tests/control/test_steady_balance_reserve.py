"""The control's own time, even hours, and what a trip takes."""

import pytest

from agent.control.balance import balanced, peers_of, spread_h
from agent.control.demand import Demand
from agent.control.memory import StationMemory
from agent.control.reserve import trip_reserve_bar
from agent.control.steady import SteadyTime
from tests.control.plant import idle, loaded, stopped, view


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 86400.0 * 365])
def test_clock_that_is_set_moves_the_controls_time_by_one_tick(step_s):
    time, wall = SteadyTime(), [0.0, 2.0, 4.0, 6.0 + step_s, 8.0 + step_s]

    times = [time.at(at_s) for at_s in wall]

    assert times == [0.0, 2.0, 4.0, 6.0, 8.0]
    assert time.offset_s == -step_s


def test_equal_machine_with_fewer_hours_starts(fleet):
    peers = peers_of((fleet.machines[0], fleet.machines[0], fleet.machines[2]))

    # 0 was chosen, stands, and has run longer than its twin 1; 2 is another kind.
    assert balanced(0b001, 0b000, [10.0, 4.0, 0.0], peers, barred=0, held=0) == 0b010
    assert balanced(0b001, 0b000, [4.0, 10.0, 0.0], peers, barred=0, held=0) == 0b001
    assert balanced(0b001, 0b000, [10.0, 4.0, 0.0], peers, barred=0b010, held=0) == 0b001


def test_equal_machine_with_more_hours_is_released(fleet):
    peers = peers_of((fleet.machines[0], fleet.machines[0], fleet.machines[2]))

    # Both run, one is to stay: the one with fewer hours does, unless the other is held.
    assert balanced(0b001, 0b011, [10.0, 4.0, 0.0], peers, barred=0, held=0) == 0b010
    assert balanced(0b001, 0b011, [10.0, 4.0, 0.0], peers, barred=0, held=0b001) == 0b001


def test_running_machine_gives_way_once_the_spread_is_passed(fleet):
    peers = peers_of((fleet.machines[0], fleet.machines[0], fleet.machines[2]))

    within = balanced(0b001, 0b001, [50.0, 0.0, 0.0], peers, barred=0, held=0, spread_h=49.5)
    beyond = balanced(0b001, 0b001, [51.0, 0.0, 0.0], peers, barred=0, held=0, spread_h=49.5)

    assert (within, beyond) == (0b001, 0b010)
    assert spread_h([51.0, 0.0, 900.0], peers) == 51.0


def test_reserve_is_what_the_lost_flow_takes_until_another_delivers(fleet):
    memory = StationMemory(fleet.count)
    now = view(0, 6.5, [loaded(), stopped(), stopped()])
    memory.observe(now)
    demand = Demand(14.0, 14.0, 16.0)

    # 14 m3/min for a tick of 1 s, a second until the order is obeyed and the 15 s of a start, loaded from then on:
    # 14 x 17 / 60 = 3.967 m3 of 15 / 1.013 m3 a bar = 0.268 bar, and 0.03 for noise.
    bar = trip_reserve_bar(fleet, now, memory, demand, tick_s=1.0)

    assert bar == pytest.approx(0.268 + 0.03, abs=1e-3)


def test_machine_that_idles_beside_the_loaded_one_is_worth_its_start(fleet):
    memory = StationMemory(fleet.count)
    now = view(0, 6.5, [loaded(), stopped(), idle()])
    memory.observe(now)
    demand = Demand(14.0, 14.0, 16.0)

    # The VSD (16 m3/min) takes over after a tick, a second and its reload of 3 s: 14 x 5 / 60 = 1.167 m3 = 0.079 bar.
    bar = trip_reserve_bar(fleet, now, memory, demand, tick_s=1.0)

    assert bar == pytest.approx(0.079 + 0.03, abs=1e-3)


def test_trip_of_a_drive_costs_what_it_delivers_and_not_all_that_it_could(fleet):
    memory = StationMemory(fleet.count)
    now = view(0, 6.5, [loaded(), stopped(), loaded(share=0.25)])
    memory.observe(now)
    demand = Demand(20.0, 20.0, 20.0)

    # The big one (16 m3/min) goes on, 4 m3/min are missing: 4 x (1 + 1 + 15) / 60 = 1.133 m3 = 0.077 bar. That of the big
    # one: 16 x (1 + 1 + 3) / 60 + 4 x 12 / 60 = 2.133 m3 = 0.144 bar.
    bar = trip_reserve_bar(fleet, now, memory, demand, tick_s=1.0)

    assert bar == pytest.approx(0.144 + 0.03, abs=1e-3)


def test_longer_ticks_cost_no_more_than_the_time_until_the_trip_is_seen(fleet):
    memory = StationMemory(fleet.count)
    now = view(0, 6.5, [loaded(), stopped(), stopped()])
    memory.observe(now)
    demand = Demand(14.0, 14.0, 16.0)

    bars = [trip_reserve_bar(fleet, now, memory, demand, tick_s=tick_s) for tick_s in (1.0, 5.0)]

    # Four seconds of 14 m3/min: 0.933 m3 = 0.063 bar.
    assert bars[1] - bars[0] == pytest.approx(0.063, abs=1e-3)


def test_trip_that_is_over_soon_needs_no_reserve_where_a_dip_is_borne(fleet):
    memory = StationMemory(fleet.count)
    now = view(0, 6.5, [loaded(), stopped(), stopped()])
    memory.observe(now)
    demand = Demand(14.0, 14.0, 16.0)

    # 4 m3 are missing after 17 s; both standing machines then refill it.
    borne = [trip_reserve_bar(fleet, now, memory, demand, tick_s=1.0, borne_s=s) for s in (90.0, 15.0)]

    assert borne[0] == 0.0
    assert 0.0 < borne[1] < trip_reserve_bar(fleet, now, memory, demand, tick_s=1.0)


def test_trip_after_which_all_that_is_left_just_carries_the_demand_is_reserved_for_in_full(fleet):
    memory = StationMemory(fleet.count)
    now = view(0, 6.5, [loaded(), loaded(), stopped()])
    memory.observe(now)
    left = sum(fleet.full_flow) - max(fleet.full_flow[:2])
    carried, lost = Demand(left, left, left), Demand(1.1 * left, 1.1 * left, left)

    full = trip_reserve_bar(fleet, now, memory, carried, tick_s=1.0)

    # Nothing would fill the net again, so no dip is short; where the demand is not even carried no band helps.
    # 0.03 bar for noise are not added where a dip is borne.
    borne = trip_reserve_bar(fleet, now, memory, carried, tick_s=1.0, borne_s=90.0)
    assert borne == pytest.approx(full - 0.03)
    assert trip_reserve_bar(fleet, now, memory, lost, tick_s=1.0, borne_s=90.0) < full
