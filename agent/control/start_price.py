"""What a motor start is made to cost, so that a week has no more of them than the site is used to.

A price that is right on one station starts machines twice as often as a plain sequencer does on the next. Where a
budget of starts is known, the price follows it: each start beyond the budget makes the next one dearer, each hour
without one cheaper. Price only: a machine that the air needs is started whatever it costs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from agent.control.memory import DAY_S

# The price doubles with each third of a day's budget that was overspent ...
_GAIN = 2.0
# ... up to this many minutes of full power where the site asks for so few starts: it may cost 0.8 % of the energy
# (docs/control.md). A mere habit is worth less than that.
_HIGHEST_ASKED_MIN = 40.0
_HIGHEST_HABIT_MIN = 24.0
# What quiet days save is kept for busy ones, up to this many days' budget.
_SAVED_DAYS = 0.5
# What was overspent is made good for: up to this many days' budget, or the dearest price would forgive what it cannot hold.
_OWED_DAYS = 1.0


class StartHabit(NamedTuple):
    """How a station was run while the agent only watched: starts of all machines a day, and the mean demand."""

    starts_per_day: float
    mean_demand_m3_min: float


class StartPrice:
    """The price of a start in minutes of full power, from `least_min` on.

    `budget_per_day` None: nothing is known of the site's habit, and the price stays. Starts come with work, so where
    the mean demand is known the budget accrues with the air that is taken instead of the hours that pass.
    """

    def __init__(self, least_min: float, budget_per_day: float | None) -> None:
        self._least_min = least_min
        self._given_per_day = budget_per_day
        self._habit: StartHabit | None = None
        self._over_days = 0.0

    @property
    def budget_per_day(self) -> float | None:
        """What the site asks for, else its habit; None where neither is known."""
        if self._given_per_day is not None or self._habit is None:
            return self._given_per_day
        return self._habit.starts_per_day

    @property
    def habit(self) -> StartHabit | None:
        """What is known of the time before our control."""
        return self._habit

    def learn(self, habit: StartHabit | None) -> None:
        """Take over what is known of the time before our control."""
        self._habit = habit

    @property
    def factor(self) -> float:
        """How many times `least_min` a start costs now; 1 or more."""
        return min(math.exp(_GAIN * max(self._over_days, 0.0)), self._highest)

    @property
    def _highest(self) -> float:
        most_min = _HIGHEST_HABIT_MIN if self._given_per_day is None else _HIGHEST_ASKED_MIN
        return max(most_min / self._least_min, 1.0) if self._least_min > 0.0 else 1.0

    def see(self, starts: int, demand_m3_min: float, dt_s: float) -> None:
        """Take in one tick under our control: motor starts since the last one, and what is taken."""
        budget = self.budget_per_day
        if budget is None or budget <= 0.0:
            self._over_days = 0.0
            return
        usual = 0.0 if self._habit is None else self._habit.mean_demand_m3_min
        pace = demand_m3_min / usual if usual > 0.0 else 1.0
        moved = self._over_days + starts / budget - pace * dt_s / DAY_S
        self._over_days = min(max(moved, -_SAVED_DAYS), _OWED_DAYS)
