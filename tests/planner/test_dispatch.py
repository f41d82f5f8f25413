"""Dispatch: hand-worked flows and prices, and both solvers' bodies held to one objective."""

from __future__ import annotations

import numpy as np
import pytest

from agent.planner.commit import greedy
from agent.planner.dispatch import Dispatch
from agent.planner.evaluate import evaluate
from agent.planner.problem import CurvePoint, DemandCharge, MachineState, PlanMachine, Receiver
from agent.planner.stage import flat_path
from agent.planner.tables import compile_tables
from tests.planner.stations import load_unload, problem_of, random_case, station


def _on(rows: list[list[int]]) -> np.ndarray:
    return np.array(rows, dtype=bool)


@pytest.mark.parametrize("seed", range(15))
def test_scipy_and_highspy_find_the_same_objective(seed: int) -> None:
    pytest.importorskip("highspy", reason="the extra 'fast' is not installed")
    tables = compile_tables(problem_of(random_case(seed, machines=4, steps=30, odd=seed % 2 == 0)))
    fast, plain = Dispatch(tables), Dispatch(tables, prefer_highspy=False)
    first = greedy(tables, flat_path(tables)[0])
    second = first.copy()
    second[10:20] = True
    second &= ~tables.must_off

    for on in (first, second, first):
        ours, theirs = fast.solve(on), plain.solve(on)
        assert ours is not None
        assert theirs is not None
        assert ours.cost_eur == pytest.approx(theirs.cost_eur, rel=1e-8, abs=1e-6)


def test_the_two_bodies_are_really_different_solvers() -> None:
    pytest.importorskip("highspy", reason="the extra 'fast' is not installed")
    tables = compile_tables(station((load_unload("A", 10.0),), [5.0]))

    assert type(Dispatch(tables).body).__name__ == "HighspyBody"
    assert type(Dispatch(tables, prefer_highspy=False).body).__name__ == "ScipyBody"


@pytest.mark.parametrize("prefer_highspy", [True, False])
def test_the_cheaper_slope_is_filled_first_and_sets_no_price(prefer_highspy: bool) -> None:
    cheap = PlanMachine(
        machine_id="cheap",
        curve=(CurvePoint(2.0, 20.0), CurvePoint(10.0, 52.0)),
        state=MachineState(running=True),
    )
    dear = PlanMachine(
        machine_id="dear",
        curve=(CurvePoint(0.0, 10.0), CurvePoint(10.0, 70.0)),
        state=MachineState(running=True),
    )
    tables = compile_tables(station((cheap, dear), [13.0]))

    answer = Dispatch(tables, prefer_highspy=prefer_highspy).solve(_on([[1, 1]]))

    # Cheap to its 10 (52 kW), dear 3 (10 + 18 = 28 kW): 80 kW for 1 h at 0.1 = 8 EUR.
    # One m3/min more is 6 kW = 0.6 EUR/h, so a cubic metre (1/60 of it) costs 0.01 EUR.
    assert answer is not None
    assert answer.flow[0] == pytest.approx([10.0, 3.0])
    assert answer.cost_eur == pytest.approx(8.0)
    assert answer.price_eur_m3[0] == pytest.approx(0.01)


def test_air_that_no_machine_delivers_is_priced_as_missing() -> None:
    tables = compile_tables(station((load_unload("A", 10.0, running=True),), [12.0]))

    answer = Dispatch(tables).solve(_on([[1]]))

    # 60 kW x 0.1 = 6 EUR, and 2 m3/min x 60 min x 3 EUR = 360 EUR.
    assert answer is not None
    assert answer.cost_eur == pytest.approx(366.0)
    assert answer.price_eur_m3[0] == pytest.approx(3.0)


def test_the_receiver_carries_a_peak_that_one_machine_cannot_follow() -> None:
    # Band 1 bar, volume 101.3 m3, 1.013 bar: holds 100 m3 = 5 m3/min over 20 min.
    problem = station(
        (load_unload("A", 10.0, running=True),),
        [5.0, 15.0],
        step_min=(20.0, 20.0),
        receiver=Receiver(
            volume_m3=101.3,
            pressure_ref_bar=7.0,
            pressure_min_bar=7.0,
            pressure_max_bar=8.0,
            pressure_init_bar=7.0,
            pressure_end_min_bar=7.0,
        ),
    )
    tables = compile_tables(problem)

    answer = Dispatch(tables).solve(_on([[1], [1]]))

    assert answer is not None
    assert answer.flow[:, 0] == pytest.approx([10.0, 10.0])
    assert answer.pressure == pytest.approx([8.0, 7.0])


def test_a_demand_charge_counts_what_exceeds_the_peak_already_paid() -> None:
    problem = station(
        (load_unload("A", 10.0, running=True),),
        [10.0],
        other_load_kw=(30.0,),
        demand_charge=DemandCharge(price_eur_kw=2.0, peak_so_far_kw=80.0, interval_min=60.0),
    )
    tables = compile_tables(problem)
    on = _on([[1]])

    answer = Dispatch(tables).solve(on)

    # 60 + 30 = 90 kW: 10 kW above 80 at 2 EUR = 20; energy 6 EUR.
    assert answer is not None
    assert answer.cost_eur == pytest.approx(26.0)
    assert evaluate(tables, on, answer.flow).cost.demand_charge_eur == pytest.approx(20.0)
    assert evaluate(tables, on, answer.flow).peak_kw == pytest.approx(90.0)


@pytest.mark.parametrize("start_bar", [5.0, 9.5])
def test_a_start_outside_the_band_is_accepted_and_led_back(start_bar: float) -> None:
    problem = station(
        (load_unload("A", 10.0, running=True),),
        [5.0] * 4,
        step_min=(5.0,) * 4,
        receiver=Receiver(
            volume_m3=5.0,
            pressure_ref_bar=7.0,
            pressure_min_bar=6.5,
            pressure_max_bar=7.5,
            pressure_init_bar=start_bar,
            pressure_end_min_bar=7.0,
        ),
    )
    tables = compile_tables(problem)

    answer = Dispatch(tables).solve(_on([[1]] * 4))

    assert answer is not None
    assert np.all((answer.pressure[2:] >= 6.5 - 1e-9) & (answer.pressure[2:] <= 7.5 + 1e-9))


def test_a_curve_that_is_not_convex_is_dispatched_on_its_hull_and_charged_for_real() -> None:
    # Hull from (0, 10) to (10, 50): 4 kW per m3/min. The real curve bulges to 40 kW at 5.
    bulging = PlanMachine(
        machine_id="A",
        curve=(CurvePoint(0.0, 10.0), CurvePoint(5.0, 40.0), CurvePoint(10.0, 50.0)),
        state=MachineState(running=True),
    )
    tables = compile_tables(station((bulging,), [5.0]))
    on = _on([[1]])

    answer = Dispatch(tables).solve(on)

    assert answer is not None
    assert not tables.convex
    assert answer.cost_eur == pytest.approx(3.0)
    assert evaluate(tables, on, answer.flow).cost.energy_eur == pytest.approx(4.0)
