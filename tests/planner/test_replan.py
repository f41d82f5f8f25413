"""When a new plan is wanted, and what it may not change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.planner.problem import Window
from agent.planner.replan import ReplanCause, Sight, Watch, frozen, look, widened
from agent.planner.solve import plan_station
from tests.planner.stations import load_unload, station


def _sight(at_s: float, **changes: Any) -> Sight:
    sight = Sight(
        at_s=at_s,
        demand_m3_min=10.0,
        demand_low_m3_min=8.0,
        demand_high_m3_min=12.0,
        pressure_bar=7.0,
        pressure_min_bar=6.5,
        available=frozenset({"A", "B"}),
    )
    return replace(sight, **changes)


def _causes(*sights: Sight) -> list[ReplanCause | None]:
    """Causes at each sight, after a first plan at 0 s."""
    watch, cause = look(Watch(), _sight(0.0), period_s=300.0)
    assert cause is ReplanCause.FIRST
    found: list[ReplanCause | None] = []
    for sight in sights:
        watch, cause = look(watch, sight, period_s=300.0)
        found.append(cause)
    return found


def test_nothing_happens_while_all_is_as_planned() -> None:
    assert _causes(_sight(60.0), _sight(120.0), _sight(299.0)) == [None, None, None]


def test_a_plan_is_due_after_its_period() -> None:
    assert _causes(_sight(300.0)) == [ReplanCause.DUE]


def test_one_look_outside_the_band_is_noise_and_two_are_an_event() -> None:
    high = {"demand_m3_min": 13.0}

    assert _causes(_sight(60.0, **high), _sight(61.0), _sight(62.0, **high)) == [None, None, None]
    assert _causes(_sight(60.0, **high), _sight(61.0, **high)) == [None, ReplanCause.DEMAND]


def test_unknown_demand_and_pressure_cause_no_plan() -> None:
    blind = {"demand_m3_min": None, "pressure_bar": None}

    assert _causes(_sight(60.0, **blind), _sight(61.0, **blind), _sight(120.0, **blind)) == [None] * 3


def test_low_pressure_counts_after_half_a_minute() -> None:
    low = {"pressure_bar": 6.4}

    assert _causes(_sight(60.0, **low), _sight(90.0, **low), _sight(91.0, **low)) == [
        None,
        None,
        ReplanCause.PRESSURE,
    ]


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        ({"available": frozenset({"A"})}, ReplanCause.MACHINE),
        ({"overrides": frozenset({"B off"})}, ReplanCause.OVERRIDE),
        ({"price_id": "new"}, ReplanCause.PRICE),
        ({"site_limit_kw": 200.0}, ReplanCause.LIMIT),
    ],
)
def test_a_change_of_the_world_causes_a_plan(change: dict[str, Any], cause: ReplanCause) -> None:
    assert _causes(_sight(60.0, **change), _sight(61.0, **change)) == [cause, None]


def test_an_event_right_after_a_plan_waits_for_the_pause_and_is_not_forgotten() -> None:
    lost = {"available": frozenset({"A"})}

    causes = _causes(_sight(10.0, **lost), _sight(20.0, **lost), _sight(30.0, **lost))

    assert causes == [None, None, ReplanCause.MACHINE]


def test_the_band_of_an_old_forecast_is_wider() -> None:
    assert widened(8.0, 10.0, 13.0, age_h=0.0) == (8.0, 13.0)
    # 3 h: 1.5 times as wide on both sides.
    assert widened(8.0, 10.0, 13.0, age_h=3.0) == (7.0, 14.5)
    assert widened(1.0, 10.0, 13.0, age_h=6.0) == (0.0, 16.0)


def test_frozen_steps_are_those_of_the_plan_in_force() -> None:
    problem = station((load_unload("A", 10.0), load_unload("B", 10.0, start_cost_eur=5.0)), [8.0] * 3)
    swapped = replace(plan_station(problem), on={"A": (False,) * 3, "B": (True,) * 3})

    free = plan_station(problem)
    kept = plan_station(frozen(problem, swapped, steps=1))

    assert free.on["A"] == (True, True, True)
    assert (kept.on["A"][0], kept.on["B"][0]) == (False, True)


def test_the_machine_an_event_is_about_is_not_frozen() -> None:
    blocked = load_unload("B", 10.0, unavailable=(Window(0, 2),))
    problem = station((load_unload("A", 10.0), blocked), [8.0] * 3)
    plan = replace(plan_station(problem), on={"A": (False,) * 3, "B": (True,) * 3})

    kept = frozen(problem, plan, steps=1, spare=frozenset({"A"}))

    assert kept == problem
