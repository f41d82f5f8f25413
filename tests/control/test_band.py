"""The band: what is loaded, kept, released and rescued."""

import pytest

from agent.control.band import Band
from agent.control.demand import Demand
from agent.control.memory import StationMemory
from agent.control.orders import STOP, UNLOADED
from agent.planner.sets import SpreadSettings, build_sets
from tests.control.plant import idle, loaded, stopped, view

BIG, SMALL, VSD = 1, 2, 4


@pytest.fixture
def table(station):
    return build_sets(station, SpreadSettings(), band_bar=station.band_width_bar)


@pytest.fixture
def band(fleet, table):
    return Band(fleet, table)


def memory_of(now) -> StationMemory:
    memory = StationMemory(len(now.machines))
    memory.observe(now)
    return memory


def decide(band, now, wanted, committed, memory=None):
    supply = band.fleet.supply(now)
    demand = Demand(fast_m3_min=wanted, slow_m3_min=wanted, supply_m3_min=supply)
    return band.step(now, demand, memory or memory_of(now), committed, dt_s=1.0)


def test_machine_is_loaded_before_the_pressure_leaves_the_band(band):
    # Band from 6.3 + 0.08 = 6.38 bar. 20 m3/min wanted, 16 delivered: 4 x 1.013 / 15 = 0.27 bar/min,
    # 0.05 bar within the lead of 10 s and one tick: from 6.42 bar down to 6.37.
    now = view(0, 6.42, [loaded(), idle(), stopped()])

    decision = decide(band, now, 20.0, BIG | SMALL)

    assert [order.load for order in decision.wishes] == [True, True, False]
    assert decision.slope_bar_min == pytest.approx(-4 * 1.013 / 15)


def test_nothing_is_loaded_while_the_pressure_holds(band):
    # 16.2 wanted, 16 delivered: 0.0135 bar/min; 6.45 bar stays far above 6.38.
    now = view(0, 6.42, [loaded(), idle(), stopped()])

    decision = decide(band, now, 16.2, BIG | SMALL)

    assert [order.load for order in decision.wishes] == [True, False, False]


def test_machine_is_unloaded_above_the_band_and_goes_on_running(band):
    # Wherever the band ends while blow-downs make it wide: 0.1 bar below the net's highest pressure at the most.
    now = view(0, 7.95, [loaded(), loaded(58.0), stopped()])

    decision = decide(band, now, 15.0, BIG | SMALL)

    assert not all(order.load for order in decision.wishes[:2])
    assert [order.run for order in decision.wishes] == [True, True, False]


def test_band_is_as_wide_as_the_blow_downs_of_the_trim_machine_are_worth(band):
    # Between 6.38 + 0.25 bar, where it ended without them, and the width that pays for this small net.
    now = view(0, 6.66, [loaded(), loaded(58.0), stopped()])
    decide(band, view(-1, 6.6, [loaded(), loaded(58.0), stopped()]), 20.0, BIG | SMALL)

    decision = decide(band, now, 20.0, BIG | SMALL)

    assert all(order.load for order in decision.wishes[:2])


def test_vsd_follows_the_demand_that_the_base_load_leaves(band):
    # 16 from the big one, 22 wanted: 6 m3/min of 16 for the VSD, less what stands above its aim of
    # 6.3 + 0.08 + 0.03 = 6.41 bar: 0.09 bar x 15 / 1.013 = 1.33 m3/min.
    now = view(0, 6.50, [loaded(), stopped(), loaded(50.0, 0.3)])
    decide(band, view(-1, 6.37, [loaded(), stopped(), loaded(50.0, 0.3)]), 22.0, BIG | VSD)

    decision = decide(band, now, 22.0, BIG | VSD)

    assert decision.wishes[2].share == pytest.approx((6.0 - 0.09 * 15 / 1.013) / 16.0, abs=0.01)


def test_released_machine_stays_until_the_others_can_carry_the_demand(band):
    # The small one was released for the big one, which is still starting.
    starting = stopped(running=True)
    memory = StationMemory(3)
    memory.observe(view(-500, 6.5, [stopped(), loaded(58.0), stopped()]))
    now = view(0, 6.5, [starting, loaded(58.0), stopped()])
    memory.observe(now)

    held = decide(band, now, 9.0, BIG, memory)
    carried_at = view(60, 6.5, [loaded(), loaded(58.0), stopped()])
    memory.observe(carried_at)
    let_go = decide(band, carried_at, 9.0, BIG, memory)

    assert held.wishes[1].run
    assert held.wishes[1].load
    assert not let_go.wishes[1].run


def test_nobody_who_delivers_lets_go_while_the_net_is_below_its_minimum(band):
    # 14 wanted of the big one's 16: it could carry, and would fill the net slowly.
    memory = StationMemory(3)
    memory.observe(view(-500, 6.5, [loaded(), loaded(58.0), stopped()]))
    memory.observe(view(0, 6.29, [loaded(), loaded(58.0), stopped()]))

    below = decide(band, view(0, 6.29, [loaded(), loaded(58.0), stopped()]), 14.0, BIG, memory)
    above = decide(band, view(5, 6.45, [loaded(), loaded(58.0), stopped()]), 14.0, BIG, memory)

    assert below.wishes[1].run
    assert below.wishes[1].load
    assert not above.wishes[1].run


