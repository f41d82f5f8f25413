"""`trimload identify`: models from a CSV of the past, and what the agent makes of them after a restart."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.config.load import load_site
from agent.config.site import Site
from agent.daemon.comfort import HvacRuntime
from agent.daemon.hvac_memory import HvacMemory
from agent.domain import Mode
from agent.planner.hvac_model import next_temps, zone_step_model
from agent.planner.hvac_schedule import is_occupied
from agent.store.history import History

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples" / "hvac_only" / "site.toml"
NOW = datetime(2026, 2, 2, 0, 0, tzinfo=UTC)
DAYS = 14


def past_csv(path: Path, *, days: int = DAYS, frozen: str = "") -> Path:
    """Both halls of the example by its own models; `frozen` is the zone whose sensor stands still from day 3 on."""
    site = load_site(EXAMPLE)
    rng = np.random.default_rng(1)
    columns: dict[str, list[float]] = {}
    for name, zone in site.hvac.zones.items():
        unit, step = site.hvac.units[zone.unit], zone_step_model(zone.model, 900.0)
        air = mass = 18.0
        for k in range(days * 96):
            at = NOW - timedelta(days=days) + timedelta(minutes=15 * k)
            outdoor = 2.0 + 5.0 * np.sin(k / 96 * 2 * np.pi) + 3.0 * np.sin(k / 300)
            people = is_occupied(zone, site.site.timezone, at)
            gain = zone.model.gain_always_kw + people * zone.model.gain_occupied_kw
            wanted = 20.5 if people else 16.0
            free, _ = next_temps(step, air, mass, outdoor, gain)
            heat = float(np.clip((wanted - free) / step.air_of_kw, 0.0, unit.heating_kw))
            air, mass = next_temps(step, air, mass, outdoor, gain + heat)
            # Rated at 7 degC, 2.5 % a kelvin (agent/planner/hvac_model.py).
            cop = unit.heating_cop * float(np.clip(1.0 + 0.025 * (outdoor - 7.0), 0.4, 1.3))
            fan = people * unit.fan_kw
            shown = 19.25 if name == frozen and k > 3 * 96 else air + 0.02 * float(rng.normal())
            for tag, value in (
                (zone.temp, shown),
                (zone.heating_setpoint, wanted),
                (zone.cooling_setpoint, 26.0),
                (zone.occupied, float(people)),
                (unit.power, heat * (1.0 / cop + (0 if people else unit.fan_kw / unit.heating_kw)) + fan),
                (site.hvac.outdoor_temp, outdoor),
            ):
                columns.setdefault(tag, []).append(value)
    for tag, values in columns.items():
        columns[tag] = values[-days * 96 :]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["at", *columns])
        for k, row in enumerate(zip(*columns.values(), strict=True)):
            at = NOW - timedelta(days=days) + timedelta(minutes=15 * k)
            writer.writerow([at.isoformat(), *(f"{value:.4f}" for value in row)])
    return path


def identify(history: Path, out: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            sys.executable,
            "-m",
            "agent.cli",
            "identify",
            str(EXAMPLE),
            "--history",
            str(history),
            "--out",
            str(out),
            "--json",
        ],
        capture_output=True,
        text=True,
        timeout=100,
    )


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict]:
    folder = tmp_path_factory.mktemp("identified")
    done = identify(past_csv(folder / "past.csv"), folder / "models")
    assert done.returncode == 0, done.stderr
    return folder / "models", json.loads(done.stdout)


def without_models(models: Path | None = None) -> Site:
    """The example as an engineer would write it: no figures of the building, perhaps a file of them."""
    site = load_site(EXAMPLE)
    zones = {name: zone.model_copy(update={"model": None}) for name, zone in site.hvac.zones.items()}
    return site.model_copy(update={"hvac": site.hvac.model_copy(update={"zones": zones, "models": models})})


def test_models_and_their_errors_on_days_held_back_are_written(learned):
    folder, said = learned

    assert set(said["zones"]) == {"hall", "packing"}
    for zone in said["zones"].values():
        assert zone["rmse_k"]["1h"] < 0.3
        assert zone["rmse_k"]["24h"] < 0.5
    assert (folder / "hvac-models.json").exists()


def test_report_is_one_page_with_a_plot_for_each_zone_and_nothing_loaded(learned):
    page = (learned[0] / "hvac-models.html").read_text(encoding="utf-8")

    assert page.count("<svg") == 2
    assert page.count("<polyline") == 4
    assert "src=" not in page
    assert "href=" not in page


def test_site_that_names_the_models_controls_from_its_first_tick(learned):
    site = without_models(learned[0] / "hvac-models.json")

    assert HvacRuntime(site, frozenset()).switch.mode is Mode.CONTROL
    assert HvacRuntime(without_models(), frozenset()).switch.mode is Mode.ADVISE


def test_what_the_agent_learned_itself_survives_a_restart(tmp_path: Path):
    from agent.daemon.history_csv import history_rows

    history = History(":memory:", 60)
    history.load(history_rows(past_csv(tmp_path / "past.csv")))
    kept = tmp_path / "state" / "hvac-models.json"
    HvacMemory(without_models(), kept).lesson(history, NOW)()

    again = HvacMemory(without_models(), kept)

    assert again.has_model
    # A week after the last fit, and not at once: until then a day's lesson is what units gave of late.
    again.lesson(history, NOW + timedelta(days=6))()
    assert again.models.made_at == NOW
    again.lesson(history, NOW + timedelta(days=7))()
    assert again.models.made_at == NOW + timedelta(days=7)


def test_models_of_another_site_are_left_out_and_the_agent_only_advises(learned, tmp_path: Path):
    text = (learned[0] / "hvac-models.json").read_text(encoding="utf-8").replace('"packing"', '"paint_shop"')
    strange = tmp_path / "hvac-models.json"
    strange.write_text(text, encoding="utf-8")

    assert HvacRuntime(without_models(strange), frozenset()).switch.mode is Mode.ADVISE


def test_three_days_are_refused_with_the_days_that_are_needed(tmp_path: Path):
    done = identify(past_csv(tmp_path / "past.csv", days=3), tmp_path / "models")

    assert done.returncode == 1
    assert "7 are needed" in json.loads(done.stdout)["refused"]["hall"]


def test_frozen_sensor_is_refused_and_the_other_zone_is_fitted(tmp_path: Path):
    done = identify(past_csv(tmp_path / "past.csv", frozen="hall"), tmp_path / "models")

    said = json.loads(done.stdout)
    assert done.returncode == 1
    assert "frozen sensor" in said["refused"]["hall"]
    assert set(said["zones"]) == {"packing"}


def test_history_that_cannot_be_read_is_bad_input(tmp_path: Path):
    done = identify(tmp_path / "none.csv", tmp_path / "models")

    assert done.returncode == 2
    assert "fix:" in done.stderr
