"""The table of sets: rules that hold for each station, and the costs of a VSD by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.site import Machine, Station
from agent.planner.curves import nameplate_curve, running_power_kw
from agent.planner.sets import SpreadSettings, build_sets


def station(*machines: Machine) -> Station:
    return Station(
        pressure="h.p",
        pressure_min_bar_g=6,
        pressure_max_bar_g=8,
        receiver_m3=10.13,
        machines={f"m{i}": machine for i, machine in enumerate(machines)},
    )


def fixed(flow: float, power: float, idle: float, **more) -> Machine:
    return Machine(device="d", full_flow_m3_min=flow, full_power_kw=power, unloaded_power_kw=idle, **more)


def vsd() -> Machine:
    """10 m3/min at 66 kW, 6 at 42 kW, 2 at 18 kW, 6 kW unloaded."""
    return fixed(
        10,
        66,
        6,
        control="vsd",
        turndown_flow_m3_min=2,
        turndown_power_kw=18,
        mid_flow_m3_min=6,
        mid_power_kw=42,
    )


@pytest.mark.parametrize(
    ("flow", "power_kw"),
    [
        # Below the turndown half the time unloaded: 0.5 x 18 + 0.5 x 6.
        (1.0, 12.0),
        (2.0, 18.0),
        # Half way from 2 to 6 m3/min.
        (4.0, 30.0),
        (6.0, 42.0),
        (8.0, 54.0),
        (10.0, 66.0),
        (12.0, 66.0),
    ],
)
def test_power_of_a_vsd_lies_on_the_lines_between_its_points(flow, power_kw):
    assert running_power_kw(vsd(), flow) == pytest.approx(power_kw)


def test_curve_of_a_fixed_machine_is_one_point():
    assert nameplate_curve(fixed(10, 60, 12)) == ((10, 60),)


def test_vsd_trims_and_the_fixed_machine_carries_the_base():
    # 15 m3/min: fixed full and the VSD at 5 of 10 (60 + 36 = 96 kW), or the VSD full and the fixed one at
    # half load (66 + 30 + 6 = 102 kW and its blow-downs).
    table = build_sets(station(fixed(10, 60, 12), vsd()), SpreadSettings(0.0), band_bar=0.2, grid_points=211)

    assert table.loading(0b11, 15.0) == (0b01, 1)
    assert table.power_kw[table.index_of[0b11], table.column(15.0)] == pytest.approx(96.0)


def test_blow_downs_of_the_trim_machine_are_paid():
    # Half load of 10 m3/min on 10.13 m3 x 0.2 bar / 1.013 = 2 m3: 0.25 x 10 / 2 = 1.25 cycles a minute.
    # Each burns 0.92 x 60 - 12 = 43.2 kW above idle for 40 s / 3.912 = 10.2 s: 1.25 x 43.2 x 0.1704 = 9.2 kW.
    quick, slow = fixed(10, 60, 12, blowdown_s=0), fixed(10, 60, 12, blowdown_s=40)

    def half_load(machine: Machine) -> float:
        table = build_sets(station(machine), SpreadSettings(0.0), band_bar=0.2, grid_points=211)
        return float(table.power_kw[1, table.column(5.0)])

    assert half_load(quick) == pytest.approx(36.0)
    assert half_load(slow) - half_load(quick) == pytest.approx(9.20, abs=0.01)


def test_wider_band_means_fewer_cycles_and_less_power():
    site = station(fixed(10, 60, 12))
    narrow = build_sets(site, SpreadSettings(0.0), band_bar=0.1, grid_points=211)
    wide = build_sets(site, SpreadSettings(0.0), band_bar=0.4, grid_points=211)

    column = wide.column(5.0)
    # Four times the store, a quarter of the loss: 18.40 and 4.60 kW above 36.
    assert narrow.power_kw[1, column] - 36 == pytest.approx(4 * (wide.power_kw[1, column] - 36))
    assert wide.power_kw[1, column] > 36


def test_demand_outside_the_grid_takes_its_nearest_column():
    table = build_sets(station(fixed(10, 60, 12)), SpreadSettings(), band_bar=0.2)

    assert table.column(-5.0) == 0
    assert table.column(1000.0) == table.power_kw.shape[1] - 1


def test_unknown_set_is_loaded_as_a_whole():
    table = build_sets(station(fixed(10, 60, 12), fixed(5, 32, 7)), SpreadSettings(), band_bar=0.2)

    assert table.loading(0b11, 99.0) == (0b11, -1)


machines = st.builds(
    lambda flow, specific, idle, control: (
        fixed(flow, flow * specific, flow * specific * idle)
        if not control
        else fixed(
            flow,
            flow * specific,
            flow * specific * idle * 0.5,
            control="vsd",
            turndown_flow_m3_min=0.25 * flow,
            turndown_power_kw=0.32 * flow * specific,
        )
    ),
    st.floats(2, 30),
    st.floats(5, 7.5),
    st.floats(0.15, 0.3),
    st.booleans(),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(machines, min_size=1, max_size=4))
def test_no_station_breaks_the_rules_of_the_table(plant):
    table = build_sets(station(*plant), SpreadSettings(), band_bar=0.2)
    flows = np.array([m.full_flow_m3_min for m in plant])
    idle = np.array([m.unloaded_power_kw for m in plant])
    full = np.array([m.full_power_kw for m in plant])
    grid = np.arange(table.power_kw.shape[1]) * table.grid_m3_min

    for row, mask in enumerate(table.masks):
        bits = (int(mask) >> np.arange(len(plant))) & 1
        within = grid <= table.capacity[row] + 1e-9
        power = table.power_kw[row, within]
        assert table.capacity[row] == pytest.approx(float(bits @ flows))
        # Never less than idle. Never more than all at full power and the blow-downs of one trim machine.
        assert np.all(power >= bits @ idle - 1e-9)
        assert np.all(np.isfinite(power))
        assert power[-1] <= bits @ full + 0.92 * full.max() * 5
        for need, base, trim in zip(grid, table.base[row], table.trim[row], strict=True):
            # Only machines of the set are loaded, and they cover the need wherever the set can.
            used = int(base) | (1 << int(trim) if trim >= 0 else 0)
            assert used & ~int(mask) == 0
            if need <= table.capacity[row]:
                able = sum(f for i, f in enumerate(flows) if (used >> i) & 1)
                assert able >= need - 1e-6
