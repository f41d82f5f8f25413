from __future__ import annotations

import pytest

from tests.twin.air_stations import MONDAY, machine, station
from twin.demand import shift_demand
from twin.station import AirStation, most_within


def master_takes(plant: AirStation, seconds: int, demand: float, *, beat: bool, first: int = 0) -> None:
    for second in range(seconds):
        if beat:
            for c in plant.compressors.values():
                c.write_heartbeat(float(first + second + 1))
        plant.step(1.0, demand)


def test_pressure_falls_by_the_air_drawn_over_the_volume():
    plant = AirStation(station(), initial_bar_g=7.9)
    plant.follow_master = True

    for _ in range(12):
        plant.step(5.0, 6.0)

    # 6 m3/min for a minute out of 10 m3 at 1 bar atmosphere: 0.6 bar.
    assert plant.pressure_bar_g == pytest.approx(7.3)
    assert plant.books.delivered_m3 == pytest.approx(6.0)


@pytest.mark.parametrize("step_s", [1.0, 5.0, 10.0])
def test_supply_less_delivery_is_what_the_receiver_gained(step_s):
    spec = station()
    demand = shift_demand(spec, "UTC", MONDAY, 1, seed=4).reader(MONDAY)
    plant = AirStation(spec, initial_bar_g=7.0)

    for index in range(round(8 * 3600 / step_s)):
        plant.step(step_s, demand((index + 0.5) * step_s))

    books = plant.books
    gained_m3 = (plant.pressure_bar_g - 7.0) * 10.0 / 1.0
    assert books.supplied_m3 - books.delivered_m3 == pytest.approx(gained_m3, abs=1e-6)
    assert books.supplied_m3 > 1000.0


def test_local_controllers_hold_the_pressure_for_a_day():
    spec = station()
    demand = shift_demand(spec, "UTC", MONDAY, 1, seed=2).reader(MONDAY)
    plant = AirStation(spec)
    plant.settle(demand(0.0))

    lowest = highest = plant.pressure_bar_g
    for index in range(17280):
        plant.step(5.0, demand(index * 5.0 + 2.5))
        lowest, highest = min(lowest, plant.pressure_bar_g), max(highest, plant.pressure_bar_g)

    assert lowest > spec.pressure_min_bar_g
    assert highest < spec.pressure_max_bar_g + 0.1
    assert plant.books.max_starts_per_hour <= 6


def test_a_dip_counts_its_air_once_and_its_time():
    plant = AirStation(station(), initial_bar_g=6.0)
    plant.follow_master = True

    for _ in range(60):
        plant.step(1.0, 3.0)
    for name in ("c1",):
        plant.compressors[name].settle_loaded()
    for _ in range(60):
        plant.step(1.0, 3.0)

    # A minute at 3 m3/min: 0.3 bar below, 3 m3 short. Then 7 m3/min net refill it in 26 s.
    books = plant.books
    assert books.worst_dip_bar == pytest.approx(0.3)
    assert books.short_m3 == pytest.approx(3.0)
    assert books.time_below_min_s == pytest.approx(60 + 25, abs=2)


def test_half_the_minimum_pressure_is_all_the_air_there_is():
    plant = AirStation(station(), initial_bar_g=4.0)
    plant.follow_master = True

    for _ in range(60):
        plant.step(1.0, 20.0)

    # (4 - 3) bar x 10 m3 = 10 m3 of the 20 m3 wanted.
    assert plant.pressure_bar_g == pytest.approx(3.0)
    assert plant.books.delivered_m3 == pytest.approx(10.0)
    assert plant.books.undelivered_m3 == pytest.approx(10.0)


def test_stored_air_is_valued_at_the_mean_specific_energy():
    plant = AirStation(station(), initial_bar_g=7.0, rated_bar_g=7.0)
    plant.follow_master = True
    plant.compressors["c1"].settle_loaded()

    for _ in range(60):
        plant.step(1.0, 5.0)

    # About 10 m3 made and 5 stored: half of the energy belongs to the store.
    books = plant.books
    assert books.energy_corrected_kwh == pytest.approx(0.5 * books.energy_kwh, rel=0.02)


