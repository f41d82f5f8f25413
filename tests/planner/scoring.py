"""An evaluator of plans for the tests: it reads the case and the plan as JSON objects and shares no
code with the planner. It plays the plan minute by minute in plain Python and lists what is broken.
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import product
from typing import Any

TOLERANCE = 1e-4


@dataclass
class Verdict:
    """Cost of a plan and the rules it breaks, as (rule, machine, step)."""

    cost_eur: float = 0.0
    missing_m3: float = 0.0
    starts: int = 0
    broken: list[tuple[str, str, int]] = field(default_factory=list)


def _power_kw(curve: list[list[float]], flow: float) -> float:
    flows = [point[0] for point in curve]
    place = min(max(bisect_left(flows, flow), 1), len(curve) - 1) if len(curve) > 1 else 0
    if place == 0 or flow <= flows[0]:
        return curve[0][1]
    (q0, p0), (q1, p1) = curve[place - 1], curve[place]
    return p0 + (p1 - p0) * min((flow - q0) / (q1 - q0), 1.0)


def _covers(windows: list[list[float]], step: int) -> list[float] | None:
    return next((window for window in windows if window[0] <= step < window[1]), None)


def judge(case: dict[str, Any], plan: dict[str, Any]) -> Verdict:
    """Play the plan through."""
    verdict = Verdict()
    lengths = case["step_minutes"]
    begins = [sum(lengths[:t]) for t in range(len(lengths))]
    energy_kwh = [0.0] * len(lengths)
    for machine in case["machines"]:
        _judge_machine(verdict, machine, plan, lengths, begins, energy_kwh)
    _judge_air(verdict, case, plan, energy_kwh)
    _judge_money(verdict, case, begins, energy_kwh)
    return verdict


def _judge_machine(
    verdict: Verdict,
    machine: dict[str, Any],
    plan: dict[str, Any],
    lengths: list[float],
    begins: list[float],
    energy_kwh: list[float],
) -> None:
    key, curve = machine["id"], machine["curve"]
    on, flow = plan["on"][key], plan["flow"][key]
    running, since = bool(machine["init"]["on"]), -machine["init"]["minutes_in_state"]
    starts = [-ago for ago in machine["init"]["starts_minutes_ago"]]
    for step, (now, minutes) in enumerate(zip(begins, lengths, strict=True)):
        blocked = _covers(machine["unavailable"], step) is not None
        manual = _covers(machine["forced_flow"], step)
        wanted = manual is not None or _covers(machine["forced_on"], step) is not None
        active = bool(on[step])
        if on[step] not in (0, 1):
            verdict.broken.append(("not binary", key, step))
        if active and blocked:
            verdict.broken.append(("unavailable", key, step))
        if wanted and not blocked and not active:
            verdict.broken.append(("forced", key, step))
        if manual is not None and not blocked and abs(flow[step] - manual[2]) > TOLERANCE:
            verdict.broken.append(("manual flow", key, step))
        if active != running:
            held, least = now - since, machine["min_down_min" if active else "min_up_min"]
            # Only unavailability excuses anything: it may cut a minimum run.
            if held < least - 1e-6 and not (blocked and not active):
                verdict.broken.append(("minimum time", key, step))
            if active:
                starts.append(now)
                verdict.starts += 1
                recent = [start for start in starts if now - start < 60 - 1e-6]
                if len(recent) > machine["max_starts_per_hour"]:
                    verdict.broken.append(("starts per hour", key, step))
                verdict.cost_eur += machine["start_cost_eur"]
                energy_kwh[step] += machine["start_energy_kwh"]
            running, since = active, now
        if active:
            if not curve[0][0] - TOLERANCE <= flow[step] <= curve[-1][0] + TOLERANCE:
                verdict.broken.append(("flow range", key, step))
            energy_kwh[step] += _power_kw(curve, flow[step]) * minutes / 60
            verdict.cost_eur += machine["run_cost_eur_h"] * minutes / 60
        elif abs(flow[step]) > TOLERANCE:
            verdict.broken.append(("flow while off", key, step))


def least_broken(machine: dict[str, Any], lengths: list[float]) -> int:
    """Fewest rules of time that any of the 2^N series of the machine breaks, windows kept."""
    begins = [sum(lengths[:t]) for t in range(len(lengths))]
    fewest = 99
    for series in product((0, 1), repeat=len(lengths)):
        verdict = Verdict()
        flow = [machine["curve"][0][0] * on for on in series]
        for window in reversed(machine["forced_flow"]):
            for step in range(int(window[0]), min(int(window[1]), len(lengths))):
                flow[step] = window[2] * series[step]
        plan = {"on": {machine["id"]: series}, "flow": {machine["id"]: flow}}
        _judge_machine(verdict, machine, plan, lengths, begins, [0.0] * len(lengths))
        rules = [rule for rule, _, _ in verdict.broken]
        if not {"unavailable", "forced"} & set(rules):
            fewest = min(fewest, len(rules))
    return fewest


def _judge_air(verdict: Verdict, case: dict[str, Any], plan: dict[str, Any], energy_kwh: list[float]) -> None:
    receiver, price = case["receiver"], case["penalty"]
    level = receiver["p_init_bar"]
    leak, last = receiver["leak_m3min_per_bar"], len(energy_kwh) - 1
    for step, minutes in enumerate(case["step_minutes"]):
        per_m3 = receiver["p_atm_bar"] / receiver["volume_m3"]
        vent = (plan.get("vent") or [0.0] * (last + 1))[step]
        if vent < -TOLERANCE:
            verdict.broken.append(("negative vent", "", step))
        net = sum(plan["flow"][m["id"]][step] for m in case["machines"]) - vent
        net -= case["demand_m3min"][step]
        weight = 1 + per_m3 * minutes * leak
        level = (level + per_m3 * minutes * (net + leak * receiver["p_ref_bar"])) / weight
        floor = receiver["p_min_bar"]
        if step == last:
            floor = max(floor, receiver["p_end_min_bar"])
        if level < floor:
            missing = (floor - level) * weight / per_m3
            verdict.missing_m3 += missing
            verdict.cost_eur += price["unserved_eur_m3"] * missing
            level = floor
        if plan.get("vent") is None:
            # Where a plan does not say, as little is blown off as the band demands.
            level = min(level, receiver["p_max_bar"])
        if level > receiver["p_max_bar"] + TOLERANCE:
            verdict.broken.append(("pressure", "", step))
        energy_kwh[step] += receiver["power_kw_per_bar"] * (level - receiver["p_ref_bar"]) * minutes / 60
        spare = sum(
            m["curve"][-1][0] - plan["flow"][m["id"]][step]
            for m in case["machines"]
            if plan["on"][m["id"]][step] and _covers(m["forced_flow"], step) is None
        )
        lacking = max(case["reserve_m3min"][step] - spare, 0.0)
        verdict.cost_eur += price["reserve_eur_m3"] * lacking * minutes


def _judge_money(
    verdict: Verdict, case: dict[str, Any], begins: list[float], energy_kwh: list[float]
) -> None:
    intervals: dict[int, list[float]] = {}
    charge = case["demand_charge"]
    for step, kwh in enumerate(energy_kwh):
        hours = case["step_minutes"][step] / 60
        price = case["energy_price_eur_kwh"][step] + case["co2_price_eur_kg"] * case["co2_kg_kwh"][step]
        verdict.cost_eur += price * kwh
        if case["site_limit_kw"] is not None:
            over = kwh / hours + case["other_load_kw"][step] - case["site_limit_kw"]
            verdict.cost_eur += case["penalty"]["site_limit_eur_kwh"] * max(over, 0.0) * hours
        if charge is not None:
            slot = int((begins[step] + 1e-9) / charge["interval_minutes"])
            entry = intervals.setdefault(slot, [0.0, 0.0])
            entry[0] += kwh + case["other_load_kw"][step] * hours
            entry[1] += hours
    if charge is not None:
        peak = max(entry[0] / entry[1] for entry in intervals.values())
        verdict.cost_eur += charge["price_eur_kw"] * max(peak - charge["peak_so_far_kw"], 0.0)
