"""Seeded random stations in the format `station-plan/1`, for the planner's benchmark and tests.

Three step layouts: `day15` (96 x 15 min), `shift5` (96 x 5 min), `mixed` (60 x 1 min, then
92 x 15 min); `graded` (1, 5, 15, 30 min) beside them. Half of the seeds carry a demand charge, a
fifth a site limit. A trait makes one thing hard on purpose: see TRAITS. Sizes and prices are in the
range of what industrial stations show; no real site is meant.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

LAYOUTS: dict[str, list[float]] = {
    "day15": [15.0] * 96,
    "shift5": [5.0] * 96,
    "mixed": [1.0] * 60 + [15.0] * 92,
    "graded": [1.0] * 15 + [5.0] * 21 + [15.0] * 24 + [30.0] * 32,
}
# The order in which layouts seed their cases: new ones go to the end, old cases stay as they are.
_SEED_ORDER = ("day15", "mixed", "shift5", "graded")


def _vsd(rng: np.random.Generator, full: float) -> list[list[float]]:
    """Speed-controlled screw: best specific power at part load, worse at both ends."""
    specific = rng.uniform(5.6, 6.9)
    least = 0.0 if rng.random() < 0.3 else full * rng.uniform(0.2, 0.36)
    middle = full * rng.uniform(0.6, 0.68)
    points = [[middle, middle * specific], [full, full * specific * rng.uniform(1.06, 1.14)]]
    # The first piece must be flatter than the one between the middle and full load.
    slope = (points[1][1] - points[0][1]) / (full - middle)
    first = points[0][1] - (middle - least) * slope * rng.uniform(0.7, 0.85)
    first = max(first, 0.12 * points[1][1])
    return [[least, first], *points]


def _fixed(rng: np.random.Generator, full: float) -> list[list[float]]:
    """Load/unload screw: unloaded power at no flow."""
    power = full * rng.uniform(5.9, 7.2)
    return [[0.0, power * rng.uniform(0.2, 0.32)], [full, power]]


def _turbo(rng: np.random.Generator, full: float) -> list[list[float]]:
    """Turbo with a narrow range."""
    power = full * rng.uniform(5.8, 6.4)
    least, middle = full * 0.72, full * 0.88
    slope = power / full
    return [
        [least, power - (full - middle) * slope * 1.1 - (middle - least) * slope * 0.75],
        [middle, power - (full - middle) * slope * 1.1],
        [full, power],
    ]


def _machines(rng: np.random.Generator, count: int, steps: int) -> list[dict[str, Any]]:
    unit = rng.uniform(6.0, 24.0)
    speeds = max(1, round(count * rng.uniform(0.2, 0.5)))
    turbos = int(count >= 7 and rng.random() < 0.6)
    machines: list[dict[str, Any]] = []
    twin: tuple[float, list[list[float]]] | None = None
    for index in range(count):
        if index < speeds:
            kind, full = "vsd", unit * rng.uniform(0.5, 1.4)
            curve = _vsd(rng, full)
        elif index < speeds + turbos:
            kind, full = "turbo", unit * rng.uniform(1.6, 2.6)
            curve = _turbo(rng, full)
        elif twin is not None and rng.random() < 0.5:
            kind, (full, curve) = "fixed", twin
        else:
            kind, full = "fixed", unit * rng.uniform(0.5, 1.6)
            curve = _fixed(rng, full)
            twin = (full, curve)
        power = curve[-1][1]
        turbo = kind == "turbo"
        running = bool(rng.random() < 0.45)
        minutes = float(rng.choice([5, 15, 30, 60, 240]))
        machine: dict[str, Any] = {
            "id": f"C{index + 1}",
            "kind": kind,
            "curve": [[round(q, 3), round(p, 3)] for q, p in curve],
            "start_cost_eur": round(power * rng.uniform(0.006, 0.02) * (3 if turbo else 1), 3),
            "start_energy_kwh": round(power * rng.uniform(0.004, 0.015), 3),
            "run_cost_eur_h": round(power * rng.uniform(0.004, 0.012), 3),
            "min_up_min": float(180 if turbo else rng.choice([10, 15, 20, 30, 45, 60])),
            "min_down_min": float(90 if turbo else rng.choice([5, 10, 15, 30])),
            "max_starts_per_hour": int(1 if turbo else rng.choice([2, 3, 4, 6])),
            "init": {
                "on": running,
                "minutes_in_state": minutes,
                "starts_minutes_ago": [minutes] if running and minutes < 60 else [],
            },
            "unavailable": [],
            "forced_on": [],
            "forced_flow": [],
        }
        if rng.random() < 0.12:
            begin = int(rng.integers(steps // 4, steps - 10))
            machine["unavailable"] = [[begin, min(begin + int(rng.integers(8, 32)), steps)]]
        elif rng.random() < 0.06:
            begin = int(rng.integers(steps // 3, steps - 10))
            window = [begin, min(begin + int(rng.integers(6, 24)), steps)]
            if rng.random() < 0.5:
                machine["forced_on"] = [window]
            else:
                machine["forced_flow"] = [[*window, machine["curve"][-1][0]]]
        machines.append(machine)
    return machines


def _day(rng: np.random.Generator, at_h: np.ndarray) -> np.ndarray:
    """Share of the largest demand over the day: shifts, breaks, noise that lasts."""
    shape = np.full(len(at_h), rng.uniform(0.25, 0.5))
    for begin, end in ((6, 14), (14, 22)):
        if begin == 6 or rng.random() < 0.7:
            inside = (at_h % 24 >= begin) & (at_h % 24 < end)
            shape[inside] = rng.uniform(0.75, 1.0)
    for pause in (9.0, 12.0, 18.0):
        inside = (at_h % 24 >= pause) & (at_h % 24 < pause + 0.5)
        shape[inside] *= rng.uniform(0.5, 0.85)
    noise = np.zeros(len(at_h))
    keep = 0.0
    for index in range(len(at_h)):
        keep = 0.8 * keep + rng.normal(0.0, 0.045)
        noise[index] = keep
    result: np.ndarray = np.maximum(shape * (1.0 + noise), 0.02)
    return result


def _tight_charge(case: dict[str, Any], rng: np.random.Generator) -> None:
    """A demand charge whose peak so far lies well inside the day's power."""
    power = np.array(case["demand_m3min"]) * 6.8 + np.array(case["other_load_kw"])
    hours = sum(case["step_minutes"]) / 60.0
    case["demand_charge"] = {
        "price_eur_kw": round(rng.uniform(0.2, 0.5) * hours**0.9, 2),
        "peak_so_far_kw": round(float(np.quantile(power, rng.uniform(0.4, 0.8))), 1),
        "interval_minutes": float(rng.choice([15.0, 30.0])),
    }


