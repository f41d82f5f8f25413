"""A pressure that nobody brings down: when it is said, of whom, and when it is over."""

import pytest

from agent.control.effect import EffectWatch
from agent.control.high_pressure import HIGH_PRESSURE, HighPressureWatch, alarm_bar_g
from agent.control.orders import LOADED, STOP, UNLOADED
from agent.control.view import fleet_of
from tests.control.plant import idle, loaded, silent, stopped, view


def told(fleet, seen, orders):
    effect = EffectWatch(fleet)
    effect.sent(view(0, 8.0, seen), orders)
    return effect


def alarm_of(fleet, seen, orders, pressure=8.3):
    watch, effect = HighPressureWatch(fleet), told(fleet, seen, orders)
    early, late = (watch.update(view(at_s, pressure, seen), effect) for at_s in (0, 20))
    assert early is None
    return late


def test_alarm_stands_a_little_above_all_that_is_meant_to_unload(station):
    machines = dict(station.machines)
    machines["big"] = machines["big"].model_copy(update={"local_load_bar_g": 7.0, "local_unload_bar_g": 8.2})
    higher = station.model_copy(update={"machines": machines})

    assert alarm_bar_g(station) == pytest.approx(8.1)
    assert alarm_bar_g(higher) == pytest.approx(8.3)
    assert alarm_bar_g(higher.model_copy(update={"receiver_rated_bar_g": 8.25})) == 8.25
    assert alarm_bar_g(station.model_copy(update={"pressure_alarm_bar_g": 9.0})) == 9.0


def test_machines_that_do_not_stop_or_unload_are_named_with_what_they_were_told(fleet):
    alarm = alarm_of(fleet, [loaded(), loaded(), stopped()], (STOP, UNLOADED, STOP))

    assert alarm is not None
    assert alarm.kind == HIGH_PRESSURE
    assert alarm.text.startswith(
        "8.30 bar, above 8.10 bar; big delivers although it was told to stop; "
        "small delivers although it was told to unload. Stop it at the machine itself"
    )


def test_machine_on_its_own_control_is_held_against_its_own_switch(station):
    machines = dict(station.machines)
    machines["big"] = machines["big"].model_copy(update={"local_load_bar_g": 7.0, "local_unload_bar_g": 7.6})
    fleet = fleet_of(station.model_copy(update={"machines": machines}))

    alarm = alarm_of(fleet, [loaded(), silent(), idle()], (None, None, None))

    assert alarm is not None
    assert "big delivers although its own switch is to unload it at 7.6 bar; small is silent." in alarm.text


def test_pressure_that_no_machine_makes_points_to_the_sensor(fleet):
    alarm = alarm_of(fleet, [stopped(), stopped(), idle()], (STOP, STOP, UNLOADED))

    assert alarm is not None
    assert (
        alarm.text
        == "8.30 bar, above 8.10 bar; no machine says that it delivers: look at the header's sensor first"
    )


def test_short_overshoot_raises_nothing_and_an_alarm_is_over_after_a_minute(fleet):
    seen = [loaded(), stopped(), stopped()]
    watch, effect = HighPressureWatch(fleet), told(fleet, seen, (LOADED, STOP, STOP))
    course = (
        (0, 8.2),
        (18, 8.2),
        (19, 8.0),
        (20, 8.2),
        (40, 8.2),
        (50, 8.0),
        (60, None),
        (61, 8.0),
        (121, 8.0),
    )

    raised = [watch.update(view(at_s, bar, seen), effect) is not None for at_s, bar in course]

    # What is not known ends no alarm: the minute begins anew.
    assert raised == [False, False, False, False, True, True, True, True, False]
