"""Release steps and the rules of time."""

from __future__ import annotations

import numpy as np

from agent.planner.problem import MachineState, PlanMachine, Window
from agent.planner.tables import compile_tables
from agent.planner.timing import TimeFault, first_fault
from tests.planner.stations import load_unload, station


def _fault(machine: PlanMachine, on: list[int], *, step_min: float = 15.0) -> TimeFault | None:
    problem = station((machine,), [1.0] * len(on), step_min=(step_min,) * len(on))
    tables = compile_tables(problem)
    return first_fault(
        machine,
        tables.start_min,
        np.array(on, dtype=bool),
        must_on=tables.must_on[:, 0],
        must_off=tables.must_off[:, 0],
    )


def test_a_run_shorter_than_the_minimum_is_named_with_its_step() -> None:
    machine = load_unload("A", 10.0, min_up_min=45.0)

    fault = _fault(machine, [0, 1, 1, 0, 0])

    # On at 15 min, off at 45 min: 30 of 45 min.
    assert fault == TimeFault("min_up", 3, 15.0)


def test_a_stop_into_unavailability_may_cut_the_minimum_run() -> None:
    machine = load_unload("A", 10.0, min_up_min=45.0, unavailable=(Window(3, 5),))

    assert _fault(machine, [0, 1, 1, 0, 0]) is None


def test_stopped_machine_is_not_restarted_before_min_stop_time() -> None:
    machine = load_unload("A", 10.0, running=True, min_down_min=20.0)

    fault = _fault(machine, [0, 1, 1])

    assert fault == TimeFault("min_down", 1, 5.0)


def test_a_forced_start_does_not_excuse_a_stop_that_was_a_choice() -> None:
    machine = load_unload("A", 10.0, running=True, min_down_min=20.0, forced_on=(Window(1, 3),))

    assert _fault(machine, [0, 1, 1]) == TimeFault("min_down", 1, 5.0)
    assert compile_tables(station((machine,), [0.0] * 3, step_min=(15.0,) * 3)).unavoidable == (0,)


def test_windows_that_cannot_be_kept_are_counted_as_contradictions() -> None:
    out_of_order = {"unavailable": (Window(1, 2),), "forced_on": (Window(0, 1), Window(2, 3))}
    machine = load_unload("A", 10.0, running=True, min_down_min=20.0, **out_of_order)

    # Forced to run, then unavailable for 15 min, then forced again: 5 min short of the stop.
    assert compile_tables(station((machine,), [0.0] * 3, step_min=(15.0,) * 3)).unavoidable == (1,)


def test_starts_before_the_plan_count_for_the_hour() -> None:
    history = MachineState(running=False, in_state_min=10.0, starts_ago_min=(20.0, 50.0))
    machine = PlanMachine(
        machine_id="A",
        curve=load_unload("A", 10.0).curve,
        state=history,
        max_starts_per_hour=2,
    )

    # At 0 min both old starts count (20, 50 min ago); at 15 min the older is 65 min ago.
    assert _fault(machine, [1, 1, 1]) == TimeFault("starts_per_hour", 0, 1.0)
    assert _fault(machine, [0, 1, 1]) is None


def test_a_standing_machine_cannot_deliver_before_its_lead_time() -> None:
    machine = load_unload("A", 10.0, lead_time_min=20.0)

    assert _fault(machine, [0, 1, 1]) == TimeFault("min_down", 1, 5.0)
    assert _fault(machine, [0, 0, 1]) is None


def test_release_steps_follow_the_lengths_of_a_mixed_grid() -> None:
    machine = load_unload("A", 10.0, min_up_min=16.0)
    problem = station((machine,), [1.0] * 6, step_min=(1.0, 1.0, 15.0, 15.0, 15.0, 15.0))

    times = compile_tables(problem).relaxed[0]

    # Steps begin at 0, 1, 2, 17, 32, 47 min; started at 0 it is held to 16 -> step 3, at 1 to 17
    # -> step 3, at 2 to 18 -> step 4, then two steps each, up to the end of the plan (6).
    assert times.on_release == (3, 3, 4, 5, 6, 6)


def test_the_state_at_the_start_holds_until_its_minimum_is_over() -> None:
    machine = PlanMachine(
        machine_id="A",
        curve=load_unload("A", 10.0).curve,
        state=MachineState(running=True, in_state_min=10.0),
        min_up_min=40.0,
    )
    problem = station((machine,), [0.0] * 4, step_min=(15.0,) * 4)

    times = compile_tables(problem).relaxed[0]

    # 30 min are left: free at step 2, which begins at 30 min.
    assert times.initial_release == 2


def test_the_strict_rule_keeps_starts_apart_and_leaves_room_for_old_ones() -> None:
    machine = PlanMachine(
        machine_id="A",
        curve=load_unload("A", 10.0).curve,
        state=MachineState(running=False, in_state_min=30.0, starts_ago_min=(35.0,)),
        max_starts_per_hour=2,
    )
    problem = station((machine,), [1.0] * 6, step_min=(10.0,) * 6)

    strict = compile_tables(problem).rules[0].strict

    # One old start until 25 min leaves one; a cycle of 30 min allows one planned start in 0..29.
    assert strict.may_start == (True,) * 6
    # Off at step 0 holds for 30 min = 3 steps.
    assert strict.off_release[0] == 3
