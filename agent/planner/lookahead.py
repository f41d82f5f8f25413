"""Which machines to keep running for the next half hour: exact over sets, fast enough for every minute.

Backward dynamic programming over sets of running machines. Stage cost is the set's spread cost
(agent/planner/sets.py), a change costs the starts it needs, and what the day's plan runs at the
end of the horizon is worth the starts it saves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from agent.planner.sets import Floats, SetTable

# kW per m3/min of demand that a set cannot cover, so that capacity comes before economy.
_SHORT_KW_MIN_M3 = 200.0


@dataclass(frozen=True, slots=True)
class LookaheadSettings:
    """`step_s` of the grid, `margin` on demand where capacity is checked (the spread
    holds the reserve), `start_min` minutes of full power that a start is made to cost (1 to 4 tried in
    closed loop on a week of two stations: 3 used 0.4 % less than 1, with a third fewer starts).
    `plan_weight` is the share of the starts saved by the day plan's set at the end that counts: its forecast
    errs, and a whole share kept machines running for 0.3 % more energy (0.25, 0.5 and 1 tried on three days).
    """

    step_s: float = 300.0
    steps: int = 6
    margin: float = 0.0
    start_min: float = 3.0
    plan_weight: float = 0.25


@dataclass(frozen=True, slots=True)
class Choice:
    """The set to run now, what it costs over the horizon, and why."""

    mask: int
    cost_kwh: float
    reason: str


class Lookahead:
    """Holds the start costs between all sets of one table."""

    def __init__(self, table: SetTable, full_power_kw: Sequence[float], settings: LookaheadSettings) -> None:
        self.table = table
        self.settings = settings
        start_kwh = np.array(full_power_kw) * settings.start_min / 60.0
        bits = ((table.masks[:, None] >> np.arange(len(table.machines))) & 1).astype(np.float64)
        # [from, to]: kWh of the starts that the change needs.
        self._change: Floats = (1.0 - bits) @ (bits * start_kwh).T

    def choose(
        self,
        running: int,
        demand_m3_min: Sequence[float],
        *,
        barred: int = 0,
        held: int = 0,
        end_running: int | None = None,
    ) -> Choice:
        """The best set for now.

        `running` bits run already; `barred` bits may not run now, `held` bits must. `demand` is one
        value per step of the horizon. `end_running`: what the day's plan runs after it.
        """
        table = self.table
        hours = self.settings.step_s / 3600.0
        if end_running is not None and end_running in table.index_of:
            future = self.settings.plan_weight * self._change[:, table.index_of[end_running]]
        else:
            future = np.zeros(len(table.masks))
        for demand in reversed(demand_m3_min[1:]):
            future = np.min(self._change + (self._stage(demand) * hours + future)[None, :], axis=1)
        now = self._stage(demand_m3_min[0]) * hours + future
        now = now + self._change_from(running)
        illegal = ((table.masks & barred) != 0) | ((table.masks & held) != held)
        if bool(illegal.all()):
            return Choice(
                held | (running & ~barred), float("nan"), "no set satisfies what is held and barred"
            )
        now[illegal] = np.inf
        best = int(np.argmin(now))
        stay = table.index_of.get(running)
        saving = float(now[stay] - now[best]) if stay is not None and np.isfinite(now[stay]) else float("nan")
        reason = (
            f"{demand_m3_min[0]:.1f} m3/min now, {demand_m3_min[-1]:.1f} in "
            f"{self.settings.step_s * (len(demand_m3_min) - 1) / 60:.0f} min; "
            f"saves {saving:.2f} kWh against staying"
        )
        return Choice(int(table.masks[best]), float(now[best]), reason)

    def _stage(self, demand_m3_min: float) -> Floats:
        table = self.table
        short = np.maximum(demand_m3_min * (1.0 + self.settings.margin) - table.capacity, 0.0)
        stage: Floats = table.spread_kw[:, table.column(demand_m3_min)] + _SHORT_KW_MIN_M3 * short
        return stage

    def _change_from(self, running: int) -> Floats:
        row = self.table.index_of.get(running)
        if row is not None:
            known: Floats = self._change[row]
            return known
        # A set outside the table: price it by its nearest one inside (most machines in common).
        common = [
            int(running & int(m)).bit_count() - int(int(m) & ~running).bit_count() for m in self.table.masks
        ]
        nearest: Floats = self._change[int(np.argmax(common))]
        return nearest
