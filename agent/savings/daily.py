"""Days that may be counted: energy and air over the same minutes, and who was in command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.savings.kpi import Derived
from agent.savings.measured import MINUTES_PER_HOUR, Flags
from agent.savings.periods import Period

# A day with more gaps than this tells another day's story.
LEAST_COVERAGE = 0.9
# Shares of the minutes with a mode: below the first the plant was left alone, above the second the agent ruled.
LEFT_ALONE, RULED = 0.01, 0.9


@dataclass(frozen=True, slots=True)
class Day:
    """A local day. Energy and air count the minutes in which both were measured, `hours` of them."""

    period: Period
    hours: float
    energy_kwh: float
    air_m3: float
    coverage: float
    armed_share: float | None

    @property
    def counts(self) -> bool:
        """Whether enough of it was measured."""
        return self.coverage >= LEAST_COVERAGE

    @property
    def left_alone(self) -> bool:
        """In OBSERVE or ADVISE all day: the plant as it was without the agent."""
        return self.armed_share is not None and self.armed_share <= LEFT_ALONE

    @property
    def ruled(self) -> bool:
        """In CONTROL, or in a fall-back from it, for nearly all of the day."""
        return self.armed_share is not None and self.armed_share >= RULED


def both_known(derived: Derived) -> Flags:
    """Minutes in which power and air were measured."""
    known: NDArray[np.bool_] = np.isfinite(derived.power_kw) & np.isfinite(derived.minutes.demand_m3_min)
    return known


def days_of(derived: Derived, periods: Sequence[Period]) -> tuple[Day, ...]:
    """One row for each local day of `periods`."""
    minutes, known = derived.minutes, both_known(derived)
    known_mode = np.isfinite(minutes.mode)
    out: list[Day] = []
    for period in periods:
        cut = slice(minutes.index_of(period.from_at), minutes.index_of(period.to_at))
        there, moded = known[cut], known_mode[cut]
        out.append(
            Day(
                period=period,
                hours=float(there.sum()) / MINUTES_PER_HOUR,
                energy_kwh=float(derived.power_kw[cut][there].sum()) / MINUTES_PER_HOUR,
                air_m3=float(minutes.demand_m3_min[cut][there].sum()),
                coverage=float(there.sum()) / MINUTES_PER_HOUR / period.hours if period.whole else 0.0,
                armed_share=float(minutes.armed[cut][moded].mean()) if moded.any() else None,
            )
        )
    return tuple(out)
