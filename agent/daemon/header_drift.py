"""A header sensor that drifts over weeks, seen by the machines' own gauges: once a night, on what the store holds.

A gauge stands before dryer and filters and shows more than the header, by what these lose at a flow. On the same weekday some
weeks ago it showed so much more at such a flow; if all gauges now differ from that alike, it is the header sensor or what stands
between. Nothing is steered by it: it is told, as somebody has to look.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from statistics import median
from typing import NamedTuple

import numpy as np

from agent.daemon.runtime import StationRuntime
from agent.log import get_logger
from agent.savings.measured import Floats
from agent.store.history import History

log = get_logger(__name__)

# The oldest of these that are known are compared with the last day.
_DAYS_BACK = (28, 21, 14, 7)
_COMPARED_DAYS = 2
# Two transmitters of class 0.5 on 16 bar may differ by this without a fault.
TOLD_BAR = 0.15
# It is over once it is this much closer: a drift at the edge is not told every other night.
_OVER_BAR = 0.10
# Flows within a tenth of the station's are alike; fewer minutes than these are no comparison.
_FLOW_BANDS = 10
_LEAST_MIN = 15
_DELIVERS = 0.999


class Drift(NamedTuple):
    """`off_bar`: how much more the gauges show beyond the header than they did on the days around `since`."""

    off_bar: float
    gauges: int
    since: datetime


class _Day(NamedTuple):
    """Minutes of a day: band of flow (-1 unknown), and what each gauge shows beyond the header [bar], NaN unknown."""

    band: Floats
    beyond_bar: Floats  # (minutes, machines)


def header_drift(runtime: StationRuntime, history: History, now: datetime) -> Drift | None:
    """How the last day differs from the same weekday weeks ago; None where either is unknown."""
    today = _day(runtime, history, now)
    if today is None:
        return None
    before = [
        (now - timedelta(days=days), day)
        for days in _DAYS_BACK
        if (day := _day(runtime, history, now - timedelta(days=days))) is not None
    ][:_COMPARED_DAYS]
    if not before:
        return None
    then = _Day(
        np.concatenate([day.band for _, day in before]), np.concatenate([day.beyond_bar for _, day in before])
    )
    moved = [
        shift
        for index in range(today.beyond_bar.shape[1])
        if (shift := _moved(today, then, index)) is not None
    ]
    return Drift(median(moved), len(moved), before[0][0]) if moved else None


def _day(runtime: StationRuntime, history: History, end: datetime) -> _Day | None:
    """The day until `end`; None where the header or all gauges are unknown."""
    begin, fleet = end - timedelta(days=1), runtime.control.fleet

    def minutes(tag: str) -> Floats:
        return history.series(tag, begin, end).values

    header, flow = minutes(runtime.station.pressure), minutes(runtime.demand_tag)
    beyond = np.full((len(header), fleet.count), np.nan)
    for index, machine in enumerate(fleet.machines):
        gauge = minutes(machine.tag("discharge_pressure"))
        if np.isfinite(gauge).any():
            delivers = minutes(machine.tag("loaded")) >= _DELIVERS
            beyond[delivers, index] = (gauge - header)[delivers]
    if not np.isfinite(beyond).any():
        return None
    band = np.floor(flow / sum(fleet.full_flow) * _FLOW_BANDS)
    return _Day(np.where(np.isfinite(band), band, -1.0), beyond)


def _moved(today: _Day, then: _Day, index: int) -> float | None:
    """Change of what one gauge shows beyond the header [bar], over flows that both days know."""
    moved, weight = 0.0, 0
    for band in np.unique(today.band[today.band >= 0.0]):
        new, old = (
            day.beyond_bar[(day.band == band) & np.isfinite(day.beyond_bar[:, index]), index]
            for day in (today, then)
        )
        if min(len(new), len(old)) >= _LEAST_MIN:
            moved += float(np.median(new) - np.median(old)) * len(new)
            weight += len(new)
    return moved / weight if weight else None


def tell_drift(
    runtime: StationRuntime, history: History, now: datetime
) -> tuple[str, datetime, dict[str, object]] | None:
    """The event when a drift comes and when it is over."""
    drift = header_drift(runtime, history, now)
    if drift is None:
        return None
    stood = bool(runtime.said.get("header_drift"))
    stands = abs(drift.off_bar) >= (_OVER_BAR if stood else TOLD_BAR)
    if stands == stood:
        return None
    text = _sentence(drift) if stands else "over"
    runtime.said["header_drift"] = text if stands else ""
    fields: dict[str, object] = {
        "station": runtime.station_id,
        "text": text,
        "off_bar": round(drift.off_bar, 3),
    }
    log.warning("header_drift", **fields)
    return ("header_drift", now, fields)


def _sentence(drift: Drift) -> str:
    who = "the machines' own gauges" if drift.gauges > 1 else "the one machine's gauge"
    than = f"than {who} would have it by {drift.since:%d %B}"
    if drift.off_bar < 0.0:
        return (
            f"the header sensor shows {-drift.off_bar:.2f} bar more {than}: the net may stand that much lower than it seems. "
            "Compare it with a gauge; until it is set right raise pressure_min_bar_g by as much"
        )
    return (
        f"the header sensor shows {drift.off_bar:.2f} bar less {than}: it has drifted, or dryer and filters lose more than then. "
        "Compare it with a gauge and look at the filters: each bar costs about 7 % of the power"
    )
