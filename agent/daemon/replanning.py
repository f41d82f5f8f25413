"""When a station's day is planned anew: by the clock, and when something has happened that the plan did not know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING

from agent.config.site import Site
from agent.control.station import StationControl, TickResult
from agent.daemon.outlook import HORIZON, PLAN_EVERY_S, machines_now
from agent.domain import Plan
from agent.inference.forecaster import QuantileForecast
from agent.planner.day import plan_days
from agent.planner.replan import ReplanCause, Sight, Watch, look, widened

if TYPE_CHECKING:
    from agent.daemon.runtime import StationRuntime

# What is looked at changes within minutes; looking oftener would only see its noise.
LOOK_EVERY_S = 30.0


@dataclass(slots=True)
class PlanWatch:
    """One station's looks. `why` tells the last cause, for the ledger."""

    why: str = ""
    _watch: Watch = field(default_factory=Watch)
    _looked_s: float = float("-inf")
    _unready: frozenset[str] = frozenset()

    def cause(
        self, at: datetime, control: StationControl, result: TickResult, forecast: QuantileForecast | None
    ) -> ReplanCause | None:
        """Why a plan should be made now; None mostly. The caller makes it: it counts as made."""
        at_s = at.timestamp()
        if forecast is None or 0.0 <= at_s - self._looked_s < LOOK_EVERY_S:
            return None
        if at_s < self._looked_s:
            # The clock was set back: what was planned for then is as good as not planned.
            self._watch = Watch()
        self._looked_s = at_s
        self._watch, cause = look(
            self._watch, self._sight(at, control, result, forecast), period_s=PLAN_EVERY_S
        )
        if cause is not None:
            self.why = cause.value
        return cause

    def made(
        self, at: datetime, control: StationControl, result: TickResult, forecast: QuantileForecast | None
    ) -> None:
        """A plan is made for the station because another one behind the same meter wanted one."""
        if forecast is not None:
            self._watch, self.why = Watch(planned_for=self._sight(at, control, result, forecast)), "site"

    def _sight(
        self, at: datetime, control: StationControl, result: TickResult, forecast: QuantileForecast
    ) -> Sight:
        station, memory, names = control.fleet.station, control.memory, control.fleet.names
        now_s = result.view.at_s
        low, high = _band(at, forecast)
        unready = frozenset(
            n for n, m in zip(names, result.view.machines, strict=True) if m.ready is False and not m.tripped
        )
        # Many controllers are not ready while they blow down: only what stays so is an event.
        passing, self._unready = unready - self._unready, unready
        now = machines_now(control, result.view)
        return Sight(
            at_s=at.timestamp(),
            demand_m3_min=None if result.demand is None else result.demand.slow_m3_min,
            demand_low_m3_min=low,
            demand_high_m3_min=high,
            pressure_bar=result.view.pressure_bar_g,
            pressure_min_bar=station.pressure_min_bar_g,
            available=frozenset(n for n in names if now[n].available or n in passing),
            overrides=frozenset(
                f"{name} {'locked out' if past.locked_out else past.overridden(now_s)}"
                for name, past in zip(names, memory.machines, strict=True)
                if past.locked_out or past.overridden(now_s) is not None
            ),
        )


def _band(at: datetime, forecast: QuantileForecast) -> tuple[float, float]:
    """P10 and P90 of now, wider with the forecast's age; without bounds where the forecast does not reach."""
    found = forecast.at(at)
    if found is None:
        return 0.0, float("inf")
    age_h = (at - forecast.first_at).total_seconds() / 3600.0
    return widened(*found, age_h=age_h)


def wants_plan(runtime: StationRuntime, result: TickResult, at: datetime) -> bool:
    """By the clock, or by an event; where the demand has left the forecast's band, that is renewed first."""
    foresight = runtime.foresight
    cause = runtime.plan_watch.cause(at, runtime.control, result, foresight.forecast)
    if cause is ReplanCause.DEMAND:
        foresight.renew_forecast(at)
    if cause is None and foresight.plan_due(at.timestamp()):
        # Something known ahead has changed: whoever knows it asked for haste.
        runtime.plan_watch.why = "known ahead"
        return True
    return cause is not None


def share_a_meter(site: Site) -> bool:
    """Whether the site's stations have to be planned together: one limit or one billing peak for several."""
    tariff = site.tariff
    return len(site.stations) > 1 and (tariff.site_limit_kw is not None or tariff.demand_charge_per_kw > 0.0)


def plan_work(
    runtime: StationRuntime, peers: Sequence[StationRuntime], at: datetime
) -> tuple[tuple[StationRuntime, ...], Callable[[], tuple[Plan, ...]]] | None:
    """Who gets a plan, and the work of making it; None while nothing can be planned for `runtime`.

    `peers` are the other stations behind the same meter: what is planned for one is planned for all that can be.
    """
    assert runtime.last is not None
    if not peers:
        job = runtime.foresight.plan_job(at, runtime.control, runtime.last.view)
        return None if job is None else ((runtime,), lambda: (job(),))
    first = runtime.foresight.plan_ask(at, runtime.control, runtime.last.view)
    if first is None:
        return None
    planned, asks = [runtime], [first]
    for peer in peers:
        if peer.last is None:
            continue
        ask = peer.foresight.plan_ask(at, peer.control, peer.last.view)
        if ask is not None:
            planned.append(peer)
            asks.append(ask)
            peer.plan_watch.made(at, peer.control, peer.last, peer.foresight.forecast)
    budget = runtime.foresight.budget
    return tuple(planned), lambda: plan_days(asks, budget=budget)


def plan_event(plan: Plan, cause: str) -> tuple[str, datetime, dict[str, object]]:
    """The plan for the ledger and the uplink."""
    return (
        "plan",
        plan.made_at,
        {
            "plan": plan.plan_id,
            "station": plan.station,
            "status": plan.status.value,
            "cause": cause,
            "cost": plan.cost,
            "reasons": list(plan.reasons),
            "running": [
                [step.at.isoformat(), sorted(step.running), round(step.demand_m3_min, 2)]
                for step in plan.steps[:HORIZON:4]
            ],
            # `trimload plan --from-ledger` makes the plan again from these two.
            "case": plan.case,
            "budget": plan.budget,
        },
    )
