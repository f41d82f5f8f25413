"""Once a night, on the site's own clock."""

from datetime import UTC, datetime, timedelta

from agent.daemon.rhythm import Nightly


def nights(timezone: str, start_at: datetime, days: int) -> list[datetime]:
    nightly, found = Nightly(timezone, start_at), []
    for minute in range(days * 1440):
        now = start_at + timedelta(minutes=minute)
        if nightly.due(now):
            found.append(now)
    return found


def test_there_is_one_night_a_day_over_both_clock_changes():
    # Berlin goes from UTC+1 to UTC+2 on 29 March 2026 and back on 25 October.
    spring = nights("Europe/Berlin", datetime(2026, 3, 27, 12, tzinfo=UTC), 4)
    autumn = nights("Europe/Berlin", datetime(2026, 10, 23, 12, tzinfo=UTC), 4)

    # 04:17 local is 03:17 UTC in winter and 02:17 UTC in summer.
    assert [f"{at:%d %H:%M}" for at in spring] == ["28 03:17", "29 02:17", "30 02:17", "31 02:17"]
    assert [f"{at:%d %H:%M}" for at in autumn] == ["24 02:17", "25 03:17", "26 03:17", "27 03:17"]


def test_sleeping_agent_makes_up_for_a_missed_night_once():
    nightly = Nightly("UTC", datetime(2026, 3, 1, tzinfo=UTC))

    assert nightly.due(datetime(2026, 3, 4, 12, tzinfo=UTC))
    assert not nightly.due(datetime(2026, 3, 4, 12, 1, tzinfo=UTC))
    assert nightly.due(datetime(2026, 3, 5, 4, 17, tzinfo=UTC))
