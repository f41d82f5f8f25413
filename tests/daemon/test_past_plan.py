"""A plan that stands in the ledger can be made again from there."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.cli import main
from agent.config.load import load_site
from agent.daemon.replanning import plan_event
from agent.domain import Plan
from agent.planner.day import DayAsk, DemandOutlook, MachineNow, plan_day
from agent.store.ledger import Ledger

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "station_7bar" / "site.toml"
NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


def _plan(at: datetime, seed: int, before: Plan | None = None) -> Plan:
    site = load_site(EXAMPLE)
    station = site.stations["air"]
    rng = np.random.default_rng(seed)
    now = {
        name: MachineNow(index == 0, 1234.567 * (index + 1), (1234.567,) if index == 0 else (), index != 2)
        for index, name in enumerate(station.machines)
    }
    outlook = DemandOutlook(at, 900, 14.0 + rng.uniform(0.0, 4.0, 96), rng.uniform(0.0, 3.0, 96))
    ask = DayAsk(
        "air",
        station,
        site.tariff,
        "Europe/Berlin",
        now,
        outlook,
        pressure_bar_g=6.4321,
        band_floor_bar=0.1,
        band_width_bar=0.4,
        at=at,
        before=before,
    )
    return plan_day(ask)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state directory whose ledger holds two plans an hour apart, its writer still at work."""
    ledger = Ledger(tmp_path / "ledger.db")
    first = _plan(NOON, 1)
    second = _plan(NOON + timedelta(hours=1), 2, before=first)
    ledger.append_all([plan_event(first, "first"), plan_event(second, "due")])
    yield tmp_path
    ledger.close()


@pytest.mark.parametrize(
    ("asked", "seed"), [("2026-03-02T12:30Z", 1), ("2026-03-02T15:00+01:00", 2), ("now", 2)]
)
def test_the_last_plan_before_an_instant_is_made_again_to_the_cent(
    state: Path, capsys: pytest.CaptureFixture[str], asked: str, seed: int
) -> None:
    status = main(["plan", "--from-ledger", asked, "--state", str(state), "--json"])

    summary = json.loads(capsys.readouterr().out)
    assert status == 0
    assert summary["recorded"]["plan"] == f"air-20260302T{11 + seed}0000Z"
    assert summary["recorded"]["same_machines"]
    assert summary["total_eur"] == pytest.approx(summary["recorded"]["total_eur"], abs=1e-4)


def test_with_more_effort_the_past_plan_is_no_dearer(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["plan", "--from-ledger", "now", "--state", str(state), "--json", "--effort", "full"])

    summary = json.loads(capsys.readouterr().out)
    wishes = summary["cost"]["wishes_eur"]
    assert summary["total_eur"] + wishes <= summary["recorded"]["total_eur"] + abs(wishes) + 0.5


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--from-ledger", "2026-03-02T11:59Z"], "no plan at or before"),
        (["--from-ledger", "now", "--station", "other"], "there are plans of air"),
        (["--from-ledger", "yesterday"], "is no instant"),
    ],
)
def test_a_plan_that_is_not_there_is_one_clear_error(
    state: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    status = main(["plan", *words, "--state", str(state)])

    errors = capsys.readouterr().err
    assert status == 2
    assert said in errors
    assert "fix:" in errors


def test_a_plan_of_before_the_problem_was_kept_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    ledger.append("plan", NOON, {"plan": "air-old", "station": "air", "status": "optimised"})
    ledger.close()

    status = main(["plan", "--from-ledger", "now", "--state", str(tmp_path)])

    assert status == 2
    assert "recorded without what it was made of" in capsys.readouterr().err


def test_plans_that_went_out_of_the_database_are_found_in_its_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ledger = Ledger(tmp_path / "ledger.db", max_bytes=1 << 20)
    ledger.append_all([plan_event(_plan(NOON, 1), "first")])
    row = 0
    while not ledger.exported():
        ledger.append("filler", NOON + timedelta(days=1, minutes=row), {"text": "x" * 4000})
        row += 1
    ledger.close()

    status = main(["plan", "--from-ledger", "2026-03-02T18:00Z", "--state", str(tmp_path), "--json"])

    assert status == 0
    assert json.loads(capsys.readouterr().out)["recorded"]["same_machines"]
