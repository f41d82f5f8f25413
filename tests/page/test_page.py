"""The page beside an agent's own files: what it says, what it does not know, and that it changes nothing."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest

from agent.cli import main
from agent.config.load import load_site
from agent.config.site import Site
from agent.domain import Mode, Quality, Reading, Snapshot
from agent.page.as_json import as_dict
from agent.page.gather import SiteNow, gather
from agent.page.render import page
from agent.page.server import page_server
from agent.store.history import History
from agent.store.ledger import Ledger
from agent.store.tags import MODE_CODES, WEATHER_AGE_TAG, WEATHER_CODES, WEATHER_TAG, demand_tag, mode_tag

DEMO = Path(__file__).resolve().parents[2] / "examples" / "demo" / "site.toml"
NOW = datetime(2026, 6, 16, 12, 0, 30, tzinfo=UTC)


@pytest.fixture(scope="module")
def site() -> Site:
    return load_site(DEMO)


@pytest.fixture
def state(tmp_path: Path, site: Site) -> Path:
    """Two hours of an agent in control: c1 loaded, c2 started and unloaded, c3 stopped, nothing known of c4."""
    write(tmp_path, site, NOW - timedelta(hours=2), 120)
    return tmp_path


def write(folder: Path, site: Site, begin: datetime, minutes: int) -> None:
    station = site.stations["air"]
    history, ledger = History(folder / "history.db", 30), Ledger(folder / "ledger.db")
    for minute in range(minutes):
        at = begin + timedelta(minutes=minute)
        values = {
            station.pressure: 6.5,
            demand_tag("air"): 21.0,
            mode_tag("air"): MODE_CODES[Mode.CONTROL],
            mode_tag("hvac"): MODE_CODES[Mode.ADVISE],
            WEATHER_TAG: WEATHER_CODES["own sensors"],
            site.hvac.zones["hall"].temp: 21.5,
            WEATHER_AGE_TAG: 40.0,
        }
        for name, running, loaded, power_kw in (
            ("c1", 1.0, 1.0, 90.0),
            ("c2", float(minute >= 60), 0.0, 20.0 * (minute >= 60)),
            ("c3", 0.0, 0.0, 0.0),
        ):
            machine = station.machines[name]
            values |= {
                machine.tag("running"): running,
                machine.tag("loaded"): loaded,
                machine.tag("power_kw"): power_kw,
            }
        history.record(Snapshot(at, {tag: Reading(v, Quality.GOOD, at) for tag, v in values.items()}))
    history.flush()
    history.close()
    ledger.append("agent_started", begin, {"site": "demo"})
    ledger.append(
        "mode_changed", begin + timedelta(minutes=1), {"station": "air", "mode": "control", "why": "asked"}
    )
    ledger.append("plan", NOW - timedelta(minutes=20), plan_fields())
    for minute in range(30):
        ledger.append(
            "command_written",
            begin + timedelta(minutes=minute),
            {
                "tag": "c4.output_share_set",
                "value": 0.4,
                "before": 0.3,
                "read_back": 0.4,
                "reason": "hold the band",
            },
        )
    ledger.append("note", NOW - timedelta(minutes=5), {"station": "air", "text": "<script>alert(1)</script>"})
    ledger.close()


def plan_fields() -> dict[str, object]:
    at = NOW - timedelta(minutes=15)
    return {
        "plan": "air-1",
        "station": "air",
        "status": "optimised",
        "cause": "due",
        "cost": 1.0,
        "reasons": ["reserve short by 2 m3 in 1 steps"],
        "running": [[(at + timedelta(hours=h)).isoformat(), ["c1", "c2"], 21.0] for h in range(24)],
        "case": {"step_minutes": [15.0] * 96, "demand_m3min": [21.0] * 96, "reserve_m3min": [2.0] * 96},
    }


def told(seen: SiteNow) -> list[str]:
    return [words.words for _, words in seen.rows]


def test_state_and_day_of_each_machine_are_told_and_a_silent_one_is_unknown_not_stopped(
    site: Site, state: Path
):
    machines = {one.name: one for one in gather(site, state, NOW).air[0].machines}

    assert {name: one.state for name, one in machines.items()} == {
        "c1": "loaded",
        "c2": "unloaded",
        "c3": "stopped",
        "c4": "unknown",
    }
    assert machines["c4"].power_kw is None
    assert machines["c1"].hours_loaded == pytest.approx(2.0)
    assert (machines["c1"].starts, machines["c2"].starts) == (0, 1)


def test_power_of_the_station_is_unknown_as_soon_as_one_machine_is(site: Site, state: Path):
    air = as_dict(gather(site, state, NOW))["stations"]["air"]

    assert air["pressure_bar_g"] == pytest.approx(6.5)
    assert air["power_kw"] is None


def test_mode_plan_zones_and_whose_weather_it_is_are_on_the_page(site: Site, state: Path):
    html = page(gather(site, state, NOW))

    for words in (
        "is in charge",
        "asked",
        "air-1",
        "reserve short by 2 m3",
        "own sensors",
        "40.0 h ago",
        "hall",
    ):
        assert words in html


def test_moves_of_a_speed_control_do_not_bury_what_was_decided(site: Site, state: Path):
    rows = told(gather(site, state, NOW))

    assert rows[0] == "<script>alert(1)</script>"
    assert not any("hold the band" in row for row in rows)


def test_words_from_the_ledger_cannot_become_a_script(site: Site, state: Path):
    html = page(gather(site, state, NOW))

    assert "<script" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_an_agent_that_no_longer_writes_is_said_loudly_and_nothing_is_called_present(site: Site, state: Path):
    seen = gather(site, state, NOW + timedelta(minutes=30))

    assert not seen.is_fresh
    assert "Nothing was written since 16 Jun 14:00:00" in page(seen)
    assert seen.air[0].pressure_bar_g is None
    assert seen.air[0].mode.mode is None
    assert {one.state for one in seen.air[0].machines} == {"unknown"}


def test_an_alarm_stands_until_it_is_over_or_the_agent_has_started_anew(site: Site, state: Path):
    def alarm() -> str:
        return gather(site, state, NOW).air[0].alarm

    def append(kind: str, **fields: object) -> None:
        ledger = Ledger(state / "ledger.db")
        ledger.append(kind, NOW, fields)
        ledger.close()

    append("alarm", station="air", text="insufficient-capacity: all works")
    assert alarm() == "insufficient-capacity: all works"
    append("alarm", station="air", text="over")
    assert alarm() == ""
    append("alarm", station="air", text="restricted-capacity: c3 is out")
    append("agent_started", site="demo")
    assert alarm() == ""


def test_an_override_is_shown_beside_its_machine(site: Site, state: Path):
    held = {
        "station": "air",
        "machine": "c3",
        "action": "lockout",
        "since": NOW.isoformat(),
        "until": None,
        "who": "meier",
        "why": "oil change",
        "remote": False,
    }
    body = {"format": "trimload-overrides/1", "overrides": [held]}
    (state / "overrides.json").write_text(json.dumps(body), encoding="utf-8")

    assert "locked out by meier: oil change" in page(gather(site, state, NOW))


def test_a_site_that_has_just_begun_has_a_page_too(site: Site, tmp_path: Path):
    History(tmp_path / "history.db", 30).close()
    Ledger(tmp_path / "ledger.db").close()

    html = page(gather(site, tmp_path, NOW))

    assert "has not written anything yet" in html
    assert "No plan yet" in html


def test_the_page_is_read_while_the_agent_writes_and_leaves_its_files_as_they_were(site: Site, state: Path):
    ledger = Ledger(state / "ledger.db")
    ledger.append("note", NOW, {"station": "air", "text": "under way"})
    before = ledger.head

    assert told(gather(site, state, NOW))[0] == "under way"

    ledger.append("note", NOW, {"station": "air", "text": "and on"})
    assert ledger.head.seq == before.seq + 1
    assert ledger.verify().ok
    ledger.close()


# ---- the server ------------------------------------------------------------------------------------------


@contextmanager
def serving(site: Site, state: Path, now: datetime) -> Iterator[int]:
    server = page_server(lambda: gather(site, state, now), "127.0.0.1", 0, {"127.0.0.1"})
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def ask(port: int, path: str, method: str = "GET", host: str = "127.0.0.1") -> tuple[int, str, str]:
    """Status, policy and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, headers={"Host": host})
        answer = connection.getresponse()
        return answer.status, answer.headers.get("Content-Security-Policy", ""), answer.read().decode()
    finally:
        connection.close()


