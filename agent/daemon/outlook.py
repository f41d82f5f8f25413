"""A station's memory of its demand, the forecast made of it, and the day's plan made of that."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from math import ceil, floor
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Station, Tariff
from agent.control.station import LookAhead, Outlook, StationControl
from agent.control.view import StationView
from agent.daemon.planned_demand import PlannedDemand
from agent.daemon.skill import Skill
from agent.domain import Plan
from agent.inference.contract import Contract
from agent.inference.forecaster import Forecaster, QuantileForecast, TargetSpec
from agent.inference.model import Model
from agent.inference.series import Series
from agent.planner.budget import Budget
from agent.planner.day import Beside, DayAsk, DemandOutlook, MachineNow, plan_day

Floats = NDArray[np.float64]

STEP_S = 900
HORIZON = 96
# The forecast is renewed each quarter hour, the day's plan each half hour or on an event.
FORECAST_EVERY_S = 900.0
PLAN_EVERY_S = 1800.0
_KEEP_STEPS = 60 * 96
_RETRY_S = 60.0
# A longer step of the look-ahead is looked at this often.
_LOOK_S = 600.0


class DemandForecast(Protocol):
    """Anything that forecasts a station's demand."""

    def forecast(self, history: Series, known: Series | None, at: datetime) -> QuantileForecast:
        """P10/P50/P90 from history before `at`."""
        ...


# What is known ahead of a model's columns, for a forecast at an instant; None for a model without any.
KnownAhead = Callable[[Contract, datetime], Series | None]


def demand_spec(
    station_id: str, station: Station, timezone: str, holidays: frozenset[date] = frozenset()
) -> TargetSpec:
    """The forecast target of a station: its free-air demand on a quarter-hour grid."""
    return TargetSpec(
        target=f"{station_id}.demand_m3_min",
        unit="m3/min",
        step_s=STEP_S,
        horizon=HORIZON,
        tz=timezone,
        limit_low=0.0,
        limit_high=1.2 * sum(m.full_flow_m3_min for m in station.machines.values()),
        holidays=holidays,
    )


def site_forecaster(
    station_id: str,
    station: Station,
    timezone: str,
    model: Model | None,
    elapsed: Callable[[], float] | None = None,
    holidays: frozenset[date] = frozenset(),
) -> Forecaster:
    """The forecaster of a station: its model where there is one, the naive rule otherwise."""
    return Forecaster(demand_spec(station_id, station, timezone, holidays), model, elapsed)


