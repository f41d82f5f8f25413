"""Small stations for the planner's tests, and a random generator for the property tests."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np

from agent.planner.case_file import parse_case, plan_document
from agent.planner.problem import (
    CurvePoint,
    MachineState,
    PlanMachine,
    Receiver,
    StationProblem,
)
from agent.planner.result import StationPlanResult


def load_unload(key: str, full: float, *, running: bool = False, **rest: Any) -> PlanMachine:
    """A load/unload machine: 6 kW per m3/min at full load, a quarter of that unloaded."""
    values: dict[str, Any] = {"start_cost_eur": 1.0} | rest
    return PlanMachine(
        machine_id=key,
        curve=(CurvePoint(0.0, 1.5 * full), CurvePoint(full, 6.0 * full)),
        state=MachineState(running=running, in_state_min=600.0),
        **values,
    )


def station(machines: tuple[PlanMachine, ...], demand: list[float], **rest: Any) -> StationProblem:
    """A station with hourly steps, 0.1 EUR/kWh and a receiver too small to matter."""
    values: dict[str, Any] = {
        "name": "test",
        "step_min": (60.0,) * len(demand),
        "demand_m3_min": tuple(demand),
        "reserve_m3_min": (0.0,) * len(demand),
        "energy_price_eur_kwh": (0.1,) * len(demand),
        "machines": machines,
        "receiver": Receiver(
            volume_m3=0.01,
            pressure_ref_bar=7.0,
            pressure_min_bar=7.0,
            pressure_max_bar=7.0,
            pressure_init_bar=7.0,
            pressure_end_min_bar=7.0,
        ),
    }
    return StationProblem(**(values | rest))


def without_history(machine: PlanMachine) -> PlanMachine:
    """The machine as if it had never been started."""
    return replace(machine, state=replace(machine.state, starts_ago_min=()))


def document(plan: StationPlanResult) -> dict[str, Any]:
    """The plan as its JSON object."""
    return plan_document(plan.on, plan.flow_m3_min, plan.vent_m3_min)


def problem_of(case: dict[str, Any]) -> StationProblem:
    """The problem in a case given as a JSON object."""
    return parse_case(json.dumps(case), where="test")


def random_case(
    seed: int, *, machines: int, steps: int, odd: bool = False, load: float = 0.7
) -> dict[str, Any]:
    """A random case in `station-plan/1`; `odd` ones contradict themselves on purpose."""
    rng = np.random.default_rng(seed)
    step = [float(x) for x in rng.choice([1.0, 5.0, 7.5, 15.0, 60.0], size=steps)]
    park: list[dict[str, Any]] = []
    for index in range(machines):
        full = float(rng.uniform(3.0, 20.0))
        curve = [[0.0, full * 1.6], [full, full * 6.4]]
        if rng.random() < 0.5:
            curve = [[full * 0.25, full * 1.8], [full * 0.6, full * 3.6], [full, full * 6.7]]
        windows: dict[str, list[list[float]]] = {
            "unavailable": [],
            "forced_on": [],
            "forced_flow": [],
        }
        for name in windows:
            if rng.random() < (0.4 if odd else 0.1):
                begin = int(rng.integers(0, steps))
                window = [begin, min(begin + int(rng.integers(1, 9)), steps + 3)]
                windows[name] = [[*window, full] if name == "forced_flow" else window]
        running = bool(rng.random() < 0.5)
        minutes = float(rng.choice([0.0, 1.0, 20.0, 300.0]))
        ages = [minutes] if running else []
        if odd:
            ages = [float(x) for x in rng.uniform(0.0, 70.0, size=int(rng.integers(0, 5)))]
        park.append(
            {
                "id": f"M{index}",
                "curve": curve,
                "start_cost_eur": float(rng.uniform(0.0, 3.0)),
                "start_energy_kwh": float(rng.uniform(0.0, 1.0)),
                "run_cost_eur_h": float(rng.uniform(0.0, 0.6)),
                "min_up_min": float(rng.choice([0.0, 10.0, 45.0, 180.0])),
                "min_down_min": float(rng.choice([0.0, 5.0, 30.0])),
                "max_starts_per_hour": int(rng.integers(0 if odd else 1, 5)),
                "init": {"on": running, "minutes_in_state": minutes, "starts_minutes_ago": ages},
                **windows,
            }
        )
    full_flow = sum(machine["curve"][-1][0] for machine in park)
    demand = np.abs(rng.normal(load, 0.2, size=steps)) * full_flow
    reference = 7.0
    return {
        "schema": "station-plan/1",
        "name": f"random-{seed}",
        "step_minutes": step,
        "demand_m3min": demand.tolist(),
        "reserve_m3min": (demand * 0.05).tolist(),
        "energy_price_eur_kwh": rng.uniform(-0.02, 0.3, size=steps).tolist(),
        "co2_kg_kwh": [0.4] * steps,
        "co2_price_eur_kg": 0.07,
        "other_load_kw": rng.uniform(0.0, 100.0, size=steps).tolist(),
        "demand_charge": {
            "price_eur_kw": 2.0,
            "peak_so_far_kw": float(full_flow * 3.0),
            "interval_minutes": 15.0,
        }
        if rng.random() < 0.5
        else None,
        "site_limit_kw": float(full_flow * 6.0 + 60.0) if rng.random() < 0.3 else None,
        "receiver": {
            "volume_m3": float(rng.choice([0.5, 5.0, 60.0])),
            "p_atm_bar": 1.013,
            "p_ref_bar": reference,
            "p_min_bar": 6.6,
            "p_max_bar": 7.4,
            "p_init_bar": float(rng.uniform(6.6, 7.4)),
            "p_end_min_bar": reference,
            "leak_m3min_per_bar": 0.3,
            "power_kw_per_bar": 5.0,
        },
        "penalty": {
            "unserved_eur_m3": 3.0,
            "reserve_eur_m3": 0.15,
            "site_limit_eur_kwh": 2.0,
        },
        "machines": park,
    }
