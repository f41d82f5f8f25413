"""The planner on instances nobody here made: unit commitment of power grids (PGLib-UC's JSON).

    python benchmarks/planner_powergrid.py rts_gmlc/2020-01-27.json ...    files from PGLib-UC
    python benchmarks/planner_powergrid.py                                 generated, same format

A thermal unit becomes a machine: MW stand for m3/min and cost per hour for kW at a price of 1, so the
plan's "energy cost" is the production cost. The mapping is reduced: no ramps, the coldest start
class only, renewables taken at their maximum off the load (surplus is spilled for nothing),
must-run as forced on, reserve as headroom. There is no storage. Costs are therefore comparable with
a bound of the same reduced model, not with published optima of the full one.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agent.clock import cpu_s
from agent.planner.budget import Budget
from agent.planner.dispatch import Dispatch
from agent.planner.exact import relaxed_bound
from agent.planner.problem import (
    CurvePoint,
    MachineState,
    Penalties,
    PlanMachine,
    Receiver,
    StationProblem,
    Window,
)
from agent.planner.solve import plan_station
from agent.planner.tables import compile_tables

# Currency per MWh: far above any unit's cost, so demand and reserve are met where they can be.
LOST_LOAD_PER_MWH = 10_000.0
LOST_RESERVE_PER_MWH = 1_000.0
HOUR_MIN = 60.0


def powergrid_problem(data: dict[str, Any], *, name: str) -> StationProblem:
    """The reduced station problem of a PGLib-UC instance (one step an hour).

    Raises KeyError naming the field where the data is not in the format.
    """
    hours = int(data["time_periods"])
    wind = np.zeros(hours)
    for unit in data.get("renewable_generators", {}).values():
        wind += np.array(unit["power_output_maximum"], dtype=float)[:hours]
    demand = np.maximum(np.array(data["demand"], dtype=float)[:hours] - wind, 0.0)
    return StationProblem(
        name=name,
        step_min=(HOUR_MIN,) * hours,
        demand_m3_min=tuple(demand.tolist()),
        reserve_m3_min=tuple(float(x) for x in data["reserves"][:hours]),
        energy_price_eur_kwh=(1.0,) * hours,
        machines=tuple(_machine(key, unit, hours) for key, unit in data["thermal_generators"].items()),
        receiver=Receiver(
            volume_m3=1e-3,
            pressure_ref_bar=1.0,
            pressure_min_bar=1.0,
            pressure_max_bar=1.0,
            pressure_init_bar=1.0,
            pressure_end_min_bar=1.0,
        ),
        penalties=Penalties(
            unserved_eur_m3=LOST_LOAD_PER_MWH / HOUR_MIN,
            reserve_eur_m3=LOST_RESERVE_PER_MWH / HOUR_MIN,
        ),
    )


def _machine(key: str, unit: dict[str, Any], hours: int) -> PlanMachine:
    running = bool(unit["unit_on_t0"])
    in_state_h = unit["time_up_t0"] if running else unit["time_down_t0"]
    curve = tuple(CurvePoint(float(p["mw"]), float(p["cost"])) for p in unit["piecewise_production"])
    coldest = max(unit["startup"], key=lambda start: start["lag"])
    return PlanMachine(
        machine_id=key,
        kind="thermal",
        curve=curve,
        state=MachineState(running=running, in_state_min=HOUR_MIN * in_state_h),
        start_cost_eur=float(coldest["cost"]),
        min_up_min=HOUR_MIN * unit["time_up_minimum"],
        min_down_min=HOUR_MIN * unit["time_down_minimum"],
        forced_on=(Window(0, hours),) if unit["must_run"] else (),
    )


def make_powergrid(units: int, seed: int, *, hours: int = 48) -> dict[str, Any]:
    """A random grid in PGLib-UC's format: base, middle and peak units, wind, two days."""
    rng = np.random.default_rng([units, seed])
    thermal: dict[str, Any] = {}
    for index in range(units):
        kind = int(rng.choice(3, p=(0.2, 0.4, 0.4)))
        full = float(rng.uniform((200, 80, 15), (600, 250, 60))[kind])
        least = full * float(rng.uniform((0.5, 0.35, 0.3), (0.6, 0.5, 0.5))[kind])
        marginal = float(rng.uniform((12, 22, 45), (20, 38, 80))[kind])
        idle = marginal * least * float(rng.uniform(1.05, 1.3))
        mw = np.linspace(least, full, 4)
        slopes = marginal * np.array([1.0, 1.06, 1.15])
        cost = idle + np.concatenate([[0.0], np.cumsum(slopes * np.diff(mw))])
        hold = (8, 4, 1)[kind]
        running = bool(rng.random() < (0.9, 0.5, 0.1)[kind])
        hot = full * float(rng.uniform((40, 25, 8), (80, 60, 25))[kind])
        thermal[f"G{index:03d}"] = {
            "must_run": int(kind == 0 and rng.random() < 0.2),
            "power_output_minimum": least,
            "power_output_maximum": full,
            "time_up_minimum": hold,
            "time_down_minimum": hold,
            "unit_on_t0": int(running),
            "time_up_t0": int(rng.integers(1, 24)) if running else 0,
            "time_down_t0": 0 if running else int(rng.integers(1, 24)),
            "startup": [{"lag": hold, "cost": hot * 0.6}, {"lag": hold + 8, "cost": hot}],
            "piecewise_production": [
                {"mw": float(m), "cost": float(c)} for m, c in zip(mw, cost, strict=True)
            ],
        }
    at_h = np.arange(hours)
    total = sum(unit["power_output_maximum"] for unit in thermal.values())
    shape = 0.55 + 0.2 * np.sin((at_h - 9) * np.pi / 12) + 0.06 * np.sin((at_h - 6) * np.pi / 6)
    demand = total * np.clip(shape + rng.normal(0, 0.01, hours), 0.2, 0.85)
    wind = total * 0.15 * np.clip(0.5 + np.cumsum(rng.normal(0, 0.12, hours)), 0.0, 1.0)
    return {
        "time_periods": hours,
        "demand": demand.tolist(),
        "reserves": (0.03 * demand).tolist(),
        "thermal_generators": thermal,
        "renewable_generators": {
            "wind": {"power_output_minimum": [0.0] * hours, "power_output_maximum": wind.tolist()}
        },
    }


