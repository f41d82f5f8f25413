"""A problem as the JSON object of `station-plan/1`: what case_file reads, and back without a loss.

Beyond the schema it keeps the wishes: `lead_time_min` and `preference_eur_h` of a machine, `inertia`.
"""

from __future__ import annotations

from typing import Any

from agent.planner.problem import PlanMachine, StationProblem

SCHEMA = "station-plan/1"
# Minutes: a year.
LONGEST_MIN = 525_600.0


def case_document(problem: StationProblem) -> dict[str, Any]:
    """The problem as plain data; series that are zero throughout are left out where a reader fills them."""
    receiver, charge, penalties = problem.receiver, problem.demand_charge, problem.penalties
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "name": problem.name,
        "start_minute_of_day": problem.start_minute_of_day,
        "step_minutes": list(problem.step_min),
        "demand_m3min": list(problem.demand_m3_min),
        "energy_price_eur_kwh": list(problem.energy_price_eur_kwh),
        "co2_price_eur_kg": problem.co2_price_eur_kg,
        "demand_charge": None
        if charge is None
        else {
            "price_eur_kw": charge.price_eur_kw,
            "peak_so_far_kw": charge.peak_so_far_kw,
            "interval_minutes": charge.interval_min,
        },
        "site_limit_kw": problem.site_limit_kw,
        "receiver": {
            "volume_m3": receiver.volume_m3,
            "p_atm_bar": receiver.atmosphere_bar,
            "p_ref_bar": receiver.pressure_ref_bar,
            "p_min_bar": receiver.pressure_min_bar,
            "p_max_bar": receiver.pressure_max_bar,
            "p_init_bar": receiver.pressure_init_bar,
            "p_end_min_bar": receiver.pressure_end_min_bar,
            "leak_m3min_per_bar": receiver.leak_m3_min_bar,
            "power_kw_per_bar": receiver.power_kw_bar,
        },
        "penalty": {
            "unserved_eur_m3": penalties.unserved_eur_m3,
            "reserve_eur_m3": penalties.reserve_eur_m3,
            "site_limit_eur_kwh": penalties.site_limit_eur_kwh,
        },
        "machines": [_machine(machine) for machine in problem.machines],
    }
    series = {
        "reserve_m3min": problem.reserve_m3_min,
        "co2_kg_kwh": problem.co2_kg_kwh,
        "other_load_kw": problem.other_load_kw,
    }
    document |= {key: list(values) for key, values in series.items() if any(values)}
    if problem.inertia is not None:
        document["inertia"] = {
            "on": {key: [int(x) for x in on] for key, on in problem.inertia.on.items()},
            "flip_cost_eur": problem.inertia.flip_cost_eur,
        }
    return document


def _machine(machine: PlanMachine) -> dict[str, Any]:
    state = machine.state
    document: dict[str, Any] = {
        "id": machine.machine_id,
        "kind": machine.kind,
        "curve": [list(point) for point in machine.curve],
        "start_cost_eur": machine.start_cost_eur,
        "start_energy_kwh": machine.start_energy_kwh,
        "run_cost_eur_h": machine.run_cost_eur_h,
        "min_up_min": machine.min_up_min,
        "min_down_min": machine.min_down_min,
        "max_starts_per_hour": machine.max_starts_per_hour,
        "init": {
            "on": state.running,
            # For ever is longer than any rule of time asks for.
            "minutes_in_state": min(state.in_state_min, LONGEST_MIN),
            "starts_minutes_ago": list(state.starts_ago_min),
        },
        "unavailable": [list(window) for window in machine.unavailable],
        "forced_on": [list(window) for window in machine.forced_on],
        "forced_flow": [list(window) for window in machine.forced_flow],
    }
    wishes = {"lead_time_min": machine.lead_time_min, "preference_eur_h": machine.preference_eur_h}
    return document | {key: value for key, value in wishes.items() if value}
