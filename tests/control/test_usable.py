"""Which machines may run, must run and run: what is kept between ticks is what a fresh look would find."""

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.control.memory import StationMemory
from agent.control.usable import UsableWatch, usable
from tests.control.plant import START, idle, loaded, silent, stopped, view

SEEN = st.sampled_from([stopped(), stopped(ready=False), idle(), loaded(), loaded(tripped=True), silent()])
# A tick: how long after the last one, what the three machines say, and what an operator does to the first of them.
TICKS = st.lists(
    st.tuples(
        st.sampled_from([1.0, 5.0, 60.0, 299.0, 301.0, 1200.0]),
        st.one_of(st.none(), st.tuples(SEEN, SEEN, SEEN)),
        st.sampled_from(["", "", "", "run", "stop", "out", "in", "aside"]),
    ),
    max_size=40,
)


# The fleet is never changed, so one serves all examples.
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TICKS)
def test_what_is_kept_between_ticks_is_what_a_fresh_look_finds(fleet, ticks):
    memory = StationMemory(fleet.count)
    watch = UsableWatch(fleet, memory)
    at_s, machines = 0.0, (stopped(), stopped(), stopped())
    for span_s, said, done in ticks:
        at_s += span_s
        machines = said or machines
        now = view(at_s, 6.5, machines)
        memory.observe(now)
        if done in ("run", "stop"):
            memory.override(0, run=done == "run", until_s=now.at_s + 400.0)
        elif done in ("out", "in"):
            memory.lock_out(0, locked=done == "out")
        elif done == "aside":
            past = memory.machines[0]
            past.barred_until_s, past.stuck_unloaded = now.at_s + 300.0, True
        if done:
            watch.forget()

        assert watch.now(now)[:3] == usable(fleet, memory, now)[:3]


def test_machine_may_run_again_at_the_end_of_its_minimum_stop(fleet):
    memory = StationMemory(fleet.count)
    watch = UsableWatch(fleet, memory)
    rest_s = fleet.machines[0].min_stop_s
    found = []
    for at_s, first in (
        (0.0, loaded()),
        (10.0, stopped()),
        (10.0 + rest_s - 1.0, stopped()),
        (10.0 + rest_s, stopped()),
    ):
        now = view(at_s, 6.5, [first, stopped(), stopped()])
        memory.observe(now)
        found.append(watch.now(now).barred & 1)

    assert rest_s > 1.0
    assert found == [0, 1, 1, 0]
    assert watch.now(view(9e5, 6.5, [stopped()] * 3)).until_s > START.timestamp()
