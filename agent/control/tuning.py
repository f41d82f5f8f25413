"""What a search may change of a station's control, and the tables that follow from it and from the machines."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from agent.config.site import Station
from agent.control.view import Fleet
from agent.planner.lookahead import Lookahead, LookaheadSettings
from agent.planner.sets import SetTable, SpreadSettings, build_sets


class Tuning(NamedTuple):
    """What a search on the site's twin may change; the defaults need no search."""

    spread: SpreadSettings = SpreadSettings()
    lookahead: LookaheadSettings = LookaheadSettings()
    commit_every_s: float = 60.0
    keep_s: float = 300.0


def tuning_of(station: Station) -> Tuning:
    """As the site's file says.

    Where a machine takes minutes to deliver, no start answers the demand's swing within them: the chosen
    machines must carry it, so capacity is checked with the spread on top.
    """
    lookahead = LookaheadSettings(start_min=station.start_cost_min)
    if max((m.start_s for m in station.machines.values()), default=0.0) >= 0.5 * lookahead.steps_s[0]:
        lookahead = replace(lookahead, margin=station.demand_spread)
    return Tuning(spread=SpreadSettings(spread=station.demand_spread), lookahead=lookahead)


def sets_of(fleet: Fleet, tuning: Tuning) -> tuple[SetTable, Lookahead]:
    """The table of sets of these machines, and the look-ahead over it."""
    station = fleet.station
    table = build_sets(station, tuning.spread, band_bar=station.band_width_bar)
    return table, Lookahead(
        table,
        [m.full_power_kw for m in fleet.machines],
        tuning.lookahead,
        start_s=[m.start_s for m in fleet.machines],
        unloaded_power_kw=[m.unloaded_power_kw for m in fleet.machines],
    )
