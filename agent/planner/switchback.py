"""Which days belong to the agent and which to the site's own control, so that the saving can be measured. Pure.

Pairs of blocks, in each pair the order drawn by lot; blocks begin when people come, because the night before belongs
to whoever prepared the day after it.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from typing import Literal, NamedTuple
from zoneinfo import ZoneInfo

from agent.config.parts import minute_of_day, weekday_set
from agent.config.site import Hvac

Arm = Literal["agent", "site"]
_NOBODY_MIN = 6 * 60


class Day(NamedTuple):
    """From people's coming on a local date until their coming on the next. `first`: of its block."""

    on: date
    from_at: datetime
    to_at: datetime
    arm: Arm
    block: int
    first: bool


def days(hvac: Hvac, timezone: str) -> tuple[Day, ...]:
    """All days of the site's test; () without one."""
    test = hvac.switchback
    if test is None:
        return ()
    lots = random.Random(test.seed)
    arms: list[Arm] = []
    for _ in range(test.days // (2 * test.block_days)):
        pair: list[Arm] = ["agent", "site"]
        lots.shuffle(pair)
        arms += pair
    out: list[Day] = []
    for block, arm in enumerate(arms):
        for place in range(test.block_days):
            on = test.begin + timedelta(days=block * test.block_days + place)
            begin_at, end_at = (_coming(hvac, timezone, d) for d in (on, on + timedelta(days=1)))
            out.append(Day(on, begin_at, end_at, arm, block, place == 0))
    return tuple(out)


def arm_at(test: Sequence[Day], at: datetime) -> Arm | None:
    """Whose hour it is; None before and after the test."""
    return next((day.arm for day in test if day.from_at <= at < day.to_at), None)


def _coming(hvac: Hvac, timezone: str, on: date) -> datetime:
    """When the first people come on a date; on a day without any, at the usual hour."""
    spans = [span for zone in hvac.zones.values() for span in zone.occupancy]
    today = [minute_of_day(span.from_) for span in spans if on.weekday() in weekday_set(span.days)]
    usual = Counter(minute_of_day(span.from_) for span in spans).most_common(1)
    minute = min(today) if today else usual[0][0] if usual else _NOBODY_MIN
    clock = time(minute // 60, minute % 60)
    return datetime.combine(on, clock, ZoneInfo(timezone)).astimezone(UTC)
