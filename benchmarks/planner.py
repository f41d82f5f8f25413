"""How good is the plan, and what does it cost to make? Against the exact model, on stations of ours.

    python benchmarks/planner.py                            60 stations, planner against greedy
    python benchmarks/planner.py --exact 120                and against the exact model (slow: hours)
    python benchmarks/planner.py --exact 60 --cache DIR     keep the exact answers between runs
    python benchmarks/planner.py --effort tenth             with a tenth of the budget
    python benchmarks/planner.py --scale                    100 machines against the relaxed bound

Stations are drawn by benchmarks/planner_cases.py from seeds that the planner was not tuned on
(101 and up; tuning used 1 to 6). CPU is process time of one thread: set OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from agent.clock import cpu_s
from agent.planner.budget import Budget
from agent.planner.case_file import parse_case
from agent.planner.dispatch import Dispatch
from agent.planner.exact import relaxed_bound, solve_exact
from agent.planner.problem import StationProblem
from agent.planner.search import faulty_machines
from agent.planner.solve import plan_station
from agent.planner.tables import compile_tables
from benchmarks.planner_cases import make_case

# Machines, layout: each seed draws one station of every kind.
KINDS = (
    (3, "day15"),
    (5, "day15"),
    (8, "day15"),
    (12, "day15"),
    (20, "day15"),
    (4, "shift5"),
    (6, "shift5"),
    (8, "shift5"),
    (12, "shift5"),
    (4, "mixed"),
    (6, "mixed"),
    (8, "mixed"),
    (12, "mixed"),
)
FIRST_SEED = 101


class Measured(NamedTuple):
    """One station: costs in EUR (exact and bound NaN where not solved) and CPU of the plan."""

    name: str
    machines: int
    layout: str
    plan_eur: float
    greedy_eur: float
    exact_eur: float
    bound_eur: float
    cpu_ms: float
    feasible: bool
    charged: bool


def stations(seeds: int) -> Iterator[tuple[str, StationProblem]]:
    """The benchmark's stations with their layout."""
    for seed in range(FIRST_SEED, FIRST_SEED + seeds):
        for machines, layout in KINDS:
            case = make_case(machines, layout, seed)
            yield layout, parse_case(json.dumps(case), where=case["name"])


def budget_of(effort: str, machines: int) -> Budget:
    """The budget that an effort names."""
    full = Budget.full(machines)
    return {"full": full, "tenth": full.tenth(), "quick": Budget.quick(), "deep": Budget.deep()}[effort]


def measure(
    layout: str, problem: StationProblem, effort: str, exact_s: float, cache: Path | None
) -> Measured:
    """Plan one station and compare."""
    begin = cpu_s()
    plan = plan_station(problem, budget=budget_of(effort, len(problem.machines)))
    cpu_ms = 1000.0 * (cpu_s() - begin)
    greedy = plan_station(problem, budget=Budget.greedy_only())
    exact, bound = _exact(problem, exact_s, cache) if exact_s > 0 else (np.nan, np.nan)
    on = np.stack([np.array(plan.on[key]) for key in problem.machine_ids], axis=1)
    return Measured(
        problem.name,
        len(problem.machines),
        layout,
        plan.total_eur,
        greedy.total_eur,
        exact,
        bound,
        cpu_ms,
        not faulty_machines(compile_tables(problem), on),
        problem.demand_charge is not None,
    )


def _exact(problem: StationProblem, limit_s: float, cache: Path | None) -> tuple[float, float]:
    """Best cost and bound of the exact model, from the cache when it holds this station."""
    place = cache / f"{problem.name}_{limit_s:g}.json" if cache is not None else None
    if place is not None and place.exists():
        known = json.loads(place.read_text(encoding="utf-8"))
        return known["cost"], known["bound"]
    tables = compile_tables(problem)
    answer = solve_exact(tables, Dispatch(tables), time_limit_s=limit_s)
    cost, bound = (answer.cost_eur, answer.bound_eur) if answer is not None else (np.nan, np.nan)
    if place is not None:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(json.dumps({"cost": cost, "bound": bound}), encoding="utf-8")
    return cost, bound