def lived_above_the_band(band, seconds, *, wanted):
    """The small one is released for the big one, which idles, and holds the net above the band by itself."""
    memory = StationMemory(3)
    memory.observe(view(-3600, 7.95, [idle(), loaded(58.0), stopped()]))
    for at_s in range(0, seconds + 1, 5):
        now = view(at_s, 7.95, [idle(), loaded(58.0), stopped()])
        memory.observe(now)
        last = decide(band, now, wanted, BIG, memory)
        yield last


def test_released_machine_that_does_not_unload_is_stopped_by_those_that_run_and_could_carry(band):
    told = list(lived_above_the_band(band, 70, wanted=9.0))

    assert told[11].wishes[1] == UNLOADED
    assert told[12].wishes[1] == STOP
    assert [reason for one in told for reason in one.reasons if "told to unload" in reason] == [
        "small delivers on though told to unload: to be stopped"
    ]


def test_released_machine_that_does_not_unload_stays_where_the_others_could_not_carry(band):
    *_, last = lived_above_the_band(band, 120, wanted=20.0)

    assert last.wishes[1].run


def test_rescue_starts_the_cheapest_helper_when_the_minimum_is_in_danger(band):
    # 23 wanted, 16 able: 7 x 1.013 / 15 = 0.47 bar/min; 0.1 bar above the minimum last 13 s.
    now = view(0, 6.40, [loaded(), stopped(), stopped()])

    decision = decide(band, now, 23.0, BIG)

    assert decision.rescued
    assert [order.run for order in decision.wishes] == [True, True, False]


def test_plan_that_runs_nothing_does_not_starve_the_band(band):
    now = view(0, 6.35, [stopped(), stopped(), stopped()])
    memory = StationMemory(3)
    memory.observe(view(-1000, 6.5, [stopped()] * 3))
    memory.observe(now)

    decision = decide(band, now, 12.0, 0, memory)

    assert decision.rescued
    assert any(order.run for order in decision.wishes)


def test_machine_that_is_wanted_at_once_is_ordered_to_load_while_it_starts(band):
    # 23 wanted, 16 delivered: until the small one delivers the pressure falls below the band by far.
    now = view(0, 6.39, [loaded(), stopped(), stopped()])

    decision = decide(band, now, 23.0, BIG | SMALL)

    assert decision.wishes[1].run
    assert decision.wishes[1].load


def test_machine_goes_on_delivering_until_the_one_that_takes_over_says_that_it_does(band):
    # The small one has been running idle and is chosen instead of the big one.
    memory = StationMemory(3)
    memory.observe(view(-500, 6.5, [loaded(), idle(), stopped()]))
    reloading = view(0, 6.45, [loaded(), idle(), stopped()])
    decide(band, reloading, 9.0, BIG, memory)

    during = decide(band, reloading, 9.0, SMALL, memory)
    after = decide(band, view(5, 6.45, [loaded(), loaded(58.0), stopped()]), 9.0, SMALL, memory)

    assert during.wishes[0].load
    assert during.wishes[1].load
    assert not after.wishes[0].load


def test_vsd_makes_no_room_for_a_machine_that_is_still_starting(band):
    # The big one was started for a rise that is near and is ordered to load with its start, since the pressure is
    # below the band. Until it delivers the VSD carries all of the 8 m3/min, and more to bring the pressure back.
    starting = stopped(running=True)
    memory = StationMemory(3)
    memory.observe(view(-500, 6.5, [stopped(), stopped(), loaded(50.0, 0.5)]))
    now = view(0, 6.36, [starting, stopped(), loaded(50.0, 0.5)])
    memory.observe(now)

    decision = decide(band, now, 8.0, BIG | VSD, memory)

    assert decision.wishes[0].load
    assert decision.wishes[2].share >= 8.0 / 16.0


def test_machine_above_the_band_delivers_on_until_others_take_over_while_the_pressure_falls_through_it(band):
    # The band without a VSD ends at 6.63 bar; 8 of 24 m3/min are missing: 0.54 bar/min, 6.60 bar within 11 s.
    now = view(0, 6.70, [loaded(), idle(), idle()])

    decision = decide(band, now, 24.0, SMALL | VSD)

    assert [order.load for order in decision.wishes] == [True, True, True]


def test_net_that_has_run_empty_is_filled_by_all_that_there_is(band):
    # 16 m3/min would carry the 12 that are still taken, and leave the net where it is.
    now = view(0, 2.0, [loaded(), stopped(), stopped()])

    decision = decide(band, now, 12.0, BIG)

    assert decision.rescued
    assert [order.run for order in decision.wishes].count(True) > 1
