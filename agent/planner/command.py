"""`trimload plan`: plan a station from a case file (the planner's rim, with case_file)."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.errors import TrimloadError
from agent.planner.budget import Budget
from agent.planner.case_file import CaseError, plan_document, read_case, write_plan
from agent.planner.dispatch import Dispatch
from agent.planner.problem import StationProblem
from agent.planner.result import PlanStatus, StationPlanResult
from agent.planner.solve import plan_station
from agent.planner.tables import compile_tables

EXIT_OK = 0
EXIT_BEST_EFFORT = 1
EXIT_UNREADABLE = 2

_DESCRIPTION = """\
Plan which compressors of a station run, when, and how hard.

CASE.json holds one station over one horizon (schema station-plan/1, docs/planner.md): machines
with power curves and minimum times, the receiver, expected demand and wanted reserve, prices.
The plan says for every machine and step whether it is on and what it delivers.
"""

_EPILOG = """\
examples:
  trimload plan case.json --out plan.json
  trimload plan case.json --out plan.json --gantt plan.html      look at it in a browser
  trimload plan case.json --out plan.json --exact --time-limit 120   how far from the optimum?

exit status:
  0  planned      1  planned, but air is short (best effort)      2  the case is unreadable
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimload plan",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("case", type=Path, metavar="CASE.json", help="the station to plan")
    parser.add_argument("--out", type=Path, metavar="PLAN.json", help="write the plan here")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.add_argument("--gantt", type=Path, metavar="PLAN.html", help="draw the plan into one HTML file")
    parser.add_argument(
        "--exact", action="store_true", help="solve the exact model too and print the gap (slow)"
    )
    parser.add_argument(
        "--time-limit",
        type=float,
        default=60.0,
        metavar="S",
        help="seconds for --exact (default 60)",
    )
    parser.add_argument(
        "--effort",
        choices=("greedy", "quick", "full", "deep"),
        default="full",
        help="how much to search: greedy only, quick as in the control loop, full (default), or deep",
    )
    return parser


def command(argv: Sequence[str]) -> int:
    """Run `trimload plan`; returns the exit status."""
    options = _parser().parse_args(argv)
    try:
        return _run(options)
    except TrimloadError as error:
        print(error, file=sys.stderr)
        return EXIT_UNREADABLE


def _run(options: argparse.Namespace) -> int:
    problem = read_case(options.case)
    dispatch = Dispatch(compile_tables(problem))
    budget = {
        "greedy": Budget.greedy_only(),
        "quick": Budget.quick(),
        "full": Budget.full(len(problem.machines)),
        "deep": Budget.deep(),
    }[options.effort]
    plan = plan_station(problem, budget=budget, dispatch=dispatch)
    if options.out is not None:
        write_plan(options.out, plan_document(plan.on, plan.flow_m3_min, plan.vent_m3_min))
    if options.gantt is not None:
        from agent.planner.gantt import draw

        _write_text(options.gantt, draw(problem, plan))
    summary = summarise(problem, plan)
    if options.exact:
        summary["exact"] = _exact(dispatch, plan, options.time_limit)
    print(json.dumps(summary, indent=1) if options.json else _readable(summary))
    return EXIT_BEST_EFFORT if plan.status is PlanStatus.BEST_EFFORT else EXIT_OK


def _write_text(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise CaseError(
            f"the drawing cannot be written: {error}", where=str(path), fix="name a writable file"
        ) from error


def summarise(problem: StationProblem, plan: StationPlanResult) -> dict[str, Any]:
    """The plan in short, as plain data."""
    hours = sum(problem.step_min) / 60.0
    return {
        "name": plan.name,
        "status": str(plan.status),
        "total_eur": round(plan.total_eur, 4),
        "cost": {key: round(value, 4) for key, value in dataclasses.asdict(plan.cost).items()},
        "machines": len(problem.machines),
        "steps": problem.steps,
        "horizon_h": round(hours, 3),
        "starts": len(plan.start_orders),
        "peak_kw": None if plan.peak_kw is None else round(plan.peak_kw, 2),
        "short_steps": len(plan.shortages),
        "reasons": list(plan.reasons),
        "lps": plan.effort.lps,
        "sweeps": plan.effort.sweeps,
    }


def _exact(dispatch: Dispatch, plan: StationPlanResult, time_limit_s: float) -> dict[str, Any]:
    from agent.planner.exact import solve_exact

    exact = solve_exact(dispatch.tables, dispatch, time_limit_s=time_limit_s)
    if exact is None:
        return {"found": False}
    ours = plan.total_eur + plan.cost.wishes_eur
    return {
        "found": True,
        "total_eur": round(exact.cost_eur, 4),
        "bound_eur": round(exact.bound_eur, 4),
        "gap_to_exact": round(ours / exact.cost_eur - 1.0, 7) if exact.cost_eur else None,
    }


def _readable(summary: dict[str, Any]) -> str:
    head = (
        f"{summary['name']}: {summary['status']}, {summary['total_eur']:.2f} EUR for "
        f"{summary['horizon_h']:g} h, {summary['machines']} machines, {summary['starts']} starts"
    )
    lines = [head]
    for key, value in summary["cost"].items():
        if abs(value) >= 0.005:
            lines.append(f"  {key.removesuffix('_eur').replace('_', ' '):<14}{value:>12.2f} EUR")
    lines += [f"  {reason}" for reason in summary["reasons"]]
    exact = summary.get("exact")
    if exact is not None:
        lines.append(
            f"  exact model: {exact['total_eur']:.2f} EUR (bound {exact['bound_eur']:.2f}), "
            f"this plan {100 * exact['gap_to_exact']:+.3f} %"
            if exact["found"]
            else "  exact model: nothing found in the time"
        )
    return "\n".join(lines)
