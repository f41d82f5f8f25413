"""Reasons: what the planner says about its own plan."""

from __future__ import annotations

import pytest

from agent.planner.explain import (
    Cause,
    Margin,
    explain_steps,
    explain_switch,
    explain_switches,
    what_if,
)
from agent.planner.problem import DemandCharge, Window
from agent.planner.solve import plan_station
from tests.planner.stations import load_unload, station


def test_a_start_for_want_of_capacity_names_the_flow_and_what_the_others_reach() -> None:
    problem = station((load_unload("A", 10.0, running=True), load_unload("B", 8.0)), [9.0, 15.0])
    plan = plan_station(problem)

    reasons = explain_switches(problem, plan)

    assert [(r.machine_id, r.step, r.starts, r.cause) for r in reasons] == [("B", 1, True, Cause.CAPACITY)]
    assert reasons[0].text == "B starts at 01:00: 15.0 m3/min at 01:00, the others reach 10.0"


def test_windows_are_named_as_the_cause() -> None:
    machine = load_unload("A", 10.0, running=True, unavailable=(Window(1, 2),), forced_on=(Window(2, 3),))
    problem = station((machine,), [0.0, 0.0, 0.0], energy_price_eur_kwh=(-0.1, 0.1, 0.1))
    plan = plan_station(problem)

    causes = [(r.step, r.cause) for r in explain_switches(problem, plan)]

    assert causes == [(1, Cause.UNAVAILABLE), (2, Cause.FORCED)]


def test_the_marginal_machine_is_the_one_between_its_limits() -> None:
    problem = station((load_unload("A", 10.0, running=True),), [5.0, 12.0])
    plan = plan_station(problem)

    steps = explain_steps(problem, plan)

    # 4.5 kW per m3/min; 0.1 EUR/kWh: 0.45 EUR/h for 60 m3 = 0.0075 EUR/m3.
    assert (steps[0].margin, steps[0].machine_id) == (Margin.MACHINE, "A")
    assert steps[0].price_eur_m3 == pytest.approx(0.0075)
    assert steps[0].specific_kw_min_m3 == pytest.approx(4.5)
    assert steps[1].margin is Margin.SHORTAGE


def test_the_interval_that_sets_the_peak_is_named() -> None:
    problem = station(
        (load_unload("A", 10.0, running=True),),
        [5.0, 9.0],
        demand_charge=DemandCharge(price_eur_kw=1.0, peak_so_far_kw=10.0, interval_min=60.0),
    )
    plan = plan_station(problem)

    assert [reason.sets_peak for reason in explain_steps(problem, plan)] == [False, True]


def test_forcing_the_opposite_tells_its_price_and_who_steps_in() -> None:
    problem = station((load_unload("A", 10.0), load_unload("B", 10.0, start_cost_eur=1.5)), [8.0, 8.0])
    plan = plan_station(problem)

    start = explain_switches(problem, plan)[0]
    other = explain_switch(problem, plan, start)

    # A runs; without it B does the same for half a euro more.
    assert start.machine_id == "A"
    assert other.extra_eur == pytest.approx(0.5)
    assert other.instead == ("B",)
    assert other.text == ("A off from 00:00 to 02:00 would cost +0.50 EUR; B would change instead")


def test_running_a_machine_that_stands_costs_its_idle_power_and_start() -> None:
    kept = load_unload("A", 10.0, running=True, forced_on=(Window(0, 1),))
    problem = station((kept, load_unload("B", 10.0)), [8.0])
    plan = plan_station(problem)

    forced = what_if(problem, plan, machine_id="B", first_step=0, end_step=1, running=True)

    # Start 1 EUR, unloaded 15 kW x 1 h x 0.1 = 1.5 EUR.
    assert forced.extra_eur == pytest.approx(2.5)
