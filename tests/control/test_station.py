"""Which machines a station chooses to run: those that may, and those that must."""

from collections.abc import Sequence

import pytest

from agent.control.station import Outlook, StationControl
from agent.domain import Mode
from tests.control.plant import START, idle, loaded, silent, snapshot, stopped

SMALL, VSD = 2, 4


def chosen(station, machines, *, seconds=200, control=None, **tick) -> int:
    control = control if control is not None else StationControl(station)
    committed = 0
    for at_s in range(0, seconds, 5):
        committed = control.tick(
            snapshot(station, at_s, 6.5 + 0.001 * (at_s % 2), machines), **tick
        ).committed
    return committed


def test_nothing_is_chosen_before_two_pressures_were_seen(station):
    first = StationControl(station).tick(snapshot(station, 0, 6.5, [loaded(), stopped(), stopped()]))

    assert first.demand is None
    assert first.orders is None


def test_silent_machine_is_never_chosen(station):
    # 12 m3/min from the VSD would be the cheapest; from the moment that it is silent the big one is chosen.
    control = StationControl(station)
    heard = chosen(station, [stopped(), stopped(), loaded(75.0, 0.75)], control=control)

    lost = control.tick(snapshot(station, 201, 6.502, [stopped(), stopped(), silent()])).committed

    assert heard == VSD
    assert not lost & VSD


@pytest.mark.parametrize("flaw", [{"ready": False}, {"tripped": True}])
def test_machine_that_would_refuse_is_never_chosen(station, flaw):
    assert not chosen(station, [loaded(), stopped(), stopped(**flaw)]) & VSD


def test_operators_start_is_held_and_his_stop_barred(station):
    control = StationControl(station)
    control.memory.override(1, run=True, until_s=START.timestamp() + 9999)
    control.memory.override(2, run=False, until_s=START.timestamp() + 9999)

    # Half a minute later the small one would be set aside: in this plant it never starts.
    committed = chosen(station, [loaded(), stopped(), stopped()], seconds=20, control=control)

    assert committed & SMALL
    assert not committed & VSD


def test_outlook_is_asked_for_once_a_minute_and_not_at_each_tick(station):
    asked: list[float] = []

    def look_ahead(steps_s: Sequence[float]) -> Outlook:
        asked.append(sum(steps_s))
        return Outlook((12.0,) * len(steps_s), (1.0,) * len(steps_s), "test")

    chosen(station, [loaded(), stopped(), stopped()], seconds=200, look_ahead=look_ahead)

    # Demand is known from 5 s on; then at 65, 125 and 185 s: two hours each time.
    assert asked == [7200.0] * 4


@pytest.mark.parametrize("mode", ["observe", "advise"])
def test_without_consent_orders_are_advice(station, mode):
    site = station.model_copy(update={"mode": mode})
    control = StationControl(site)

    for at_s in (0, 5):
        result = control.tick(snapshot(site, at_s, 6.5 + 0.001 * at_s, [loaded(), stopped(), stopped()]))

    assert result.mode is Mode(mode)
    assert result.orders is None
    assert result.advice is not None


def test_power_tells_whether_a_machine_is_loaded_that_does_not_say(station):
    control = StationControl(station)
    # 98 kW loaded, 20 unloaded; the VSD 25 kW at its least speed, 12 unloaded.
    machines = [loaded(loaded=None), idle(13.0, loaded=None), loaded(40.0, 0.3, loaded=None)]

    found = control.tick(snapshot(station, 0, 6.5, machines)).view

    assert [seen.loaded for seen in found.machines] == [True, False, True]
    assert found.states.loaded == 0b101


def test_machine_that_says_neither_what_it_draws_nor_whether_it_is_loaded_is_handed_back(station):
    control = StationControl(station)
    for at_s in range(0, 20, 5):
        machines = [loaded(loaded=None, power_kw=None), loaded(58.0), loaded(50.0, 0.5)]
        result = control.tick(snapshot(station, at_s, 6.5 + 0.001 * at_s, machines))

    assert result.orders is not None
    assert result.orders[0] is None
    assert result.view.states.silent == 1

    heard = control.tick(snapshot(station, 20, 6.52, [loaded(), loaded(58.0), loaded(50.0, 0.5)]))

    assert heard.view.states.silent == 0
    assert heard.view.machines[0].loaded
