from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from agent.inference.calendar import calendar_columns, day_types


def test_local_minutes_jump_by_an_hour_when_clocks_go_forward():
    # Berlin, 31 March 2024: 00:30 UTC is 01:30, 01:00 UTC is already 03:00.
    got = calendar_columns(datetime(2024, 3, 31, 0, 0, tzinfo=UTC), 1800, 4, tz="Europe/Berlin")

    assert got[:, 0].tolist() == [60, 90, 180, 210]


def test_the_repeated_hour_of_autumn_appears_twice():
    # Berlin, 27 October 2024: 00:00 UTC is 02:00 summer time, 01:00 UTC is 02:00 again.
    got = calendar_columns(datetime(2024, 10, 27, 0, 0, tzinfo=UTC), 3600, 3, tz="Europe/Berlin")

    assert got[:, 0].tolist() == [120, 120, 180]


def test_weekday_day_of_year_and_holiday_are_those_of_the_local_day():
    # 31 December 2024 23:30 UTC is 1 January, a Wednesday, in Berlin.
    got = calendar_columns(
        datetime(2024, 12, 31, 22, 30, tzinfo=UTC), 3600, 2, tz="Europe/Berlin", holidays=[date(2025, 1, 1)]
    )

    assert got[0].tolist() == [23 * 60 + 30, 1, 366, 0]
    assert got[1].tolist() == [30, 2, 1, 1]


def test_zones_off_the_full_hour_are_exact():
    got = calendar_columns(datetime(2024, 6, 1, tzinfo=UTC), 900, 1, tz="Asia/Kathmandu")

    assert got[0, 0] == 5 * 60 + 45


def test_a_holiday_counts_as_a_sunday():
    cal = np.array([[0, 2, 1, 0], [0, 2, 1, 1], [0, 5, 1, 0], [0, 6, 1, 0]], dtype=np.float32)

    assert day_types(cal).tolist() == [0, 2, 1, 2]


def test_every_quarter_hour_of_two_years_has_the_offset_that_zoneinfo_gives():
    # Half-hour summer time, a day skipped altogether (Apia 2011), and a change in the middle of a month's fast.
    for tz in ("Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca"):
        zone = ZoneInfo(tz)
        first_at = datetime(2011, 6, 1, tzinfo=UTC)

        got = calendar_columns(first_at, 900, 366 * 96, tz=tz)

        stamps = [(first_at + timedelta(minutes=15 * k)).astimezone(zone) for k in range(0, 366 * 96, 7)]
        assert got[::7, 0].tolist() == [60 * each.hour + each.minute for each in stamps]
        assert got[::7, 1].tolist() == [each.weekday() for each in stamps]
