"""What the plant draws: free air over time, metered or made up, always from a seed."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from agent.config.parts import WeekTime
from agent.config.site import Station

MINUTE_S = 60.0

# A plant's own week where the site names no shifts: early and late shift, a short Saturday.
DEFAULT_SHIFTS = (
    WeekTime(days="mon-fri", **{"from": "06:00", "to": "22:00"}),
    WeekTime(days="sat", **{"from": "06:00", "to": "14:00"}),
)


class DemandSeries:
    """Free air demand, [m3/min], held constant over each step of `step_s` from `start_at` (UTC).

    Before the first and after the last value the nearest one holds.
    """

    __slots__ = ("start_at", "step_s", "values")

    def __init__(self, start_at: datetime, step_s: float, values: Sequence[float]) -> None:
        if start_at.tzinfo is None or not values or step_s <= 0:
            msg = "a demand series needs an aware start, a positive step and at least one value"
            raise ValueError(msg)
        self.start_at, self.step_s, self.values = start_at.astimezone(UTC), step_s, tuple(values)

    @property
    def end_at(self) -> datetime:
        return self.start_at + timedelta(seconds=self.step_s * len(self.values))

    def at(self, at: datetime) -> float:
        """The demand at an instant, [m3/min]."""
        return self.reader(at)(0.0)

    def reader(self, origin: datetime) -> Callable[[float], float]:
        """A function of seconds since `origin`: for simulations, which ask a million times."""
        shift, step_s, values = (origin - self.start_at).total_seconds(), self.step_s, self.values
        last = len(values) - 1

        def read(offset_s: float) -> float:
            index = int((offset_s + shift) // step_s)
            return values[0 if index < 0 else min(index, last)]

        return read

    def volume_m3(self) -> float:
        """Air of the whole series."""
        return sum(self.values) * self.step_s / 60.0

    def scaled(self, factor: float) -> DemandSeries:
        return DemandSeries(self.start_at, self.step_s, [value * factor for value in self.values])


def reachable_peak_m3_min(station: Station) -> float:
    """A sensible peak demand: what is left when the largest machine fails, at most 80 % of all."""
    flows = sorted(m.full_flow_m3_min for m in station.machines.values() if not m.locked_out)
    total = sum(flows)
    return 0.8 * total if len(flows) < 3 else min(0.8 * total, total - 0.5 * flows[-1])


def shift_demand(station: Station, timezone: str, start_at: datetime, days: float, seed: int) -> DemandSeries:
    """A made-up demand in minutes, as a plant with shifts, breaks and week-ends draws it.

    Levels follow the station's `shift_hours` (else two shifts and a short Saturday) in local time:
    leaks at all hours, ramps of 20-40 min at both ends of a shift, breaks, a level that drifts from
    day to day and over hours, minute noise, and surprises (a line down, a blow gun left open).
    The greatest 15 min mean of a working day lies near `reachable_peak_m3_min`.
    """
    rng = random.Random(seed)
    zone = ZoneInfo(timezone)
    shifts = station.shift_hours or DEFAULT_SHIFTS
    peak = reachable_peak_m3_min(station)
    leak = (
        0.13 * peak
    )  # leaks and standby users: 10-20 % of the peak (good plants 5-10, usual 20-30 % of output)
    minutes = round(days * 1440)
    start_at = start_at.astimezone(UTC)
    day_level: dict[int, float] = {}
    breaks: dict[int, list[tuple[float, float, float]]] = {}
    level = leak
    slow = fast = 0.0
    event_left, event_size = 0, 0.0
    values = []
    for minute in range(minutes):
        local = (start_at + timedelta(minutes=minute)).astimezone(zone)
        day = local.toordinal()
        if day not in day_level:
            day_level[day] = rng.uniform(0.72, 0.95)
            breaks[day] = _breaks(rng)
        clock = local.hour * 60.0 + local.minute
        target = leak
        if any(shift.contains(local.weekday(), clock) for shift in shifts):
            share = day_level[day]
            # Late shifts run fewer lines.
            if clock >= 840.0:
                share *= 0.85
            for begin, end, kept in breaks[day]:
                if begin <= clock < end:
                    share *= kept
            target = leak + (peak - leak) * share
        # People start and leave over some minutes: a first-order approach, quicker into breaks.
        level += (target - level) * (0.10 if abs(target - level) > 0.3 * peak else 0.18)
        slow += -slow / 180.0 + rng.gauss(0.0, 0.006)  # hours
        fast += -fast / 4.0 + rng.gauss(0.0, 0.035)  # minutes
        if event_left > 0:
            event_left -= 1
        elif rng.random() < 1.0 / 1500.0:
            event_left, event_size = rng.randint(8, 90), rng.choice((-0.25, -0.15, 0.10, 0.14))
        active = (level - leak) / (peak - leak)
        extra = event_size if event_left > 0 else 0.0
        factor = 1.0 + slow + fast + extra
        value = leak * (1.0 + 0.01 * rng.gauss(0.0, 1.0)) + max(0.0, active) * (peak - leak) * max(
            0.1, factor
        )
        values.append(min(value, 1.05 * peak))
    return DemandSeries(start_at, MINUTE_S, values)


def _breaks(rng: random.Random) -> list[tuple[float, float, float]]:
    """(from, to, share kept) of a day's breaks in minutes of the day; they do not begin on the dot."""
    plan = ((540.0, 15.0, 0.6), (720.0, 30.0, 0.45), (1080.0, 30.0, 0.5))
    out = []
    for begin, length, kept in plan:
        first = begin + rng.uniform(-4.0, 4.0)
        out.append((first, first + length + rng.uniform(-2.0, 4.0), min(0.9, kept * rng.uniform(0.85, 1.2))))
    return out


def with_minute_noise(
    start_at: datetime, step_s: float, values: Sequence[float], *, seed: int, spread: float = 0.06
) -> DemandSeries:
    """Means over `step_s` -> minutes: a line between neighbours plus noise that keeps each interval's volume.

    Within an interval minutes follow the slope of its neighbours and an autocorrelated noise of
    `spread` (share); they are then scaled so that their mean is the interval's value exactly.
    """
    count = max(1, round(step_s / MINUTE_S))
    if count == 1:
        return DemandSeries(start_at, step_s, values)
    rng = random.Random(seed)
    keep = math.exp(-1.0 / 4.0)
    drive = spread * math.sqrt(1.0 - keep * keep)
    noise = 0.0
    out: list[float] = []
    last = len(values) - 1
    for index, mean in enumerate(values):
        before = 0.5 * (mean + values[max(0, index - 1)])
        after = 0.5 * (mean + values[min(last, index + 1)])
        shape = []
        for k in range(count):
            x = (k + 0.5) / count
            line = before + (mean - before) * 2.0 * x if x < 0.5 else mean + (after - mean) * (2.0 * x - 1.0)
            noise = keep * noise + rng.gauss(0.0, drive)
            shape.append(max(0.0, line * (1.0 + noise)))
        total = sum(shape)
        factor = mean * count / total if total > 0 else 0.0
        out.extend(value * factor for value in shape)
    return DemandSeries(start_at, step_s / count, out)
