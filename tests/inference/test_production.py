from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from agent.inference.production import merged, parse_plan, plan_columns, plan_text

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
CSV = """time,line,planned_rate
2026-01-05T06:00Z,press,100
2026-01-05T22:00Z,press,0
2026-01-05T06:30Z,mill,50
"""


def hour(number: float) -> datetime:
    return MONDAY + timedelta(hours=number)


def test_a_rate_holds_to_the_lines_next_row_and_the_total_is_the_sum_of_the_lines():
    columns = plan_columns(
        parse_plan(CSV, "UTC").rows, ["plan", "plan.press", "plan.mill"], hour(5), 3600, 19
    )

    # Hours 5 to 23: nothing is known at 5; from 6 the press runs, from 6:30 the mill as well.
    assert np.isnan(columns[0]).all()
    assert columns[1].tolist() == [150.0, 100.0, 50.0]
    assert columns[2:17, 0].tolist() == [150.0] * 15
    assert columns[17].tolist() == [50.0, 0.0, 50.0]


def test_a_step_over_a_change_has_the_mean_by_time():
    rows = parse_plan("time,planned_rate\n2026-01-05T06:00Z,80\n2026-01-05T06:45Z,0\n", "UTC").rows

    # Three quarters of an hour at 80, one at 0.
    assert plan_columns(rows, ["plan"], hour(6), 3600, 1)[0, 0] == pytest.approx(60.0)


def test_the_last_row_holds_for_a_day_and_then_the_plan_is_unknown():
    rows = parse_plan("time,line,planned_rate\n2026-01-05T06:00Z,press,100\n", "UTC").rows

    known = np.isfinite(plan_columns(rows, ["plan"], hour(0), 3600, 48)[:, 0])

    assert known.tolist() == [False] * 6 + [True] * 24 + [False] * 18


def test_the_total_is_unknown_while_a_line_that_ran_is_and_a_line_that_ended_at_zero_stays_there():
    running = (
        "time,line,planned_rate\n2026-01-05T00:00Z,a,10\n2026-01-09T00:00Z,a,10\n2026-01-05T00:00Z,b,{}\n"
    )
    open_end, ended = (parse_plan(running.format(rate), "UTC").rows for rate in (5, 0))

    # Line b is last heard of on Monday; Wednesday's total lacks it, unless it was said to stand.
    assert np.isnan(plan_columns(open_end, ["plan"], hour(48), 3600, 1)).all()
    assert plan_columns(ended, ["plan"], hour(48), 3600, 1)[0, 0] == 10.0


def test_unknown_lines_and_other_columns_are_nan():
    columns = plan_columns(parse_plan(CSV, "UTC").rows, ["plan.nobody", "temp"], hour(8), 3600, 2)

    assert np.isnan(columns).all()
    assert np.isnan(plan_columns([], ["plan"], hour(8), 3600, 2)).all()


@pytest.mark.parametrize(
    "text",
    [
        "time;line;planned rate\n2026-01-05T07:00;press;100,5\n",
        "\ufeffTimestamp\tMachine\tRate\n2026-01-05 07:00\tpress\t100.5\n",
        '[{"time": "2026-01-05T06:00:00+00:00", "line": "press", "planned_rate": 100.5}]',
    ],
)
def test_local_times_decimal_commas_and_json_are_read(text):
    read = parse_plan(text, "Europe/Berlin")

    assert [(r.line, r.at, r.rate) for r in read.rows] == [("press", hour(6), 100.5)]


def test_rows_without_sense_are_left_out_and_counted():
    read = parse_plan(CSV + "soon,press,3\n2026-01-06T06:00Z,press,-1\n2026-01-06T06:00Z,press,nan\n", "UTC")

    assert (len(read.rows), read.skipped) == (3, 3)


@pytest.mark.parametrize("text", ["", "time,line,planned_rate\n", "[1, 2]", "[not json", "a,b\n1,2\n"])
def test_a_text_without_a_single_row_is_refused(text):
    with pytest.raises(ValueError, match=r"rows|JSON"):
        parse_plan(text, "UTC")


def test_a_new_plan_replaces_its_own_lines_from_its_first_row_on():
    old = parse_plan(CSV, "UTC").rows
    new = parse_plan("time,line,planned_rate\n2026-01-05T12:00Z,press,70\n", "UTC").rows

    now = merged(old, new)

    assert [(r.line, r.at.hour, r.rate) for r in now] == [
        ("mill", 6, 50.0),
        ("press", 6, 100.0),
        ("press", 12, 70.0),
    ]


def test_a_plan_survives_being_written_down():
    rows = parse_plan('time,line,planned_rate\n2026-01-05T06:00Z,"Line 1, old",0.1\n', "UTC").rows

    assert parse_plan(plan_text(rows), "Europe/Berlin").rows == rows
