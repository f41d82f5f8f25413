"""Plots as inline SVG: no script, nothing loaded, sharp on paper. Colours are classes of the style sheet around them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

WIDTH, HEIGHT = 820.0, 280.0
HALF_WIDTH, HALF_HEIGHT = 400.0, 230.0
LEFT, RIGHT, TOP, BOTTOM = 58.0, 14.0, 16.0, 46.0


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


def nice_ticks(low: float, high: float, about: int = 6) -> list[float]:
    """Some `about` round numbers from `low` to `high`."""
    raw = (high - low) / about
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= raw)
    first = math.ceil(low / step - 1e-9)
    return [round(k * step, 10) for k in range(first, math.floor(high / step + 1e-9) + 1)]


def plot(
    axes: Axes,
    marks: Sequence[str],
    x_ticks: Sequence[tuple[float, str]],
    y_title: str,
    *,
    x_title: str = "",
    legend: Sequence[tuple[str, str]] = (),
) -> str:
    """The marks inside their axes, with grid, ticks and a legend of (class, text)."""
    floor = axes.height - BOTTOM
    parts: list[str] = []
    for value in nice_ticks(axes.y_low, axes.y_high):
        y = axes.y(value)
        parts.append(line(LEFT, y, axes.width - RIGHT, y, "grid"))
        parts.append(text(LEFT - 7.0, y + 3.5, short(value), "tick end"))
    parts += marks
    parts.append(line(LEFT, floor, axes.width - RIGHT, floor, "axis"))
    parts += [text(axes.x(v), floor + 15.0, words, "tick middle") for v, words in x_ticks]
    parts.append(text(LEFT, TOP - 5.0, y_title, "title"))
    if x_title:
        parts.append(text(axes.width - RIGHT, floor + 32.0, x_title, "title end"))
    at = LEFT
    for kind, words in legend:
        parts.append(_key(at, floor + 33.0, kind))
        parts.append(text(at + 20.0, floor + 36.5, words, "label"))
        at += 38.0 + 6.1 * len(words)
    body = "".join(parts)
    return f'<svg viewBox="0 0 {axes.width:g} {axes.height:g}" role="img" aria-label="{escape(y_title)}">{body}</svg>'


def _key(x: float, y: float, kind: str) -> str:
    if kind.startswith("bar"):
        return f'<rect class="{kind}" x="{x:.1f}" y="{y - 5.0:.1f}" width="14" height="10" rx="1.5"/>'
    if kind.startswith("dot"):
        return dot(x + 7.0, y, kind)
    band = (
        f'<rect class="band" x="{x:.1f}" y="{y - 5.0:.1f}" width="14" height="10"/>' if kind == "line" else ""
    )
    return band + line(x, y, x + 14.0, y, "expected" if kind == "line" else kind)


def rect(x: float, y: float, width: float, floor: float, kind: str) -> str:
    """A bar from `y` down to `floor`."""
    height = max(floor - y, 0.0)
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="1.5"/>'
    )


def line(x0: float, y0: float, x1: float, y1: float, kind: str) -> str:
    """A straight line."""
    return f'<line class="{kind}" x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}"/>'


def dot(x: float, y: float, kind: str) -> str:
    """A dot."""
    return f'<circle class="{kind}" cx="{x:.1f}" cy="{y:.1f}" r="4"/>'


def text(x: float, y: float, words: str, kind: str) -> str:
    """Words that start, end or centre at `x`, as their class says."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}">{escape(words)}</text>'


def points(pairs: Iterable[tuple[float, float]]) -> str:
    """For polylines and polygons."""
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in pairs)


def runs(flags: Sequence[bool]) -> list[tuple[int, int]]:
    """[first, last) of each stretch that is true."""
    edges = np.flatnonzero(
        np.diff(np.concatenate([[False], np.array(flags, dtype=bool), [False]]).astype(int))
    )
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def short(value: float) -> str:
    """A tick's number."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == round(value) else f"{value:g}"
