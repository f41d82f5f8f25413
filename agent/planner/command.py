"""`trimload plan`: plan a station from a case file (the planner's rim, with case_file)."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from agent.errors import TrimloadError
from agent.planner.budget import Budget
from agent.planner.case_file import CaseError, parse_case, plan_document, read_case, write_plan
from agent.planner.dispatch import Dispatch
from agent.planner.problem import StationProblem
from agent.planner.result import PlanStatus, StationPlanResult
from agent.planner.solve import plan_station
from agent.planner.tables import compile_tables

EXIT_OK = 0
EXIT_BAD_NEWS = 1
EXIT_UNREADABLE = 2

# Row of a past plan: state directory, instant, station.
Recall = Callable[[Path, datetime, str | None], dict[str, Any]]
_STATE = Path("/var/lib/trimload")
_END_OF_TIME = datetime(9999, 1, 1, tzinfo=UTC)

_DESCRIPTION = """\
Plan which compressors of a station run, when, and how hard.

CASE.json holds one station over one horizon (schema station-plan/1, docs/planner.md): machines
with power curves and minimum times, the receiver, expected demand and wanted reserve, prices.
The plan says for every machine and step whether it is on and what it delivers.

With --from-ledger the station is not read from a file but from the ledger of an agent: the last plan
made at or before an instant is made again, from the very numbers and with the budget of that time.
"""

_EPILOG = """\
examples:
  trimload plan case.json --out plan.json
  trimload plan case.json --out plan.json --gantt plan.html      look at it in a browser
  trimload plan case.json --out plan.json --exact --time-limit 120   how far from the optimum?
  trimload plan case.json --explain                              why each start, and what instead?
  trimload plan --from-ledger 2026-05-04T06:10Z --state /var/lib/trimload --gantt plan.html
  trimload plan --from-ledger now --state DIR --station air --effort full    what would more search give?

exit status:
  0  planned
  1  planned, but air is short (best effort), or the case contradicts itself and some rule is broken
  2  the case is unreadable, or there is no such plan
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimload plan",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("case", type=Path, nargs="?", metavar="CASE.json", help="the station to plan")
    parser.add_argument(
        "--from-ledger",
        metavar="T",
        help="make the last plan at or before T again: ISO 8601 with an offset (none means UTC), or now",
    )
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help=f"state directory with the ledger (default {_STATE})"
    )
    parser.add_argument("--station", metavar="ID", help="whose plan, where the ledger holds several")
    parser.add_argument("--out", type=Path, metavar="PLAN.json", help="write the plan here")
    parser.add_argument("--json", action="store_true", help="print the summary as one JSON object")
    parser.add_argument("--gantt", type=Path, metavar="PLAN.html", help="draw the plan into one HTML file")
    parser.add_argument(
        "--exact", action="store_true", help="solve the exact model too and print the gap (slow)"
    )
    parser.add_argument(
        "--explain",
        action="store_true",
        help="say why: each start and stop with its cause and the price of its opposite, each step's margin",
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
        help="how much to search: greedy only, quick as in the control loop, full (default; with "
        "--from-ledger what the plan had), or deep",
    )
    return parser


def command(argv: Sequence[str], recall: Recall | None = None) -> int:
    """Run `trimload plan`; returns the exit status. `recall` fetches the row of a past plan."""
    parser = _parser()
    options = parser.parse_args(argv)
    if (options.case is None) == (options.from_ledger is None):
        parser.error("give one of CASE.json and --from-ledger T")
    try:
        return _run(options, recall)
    except TrimloadError as error:
        print(error, file=sys.stderr)
        return EXIT_UNREADABLE


def _run(options: argparse.Namespace, recall: Recall | None) -> int:
    row: dict[str, Any] | None = None
    budget: Budget | None = None
    if options.from_ledger is not None:
        row = _recalled(options, recall)
        problem, budget = _problem_of(row)
    else:
        problem = read_case(options.case)
    if options.effort is not None or budget is None:
        budget = {
            "greedy": Budget.greedy_only(),
            "quick": Budget.quick(),
            "full": Budget.full(len(problem.machines)),
            "deep": Budget.deep(),
        }[options.effort or "full"]
    dispatch = Dispatch(compile_tables(problem))
    plan = plan_station(problem, budget=budget, dispatch=dispatch)
    if options.out is not None:
        write_plan(options.out, plan_document(plan.on, plan.flow_m3_min, vent_of(problem, plan)))
    if options.gantt is not None:
        from agent.planner.gantt import draw

        _write_text(options.gantt, draw(problem, plan))
    summary = summarise(problem, plan)
    if row is not None:
        summary["recorded"] = _recorded(row, problem, plan)
    if options.explain:
        summary["why"] = _why(problem, plan)
    if options.exact:
        summary["exact"] = _exact(dispatch, plan, options.time_limit)
    print(json.dumps(summary, indent=1) if options.json else _readable(summary))
    bad_news = plan.status is PlanStatus.BEST_EFFORT or plan.broken
    return EXIT_BAD_NEWS if bad_news else EXIT_OK


