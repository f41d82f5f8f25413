"""The fleet at one glance: what sites said, as table, JSON and page."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest

from agent.update.job import Kind, State, Target
from fleet.cli import main
from fleet.database import FleetDatabase, open_database
from fleet.overview import ago, overview, overview_dict, table
from fleet.rollout.decide import Verdict, Wish, judge
from fleet.rollout.plan import Plan, rings_of
from fleet.rollout.record import begin, turn
from fleet.sites import SiteState, heard, load_sites, save_sites, with_savings
from fleet.standing import read_standing
from tests.fleet.conftest import until
from tests.uplink.conftest import free_port

NOW = datetime(2026, 12, 1, 8, 0, tzinfo=UTC)
RELEASE = "1.4.0-3fa9c2d1"
EVIL = '<img src=x onerror="alert(1)">'


def message(**fields) -> bytes:
    return json.dumps(fields).encode()


def update(version: str, *, health: str = "", jobs=(), refused: str = "") -> bytes:
    return message(
        running={
            "agent": {"version": version, "release": f"{version}-3fa9c2d1"},
            "config": {"sha256": "77ab" * 16},
        },
        modes={"air": "control", "hvac": "advise"},
        health=health,
        jobs=list(jobs),
        trust={"refused": refused},
    )


def filled(database: FleetDatabase) -> None:
    """Four sites as they come, and a roll-out that has stopped at its second ring."""
    job = {
        "id": "r7-alzenau",
        "kind": "agent",
        "counter": 4,
        "state": "rolled_back",
        "reason": "crash loop: 3 starts",
    }
    words = {
        "alzenau": [("status", message(state="online")), ("update", update("1.3.2", jobs=[job]))],
        "bremen": [
            ("status", message(state="online")),
            (
                "update",
                update("1.4.0", health="alarm: c2 has tripped; alarm: c3 has been silent since 07:12:00Z"),
            ),
            ("telemetry", message(values={"c2.tripped": [1, 3], "c1.tripped": [0, 3], "c4.tripped": [1, 0]})),
        ],
        "celle": [
            ("status", message(state="online")),
            ("update", update("1.4.0")),
            ("status", message(state="offline")),
        ],
        EVIL: [("status", message(state="online")), ("update", update(EVIL, health=EVIL, refused=EVIL))],
    }
    states = []
    for number, (site_id, messages) in enumerate(words.items()):
        site = SiteState(site_id)
        for kind, content in messages:
            site = heard(site, kind, content, NOW - timedelta(hours=number, minutes=1))
        states.append(site)
    saving = {"share": 0.0742, "share_interval": [0.051, 0.096], "saved_kwh": 8123.4}
    states[0] = with_savings(states[0], {"air": {"regression": {"available": True, "saving": saving}}}, NOW)
    states[1] = with_savings(states[1], {"reason": "the history is empty"}, NOW)
    save_sites(database, states, set())

    sites = ["alzenau", "bremen", "celle", *(f"works{n:02d}" for n in range(17))]
    plan = Plan(
        "r7", Kind.AGENT, RELEASE, rings_of(sites, "1,25%,100%", canaries=["bremen", "alzenau"]), soak_s=0.0
    )
    target = (Target(f"agent/{RELEASE}/manifest.json", "a" * 64, 10),)
    begin(
        database, plan, dict.fromkeys(sites, target), NOW - timedelta(hours=2), who="anna", why="faster start"
    )
    with turn(database, "r7") as held:
        rows = dict(held.rollout.rows)

        def give(site: str, state: State, verdict: Verdict, reason: str = "") -> None:
            at = NOW - timedelta(minutes=50)
            rows[site] = replace(
                rows[site],
                wish=Wish.GIVEN,
                given_at=at,
                state=state,
                state_at=at,
                verdict=verdict,
                reason=reason,
            )

        give("bremen", State.CONFIRMED, Verdict.GOOD)
        give("alzenau", State.ROLLED_BACK, Verdict.BAD, "crash loop: 3 starts")
        second = [site for site in plan.rings[1].sites if site != "alzenau"]
        give(second[0], State.DOWNLOADING, Verdict.OPEN)
        judged = judge(replace(held.rollout, rows=rows, ring=1), NOW - timedelta(minutes=40))
        held.put(judged.rollout, NOW - timedelta(minutes=40), said=judged.said)


@pytest.fixture
def database(tmp_path: Path):
    database = open_database(str(tmp_path / "fleet.db"))
    yield database
    database.close()


def test_what_was_heard_is_told_and_what_was_not_is_unknown(database):
    filled(database)

    view = overview(database, NOW)

    lines = {site.id: site for site in view.sites}
    assert (lines["alzenau"].presence, lines["alzenau"].saving, lines["alzenau"].version) == (
        "online",
        0.0742,
        "1.3.2",
    )
    assert lines["bremen"].alarms == ("c2 has tripped", "alarm: c3 has been silent since 07:12:00Z")
    assert (lines["bremen"].saving, lines["bremen"].saving_why) == (None, "the history is empty")
    assert (lines["celle"].presence, lines["celle"].since_at) == (
        "offline",
        NOW - timedelta(hours=2, minutes=1),
    )
    assert lines["celle"].saving is None
    assert view.rollouts[0].phase.value == "stopped"
    assert view.bad_news


def test_a_site_that_is_silent_for_half_an_hour_is_not_called_online(database):
    site = heard(SiteState("a"), "status", message(state="online"), NOW)
    save_sites(database, [heard(site, "telemetry", message(values={}), NOW)], set())

    assert overview(database, NOW + timedelta(minutes=29)).sites[0].presence == "online"
    assert overview(database, NOW + timedelta(minutes=31)).sites[0].presence == "silent"


def test_an_offline_word_heard_again_after_a_restart_keeps_its_time(database):
    site = heard(SiteState("a"), "status", message(state="online"), NOW)
    site = heard(site, "status", message(state="offline"), NOW + timedelta(hours=1))
    save_sites(database, [site], set())

    again = heard(load_sites(database)["a"], "status", message(state="offline"), NOW + timedelta(days=3))

    assert again.online_since_at == NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"x",
        b"[]",
        b"null",
        b'{"jobs": 3}',
        b'{"running": [], "trust": 1, "jobs": [1, {"id": 2}]}',
        b"[" * 70000,
    ],
)
@pytest.mark.parametrize("kind", ["status", "update", "telemetry", "answer", "strange"])
def test_nonsense_from_a_site_is_survived(kind, content):
    site = heard(SiteState("a"), kind, content, NOW)

    assert site.standing.jobs == ()
    assert site.tripped == ()


def test_a_standing_reads_its_job_and_leaves_out_what_is_none():
    good = {"id": "j", "kind": "config", "counter": 3, "state": "trial", "share": 7, "reason": "x" * 900}
    rows = [good, {**good, "state": "flying"}, {**good, "counter": "3"}, {**good, "kind": "roof"}]

    jobs = read_standing({"jobs": rows}).jobs

    assert [(job.id, job.state, job.share, len(job.reason)) for job in jobs] == [("j", State.TRIAL, 1.0, 500)]


def test_what_runs_is_read_by_release_or_hash_as_the_kind_has_it():
    sha256 = "ab" * 32
    standing = read_standing(
        {
            "running": {
                "agent": {"version": "1.4.0", "release": RELEASE},
                "config": {"sha256": sha256},
                "models": {"air.demand_m3_min": {"sha256": sha256}},
            }
        }
    )
    config = (Target("config/a/site.toml", sha256, 1),)
    model = (Target("models/a/air.demand_m3_min.onnx", sha256, 1),)
    other = tuple(target._replace(sha256="cd" * 32) for target in (*config, *model))

    assert standing.runs(Kind.AGENT, RELEASE, ())
    assert standing.runs(Kind.CONFIG, "", config)
    assert standing.runs(Kind.MODEL, "", model)
    assert not standing.runs(Kind.AGENT, "1.5.0-3fa9c2d1", ())
    assert not standing.runs(Kind.CONFIG, "", other[:1])
    assert not standing.runs(Kind.MODEL, "", other[1:])
    assert not read_standing({}).runs(Kind.MODEL, "", model)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0, "0 s"), (119, "119 s"), (120, "2 min"), (7199, "120 min"), (7200, "2 h"), (172800, "2 d")],
)
def test_how_long_ago_is_said_as_people_say_it(seconds, said):
    assert ago(NOW, NOW + timedelta(seconds=seconds)) == said


def test_the_table_has_a_line_per_site_and_rollout(database):
    filled(database)

    lines = table(overview(database, NOW))

    assert next(line for line in lines if line.startswith("alzenau")).split()[:5] == [
        "alzenau",
        "online",
        "60",
        "s",
        "1.3.2",
    ]
    assert "7.4 % (5.1 to 9.6)" in next(line for line in lines if line.startswith("alzenau"))
    assert "  r7  1.4.0-3fa9c2d1  stopped: ring 25%: 1 of 4 failed, 5% may" in lines


def test_json_says_null_for_what_is_unknown(database):
    filled(database)

    body = overview_dict(overview(database, NOW))

    celle = next(site for site in body["sites"] if site["id"] == "celle")
    assert celle["saving"] == {"share": None, "interval": [None, None], "why_not": "not reported yet"}
    assert json.loads(json.dumps(body)) == body


class Page(HTMLParser):
    """Elements and text of a page; fails on what is left open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.stack: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.text = ""
        self.feed(text)
        assert self.stack == []

    def handle_starttag(self, tag, attrs) -> None:
        self.tags.append(tag)
        self.links += [value for name, value in attrs if name in {"href", "src"}]
        assert not any(name.startswith("on") or name == "style" for name, _ in attrs)
        if tag not in {"meta", "link", "rect"}:
            self.stack.append(tag)

    def handle_startendtag(self, tag, attrs) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag) -> None:
        assert self.stack.pop() == tag

    def handle_data(self, data) -> None:
        self.text += data


