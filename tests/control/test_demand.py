"""How much air the plant takes, from pressure and machines."""

import random

import pytest

from agent.control.demand import DemandEstimator
from tests.control.plant import loaded, silent, stopped, view

MACHINES = [loaded(), stopped(), stopped()]


def feed(estimator, seconds, pressure_of, flow=None, machines=MACHINES):
    demand = None
    for at_s in range(seconds):
        demand = estimator.update(view(at_s, pressure_of(at_s), machines, flow))
    return demand


def test_nothing_is_said_after_one_pressure(fleet):
    assert DemandEstimator(fleet).update(view(0, 6.5, MACHINES)) is None


def test_steady_pressure_means_that_the_demand_is_what_is_delivered(fleet):
    demand = feed(DemandEstimator(fleet), 60, lambda _: 6.5)

    assert demand.fast_m3_min == pytest.approx(16.0)
    assert demand.supply_m3_min == 16.0


def test_falling_pressure_adds_what_the_receiver_gives(fleet):
    # 0.2 bar a minute out of 15 m3 at 1.013 bar: 0.2 x 15 / 1.013 = 2.96 m3/min beside the 16.
    demand = feed(DemandEstimator(fleet), 600, lambda at_s: 8.0 - 0.2 * at_s / 60)

    assert demand.slow_m3_min == pytest.approx(16.0 + 2.96, abs=0.05)


def test_noise_of_a_good_sensor_moves_the_estimate_by_less_than_a_tenth_of_a_machine(fleet):
    noise = random.Random(1)
    estimator, seen = DemandEstimator(fleet), []
    for at_s in range(1200):
        demand = estimator.update(view(at_s, 6.5 + noise.gauss(0, 0.003), MACHINES))
        if at_s > 300:
            seen.append(demand.fast_m3_min)

    assert max(abs(value - 16.0) for value in seen) < 1.6


def test_flow_meter_is_used_while_it_agrees_and_dropped_when_it_does_not(fleet):
    good, broken = DemandEstimator(fleet), DemandEstimator(fleet)

    with_good = feed(good, 1500, lambda _: 6.5, flow=15.5)
    with_broken = feed(broken, 1500, lambda _: 6.5, flow=10.0)

    assert with_good.fast_m3_min == pytest.approx(15.5, abs=0.01)
    assert not good.meter_doubted
    assert broken.meter_doubted
    assert with_broken.fast_m3_min == pytest.approx(16.0, abs=0.01)


def test_meter_that_drops_to_nothing_is_left_within_seconds(fleet):
    # A cut transmitter shows 0: believed for a quarter of an hour it would let the net run empty.
    estimator = DemandEstimator(fleet)
    seen = []
    for at_s in range(60):
        demand = estimator.update(view(at_s, 6.5, MACHINES, 16.0 if at_s < 30 else 0.0))
        seen.append(demand.fast_m3_min if demand else None)

    # 6 s of the meter's filter against 10 s of the doubt's: the estimate comes to a third at the lowest.
    assert min(seen[30:]) > 4.0
    assert seen[-1] > 12.0
    assert not estimator.meter_doubted


def test_demand_that_really_falls_is_followed_by_its_meter(fleet):
    estimator = DemandEstimator(fleet)

    # From 16 to 4 m3/min: the net fills by 12 m3/min as the meter says.
    def pressure(at_s):
        return 6.5 + max(at_s - 30, 0) * 12.0 / 60.0 * 1.013 / 15.0

    for at_s in range(60):
        demand = estimator.update(view(at_s, pressure(at_s), MACHINES, 16.0 if at_s < 30 else 4.0))

    assert demand.fast_m3_min == pytest.approx(4.0, abs=0.3)


def test_lost_pressure_keeps_the_last_estimate(fleet):
    estimator = DemandEstimator(fleet)
    before = feed(estimator, 60, lambda _: 6.5)

    after = estimator.update(view(61, None, MACHINES))

    assert after.fast_m3_min == before.fast_m3_min


def test_meter_is_not_doubted_for_what_a_silent_machine_delivers(fleet):
    # Handed back, it goes on by its own switch: the balance of the others tells half of what the meter rightly shows.
    estimator = DemandEstimator(fleet)
    for at_s in range(2400):
        estimator.update(view(at_s, 6.5, [loaded(), loaded() if at_s < 60 else silent(), stopped()], 25.0))

    assert not estimator.meter_doubted


def test_machine_that_is_no_longer_silent_is_demand_on_the_station_at_once(fleet):
    estimator = DemandEstimator(fleet)
    feed(estimator, 1200, lambda _: 6.5, machines=[silent(), loaded(), stopped()])
    for at_s in range(1200, 1203):
        demand = estimator.update(view(at_s, 6.5, [loaded(), loaded(), stopped()]))

    assert demand.fast_m3_min == pytest.approx(25.0, abs=0.1)
    assert demand.slow_m3_min == pytest.approx(25.0, abs=0.1)
