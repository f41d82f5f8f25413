"""What a site's meter will show of machines that somebody else plans: as on days like this one, and as of now.

Two weeks by kind of day and quarter hour. Of what was seen in a quarter hour the upper quartile counts: it is
for a limit and a peak, where too little is dear. What stands above or below it now fades within hours: a batch
that began late is not a new level.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from agent.planner.hvac_present import PER_DAY, IntArray

Floats = NDArray[np.float64]

USUAL_QUANTILE = 0.75
NOW_STEPS = 4
NOW_FADE_STEPS = 8.0


def usual_course(past_kw: Floats, past_slots: IntArray, slots: IntArray) -> Floats | None:
    """The power of the steps to come, [kW], from the past [n] of quarter hours, NaN where unknown; None without any.

    `past_slots`, `slots`: of hvac_present.week_slots. A quarter hour never seen on such a day is taken as on any day.
    """
    known = np.isfinite(past_kw)
    if not known.any():
        return None
    if known[:-NOW_STEPS].any():
        known[-NOW_STEPS:] = False  # the last hour is compared with what was usual before
    of_kind = _by_slot(past_kw[known], past_slots[known])
    of_any = _by_slot(past_kw[known], past_slots[known] % PER_DAY)
    level = float(np.quantile(past_kw[known], USUAL_QUANTILE))

    def usual(wanted: IntArray) -> Floats:
        return np.array([of_kind.get(s, of_any.get(s % PER_DAY, level)) for s in wanted.tolist()])

    off = past_kw[-NOW_STEPS:] - usual(past_slots[-NOW_STEPS:])
    off = off[np.isfinite(off)]
    now = float(off.mean()) if off.size else 0.0
    faded = now * np.exp(-(np.arange(slots.size) + 0.5) / NOW_FADE_STEPS)
    return np.asarray(np.maximum(usual(slots) + faded, 0.0), dtype=np.float64)


def _by_slot(kw: Floats, slots: IntArray) -> dict[int, float]:
    return {slot: float(np.quantile(kw[slots == slot], USUAL_QUANTILE)) for slot in np.unique(slots).tolist()}
