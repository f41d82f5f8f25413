"""What a stranger brings to `trimload identify`: pasts that cannot support a model, each refused with one clear reason."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.config.load import load_site
from agent.errors import DataError
from agent.identify.command import command
from tests.identify.test_identify import EXAMPLE, past_csv

HVAC = load_site(EXAMPLE).hvac
AIR = [zone.temp for zone in HVAC.zones.values()]
SETPOINTS = [zone.heating_setpoint for zone in HVAC.zones.values()]
POWER = [unit.power for unit in HVAC.units.values()]
OUTDOOR = HVAC.outdoor_temp

Row = dict[str, str]
Change = Callable[[int, Row], Row | None]


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    with past_csv(tmp_path_factory.mktemp("past") / "past.csv", days=10).open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def brought(folder: Path, rows: list[Row], change: Change) -> Path:
    path = folder / "past.csv"
    changed = [row for k, old in enumerate(rows) if (row := change(k, dict(old))) is not None]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(changed[0]))
        writer.writeheader()
        writer.writerows(changed)
    return path


def scaled(tags: list[str], factor: float, offset: float = 0.0) -> Change:
    return lambda _, row: row | {tag: f"{factor * float(row[tag]) + offset:.3f}" for tag in tags}


def swapped(pairs: list[tuple[str, str]]) -> Change:
    return lambda _, row: row | {a: row[b] for pair in pairs for a, b in (pair, pair[::-1])}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param(scaled(AIR, 1.8, 32.0), "in degF, write degC", id="zones in Fahrenheit"),
        pytest.param(scaled(SETPOINTS, 1.8, 32.0), "in degF, write degC", id="set-points in Fahrenheit"),
        pytest.param(
            scaled([OUTDOOR], 1.8, 32.0), "outdoor temperature in degF", id="outdoors in Fahrenheit"
        ),
        pytest.param(scaled(POWER, 1000.0), "is it in W", id="power in W"),
        pytest.param(
            lambda _, row: swapped([(AIR[0], OUTDOOR)])(0, row) | {AIR[1]: row[OUTDOOR]},
            "two columns swapped",
            id="outdoors in the place of the zone",
        ),
        pytest.param(
            swapped([(AIR[0], AIR[1]), (SETPOINTS[0], SETPOINTS[1])]),
            "are temperature, set-points and power those of this zone",
            id="zones in each other's place",
        ),
        pytest.param(lambda k, row: row if k % 4 == 0 else None, "a value each 60 min", id="hourly rows"),
        pytest.param(lambda k, row: row if k % 96 > 12 else None, "no whole day without gaps", id="gaps"),
        pytest.param(lambda k, row: row if k < 300 else None, "3.1 days", id="too few days"),
        pytest.param(lambda _, row: row | dict.fromkeys(AIR, "20.0"), "a frozen sensor", id="frozen"),
        pytest.param(
            lambda k, row: row | dict.fromkeys(AIR, f"{20 + 0.02 * (7 * k % 5):.2f}"),
            "let the set-back work, or write [hvac.excitation]",
            id="no variation",
        ),
        pytest.param(lambda _, row: row | {OUTDOOR: ""}, "the outdoor temperature is not", id="no weather"),
        pytest.param(lambda _, row: row | dict.fromkeys(POWER, ""), "its heat is unknown", id="no power"),
    ],
)
def test_a_past_that_cannot_support_a_model_is_refused_with_what_is_wrong(
    rows, tmp_path, capsys, change, reason
):
    past = brought(tmp_path, rows, change)

    code = command([str(EXAMPLE), "--history", str(past), "--out", str(tmp_path / "models"), "--json"])

    said = json.loads(capsys.readouterr().out)
    assert code == 1
    assert said["zones"] == {}
    for zone in HVAC.zones:
        assert reason in said["refused"][zone]


def test_a_column_that_no_tag_is_called_by_leaves_its_zone_without_a_model_and_says_what_was_meant(
    rows, tmp_path, capsys, caplog
):
    caplog.set_level("WARNING", logger="agent")

    def misspelt(_: int, row: Row) -> Row:
        return {key.replace("zone_temp", "zone_tmp"): value for key, value in row.items()}

    code = command(
        [str(EXAMPLE), "--history", str(brought(tmp_path, rows, misspelt)), "--out", str(tmp_path / "models")]
    )

    assert code == 1
    assert f"its temperature {AIR[0]} is not in the past" in capsys.readouterr().err
    assert f"(meant '{AIR[0]}'?)" in caplog.text


@pytest.mark.parametrize(
    "content", ["time,rtu1.zone_temp\n", "time,rtu1.zone_temp\n2026-01-19T00:00:00,20\n"]
)
def test_a_file_without_rows_or_without_zones_of_time_leaves_nothing_behind(tmp_path, content):
    past = tmp_path / "past.csv"
    past.write_text(content, encoding="utf-8")

    with pytest.raises(DataError):
        command([str(EXAMPLE), "--history", str(past), "--out", str(tmp_path / "models")])

    assert not (tmp_path / "models").exists()
