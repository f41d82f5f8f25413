"""A point's scale, offset and unit, there and back. Pure."""

from __future__ import annotations

import math

from agent.config.parts import Point
from agent.units import CONVERSIONS, from_canonical


class EncodeError(ValueError):
    """The value cannot stand in the device: out of its range, or no number."""


def linear(point: Point) -> tuple[float, float]:
    """(factor, offset): canonical = raw * factor + offset."""
    conversion = CONVERSIONS[point.unit]
    return point.scale * conversion.factor, point.offset * conversion.factor + conversion.offset


def raw_of(point: Point, value: float) -> float:
    """The raw number that says `value` (canonical unit), not yet rounded. Raises EncodeError."""
    if not math.isfinite(value):
        raise EncodeError(f"{value} is no number")
    if point.scale == 0:
        raise EncodeError("scale 0 cannot be turned back")
    raw = (from_canonical(value, point.unit) - point.offset) / point.scale
    if not math.isfinite(raw):
        raise EncodeError(f"{value} is too large")
    return raw


def truth_of(raw: float, value: float) -> int:
    """0 or 1, where the device takes nothing else. Raises EncodeError."""
    if round(raw) not in (0, 1):
        raise EncodeError(f"{value} is neither 0 nor 1")
    return round(raw)
