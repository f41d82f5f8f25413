from __future__ import annotations

from datetime import timedelta

import pytest

from agent.config.parts import Device
from agent.config.site import Identity, Site
from agent.errors import ConfigError
from tests.twin.air_stations import MONDAY, station
from twin.demand import DemandSeries
from twin.plant import TwinPlant


class Lamp:
    """Another part of a plant: one point that remembers."""

    def __init__(self) -> None:
        self.tags = ("hall.lamp",)
        self.lit = 0.0
        self.at = MONDAY

    def advance_to(self, at):
        self.at = at

    def read(self, tag):
        return self.lit

    def write(self, tag, value):
        self.lit = value
        return True


def site() -> Site:
    devices = {name: Device(driver="modbus-tcp", host="127.0.0.1") for name in ("net", "c1", "c2", "v1")}
    return Site(site=Identity(id="s"), devices=devices, stations={"air": station()})


def plant(**changes) -> TwinPlant:
    options = {"demand": {"air": DemandSeries(MONDAY, 60.0, [9.0])}, "start_at": MONDAY, "step_s": 1.0}
    return TwinPlant(site(), **{**options, **changes})


def after(seconds: float):
    return MONDAY + timedelta(seconds=seconds)


def test_the_plant_moves_in_whole_steps_and_says_how_far_it_came():
    twin = plant(step_s=2.0)

    twin.advance_to(after(5.0))
    first = twin.at
    twin.advance_to(after(6.0))

    assert first == after(4.0)
    assert twin.at == after(6.0)


def test_asking_more_often_does_not_change_the_plant():
    often, once = plant(seed=3), plant(seed=3)

    for tenth in range(1, 3001):
        often.advance_to(after(tenth / 10.0))
    once.advance_to(after(300.0))

    assert often.read("net.pressure") == once.read("net.pressure")
    assert often.stations["air"].books == once.stations["air"].books


def test_every_role_of_every_machine_answers_by_its_tag():
    twin = plant()
    twin.advance_to(after(60.0))

    shown = {tag: twin.read(tag) for tag in twin.tags}

    assert len(twin.tags) == 2 + 3 * 15
    assert None not in shown.values()
    assert shown["net.flow"] == pytest.approx(9.0, rel=0.03)
    assert shown["c1.running"] == 1.0
    assert shown["c1.power_kw"] > 0.0


def test_a_tag_of_nobody_shows_nothing_and_cannot_be_written():
    twin = plant()

    assert twin.read("c9.running") is None
    assert not twin.write("c9.run", 1.0)
    assert not twin.write("c1.power_kw", 5.0)


def test_a_refused_order_is_not_stored():
    twin = plant()
    twin.stations["air"].compressors["c2"].trip()

    taken = twin.write("c2.run", 1.0)

    assert not taken
    assert twin.read("c2.run") == 0.0
    assert twin.read("c2.tripped") == 1.0


def test_orders_move_a_machine_once_enable_and_heartbeat_stand():
    twin = plant(demand={"air": DemandSeries(MONDAY, 60.0, [2.0])})
    for second in range(1, 60):
        twin.write("v1.enable", 1.0)
        twin.write("v1.run", 1.0)
        twin.write("v1.load", 1.0)
        twin.write("v1.output_share_set", 0.5)
        twin.write("v1.heartbeat", float(second))
        twin.advance_to(after(second))

    assert twin.read("v1.loaded") == 1.0
    assert twin.read("v1.output_share") == pytest.approx(0.5)


def test_a_station_without_demand_is_refused():
    with pytest.raises(ConfigError, match="no demand for station air"):
        plant(demand={})


def test_another_part_of_the_plant_moves_and_answers_along():
    lamp = Lamp()
    twin = plant(hvac=lamp)

    written = twin.write("hall.lamp", 1.0)
    twin.advance_to(after(10.0))

    assert written
    assert twin.read("hall.lamp") == 1.0
    assert "hall.lamp" in twin.tags
    assert lamp.at == after(10.0)
