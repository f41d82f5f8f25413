"""A site whose truth is known: the old control for a week, then the agent, through the real store to the report."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.config.load import load_site
from agent.domain import Mode
from agent.savings.command import command
from agent.store.history import History
from twin.baselines.configured import configured_baseline
from twin.demand import shift_demand
from twin.recording import EnergyMeter, Recorder, unlike_nameplate
from twin.simulate import Scene, run_agent, run_baseline

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "station_7bar" / "site.toml"
SITE = load_site(EXAMPLE)
# Midnight of a Monday in Berlin.
START = datetime(2026, 3, 1, 23, 0, tzinfo=UTC)
OBSERVED, CONTROLLED, STEP_S = 7, 2, 10.0


class World:
    """Where the store lies, and what the weeks would truly have cost."""

    def __init__(self, state: Path) -> None:
        self.state = state
        (state / "site.toml").write_text(EXAMPLE.read_text(encoding="utf-8"), encoding="utf-8")
        station = SITE.stations["air"]
        true = unlike_nameplate(station, 3)
        demand = shift_demand(station, SITE.site.timezone, START, OBSERVED + CONTROLLED, 3)
        self.middle = START + timedelta(days=OBSERVED)
        end = self.middle + timedelta(days=CONTROLLED)
        watched = Scene(SITE, "air", demand, START, self.middle, 3, step_s=STEP_S, true_station=true)
        ruled = replace(watched, start_at=self.middle, end_at=end, seed=4)
        used, old = EnergyMeter(STEP_S), EnergyMeter(STEP_S)
        observer, controller = Recorder(watched, Mode.OBSERVE), Recorder(ruled, Mode.CONTROL)

        def watch(at, plant):
            controller.take(at, plant)
            used.take(at, plant)

        run_baseline(replace(watched, watch=observer.take), configured_baseline(true))
        run_agent(replace(ruled, watch=watch), "none")
        with closing(History(state / "history.db", 60)) as history:
            observer.keep(history)
            controller.keep(history)
        run_baseline(replace(ruled, watch=old.take), configured_baseline(true))
        self.used_kwh, self.old_kwh = used.energy_kwh, old.energy_kwh
        self.watched = watched

    def true_share_of_last_days(self, days: int) -> float:
        """What the agent would truly have saved on the last observed days."""
        scene = replace(self.watched, start_at=self.middle - timedelta(days=days))
        old, new = EnergyMeter(STEP_S), EnergyMeter(STEP_S)
        run_baseline(replace(scene, watch=old.take), configured_baseline(scene.true_station))
        run_agent(replace(scene, watch=new.take), "none")
        return 1.0 - new.energy_kwh / old.energy_kwh


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> World:
    return World(tmp_path_factory.mktemp("state"))


@pytest.fixture(scope="module")
def report(world: World) -> dict:
    out = world.state / "report.json"
    assert command([str(world.state), "--json", str(out), "--html", str(world.state / "report.html")]) == 0
    return json.loads(out.read_text(encoding="utf-8"))


def test_true_saving_lies_in_the_simulated_interval(world: World, report: dict):
    true_kwh = world.old_kwh - world.used_kwh
    found = report["counterfactual"]["saving"]

    low, high = found["saved_kwh_interval"]

    assert low <= true_kwh <= high
    # An interval that holds everything proves nothing: it is far from zero, and narrower than the saving.
    assert low > 0.0
    assert high - low < true_kwh
    assert report["kind"] == "saved"


def test_true_saving_lies_in_the_regressions_interval(world: World, report: dict):
    true_kwh = world.old_kwh - world.used_kwh

    low, high = report["regression"]["saving"]["saved_kwh_interval"]

    assert 0.0 < low <= true_kwh <= high


def test_stored_minutes_give_the_energy_that_was_truly_used(world: World, report: dict):
    total = report["total"]

    assert total["energy_kwh"] == pytest.approx(world.used_kwh, rel=1e-4)
    assert total["coverage"]["power"] == pytest.approx(1.0, abs=0.001)
    assert total["control_share"] == 1.0


def test_calibration_finds_the_machines_and_the_volume_behind_the_nameplates(report: dict):
    true, plate = unlike_nameplate(SITE.stations["air"], 3), SITE.stations["air"]
    calibration = report["counterfactual"]["calibration"]

    for name, found in calibration["machines"].items():
        if found["minutes"] < 100:
            continue
        full_kw = found["scale"] * plate.machines[name].full_power_kw + found["offset_kw"]
        assert full_kw == pytest.approx(true.machines[name].full_power_kw, rel=0.01)
    assert sum(found["minutes"] >= 100 for found in calibration["machines"].values()) >= 2
    assert calibration["volume_m3"] == pytest.approx(true.receiver_m3, rel=0.1)
    assert calibration["cv_rmse"] < 0.02


def test_observed_days_alone_give_what_the_agent_would_have_saved(world: World, capsys):
    span = ["--from", (world.middle - timedelta(days=3)).isoformat(), "--to", world.middle.isoformat()]

    status = command([str(world.state), *span, "--by", "week", "--json"])

    found = json.loads(capsys.readouterr().out)
    assert status == 0
    assert found["kind"] == "would have saved"
    saving = found["counterfactual"]["saving"]
    # The same days, a week-end among them, on the plant as it truly is: under its old control and under the agent.
    assert saving["share"] == pytest.approx(world.true_share_of_last_days(3), abs=0.02)
    assert saving["share_interval"][0] > 0.0
    assert found["regression"]["available"] is False
    assert "not in control" in found["regression"]["why"]


def test_page_is_one_file_that_loads_nothing(world: World, report: dict):
    page = (world.state / "report.html").read_text(encoding="utf-8")

    assert page.count("<svg") >= 6
    assert f"{100 * report['counterfactual']['saving']['share']:.1f} %" in page
    for loads in ("http", "src=", "url(", "<script", "@import"):
        assert loads not in page.replace("http-equiv", "")


def test_too_few_observed_days_are_said_and_no_figure_is_given(world: World, capsys):
    early = (START + timedelta(days=4)).isoformat()

    status = command(
        [str(world.state), "--baseline-from", START.isoformat(), "--baseline-to", early, "--json"]
    )

    found = json.loads(capsys.readouterr().out)
    assert status == 1
    for method in ("counterfactual", "regression"):
        assert found[method]["available"] is False
        assert "4 whole days" in found[method]["why"]
        assert "saving" not in found[method]
    assert found["total"]["energy_kwh"] > 0.0
