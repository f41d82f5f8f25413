from __future__ import annotations

from datetime import timedelta

import numpy as np
import pytest
from scipy.optimize import Bounds, LinearConstraint, milp

from tests.twin.air_stations import MONDAY, machine, station
from twin.baselines.cascade import Cascade
from twin.baselines.play import play
from twin.baselines.sequencer import Sequencer, SequencerSettings
from twin.demand import DemandSeries, shift_demand
from twin.floor import floor_machines, foresight_floor

# No correction for pressure: 7 bar is the minimum and (all but) the middle.
FLAT = {"pressure_min_bar_g": 7.0, "pressure_max_bar_g": 7.0 + 1e-9}


def steps(*flows_m3_min: float) -> DemandSeries:
    return DemandSeries(MONDAY, 600.0, flows_m3_min)


def floor_of(room, demand, **options):
    return foresight_floor(room, demand, from_at=demand.start_at, to_at=demand.end_at, **options)


def test_one_machine_loads_for_its_share_of_the_step_and_idles_for_the_rest():
    room = station(machines={"c1": machine("c1")}, **FLAT)

    floor = floor_of(room, steps(5.0, 5.0, 0.0))

    # 10 m3/min at 60 kW, 12 kW idle: half a step loaded is (30 + 6) kW x 10 min = 6 kWh, twice; then it stands.
    assert floor.energy_kwh == pytest.approx(12.0)
    assert floor.running[:, 0].tolist() == [True, True, False]
    assert floor.starts == 0


def test_it_idles_through_a_gap_only_where_a_start_costs_more():
    fast = machine("c1", start_s=4.0, blowdown_s=0.0)
    slow = machine("c1", start_s=900.0, blowdown_s=0.0)

    stopped = floor_of(station(machines={"c1": fast}, **FLAT), steps(10.0, 0.0, 10.0))
    idled = floor_of(station(machines={"c1": slow}, **FLAT), steps(10.0, 0.0, 10.0))

    # Two full steps are 20 kWh. A start of 4 s at 60 kW is 0.067 kWh, idling a step 2 kWh, and a start of
    # 900 s (4 x 60 + 896 x 12) / 3600 = 3.05 kWh.
    assert stopped.energy_kwh == pytest.approx(20.0 + 4.0 * 60.0 / 3600.0)
    assert stopped.starts == 1
    assert idled.energy_kwh == pytest.approx(22.0)
    assert idled.starts == 0


def test_it_takes_the_machine_with_the_cheapest_air_first():
    machines = {"dear": machine("dear", full_power_kw=70.0), "cheap": machine("cheap")}
    room = station(machines=machines, **FLAT)

    floor = floor_of(room, steps(10.0, 12.0))

    # 10 m3/min of the cheap one; then both: 12 idle + 12 idle + 10 x 4.8 + 2 x 5.8 = 83.6 kW, and the start of the
    # dear one: 4 s at 70 kW, 11 s and 40 s of blow-down at 12 kW, and (0.92 x 70 - 12) kW over 0.98 x 10.22 s.
    tau_s = 40.0 / np.log(50.0)
    start_kwh = (4 * 70 + 11 * 12 + 40 * 12 + 52.4 * 0.98 * tau_s) / 3600
    assert floor.energy_kwh == pytest.approx(10.0 + 83.6 / 6.0 + start_kwh)


def test_air_that_no_station_could_deliver_is_counted_and_costs_nothing():
    room = station(machines={"c1": machine("c1")}, **FLAT)

    floor = floor_of(room, steps(14.0))

    assert floor.short_m3 == pytest.approx(40.0)
    assert floor.energy_kwh == pytest.approx(10.0)


def test_a_price_moves_nothing_but_the_cost():
    room = station(**FLAT)
    demand = shift_demand(room, "UTC", MONDAY + timedelta(hours=5), 0.25, 3)
    price = np.full(36, 0.2)

    plain, priced = floor_of(room, demand), floor_of(room, demand, price_per_kwh=price)

    assert priced.energy_kwh == pytest.approx(plain.energy_kwh)
    assert priced.cost == pytest.approx(0.2 * plain.energy_kwh)


def test_it_is_the_optimum_of_the_mixed_integer_programme():
    room = station(**FLAT)
    demand = shift_demand(room, "UTC", MONDAY + timedelta(hours=4), 0.25, 7)

    floor = floor_of(room, demand)

    assert floor.energy_kwh == pytest.approx(milp_kwh(room, demand), rel=2e-4)


def milp_kwh(room, demand) -> float:
    """The same model as HiGHS sees it: binary on and begun, flow of each piece at most its width while on."""
    machines = floor_machines(room)
    count = int((demand.end_at - demand.start_at) / timedelta(seconds=600))
    level = demand.reader(demand.start_at)
    need = [np.mean([level(600.0 * t + 60.0 * k + 30.0) for k in range(10)]) for t in range(count)]
    # Columns of a step: on, begun and one flow a piece for each machine.
    width = sum(2 + len(m.pieces) for m in machines)
    cost, integral = np.zeros(count * width), np.zeros(count * width)
    upper = np.ones(count * width)
    rows, low, high = [], [], []

    def row(entries, least, most):
        line = np.zeros(count * width)
        for column, factor in entries:
            line[column] += factor
        rows.append(line)
        low.append(least)
        high.append(most)

    for t in range(count):
        flows, column = [], t * width
        for m in machines:
            on, begun = column, column + 1
            integral[on] = 1
            cost[on], cost[begun] = m.idle_kw / 6.0, m.start_kwh
            if t:
                row([(begun, 1.0), (on, -1.0), (on - width, 1.0)], 0.0, np.inf)
            for k, piece in enumerate(m.pieces):
                flow = column + 2 + k
                upper[flow] = piece.flow_m3_min
                cost[flow] = piece.slope_kw_min_m3 / 6.0
                row([(on, piece.flow_m3_min), (flow, -1.0)], 0.0, np.inf)
                flows.append((flow, 1.0))
            column += 2 + len(m.pieces)
        row(flows, need[t], np.inf)
    found = milp(
        cost,
        constraints=LinearConstraint(np.array(rows), np.array(low), np.array(high)),
        integrality=integral,
        bounds=Bounds(np.zeros(count * width), upper),
        options={"mip_rel_gap": 1e-5},
    )
    assert found.success
    return float(found.fun)


def test_no_controller_gets_below_it():
    room = station(receiver_m3=15.0)
    demand = shift_demand(room, "UTC", MONDAY, 1, 5)
    low = SequencerSettings(floor_bar=0.02, band_bar=0.1, run_on_s=20.0, selection="least-power")

    floor = floor_of(room, demand).energy_kwh
    used = [
        play(room, controller, demand).books.energy_corrected_kwh
        for controller in (Cascade(room), Sequencer(room), Sequencer(room, settings=low))
    ]

    assert floor < min(used)
    assert min(used) < 1.15 * floor
