"""A budget of motor starts for site.toml: how many the control before makes, and what it costs to make no more.

A budget is no saving: it costs energy and spares motors and contactors. What it is worth is the site's to say, so it is
proposed beside the other numbers, with its price, and only where the agent would start clearly more often.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta

import numpy as np

from agent.config.site import Site, Station
from agent.control.start_price import StartHabit
from agent.savings.kpi import starts_by_minute
from agent.savings.measured import MINUTE_S, StationMinutes
from twin.baselines.sequencer import Sequencer, SequencerSettings
from twin.baselines.tune import ServiceLimits
from twin.demand import DemandSeries
from twin.simulate import Scene, run_sequencer
from twin.tune_agent import (
    DAY_S,
    STARTS_ALLOWANCE_A_DAY,
    STARTS_FACTOR,
    STEP_S,
    Service,
    Settings,
    play_agent,
    service_of,
)

KEY = "starts_per_day_budget"
# A habit is what was seen of a working week at least.
_HABIT_DAYS = 5.0
# A budget that takes fewer starts away than this changes nothing.
_LEAST_FEWER_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class StartsBudget:
    """What another control starts a day, and the agent on the days kept back without and with that as its budget.

    `within` None: the agent starts hardly more often as it is, or site.toml has a budget already.
    """

    theirs_a_day: float
    whose: str
    budget: float
    without: Service
    within: Service | None

    @property
    def price_share(self) -> float:
        """Energy that the budget costs, as a share."""
        return 0.0 if self.within is None else self.within.energy_kwh / self.without.energy_kwh - 1.0

    @property
    def proposed(self) -> bool:
        """Whether it takes a tenth of the starts away and breaks no limit of service further."""
        if self.within is None:
            return False
        fewer = 1.0 - self.within.starts_a_day / self.without.starts_a_day
        return fewer >= _LEAST_FEWER_SHARE and self.within.broken <= self.without.broken


def watched_habit(minutes: StationMinutes) -> StartHabit | None:
    """Starts and mean demand of the minutes in which the plant was left alone; None below five days of them."""
    starts = starts_by_minute(minutes.running)
    seen = minutes.watched & np.isfinite(starts).all(axis=1) & np.isfinite(minutes.demand_m3_min)
    days = float(seen.sum()) * MINUTE_S / DAY_S
    if days < _HABIT_DAYS:
        return None
    return StartHabit(float(starts[seen].sum()) / days, float(minutes.demand_m3_min[seen].mean()))


def sequencer_starts_a_day(
    site: Site,
    station_id: str,
    true_station: Station,
    demand: DemandSeries,
    settings: SequencerSettings,
    *,
    seed: int = 0,
    step_s: float = STEP_S,
) -> float:
    """Motor starts a day of a sequencer with `settings` on the twin."""
    end_at = demand.start_at + timedelta(seconds=len(demand.values) * demand.step_s)
    scene = Scene(
        site, station_id, demand, demand.start_at, end_at, seed, step_s=step_s, true_station=true_station
    )
    books = run_sequencer(scene, Sequencer(site.stations[station_id], settings=settings)).books
    return sum(books.starts.values()) * DAY_S / books.elapsed_s


def weigh_budget(
    site: Site,
    station_id: str,
    true_station: Station,
    demand: DemandSeries,
    settings: Settings,
    *,
    theirs_a_day: float,
    whose: str,
    habit: StartHabit | None = None,
    seed: int = 0,
    step_s: float = STEP_S,
) -> StartsBudget:
    """The agent with `settings` on `demand`, as it comes and with the other control's starts as its budget.

    `habit`: what the agent will have seen of the control before when it takes over; it keeps to that by itself, as far
    as a start may then cost (agent/control/start_price.py).
    """
    limits = ServiceLimits()

    def judge(more: Settings) -> Service:
        played = {**settings, **more}
        books, daily = play_agent(site, station_id, true_station, played, demand, seed, step_s, habit=habit)
        return service_of(books, limits, daily)

    without = judge({})
    budget = float(max(math.ceil(theirs_a_day), 1))
    given = site.stations[station_id].starts_per_day_budget is not None
    many = without.starts_a_day > STARTS_FACTOR * theirs_a_day + STARTS_ALLOWANCE_A_DAY
    within = judge({KEY: budget}) if many and not given else None
    return StartsBudget(theirs_a_day, whose, budget, without, within)


def budget_text(found: StartsBudget) -> str:
    """One line for a person."""
    begin = (
        f"motor starts: {found.without.starts_a_day:.0f} a day, {found.whose} made {found.theirs_a_day:.0f}"
    )
    if found.within is None:
        return f"{begin}: no budget is proposed"
    tried = (
        f"{KEY} = {found.budget:g} brings {found.within.starts_a_day:.0f} a day for "
        f"{100.0 * found.price_share:+.2f} % energy on the days kept back"
    )
    if found.proposed:
        return f"{begin}; {tried}"
    return f"{begin}; {tried}: too few saved, or the plant served worse, so it is not proposed"
