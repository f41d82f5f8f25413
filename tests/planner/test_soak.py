"""A small share of the soak (benchmarks/planner_soak.py): some problems of every degenerate kind."""

from __future__ import annotations

import json
from itertools import count, islice

import pytest

from agent.planner.budget import Budget
from agent.planner.case_file import parse_case
from agent.planner.solve import plan_station
from benchmarks.planner_soak import KINDS, draw, faults


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_problem_gets_a_plan_that_keeps_what_can_be_kept(kind: str) -> None:
    # Numbers that the long soak does not reach.
    drawn = ((index, *draw(index)) for index in count(1_000_000))
    of_kind = ((index, case) for index, found, case in drawn if found == kind)

    for index, case in islice(of_kind, 3):
        problem = parse_case(json.dumps(case), where=f"problem {index}")
        plan = plan_station(problem, budget=Budget(lps=8, sweeps=10))

        assert faults(case, problem, plan, None) == [], f"problem {index}"
