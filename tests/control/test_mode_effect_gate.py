"""Modes, machines that do not follow, the gate, and the writer of orders."""

from datetime import timedelta

import pytest

from agent.config.parts import Point
from agent.control.commands import OrderWriter
from agent.control.effect import EffectWatch
from agent.control.gate import Gate
from agent.control.memory import StationMemory
from agent.control.mode import ModeSwitch
from agent.control.orders import STOP, Order
from agent.control.station import StationControl
from agent.domain import Command, Mode, Snapshot
from tests.control.plant import START, loaded, snapshot, stopped, view

RUN = Order(run=True, load=True)


def test_control_falls_back_only_after_twenty_seconds_of_trouble_and_returns_after_two_minutes():
    switch = ModeSwitch(Mode.CONTROL)

    switch.update(0, "blind")
    switch.update(19, "blind")
    assert switch.mode is Mode.CONTROL
    assert switch.update(20, "blind")
    assert switch.mode is Mode.FALLBACK
    assert switch.why == "blind"

    switch.update(30, "")
    switch.update(149, "")
    assert switch.mode is Mode.FALLBACK
    assert switch.update(150, "")
    assert switch.mode is Mode.CONTROL


def test_second_fall_back_within_two_hours_waits_twice_as_long():
    switch = ModeSwitch(Mode.CONTROL)
    for now_s in (0, 20):
        switch.update(now_s, "blind")
    for now_s in (30, 150):
        switch.update(now_s, "")
    for now_s in (200, 220):
        switch.update(now_s, "blind")

    switch.update(230, "")
    switch.update(230 + 239, "")
    assert switch.mode is Mode.FALLBACK
    switch.update(230 + 240, "")
    assert switch.mode is Mode.CONTROL


def test_wish_above_the_sites_consent_is_refused():
    switch = ModeSwitch(Mode.ADVISE)

    assert not switch.wish(Mode.CONTROL, "from afar")
    assert switch.mode is Mode.ADVISE
    assert switch.wish(Mode.OBSERVE, "from afar")
    assert switch.mode is Mode.OBSERVE


def test_trouble_in_advise_changes_nothing():
    switch = ModeSwitch(Mode.ADVISE)

    assert not any(switch.update(now_s, "blind") for now_s in range(100))
    assert switch.mode is Mode.ADVISE


def test_machine_that_does_not_start_is_set_aside_for_five_minutes_then_ten(fleet):
    watch, memory = EffectWatch(fleet), StationMemory(3)
    now = view(0, 6.5, [stopped()] * 3)
    memory.observe(now)
    watch.sent(now, (RUN, STOP, STOP))

    # Start time 15 s and a grace of 15 s.
    assert not watch.check(view(29, 6.5, [stopped()] * 3), memory)
    notes = watch.check(view(31, 6.5, [stopped()] * 3), memory)
    first = memory.machines[0].barred_until_s - START.timestamp()
    watch.sent(view(40, 6.5, [stopped()] * 3), (STOP, STOP, STOP))
    watch.sent(view(400, 6.5, [stopped()] * 3), (RUN, STOP, STOP))
    watch.check(view(431, 6.5, [stopped()] * 3), memory)
    second = memory.machines[0].barred_until_s - START.timestamp()

    assert notes == ("big did not start within 30 s",)
    assert first == 31 + 300
    assert second == 431 + 600


def test_machine_that_follows_is_left_alone(fleet):
    watch, memory = EffectWatch(fleet), StationMemory(3)
    watch.sent(view(0, 6.5, [stopped()] * 3), (RUN, STOP, STOP))

    assert not watch.check(view(60, 6.5, [loaded(), stopped(), stopped()]), memory)
    assert watch.failing(START.timestamp() + 60) == 0