def test_page_style_and_json_are_served_under_a_policy_that_runs_no_script(site: Site, state: Path):
    with serving(site, state, NOW) as port:
        status, policy, html = ask(port, "/")
        assert (status, html.startswith("<!DOCTYPE html>")) == (200, True)
        assert "default-src 'none'" in policy
        assert ask(port, "/page.css")[0] == 200
        body = json.loads(ask(port, "/status.json")[2])
        assert (body["format"], body["fresh"]) == ("trimload-page/1", True)
        assert ask(port, "/", "HEAD")[2] == ""


def test_nothing_else_is_served_nothing_can_be_sent_and_no_other_name_is_answered(site: Site, state: Path):
    with serving(site, state, NOW) as port:
        assert ask(port, "/../ledger.db")[0] == 404
        assert ask(port, "/", "POST")[0] == 501
        assert ask(port, "/", host="evil.example")[0] == 421


def test_without_an_agents_files_the_page_says_what_to_do(site: Site, tmp_path: Path):
    with serving(site, tmp_path, NOW) as port:
        status, _, html = ask(port, "/")
        assert status == 503
        assert "there is no history" in html
        assert ask(port, "/status.json")[0] == 503


@pytest.mark.parametrize(("name", "table"), [("ledger.db", "entry"), ("history.db", "tag")])
def test_a_file_that_opens_and_cannot_be_read_is_one_clear_error_and_no_traceback(
    site: Site, state: Path, name: str, table: str
):
    (state / name).unlink()
    with closing(sqlite3.connect(state / name)) as connection:
        connection.execute(f"CREATE TABLE {table} (other TEXT)")

    with serving(site, state, NOW) as port:
        status, _, html = ask(port, "/")

    assert status == 503
    assert "cannot be read" in html


def test_a_taken_port_and_a_wrong_address_are_one_clear_error(
    site: Site, state: Path, capsys: pytest.CaptureFixture[str]
):
    with serving(site, state, NOW) as port:
        assert main(["page", str(DEMO), "--state", str(state), "--listen", f"127.0.0.1:{port}"]) == 2
        assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
    assert main(["page", str(DEMO), "--listen", "8480"]) == 2
    assert "HOST:PORT" in capsys.readouterr().err


def test_once_as_json_ends_with_1_when_nothing_is_fresh(state: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["page", str(DEMO), "--state", str(state), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["fresh"] is False


def test_the_process_serves_until_it_is_told_to_end(state: Path):
    command = [sys.executable, "-m", "agent.cli", "page", str(DEMO), "--state", str(state)]
    with subprocess.Popen(
        [*command, "--listen", "127.0.0.1:0"], stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    ) as process:
        url = process.stderr.readline().strip()
        port = int(url.rstrip("/").rpartition(":")[2])
        assert ask(port, "/status.json")[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0
