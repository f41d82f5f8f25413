"""What may never leave: the guard, by hand and by property."""

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.site import Machine, Station
from agent.control.guard import START_GAP_S, guard
from agent.control.memory import StationMemory
from agent.control.orders import STOP, Order
from agent.control.view import Fleet, MachineView, StationView, fleet_of
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
    later = view(700, 6.0, [loaded(), stopped(), stopped()])

    during = guard(fleet, now, memory, (RUN, STOP, STOP)).orders[0]
    memory.observe(later)
    after = guard(fleet, later, memory, (RUN, STOP, STOP)).orders[0]

    assert not during.run
    assert after == RUN


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


def _machines() -> st.SearchStrategy[MachineView]:
    return st.one_of(
        st.just(silent()),
        st.builds(stopped, ready=st.sampled_from([True, False, None]), tripped=st.booleans()),
        st.builds(loaded, share=st.floats(0, 1), tripped=st.booleans()),
        st.builds(idle),
    )


def _orders() -> st.SearchStrategy[Order]:
    share = st.one_of(st.none(), st.floats(-1e6, 1e6), st.just(float("inf")))
    return st.builds(Order, run=st.booleans(), load=st.booleans(), share=share)


@settings(max_examples=300)
@given(
    life=st.lists(
        st.tuples(
            st.floats(1, 900),
            st.floats(5.0, 9.0),
            st.tuples(_machines(), _machines(), _machines()),
            st.tuples(*[_orders()] * 3),
        ),
        min_size=1,
        max_size=40,
    ),
    overrides=st.lists(
        st.tuples(st.integers(0, 2), st.sampled_from([True, False]), st.floats(0, 5000)), max_size=3
    ),
)
def test_no_life_makes_the_guard_break_a_limit(life, overrides):
    fleet = fleet_of(_station())
    memory = StationMemory(3)
    at_s = 0.0
    for index, run, until_s in overrides:
        memory.override(index, run=run, until_s=START.timestamp() + until_s)
    last_start_s = float("-inf")
    for pause_s, pressure, machines, wishes in life:
        at_s += pause_s
        now = view(at_s, pressure, machines)
        memory.observe(now)

        verdict = guard(fleet, now, memory, wishes)

        starts = 0
        for index, (order, seen) in enumerate(zip(verdict.orders, machines, strict=True)):
            machine, past = fleet.machines[index], memory.machines[index]
            if seen.running is None:
                assert order is None
                continue
            assert not (order.load and pressure > fleet.station.pressure_max_bar_g)
            if order.share is not None:
                assert fleet.least_flow[index] / fleet.full_flow[index] <= order.share <= 1.0
            if order.run and not past.running:
                starts += 1
                assert not seen.tripped
                assert seen.ready is not False
                assert now.at_s >= past.since_s + machine.min_stop_s
                assert past.starts_within(now.at_s, 3600) < machine.max_starts_per_hour
                assert now.at_s >= memory.last_start_s + START_GAP_S
            if not order.run and past.running and not seen.tripped:
                assert now.at_s >= past.since_s + machine.min_run_s
            if now.at_s < past.override_until_s and past.override_run is False and not past.running:
                assert not order.run
        assert starts <= 1
        last_start_s = max(last_start_s, memory.last_start_s)


def _station() -> Station:
    def machine(device: str) -> Machine:
        return Machine(device=device, full_flow_m3_min=10, full_power_kw=60, unloaded_power_kw=12)

    vsd = Machine(
        device="c",
        control="vsd",
        full_flow_m3_min=16,
        full_power_kw=100,
        unloaded_power_kw=10,
        turndown_flow_m3_min=4,
        turndown_power_kw=30,
    )
    return Station(
        pressure="h.p",
        pressure_min_bar_g=6,
        pressure_max_bar_g=8,
        receiver_m3=10,
        machines={"a": machine("a"), "b": machine("b"), "c": vsd},
    )
