"""The rim: reading cases, writing plans, the command's exit status and output."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.planner.case_document import case_document
from agent.planner.case_file import CaseError, parse_case, read_case
from agent.planner.command import command
from agent.planner.problem import Inertia
from tests.planner.scoring import judge
from tests.planner.stations import random_case


def _broken(**changes: Any) -> dict[str, Any]:
    case = random_case(1, machines=2, steps=4)
    case.update(changes)
    return case


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "station-plan/9"}, "station-plan/9"),
        ({"step_minutes": []}, "no step"),
        ({"step_minutes": [15.0, -1.0, 15.0, 15.0]}, "longer than zero"),
        ({"demand_m3min": [1.0, 2.0]}, "2 values for 4 steps"),
        ({"demand_m3min": [1.0, "two", 3.0, 4.0]}, "not a number"),
        ({"demand_m3min": None}, "not a list"),
        ({"receiver": {"volume_m3": 1.0}}, "'p_ref_bar' is missing"),
        ({"machines": {}}, "not a list"),
        ({"demand_charge": {"price_eur_kw": 1.0}}, "'peak_so_far_kw' is missing"),
        ({"energy_price_eur_kwh": [float("nan")] * 4}, "finite"),
        ({"demand_m3min": [1.0, -2.0, 1.0, 1.0]}, "negative"),
        ({"demand_m3min": [1.0, 1e12, 1.0, 1.0]}, "beyond all measure"),
        ({"step_minutes": [1e-9] * 4}, "shorter"),
    ],
)
def test_a_faulty_case_gets_one_clear_error(change: dict[str, Any], words: str) -> None:
    text = json.dumps(_broken(**change))

    with pytest.raises(CaseError) as caught:
        parse_case(text, where="case.json")

    assert words in caught.value.what
    assert caught.value.where.startswith("case.json")
    assert caught.value.fix


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("curve", [[0.0, 1.0], [0.0, 2.0]], "rise"),
        ("curve", [], "empty"),
        ("unavailable", [[3, 1]], "ends before it begins"),
        ("unavailable", [[0.5, 1]], "whole steps"),
        ("forced_flow", [[0, 1, 999.0]], "outside"),
        ("forced_flow", [[0, 3, "full"]], "not a number"),
        ("unavailable", [[-1, 2]], "ends before it begins"),
        ("min_up_min", -1.0, "negative"),
        ("init", {"on": "yes", "minutes_in_state": 1.0}, "neither true nor false"),
        ("id", "M1", "two machines"),
        ("id", "", "no id"),
    ],
)
def test_a_faulty_machine_gets_one_clear_error(key: str, value: Any, words: str) -> None:
    case = _broken()
    case["machines"][0][key] = value

    with pytest.raises(CaseError) as caught:
        parse_case(json.dumps(case), where="case.json")

    assert words in caught.value.what


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, '{"a": 1e999}'])
def test_text_that_is_no_case_is_one_error_not_a_crash(text: str) -> None:
    with pytest.raises(CaseError):
        parse_case(text, where="case.json")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(CaseError) as caught:
        read_case(tmp_path / "nowhere.json")

    assert "nowhere.json" in caught.value.where


def _ample(case: dict[str, Any]) -> dict[str, Any]:
    """The case with demand that any one machine and the receiver can meet, and no windows."""
    case["demand_m3min"] = [1.0] * len(case["step_minutes"])
    case["receiver"]["p_init_bar"] = case["receiver"]["p_ref_bar"]
    case["machines"][0]["init"]["on"] = True
    for machine in case["machines"]:
        machine["unavailable"] = []
    return case


def _write(path: Path, case: dict[str, Any]) -> str:
    path.write_text(json.dumps(case), encoding="utf-8")
    return str(path)


def test_the_command_writes_a_feasible_plan_and_prints_its_cost(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = _ample(random_case(8, machines=4, steps=24))
    out = tmp_path / "plan.json"

    status = command([_write(tmp_path / "case.json", case), "--out", str(out), "--json"])

    summary = json.loads(capsys.readouterr().out)
    verdict = judge(case, json.loads(out.read_text(encoding="utf-8")))
    assert status == 0
    assert verdict.broken == []
    assert summary["total_eur"] == pytest.approx(verdict.cost_eur, abs=1e-3)
    assert summary["status"] == "optimised"


def test_the_command_says_best_effort_by_its_exit_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = random_case(8, machines=2, steps=6, load=2.0)

    status = command([_write(tmp_path / "case.json", case)])

    assert status == 1
    assert "capacity short" in capsys.readouterr().out


def test_the_command_refuses_an_unreadable_case_with_what_where_and_fix(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "case.json"
    path.write_text("not json", encoding="utf-8")

    status = command([str(path)])

    errors = capsys.readouterr().err
    assert status == 2
    assert "where:" in errors
    assert "fix:" in errors


def test_the_command_refuses_a_place_it_cannot_write_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = _write(tmp_path / "case.json", random_case(8, machines=2, steps=6))

    status = command([case, "--out", str(tmp_path / "no" / "plan.json")])

    assert status == 2
    assert "cannot be written" in capsys.readouterr().err


def test_the_exact_model_is_solved_beside_the_plan_on_demand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = _ample(random_case(9, machines=2, steps=12))

    command([_write(tmp_path / "case.json", case), "--exact", "--json"])

    exact = json.loads(capsys.readouterr().out)["exact"]
    assert exact["found"]
    assert -1e-4 <= exact["gap_to_exact"] <= 0.005


def test_the_drawing_is_one_page_that_fetches_nothing(tmp_path: Path) -> None:
    case = _ample(random_case(8, machines=3, steps=24))
    case["machines"][0]["id"] = "<C&1>"
    page = tmp_path / "plan.html"

    command([_write(tmp_path / "case.json", case), "--gantt", str(page)])

    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 4
    assert "&lt;C&amp;1&gt;" in text
    assert "<C&1>" not in text
    assert "http" not in text
    assert "<script" not in text


def test_the_command_says_why_each_machine_starts_and_what_the_opposite_costs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = random_case(8, machines=3, steps=16)

    command([_write(tmp_path / "case.json", case), "--explain", "--json"])

    summary = json.loads(capsys.readouterr().out)
    why = summary["why"]
    assert len([s for s in why["switches"] if s["starts"]]) == summary["starts"]
    assert len(why["steps"]) == 16
    # The plan is the best found: no opposite is a bargain.
    assert all(s["opposite_extra_eur"] > -1e-3 * summary["total_eur"] for s in why["switches"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"schema": "station-plan/1", "schema": "x"}', "stands twice"),
        ("\ufeff{}", "is missing"),
    ],
)
def test_strange_texts_are_read_as_what_they_are(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "case.json"
    path.write_text(text, encoding="utf-8")

    with pytest.raises(CaseError) as caught:
        read_case(path)

    assert words in caught.value.what


def test_a_misspelt_key_is_not_passed_over(tmp_path: Path) -> None:
    case = random_case(8, machines=2, steps=4) | {"family": "drawn", "seed": 4}
    parse_case(json.dumps(case), where="case.json")
    case["machines"][1]["unavailble"] = [[0, 2]]
    del case["machines"][1]["unavailable"]

    with pytest.raises(CaseError) as caught:
        parse_case(json.dumps(case), where="case.json")

    assert "unavailble" in caught.value.what
    assert "unavailable" in caught.value.fix


def test_a_case_that_contradicts_itself_is_planned_and_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = _ample(random_case(8, machines=2, steps=8))
    case["machines"][1] |= {"forced_on": [[0, 8]], "forced_flow": [], "unavailable": [[2, 4]]}

    status = command([_write(tmp_path / "case.json", case), "--json"])

    summary = json.loads(capsys.readouterr().out)
    broken = [(rule["machine_id"], rule["rule"], rule["step"]) for rule in summary["broken_rules"]]
    assert status == 1
    assert {("M1", "forced", 2), ("M1", "forced", 3)} <= set(broken)
    assert any("contradictory input" in reason for reason in summary["reasons"])


def test_a_problem_written_as_a_case_is_read_back_the_same() -> None:
    problem = parse_case(json.dumps(random_case(5, machines=3, steps=6, odd=True)), where="x")
    wished = replace(
        problem,
        machines=tuple(replace(m, lead_time_min=7.5, preference_eur_h=-0.25) for m in problem.machines),
        inertia=Inertia(on={"M1": (True, False, True)}, flip_cost_eur=0.125),
    )

    assert parse_case(json.dumps(case_document(wished)), where="x") == wished