def main() -> None:
    """Plan every instance; print cost, greedy, bound and CPU."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.json")
    parser.add_argument("--bound-s", type=float, default=120.0, help="seconds for the relaxed bound")
    options = parser.parse_args()
    instances = [(path.stem, json.loads(path.read_text(encoding="utf-8"))) for path in options.files] or [
        (f"grid{units}_{seed}", make_powergrid(units, seed)) for units in (20, 73) for seed in (1, 2)
    ]
    print(f"{'instance':<16}{'units':>6}{'cost':>14}{'below greedy':>14}{'above bound':>13}{'CPU s':>8}")
    for name, data in instances:
        problem = powergrid_problem(data, name=name)
        begin = cpu_s()
        plan = plan_station(problem)
        cpu = cpu_s() - begin
        greedy = plan_station(problem, budget=Budget.greedy_only())
        tables = compile_tables(problem)
        bound = relaxed_bound(tables, Dispatch(tables), time_limit_s=options.bound_s)
        above = "-" if bound is None else f"{100.0 * (plan.total_eur / bound - 1.0):.3f} %"
        print(
            f"{name:<16}{len(problem.machines):>6}{plan.total_eur:>14.0f}"
            f"{100.0 * (1.0 - plan.total_eur / greedy.total_eur):>12.2f} %{above:>13}{cpu:>8.2f}"
        )


if __name__ == "__main__":
    main()
