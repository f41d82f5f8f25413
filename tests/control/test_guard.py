"""What may never leave: the guard, case by case. By property: test_guard_properties.py."""

from agent.control.guard import START_GAP_S, guard
from agent.control.memory import Past, StationMemory
from agent.control.orders import STOP, Order
from agent.control.view import Fleet, StationView, fleet_of
from tests.control.plant import START, idle, loaded, silent, stopped, view

RUN = Order(run=True, load=True)


def memory_after(fleet: Fleet, *views: StationView) -> StationMemory:
    memory = StationMemory(fleet.count)
    for each in views:
        memory.observe(each)
    return memory


def test_stopped_machine_is_not_restarted_before_min_stop_time(fleet):
    running, now = view(0, 6.5, [loaded(), stopped(), stopped()]), view(30, 6.5, [stopped()] * 3)
    memory = memory_after(fleet, running, now)

    verdict = guard(fleet, now, memory, (RUN, STOP, STOP))

    assert verdict.orders[0] == STOP
    # Stopped at 30 s, minimum stop 60 s: free again at 90 s.
    assert verdict.refusals[0].rule == "minimum stop time 60 s"
    assert verdict.refusals[0].until.timestamp() == START.timestamp() + 90


def test_running_machine_is_not_stopped_before_min_run_time_but_unloads(fleet):
    before, now = view(0, 6.5, [stopped()] * 3), view(10, 6.5, [loaded(), stopped(), stopped()])
    memory = memory_after(fleet, before, now)

    verdict = guard(fleet, now, memory, (STOP, STOP, STOP))

    assert verdict.orders[0] == Order(run=True, load=False)
    assert verdict.refusals[0].wish == "stop"


def test_tripped_machine_may_be_stopped_at_once(fleet):
    before = view(0, 6.5, [stopped()] * 3)
    now = view(10, 6.5, [loaded(tripped=True), stopped(), stopped()])
    memory = memory_after(fleet, before, now)

    verdict = guard(fleet, now, memory, (STOP, STOP, STOP))

    assert verdict.orders[0] == STOP
    assert not verdict.refusals


def test_seventh_start_within_the_hour_is_refused_until_the_first_is_an_hour_old(fleet):
    steps, at_s = [view(0, 6.5, [stopped()] * 3)], 0
    for _ in range(6):
        steps.append(view(at_s + 200, 6.5, [loaded(), stopped(), stopped()]))
        steps.append(view(at_s + 400, 6.5, [stopped()] * 3))
        at_s += 400
    now = view(at_s + 200, 6.5, [stopped()] * 3)
    memory = memory_after(fleet, *steps, now)

    verdict = guard(fleet, now, memory, (RUN, STOP, STOP))

    assert verdict.orders[0] == STOP
    assert verdict.refusals[0].rule == "start limit 6 an hour"
    # The first of the six starts was seen at 200 s.
    assert verdict.refusals[0].until.timestamp() == START.timestamp() + 200 + 3600


def test_two_machines_are_never_started_in_the_same_tick(fleet):
    memory = memory_after(fleet, view(0, 6.5, [stopped()] * 3))
    now = view(500, 6.2, [stopped()] * 3)
    memory.observe(now)

    verdict = guard(fleet, now, memory, (RUN, RUN, RUN))

    assert [order.run for order in verdict.orders] == [True, False, False]
    assert {refusal.rule for refusal in verdict.refusals} == {
        f"another machine started less than {START_GAP_S:g} s ago"
    }


def test_operators_stop_beats_the_bands_wish_until_its_end(fleet):
    now = view(0, 6.0, [loaded(), stopped(), stopped()])
    memory = memory_after(fleet, now)
    memory.override(0, run=False, until_s=now.at_s + 600)
    times = (0, 44, 46, 599, 700)

    orders = []
    for at_s in times:
        later = view(at_s, 6.0, [loaded(), stopped(), stopped()])
        memory.observe(later)
        orders.append(guard(fleet, later, memory, (RUN, STOP, STOP)).orders[0])

    # It goes on delivering until another has started: 15 s, and 30 s for good measure.
    assert [order.run for order in orders] == [True, True, False, False, True]


def test_machine_that_delivers_nothing_is_stopped_at_the_operators_word(fleet):
    now = view(0, 6.0, [idle(), stopped(), stopped()])
    memory = memory_after(fleet, now)
    memory.override(0, run=False, until_s=now.at_s + 600)

    verdict = guard(fleet, now, memory, (RUN, STOP, STOP))

    assert verdict.orders[0] == STOP
    assert verdict.refusals[0].rule == "operator's override"


def test_start_that_a_slow_controller_does_not_show_yet_keeps_its_gap_to_the_next(fleet):
    now = view(0, 6.0, [stopped()] * 3)
    memory = memory_after(fleet, now)
    memory.sent(guard(fleet, now, memory, (RUN, STOP, STOP)).orders, now.at_s)
    soon, later = view(5, 6.0, [stopped()] * 3), view(13, 6.0, [stopped()] * 3)

    early = guard(fleet, soon, memory, (RUN, RUN, STOP)).orders
    late = guard(fleet, later, memory, (RUN, RUN, STOP)).orders
    memory.sent(late, later.at_s)
    after = guard(fleet, view(14, 6.0, [stopped()] * 3), memory, (RUN, RUN, RUN)).orders

    assert [order.run for order in early] == [True, False, False]
    assert [order.run for order in late] == [True, True, False]
    # The second start does not take back the first, which is still to be seen.
    assert [order.run for order in after] == [True, True, False]


