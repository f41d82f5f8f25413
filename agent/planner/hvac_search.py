"""Local search after rounding: where a peak costs, the heating set-points about the peak give way.

The linear programme spreads heat as no thermostat can give it, and rounding to tenths of a kelvin lifts its peak over
the one that was paid. Here single moves are tried on the set-points themselves, each with what the intervals will see
(`metered_kw`), and kept while they gain.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from agent.planner.hvac_case import (
    Course,
    HvacCase,
    UnitCase,
    UnitCourse,
    ZoneCase,
    cost_of,
    follow,
    metered_kw,
)
from agent.planner.hvac_lp import stored_limits
from agent.planner.hvac_model import FloatArray
from agent.planner.hvac_schedule import (
    LEAST_SPREAD_K,
    SetPoints,
    setback_limits,
)

ROUNDS = 12
MOST_UNITS = 6  # that draw most at the peak; the others can do little about it
MOVE_K = (0.1, 0.3)
AHEAD_STEPS = 4
LEAST_GAIN = 1e-6
MOST_ZONES = 12  # beyond, they even each other out, and the time is not there


def shaved(
    case: HvacCase, setpoints: Mapping[str, SetPoints], course: Course
) -> tuple[dict[str, SetPoints], Course]:
    """Set-points about the peak given way, or told ahead, while that is cheaper; and what they cost.

    Only where the peak is heat: a cooling peak hangs on the afternoon's sun as much as on the plan, and moves that
    gained in the model lost in the halls (docs/hvac.md).
    """
    chosen = dict(setpoints)
    if case.demand_charge_per_kw <= 0 or sum(len(unit.zones) for unit in case.units) > MOST_ZONES:
        return chosen, course
    for _ in range(ROUNDS):
        drawn = metered_kw(case, course.units)
        peak = int(np.argmax(drawn))
        if drawn[peak] <= case.peak_so_far_kw:
            break
        before = course.cost
        working = sorted(case.units, key=lambda unit: -course.units[unit.name].power_kw[peak])[:MOST_UNITS]
        for unit in working:
            for zone in unit.zones:
                heat = course.units[unit.name].heat_kw[zone.name]
                if heat[peak] <= 0.0:
                    continue
                for points in _moves(zone, chosen[zone.name], heat, peak):
                    course, chosen = _kept(case, course, chosen, unit, zone, points)
        if course.cost > before - LEAST_GAIN:
            break
    return chosen, course


def _kept(
    case: HvacCase,
    course: Course,
    chosen: dict[str, SetPoints],
    unit: UnitCase,
    zone: ZoneCase,
    points: SetPoints,
) -> tuple[Course, dict[str, SetPoints]]:
    """With the zone's new set-points where they are cheaper, else as it was."""
    tried = {**chosen, zone.name: points}
    courses: dict[str, UnitCourse] = {**course.units, unit.name: follow(case, unit, tried)}
    new = cost_of(case, courses)
    return (new, tried) if new.cost < course.cost - LEAST_GAIN else (course, chosen)


def _moves(zone: ZoneCase, points: SetPoints, heat_kw: FloatArray, peak: int) -> Iterator[SetPoints]:
    """What may be done in one zone about a peak: less there, less to the end of the run, all of it less; more before."""
    runs = heat_kw > 0
    first, last = peak, peak + 1
    while first > 0 and runs[first - 1]:
        first -= 1
    while last < runs.size and runs[last]:
        last += 1
    for move in MOVE_K:
        for begin, end in ((peak, peak + 1), (peak, last), (first, peak + 1), (first, last)):
            yield _moved(zone, points, begin, end, -move)
        ahead = max(0, peak - AHEAD_STEPS)
        if ahead < peak:
            yield _moved(zone, points, ahead, peak, move)


def _moved(zone: ZoneCase, points: SetPoints, begin: int, end: int, by_k: float) -> SetPoints:
    """Heating set-points from `begin` to `end` moved up or down, within what may be sent."""
    floor, _ = setback_limits(zone.zone)
    heating = points.heating_degc.copy()
    most = np.minimum(stored_limits(zone)[1], points.cooling_degc - LEAST_SPREAD_K)[begin:end]
    most = np.maximum(most, heating[begin:end])  # what stands there may stay
    heating[begin:end] = np.clip(np.round(heating[begin:end] + by_k, 1), floor, most)
    return SetPoints(heating, points.cooling_degc)
