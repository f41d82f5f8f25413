"""`trimload simulate` on a metered file: the figures, their form, and their honesty."""

import json
import math
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from agent.cli import main

ROOT = Path(__file__).resolve().parents[2]
SITE = ROOT / "examples" / "station_7bar" / "site.toml"
KEYS = {
    "energy_kwh",
    "energy_corrected_kwh",
    "cost",
    "air_delivered_m3",
    "air_short_m3",
    "time_below_min_share",
    "worst_dip_bar",
    "mean_pressure_bar_g",
    "starts",
    "max_starts_per_hour",
    "loads_per_day",
    "idle_energy_share",
    "planner_ms",
    "wall_s",
    "seed",
}


@pytest.fixture
def demand_csv(tmp_path: Path) -> Path:
    """Two days in half hours, m3/h, with a gap of two hours."""
    rows = ["time,flow"]
    at = datetime(2026, 3, 3)
    for half_hour in range(96):
        if half_hour not in (20, 21, 22, 23):
            hour = half_hour / 2 % 24
            level = 600 + 900 * (6 <= hour < 22) + 120 * math.sin(half_hour)
            rows.append(f"{(at + timedelta(minutes=30 * half_hour)).isoformat()},{level:.1f}")
    path = tmp_path / "flow.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def simulate(demand: Path, out: Path, *more: str) -> tuple[int, dict]:
    code = main(
        [
            "simulate",
            str(SITE),
            "--demand",
            str(demand),
            "--column",
            "flow",
            "--unit",
            "m3/h",
            "--json",
            str(out),
            *more,
        ]
    )
    return code, json.loads(out.read_text(encoding="utf-8"))


def test_all_controllers_run_on_the_same_air_and_give_every_figure(demand_csv: Path, tmp_path: Path, capsys):
    code, body = simulate(demand_csv, tmp_path / "out.json")

    assert code == 0
    runs = body["runs"]
    assert {"agent", "cascade:size-up", "cascade:size-down", "sequencer:typical"} <= set(runs)
    for run in runs.values():
        assert set(run) >= KEYS
        assert run["energy_kwh"] > 0
    delivered = [run["air_delivered_m3"] for run in runs.values()]
    assert max(delivered) - min(delivered) <= 0.0005 * max(delivered)
    assert body["demand"]["gaps"]
    said = capsys.readouterr().out
    assert "gaps: 1" in said
    assert "agent saves" in said


def test_same_seed_gives_the_same_figures_and_another_seed_others(demand_csv: Path, tmp_path: Path):
    def energy(seed: str) -> float:
        _, body = simulate(demand_csv, tmp_path / "out.json", "--controller", "agent", "--seed", seed)
        return body["energy_kwh"]

    first, again, other = energy("1"), energy("1"), energy("2")

    assert first == again
    assert first != other


def test_perfect_and_no_forecast_are_taken_and_an_unreadable_model_is_refused(
    demand_csv: Path, tmp_path: Path, capsys
):
    out = tmp_path / "out.json"
    for kind in ("none", "perfect"):
        assert simulate(demand_csv, out, "--controller", "agent", "--forecast", kind)[0] == 0

    code = main(
        [
            "simulate",
            str(SITE),
            "--demand",
            str(demand_csv),
            "--column",
            "flow",
            "--unit",
            "m3/h",
            "--forecast",
            "no.onnx",
        ]
    )

    assert code == 2
    assert "trimload-train fit" in capsys.readouterr().err


def test_column_that_is_not_there_is_an_error_that_names_the_columns(demand_csv: Path, capsys):
    code = main(["simulate", str(SITE), "--demand", str(demand_csv), "--column", "flux", "--unit", "m3/h"])

    assert code == 2
    assert "flow" in capsys.readouterr().err


@pytest.mark.parametrize("step", ["0", "-5", "nan", "3600"])
def test_tick_that_no_simulation_can_take_is_bad_input(demand_csv, capsys, step):
    with pytest.raises(SystemExit) as ended:
        main(
            [
                "simulate",
                str(SITE),
                "--demand",
                str(demand_csv),
                "--column",
                "flow",
                "--unit",
                "m3/h",
                "--step-s",
                step,
            ]
        )

    assert ended.value.code == 2
    assert "give 0.5 to 60" in capsys.readouterr().err
