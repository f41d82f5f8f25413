"""Answers of the exact model, kept in a file of JSON lines: minutes each, so computed once.

One line a station: the exact model's best cost (its schedule dispatched anew), proven bound, time
limit, seconds taken and schedule. `planner_references.jsonl` beside this file has those of the benchmark's 104 stations.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from agent.clock import elapsed_s
from agent.planner.dispatch import Dispatch
from agent.planner.dispatch_real import dispatch_real
from agent.planner.exact import solve_exact
from agent.planner.problem import StationProblem
from agent.planner.tables import compile_tables


@dataclass(frozen=True, slots=True)
class Reference:
    """What the exact model reached; `cost_eur` None when it found no plan in its time."""

    name: str
    limit_s: float
    wall_s: float
    cost_eur: float | None
    bound_eur: float | None
    on: dict[str, str]


def read_references(path: Path) -> dict[str, Reference]:
    """The known answers by station name; of several the one with the most time."""
    known: dict[str, Reference] = {}
    if not path.exists():
        return known
    for line in path.read_text(encoding="utf-8").splitlines():
        reference = Reference(**json.loads(line))
        if reference.name not in known or reference.limit_s >= known[reference.name].limit_s:
            known[reference.name] = reference
    return known


def solve_reference(problem: StationProblem, limit_s: float) -> Reference:
    """The exact model's answer: gap 1e-4 or the time limit (wall clock), nothing given to start from."""
    begin = elapsed_s()
    tables = compile_tables(problem)
    dispatch = Dispatch(tables)
    answer = solve_exact(tables, dispatch, time_limit_s=limit_s)
    wall_s = elapsed_s() - begin
    if answer is None:
        return Reference(problem.name, limit_s, wall_s, None, None, {})
    priced = dispatch_real(dispatch, answer.on, at_most_eur=np.inf).answer
    cost = answer.cost_eur if priced is None else min(priced.cost_eur, answer.cost_eur)
    on = {
        key: "".join(str(int(value)) for value in answer.on[:, index])
        for index, key in enumerate(problem.machine_ids)
    }
    return Reference(problem.name, limit_s, wall_s, cost, answer.bound_eur, on)


def append_reference(path: Path, reference: Reference) -> None:
    """Add one line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8") as out:
        out.write(json.dumps(asdict(reference)) + "\n")
