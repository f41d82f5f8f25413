"""Plots of the report as inline SVG: no script, nothing loaded, sharp on paper. Colours are classes of report.css."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import NamedTuple

import numpy as np

from agent.savings.measured import Floats

WIDTH, HEIGHT = 820.0, 280.0
HALF_WIDTH, HALF_HEIGHT = 400.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 14.0, 16.0, 46.0


class DayPoint(NamedTuple):
    """A day of the energy plot; None where it has no such value."""

    label: str
    measured: float | None
    expected: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Axes:
    """Maps values onto the drawing."""

    x_low: float
    x_high: float
    y_low: float
    y_high: float
    width: float = WIDTH
    height: float = HEIGHT

    def x(self, value: float) -> float:
        """Horizontal place."""
        return LEFT + (value - self.x_low) / (self.x_high - self.x_low) * (self.width - LEFT - RIGHT)

    def y(self, value: float) -> float:
        """Vertical place."""
        return (
            self.height
            - BOTTOM
            - (value - self.y_low) / (self.y_high - self.y_low) * (self.height - TOP - BOTTOM)
        )


def energy_by_day(points: Sequence[DayPoint], *, what_expected: str) -> str:
    """Measured energy of each day as bars, what was to be expected as a line in its band."""
    tops = [v for p in points for v in (p.measured, p.high, p.expected) if v is not None]
    axes = Axes(-0.5, len(points) - 0.5, 0.0, 1.06 * max(tops, default=1.0))
    marks: list[str] = []
    width = min(26.0, 0.62 * (axes.x(1.0) - axes.x(0.0)))
    for i, point in enumerate(points):
        if point.measured is not None:
            kind = "bar" if point.expected is not None else "bar before"
            marks.append(_rect(axes.x(i) - width / 2, axes.y(point.measured), width, axes.y(0.0), kind))
    for first, last in _runs([p.expected is not None for p in points]):
        span = range(first, last)
        half = 0.5 if last - first == 1 else 0.0
        xs = [axes.x(first - half), *(axes.x(i) for i in span), axes.x(last - 1 + half)]
        low, line, high = (
            [axes.y(float(getattr(points[i], key) or 0.0)) for i in (first, *span, last - 1)]
            for key in ("low", "expected", "high")
        )
        outline = [*zip(xs, low, strict=True), *reversed(list(zip(xs, high, strict=True)))]
        marks.append(f'<polygon class="band" points="{_points(outline)}"/>')
        marks.append(f'<polyline class="expected" points="{_points(zip(xs, line, strict=True))}"/>')
    every = max(1, math.ceil(len(points) / 12))
    ticks = [(float(i), points[i].label) for i in range(0, len(points), every)]
    legend = [("bar", "measured"), ("line", what_expected)]
    if any(p.expected is None and p.measured is not None for p in points):
        legend.insert(0, ("bar before", "measured, baseline period"))
    return _plot(axes, marks, ticks, "kWh a day", legend=legend)


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
    axes = Axes(0.0, most_x, 0.0, most_y)
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
                _line(axes.x(x0), axes.y(base + slope * x0), axes.x(x1), axes.y(base + slope * x1), kind)
            )
    marks += [_dot(axes.x(x), axes.y(y), "dot before") for x, y in before]
    marks += [_dot(axes.x(x), axes.y(y), "dot") for x, y in after]
    ticks = [(v, _short(v)) for v in nice_ticks(0.0, most_x)]
    legend = [("dot before", names[0]), *([("dot", names[1])] if after else [])]
    if line is not None:
        legend.append(("fit", "regression"))
    return _plot(axes, marks, ticks, "kW, mean of the day", x_title="m3/min, mean of the day", legend=legend)


def pressure_histogram(pressure_bar_g: Floats, minimum_bar_g: float) -> str:
    """Share of the time at each pressure, the plant's minimum marked."""
    low = min(float(np.quantile(pressure_bar_g, 0.0005)), minimum_bar_g - 0.05)
    high = max(float(np.quantile(pressure_bar_g, 0.9995)), minimum_bar_g + 0.25)
    step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 50.0) if (high - low) / s <= 60)
    edges = np.arange(math.floor(low / step), math.ceil(high / step) + 1) * step
    counts, _ = np.histogram(np.clip(pressure_bar_g, edges[0], edges[-1]), edges)
    share = 100.0 * counts / len(pressure_bar_g)
    axes = Axes(float(edges[0]), float(edges[-1]), 0.0, 1.1 * float(share.max()), HALF_WIDTH, HALF_HEIGHT)
    marks = [
        _rect(
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
        _line(x, TOP, x, axes.y(0.0), "limit"),
        _text(x + 4.0, TOP + 9.0, f"minimum {minimum_bar_g:g} bar", "label"),
    ]
    ticks = [(v, f"{v:.2f}".rstrip("0").rstrip(".")) for v in nice_ticks(axes.x_low, axes.x_high, 4)]
    return _plot(axes, marks, ticks, "% of the minutes", x_title="bar at the header")


def idle_by_day(labels: Sequence[str], idle_share: Sequence[float | None]) -> str:
    """Share of each day's energy that went into running unloaded; no bar where it is not known."""
    known = [100.0 * share for share in idle_share if share is not None]
    axes = Axes(
        -0.5, len(labels) - 0.5, 0.0, max(1.15 * max(known, default=1.0), 1.0), HALF_WIDTH, HALF_HEIGHT
    )
    width = min(26.0, 0.62 * (axes.x(1.0) - axes.x(0.0)))
    marks = [
        _rect(axes.x(i) - width / 2, axes.y(100.0 * share), width, axes.y(0.0), "bar idle")
        for i, share in enumerate(idle_share)
        if share is not None
    ]
    every = max(1, math.ceil(len(labels) / 6))
    ticks = [(float(i), labels[i]) for i in range(0, len(labels), every)]
    return _plot(axes, marks, ticks, "% of the energy, running unloaded")


def nice_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Some `about` round numbers from `low` to `high`."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def _plot(
    axes: Axes,
    marks: Sequence[str],
    x_ticks: Sequence[tuple[float, str]],
    y_title: str,
    *,
    x_title: str = "",
    legend: Sequence[tuple[str, str]] = (),
) -> str:
    floor = axes.height - BOTTOM
    parts: list[str] = []
    for value in nice_ticks(axes.y_low, axes.y_high):
        y = axes.y(value)
        parts.append(_line(LEFT, y, axes.width - RIGHT, y, "grid"))
        parts.append(_text(LEFT - 7.0, y + 3.5, _short(value), "tick end"))
    parts += marks
    parts.append(_line(LEFT, floor, axes.width - RIGHT, floor, "axis"))
    parts += [_text(axes.x(v), floor + 15.0, text, "tick middle") for v, text in x_ticks]
    parts.append(_text(LEFT, TOP - 5.0, y_title, "title"))
    if x_title:
        parts.append(_text(axes.width - RIGHT, floor + 32.0, x_title, "title end"))
    at = LEFT
    for kind, text in legend:
        parts.append(_key(at, floor + 33.0, kind))
        parts.append(_text(at + 20.0, floor + 36.5, text, "label"))
        at += 38.0 + 6.1 * len(text)
    body = "".join(parts)
    return f'<svg viewBox="0 0 {axes.width:g} {axes.height:g}" role="img" aria-label="{escape(y_title)}">{body}</svg>'


def _key(x: float, y: float, kind: str) -> str:
    if kind.startswith("bar"):
        return f'<rect class="{kind}" x="{x:.1f}" y="{y - 5.0:.1f}" width="14" height="10" rx="1.5"/>'
    if kind.startswith("dot"):
        return _dot(x + 7.0, y, kind)
    band = (
        f'<rect class="band" x="{x:.1f}" y="{y - 5.0:.1f}" width="14" height="10"/>' if kind == "line" else ""
    )
    return band + _line(x, y, x + 14.0, y, "expected" if kind == "line" else kind)


def _rect(x: float, y: float, width: float, floor: float, kind: str) -> str:
    height = max(floor - y, 0.0)
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="1.5"/>'
    )


def _line(x0: float, y0: float, x1: float, y1: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'


def _dot(x: float, y: float, kind: str) -> str:
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


def _text(x: float, y: float, text: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'


def _points(pairs: object) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)  # type: ignore[attr-defined]


def _runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """[first, last) of each stretch that is true."""
    edges = np.flatnonzero(
        np.diff(np.concatenate([[False], np.array(flags, dtype=bool), [False]]).astype(int))
    )
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:g}"
