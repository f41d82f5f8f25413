"""The agent driven by lines: what a simulator sends and gets."""

import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HVAC, AIR = ROOT / "examples" / "hvac_only" / "site.toml", ROOT / "examples" / "air_lines" / "site.toml"
START = datetime(2026, 6, 16, 4, 0, tzinfo=UTC)


def cosim(site: Path, lines: list[str], *more: str) -> tuple[list[dict], int]:
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", "cosim", str(site), *more],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert "Traceback" not in done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()], done.returncode


def line(minute: float, **readings: float | None) -> str:
    at = START + timedelta(minutes=minute)
    named = {tag.replace("__", "."): value for tag, value in readings.items()}
    return json.dumps({"at": at.isoformat(), "readings": named})


def zone_line(minute: float, heating: float, cooling: float, **changes: float | None) -> str:
    readings = {
        "weather__outdoor_temp": 18.0 + 0.01 * minute,
        "weather__solar": 200.0,
        "rtu1__zone_temp": 22.0 + 0.001 * minute,
        "rtu2__zone_temp": 21.0 + 0.001 * minute,
        "rtu1__heating_setpoint": heating,
        "rtu1__cooling_setpoint": cooling,
        "rtu2__heating_setpoint": heating,
        "rtu2__cooling_setpoint": cooling,
    }
    return line(minute, **{**readings, **changes})


def test_each_line_is_answered_by_one_line_with_its_own_time():
    answers, code = cosim(HVAC, [zone_line(0, 15, 30), zone_line(15, 15, 30)])

    assert code == 0
    assert [answer["at"] for answer in answers] == ["2026-06-16T04:00:00Z", "2026-06-16T04:15:00Z"]
    assert set(answers[0]) == {"at", "commands", "mode", "plan", "notes"}
    assert answers[0]["mode"] == {"hvac": "control"}
    assert answers[0]["commands"]["rtu1.cooling_setpoint"] < 30


def test_set_point_that_stands_already_is_not_written_again():
    first, _ = cosim(HVAC, [zone_line(0, 15, 30)])
    heating = first[0]["commands"]["rtu1.heating_setpoint"]
    cooling = first[0]["commands"]["rtu1.cooling_setpoint"]

    answers, _ = cosim(HVAC, [zone_line(0, 15, 30), zone_line(1, heating, cooling)])

    assert "rtu1.heating_setpoint" not in answers[1]["commands"]
    assert "rtu1.cooling_setpoint" not in answers[1]["commands"]


def test_set_point_moved_by_somebody_is_left_to_them():
    answers, _ = cosim(HVAC, [zone_line(0, 15, 30), zone_line(1, 19.0, 27.0), zone_line(20, 19.0, 27.0)])

    for answer in answers[1:]:
        assert "rtu1.cooling_setpoint" not in answer["commands"]
    assert any("moved the set-point" in note for answer in answers for note in answer["notes"])


def test_unknown_zone_temperature_hands_that_zone_back_and_keeps_the_other():
    first, _ = cosim(HVAC, [zone_line(0, 15, 30)])
    standing = first[0]["commands"]
    low, high = standing["rtu1.heating_setpoint"], standing["rtu1.cooling_setpoint"]
    lost = [zone_line(m, low, high, rtu1__zone_temp=None) for m in (1, 2)]

    answers, _ = cosim(HVAC, [zone_line(0, 15, 30), *lost])

    assert answers[1]["commands"]["rtu1.cooling_setpoint"] is None
    assert answers[1]["commands"]["rtu1.heating_setpoint"] is None
    assert "rtu2.cooling_setpoint" not in answers[1]["commands"]
    assert answers[1]["mode"] == {"hvac": "control"}


@pytest.mark.parametrize(
    ("bad", "what"),
    [
        ("nonsense", "not JSON"),
        ("[]", "not a JSON object"),
        ('{"at": "2026-06-16T05:00:00Z", "readings": {"rtu9.zone_temp": 20}}', "not in site.toml"),
        ('{"at": "2026-06-16T05:00:00Z", "readings": {"rtu1.zone_temp": "warm"}}', "no number"),
        ('{"at": "2026-06-16T05:00:00", "readings": {}}', "no instant"),
        ('{"at": "2026-06-16T03:00:00Z", "readings": {}}', "not after the line before"),
        ('{"at": "2026-06-16T05:00:00Z", "readings": {}, "reading": {}}', "no key of a line"),
        ('{"at": "2026-06-16T05:00:00Z", "readings": {}, "forecast": {"a.b": [1]}}', "forecast is not"),
        (
            '{"at": "2026-06-16T05:00:00Z", "readings": {}, "forecast": {"a.b": [["2026-06-16T06:00:00Z", 1]]}}',
            "not in site.toml",
        ),
        (
            '{"at": "2026-06-16T05:00:00Z", "readings": {"rtu1.zone_temp": 20, "rtu1.zone_temp": 21}}',
            "'rtu1.zone_temp' is there twice",
        ),
        (
            '{"at": "2026-06-16T05:00:00Z", "readings": {"rtu1.zone_temp": 1' + "0" * 400 + "}}",
            "no number",
        ),
        ('{"at": "9999-12-31T23:59:59-14:00", "readings": {}}', "no instant"),
        ('{"at": "2999-12-31T23:59:59Z", "readings": {}}', "no time of today"),
        ("[" * 100_000, "not JSON"),
    ],
)
def test_line_that_is_not_understood_gets_an_error_and_changes_nothing(bad, what):
    good = [zone_line(0, 15, 30), zone_line(90, 15, 30)]

    with_bad, code = cosim(HVAC, [good[0], bad, good[1]])
    without, _ = cosim(HVAC, good)

    assert code == 0
    assert what in with_bad[1]["error"]["what"]
    assert set(with_bad[1]["error"]) == {"what", "where", "fix"}
    assert [with_bad[0], with_bad[2]] == without