@pytest.fixture
def served(tmp_path: Path, database):
    filled(database)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "fleet.cli",
        "page",
        "--db",
        str(tmp_path / "fleet.db"),
        "--port",
        str(port),
    ]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)

    def get(path: str, **headers: str):
        request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers=headers)
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers, answer.read().decode()

    def up() -> bool:
        try:
            return get("/status.json")[0] == 200
        except urllib.error.URLError:
            return False

    until(up)
    yield get
    process.terminate()
    assert process.wait(20) == 0


def test_the_page_shows_sites_and_rollouts_and_runs_nothing(served):
    seen = {}
    for path in (
        "/",
        "/rollouts/r7",
        "/sites/alzenau",
        "/sites/celle",
        f"/sites/{urllib.request.quote(EVIL, safe='')}",
    ):
        status, headers, text = served(path)
        page = seen[path] = Page(text)
        assert status == 200
        assert not {"script", "img"} & set(page.tags)
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert all(link.startswith("/") and not link.startswith("//") for link in page.links)

    first = " ".join(seen["/"].text.split())
    assert "7.4 % (5.1 to 9.6)" in first
    assert "stopped: ring 25%: 1 of 4 failed, 5% may" in first
    assert EVIL in seen["/"].text
    assert "crash loop: 3 starts" in seen["/rollouts/r7"].text
    assert "faster start" in seen["/rollouts/r7"].text
    assert "8,123 kWh" in seen["/sites/alzenau"].text
    assert json.loads(served("/status.json")[2])["format"] == "trimload-fleet-status/1"
    assert served("/style.css")[1]["Content-Type"].startswith("text/css")


@pytest.mark.parametrize(
    ("path", "code"), [("/sites/nowhere", 404), ("/rollouts/none", 404), ("/etc/passwd", 404)]
)
def test_what_is_not_there_is_not_found(served, path, code):
    with pytest.raises(urllib.error.HTTPError) as caught:
        served(path)
    assert caught.value.code == code
    caught.value.close()


def test_a_page_elsewhere_cannot_read_it_under_a_name_of_its_own(served):
    with pytest.raises(urllib.error.HTTPError) as caught:
        served("/", Host="evil.example.com")
    assert caught.value.code == 400
    caught.value.close()


def test_status_on_the_command_line_ends_with_bad_news(database, tmp_path, capsys):
    filled(database)

    assert main(["status", "--db", str(tmp_path / "fleet.db")]) == 1
    assert "alzenau" in capsys.readouterr().out
    assert main(["status", "--db", str(tmp_path / "no" / "where.db")]) == 2
