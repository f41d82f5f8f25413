"""What is remembered of the machines: by what they say, never by what was ordered."""

import pytest

from agent.control.memory import StationMemory
from tests.control.plant import START, idle, loaded, silent, stopped, view


def remember(*ticks) -> StationMemory:
    memory = StationMemory(1)
    for at_s, machine in ticks:
        memory.observe(view(at_s, 6.5, [machine]))
    return memory


def test_machine_that_runs_when_the_agent_wakes_was_not_started_by_it():
    past = remember((0, loaded())).machines[0]

    assert past.running
    assert not past.starts_s
    # Since when is unknown: for ever, so that no minimum time holds it.
    assert past.since_s == float("-inf")


def test_start_is_counted_when_the_motor_is_seen_to_turn():
    memory = remember((0, stopped()), (10, stopped(running=True)), (20, loaded()))

    assert list(memory.machines[0].starts_s) == [START.timestamp() + 10]
    assert memory.last_start_s == START.timestamp() + 10


def test_silence_is_neither_a_stop_nor_a_start():
    past = remember((0, loaded()), (10, silent()), (20, loaded())).machines[0]

    assert past.running
    assert not past.starts_s
    assert past.since_s == float("-inf")


@pytest.mark.parametrize(("after_s", "count"), [(3599, 1), (3600, 0)])
def test_start_counts_for_an_hour(after_s, count):
    past = remember((0, stopped()), (10, loaded())).machines[0]

    assert past.starts_within(START.timestamp() + 10 + after_s, 3600.0) == count


def test_starts_older_than_a_day_count_for_nothing_and_are_forgotten_with_the_next_one():
    memory = remember((0, stopped()), (10, loaded()), (100, stopped()), (86411, stopped()))
    past = memory.machines[0]
    late = past.starts_within(START.timestamp() + 86411, 86400.0)
    memory.observe(view(86500, 6.5, [loaded()]))

    assert late == 0
    assert list(past.starts_s) == [START.timestamp() + 86500]


def test_unloaded_time_begins_with_unloading_and_ends_with_loading_or_stopping():
    memory = remember((0, loaded()), (10, idle()), (20, idle()))
    begun_s = memory.machines[0].unloaded_since_s
    memory.observe(view(30, 6.5, [loaded()]))

    assert begun_s == START.timestamp() + 10
    assert memory.machines[0].unloaded_since_s == float("inf")
