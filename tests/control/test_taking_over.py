"""Machines that come back under our orders while they deliver: nobody stops them for the taking over."""

import pytest

from agent.control.station import StationControl
from agent.domain import Mode
from tests.control.plant import idle, loaded, silent, snapshot, stopped


def ticks(control, station, first_s, last_s, machines, pressure=6.42):
    """Orders of the last tick; pressure with a sensor's noise, which stands still for nobody."""
    result = None
    for at_s in range(first_s, last_s, 2):
        result = control.tick(snapshot(station, at_s, pressure + 0.002 * (at_s // 2 % 3), machines))
    return result


@pytest.mark.parametrize("gone", [silent(), loaded(ready=False)], ids=["silent", "in local mode"])
def test_who_was_away_and_delivers_goes_on_delivering(station, gone):
    control = StationControl(station)
    both = [loaded(), loaded(power_kw=58.0), stopped()]
    ticks(control, station, 0, 300, both)
    ticks(control, station, 300, 2400, [gone, both[1], stopped()])

    for at_s in range(2400, 2420, 2):
        orders = control.tick(snapshot(station, at_s, 6.42 + 0.002 * (at_s // 2 % 3), both)).orders
        assert (orders[0].run, orders[0].load) == (True, True), at_s


def test_who_delivers_when_control_comes_back_goes_on_delivering(station):
    control = StationControl(station)
    ticks(control, station, 0, 300, [idle(), loaded(power_kw=58.0), stopped()])
    for at_s in range(300, 340, 2):
        control.tick(snapshot(station, at_s, None, [idle(), loaded(power_kw=58.0), stopped()]))
    assert control.switch.mode is Mode.FALLBACK

    first = None
    for at_s in range(340, 900, 2):
        both = [loaded(), loaded(power_kw=58.0), stopped()]
        result = control.tick(snapshot(station, at_s, 6.42 + 0.002 * (at_s // 2 % 3), both))
        if result.mode is Mode.CONTROL:
            first = result
            break

    assert first is not None
    assert [(order.run, order.load) for order in first.orders[:2]] == [(True, True), (True, True)]
