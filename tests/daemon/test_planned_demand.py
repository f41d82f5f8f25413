"""What the production plan lets expect of a station: in the look-ahead's steps, and over the day."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.config.services import Production
from agent.daemon.planned_demand import PlannedDemand
from agent.daemon.production import ProductionPlan
from agent.inference.forecaster import QuantileForecast
from agent.inference.production import PlanRow
from agent.inference.series import Series

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 4
NOW = START + timedelta(days=DAYS, hours=9)
STEPS = (300.0, 300.0, 600.0, 1200.0, 1800.0, 3000.0)
QUICK_S, SLOW_S = 15.0, 300.0


def planned(comes_min: int) -> PlannedDemand:
    """A line of 10 m3/min that ran from 7 to 8 on each day before, and comes `comes_min` minutes after 9:00 today."""
    rows = [PlanRow("press", START, 0.0)]
    for day in range(DAYS):
        begin = START + timedelta(days=day)
        rows += [PlanRow("press", begin + timedelta(hours=7), 100.0)]
        rows += [PlanRow("press", begin + timedelta(hours=8), 0.0)]
    rows += [PlanRow("press", NOW + timedelta(minutes=comes_min), 100.0)]
    minute = np.arange(DAYS * 1440) % 1440
    drawn = (
        5.0
        + np.convolve(np.where((minute >= 420) & (minute < 480), 10.0, 0.0), np.full(5, 0.2))[: len(minute)]
    )
    plan = ProductionPlan(Production(file=Path("-")), "UTC", rows=tuple(rows))
    out = PlannedDemand(plan)
    out.learn(Series(START, 900, drawn.reshape(-1, 15).mean(axis=1)), NOW)
    return out


def test_nothing_is_said_before_the_present_was_seen_or_without_what_lines_draw():
    nothing_learned = PlannedDemand(ProductionPlan(Production(file=Path("-")), "UTC"))
    nothing_learned.see(NOW.timestamp(), 5.0)

    assert nothing_learned.steps(NOW.timestamp(), STEPS, QUICK_S) is None
    assert planned(30).steps(NOW.timestamp(), STEPS, QUICK_S) is None


def test_slow_machine_sees_a_line_when_it_must_be_started_and_not_before():
    # Delivers after 5 min, ordered up to 5 min early: a line that comes in 12 minutes is not its matter yet.
    early, due = planned(12), planned(6)
    for each in (early, due):
        each.see(NOW.timestamp(), 5.0)

    assert early.steps(NOW.timestamp(), STEPS, SLOW_S)[1] == pytest.approx(5.0, abs=0.1)
    assert due.steps(NOW.timestamp(), STEPS, SLOW_S)[1] > 8.0


def test_quick_machines_are_told_means():
    each = planned(30)
    each.see(NOW.timestamp(), 5.0)

    steps = each.steps(NOW.timestamp(), STEPS, QUICK_S)

    # The line comes ten minutes into the step of twenty that begins after twenty: 5 + 10 x (10 - 2) / 20.
    assert steps[:3] == pytest.approx([5.0, 5.0, 5.0], abs=0.1)
    assert steps[3] == pytest.approx(9.0, abs=0.3)
    assert steps[4] == pytest.approx(15.0, abs=0.1)


def test_what_is_drawn_beyond_the_plan_is_taken_to_go_on():
    each = planned(30)
    for second in range(0, 3600, 10):
        each.see((NOW - timedelta(hours=1)).timestamp() + second, 7.0)

    steps = each.steps(NOW.timestamp(), STEPS, QUICK_S)

    assert steps[0] == pytest.approx(7.0, abs=0.1)
    assert steps[4] == pytest.approx(17.0, abs=0.1)


def test_line_that_is_late_is_waited_for_and_one_that_does_not_come_is_given_up():
    # Planned for 8:50; at 9:00 and at 10:00 it has not come.
    each = planned(-10)
    for second in range(0, 3 * 3600, 10):
        each.see((NOW - timedelta(hours=1)).timestamp() + second, 5.0)
        if second == 3600:
            late = each.steps(NOW.timestamp(), STEPS, QUICK_S)

    gone = each.steps((NOW + timedelta(hours=2)).timestamp(), STEPS, QUICK_S)

    assert late[0] == pytest.approx(15.0, abs=0.3)
    assert gone[0] == pytest.approx(5.0, abs=0.3)


def test_plan_makes_the_days_forecast_as_far_as_it_reaches():
    each = planned(30)
    each.see(NOW.timestamp(), 5.0)
    naive = QuantileForecast("air.demand_m3_min", "m3/min", NOW, NOW, 900, np.full((40, 3), 4.0), "naive", ())
    longer = QuantileForecast(
        "air.demand_m3_min", "m3/min", NOW, NOW, 900, np.full((120, 3), 4.0), "naive", ()
    )

    made = each.forecast(naive)

    assert made.source == "production-plan"
    assert made.quantiles[0, 1] == pytest.approx(5.0, abs=0.1)
    assert made.quantiles[10, 1] == pytest.approx(15.0, abs=0.1)
    # A line that the plan leaves at work is unknown after a day: then the other forecast stands.
    assert each.forecast(longer) is longer
