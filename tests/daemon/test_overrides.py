"""An operator's word for a machine: by command, with an end, over a restart, in the ledger, and above plan and band."""

import json
import threading

import pytest

from agent.daemon.asks import Asks
from agent.daemon.override_command import command
from agent.daemon.overrides import read_overrides
from agent.log import RecentLines
from agent.update.local import leave_request, take_answer
from tests.daemon.plant_rig import EXAMPLE, Rig

MINIMUM = 6.3


@pytest.fixture
def begin(tmp_path):
    """Rigs that are closed again."""
    rigs = []

    def make(demand_m3_min: float) -> Rig:
        rigs.append(Rig(tmp_path, demand_m3_min))
        return rigs[-1]

    yield make
    for rig in rigs:
        rig.kill()


def ask(rig: Rig, action: str, machine: str, for_s: float | None = None) -> str:
    wanted = {"station": "air", "machine": machine, "for_s": for_s}
    return leave_request(rig.state / "overrides", action, json.dumps(wanted), "meier", "belt")


async def test_stopped_machine_stands_until_its_time_is_over_and_is_then_used_again(begin):
    rig = begin(32.0)
    await rig.daemon.start()
    await rig.live(600)
    out = min(rig.running() - {"c4"})

    request = ask(rig, "stop", out, 1800.0)
    await rig.live(300)
    assert take_answer(rig.state / "overrides", request)["ok"] is True
    assert out not in rig.running()
    refusals = rig.daemon.stations["air"].last.refusals
    await rig.live(1400)
    assert out not in rig.running()

    # Everything else is gone from now on: only the one that was held can carry the air.
    rig.demand = 48.0
    await rig.live(600)
    assert out in rig.running()
    assert [e["action"] for e in rig.events("override_asked")] == ["stop"]
    assert [e["why"] for e in rig.events("override_ended")] == ["its time is over"]
    assert all("meier" in r.rule for r in refusals if r.subject == out)
    assert min(rig.pressures[:-300]) > MINIMUM


async def test_machine_that_the_operator_runs_keeps_running_though_nobody_needs_it(begin):
    rig = begin(8.0)
    await rig.daemon.start()
    await rig.live(1200)
    assert "c3" not in rig.running()

    ask(rig, "run", "c3", 3600.0)
    await rig.live(60)
    ran = []
    for _ in range(30):
        await rig.live(60)
        ran.append("c3" in rig.running())

    assert all(ran)
    assert max(rig.pressures) < rig.site.stations["air"].pressure_max_bar_g


async def test_lock_out_outlives_a_restart_of_the_agent_and_ends_by_release_only(begin):
    rig = begin(32.0)
    await rig.daemon.start()
    await rig.live(600)
    ask(rig, "lockout", "c1")
    await rig.live(200)
    assert "c1" not in rig.running()

    rig.kill()
    rig.open()
    await rig.daemon.start()
    await rig.live(1200)
    assert "c1" not in rig.running()
    alarms = [e["text"] for e in rig.events("alarm")]
    request = ask(rig, "run", "c1", 600.0)
    await rig.live(4)
    refused = take_answer(rig.state / "overrides", request)
    ask(rig, "release", "c1")
    await rig.live(4)

    assert refused["ok"] is False
    assert "release it first" in refused["reason"]
    assert read_overrides(rig.state / "overrides") == ()
    # 9.7 + 16.3 + 16.6 = 42.6 m3/min are left: enough for 32.
    assert alarms == []
    assert min(rig.pressures) > MINIMUM


async def test_missing_machines_raise_the_alarm_that_names_them(begin):
    rig = begin(32.0)
    await rig.daemon.start()
    await rig.live(600)

    for machine in ("c1", "c2"):
        ask(rig, "lockout", machine)
    await rig.live(120)

    # 9.7 + 16.6 = 26.3 of 58.9 m3/min are left for 32.
    text = rig.events("alarm")[0]["text"]
    assert text.startswith("restricted-capacity: ")
    assert "c1 (locked out for maintenance)" in text
    for machine in ("c1", "c2"):
        ask(rig, "release", machine)
    await rig.live(600)
    assert rig.events("alarm")[-1]["text"] == "over"


@pytest.mark.parametrize(
    ("action", "for_s", "reason"),
    [("run", 600.0, "from afar"), ("lockout", None, "from afar"), ("stop", 9 * 3600.0, "at most 8 h")],
)
async def test_from_afar_a_machine_is_left_out_for_some_hours_and_nothing_else(begin, action, for_s, reason):
    rig = begin(12.0)
    await rig.daemon.start()
    await rig.live(300)

    now, events = rig.clock.now(), []
    said = rig.daemon.overrides.ask(action, "air", "c1", for_s, "fleet", "why", now, events, remote=True)

    assert reason in said
    assert events[0][2]["granted"] is False


