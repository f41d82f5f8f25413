"""The width of the band that a load/unload machine is worth, by hand-worked numbers."""

import pytest

from agent.config.site import Machine
from agent.control.cycle import pressure_price_per_bar, worthwhile_width_bar
from agent.control.level import BandLevel
from agent.planner.sets import cycle_loss_kw_min
from tests.twin.air_stations import station

SCREW = Machine(
    device="c1", full_flow_m3_min=40.0, full_power_kw=280.0, unloaded_power_kw=60.0, blowdown_s=40.0
)


def width_of(machine: Machine, *trim: float) -> float:
    return worthwhile_width_bar(machine.full_flow_m3_min, cycle_loss_kw_min(machine), *trim)


@pytest.mark.parametrize(
    ("pressure_bar_g", "share"), [(7.0, 0.080), (8.0, 0.068), (10.0, 0.052), (11.5, 0.044)]
)
def test_a_bar_costs_what_the_published_equation_says(pressure_bar_g, share):
    assert pressure_price_per_bar(pressure_bar_g, 1.013) == pytest.approx(share, rel=0.05)


def test_width_is_where_blow_downs_and_pressure_cost_the_same():
    # Half loaded: 40 * 0.25 = 10 m3/min of swing, 30 m3 of free air a bar.
    width = width_of(SCREW, 0.5, 140.0, 0.08, 30.0)

    pressure_kw = 140.0 * 0.08 * width / 2.0
    for other in (0.8 * width, 1.25 * width):
        blow_downs_kw = pressure_kw * width / other
        assert blow_downs_kw + 140.0 * 0.08 * other / 2.0 > 2.0 * pressure_kw
    # A smaller net cycles oftener, and the root of four times as often is twice as wide.
    assert width_of(SCREW, 0.5, 140.0, 0.08, 7.5) == pytest.approx(2.0 * width)


def test_machine_that_does_not_blow_down_or_does_not_cycle_asks_for_no_width():
    oil_free = SCREW.model_copy(update={"blowdown_s": 0.0})

    assert width_of(oil_free, 0.5, 140.0, 0.08, 30.0) == 0.0
    assert width_of(SCREW, 1.0, 280.0, 0.08, 30.0) == 0.0


def test_wide_band_begins_where_the_narrow_one_does_and_stays_below_the_highest_pressure():
    net = station()
    level = BandLevel(net)

    narrow, wide = level.edges(by_speed=False), level.edges(by_speed=False, worthwhile_bar=5.0)

    assert wide[0] == narrow[0]
    assert wide[2] == pytest.approx(max(narrow[2], net.pressure_max_bar_g - 0.1))
    assert level.edges(by_speed=True, worthwhile_bar=5.0) == level.edges(by_speed=True)


def test_site_that_keeps_its_band_keeps_its_width():
    level = BandLevel(station().model_copy(update={"band_adapts": False}))

    assert level.edges(by_speed=False, worthwhile_bar=1.0) == level.edges(by_speed=False)