def test_a_silent_master_loses_the_machine_within_the_dead_man_time():
    plant = AirStation(station(), initial_bar_g=7.0)
    for c in plant.compressors.values():
        c.write_enable(1.0)
    master_takes(plant, 30, 8.0, beat=True)
    steered = [control.master_steers for control in plant.controls.values()]

    master_takes(plant, 11, 8.0, beat=False)

    assert all(steered)
    assert not any(control.master_steers for control in plant.controls.values())
    assert not any(c.order_enable for c in plant.compressors.values())


def test_a_heartbeat_that_stands_still_is_no_sign_of_life():
    plant = AirStation(station(), initial_bar_g=7.0)
    c = plant.compressors["c1"]
    c.write_enable(1.0)
    for _ in range(30):
        c.write_heartbeat(5.0)
        plant.step(1.0, 2.0)

    assert not plant.controls["c1"].master_steers


def test_a_heartbeat_alone_does_not_take_the_machine_again():
    plant = AirStation(station(), initial_bar_g=7.0)
    c = plant.compressors["c1"]
    c.write_enable(1.0)
    master_takes(plant, 5, 2.0, beat=True)
    master_takes(plant, 15, 2.0, beat=False)

    master_takes(plant, 5, 2.0, beat=True, first=100)
    without_enable = plant.controls["c1"].master_steers
    c.write_enable(1.0)
    master_takes(plant, 1, 2.0, beat=True, first=200)

    assert not without_enable
    assert plant.controls["c1"].master_steers


def test_pressure_survives_a_master_that_dies_with_all_machines_ordered_off():
    plant = AirStation(station(), initial_bar_g=7.0)
    plant.settle(14.0)
    for c in plant.compressors.values():
        c.write_enable(1.0)
        c.write_load(0.0)
    master_takes(plant, 3, 4.0, beat=True)

    for _ in range(600):
        plant.step(1.0, 4.0)

    assert plant.books.worst_dip_bar == 0.0
    assert plant.pressure_bar_g > 6.0


def test_taking_over_does_not_disturb_a_loaded_machine():
    plant = AirStation(station(), initial_bar_g=6.3)
    plant.settle(10.0)
    master_takes(plant, 5, 9.5, beat=False)
    was_loaded = plant.compressors["c1"].loaded
    for c in plant.compressors.values():
        c.write_enable(1.0)

    master_takes(plant, 5, 9.5, beat=True)

    assert was_loaded
    assert plant.controls["c1"].master_steers
    assert plant.compressors["c1"].loaded


def test_a_machine_switched_to_local_refuses_the_master():
    plant = AirStation(station())
    c = plant.compressors["c1"]
    c.remote = False

    answers = [c.write_enable(1.0), c.write_run(1.0), c.write_load(1.0), c.write_heartbeat(1.0)]

    assert answers == [False] * 4
    assert not c.ready


def test_after_a_power_failure_machines_restart_one_after_the_other():
    plant = AirStation(station(), initial_bar_g=6.5)
    plant.settle(20.0)
    master_takes(plant, 10, 12.0, beat=False)
    plant.cut_power()
    master_takes(plant, 20, 4.0, beat=False)
    off = [c.running for c in plant.compressors.values()]
    plant.restore_power()

    master_takes(plant, 180, 12.0, beat=False)

    firsts = sorted(c.start_times[-1] for c in plant.compressors.values() if c.start_times)
    assert not any(off)
    assert len(firsts) >= 2
    assert min(b - a for a, b in zip(firsts, firsts[1:], strict=False)) >= 15.0


def test_sensor_noise_is_a_few_millibar_and_comes_from_the_seed():
    def shown(seed: int) -> list[float | None]:
        plant = AirStation(station(), seed=seed, initial_bar_g=7.0)
        plant.follow_master = True
        return [plant.pressure_sensor_bar_g for _ in range(500) if plant.step(1.0, 0.0) is None]

    first = shown(1)
    spread = (sum((p - 7.0) ** 2 for p in first) / len(first)) ** 0.5

    assert spread == pytest.approx(0.003, rel=0.15)
    assert first == shown(1)
    assert first != shown(2)


