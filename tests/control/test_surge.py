"""A sudden rise: how steep it may be, and the pressure that outlasts it."""

import pytest

from agent.control.surge import Surge
from tests.twin.test_closed_loop import SITE, START, timedelta
from twin.demand import DemandSeries
from twin.simulate import Scene, run_agent


def settled(surge: Surge, room: float, start_s: float | None) -> float:
    for _ in range(600):
        surge.lift(room, start_s, 10.0, 1.0)
    return surge.lift_bar


def test_band_is_lifted_by_what_the_steepest_rise_would_take_beyond_the_borne_dip():
    # 15 % of 60 = 9 m3/min, 4 of room: 5 lack for 26 s of start, 6 to notice and a tick of 1 s. 5 x 33 / 60
    # = 2.75 m3 from 10 m3/bar are 0.275 bar, of which 0.15 may lie below the minimum.
    assert settled(Surge(60.0), 4.0, 26.0) == pytest.approx(0.125, abs=0.001)


def test_room_for_the_rise_or_no_machine_to_wait_for_lifts_nothing():
    assert settled(Surge(60.0), 9.0, 26.0) == 0.0
    assert settled(Surge(60.0), 0.0, None) == 0.0


def test_steeper_rise_is_remembered_and_half_forgotten_after_two_weeks():
    surge = Surge(60.0)
    for second in range(60):
        surge.see(second, 20.0, 1.0)
    for second in range(60, 70):
        surge.see(second, 34.0, 1.0)
    steep = surge.rise_m3_min
    for day in range(14):
        surge.see(1000.0 + 86400.0 * day, 34.0, 86400.0)

    assert steep == pytest.approx(14.0, rel=0.01)
    assert surge.rise_m3_min == pytest.approx(7.0, rel=0.01)


@pytest.mark.parametrize("steady", [14.0, 24.0, 30.0])
def test_sudden_rise_of_a_seventh_of_all_machines_stays_within_the_accepted_dip(steady):
    # 8.8 m3/min more at once, on a station with slow starts and half the volume.
    old = SITE.stations["air"]
    machines = {name: m.model_copy(update={"start_s": 26.0}) for name, m in old.machines.items()}
    station = old.model_copy(update={"receiver_m3": 10.0, "machines": machines})
    site = SITE.model_copy(update={"stations": {"air": station}})
    demand = DemandSeries(START, 60.0, [steady] * 90 + [steady + 8.8] * 30)

    books = run_agent(Scene(site, "air", demand, START, START + timedelta(hours=2), 1), "none").books

    assert books.worst_dip_bar < 0.2