def _start_rate(case: dict[str, Any], rng: np.random.Generator) -> None:
    """Cheap, quick starts that only the hourly limit holds back, and restless demand."""
    for machine in case["machines"]:
        machine["max_starts_per_hour"] = int(rng.choice([1, 2]))
        machine["min_up_min"] = float(rng.choice([5, 10]))
        machine["min_down_min"] = 5.0
        machine["start_cost_eur"] = round(0.2 * machine["start_cost_eur"], 3)
        machine["init"]["starts_minutes_ago"] = [float(rng.integers(1, 59))]
    demand = np.array(case["demand_m3min"])
    most = demand.max()
    demand = demand * (1.0 + 0.25 * rng.choice([-1.0, 1.0], size=len(demand)))
    case["demand_m3min"] = np.round(np.clip(demand, 0.05 * most, most), 3).tolist()


def _forced(case: dict[str, Any], rng: np.random.Generator) -> None:
    """Two machines under an operator's hand, one of them at part load."""
    steps = len(case["step_minutes"])
    chosen = rng.permutation(len(case["machines"]))[:2]
    for turn, index in enumerate(chosen.tolist()):
        machine = case["machines"][index]
        begin = int(rng.integers(0, steps // 2))
        window = [begin, begin + int(rng.integers(8, steps // 3))]
        machine["unavailable"], machine["forced_on"], machine["forced_flow"] = [], [], []
        if turn == 0:
            low, high = machine["curve"][0][0], machine["curve"][-1][0]
            machine["forced_flow"] = [[*window, round(low + (high - low) * rng.uniform(0.3, 1.0), 3)]]
        else:
            machine["forced_on"] = [window]


def _unavailable(case: dict[str, Any], rng: np.random.Generator) -> None:
    """A third of the machines missing for a part of the day each, demand held below what is left."""
    steps = len(case["step_minutes"])
    count = len(case["machines"])
    demand = np.array(case["demand_m3min"])
    offered = np.full(steps, sum(m["curve"][-1][0] for m in case["machines"]))
    for machine in case["machines"]:
        machine["unavailable"], machine["forced_on"], machine["forced_flow"] = [], [], []
    for index in rng.permutation(count)[: max(1, count // 3)].tolist():
        machine = case["machines"][index]
        begin = int(rng.integers(0, steps - 12))
        end = min(begin + int(rng.integers(10, steps // 2)), steps)
        machine["unavailable"] = [[begin, end]]
        offered[begin:end] -= machine["curve"][-1][0]
    case["demand_m3min"] = np.round(np.minimum(demand, 0.92 * offered), 3).tolist()


def _reserve(case: dict[str, Any], rng: np.random.Generator) -> None:
    """Headroom of a fifth of the demand, dear."""
    demand = np.array(case["demand_m3min"])
    case["reserve_m3min"] = np.round(demand * rng.uniform(0.15, 0.25), 3).tolist()
    case["penalty"]["reserve_eur_m3"] = 0.4


def _site_limit(case: dict[str, Any], rng: np.random.Generator) -> None:
    """A limit below the day's highest power: some of it has to be moved or paid for."""
    power = np.array(case["demand_m3min"]) * 6.8 + np.array(case["other_load_kw"])
    case["site_limit_kw"] = round(float(np.quantile(power, rng.uniform(0.85, 0.97))), 1)


def _large_receiver(case: dict[str, Any], rng: np.random.Generator) -> None:
    """A tank that holds many minutes of demand, and prices that make moving it worth while."""
    case["receiver"]["volume_m3"] = round(case["receiver"]["volume_m3"] * rng.uniform(3.0, 8.0), 1)
    price = np.array(case["energy_price_eur_kwh"])
    case["energy_price_eur_kwh"] = np.round(price * rng.uniform(0.5, 1.5, size=len(price)), 5).tolist()


# What no convex curve describes: shares of full flow and of full power. Load/unload with blow-down
# losses at every cycle, suction throttle down to 40 % and then unloaded, VSD that cycles below its
# least speed, turbo with two guide-vane regions.
_REAL_SHAPES = (
    ((0.0, 0.25), (0.15, 0.46), (0.5, 0.74), (1.0, 1.0)),
    ((0.0, 0.24), (0.4, 0.84), (1.0, 1.0)),
    ((0.0, 0.12), (0.1, 0.3), (0.25, 0.32), (0.65, 0.63), (1.0, 1.0)),
    ((0.45, 0.62), (0.6, 0.7), (0.75, 0.84), (0.85, 0.86), (1.0, 1.0)),
)


def _real_curves(case: dict[str, Any], rng: np.random.Generator) -> None:
    """Part-load curves as measured: most of the machines are not convex."""
    for machine in case["machines"]:
        if rng.random() < 0.75:
            shape = _REAL_SHAPES[int(rng.integers(0, len(_REAL_SHAPES)))]
            full, power = machine["curve"][-1]
            machine["curve"] = [[round(q * full, 3), round(p * power, 3)] for q, p in shape]
            for window in machine["forced_flow"]:
                window[2] = machine["curve"][-1][0]


# Each changes a case in place, drawing from its own generator.
TRAITS: dict[str, Callable[[dict[str, Any], np.random.Generator], None]] = {
    "plain": lambda _case, _rng: None,
    "charge": _tight_charge,
    "starts": _start_rate,
    "forced": _forced,
    "unavailable": _unavailable,
    "reserve": _reserve,
    "limit": _site_limit,
    "receiver": _large_receiver,
    "real": _real_curves,
}


def make_trait_case(machines: int, layout: str, seed: int, trait: str) -> dict[str, Any]:
    """A random station with a trait, as the JSON object of `station-plan/1`."""
    case = make_case(machines, layout, seed)
    TRAITS[trait](case, np.random.default_rng([machines, list(TRAITS).index(trait), seed, 7]))
    case["name"] = f"{case['name']}_{trait}"
    return case


def make_case(machines: int, layout: str, seed: int, *, charge: bool | None = None) -> dict[str, Any]:
    """One random station as the JSON object of `station-plan/1`; `charge` None: even seeds."""
    rng = np.random.default_rng([machines, _SEED_ORDER.index(layout), seed])
    step = LAYOUTS[layout]
    steps = len(step)
    start = float(rng.choice([0, 300, 360, 840]))
    at_h = (start + np.concatenate([[0.0], np.cumsum(step)[:-1]])) / 60.0
    park = _machines(rng, machines, steps)
    full = np.array([m["curve"][-1][0] for m in park])
    demand = _day(rng, at_h) * full.sum() * rng.uniform(0.6, 0.85)
    demand = np.minimum(demand, 0.9 * full.sum())
    for machine, flow in zip(park, full, strict=True):
        for begin, end in machine["unavailable"]:
            demand[begin:end] = np.minimum(demand[begin:end], 0.95 * (full.sum() - flow))
    reserve = demand * rng.uniform(0.03, 0.08)
    price = rng.uniform(0.1, 0.2) * (
        1.0 + 0.3 * np.sin((at_h - rng.uniform(5, 9)) * 2 * np.pi / 12) + 0.1 * np.sin(at_h * 2 * np.pi)
    )
    co2 = 0.35 + 0.1 * np.cos((at_h - 2.0) * 2 * np.pi / 24)
    base = float(full.sum() * rng.uniform(2.0, 6.0))
    other = base * (0.6 + 0.4 * ((at_h % 24 > 6) & (at_h % 24 < 20)) + rng.normal(0, 0.03, steps))
    power = demand * 6.8
    reference = float(rng.choice([6.5, 7.0, 8.0]))
    half = rng.uniform(0.3, 0.55)
    with_charge = seed % 2 == 0 if charge is None else charge
    hours = sum(step) / 60.0
    peak = float(np.quantile(power + other, rng.uniform(0.5, 1.0)))
    return {
        "schema": "station-plan/1",
        "name": f"{layout}_n{machines:02d}_s{seed}",
        "start_minute_of_day": start,
        "step_minutes": step,
        "demand_m3min": np.round(demand, 3).tolist(),
        "reserve_m3min": np.round(reserve, 3).tolist(),
        "energy_price_eur_kwh": np.round(price, 5).tolist(),
        "co2_kg_kwh": np.round(co2, 4).tolist(),
        "co2_price_eur_kg": 0.07,
        "other_load_kw": np.round(other, 1).tolist(),
        "demand_charge": {
            "price_eur_kw": round(rng.uniform(0.1, 0.3) * hours**0.9, 2),
            "peak_so_far_kw": round(peak, 1),
            "interval_minutes": 15.0,
        }
        if with_charge
        else None,
        "site_limit_kw": round(float((power + other).max()) * 1.02, 1) if rng.random() < 0.2 else None,
        "receiver": {
            "volume_m3": round(float(full.sum() * np.exp(rng.uniform(-1.5, 2.0))), 1),
            "p_atm_bar": 1.013,
            "p_ref_bar": reference,
            "p_min_bar": round(reference - half, 2),
            "p_max_bar": round(reference + half, 2),
            "p_init_bar": reference,
            "p_end_min_bar": reference,
            "leak_m3min_per_bar": round(float(full.sum()) * 0.015, 3),
            "power_kw_per_bar": round(float(full.sum()) * 0.22, 2),
        },
        "penalty": {
            "unserved_eur_m3": 3.0,
            "reserve_eur_m3": 0.15,
            "site_limit_eur_kwh": 2.0,
        },
        "machines": park,
    }
