"""What writing has in common over every wire: the last check before it, the comparison after it. Pure."""

from __future__ import annotations

import math
from datetime import datetime

from agent.config.parts import Point
from agent.domain import Command

AWAY = "the device does not answer"


def why_not(point: Point, command: Command, now: datetime) -> str:
    """The reason to leave the command unwritten, "" where there is none.

    Handing back (value None) is never too late and never out of range.
    """
    value = command.value
    if value is None:
        return ""
    if not point.writable:
        return "the point is not writable in the device's configuration"
    if not math.isfinite(value):
        return f"{value} is no number"
    if now > command.not_after:
        return f"expired at {command.not_after.isoformat()}"
    if point.write_min is not None and value < point.write_min:
        return f"{value:g} is below write_min {point.write_min:g}"
    if point.write_max is not None and value > point.write_max:
        return f"{value:g} is above write_max {point.write_max:g}"
    return ""


def agrees(point: Point, wanted: float | None, read_back: float | None) -> bool:
    """Whether what stands in the device is what was wanted, within the point's tolerance."""
    if wanted is None or read_back is None:
        return wanted is read_back
    # One part in a billion covers the rounding of scale and unit on the way there and back.
    return abs(read_back - wanted) <= point.tolerance + 1e-9 * max(1.0, abs(wanted))


def shown(value: float | None) -> str:
    """A value in a message."""
    return "nothing" if value is None else f"{value:.6g}"