class DemandHistory:
    """Quarter-hour means of the demand, as many as the longest model looks back."""

    def __init__(self) -> None:
        self._first_slot: int | None = None
        self._values: list[float] = []
        self._slot: int | None = None
        self._sum = 0.0
        self._count = 0

    def add(self, at_s: float, demand_m3_min: float) -> bool:
        """Take in one tick's demand; whether it closed a quarter hour."""
        slot = int(at_s // STEP_S)
        closed = slot != self._slot
        if closed:
            self._close()
            self._slot, self._sum, self._count = slot, 0.0, 0
        self._sum += demand_m3_min
        self._count += 1
        return closed

    def load(self, first_at: datetime, values: Sequence[float]) -> None:
        """Take in means from the past, e.g. from the store; NaN where there are none."""
        self._first_slot = int(first_at.timestamp() // STEP_S)
        self._values = list(values)[-_KEEP_STEPS:]
        self._first_slot += len(values) - len(self._values)

    def series(self) -> Series | None:
        """The closed quarter hours; None before the first."""
        if self._first_slot is None or not self._values:
            return None
        first_at = datetime.fromtimestamp(self._first_slot * STEP_S, UTC)
        return Series(first_at, STEP_S, np.array(self._values))

    def _close(self) -> None:
        if self._slot is None or self._count == 0:
            return
        if self._first_slot is None:
            self._first_slot = self._slot
        gap = self._slot - self._first_slot - len(self._values)
        if gap < 0:
            return
        if gap >= _KEEP_STEPS:
            # Nothing before so long a gap is looked back at: begin anew behind it.
            self._values.clear()
            self._first_slot, gap = self._slot, 0
        self._values.extend([float("nan")] * gap)
        self._values.append(self._sum / self._count)
        if len(self._values) > _KEEP_STEPS:
            drop = len(self._values) - _KEEP_STEPS
            del self._values[:drop]
            self._first_slot += drop


@dataclass(slots=True)
class Foresight:
    """Forecast and plan in force of one station, renewed when due."""

    station_id: str
    station: Station
    tariff: Tariff
    timezone: str
    forecaster: DemandForecast
    history: DemandHistory
    budget: Budget | None = None
    forecast_every_s: float = FORECAST_EVERY_S
    forecast: QuantileForecast | None = None
    plan: Plan | None = None
    known: KnownAhead | None = None
    # What the lines of the production plan draw, where the site has one.
    planned: PlannedDemand | None = None
    # What else is on the site's meter from an instant on, in so many steps of `STEP_S`.
    beside: Callable[[datetime, int], Beside] | None = None
    _skill: Skill = field(default_factory=Skill)
    _forecast_s: float = float("-inf")
    _plan_s: float = float("-inf")

    def observe(self, at_s: float, demand_m3_min: float | None) -> None:
        """Take in one tick's demand."""
        if demand_m3_min is None:
            return
        if self.planned is not None:
            self.planned.see(at_s, demand_m3_min)
        if self.history.add(at_s, demand_m3_min):
            self._judge()

    def _judge(self) -> None:
        """Hold the quarter hour that has just ended against what was forecast of it."""
        series = self.history.series()
        if series is None or self.forecast is None:
            return
        begin_at = series.first_at + timedelta(seconds=STEP_S * (len(series.values) - 1))
        row = round((begin_at - self.forecast.first_at).total_seconds() / self.forecast.step_s)
        if 0 <= row < len(self.forecast.quantiles):
            self._skill.learn(series.values[-5:], float(self.forecast.quantiles[row, 1]))

    def forecast_due(self, at_s: float) -> bool:
        """A new quarter hour has begun since the last forecast."""
        return (
            at_s // self.forecast_every_s != self._forecast_s // self.forecast_every_s
            if self.forecast
            else (at_s - self._forecast_s >= 60.0)
        )

    def renew_forecast(self, at: datetime) -> bool:
        """Make the forecast anew; False while there is no history."""
        self._forecast_s = at.timestamp()
        series = self.history.series()
        if series is None:
            return False
        self.forecast = self.forecaster.forecast(series, self._known_at(at), at)
        if self.planned is not None:
            self.planned.learn(series, at)
            if not self.forecast.source.startswith("model:"):
                # A model has weighed the plan against all else it knows; the naive rule knows nothing of it.
                self.forecast = self.planned.forecast(self.forecast)
        return True

    def hurry(self) -> None:
        """Forecast and plan anew at once: something that is known ahead has changed."""
        self._forecast_s = self._plan_s = float("-inf")

    def known_for(self, model: Model, at: datetime) -> Series | None:
        """What is known ahead of the columns of any model of this station."""
        return None if self.known is None else self.known(model.contract, at)

    def _known_at(self, at: datetime) -> Series | None:
        model = self.forecaster.model if isinstance(self.forecaster, Forecaster) else None
        return None if model is None else self.known_for(model, at)

    def plan_due(self, at_s: float) -> bool:
        """The plan is older than its rhythm."""
        return self.forecast is not None and at_s - self._plan_s >= PLAN_EVERY_S

    def renew_plan(self, at: datetime, control: StationControl, view: StationView) -> Plan | None:
        """Make the day's plan anew from the forecast in force."""
        self._plan_s = at.timestamp()
        job = self.plan_job(at, control, view)
        self.plan = job() if job is not None else None
        return self.plan

    def plan_job(self, at: datetime, control: StationControl, view: StationView) -> Callable[[], Plan] | None:
        """The planning as a closed piece of work on values of now, for this thread or another."""
        ask = self.plan_ask(at, control, view)
        return None if ask is None else lambda: plan_day(ask, budget=self.budget)

    def plan_ask(self, at: datetime, control: StationControl, view: StationView) -> DayAsk | None:
        """What a plan would be made of now; None while demand or pressure is unknown. It counts as planned."""
        self._plan_s = at.timestamp()
        demand = self._demand_outlook(at)
        if demand is None or view.pressure_bar_g is None:
            return None
        return DayAsk(
            self.station_id,
            control.fleet.station,
            self.tariff,
            self.timezone,
            machines_now(control, view),
            demand,
            pressure_bar_g=view.pressure_bar_g,
            band_floor_bar=control.band.level.floor_bar(by_speed=control.band.trims_by_speed),
            band_width_bar=control.fleet.station.band_width_bar,
            at=at,
            before=self.plan,
            beside=None if self.beside is None else self.beside(demand.first_at, len(demand.median_m3_min)),
        )

    def look_ahead(self, at: datetime) -> LookAhead:
        """`outlook` as it would be asked at `at`."""
        return lambda steps_s: self.outlook(at, steps_s)

    def outlook(self, at: datetime, steps_s: Sequence[float]) -> Outlook | None:
        """The forecast's median for each of the next steps, its mean over longer ones; None beyond its end.

        Where the production plan says when lines come and go, it is asked. A quarter hour's mean does not say when within it the demand rises. Where a machine needs a step to deliver,
        a step shorter than a quarter hour is therefore given the highest of those that it touches.
        """
        if self.forecast is None:
            return None
        slowest_s = max((m.start_s for m in self.station.machines.values()), default=0.0)
        planned = None if self.planned is None else self.planned.steps(at.timestamp(), steps_s, slowest_s)
        if planned is not None:
            return Outlook(planned, (0.0,) * len(planned), "production-plan")
        slow = slowest_s >= 0.5 * steps_s[0]
        medians: list[float] = self.forecast.quantiles[:, 1].tolist()
        width_s = self.forecast.step_s
        # Where the look-ahead begins and stands, in seconds of the forecast.
        begin_s, values = (at - self.forecast.first_at).total_seconds(), []
        for step_s in steps_s:
            if slow and step_s < STEP_S:
                value = _highest_in(medians, begin_s / width_s, step_s / width_s)
            else:
                looks = max(1, round(step_s / _LOOK_S))
                middles = [begin_s + step_s * (k + 0.5) / looks for k in range(looks)]
                value = _mean_at(medians, [middle_s / width_s - 0.5 for middle_s in middles])
            if value is None:
                return None
            values.append(value)
            begin_s += step_s
        return Outlook(tuple(values), self._skill.kept(steps_s), self.forecast.source)

    def _demand_outlook(self, at: datetime) -> DemandOutlook | None:
        forecast = self.forecast
        if forecast is None:
            return None
        first = int((at - forecast.first_at).total_seconds() // forecast.step_s)
        rows = forecast.quantiles[max(first, 0) :]
        if len(rows) < 4:
            return None
        return DemandOutlook(
            first_at=forecast.first_at + timedelta(seconds=forecast.step_s * max(first, 0)),
            step_s=forecast.step_s,
            median_m3_min=rows[:, 1],
            reserve_m3_min=np.maximum(rows[:, 2] - rows[:, 1], 0.0),
        )


def _mean_at(medians: list[float], positions: list[float]) -> float | None:
    """Mean of the medians at positions in steps, linear between the middles of their steps; None beyond the end."""
    total = 0.0
    for position in positions:
        low = floor(position)
        if low >= len(medians) - 1:
            return None
        part = position - low
        total += medians[0] if low < 0 else medians[low] * (1.0 - part) + medians[low + 1] * part
    return total / len(positions)


def _highest_in(medians: list[float], begin: float, length: float) -> float | None:
    """The highest median of the steps that the span touches, in steps; None beyond the end."""
    first = max(floor(begin), 0)
    last = max(ceil(begin + length), first + 1)
    return None if last > len(medians) else max(medians[first:last])


def machines_now(control: StationControl, view: StationView) -> dict[str, MachineNow]:
    """State of each machine for the plan, in the control's own time."""
    now_s = view.at_s
    out: dict[str, MachineNow] = {}
    for index, name in enumerate(control.fleet.names):
        seen, past = view.machines[index], control.memory.machines[index]
        out[name] = MachineNow(
            running=bool(seen.running),
            in_state_s=min(now_s - past.since_s, 86400.0),
            starts_ago_s=tuple(now_s - s for s in past.starts_s if now_s - s < 3600.0),
            available=seen.running is not None
            and not seen.tripped
            and seen.ready is not False
            and now_s >= past.barred_until_s
            and not past.locked_out
            and past.overridden(now_s) is not False,
        )
    return out