def life(station, span_s, machines_of):
    """The station's control over `span_s` in ticks of 5 s; the mode at each."""
    control, modes = StationControl(station), []
    for at_s in range(0, span_s, 5):
        # A live sensor: its last digit moves.
        pressure = 6.5 + 0.001 * (at_s // 5 % 2)
        modes.append(control.tick(snapshot(station, at_s, pressure, machines_of(at_s))).mode)
    return control, modes


def test_station_whose_machines_do_not_stop_falls_back_and_comes_back_when_they_do(station):
    # All three run for 1000 s whatever they are told, then they stop.
    def machines(at_s):
        return [loaded(), loaded(58.0), loaded(50.0, 0.3)] if at_s < 1000 else [stopped()] * 3

    control, modes = life(station, 9000, machines)
    control_again = [i * 5 for i, mode in enumerate(modes) if mode is Mode.CONTROL and i * 5 > 1000]

    assert Mode.FALLBACK in modes
    assert control_again
    assert modes[-1] is Mode.CONTROL
    assert control.effect.failing(START.timestamp() + 9000) == 0


def test_failure_counts_for_its_time_after_control_has_ended_and_then_no_more(fleet):
    watch, memory = EffectWatch(fleet), StationMemory(3)
    running = [loaded(), loaded(58.0), stopped()]
    watch.sent(view(0, 6.5, running), (STOP, STOP, STOP))

    # Blow-down 40 s and a grace of 15 s; the first failure counts for five minutes.
    watch.check(view(56, 6.5, running), memory)
    assert watch.failing(START.timestamp() + 56) == 2
    watch.forget_orders()

    assert watch.failing(START.timestamp() + 355) == 2
    assert watch.failing(START.timestamp() + 356) == 0


def test_machines_that_do_not_start_go_on_counting_while_they_are_set_aside(fleet):
    watch, memory = EffectWatch(fleet), StationMemory(3)
    still = [stopped()] * 3
    memory.observe(view(0, 6.5, still))
    watch.sent(view(0, 6.5, still), (RUN, RUN, STOP))
    watch.check(view(31, 6.5, still), memory)

    # The guard lets no start of a barred machine out: its order is to stand still, which it obeys.
    watch.sent(view(31, 6.5, still), (STOP, STOP, STOP))
    watch.check(view(60, 6.5, still), memory)

    assert watch.failing(START.timestamp() + 60) == 2
    assert watch.failing(START.timestamp() + 31 + 300) == 0


def test_station_of_which_no_machine_starts_falls_back_to_its_own_switches(station):
    control, modes = StationControl(station), []
    for at_s in range(0, 1200, 5):
        pressure = max(6.6 - at_s / 1000, 4.0)
        result = control.tick(snapshot(station, at_s, pressure, [stopped()] * 3))
        modes.append(result.mode)

    assert Mode.FALLBACK in modes


def command(value, tag="a.set", life_s=60) -> Command:
    return Command(tag, value, START + timedelta(seconds=life_s), "test")


@pytest.fixture
def gate() -> Gate:
    point = Point(writable=True, write_min=5.0, write_max=8.0, min_write_interval_s=600)
    return Gate(frozenset({"a.set"}), {"a.set": point})


@pytest.mark.parametrize(
    ("asked", "rule"),
    [
        (command(6.0, tag="a.other"), "allow-list"),
        (command(4.9), "below write_min 5"),
        (command(8.1), "above write_max 8"),
        (command(6.0, life_s=-1), "expired"),
    ],
)
def test_gate_holds_back_what_may_not_be_written(gate, asked, rule):
    passed = gate.check([asked], START)

    assert not passed.commands
    assert rule in passed.refusals[0].rule


def test_gate_keeps_the_interval_between_two_writes_but_always_hands_back(gate):
    gate.written("a.set", START)
    soon = START + timedelta(seconds=599)

    held = gate.check([command(6.0, life_s=9999)], soon)
    handed = gate.check([command(None)], soon)
    later = gate.check([command(6.0, life_s=9999)], START + timedelta(seconds=600))

    assert held.refusals[0].until == START + timedelta(seconds=600)
    assert len(handed.commands) == 1
    assert len(later.commands) == 1


def writable(fleet) -> frozenset[str]:
    roles = ("enable", "heartbeat", "run", "load", "output_share_set")
    return frozenset(machine.tag(role) for machine in fleet.machines for role in roles)


def test_only_what_differs_is_written_and_the_heartbeat_at_each_tick(station, fleet):
    writer = OrderWriter(fleet, writable(fleet))
    at = snapshot(station, 0, 6.5, [stopped()] * 3)
    standing = Snapshot(at.at, {**at.readings, "big.run": at.readings["big.ready"]})
    orders = (RUN, STOP, STOP)

    first = writer.commands(standing, orders, tick_s=1.0, reason="r", plan_id="p")
    second = writer.commands(standing, orders, tick_s=1.0, reason="r", plan_id="p")

    tags = [c.tag for c in first]
    # big.run stands at 1 already (as its ready bit does here).
    assert "big.run" not in tags
    assert tags.index("big.load") < tags.index("big.enable")
    assert {c.tag for c in second} == {"big.heartbeat", "small.heartbeat", "vsd.heartbeat"}
    assert [c.value for c in second if c.tag == "big.heartbeat"] == [2.0]


def test_machine_without_an_order_is_handed_back(station, fleet):
    writer = OrderWriter(fleet, writable(fleet))
    at = snapshot(station, 0, 6.5, [stopped()] * 3)

    commands = writer.commands(at, (None, STOP, STOP), tick_s=1.0, reason="r", plan_id="p")

    assert [(c.tag, c.value) for c in commands if c.tag.startswith("big.")] == [("big.enable", 0.0)]