async def test_stop_from_afar_is_refused_where_the_others_cannot_carry_the_air_and_ends_when_it_gets_short(
    begin,
):
    rig = begin(40.0)
    await rig.daemon.start()
    await rig.live(300)

    def remote(machine: str) -> str:
        return rig.daemon.overrides.ask(
            "stop", "air", machine, 3600.0, "fleet", "noise", rig.clock.now(), [], remote=True
        )

    # 58.9 m3/min without c1's 16.3 are 42.6: less than a tenth above 40.
    assert "could not carry" in remote("c1")
    rig.demand = 20.0
    await rig.live(600)
    assert remote("c1") == ""
    rig.demand = 50.0
    await rig.live(900)

    assert rig.daemon.overrides.in_force == ()
    assert "c1" in rig.running()


async def test_override_made_on_site_is_not_taken_back_from_afar(begin):
    rig = begin(12.0)
    await rig.daemon.start()
    await rig.live(300)
    ask(rig, "stop", "c1", 3600.0)
    await rig.live(4)

    said = rig.daemon.overrides.ask(
        "release", "air", "c1", None, "fleet", "", rig.clock.now(), [], remote=True
    )

    assert said.startswith("it is held on site")
    assert len(rig.daemon.overrides.in_force) == 1


async def test_header_pressure_is_believed_again_on_the_word_of_somebody_on_site_only(begin):
    rig = begin(25.0)
    await rig.daemon.start()
    await rig.live(60)
    early = ask(rig, "believe", "air")
    await rig.live(2)
    assert take_answer(rig.state / "overrides", early)["ok"] is False

    rig.plant.pressure_bar_g += 0.5
    await rig.live(4)
    assert rig.daemon.stations["air"].control.jump.off_bar
    request = ask(rig, "believe", "air")
    await rig.live(2)

    assert take_answer(rig.state / "overrides", request)["ok"] is True
    assert [(e["action"], e["granted"]) for e in rig.events("override_asked")] == [
        ("believe", False),
        ("believe", True),
    ]


def test_command_without_an_agent_says_so_and_leaves_no_order_behind(tmp_path, capsys):
    words = [str(EXAMPLE), "c1", "stop", "--for", "2h", "--state", str(tmp_path), "--wait-s", "0.1"]

    assert command(words) == 1

    assert "nothing was changed" in capsys.readouterr().err
    assert list((tmp_path / "overrides" / "requests").iterdir()) == []


def test_command_asks_waits_and_shows_what_holds(tmp_path, capsys):
    folder = tmp_path / "overrides"

    def agent() -> None:
        from agent.daemon.overrides import ACTIONS
        from agent.update.local import answer_request, take_requests

        while True:
            for request in take_requests(folder, ACTIONS):
                wanted = json.loads(request.argument)
                held = {
                    "station": "air",
                    "machine": wanted["machine"],
                    "action": request.op,
                    "since": "2026-03-03T07:00:00+00:00",
                    "until": "2026-03-03T09:00:00+00:00",
                    "who": request.who,
                    "why": request.why,
                    "remote": False,
                }
                answer_request(
                    folder, request.id, {"ok": wanted["for_s"] == 7200.0, "reason": "", "overrides": [held]}
                )
                return

    thread = threading.Thread(target=agent)
    thread.start()
    code = command([str(EXAMPLE), "c1", "stop", "--for", "2h", "--why", "belt", "--state", str(tmp_path)])
    thread.join(30)

    assert code == 0
    assert "c1       stop     until 2026-03-03 09:00 UTC" in capsys.readouterr().out


@pytest.mark.parametrize("words", [["c9", "stop", "--for", "2h"], ["c1", "stop"], ["c1"]])
def test_command_refuses_what_no_agent_could_obey(tmp_path, words):
    from agent.errors import TrimloadError

    with pytest.raises(TrimloadError):
        command([str(EXAMPLE), *words, "--state", str(tmp_path)])


async def test_machine_left_out_from_afar_shows_in_status_and_explanation_and_in_the_ledger(begin):
    rig = begin(12.0)
    await rig.daemon.start()
    await rig.live(300)
    answers = []
    asks = Asks(rig.daemon, rig.state, RecentLines(), None, answers.append)

    def ask_from_afar(number: int, op: str, **more) -> dict:
        who = {"who": "fleet", "why": "noise", "station": "air"}
        asks.take(json.dumps({"id": f"a{number}", "op": op, **who, **more}).encode())
        answer = json.loads(answers[-1])
        return {"ok": answer["ok"], **json.loads(answer["body"])}

    done = ask_from_afar(1, "override", machine="c1", action="stop", for_s=3600)
    status, told = ask_from_afar(2, "status"), ask_from_afar(3, "explain")["air"]
    widened = ask_from_afar(4, "override", machine="c1", action="run", for_s=60)
    nonsense = ask_from_afar(5, "override", machine="c1", action="stop", for_s="long")

    assert done["ok"]
    assert [each["machine"] for each in status["overrides"]] == ["c1"]
    assert told["overrides"][0].startswith("operator's stop by fleet until ")
    assert set(told["hours_run"]) == {"c1", "c2", "c3", "c4"}
    assert not widened["ok"]
    assert not nonsense["ok"]
    assert [(e["remote"], e["granted"]) for e in rig.events("override_asked")] == [
        (True, True),
        (True, False),
    ]
    assert len(rig.events("remote_asked")) == 5
