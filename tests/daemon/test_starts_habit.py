"""The habit of starts: seen while the agent only watched, and remembered after these weeks are gone from the store."""

from datetime import timedelta

import pytest

from agent.control.hour_peak import HourWander
from agent.domain import Mode, Quality, Reading, Snapshot
from agent.store.tags import MODE_CODES
from tests.daemon.plant_rig import START, Rig

DAYS = 6


@pytest.fixture
def rig(tmp_path):
    made = Rig(tmp_path, 20.0)
    yield made
    made.kill()


def watched(rig: Rig, mode: Mode) -> None:
    """Six days before now on which c1 starts at six each day and runs for an hour, and 12 m3/min are taken."""
    runtime = rig.daemon.stations["air"]
    machines = runtime.station.machines
    for minute in range(DAYS * 1440):
        at = START - timedelta(days=DAYS) + timedelta(minutes=minute)
        values = {machine.tag("running"): 0.0 for machine in machines.values()}
        values[machines["c1"].tag("running")] = float(360 <= minute % 1440 < 420)
        values[runtime.mode_tag] = MODE_CODES[mode]
        values[runtime.demand_tag] = 12.0
        readings = {tag: Reading(value, Quality.GOOD, at) for tag, value in values.items()}
        rig.history.record(Snapshot(at, readings))
    rig.history.flush()


async def test_starts_of_the_old_control_are_the_budget_of_ours(rig):
    watched(rig, Mode.ADVISE)

    await rig.daemon.start()

    price = rig.daemon.stations["air"].control.start_price
    assert price.budget_per_day == pytest.approx(1.0, rel=0.01)
    assert price.habit.mean_demand_m3_min == pytest.approx(12.0)


async def test_weeks_under_our_own_control_are_no_habit(rig):
    watched(rig, Mode.CONTROL)

    await rig.daemon.start()

    assert rig.daemon.stations["air"].control.start_price.budget_per_day is None


async def test_habit_outlives_the_days_it_was_seen_on(rig):
    watched(rig, Mode.ADVISE)
    await rig.daemon.start()
    await rig.live(180)
    rig.kill()

    # What was seen before our control is forgotten, as after two months; what was made of it is not.
    rig.open()
    rig.history.purge(START + timedelta(days=60))
    await rig.daemon.start()

    assert rig.daemon.stations["air"].control.start_price.budget_per_day == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize(("mode", "starts"), [(Mode.CONTROL, 1), (Mode.ADVISE, 0)])
async def test_days_limit_counts_our_starts_and_not_those_of_the_control_before(rig, mode, starts):
    # A small machine that its own switch started a hundred times a day would be held while the plant starves.
    watched(rig, mode)

    await rig.daemon.start()

    memory = rig.daemon.stations["air"].control.memory.machines[0]
    assert len(memory.starts_s) == starts
    assert memory.hours_run_h == pytest.approx(DAYS, rel=0.01)


async def test_how_far_an_hour_passes_what_was_expected_outlives_a_restart(rig):
    await rig.daemon.start()
    peak = rig.daemon.stations["air"].control.hour_peak
    assert peak.learned is None
    peak.recall(HourWander(0.07, 0.06, 300.0))
    await rig.live(180)
    rig.kill()

    rig.open()
    await rig.daemon.start()

    learned = rig.daemon.stations["air"].control.hour_peak.learned
    assert learned == pytest.approx((0.07, 0.06, 300.0), rel=0.01)
