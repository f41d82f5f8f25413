"""Which machines to keep running for the next two hours: exact over sets, fast enough for every minute.

Backward dynamic programming over sets of running machines. Stage cost is the set's spread cost
(agent/planner/sets.py), a change costs the starts it needs, and what the day's plan runs at the
end of the horizon is worth the starts it saves. A machine that delivers minutes after its start order
is chosen that much sooner: until it delivers, the set before the change carries the demand.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from agent.planner.sets import Floats, SetTable

# kW per m3/min of demand that a set cannot cover, so that capacity comes before economy.
_SHORT_KW_MIN_M3 = 200.0


@dataclass(frozen=True, slots=True)
class LookaheadSettings:
    """`steps_s` are the lengths of the steps: short ones where a start is near, long ones up to two hours so
    that a start is weighed against all the time it serves. `margin` on demand where capacity is checked (the
    spread holds the reserve), `start_min` minutes of full power that a start is made to cost: its energy is
    about one, the rest is wear and that a machine started for a peak is soon stopped and started again.
    `plan_weight` is the share of the starts saved by the day plan's set at the end that counts: its forecast
    errs, and a whole share kept machines running for 0.3 % more energy (0.25, 0.5 and 1 tried on three days).
    """

    steps_s: tuple[float, ...] = (300.0, 300.0, 600.0, 1200.0, 1800.0, 3000.0)
    margin: float = 0.0
    start_min: float = 8.0
    plan_weight: float = 0.25


@dataclass(frozen=True, slots=True)
class Choice:
    """The set to run now, what it costs over the horizon, and why."""

    mask: int
    cost_kwh: float
    why: Callable[[], str]

    @property
    def reason(self) -> str:
        """In words; made when somebody asks, which is seldom: the choice is made every minute."""
        return self.why()


class Lookahead:
    """Holds the start costs between all sets of one table."""

    def __init__(
        self,
        table: SetTable,
        full_power_kw: Sequence[float],
        settings: LookaheadSettings,
        *,
        start_s: Sequence[float] = (),
        unloaded_power_kw: Sequence[float] = (),
    ) -> None:
        """`start_s`, `unloaded_power_kw`: of each machine, for starts that fill half of the first step or more."""
        self.table = table
        self.settings = settings
        bits = ((table.masks[:, None] >> np.arange(len(table.machines))) & 1).astype(np.float64)
        # Column by column of the table, each in one piece.
        self._spread_kw: Floats = np.ascontiguousarray(table.spread_kw.T)
        # [from, to]: kWh of the starts that the change needs.
        start_kwh = np.array(full_power_kw) * settings.start_min / 60.0
        self._change: Floats = (1.0 - bits) @ (bits * start_kwh).T
        # [to, from], and room for one step of the programme: the least over `to` is then taken row by row.
        self._change_to: Floats = np.ascontiguousarray(self._change.T)
        self._work: Floats = np.empty_like(self._change_to)
        self._hours: Floats = np.array(settings.steps_s) / 3600.0
        self._lag_s: Floats | None = None
        self._turning_kw: Floats = np.zeros_like(self._change)
        slow_s = np.array([s if s >= 0.5 * settings.steps_s[0] else 0.0 for s in start_s])
        if slow_s.any():
            # [from, to]: seconds until the slowest of the machines to start delivers, and what they draw until then.
            lag_s = np.zeros_like(self._change)
            for index, after_s in enumerate(slow_s):
                starts = np.outer(1.0 - bits[:, index], bits[:, index])
                lag_s = np.maximum(lag_s, after_s * starts)
                if after_s > 0.0:
                    self._turning_kw += unloaded_power_kw[index] * starts
            self._lag_s = lag_s

    def choose(
        self,
        running: int,
        demand_m3_min: Sequence[float],
        *,
        barred: int = 0,
        held: int = 0,
        end_running: int | None = None,
        lately_m3_min: float = 0.0,
        start_factor: float = 1.0,
        peak: tuple[float, float] | None = None,
    ) -> Choice:
        """The best set for now.

        `running` bits run already; `barred` bits may not run now, `held` bits must. `demand` is one
        value per step of the horizon. `end_running`: what the day's plan runs after it. `lately`: the
        highest demand of the last minutes. `start_factor`: how many times its usual price a start costs now. `peak`:
        mean and deviation of the coming hour's highest demand.
        """
        table = self.table
        change, change_to = self._change, self._change_to
        if start_factor != 1.0:
            change, change_to = change * start_factor, change_to * start_factor
        if end_running is not None and end_running in table.index_of:
            future = self.settings.plan_weight * change[:, table.index_of[end_running]]
        else:
            future = np.zeros(len(table.masks))
        stages = self._stages(demand_m3_min)
        spent = stages * self._hours[: len(demand_m3_min), None]
        for place in range(len(demand_m3_min) - 1, 0, -1):
            onwards = spent[place] + future
            if self._lag_s is None:
                np.add(change_to, onwards[:, None], out=self._work)
                future = np.minimum.reduce(self._work, axis=0)
                continue
            cost = change + onwards[None, :]
            stage, span_h = stages[place], float(self._hours[place])
            cost += self._waiting(stage[:, None], stage[None, :], span_h, slice(None))
            future = cost.min(axis=1)
        stage = stages[0]
        now = spent[0] + future
        now = now + self._change_from(running, change)
        if self._lag_s is not None:
            row = self._row_of(running)
            now = now + self._waiting(stage[row], stage, float(self._hours[0]), row)
        here = table.index_of.get(running)
        if here is not None:
            # A set that could not have carried what was taken lately will start again what it stops.
            again = np.where(table.capacity < lately_m3_min, 1.0, 0.0)
            if peak is not None and start_factor > 1.0:
                # To stop a step later saves the start only where it is wanted within that step. What it costs beyond
                # its usual price counts: at the usual one this kept machines idling for 0.1 to 0.3 % of the energy.
                within = 1.0 - (1.0 - self._chance_above(*peak)) ** float(self._hours[0])
                again = np.maximum(again, (1.0 - 1.0 / start_factor) * within)
            now = now + again * change[:, here]
        if barred or held:
            illegal = ((table.masks & barred) != 0) | ((table.masks & held) != held)
            if bool(illegal.all()):
                return Choice(
                    held | (running & ~barred),
                    float("nan"),
                    lambda: "no set satisfies what is held and barred",
                )
            now[illegal] = np.inf
        best = int(np.argmin(now))
        stay = table.index_of.get(running)
        steps_s = self.settings.steps_s[: len(demand_m3_min) - 1]

        def words() -> str:
            can_stay = stay is not None and bool(np.isfinite(now[stay]))
            gain = (
                f"saves {now[stay] - now[best]:.2f} kWh against staying"
                if can_stay
                else "it cannot stay as it is"
            )
            return f"{demand_m3_min[0]:.1f} m3/min now, {demand_m3_min[-1]:.1f} in {sum(steps_s) / 60:.0f} min; {gain}"

        return Choice(int(table.masks[best]), float(now[best]), words)

    def _chance_above(self, mean_m3_min: float, deviation_m3_min: float) -> Floats:
        """Chance [S] that a peak, normally distributed, is above what each set delivers; logistic, within 0.01."""
        beyond = (self.table.capacity - mean_m3_min) / max(deviation_m3_min, 1e-9)
        chance: Floats = 1.0 / (1.0 + np.exp(np.clip(1.702 * beyond, -50.0, 50.0)))
        return chance

    def _stages(self, demand_m3_min: Sequence[float]) -> Floats:
        """Cost [steps, S] of each set at each demand, kW."""
        table = self.table
        needed = np.array(demand_m3_min) * (1.0 + self.settings.margin)
        short = np.maximum(needed[:, None] - table.capacity, 0.0)
        columns = [table.column(demand) for demand in demand_m3_min]
        stages: Floats = self._spread_kw[columns] + _SHORT_KW_MIN_M3 * short
        return stages

    def _waiting(self, stage_from: Floats, stage_to: Floats, span_h: float, rows: slice | int) -> Floats:
        """kWh that a change costs more, since the set before it carries the demand until the started machines deliver.

        A start that outlasts its step is counted for that step only.
        """
        assert self._lag_s is not None
        lag_h = np.minimum(self._lag_s[rows] / 3600.0, span_h)
        more: Floats = lag_h * (stage_from - stage_to + self._turning_kw[rows])
        return more

    def _change_from(self, running: int, change: Floats) -> Floats:
        known: Floats = change[self._row_of(running)]
        return known

    def _row_of(self, running: int) -> int:
        row = self.table.index_of.get(running)
        if row is not None:
            return row
        # A set outside the table: price it by its nearest one inside (most machines in common).
        common = [
            int(running & int(m)).bit_count() - int(int(m) & ~running).bit_count() for m in self.table.masks
        ]
        return int(np.argmax(common))