def test_what_the_store_remembers_binds_a_new_process(fleet):
    now_s = START.timestamp()
    memory = StationMemory(fleet.count)
    six = tuple(now_s - 3000.0 + 400.0 * k for k in range(6))
    memory.recall(0, Past(running=False, since_s=now_s - 900.0, starts_s=six, hours_run_h=12.0))
    memory.recall(1, Past(running=False, since_s=now_s - 30.0, starts_s=(), hours_run_h=1.0))
    now = view(0, 6.0, [stopped()] * 3)
    memory.observe(now)

    verdict = guard(fleet, now, memory, (RUN, RUN, STOP))

    assert [refusal.rule for refusal in verdict.refusals] == [
        "start limit 6 an hour",
        "minimum stop time 60 s",
    ]


def test_machine_found_running_after_a_restart_counts_as_started_now(fleet):
    memory = StationMemory(fleet.count)
    now = view(0, 6.5, [loaded(), stopped(), stopped()])
    memory.recall(0, Past(running=False, since_s=now.at_s - 9000.0, starts_s=(), hours_run_h=0.0))
    memory.observe(now)

    verdict = guard(fleet, now, memory, (STOP, STOP, STOP))

    assert verdict.refusals[0].rule == "minimum run time 120 s"
    assert list(memory.machines[0].starts_s) == [now.at_s]


def test_share_that_is_no_number_becomes_the_least_that_the_machine_delivers(fleet):
    now = view(0, 6.5, [stopped(), stopped(), loaded(60, 0.5)])
    wish = Order(run=True, load=True, share=float("nan"))

    order = guard(fleet, now, memory_after(fleet, now), (STOP, STOP, wish)).orders[2]

    assert order.share == 0.2


def test_machine_that_does_not_unload_is_stopped_before_the_pressure_passes_the_highest(fleet):
    before, now = (
        view(0, 7.9, [loaded(), stopped(), stopped()]),
        view(30, 8.1, [loaded(), stopped(), stopped()]),
    )
    memory = memory_after(fleet, before, now)
    memory.machines[0].stuck_loaded = True

    verdict = guard(fleet, now, memory, (RUN, STOP, STOP))

    assert verdict.orders[0] == STOP


def test_locked_out_machine_is_stopped_and_never_started(station):
    machines = {**station.machines, "big": station.machines["big"].model_copy(update={"locked_out": True})}
    fleet = fleet_of(station.model_copy(update={"machines": machines}))
    now = view(0, 6.0, [stopped()] * 3)

    verdict = guard(fleet, now, memory_after(fleet, now), (RUN, STOP, STOP))

    assert verdict.orders[0] == STOP
    assert verdict.refusals[0].rule == "locked out for maintenance"


def test_silent_machine_gets_no_order_at_all(fleet):
    now = view(0, 6.5, [silent(), loaded(), stopped()])

    verdict = guard(fleet, now, memory_after(fleet, now), (RUN, RUN, STOP))

    assert verdict.orders[0] is None
    assert verdict.refusals[0].rule == "machine is silent"


def test_vsd_share_is_held_between_turndown_and_full(fleet):
    now = view(0, 6.5, [stopped(), stopped(), loaded(60, 0.5)])
    memory = memory_after(fleet, now)

    low = guard(fleet, now, memory, (STOP, STOP, Order(run=True, load=True, share=-0.4))).orders[2]
    high = guard(fleet, now, memory, (STOP, STOP, Order(run=True, load=True, share=1.7))).orders[2]

    # Turndown 3.2 of 16 m3/min is a share of 0.2.
    assert low.share == 0.2
    assert high.share == 1.0


def test_start_that_the_machine_would_refuse_is_not_ordered(fleet):
    now = view(0, 6.5, [stopped(ready=False), stopped(tripped=True), stopped()])

    verdict = guard(fleet, now, memory_after(fleet, now), (RUN, RUN, STOP))

    assert [refusal.rule for refusal in verdict.refusals] == [
        "not ready: in local mode, blocked or blowing down",
        "tripped",
    ]


def test_nothing_is_loaded_above_the_highest_pressure_not_even_by_an_operator(fleet):
    now = view(0, 8.01, [loaded(), idle(), stopped()])
    memory = memory_after(fleet, view(-900, 6.5, [loaded(), idle(), stopped()]), now)
    memory.override(1, run=True, until_s=now.at_s + 600)

    verdict = guard(fleet, now, memory, (RUN, RUN, RUN))

    # Running machines go on unloaded; the standing one is not started for air that nobody may store.
    assert [(order.run, order.load) for order in verdict.orders] == [
        (True, False),
        (True, False),
        (False, False),
    ]
    assert {refusal.rule for refusal in verdict.refusals} == {"pressure is above 8 bar"}


def test_daily_limit_ends_when_the_start_that_fills_it_is_a_day_old(station):
    machines = {
        **station.machines,
        "big": station.machines["big"].model_copy(update={"max_starts_per_day": 2}),
    }
    fleet = fleet_of(station.model_copy(update={"machines": machines}))
    steps = [view(0, 6.5, [stopped()] * 3)]
    for at_s in (4000, 8000, 12000):
        steps.append(view(at_s, 6.5, [loaded(), stopped(), stopped()]))
        steps.append(view(at_s + 2000, 6.5, [stopped()] * 3))
    now = view(20000, 6.5, [stopped()] * 3)
    memory = memory_after(fleet, *steps, now)

    verdict = guard(fleet, now, memory, (RUN, STOP, STOP))

    # Three starts by hand where two are allowed: the second of them, at 8000 s, must grow a day old.
    assert verdict.refusals[0].rule == "start limit 2 a day"
    assert verdict.refusals[0].until.timestamp() == START.timestamp() + 8000 + 86400
