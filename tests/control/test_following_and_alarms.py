"""Loads that are not followed, sensors that jump, alarms for air that does not suffice."""

import pytest

from agent.control.alarms import INSUFFICIENT, RESTRICTED, CapacityWatch
from agent.control.demand import Demand
from agent.control.effect import EffectWatch
from agent.control.memory import StationMemory
from agent.control.mode import JumpWatch
from agent.control.orders import STOP, Order
from agent.control.station import StationControl
from agent.domain import Mode
from tests.control.plant import START, idle, loaded, silent, snapshot, stopped, view

RUN, IDLE = Order(run=True, load=True), Order(run=True, load=False)


def test_machine_that_does_not_load_is_set_aside_until_its_time_is_over(fleet):
    watch, memory = EffectWatch(fleet), StationMemory(3)
    seen = [idle(), stopped(), stopped()]
    memory.observe(view(0, 6.5, seen))
    watch.sent(view(0, 6.5, seen), (RUN, STOP, STOP))

    # Start time 15 s, reload 3 s and a grace of 15 s; then five minutes aside.
    early = watch.check(view(32, 6.5, seen), memory)
    notes = watch.check(view(34, 6.5, seen), memory)
    aside = memory.machines[0].stuck_unloaded
    watch.sent(view(34, 6.5, seen), (IDLE, STOP, STOP))
    watch.check(view(40, 6.5, seen), memory)
    still = watch.failing(START.timestamp() + 333)
    watch.check(view(335, 6.5, seen), memory)

    assert not early
    assert notes == ("big did not load within 33 s",)
    assert aside
    # Idling when told to is no proof that it loads.
    assert still == 1
    assert not memory.machines[0].stuck_unloaded


def test_machine_that_does_not_unload_is_remembered_as_stuck_until_it_has(fleet):
    watch, memory = EffectWatch(fleet), StationMemory(3)
    seen = [loaded(), stopped(), stopped()]
    memory.observe(view(0, 6.5, seen))
    watch.sent(view(0, 6.5, seen), (IDLE, STOP, STOP))

    notes = watch.check(view(31, 6.5, seen), memory)
    stuck = memory.machines[0].stuck_loaded
    watch.check(view(40, 6.5, [idle(), stopped(), stopped()]), memory)

    assert notes == ("big did not unload within 30 s",)
    assert stuck
    assert not memory.machines[0].stuck_loaded


def test_start_stop_machine_is_not_asked_whether_it_unloads(station):
    machines = {
        **station.machines,
        "big": station.machines["big"].model_copy(update={"control": "start-stop"}),
    }
    control = StationControl(station.model_copy(update={"machines": machines}))
    watch, memory = control.effect, control.memory
    seen = [loaded(), stopped(), stopped()]
    memory.observe(view(0, 6.5, seen))
    watch.sent(view(0, 6.5, seen), (IDLE, STOP, STOP))

    assert not watch.check(view(300, 6.5, seen), memory)


