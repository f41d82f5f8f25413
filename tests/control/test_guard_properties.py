"""What may never leave, whatever is seen, planned, remembered and wished: lives that Hypothesis draws."""

from collections.abc import Sequence
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from agent.config.site import Machine, Station
from agent.control.guard import START_GAP_S, guard, hand_over_s
from agent.control.memory import DAY_S, HOUR_S, Past, StationMemory
from agent.control.orders import Order
from agent.control.station import StationControl
from agent.control.view import Fleet, MachineView, StationView, fleet_of
from agent.domain import Plan, PlanStatus, PlanStep
from tests.control.plant import START, idle, loaded, silent, snapshot, stopped, view

NOW_S = START.timestamp()
COUNT = 3


class Witness:
    """Judges each tick's orders by what was seen before them, with a memory of its own for what was ordered."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.ordered_at: dict[int, float] = {}

    def judge(self, now: StationView, memory: StationMemory, orders: Sequence[Order | None]) -> None:
        fleet, now_s, begun = self.fleet, now.at_s, []
        for index, (order, seen) in enumerate(zip(orders, now.machines, strict=True)):
            machine, past = fleet.machines[index], memory.machines[index]
            if seen.running is None:
                assert order is None
                continue
            assert order is not None
            self.judge_values(index, order, now)
            taken_out = past.locked_out or past.overridden(now_s) is False
            leaving = seen.loaded and now_s < past.taken_out_s + hand_over_s(fleet)
            if machine.locked_out or past.locked_out:
                assert not order.run or (leaving and past.running)
                continue
            if order.run and not past.running:
                begun.append(index)
                assert not seen.tripped
                assert seen.ready is not False
                assert not taken_out
                assert now_s >= past.barred_until_s
                assert now_s >= past.since_s + machine.min_stop_s
                assert past.starts_within(now_s, HOUR_S) < machine.max_starts_per_hour
                assert past.starts_within(now_s, DAY_S) < machine.max_starts_per_day
                assert now_s >= memory.last_start_s + START_GAP_S
            elif order.run and taken_out:
                # The motor's minimum time, unloaded; or the time that the others have to take over.
                assert leaving or (not order.load and now_s < past.since_s + machine.min_run_s)
            if not order.run and past.running:
                worse = seen.tripped or (past.stuck_loaded and seen.loaded)
                assert worse or now_s >= past.since_s + machine.min_run_s
                assert past.overridden(now_s) is not True or worse
        self.judge_starts(begun, now_s)

    def judge_values(self, index: int, order: Order, now: StationView) -> None:
        fleet, pressure = self.fleet, now.pressure_bar_g
        assert pressure is None or not (order.load and pressure > fleet.station.pressure_max_bar_g)
        assert order.run or not order.load
        assert (order.share is not None) == (fleet.is_vsd[index] and order.run)
        if order.share is not None:
            assert fleet.least_flow[index] / fleet.full_flow[index] <= order.share <= 1.0

    def judge_starts(self, begun: list[int], now_s: float) -> None:
        """Of all starts that are ordered and not yet seen, no two were first ordered within the gap."""
        self.ordered_at = {i: self.ordered_at.get(i, now_s) for i in begun}
        times = sorted(self.ordered_at.values())
        assert all(later - sooner >= START_GAP_S for sooner, later in zip(times, times[1:], strict=False))


def machines() -> st.SearchStrategy[tuple[MachineView, ...]]:
    one = st.one_of(
        st.just(silent()),
        st.builds(
            stopped, ready=st.sampled_from([True, False, None]), tripped=st.sampled_from([True, False, None])
        ),
        st.builds(loaded, share=st.one_of(st.none(), st.floats(0, 1)), tripped=st.booleans()),
        st.builds(idle),
    )
    return st.tuples(*[one] * COUNT)


def wishes() -> st.SearchStrategy[tuple[Order, ...]]:
    share = st.one_of(st.none(), st.floats(allow_nan=True, allow_infinity=True))
    return st.tuples(*[st.builds(Order, run=st.booleans(), load=st.booleans(), share=share)] * COUNT)


def memories() -> st.SearchStrategy[list[tuple[int, str, float]]]:
    """What happened to the machines before and happens by hand: (machine, what, seconds from now)."""
    what = st.sampled_from(["run", "stop", "free", "lockout", "unlock", "barred", "stuck", "recall"])
    return st.lists(st.tuples(st.integers(0, COUNT - 1), what, st.floats(0, 6000)), max_size=4)


def remember(memory: StationMemory, happened: list[tuple[int, str, float]], now_s: float) -> None:
    for index, what, span_s in happened:
        past = memory.machines[index]
        if what in ("run", "stop", "free"):
            memory.override(
                index, run={"run": True, "stop": False, "free": None}[what], until_s=now_s + span_s
            )
        elif what in ("lockout", "unlock"):
            memory.lock_out(index, locked=what == "lockout")
        elif what == "barred":
            # What it did before is forgotten: being set aside is all that keeps it.
            past.barred_until_s, past.barred_why, past.since_s = now_s + span_s, "drawn", float("-inf")
            past.starts_s.clear()
        elif what == "stuck":
            past.stuck_loaded = True
        else:
            starts = tuple(now_s - span_s * k / 6.0 for k in range(6))
            memory.recall(
                index,
                Past(running=span_s > 3000.0, since_s=now_s - span_s, starts_s=starts, hours_run_h=span_s),
            )


@settings(max_examples=120, deadline=None)
@given(
    life=st.lists(
        st.tuples(st.floats(1, 900), st.floats(5.0, 9.0), machines(), wishes(), memories()), max_size=25
    ),
    before=memories(),
)
def test_no_wish_makes_the_guard_break_a_limit(life, before):
    fleet = fleet_of(_station())
    memory, witness = StationMemory(COUNT), Witness(fleet)
    remember(memory, before, NOW_S)
    at_s = 0.0
    for pause_s, pressure, seen, wanted, happened in life:
        at_s += pause_s
        now = view(at_s, pressure, seen)
        memory.observe(now)
        remember(memory, happened, now.at_s)

        verdict = guard(fleet, now, memory, wanted)

        witness.judge(now, memory, verdict.orders)
        memory.sent(verdict.orders, now.at_s)


def plans() -> st.SearchStrategy[Plan | None]:
    running = st.lists(st.sampled_from(["a", "b", "c", "nobody"]), max_size=4).map(frozenset)
    step = st.tuples(st.floats(-7200, 7200), st.floats(0, 7200), running)

    def plan(steps: list[tuple[float, float, frozenset[str]]], valid_s: float) -> Plan:
        return Plan(
            "drawn",
            "air",
            START,
            START + timedelta(seconds=valid_s),
            PlanStatus.GREEDY,
            tuple(PlanStep(START + timedelta(seconds=s), length, who, {}, 0.0) for s, length, who in steps),
        )

    return st.one_of(st.none(), st.builds(plan, st.lists(step, max_size=4), st.floats(-3600, 7200)))


@settings(max_examples=80, deadline=None)
@given(
    life=st.lists(
        st.tuples(
            # A tick, a pause, and a clock that is set back or forward.
            st.one_of(st.floats(1, 10), st.floats(10, 900), st.floats(-7200, 7200)),
            st.one_of(st.none(), st.floats(-1.0, 20.0), st.just(float("nan"))),
            machines(),
            memories(),
        ),
        max_size=25,
    ),
    before=memories(),
    plan=plans(),
)
def test_no_snapshot_plan_and_memory_make_the_station_break_a_limit(life, before, plan):
    control = StationControl(_station())
    witness = Witness(control.fleet)
    remember(control.memory, before, NOW_S)
    at_s = 0.0
    for pause_s, pressure, seen, happened in life:
        at_s += pause_s
        remember(control.memory, happened, NOW_S + at_s + control.time.offset_s)

        result = control.tick(snapshot(control.fleet.station, at_s, pressure, seen), plan)

        if result.orders is not None:
            witness.judge(result.view, control.memory, result.orders)
        else:
            witness.ordered_at = {}


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
        mode="control",
        pressure="h.p",
        pressure_min_bar_g=6,
        pressure_max_bar_g=8,
        receiver_m3=10,
        machines={"a": machine("a"), "b": machine("b"), "c": vsd},
    )