@pytest.mark.parametrize("nothing", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_number_that_is_none_is_unknown_like_null(nothing):
    first, second = zone_line(0, 15, 30), zone_line(1, 15, 30, rtu1__zone_temp=None)

    answers, _ = cosim(HVAC, [first, second])
    others, _ = cosim(HVAC, [first, second.replace("null", nothing)])

    assert others == answers


def test_byte_order_mark_and_windows_line_ends_are_no_fault():
    lines = [zone_line(0, 15, 30), zone_line(15, 15, 30)]

    answers, _ = cosim(HVAC, lines)
    others, _ = cosim(HVAC, ["\ufeff" + lines[0] + "\r", lines[1] + "\r"])

    assert others == answers


def test_history_teaches_the_agent_the_weather_of_the_past(tmp_path: Path):
    past = tmp_path / "past.csv"
    rows = ["at,weather.outdoor_temp,rtu1.zone_temp"]
    for hour in range(72):
        at = START - timedelta(hours=72 - hour)
        rows.append(f"{at.isoformat()},{15 + 10 * (8 <= at.hour <= 18)},{'' if hour % 9 == 0 else 22.0}")
    past.write_text("\n".join(rows) + "\n", encoding="utf-8")

    answers, code = cosim(HVAC, [zone_line(0, 15, 30)], "--history", str(past))

    assert code == 0
    assert answers[0]["plan"] == "hvac-20260616T040000Z"


def test_history_with_a_word_for_a_number_is_refused_with_its_place(tmp_path: Path):
    past = tmp_path / "past.csv"
    past.write_text("at,rtu1.zone_temp\n2026-06-01T00:00:00Z,warm\n", encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", "cosim", str(HVAC), "--history", str(past)],
        input="",
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 2
    assert "line 2" in done.stderr
    assert "fix:" in done.stderr


def test_site_on_a_wire_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", "cosim", str(ROOT / "examples" / "demo" / "site.toml")],
        input="",
        capture_output=True,
        text=True,
        timeout=60,
    )

    assert done.returncode == 2
    assert 'driver = "lines"' in done.stderr


def test_compressors_are_commanded_and_handed_back_when_the_pressure_is_lost():
    tags = {
        "running": 1.0,
        "loaded": 1.0,
        "power_kw": 95.0,
        "output_share": 1.0,
        "ready": 1.0,
        "tripped": 0.0,
    }
    machines = {f"c{n}__{role}": value for n in (1, 2, 3, 4) for role, value in tags.items()}
    steady = [line(m / 60, header__pressure=6.5, **machines) for m in range(0, 120, 10)]
    blind = [line(2 + m / 60, header__pressure=None, **machines) for m in range(10, 80, 10)]

    answers, _ = cosim(AIR, steady + blind)

    told = [note for answer in answers for note in answer["notes"]]
    assert any(note.startswith("air: mode fallback: header pressure") for note in told)
    # One pressure says nothing of the demand: the first orders come with the second line.
    assert answers[0]["commands"] == {}
    assert answers[1]["commands"]["c1.enable"] == 1.0
    assert answers[-1]["mode"] == {"air": "fallback"}
    handed = {
        tag: value for answer in answers for tag, value in answer["commands"].items() if "enable" in tag
    }
    assert set(handed.values()) == {0.0}


def historian(path: Path, *columns: str) -> Path:
    """Two days of a historian's minutes: the first big machine always, the second from six to ten."""
    rows = ["time," + ",".join(columns)]
    for minute in range(2 * 1440):
        at = START - timedelta(minutes=2 * 1440 - minute)
        second = 1.0 if 6 <= at.hour < 22 else 0.0
        told = {
            "header.flow": 16.3 * (1 + second),
            "header.pressure": 6.6,
            "c1.running": 1,
            "c1.loaded": 1,
            "c2.running": second,
            "c2.loaded": second,
            "c3.running": 0,
            "c4.running": 0,
        }
        rows.append(",".join([at.isoformat(), *(str(told[column]) for column in columns)]))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "columns",
    [
        ("header.flow",),
        ("header.pressure", "c1.running", "c1.loaded", "c2.running", "c2.loaded", "c3.running", "c4.running"),
    ],
)
def test_historians_own_columns_teach_the_demand_that_the_plan_is_made_of(tmp_path: Path, columns):
    past = historian(tmp_path / "past.csv", *columns)
    machines = {
        f"c{n}__{role}": value
        for n, on in ((1, 1.0), (2, 0.0), (3, 0.0), (4, 0.0))
        for role, value in {"running": on, "loaded": on, "ready": 1.0, "tripped": 0.0}.items()
    }
    lines = [line(k / 6, header__pressure=6.6 + 0.001 * k, **machines) for k in range(3)]

    answers, _ = cosim(AIR, lines, "--history", str(past))
    without, _ = cosim(AIR, lines)

    assert answers[-1]["plan"] is not None
    assert without[-1]["plan"] is None