def test_machine_that_never_loads_is_replaced_by_another(station):
    control, orders = StationControl(station), []
    for at_s in range(0, 300, 5):
        pressure = 6.5 - 0.001 * at_s + 0.0001 * (at_s // 5 % 2)
        # Only the big one runs; told to load it idles on.
        orders.append(control.tick(snapshot(station, at_s, pressure, [idle(), stopped(), stopped()])).orders)

    assert any(each is not None and (each[1].run or each[2].run) for each in orders)


def test_five_failures_within_an_hour_hand_the_station_back(station):
    control = StationControl(station)
    control.effect._failed_at_s.extend(START.timestamp() + s for s in (10.0, 20.0, 30.0, 40.0))
    modes = []
    for at_s in range(60, 400, 5):
        if at_s == 100:
            control.effect._failed_at_s.append(START.timestamp() + at_s)
        pressure = 6.5 + 0.001 * (at_s // 5 % 2)
        modes.append(control.tick(snapshot(station, at_s, pressure, [loaded(), stopped(), stopped()])).mode)

    # The fifth at 100 s, and 20 s of it.
    assert modes[(115 - 60) // 5] is Mode.CONTROL
    assert modes[-1] is Mode.FALLBACK
    assert control.switch.why == "machines did not follow 5 times within the hour"


def jumps(*steps: tuple[float, float], supply: float = 16.0, total: float = 41.0) -> str:
    """15 m3 of net; (seconds, bar) of each look; why the sensor is not believed at the end."""
    watch = JumpWatch(15.0 / 1.013, total)
    for at_s, bar in steps:
        watch.see(at_s, bar, lambda: supply)
    return watch.trouble


def test_pressure_rises_no_faster_than_the_machines_fill_the_net():
    # 16 m3/min and a third more fill 14.8 m3 a bar by 0.047 bar in 2 s; 0.08 is for noise.
    assert jumps((0, 6.50), (2, 6.62)) == ""
    assert jumps((0, 6.50), (2, 6.64)).startswith("header pressure jumped by +0.14 bar")


def test_pressure_falls_as_fast_as_a_burst_pipe_lets_it():
    # Three times 41 m3/min empty it by 0.277 bar in 2 s.
    assert jumps((0, 6.50), (2, 6.15)) == ""
    assert jumps((0, 6.50), (2, 6.10)) != ""


def test_sensor_is_believed_again_when_it_has_jumped_back_and_not_before():
    assert jumps((0, 6.5), (2, 7.0), (4, 7.01), (6, 7.0)) != ""
    assert jumps((0, 6.5), (2, 7.0), (4, 7.01), (6, 6.52)) == ""


def test_sensor_that_jumped_back_is_believed_where_a_burst_pipe_could_fall_as_fast():
    # Looks every 5 s: up by more than 0.20 bar is a jump, down by 0.77 bar a burst pipe; 0.31 bar is all machines' flow.
    assert jumps((0, 6.5), (5, 7.1), (10, 7.1)) != ""
    assert jumps((0, 6.5), (5, 7.1), (10, 7.11), (15, 6.52)) == ""
    # A fall that demand explains is not the way back.
    assert jumps((0, 6.5), (5, 7.1), (10, 7.11), (15, 6.9)) != ""


def test_sensor_that_comes_back_from_a_steep_fall_is_no_jump():
    assert jumps((0, 6.5), (5, 5.9), (10, 5.91), (15, 6.5)) == ""
    # Nothing fell before, or by far less.
    assert jumps((0, 6.5), (5, 6.4), (10, 6.41), (15, 7.0)) != ""


def life(station, looks, machines):
    """The station's control over looks of (seconds, bar)."""
    control, results = StationControl(station), []
    for at_s, bar in looks:
        results.append(control.tick(snapshot(station, at_s, bar, machines)))
    return control, results


def test_pressure_after_a_gap_in_time_is_no_jump(station):
    machines = [loaded(), loaded(58.0), stopped()]
    before = [(5 * k, 6.5 + 0.001 * (k % 2)) for k in range(30)]
    # Long enough to fall back, too short for machines to be found not to follow.
    after = [(900 + 5 * k, 7.4 + 0.001 * (k % 2)) for k in range(5)]

    control, results = life(station, before + after, machines)

    assert control.jump.trouble == ""
    assert {result.mode for result in results} == {Mode.CONTROL}


@pytest.mark.parametrize("flaw", [{"tripped": True}, {"ready": False}])
def test_machine_that_says_why_it_stands_has_not_failed_to_follow(station, flaw):
    control = StationControl(station)
    notes = []
    for k in range(40):
        seen = loaded() if k < 10 else stopped(**flaw)
        machines = [seen, loaded(58.0), loaded(50.0, 0.5)]
        notes += control.tick(snapshot(station, 5 * k, 6.5 + 0.001 * (k % 2), machines)).notes

    assert not any("did not" in note for note in notes)
    assert sum(note.startswith("big is ") for note in notes) == 1
    assert control.effect.failed_this_hour(START.timestamp() + 200) == 0
    assert control.memory.machines[0].barred_until_s < START.timestamp()


def test_machines_that_a_power_failure_stops_leave_control_where_it_is(station):
    control = StationControl(station)
    for k in range(60):
        out = 10 <= k < 40
        machines = [stopped(ready=False)] * 3 if out else [loaded(), loaded(58.0), loaded(50.0, 0.5)]
        pressure = 6.5 + 0.001 * (k % 2) - (0.02 * (k - 10) if out else 0.6 if k >= 40 else 0.0)
        mode = control.tick(snapshot(station, 5 * k, pressure, machines)).mode
        assert mode is Mode.CONTROL


def test_machine_that_starts_while_it_is_handed_back_has_not_failed_to_stop(station):
    # The pressure is lost: the machines follow their own switches, and the big one starts.
    control, notes = StationControl(station), []
    for k in range(40):
        lost = k >= 20
        machines = [loaded() if k > 20 else stopped(), loaded(58.0), loaded(50.0, 0.1)]
        pressure = None if lost else 6.5 + 0.001 * (k % 2)
        notes += control.tick(snapshot(station, 5 * k, pressure, machines)).notes

    assert not any("big did not stop" in note for note in notes)


def test_value_that_stood_still_has_had_its_time_to_come_about():
    coarse = [(2.0 * k, 6.5) for k in range(10)]

    # A tenth of a bar at once after 18 s of the same digit: 16 x 1.3 x 20 / 60 / 14.8 = 0.47 bar would be possible.
    assert jumps(*coarse, (20.0, 6.8)) == ""


@pytest.mark.parametrize("gone", [None, float("nan")])
def test_missing_value_is_no_jump(gone):
    assert jumps((0, 6.5), (2, gone), (4, 6.52)) == ""


def alarms(fleet, seen, wanted, spans, pressure=6.5, memory=None):
    watch = CapacityWatch(fleet)
    memory = memory or StationMemory(3)
    found = []
    for at_s in spans:
        now = view(at_s, pressure, seen)
        memory.observe(now)
        found.append(watch.update(now, memory, Demand(wanted, wanted, wanted)))
    return found


def test_more_air_than_the_station_has_is_insufficient_capacity(fleet):
    early, late = alarms(fleet, [loaded(), loaded(), loaded()], 42.0, (0, 21))

    assert early is None
    assert late is not None
    # 16 + 9 + 16 m3/min.
    assert (late.kind, late.text) == (INSUFFICIENT, "42.0 m3/min taken, 41.0 of 41.0 able to deliver")


def test_air_that_would_suffice_with_what_is_out_is_restricted_capacity(fleet):
    seen = [loaded(), stopped(tripped=True), silent()]

    *_, late = alarms(fleet, seen, 20.0, (0, 21))

    assert late is not None
    assert late.kind == RESTRICTED
    assert late.text.endswith("out: small (tripped); vsd (silent)")


def test_all_at_work_and_the_pressure_below_the_minimum_is_insufficient_capacity(fleet):
    *_, late = alarms(fleet, [loaded(), loaded(), loaded()], 40.0, (0, 21), pressure=6.1)

    assert late is not None
    assert late.kind == INSUFFICIENT


def test_machines_that_may_start_raise_no_alarm(fleet):
    assert alarms(fleet, [loaded(), stopped(), stopped()], 30.0, (100, 200)) == [None, None]


def test_alarm_is_over_a_minute_after_the_air_suffices(fleet):
    watch, memory = CapacityWatch(fleet), StationMemory(3)
    kinds = []
    for at_s, wanted in ((0, 42.0), (21, 42.0), (30, 20.0), (89, 20.0), (91, 20.0)):
        now = view(at_s, 6.5, [loaded(), loaded(), loaded()])
        memory.observe(now)
        alarm = watch.update(now, memory, Demand(wanted, wanted, wanted))
        kinds.append(None if alarm is None else alarm.kind)

    assert kinds == [None, INSUFFICIENT, INSUFFICIENT, INSUFFICIENT, None]
