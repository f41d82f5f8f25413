"""The plots of the page: a day back, and ahead as far as the plan goes. Colours are classes of page.css."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np

from agent.page.gather import BACK, AirNow, ZoneNow
from agent.savings import svg
from agent.savings.measured import Floats

AHEAD = timedelta(hours=12)
_ROW = 22.0


def pressure(air: AirNow, now: datetime, zone: ZoneInfo) -> str:
    """Pressure of the last day in five-minute means, with the least and the highest that the site allows."""
    values = _means(air.minutes.pressure_bar_g, 5)
    low, high = air.station.pressure_min_bar_g, air.station.pressure_max_bar_g
    known = values[np.isfinite(values)]
    axes = _axes(min(low, *known, high) - 0.1, max(high, *known, low) + 0.1, ahead=timedelta(0))
    marks = [
        svg.line(svg.LEFT, axes.y(edge), axes.width - svg.RIGHT, axes.y(edge), "limit")
        for edge in (low, high)
    ]
    marks += [
        svg.text(svg.LEFT + 4.0, axes.y(low) - 4.0, "minimum", "label"),
        svg.text(svg.LEFT + 4.0, axes.y(high) + 12.0, "maximum", "label"),
        *_curve(axes, _hours(air.minutes.start_at, len(values), 5, now), values, "measured"),
    ]
    return svg.plot(axes, marks, _ticks(now, zone, timedelta(0)), "bar at the header")


def demand(air: AirNow, now: datetime, zone: ZoneInfo) -> str:
    """Air taken in the last day, and what the plan in force expects, with its reserve."""
    values = _means(air.minutes.demand_m3_min, 5)
    at, expected, above = _ahead(air, now)
    tops = [*values[np.isfinite(values)], *(e + a for e, a in zip(expected, above, strict=True)), 1.0]
    axes = _axes(0.0, 1.08 * max(tops), ahead=AHEAD)
    marks = []
    if at:
        upper = [(axes.x(x), axes.y(e + a)) for x, e, a in zip(at, expected, above, strict=True)]
        lower = [(axes.x(x), axes.y(e)) for x, e in zip(at, expected, strict=True)]
        marks.append(f'<polygon class="band" points="{svg.points([*lower, *reversed(upper)])}"/>')
        marks.append(f'<polyline class="expected" points="{svg.points(lower)}"/>')
    marks += _curve(axes, _hours(air.minutes.start_at, len(values), 5, now), values, "measured")
    marks.append(svg.line(axes.x(0.0), svg.TOP, axes.x(0.0), axes.y(0.0), "now"))
    legend = [("measured", "taken"), *([("line", "expected, with reserve")] if at else [])]
    return svg.plot(axes, marks, _ticks(now, zone, AHEAD), "m3/min of free air", legend=legend)


def machines(air: AirNow, now: datetime, zone: ZoneInfo) -> str:
    """Who ran: filled while it delivered, pale while it ran unloaded, outlined where the plan has it run."""
    names = air.minutes.names
    height = svg.TOP + svg.BOTTOM + _ROW * len(names)
    axes = svg.Axes(-_span_h(BACK), _span_h(AHEAD), 0.0, float(len(names)), svg.WIDTH, height)
    at = _hours(air.minutes.start_at, air.minutes.count, 1, now)
    parts = []
    for row, name in enumerate(names):
        top = svg.TOP + _ROW * row + 3.0
        parts.append(svg.text(svg.LEFT - 7.0, top + 12.0, name, "label end"))
        running = air.minutes.running[:, row] >= 0.5
        loaded = running & ~(air.minutes.loaded[:, row] < 0.5)
        for flags, kind in ((running & ~loaded, "unloaded"), (loaded, "loaded")):
            for first, last in svg.runs(list(flags)):
                parts.append(_bar(axes, at[first], at[last - 1] + 1.0 / 60.0, top, kind))
        for begin, end in _planned(air, name, now):
            parts.append(_bar(axes, begin, end, top, "planned"))
    floor = height - svg.BOTTOM
    parts.append(svg.line(svg.LEFT, floor, axes.width - svg.RIGHT, floor, "axis"))
    parts.append(svg.line(axes.x(0.0), svg.TOP, axes.x(0.0), floor, "now"))
    parts += [
        svg.text(axes.x(x), floor + 15.0, words, "tick middle") for x, words in _ticks(now, zone, AHEAD)
    ]
    body = "".join(parts)
    return f'<svg viewBox="0 0 {axes.width:g} {height:g}" role="img" aria-label="machines">{body}</svg>'


def temperature(one: ZoneNow, now: datetime, zone: ZoneInfo) -> str:
    """A zone's temperature of the last day between the set-points that stood in its unit."""
    series = [_means(values, 5) for values in (one.temp_degc, one.heating_degc, one.cooling_degc)]
    known = np.concatenate([values[np.isfinite(values)] for values in series])
    edges = [one.zone.comfort_low_degc, one.zone.comfort_high_degc]
    axes = _axes(
        min(*known, *edges) - 0.5, max(*known, *edges) + 0.5, ahead=timedelta(0), width=svg.HALF_WIDTH
    )
    marks = []
    for values, kind in zip(series, ("measured", "heating", "cooling"), strict=True):
        marks += _curve(axes, _hours(one.start_at, len(values), 5, now), values, kind)
    legend = [("measured", "temperature"), ("heating", "heat below"), ("cooling", "cool above")]
    return svg.plot(axes, marks, _ticks(now, zone, timedelta(0), every_h=6), "degrees Celsius", legend=legend)


