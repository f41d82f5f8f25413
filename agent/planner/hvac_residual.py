"""Heat that a zone's model does not explain: what of it lasts, and what passes.

Wind, a warm spell in the walls and machines that run day and night last for days; doors and people pass
within hours. The mean of the last day stands for the first kind, what the last two hours held beyond it for
the second. Days held back in random halls (twin/hvac_world.py) missed 10 to 35 % less a day ahead with it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agent.planner.hvac_model import FloatArray

STEP_H = 0.25
LASTING_STEPS, LASTING_FADE_H = 96, 48.0
PASSING_STEPS, PASSING_FADE_H = 8, 4.0


class Unexplained(NamedTuple):
    """Heat at the end of a past, [kW], by how long it stays."""

    lasting_kw: float = 0.0
    passing_kw: float = 0.0


def unexplained(residual_kw: FloatArray, most_kw: float = np.inf) -> Unexplained:
    """From the heat that was missing in each quarter hour of the past [n], NaN where unknown.

    An hour that is not known says nothing: of a short past only that share is believed.
    """
    lasting = float(np.nansum(residual_kw[-LASTING_STEPS:])) / LASTING_STEPS
    late = residual_kw[-PASSING_STEPS:]
    passing = float(np.nansum(late - lasting)) / PASSING_STEPS
    lasting = float(np.clip(lasting, -most_kw, most_kw))
    return Unexplained(lasting, float(np.clip(passing, -most_kw - lasting, most_kw - lasting)))


def unexplained_course(found: Unexplained, steps: int, step_s: float) -> FloatArray:
    """What is left of it in each step to come, [kW]."""
    lead_h = (np.arange(steps) + 0.5) * step_s / 3600.0
    course = found.lasting_kw * np.exp(-lead_h / LASTING_FADE_H)
    return np.asarray(course + found.passing_kw * np.exp(-lead_h / PASSING_FADE_H), dtype=np.float64)
