"""Supply temperatures by trim and respond, CO2 by people, and whoever moved them."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.site import Unit
from agent.control.comfort_limits import DeviceRange
from agent.control.comfort_supply import PlantSetpoint, ZoneCall, next_supply
from agent.domain import Quality, Reading, Snapshot
from tests.control.plant import START

AIR = Unit(device="a", kind="air-handler", supply_setpoint="a.set", supply_low_degc=13, supply_high_degc=18)
CONTENT = ZoneCall(22.0, 20.0, 25.0)
WARM, HOT, COLD = ZoneCall(25.6, 20.0, 25.0), ZoneCall(27.0, 20.0, 25.0), ZoneCall(18.0, 20.0, 25.0)


def test_supply_air_gets_warmer_by_and_by_while_nobody_calls_and_colder_at_once_for_those_who_do():
    assert next_supply(AIR, 15.0, [CONTENT, CONTENT]) == 15.3
    assert next_supply(AIR, 15.0, [CONTENT, WARM]) == 14.6
    assert next_supply(AIR, 15.0, [WARM, HOT]) == 14.0  # three calls, but one kelvin at most
    assert next_supply(AIR, 15.0, [COLD, CONTENT]) == 15.8
    assert next_supply(AIR, 15.0, [COLD, WARM]) == 14.6
    assert next_supply(AIR, None, [CONTENT]) == 13.3


@settings(max_examples=200, deadline=None)
@given(
    standing=st.one_of(st.none(), st.floats(-50, 80)),
    calls=st.lists(st.tuples(*[st.one_of(st.none(), st.floats(-30, 60))] * 3), max_size=6),
)
def test_whatever_zones_call_the_supply_stays_where_it_may_stand_for_ever(standing, calls):
    value = next_supply(AIR, standing, [ZoneCall(*call) for call in calls])

    assert 13.0 <= value <= 18.0


def seen(minute: float, value: float | None) -> Snapshot:
    at = START + timedelta(minutes=minute)
    quality = Quality.BAD if value is None else Quality.GOOD
    return Snapshot(at, {"a.set": Reading(value, quality, at)})


def test_a_supply_set_point_moved_on_site_is_left_alone_and_one_the_unit_moved_itself_is_not():
    point = PlantSetpoint("a.set", DeviceRange(), timedelta(hours=4))
    assert point.put(seen(0, 13.0), 13.3, alone=False) == 13.3
    point.wrote("a.set", 13.3, START)

    assert point.put(seen(15, 16.0), 13.6, alone=False) is None
    assert point.put(seen(200, 16.0), 13.6, alone=False) is None
    assert point.put(seen(256, 16.0), 13.6, alone=False) == 13.6

    point = PlantSetpoint("a.set", DeviceRange(), timedelta(hours=4))
    point.put(seen(0, 15.0), 15.3, alone=False)
    point.wrote("a.set", 15.3, START)
    assert point.put(seen(30, 13.0), 13.3, alone=True) == 13.3


def test_a_supply_set_point_is_written_each_quarter_hour_at_most_and_only_when_it_changes():
    point = PlantSetpoint("a.set", DeviceRange(), timedelta(hours=4))
    assert point.due(START)
    point.put(seen(0, 13.0), 13.3, alone=False)
    point.wrote("a.set", 13.3, START)

    assert not point.due(START + timedelta(minutes=14))
    assert point.due(START + timedelta(minutes=15))
    assert point.put(seen(15, 13.3), 13.3, alone=False) is None
    assert point.release() == ["a.set"]
    assert point.release() == []
