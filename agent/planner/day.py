"""A station's plan for the next day: from nameplates, states and a forecast to who runs when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from itertools import compress
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Machine, Station, Tariff
from agent.domain import Plan, PlanStep
from agent.planner.budget import Budget
from agent.planner.case_document import case_document
from agent.planner.coordinate import plan_site
from agent.planner.curves import nameplate_curve
from agent.planner.prices import price_grid
from agent.planner.problem import (
    CurvePoint,
    DemandCharge,
    Inertia,
    MachineState,
    PlanMachine,
    Receiver,
    StationProblem,
    Window,
)
from agent.planner.result import StationPlanResult
from agent.planner.solve import plan_station

Floats = NDArray[np.float64]

# Wear of a start where the site names none: minutes of full power. A plan whose starts cost only
# their energy starts far too often (closed-loop trials).
_START_MIN_OF_FULL_POWER = 2.0
# A plan outlives the rhythm of planning by this, so that one failed plan does not end it.
_VALID_S = 3600.0
# Share of a start's cost that departing from the plan in force costs in its first hours.
_INERTIA_SHARE = 0.25
_INERTIA_STEPS = 12
# A machine that cannot run now is expected back after this time.
_BACK_AFTER_S = 7200.0


class MachineNow(NamedTuple):
    """State of a machine when the plan is made."""

    running: bool
    in_state_s: float
    starts_ago_s: tuple[float, ...]
    available: bool


@dataclass(frozen=True, slots=True)
class DemandOutlook:
    """Demand in free air [m3/min] on a regular grid: median and reserve above it."""

    first_at: datetime
    step_s: int
    median_m3_min: Floats
    reserve_m3_min: Floats


class Beside(NamedTuple):
    """What counts at the meter beside the stations: other load [kW] by step, and the billing period's peak so far."""

    load_kw: Floats | None
    peak_so_far_kw: float


class DayAsk(NamedTuple):
    """Everything that a station's plan is made of; values of now, so that another thread may plan with them."""

    name: str
    station: Station
    tariff: Tariff
    timezone: str
    now: Mapping[str, MachineNow]
    outlook: DemandOutlook
    pressure_bar_g: float
    band_floor_bar: float
    band_width_bar: float
    at: datetime
    before: Plan | None = None
    beside: Beside | None = None


def plan_day(ask: DayAsk, *, budget: Budget | None = None) -> Plan:
    """The plan from `outlook.first_at` on. Never raises for a state of the world."""
    budget = budget if budget is not None else Budget.quick()
    problem = _problem(ask)
    return _plan(ask, problem, plan_station(problem, budget=budget), budget)


def plan_days(asks: Sequence[DayAsk], *, budget: Budget | None = None) -> tuple[Plan, ...]:
    """Plans of all stations behind one meter, in the order asked: one site limit and one billing peak among them.

    On the quarter hours that all outlooks have in common. Each plan's case carries the others' power as other load.
    """
    if len(asks) < 2:
        return tuple(plan_day(ask, budget=budget) for ask in asks)
    budget = budget if budget is not None else Budget.quick()
    asks = _on_one_grid(asks)
    problems = [_problem(ask) for ask in asks]
    results = plan_site(problems, budget=budget).plans
    total_kw = np.sum([result.power_kw for result in results], axis=0)
    return tuple(
        _plan(
            ask,
            replace(
                problem,
                other_load_kw=_kept(
                    np.array(problem.other_load_kw) + total_kw - np.array(result.power_kw), 3
                ),
            ),
            result,
            budget,
        )
        for ask, problem, result in zip(asks, problems, results, strict=True)
    )


