"""Machines that throttle by themselves or start to load, as band and demand see them."""

from __future__ import annotations

import pytest

from agent.config.site import Station
from agent.control.band import Band
from agent.control.demand import Demand
from agent.control.memory import StationMemory
from agent.control.orders import STOP, Order
from agent.control.view import fleet_of, view_station
from agent.planner.sets import SpreadSettings, build_sets
from tests.control.plant import loaded, snapshot, stopped, view


def changed(station: Station, control: str) -> Station:
    """The shared station with `small` under another control."""
    idle_kw = 0.0 if control == "start-stop" else 13.0
    small = station.machines["small"].model_copy(
        update={"control": control, "unloaded_power_kw": idle_kw, "start_s": 2.0}
    )
    return station.model_copy(update={"machines": {**station.machines, "small": small}})


def orders(station: Station, machines, pressure: float, wanted: float) -> tuple[Order, ...]:
    fleet = fleet_of(station)
    band = Band(fleet, build_sets(station, SpreadSettings(), band_bar=station.band_width_bar))
    now = view(0, pressure, machines)
    memory = StationMemory(len(machines))
    memory.observe(now)
    demand = Demand(fast_m3_min=wanted, slow_m3_min=wanted, supply_m3_min=fleet.supply(now))
    return band.step(now, demand, memory, 0b011, dt_s=1.0).wishes


def test_a_standing_start_stop_machine_is_started_when_it_is_to_load(station):
    # 20 wanted, 16 delivered: the band would be left within the lead.
    wishes = orders(changed(station, "start-stop"), [loaded(), stopped(), stopped()], 6.42, 20.0)

    assert wishes[1] == Order(run=True, load=True)


def test_a_start_stop_machine_that_is_not_needed_stands_instead_of_idling(station):
    idles = orders(station, [loaded(), loaded(58.0), stopped()], 7.95, 15.0)
    stands = orders(changed(station, "start-stop"), [loaded(), loaded(58.0), stopped()], 7.95, 15.0)

    assert idles[1] == Order(run=True, load=False)
    assert stands[1] == STOP


@pytest.mark.parametrize(("control", "flow"), [("load-unload", 9.0), ("modulation-unload", 6.3)])
def test_only_a_throttled_machine_delivers_less_than_its_full_flow(station, control, flow):
    fleet = fleet_of(changed(station, control))

    # It says 70 % of its 9 m3/min.
    assert fleet.flow_of(1, loaded(50.0, 0.7)) == pytest.approx(flow)


def test_a_throttled_machine_that_does_not_say_its_share_counts_as_open(station):
    fleet = fleet_of(changed(station, "modulation"))

    assert fleet.flow_of(1, loaded(50.0, None)) == pytest.approx(9.0)


def test_a_start_stop_machine_without_a_loaded_contact_is_loaded_while_it_runs(station):
    plant = changed(station, "start-stop")
    seen = snapshot(plant, 0, 6.5, [loaded(None, loaded=None), loaded(loaded=None), stopped()])

    machines = view_station(fleet_of(plant), seen).machines

    assert [machine.loaded for machine in machines] == [None, True, False]
