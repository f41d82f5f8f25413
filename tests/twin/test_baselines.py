from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from statistics import median

import pytest

from agent.config.load import load_site
from tests.twin.air_stations import MONDAY, machine, station
from twin.baselines.cascade import Cascade
from twin.baselines.orders import ORDER_NAMES, machine_order
from twin.baselines.play import play
from twin.baselines.sequencer import Sequencer, SequencerSettings
from twin.baselines.tune import ServiceLimits, tune
from twin.compressor import STARTING
from twin.demand import DemandSeries, shift_demand
from twin.station import AirStation

ROOM = station(receiver_m3=15.0)
EXAMPLES = Path(__file__).parents[2] / "examples"


def day(seed: int = 1) -> DemandSeries:
    return shift_demand(ROOM, "UTC", MONDAY + timedelta(days=1), 1, seed)


def test_a_cascade_staggers_its_switches_and_stays_below_the_station_s_maximum():
    cascade = Cascade(station(), order="size-down", band_bar=0.5, offset_bar=0.2, floor_bar=0.1)

    loads = [cascade.switches[name].load_bar_g for name in cascade.order]
    unloads = [cascade.switches[name].unload_bar_g for name in cascade.order]

    # The last loads at 6.1 bar, each one before it 0.2 bar higher.
    assert loads == pytest.approx([6.5, 6.3, 6.1])
    assert unloads == pytest.approx([7.0, 6.8, 6.6])


def test_a_narrow_station_shrinks_the_stagger():
    cascade = Cascade(station(pressure_max_bar_g=6.7), band_bar=0.3, offset_bar=0.5, floor_bar=0.1)

    # 0.6 bar of room less a band of 0.3 leave 0.3 bar for two steps.
    loads = [cascade.switches[name].load_bar_g for name in cascade.order]
    assert loads == pytest.approx([6.4, 6.25, 6.1])


def test_orders_put_the_named_machine_first():
    spec = station()

    firsts = {order: machine_order(spec, order, vsd_first=False)[0] for order in ORDER_NAMES}

    # 6.0, 6.17 and 6.6 kW/(m3/min).
    assert firsts == {"priority": "c1", "size-down": "c1", "size-up": "c2", "efficiency": "c1"}
    assert machine_order(spec, "size-up")[0] == "v1"
    assert machine_order(spec, ("v1", "c2", "c1")) == ("v1", "c2", "c1")


def test_an_order_that_forgets_a_machine_is_refused():
    with pytest.raises(ValueError, match="every machine once"):
        machine_order(station(), ("c1", "c2"))


@pytest.mark.parametrize("order", ORDER_NAMES)
def test_a_cascade_holds_the_pressure_for_a_day(order):
    books = play(ROOM, Cascade(ROOM, order=order), day()).books

    assert books.time_below_min_s <= 0.001 * books.elapsed_s
    assert books.worst_dip_bar <= 0.2
    assert books.max_starts_per_hour <= 6
    assert books.delivered_m3 == pytest.approx(day().volume_m3(), rel=1e-3)


@pytest.mark.parametrize("trims", [True, False])
@pytest.mark.parametrize("selection", ["base-trim", "priority", "size-down", "size-up", "efficiency"])
def test_a_sequencer_gives_service_with_every_selection(selection, trims):
    settings = SequencerSettings(selection=selection, vsd_trims=trims)

    books = play(ROOM, Sequencer(ROOM, settings=settings), day()).books

    assert books.time_below_min_s <= 0.001 * books.elapsed_s
    assert books.worst_dip_bar <= 0.2
    assert books.max_starts_per_hour <= 6


def test_a_typical_sequencer_uses_less_than_the_median_cascade_at_seven_bar():
    room = load_site(EXAMPLES / "station_7bar" / "site.toml").stations["air"]
    demand = shift_demand(room, "Europe/Berlin", MONDAY, 2, seed=3)
    cascades = [
        play(room, Cascade(room, order=order), demand).books.energy_corrected_kwh for order in ORDER_NAMES
    ]

    sequencer = play(room, Sequencer(room), demand).books.energy_corrected_kwh

    # Over whole weeks of this demand (seeds 1-3) it is 5.6-6.3 % below.
    assert 0.90 * median(cascades) < sequencer < 0.98 * median(cascades)


