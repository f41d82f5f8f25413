"""The plots of the report. Colours are classes of report.css."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from agent.savings import svg
from agent.savings.measured import Floats


class DayPoint(NamedTuple):
    """A day of the energy plot; None where it has no such value."""

    label: str
    measured: float | None
    expected: float | None
    low: float | None
    high: float | None


def energy_by_day(points: Sequence[DayPoint], *, what_expected: str) -> str:
    """Measured energy of each day as bars, what was to be expected as a line in its band."""
    tops = [v for p in points for v in (p.measured, p.high, p.expected) if v is not None]
    axes = svg.Axes(-0.5, len(points) - 0.5, 0.0, 1.06 * max(tops, default=1.0))
    marks: list[str] = []
    width = min(26.0, 0.62 * (axes.x(1.0) - axes.x(0.0)))
    for i, point in enumerate(points):
        if point.measured is not None:
            kind = "bar" if point.expected is not None else "bar before"
            marks.append(svg.rect(axes.x(i) - width / 2, axes.y(point.measured), width, axes.y(0.0), kind))
    for first, last in svg.runs([p.expected is not None for p in points]):
        span = range(first, last)
        half = 0.5 if last - first == 1 else 0.0
        xs = [axes.x(first - half), *(axes.x(i) for i in span), axes.x(last - 1 + half)]
        low, line, high = (
            [axes.y(float(getattr(points[i], key) or 0.0)) for i in (first, *span, last - 1)]
            for key in ("low", "expected", "high")
        )
        outline = [*zip(xs, low, strict=True), *reversed(list(zip(xs, high, strict=True)))]
        marks.append(f'<polygon class="band" points="{svg.points(outline)}"/>')
        marks.append(f'<polyline class="expected" points="{svg.points(zip(xs, line, strict=True))}"/>')
    every = max(1, math.ceil(len(points) / 12))
    ticks = [(float(i), points[i].label) for i in range(0, len(points), every)]
    legend = [("bar", "measured"), ("line", what_expected)]
    if any(p.expected is None and p.measured is not None for p in points):
        legend.insert(0, ("bar before", "measured, baseline period"))
    return svg.plot(axes, marks, ticks, "kWh a day", legend=legend)


def power_over_air(
    before: Sequence[tuple[float, float]],
    after: Sequence[tuple[float, float]],
    line: tuple[float, float] | None,
    *,
    names: tuple[str, str],
) -> str:
    """Days as dots, (m3/min, kW); `line` is (kW at no air, kW per m3/min) of the regression."""
    every = [*before, *after]
    most_x = 1.08 * max((x for x, _ in every), default=1.0)
    most_y = 1.1 * max((y for _, y in every), default=1.0)
    axes = svg.Axes(0.0, most_x, 0.0, most_y)
    marks = []
    if line is not None:
        base, slope = line
        low_x, high_x = (edge([x for x, _ in before]) for edge in (min, max))
        for kind, x0, x1 in (
            ("fit faint", 0.0, low_x),
            ("fit", low_x, high_x),
            ("fit faint", high_x, most_x),
        ):
            marks.append(
                svg.line(axes.x(x0), axes.y(base + slope * x0), axes.x(x1), axes.y(base + slope * x1), kind)
            )
    marks += [svg.dot(axes.x(x), axes.y(y), "dot before") for x, y in before]
    marks += [svg.dot(axes.x(x), axes.y(y), "dot") for x, y in after]
    ticks = [(v, svg.short(v)) for v in svg.nice_ticks(0.0, most_x)]
    legend = [("dot before", names[0]), *([("dot", names[1])] if after else [])]
    if line is not None:
        legend.append(("fit", "regression"))
    return svg.plot(
        axes, marks, ticks, "kW, mean of the day", x_title="m3/min, mean of the day", legend=legend
    )


def pressure_histogram(pressure_bar_g: Floats, minimum_bar_g: float) -> str:
    """Share of the time at each pressure, the plant's minimum marked."""
    low = min(float(np.quantile(pressure_bar_g, 0.0005)), minimum_bar_g - 0.05)
    high = max(float(np.quantile(pressure_bar_g, 0.9995)), minimum_bar_g + 0.25)
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 50.0) if (high - low) / s <= 60)
    edges = np.arange(math.floor(low / step), math.ceil(high / step) + 1) * step
    counts, _ = np.histogram(np.clip(pressure_bar_g, edges[0], edges[-1]), edges)
    share = 100.0 * counts / len(pressure_bar_g)
    axes = svg.Axes(
        float(edges[0]), float(edges[-1]), 0.0, 1.1 * float(share.max()), svg.HALF_WIDTH, svg.HALF_HEIGHT
    )
    marks = [
        svg.rect(
            axes.x(a) + 0.5,
            axes.y(s),
            axes.x(b) - axes.x(a) - 1.0,
            axes.y(0.0),
            "bar below" if b <= minimum_bar_g + 1e-9 else "bar",
        )
        for a, b, s in zip(edges[:-1], edges[1:], share, strict=True)
        if s > 0.0
    ]
    x = axes.x(minimum_bar_g)
    marks += [
        svg.line(x, svg.TOP, x, axes.y(0.0), "limit"),
        svg.text(x + 4.0, svg.TOP + 9.0, f"minimum {minimum_bar_g:g} bar", "label"),
    ]
    ticks = [(v, f"{v:.2f}".rstrip("0").rstrip(".")) for v in svg.nice_ticks(axes.x_low, axes.x_high, 4)]
    return svg.plot(axes, marks, ticks, "% of the minutes", x_title="bar at the header")


def idle_by_day(labels: Sequence[str], idle_share: Sequence[float | None]) -> str:
    """Share of each day's energy that went into running unloaded; no bar where it is not known."""
    known = [100.0 * share for share in idle_share if share is not None]
    axes = svg.Axes(
        -0.5,
        len(labels) - 0.5,
        0.0,
        max(1.15 * max(known, default=1.0), 1.0),
        svg.HALF_WIDTH,
        svg.HALF_HEIGHT,
    )
    width = min(26.0, 0.62 * (axes.x(1.0) - axes.x(0.0)))
    marks = [
        svg.rect(axes.x(i) - width / 2, axes.y(100.0 * share), width, axes.y(0.0), "bar idle")
        for i, share in enumerate(idle_share)
        if share is not None
    ]
    every = max(1, math.ceil(len(labels) / 6))
    ticks = [(float(i), labels[i]) for i in range(0, len(labels), every)]
    return svg.plot(axes, marks, ticks, "% of the energy, running unloaded")