def _on_one_grid(asks: Sequence[DayAsk]) -> list[DayAsk]:
    """The asks with their outlooks cut to the steps that all have. Raises ValueError for grids of another width."""
    step_s = asks[0].outlook.step_s
    if any(ask.outlook.step_s != step_s for ask in asks):
        raise ValueError("the stations' outlooks have steps of different length")
    first_at = max(ask.outlook.first_at for ask in asks)
    skips = [int((first_at - ask.outlook.first_at).total_seconds() // step_s) for ask in asks]
    steps = min(len(ask.outlook.median_m3_min) - skip for ask, skip in zip(asks, skips, strict=True))
    return [
        ask._replace(
            outlook=DemandOutlook(
                first_at,
                step_s,
                ask.outlook.median_m3_min[skip : skip + steps],
                ask.outlook.reserve_m3_min[skip : skip + steps],
            ),
            beside=_from(ask.beside, skip),
        )
        for ask, skip in zip(asks, skips, strict=True)
    ]


def _from(beside: Beside | None, skip: int) -> Beside | None:
    if beside is None or beside.load_kw is None:
        return beside
    return beside._replace(load_kw=beside.load_kw[skip:])


def _problem(ask: DayAsk) -> StationProblem:
    station, tariff, outlook = ask.station, ask.tariff, ask.outlook
    steps, step_s = len(outlook.median_m3_min), outlook.step_s
    price = price_grid(tariff, ask.timezone, outlook.first_at, steps, step_s)
    return StationProblem(
        name=ask.name,
        step_min=(step_s / 60.0,) * steps,
        demand_m3_min=_kept(outlook.median_m3_min, 3),
        reserve_m3_min=_kept(outlook.reserve_m3_min, 3),
        energy_price_eur_kwh=_kept(price, 6),
        co2_kg_kwh=(tariff.co2_kg_per_kwh,) * steps,
        co2_price_eur_kg=tariff.co2_price_per_kg,
        machines=tuple(
            _plan_machine(machine_id, machine, ask.now[machine_id], step_s, float(price[0]))
            for machine_id, machine in station.machines.items()
        ),
        receiver=_receiver(station, ask.pressure_bar_g, ask.band_floor_bar, ask.band_width_bar),
        other_load_kw=_other_load(ask.beside, steps),
        demand_charge=_demand_charge(tariff, 0.0 if ask.beside is None else ask.beside.peak_so_far_kw),
        site_limit_kw=tariff.site_limit_kw,
        inertia=_inertia(station, ask.before, outlook, float(price[0])),
    )


def _plan(ask: DayAsk, problem: StationProblem, result: StationPlanResult, budget: Budget) -> Plan:
    outlook, step_s = ask.outlook, ask.outlook.step_s
    names = tuple(result.on)
    on, flow = (zip(*of.values(), strict=True) for of in (result.on, result.flow_m3_min))
    by_step = zip(outlook.median_m3_min.tolist(), on, flow, strict=True)
    steps = tuple(
        PlanStep(
            at=outlook.first_at + timedelta(seconds=i * step_s),
            duration_s=float(step_s),
            running=frozenset(compress(names, running)),
            flow_m3_min=dict(compress(zip(names, flows, strict=True), running)),
            demand_m3_min=demand,
        )
        for i, (demand, running, flows) in enumerate(by_step)
    )
    return Plan(
        plan_id=f"{ask.name}-{ask.at:%Y%m%dT%H%M%SZ}",
        station=ask.name,
        made_at=ask.at,
        not_after=ask.at + timedelta(seconds=_VALID_S),
        status=result.status,
        steps=steps,
        reasons=result.reasons,
        cost=result.total_eur,
        case=case_document(problem),
        budget=asdict(budget),
    )


def _kept(series: Floats, digits: int) -> tuple[float, ...]:
    """The series with as many digits as the ledger keeps, so that a past plan can be made again."""
    return tuple([round(value, digits) for value in series.tolist()])


def start_cost(machine: Machine, price_per_kwh: float) -> float:
    """Cost of one start in the tariff's currency: as configured, else two minutes of full power."""
    return machine.start_cost or machine.full_power_kw * _START_MIN_OF_FULL_POWER / 60.0 * price_per_kwh


def _plan_machine(
    machine_id: str, machine: Machine, now: MachineNow, step_s: int, price: float
) -> PlanMachine:
    unavailable: tuple[Window, ...] = ()
    if machine.locked_out:
        unavailable = (Window(0, 10_000),)
    elif not now.available:
        unavailable = (Window(0, max(1, int(_BACK_AFTER_S / step_s))),)
    idle = CurvePoint(0.0, machine.unloaded_power_kw)
    return PlanMachine(
        machine_id=machine_id,
        curve=(idle, *(CurvePoint(*point) for point in nameplate_curve(machine))),
        state=MachineState(
            running=now.running,
            in_state_min=now.in_state_s / 60.0,
            starts_ago_min=tuple(s / 60.0 for s in now.starts_ago_s),
        ),
        kind=machine.control,
        start_cost_eur=start_cost(machine, price),
        min_up_min=machine.min_run_s / 60.0,
        min_down_min=machine.min_stop_s / 60.0,
        max_starts_per_hour=machine.max_starts_per_hour,
        unavailable=unavailable,
        lead_time_min=_lead_min(machine, step_s),
    )


def _lead_min(machine: Machine, step_s: int) -> float:
    """A start's lead where it fills half a step; a shorter one must not close the whole first step."""
    return machine.start_s / 60.0 if machine.start_s >= 0.5 * step_s else 0.0


def _receiver(station: Station, pressure_bar_g: float, floor_bar: float, width_bar: float) -> Receiver:
    low = station.pressure_min_bar_g + floor_bar
    high = min(low + width_bar, station.pressure_max_bar_g)
    middle = 0.5 * (low + high)
    full_kw = sum(m.full_power_kw for m in station.machines.values())
    return Receiver(
        volume_m3=station.receiver_m3,
        pressure_ref_bar=middle,
        pressure_min_bar=low,
        pressure_max_bar=high,
        pressure_init_bar=min(max(pressure_bar_g, low), high),
        pressure_end_min_bar=low,
        atmosphere_bar=station.atmosphere_bar,
        # Rule of thumb of the US Department of Energy: 1 % per 2 psi = 7.3 %/bar, of about half load.
        power_kw_bar=0.073 * 0.5 * full_kw,
    )


def _other_load(beside: Beside | None, steps: int) -> tuple[float, ...]:
    """The rest of the site by step, its last value held where the day is longer; empty where nothing is known."""
    if beside is None or beside.load_kw is None or not len(beside.load_kw):
        return ()
    load = beside.load_kw[:steps]
    return _kept(np.concatenate([load, np.full(steps - len(load), load[-1])]), 3)


def _demand_charge(tariff: Tariff, measured_kw: float) -> DemandCharge | None:
    if tariff.demand_charge_per_kw <= 0:
        return None
    peak_kw = max(tariff.peak_so_far_kw, measured_kw)
    return DemandCharge(tariff.demand_charge_per_kw, peak_kw, float(tariff.demand_interval_min))


def _inertia(station: Station, before: Plan | None, outlook: DemandOutlook, price: float) -> Inertia | None:
    """The plan in force on this plan's grid, where it still reaches."""
    if before is None:
        return None
    running: list[frozenset[str]] = []
    for i in range(_INERTIA_STEPS):
        at = outlook.first_at + timedelta(seconds=i * outlook.step_s)
        step = next(
            (s for s in before.steps if 0 <= (at - s.at).total_seconds() < s.duration_s),
            None,
        )
        if step is None:
            break
        running.append(step.running)
    if not running:
        return None
    cheapest = min(start_cost(m, price) for m in station.machines.values())
    return Inertia(
        on={m: tuple(m in r for r in running) for m in station.machines},
        flip_cost_eur=_INERTIA_SHARE * cheapest,
    )
