"""Key figures by hand: nothing unknown counts as zero."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from agent.savings.kpi import starts_by_minute
from agent.savings.periods import periods
from tests.savings.minutes import START, all_figures, minutes, station


def test_an_hour_at_full_load_by_hand():
    found = all_figures(minutes(60))

    # 60 kW for an hour; 10 m3/min for 60 min; 60 / 10; 60 kWh at 0.2 and 0.4 kg.
    assert found.energy_kwh == 60.0
    assert found.air_m3 == 600.0
    assert found.specific_power_kw_min_m3 == 6.0
    assert found.idle_share == 0.0
    assert found.mean_pressure_bar_g == 6.5
    assert (found.cost, found.co2_kg, found.peak_kw) == (12.0, 24.0, 60.0)
    assert found.hours_run == {"a": 1.0, "b": 0.0}
    assert found.power_coverage == found.air_coverage == 1.0


def test_what_was_not_measured_lowers_the_coverage_and_nothing_else():
    power = np.where(np.arange(60) < 15, np.nan, 60.0)

    found = all_figures(minutes(60, power_a=power))

    # 45 of 60 minutes: 45 kWh, and still 6 kW per m3/min over the minutes that have both.
    assert found.energy_kwh == 45.0
    assert found.power_coverage == 0.75
    assert found.specific_power_kw_min_m3 == 6.0


def test_one_machine_without_power_leaves_the_stations_energy_unknown():
    found = all_figures(minutes(60, power_b=np.nan))

    assert found.energy_kwh is None
    assert found.cost is None
    assert found.idle_share is None
    assert found.power_coverage == 0.0
    assert found.air_m3 == 600.0


def test_idle_energy_takes_the_measured_power_of_minutes_run_unloaded():
    # 30 min loaded at 60 kW, 20 min unloaded at 15 kW, 10 min half unloaded at 40 kW.
    loaded = np.repeat([1.0, 0.0, 0.5], [30, 20, 10])
    power = np.repeat([60.0, 15.0, 40.0], [30, 20, 10])

    found = all_figures(minutes(60, loaded_a=loaded, power_a=power))

    # (20 x 15 + 10 x 0.5 x 15) / 60 kWh, of (1800 + 300 + 400) / 60 kWh.
    assert found.idle_energy_kwh == pytest.approx(375.0 / 60.0)
    assert found.idle_share == pytest.approx(375.0 / 2500.0)


def test_idle_energy_of_a_machine_never_seen_unloaded_for_a_minute_takes_its_nameplate():
    found = all_figures(minutes(60, loaded_a=0.5, power_a=40.0))

    # Half of each minute at the nameplate's 12 kW.
    assert found.idle_energy_kwh == pytest.approx(6.0)


def test_time_below_the_minimum_counts_minutes_with_a_pressure():
    pressure = np.repeat([6.5, 5.9, np.nan], [40, 5, 15])

    found = all_figures(minutes(60, pressure=pressure))

    assert found.below_min_min == 5.0
    assert found.below_min_share == pytest.approx(5.0 / 45.0)
    assert found.pressure_coverage == 0.75


@pytest.mark.parametrize(
    ("running", "starts"),
    [
        ([0, 0, 0.5, 1, 1, 0.2, 0], 1),
        # Stopped after 24 s, started again 78 s later: a start that never shows a whole minute at rest.
        ([1, 0.4, 0.7, 1], 1),
        ([0, 1, 0, 1, 0, 1], 3),
        ([1, 1, 1], 0),
    ],
)
def test_a_share_of_running_that_begins_to_rise_is_a_start(running, starts):
    found = starts_by_minute(np.array(running, dtype=float)[:, None])

    assert np.nansum(found) == starts


def test_a_start_inside_a_gap_is_unknown_and_not_counted():
    found = starts_by_minute(np.array([0.0, np.nan, 1.0, 1.0])[:, None])

    assert np.isnan(found[:3, 0]).all()
    assert found[3, 0] == 0.0


def test_demand_at_rest_leaves_an_hour_on_both_sides_of_the_shift():
    # Monday: 2 m3/min until 05:00 and from 15:00, 20 between. Shift 06:00 to 14:00.
    demand = np.repeat([2.0, 20.0, 2.0], [300, 600, 540])

    found = all_figures(minutes(1440, demand=demand))

    assert found.rest is not None
    assert found.rest.demand_m3_min == found.rest.low_m3_min == found.rest.high_m3_min == 2.0
    # 00:00 to 05:00 and 15:00 to 24:00, apart from the minute on each edge.
    assert found.rest.hours == pytest.approx(14.0, abs=0.1)
    # The mean is (840 x 2 + 600 x 20) / 1440 = 9.5.
    assert found.rest.share_of_mean == pytest.approx(2.0 / 9.5)


def test_without_shift_hours_there_is_no_demand_at_rest():
    found = all_figures(minutes(1440), station(shift_hours=()))

    assert found.rest is None


def test_day_on_which_the_clock_changes_has_23_hours():
    # Berlin, 29 March 2026.
    from_at = datetime(2026, 3, 27, 23, tzinfo=UTC)

    days = periods(from_at, from_at + timedelta(days=3), "Europe/Berlin", "day")

    assert [(day.label, day.hours, day.whole) for day in days] == [
        ("2026-03-28", 24.0, True),
        ("2026-03-29", 23.0, True),
        ("2026-03-30", 24.0, True),
        ("2026-03-31", 1.0, False),
    ]


def test_weeks_begin_on_monday_and_a_cut_one_is_not_whole():
    weeks = periods(START + timedelta(days=2), START + timedelta(days=14), "UTC", "week")

    assert [(week.label, week.whole) for week in weeks] == [("2026-W10", False), ("2026-W11", True)]
