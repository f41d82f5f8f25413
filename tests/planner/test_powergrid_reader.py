"""PGLib-UC instances as station problems."""

from __future__ import annotations

import pytest

from agent.planner.solve import plan_station
from benchmarks.planner_powergrid import make_powergrid, powergrid_problem


def _unit(**changes):
    unit = {
        "must_run": 0,
        "time_up_minimum": 3,
        "time_down_minimum": 2,
        "unit_on_t0": 1,
        "time_up_t0": 5,
        "time_down_t0": 0,
        "startup": [{"lag": 1, "cost": 10.0}, {"lag": 8, "cost": 30.0}],
        "piecewise_production": [{"mw": 10.0, "cost": 200.0}, {"mw": 50.0, "cost": 1000.0}],
    }
    return unit | changes


def test_a_grid_of_one_unit_is_planned_at_its_production_cost() -> None:
    data = {
        "time_periods": 2,
        "demand": [40.0, 30.0],
        "reserves": [0.0, 0.0],
        "thermal_generators": {"G": _unit()},
        "renewable_generators": {"W": {"power_output_maximum": [10.0, 0.0]}},
    }

    plan = plan_station(powergrid_problem(data, name="one"))

    # 30 MW in both hours: 200 + 20 x 20 = 600 each.
    assert plan.total_eur == pytest.approx(1200.0)


def test_hours_become_minutes_and_must_run_a_window() -> None:
    data = {
        "time_periods": 2,
        "demand": [40.0, 30.0],
        "reserves": [0.0, 0.0],
        "thermal_generators": {"G": _unit(must_run=1)},
    }

    machine = powergrid_problem(data, name="one").machines[0]

    assert (machine.min_up_min, machine.min_down_min) == (180.0, 120.0)
    assert machine.state.in_state_min == 300.0
    assert machine.start_cost_eur == 30.0
    assert machine.forced_on == ((0, 2),)


def test_a_generated_grid_is_planned_without_shortage() -> None:
    plan = plan_station(powergrid_problem(make_powergrid(10, 1, hours=24), name="ten"))

    assert plan.cost.unserved_eur == pytest.approx(0.0, abs=1e-6)
    assert plan.shortages == ()
