from __future__ import annotations

import math

import pytest

from tests.twin.air_stations import compressor, machine, vsd
from twin.compressor import Compressor
from twin.compressor_curve import power_share_per_bar

RATED = 7.0


def live(c: Compressor, seconds: float, step_s: float = 1.0) -> float:
    """Energy of that time, [kW s]."""
    before = c.energy_kwh
    for _ in range(round(seconds / step_s)):
        c.step(step_s, RATED)
    return (c.energy_kwh - before) * 3600.0


def loaded(c: Compressor) -> Compressor:
    c.want_run = c.want_load = True
    live(c, c.machine.start_s + 60.0)
    return c


def test_no_air_before_the_start_time_and_full_flow_after_it():
    c = compressor()
    c.want_run = c.want_load = True

    starting_kws = live(c, 15.0, 5.0)
    air_before = c.air_m3
    c.step(5.0, RATED)

    # 4 s of acceleration at 60 kW, 11 s at 12 kW: 240 + 132 = 372 kW s.
    assert starting_kws == pytest.approx(372.0)
    assert air_before == 0.0
    assert (c.flow_m3_min, c.power_kw) == pytest.approx((10.0, 60.0))


def test_blow_down_costs_the_energy_of_its_exponential():
    c = loaded(compressor())
    c.want_load = False

    spent = live(c, 40.0)

    # From 0.92 x 60 = 55.2 kW to 12 kW with tau = 40/ln 50 = 10.225 s, 2 % left after 40 s:
    # 12 x 40 + 43.2 x 10.225 x 0.98 = 480 + 432.9 = 912.9 kW s.
    assert spent == pytest.approx(912.9, abs=0.1)
    assert c.idle_energy_kwh * 3600.0 == pytest.approx(912.9, abs=0.1)


def test_a_blown_down_machine_delivers_only_after_its_reload_time():
    c = loaded(compressor())
    c.want_load = False
    live(c, 600.0)
    c.want_load = True

    c.step(5.0, RATED)

    # 3 s without air while power climbs from 12 to 60 kW, then 2 s of full load.
    assert c.flow_m3_min == pytest.approx(10.0 * 2.0 / 5.0)
    assert c.power_kw == pytest.approx((3.0 * 36.0 + 2.0 * 60.0) / 5.0)


def test_a_machine_reloaded_at_once_needs_hardly_any_time():
    c = loaded(compressor())
    c.want_load = False
    live(c, 1.0)
    c.want_load = True

    c.step(1.0, RATED)

    # One second of 10.2 s: 9.3 % emptied, 0.28 s to reload.
    assert c.flow_m3_min == pytest.approx(7.2, abs=0.05)


@pytest.mark.parametrize("plate", [machine(), vsd()], ids=["load-unload", "vsd"])
@pytest.mark.parametrize("step_s", [2.0, 5.0, 10.0])
def test_long_steps_and_short_steps_give_the_same_air_and_energy(plate, step_s):
    script = [(30, True, True), (60, True, False), (40, True, True), (50, False, False), (120, True, True)]

    def play(step: float) -> tuple[float, float]:
        c = compressor(plate)
        for seconds, run, load in script:
            c.want_run, c.want_load, c.want_share = run, load, 0.8
            live(c, seconds, step)
        return c.air_m3, c.energy_kwh

    # A VSD's power is taken at the mean speed of a step: its ramp's bend is all that may differ.
    assert play(step_s) == pytest.approx(play(1.0), rel=1e-9 if plate.control != "vsd" else 1e-3)


def test_a_stop_order_under_load_runs_out_the_blow_down_first():
    c = loaded(compressor())
    c.want_run = False

    live(c, 39.0)
    still = c.running
    live(c, 2.0)

    assert still
    assert not c.running
    assert c.power_kw == pytest.approx(0.0)