def test_a_frozen_sensor_shows_the_past_a_drifting_one_moves_a_dead_one_nothing():
    plant = AirStation(station(), initial_bar_g=7.0, pressure_noise_bar=0.0)
    plant.follow_master = True
    plant.step(1.0, 0.0)

    plant.set_sensor_fault("freeze")
    plant.step(60.0, 3.0)
    frozen = plant.pressure_sensor_bar_g
    plant.set_sensor_fault("drift", size=0.6)
    for _ in range(60):
        plant.step(60.0, 0.0)
    drifted = plant.pressure_sensor_bar_g
    plant.set_sensor_fault("dropout")
    plant.step(1.0, 0.0)
    dead = plant.pressure_sensor_bar_g
    plant.set_sensor_fault("none")
    plant.step(1.0, 0.0)

    # 3 m3/min for a minute: 0.3 bar down to 6.7; 0.6 bar an hour of drift for an hour.
    assert frozen == pytest.approx(7.0)
    assert drifted == pytest.approx(7.3)
    assert dead is None
    assert plant.pressure_sensor_bar_g == pytest.approx(6.7)


def test_a_leak_grows_with_the_pressure():
    plant = AirStation(station(), initial_bar_g=7.0, leak_m3_min_per_bar=0.1)
    plant.follow_master = True

    plant.step(1.0, 0.0)

    assert plant.demand_m3_min == pytest.approx(0.7)


def test_a_locked_out_machine_never_runs():
    spec = station(machines={"c1": machine("c1", locked_out=True), "c2": machine("c2", priority=2)})
    plant = AirStation(spec, initial_bar_g=5.9)

    for _ in range(600):
        plant.step(1.0, 8.0)

    assert plant.compressors["c1"].starts == 0
    assert plant.compressors["c2"].starts == 1


def test_most_starts_in_any_hour_are_found_across_the_clock_hour():
    # 3500, 3590, 3700, 7000 lie within 3600 s of each other; 7200 is 3700 s after the first.
    assert most_within([0.0, 3500.0, 3590.0, 3700.0, 7000.0, 7200.0], 3600.0) == 4
    assert most_within([], 3600.0) == 0


def test_unregulated_use_falls_with_the_absolute_pressure():
    # Middle of the band: 6 + 0.08 + 0.125 = 6.205 bar, 7.205 absolute. At 5.205 bar gauge, 6.205 absolute, the
    # 60 % that follow take 0.6 x 1/7.205 = 8.33 % less.
    plant = AirStation(station(unregulated_share=0.6), initial_bar_g=5.205)

    plant.step(1.0, 10.0)

    assert plant.demand_m3_min == pytest.approx(10.0 * (1.0 - 0.6 / 7.205))


def test_regulated_use_does_not_see_the_pressure():
    plant = AirStation(station(), initial_bar_g=5.205)

    plant.step(1.0, 10.0)

    assert plant.demand_m3_min == pytest.approx(10.0)


def test_machines_work_against_dryers_and_filters():
    # 26 m3/min in all; at 13 the loss of 0.4 bar is down to a quarter.
    clean, dirty = (
        AirStation(station(treatment_drop_bar=drop), initial_bar_g=7.0, pressure_noise_bar=0.0)
        for drop in (0.0, 0.4)
    )
    for plant in (clean, dirty):
        plant.follow_master = True
        plant.compressors["c1"].settle_loaded()
        plant.compressors["v1"].settle_loaded(0.3)
        for _ in range(5):
            plant.step(1.0, 13.0)

    extra = dirty.power_kw / clean.power_kw - 1.0

    assert dirty.discharge_bar_g - dirty.pressure_bar_g == pytest.approx(0.1, abs=0.003)
    # 8 % a bar of 0.1 bar.
    assert extra == pytest.approx(0.008, abs=0.0005)