def _why(problem: StationProblem, plan: StationPlanResult) -> dict[str, Any]:
    """Causes of all starts and stops with what their opposites would cost, and every step's margin."""
    from agent.planner.explain import explain_steps, explain_switch, explain_switches

    switches: list[dict[str, Any]] = []
    for reason in explain_switches(problem, plan):
        other = explain_switch(problem, plan, reason)
        switches.append(
            {
                "machine": reason.machine_id,
                "step": reason.step,
                "starts": reason.starts,
                "cause": str(reason.cause),
                "opposite_extra_eur": None if math.isnan(other.extra_eur) else round(other.extra_eur, 4),
                "instead": list(other.instead),
                "text": f"{reason.text}; {other.text}",
            }
        )
    steps = [
        {
            "step": reason.step,
            "margin": str(reason.margin),
            "machine": reason.machine_id,
            "price_eur_m3": round(reason.price_eur_m3, 6),
            "sets_peak": reason.sets_peak,
            "text": reason.text,
        }
        for reason in explain_steps(problem, plan)
    ]
    return {"switches": switches, "steps": steps}


def _recalled(options: argparse.Namespace, recall: Recall | None) -> dict[str, Any]:
    """The ledger's row of the plan asked for."""
    if recall is None:
        raise CaseError(
            "there is no ledger to read from here", where="--from-ledger", fix="use `trimload plan`"
        )
    if options.from_ledger == "now":
        until = _END_OF_TIME
    else:
        try:
            until = datetime.fromisoformat(options.from_ledger)
        except ValueError as error:
            raise CaseError(
                f"'{options.from_ledger}' is no instant: {error}",
                where="--from-ledger",
                fix="write it as 2026-05-04T06:10Z, or now",
            ) from error
    if until.tzinfo is None:
        until = until.replace(tzinfo=UTC)
    return recall(options.state or _STATE, until, options.station)


def _problem_of(row: Mapping[str, Any]) -> tuple[StationProblem, Budget]:
    """Problem and budget of a recorded plan."""
    where = f"ledger, plan {row.get('plan')}"
    case, work = row.get("case"), row.get("budget")
    if case is None or not isinstance(work, Mapping):
        raise CaseError(
            "this plan was recorded without what it was made of",
            where=where,
            fix="name an instant after the agent was updated: since then the ledger keeps the problem",
        )
    names = {field.name for field in dataclasses.fields(Budget)}
    known = {name: int(value) for name, value in work.items() if name in names}
    return parse_case(json.dumps(case), where=where), Budget(**known)


def _recorded(row: Mapping[str, Any], problem: StationProblem, plan: StationPlanResult) -> dict[str, Any]:
    """The recorded plan beside the one just made: cost, and whether the same machines run."""
    begins = np.concatenate([[0.0], np.cumsum(problem.step_min)[:-1]])
    rows = [(datetime.fromisoformat(at), set(running)) for at, running, *_ in row.get("running", [])]
    same = True
    for at, running in rows:
        step = int(np.searchsorted(begins, (at - rows[0][0]).total_seconds() / 60.0 + 1e-6, side="right")) - 1
        same = same and running == {key for key, on in plan.on.items() if on[step]}
    return {
        "plan": row.get("plan"),
        "status": row.get("status"),
        "total_eur": row.get("cost"),
        "same_machines": same,
    }


def vent_of(problem: StationProblem, plan: StationPlanResult) -> Sequence[float] | None:
    """Air to be blown off; left to the reader where the start lies outside the band.

    The planner lets such a start come back by itself; a reader that knows only the band feeds or blows
    off the difference at once, and has to reckon on from there.
    """
    receiver = problem.receiver
    inside = receiver.pressure_min_bar <= receiver.pressure_init_bar <= receiver.pressure_max_bar
    return plan.vent_m3_min if inside else None


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
        "broken_rules": [dict(one._asdict()) for one in plan.broken],
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


def _changes_of_margin(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The steps at which another machine becomes the marginal one, or the peak is set."""
    shown: list[dict[str, Any]] = []
    for before, step in zip([None, *steps], steps, strict=False):
        same = before is not None and all(
            before[key] == step[key] for key in ("margin", "machine", "sets_peak")
        )
        if not same:
            shown.append(step)
    return shown


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
    if "why" in summary:
        lines += [f"  {switch['text']}" for switch in summary["why"]["switches"]]
        lines += [f"  {step['text']}" for step in _changes_of_margin(summary["why"]["steps"])]
    recorded = summary.get("recorded")
    if recorded is not None:
        same = "the same machines run" if recorded["same_machines"] else "other machines run"
        cost = "-" if recorded["total_eur"] is None else f"{recorded['total_eur']:.2f} EUR"
        lines.append(f"  recorded as {recorded['plan']}: {recorded['status']}, {cost}; {same}")
    exact = summary.get("exact")
    if exact is not None:
        lines.append(
            f"  exact model: {exact['total_eur']:.2f} EUR (bound {exact['bound_eur']:.2f}), "
            f"this plan {100 * exact['gap_to_exact']:+.3f} %"
            if exact["found"]
            else "  exact model: nothing found in the time"
        )
    return "\n".join(lines)
