"""What lines draw, learned from quarter hours, and said for the minute."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from agent.inference.line_loads import learn_line_loads
from agent.inference.production import PlanRow
from agent.inference.series import Series

START = datetime(2026, 3, 2, tzinfo=UTC)
DAYS = 5


def rows() -> list[PlanRow]:
    """Press from six to eighteen at a rate that changes by the day, mill for 50 min from 9:10 and 14:10 on."""
    out = []
    for day in range(DAYS + 1):
        begin = START + timedelta(days=day)
        out += [PlanRow("press", begin + timedelta(hours=6), 60.0 + 10.0 * (day % 3))]
        out += [PlanRow("press", begin + timedelta(hours=18), 0.0)]
        for minute in (550, 850):
            out += [PlanRow("mill", begin + timedelta(minutes=minute), 100.0)]
            out += [PlanRow("mill", begin + timedelta(minutes=minute + 50), 0.0)]
    first = [PlanRow(line, START, 0.0) for line in ("press", "mill")]
    return sorted([*first, *out])


def measured() -> Series:
    """3 m3/min at rest, 0.2 a unit of the press, 0.1 of the mill: by hand, in the minute and five minutes rising."""
    minute = np.arange(DAYS * 1440)
    day, clock = minute // 1440, minute % 1440
    press = np.where((clock >= 360) & (clock < 1080), 60.0 + 10.0 * (day % 3), 0.0)
    mill = np.where(((clock >= 550) & (clock < 600)) | ((clock >= 850) & (clock < 900)), 100.0, 0.0)
    drawn = np.convolve(0.2 * press + 0.1 * mill, np.full(5, 0.2))[: len(minute)]
    noise = np.random.default_rng(1).normal(0.0, 0.2, DAYS * 96)
    return Series(START, 900, 3.0 + drawn.reshape(-1, 15).mean(axis=1) + noise)


def test_draw_of_each_line_is_learned_from_quarter_hours():
    loads = learn_line_loads(measured(), rows())

    assert loads is not None
    draws = dict(zip(loads.lines, loads.per_rate, strict=True))
    assert draws == pytest.approx({"press": 0.2, "mill": 0.1}, rel=0.03)
    assert loads.rest == pytest.approx(3.0, abs=0.1)
    assert loads.error == pytest.approx(0.2, rel=0.2)


def test_step_is_said_for_its_minute_and_not_for_its_quarter_hour():
    loads = learn_line_loads(measured(), rows())
    begin = START + timedelta(days=DAYS, minutes=540)

    expected = loads.expected(rows(), begin.timestamp(), 30)

    # At 9:10 the mill comes: 10 m3/min more within five minutes.
    assert expected[9] == pytest.approx(expected[0], abs=0.01)
    assert expected[15] - expected[9] == pytest.approx(10.0, rel=0.03)


def test_plan_that_has_nothing_to_do_with_the_meter_teaches_nothing():
    series = measured()
    shuffled = np.random.default_rng(2).permutation(series.values)

    assert learn_line_loads(Series(START, 900, shuffled), rows()) is None


def test_one_day_teaches_nothing():
    series = measured()

    assert learn_line_loads(Series(START, 900, series.values[:96]), rows()) is None


def test_line_whose_plan_ends_at_work_is_unknown_after_a_day_and_one_that_ends_at_rest_rests():
    loads = learn_line_loads(measured(), rows())
    ends = START + timedelta(days=DAYS + 1, hours=23)
    at_work = [*rows(), PlanRow("press", ends, 50.0)]
    later = (ends + timedelta(hours=25)).timestamp()

    assert np.isnan(loads.expected(at_work, later, 5)).all()
    assert loads.expected(rows(), later, 5) == pytest.approx(np.full(5, loads.rest))