def test_base_and_trim_takes_the_fewest_base_machines_then_the_least_power():
    sequencer = Sequencer(station(), settings=SequencerSettings(selection="base-trim"))
    names = sequencer.order

    # The VSD trims 10: up to 10 alone, up to 16 with the small one, up to 20 with the large one.
    chosen = {demand: set(sequencer._selected(demand, names)) for demand in (9.0, 15.0, 19.0, 25.0)}

    assert chosen == {9.0: {"v1"}, 15.0: {"c2", "v1"}, 19.0: {"c1", "v1"}, 25.0: {"c1", "c2", "v1"}}


def test_a_sequencer_never_starts_two_machines_within_its_start_delay():
    plant = AirStation(ROOM, initial_bar_g=6.3)
    sequencer = Sequencer(ROOM, settings=SequencerSettings(start_delay_s=30.0))

    for second in range(600):
        sequencer.step(float(second), 1.0, plant)
        plant.step(1.0, 22.0)

    starts = sorted(at for c in plant.compressors.values() for at in c.start_times)
    assert len(starts) == 3
    assert min(b - a for a, b in zip(starts, starts[1:], strict=False)) >= 30.0


def test_a_sequencer_stops_an_idle_machine_after_its_run_on_time():
    plant = AirStation(ROOM, initial_bar_g=6.5)
    plant.settle(16.0, ("c1", "c2", "v1"))
    sequencer = Sequencer(ROOM, settings=SequencerSettings(run_on_s=120.0, hold_s=30.0))

    stopped_at = None
    for second in range(1800):
        sequencer.step(float(second), 1.0, plant)
        plant.step(1.0, 5.0)
        if stopped_at is None and not plant.compressors["c1"].running:
            stopped_at = second

    assert stopped_at is not None
    assert stopped_at >= 120
    assert plant.compressors["v1"].loaded


def test_a_sequencer_replaces_a_tripped_machine():
    plant = AirStation(ROOM, initial_bar_g=6.5)
    plant.settle(9.0, ("v1", "c1", "c2"))
    sequencer = Sequencer(ROOM)
    for second in range(1200):
        if second == 300:
            plant.compressors["v1"].trip()
        sequencer.step(float(second), 1.0, plant)
        plant.step(1.0, 9.0)

    others = [plant.compressors[name] for name in ("c1", "c2")]
    assert any(c.loaded or c.state == STARTING for c in others)
    assert plant.pressure_bar_g > ROOM.pressure_min_bar_g


def test_a_sequencer_without_its_sensor_hands_the_machines_back():
    plant = AirStation(ROOM, initial_bar_g=6.6)
    plant.settle(9.0)
    sequencer = Sequencer(ROOM)
    steered = []
    for second in range(900):
        if second == 300:
            plant.set_sensor_fault("dropout")
        sequencer.step(float(second), 1.0, plant)
        plant.step(1.0, 9.0)
        steered.append(plant.follow_master)

    assert steered[299]
    assert not steered[320]
    assert plant.books.time_below_min_s == 0.0


def test_tuning_never_ends_worse_than_typical_and_repeats_by_seed():
    demand = DemandSeries(MONDAY, 60.0, day().values[300:660])
    typical = play(ROOM, Sequencer(ROOM), demand, seed=1).books

    first = tune(ROOM, demand, samples=20, seed=1)
    again = tune(ROOM, demand, samples=20, seed=1)

    assert first == again
    assert first.excess == 0.0
    assert ServiceLimits().excess(typical) == 0.0
    assert first.energy_corrected_kwh < typical.energy_corrected_kwh


def test_broken_limits_add_up_by_how_far_they_are_broken():
    room = station(machines={"c1": machine("c1")})
    plant = AirStation(room, initial_bar_g=6.0)
    plant.follow_master = True
    for _ in range(60):
        plant.step(1.0, 4.0)

    # Dip 0.4 of 0.2 bar: 1. Below all the time: 1000 x the limit: 999. Short 4 of 4 m3: 2000 x: 1999.
    assert ServiceLimits().excess(plant.books) == pytest.approx(1.0 + 999.0 + 1999.0, rel=1e-6)


def test_a_simulation_repeats_by_its_seed():
    runs = [play(ROOM, Sequencer(ROOM), day(), seed=s, duration_s=7200.0).books for s in (1, 1, 2)]

    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