def _axes(low: float, high: float, *, ahead: timedelta, width: float = svg.WIDTH) -> svg.Axes:
    return svg.Axes(-_span_h(BACK), _span_h(ahead), low, high, width, svg.HALF_HEIGHT)


def _span_h(span: timedelta) -> float:
    return span.total_seconds() / 3600.0


def _ticks(now: datetime, zone: ZoneInfo, ahead: timedelta, every_h: int = 3) -> list[tuple[float, str]]:
    """Every third (or other) local hour, as hours from now."""
    local = now.astimezone(zone)
    first = local.replace(minute=0, second=0, microsecond=0) - BACK
    ticks = []
    for hour in range(int(_span_h(BACK + ahead)) + 2):
        at = first + timedelta(hours=hour)
        away = (at - local).total_seconds() / 3600.0
        if at.hour % every_h == 0 and -_span_h(BACK) <= away <= _span_h(ahead):
            ticks.append((away, f"{at:%H:%M}"))
    return ticks


def _means(values: Floats, width: int) -> Floats:
    """Means over `width` minutes of what is known; NaN where nothing is."""
    whole = len(values) // width * width
    blocks = values[:whole].reshape(-1, width)
    known = np.isfinite(blocks)
    counts = known.sum(axis=1)
    totals: Floats = np.where(known, blocks, 0.0).sum(axis=1)
    means: Floats = np.full(len(counts), np.nan)
    np.divide(totals, counts, out=means, where=counts > 0)
    return means


def _hours(start_at: datetime, count: int, width: int, now: datetime) -> Floats:
    """Middle of each block of `width` minutes, in hours from now; of single minutes their beginning."""
    first = (start_at - now).total_seconds() / 3600.0
    middle = 0.5 if width > 1 else 0.0
    hours: Floats = first + (np.arange(count, dtype=np.float64) + middle) * (width / 60.0)
    return hours


def _curve(axes: svg.Axes, at: Floats, values: Floats, kind: str) -> list[str]:
    """A line for each stretch without a gap."""
    return [
        f'<polyline class="{kind}" points="'
        + svg.points((axes.x(at[i]), axes.y(values[i])) for i in range(first, last))
        + '"/>'
        for first, last in svg.runs(list(np.isfinite(values)))
    ]


def _ahead(air: AirNow, now: datetime) -> tuple[Sequence[float], Sequence[float], Sequence[float]]:
    """Hours from now, expected demand and reserve of the plan in force, as far as it is drawn."""
    if air.plan is None:
        return (), (), ()
    reserve = air.plan.reserve_m3_min or (0.0,) * len(air.plan.at)
    rows = [
        ((at - now).total_seconds() / 3600.0, expected, above)
        for at, expected, above in zip(air.plan.at, air.plan.demand_m3_min, reserve, strict=True)
        if timedelta(minutes=-30) <= at - now <= AHEAD
    ]
    return [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows]


def _planned(air: AirNow, name: str, now: datetime) -> list[tuple[float, float]]:
    """[from, to) in hours from now in which the plan has the machine run."""
    steps = () if air.plan is None else air.plan.running
    found: list[tuple[float, float]] = []
    for index, (at, running) in enumerate(steps):
        end = steps[index + 1][0] if index + 1 < len(steps) else at + timedelta(hours=1)
        begin, until = ((edge - now).total_seconds() / 3600.0 for edge in (at, end))
        begin, until = max(begin, 0.0), min(until, _span_h(AHEAD))
        if name not in running or until <= begin:
            continue
        if found and found[-1][1] >= begin - 1e-9:
            found[-1] = (found[-1][0], until)
        else:
            found.append((begin, until))
    return found


def _bar(axes: svg.Axes, begin: float, end: float, top: float, kind: str) -> str:
    left = axes.x(max(begin, axes.x_low))
    width = max(axes.x(end) - left, 0.6)
    return f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{_ROW - 6.0:g}"/>'
