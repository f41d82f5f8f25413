"""What the rest of the meter will draw: by kind of day and quarter hour, and as of now for a few hours."""

import numpy as np
import pytest

from agent.planner.hvac_present import PER_DAY
from agent.planner.site_load import usual_course

# Two weeks from a Monday on: 250 kW from 08:00 to 10:00 on working days, 50 kW else.
KINDS = np.repeat([0, 0, 0, 0, 0, 1, 2] * 2, PER_DAY)
SLOTS = KINDS * PER_DAY + np.tile(np.arange(PER_DAY), 14)
PAST = np.where((KINDS == 0) & (SLOTS % PER_DAY >= 32) & (SLOTS % PER_DAY < 40), 250.0, 50.0)


def test_a_peak_of_working_days_is_expected_on_working_days_alone():
    monday, saturday = SLOTS[:PER_DAY], SLOTS[5 * PER_DAY : 6 * PER_DAY]

    assert usual_course(PAST, SLOTS, monday).tolist() == PAST[:PER_DAY].tolist()
    assert usual_course(PAST, SLOTS, saturday).tolist() == [50.0] * PER_DAY


def test_at_the_moment_a_usual_peak_begins_it_is_not_taken_for_gone():
    # The past ends at 08:00 of a Friday: nothing of the peak was seen yet today.
    end = 11 * PER_DAY + 32
    assert usual_course(PAST[:end], SLOTS[:end], SLOTS[end : end + 16]).tolist() == [250.0] * 8 + [50.0] * 8


def test_what_is_unusual_now_fades_within_hours():
    late = PAST.copy()
    late[-4:] = 150.0

    course = usual_course(late, SLOTS, SLOTS[:PER_DAY])

    assert course[0] == pytest.approx(50.0 + 100.0 * np.exp(-0.5 / 8.0))
    assert course[24] < 55.0


def test_a_day_never_seen_is_as_any_and_no_past_is_none():
    first = usual_course(PAST[:PER_DAY], SLOTS[:PER_DAY], SLOTS[5 * PER_DAY : 6 * PER_DAY])

    assert first[33] == 250.0
    assert usual_course(np.full(8, np.nan), SLOTS[:8], SLOTS[:8]) is None