def _line(label: str, rows: list[Measured]) -> str:
    """One line of the table: gaps to the exact model's best plan, to greedy, CPU."""
    gap = np.array([100.0 * (row.plan_eur / row.exact_eur - 1.0) for row in rows])
    saved = np.array([100.0 * (1.0 - row.plan_eur / row.greedy_eur) for row in rows])
    cpu = np.array([row.cpu_ms for row in rows])
    known = gap[np.isfinite(gap)]
    quantiles = (
        f"{np.median(known):8.4f} {np.quantile(known, 0.9):8.4f} {known.max():8.4f}"
        if len(known)
        else f"{'-':>8} {'-':>8} {'-':>8}"
    )
    feasible = sum(row.feasible for row in rows)
    return (
        f"{label:<16}{len(rows):5d}{feasible:9d}  {quantiles}   {np.median(saved):7.2f} "
        f"{saved.min():7.2f}   {np.median(cpu):7.0f} {cpu.max():7.0f}"
    )


def report(rows: list[Measured]) -> str:
    """The table, by size, layout and tariff."""
    head = f"{'':<16}{'n':>5}{'feasible':>9}  {'gap to exact [%]':^26}   {'below greedy [%]':^15}"
    units = f"{'':<30}  {'median':>8} {'p90':>8} {'worst':>8}   {'median':>7} {'least':>7}"
    lines = [
        f"{head}   {'CPU [ms]':^15}",
        f"{units}   {'median':>7} {'max':>7}",
        _line("all", rows),
    ]
    lines += [
        _line(f"{count} machines", [row for row in rows if row.machines == count])
        for count in sorted({row.machines for row in rows})
    ]
    lines += [
        _line(layout, [row for row in rows if row.layout == layout])
        for layout in sorted({row.layout for row in rows})
    ]
    for label, charged in (("demand charge", True), ("no charge", False)):
        chosen = [row for row in rows if row.charged == charged]
        if chosen:
            lines.append(_line(label, chosen))
    return "\n".join(lines)


def scale() -> None:
    """100 machines for a day: CPU and distance to the relaxed bound."""
    for seed in (FIRST_SEED, FIRST_SEED + 2):
        problem = parse_case(json.dumps(make_case(100, "day15", seed)), where="scale")
        begin = cpu_s()
        plan = plan_station(problem)
        cpu = cpu_s() - begin
        tables = compile_tables(problem)
        bound = relaxed_bound(tables, Dispatch(tables), time_limit_s=300.0)
        gap = "-" if bound is None else f"{100.0 * (plan.total_eur / bound - 1.0):.3f} %"
        print(f"{problem.name}: {plan.total_eur:.2f} EUR, {cpu:.1f} s CPU, above relaxed bound: {gap}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seeds", type=int, default=5, help="seeds, 13 stations each (default 5)")
    parser.add_argument("--effort", choices=("full", "tenth", "quick", "deep"), default="full")
    parser.add_argument("--exact", type=float, default=0.0, metavar="S", help="exact model, S s each")
    parser.add_argument("--cache", type=Path, help="folder that keeps exact answers")
    parser.add_argument("--scale", action="store_true", help="100 machines instead")
    parser.add_argument("--verbose", action="store_true", help="one line for each station")
    options = parser.parse_args()
    if options.scale:
        scale()
        return
    rows: list[Measured] = []
    for layout, problem in stations(options.seeds):
        row = measure(layout, problem, options.effort, options.exact, options.cache)
        rows.append(row)
        if options.verbose:
            print(
                f"{row.name:<18}{row.plan_eur:12.3f} exact {row.exact_eur:12.3f} "
                f"bound {row.bound_eur:12.3f} greedy {row.greedy_eur:12.3f} {row.cpu_ms:7.0f} ms",
                flush=True,
            )
    print(report(rows))


if __name__ == "__main__":
    main()