def test_vsd_power_runs_through_its_three_points():
    c = compressor(vsd())

    powers = [c.power_at(share, RATED) for share in (0.3, 0.6, 1.0)]

    assert powers == pytest.approx([25.0, 42.0, 66.0])


def test_vsd_reaches_full_speed_at_ten_per_cent_a_second():
    c = compressor(vsd(start_s=0.0))
    c.want_run = c.want_load = True
    c.want_share = 1.0

    shares = []
    for _ in range(8):
        c.step(1.0, RATED)
        shares.append(c.output_share)

    # It takes load at its turndown of 0.3; 0.7 are left at 0.1 a second.
    assert shares[0] == pytest.approx(0.4)
    assert shares[5] == pytest.approx(0.9)
    assert shares[7] == pytest.approx(1.0)


def test_vsd_never_delivers_less_than_its_turndown_while_loaded():
    c = loaded(compressor(vsd()))
    c.want_share = 0.0

    live(c, 20.0)

    assert c.flow_m3_min == pytest.approx(3.0)


def test_power_rises_by_eight_per_cent_a_bar_at_seven_bar_and_less_higher_up():
    at_7, at_11 = power_share_per_bar(7.0, 1.013), power_share_per_bar(11.5, 1.013)

    assert at_7 == pytest.approx(0.080, abs=0.001)
    assert at_11 == pytest.approx(0.044, abs=0.001)


def test_higher_pressure_costs_power_and_a_little_flow():
    c = loaded(compressor())

    c.step(1.0, 8.0)

    # 0.283 x 8^-0.717 / (8^0.283 - 1) = 0.0797 per bar; 0.00075 per psi = 0.0109 per bar.
    assert c.power_kw == pytest.approx(60.0 * 1.0797, rel=1e-3)
    assert c.flow_m3_min == pytest.approx(10.0 * (1.0 - 0.0109), rel=1e-4)


def test_a_start_within_the_minimum_stop_time_is_refused():
    c = loaded(compressor(machine(min_stop_s=120.0)))
    c.want_run = c.want_load = False
    live(c, 60.0)

    refused = not c.write_run(1.0)
    live(c, 120.0)

    assert refused
    assert not c.order_run
    assert c.write_run(1.0)


def test_the_seventh_start_of_an_hour_is_refused():
    c = compressor(machine(max_starts_per_hour=6, min_stop_s=60.0, start_s=5.0))
    for _ in range(6):
        assert c.write_run(1.0)
        c.want_run = True
        live(c, 60.0)
        c.want_run = False
        live(c, 120.0)

    refused = not c.write_run(1.0)
    reason = c.start_refusal()
    live(c, 3600.0 - 6 * 180.0)

    assert refused
    assert reason == "starts per hour"
    assert c.write_run(1.0)


def test_a_tripped_machine_stops_at_once_and_stays_down_until_reset():
    c = loaded(compressor())

    c.trip("motor temperature")
    live(c, 300.0)
    refused = not c.write_run(1.0)
    ready = c.ready
    c.reset()

    assert refused
    assert not ready
    assert c.ready
    assert c.write_run(1.0)


def test_hours_and_starts_are_counted():
    c = compressor()
    c.want_run = c.want_load = True
    live(c, 115.0)
    c.want_load = False
    live(c, 100.0)

    # 15 s start + 100 s loaded + 100 s unloaded.
    assert c.hours_run_s == pytest.approx(215.0)
    assert c.hours_loaded_s == pytest.approx(100.0)
    assert (c.starts, c.loads) == (1, 1)


def test_a_start_order_taken_back_while_starting_leaves_the_motor_off():
    c = compressor()
    c.want_run = True
    live(c, 5.0)
    c.want_run = False

    live(c, 5.0)

    assert not c.running
    assert math.isclose(c.power_kw, 0.0)


def test_a_fixed_speed_machine_has_no_speed_to_write():
    assert not compressor().write_output_share(0.5)
    assert not compressor(vsd()).write_output_share(1.2)
    assert compressor(vsd()).write_output_share(0.5)
