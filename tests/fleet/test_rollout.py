"""Roll-outs on a real repository over a real broker, to sites that run the agent's own update engine."""

from __future__ import annotations

import json
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from agent.clock import SimClock, WallClock
from agent.errors import DataError, StoreError
from agent.update.job import Kind, Timeouts
from fleet.cli import COMMANDS, main
from fleet.database import open_database
from fleet.publish import current_assignment
from fleet.rollout.decide import Phase, Verdict, Wish, abort
from fleet.rollout.engine import RolloutEngine
from fleet.rollout.place import place, targets_for
from fleet.rollout.plan import Plan, rings_of
from fleet.rollout.record import begin, events, ids, load, turn
from fleet.standing import read_standing
from tests.fleet.conftest import Operator, until
from tests.fleet.simulated_sites import FIRST_RELEASE, SimulatedFleet
from tests.update.conftest import START_AT

SITES = [f"works{number:02d}" for number in range(20)]


@pytest.fixture(scope="module")
def operator(tmp_path_factory) -> Operator:
    """Twenty sites. Each test has roll-outs and releases of its own."""
    return Operator(tmp_path_factory.mktemp("operator"), SITES)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.peers("initdb", "setpriv"))])
def database(request, tmp_path: Path):
    place = str(tmp_path / "fleet.db") if request.param == "sqlite" else request.getfixturevalue("postgres")
    database = open_database(place)
    yield database
    database.close()


def plan_of(operator: Operator, rollout_id: str, release: str, sites=SITES[:4], **options) -> Plan:
    del operator
    rings = rings_of(sites, "1,50%,100%", seed=rollout_id)
    fields = {"soak_s": 0.0, "per_minute": 1000, "timeouts": Timeouts(60, 60, 30, 20), "grace_s": 10.0}
    return Plan(rollout_id, Kind.AGENT, release, rings, **(fields | options))


def put(operator: Operator, database, plan: Plan, now=START_AT) -> bool:
    sites = [site for ring in plan.rings for site in ring.sites]
    targets = targets_for(operator.repository, plan.kind, sites, release=plan.release)
    return begin(database, plan, targets, now, who="anna", why="a test")


def confirmed(plan: Plan, site: str):
    job = {"id": plan.job_id(site), "kind": "agent", "counter": 1, "state": "confirmed"}
    return read_standing({"running": {"agent": {"release": plan.release}}, "jobs": [job]})


def test_a_rollout_outlives_its_database_connection_whole(operator, database):
    plan = plan_of(operator, "whole", operator.publish("1.1.1"), approve=frozenset({1}), error_count=3)
    assert put(operator, database, plan)

    found = load(database, "whole")

    assert found.plan == plan
    assert (found.phase, {row.wish for row in found.rows.values()}) == (Phase.RUNNING, {Wish.LATER})
    assert found.rows[SITES[0]].targets == found.rows[SITES[1]].targets
    assert [event.what for event in events(database, "whole")] == ["begun: a test"]


def test_begun_twice_is_begun_once_and_another_of_that_id_is_refused(operator, database):
    plan = plan_of(operator, "twice", operator.publish("1.1.2"))
    assert put(operator, database, plan)

    assert not put(operator, database, plan)
    with pytest.raises(DataError, match="is there, and another one"):
        put(operator, database, plan_of(operator, "twice", operator.publish("1.1.3")))


def test_a_site_is_held_by_one_rollout_of_a_kind_until_that_is_over(operator, database):
    first = plan_of(operator, "first", operator.publish("1.1.4"))
    second = plan_of(operator, "second", operator.publish("1.1.5"), sites=SITES[3:6])
    put(operator, database, first)

    with pytest.raises(DataError, match="still held by first"):
        put(operator, database, second)
    with turn(database, "first") as held:
        held.put(abort(held.rollout, "anna: no", START_AT), START_AT, who="anna")

    assert put(operator, database, second)


def test_the_engine_goes_ring_by_ring_and_records_why(operator, database):
    clock = SimClock(START_AT)
    plan = plan_of(operator, "rings", operator.publish("1.2.0"))
    put(operator, database, plan)
    hints: list[str] = []
    engine = RolloutEngine(database, operator.repository, hints.append, clock)

    for _ in range(12):
        engine.step()
        for site, row in load(database, "rings").rows.items():
            if row.wish is Wish.GIVEN:
                assert [job.id for job in current_assignment(operator.repository, site).jobs] == [
                    f"rings-{site}"
                ]
                engine.hear(site, confirmed(plan, site))
        clock.advance_to(clock.now() + timedelta(seconds=2))

    assert load(database, "rings").phase is Phase.DONE
    order = [site for ring in plan.rings for site in ring.sites]
    assert (hints[:2], sorted(hints)) == (order[:2], sorted(order))
    assert [event.what for event in events(database, "rings")] == [
        "begun: a test",
        "ring 1 is passed: 1 of 1 confirmed",
        "ring 50% begins",
        "ring 50% is passed: 1 of 1 confirmed",
        "ring 100% begins",
        "ring 100% is passed: 2 of 2 confirmed",
        "done: 4 of 4 confirmed",
    ]
    assert ids(database, unfinished=True) == []


def test_a_rollout_killed_between_signing_and_noting_gives_the_same_job_once(operator, database):
    plan = plan_of(operator, "killed", operator.publish("1.2.1"), sites=SITES[:1])
    put(operator, database, plan)
    clock = SimClock(START_AT)
    engine = RolloutEngine(database, operator.repository, lambda _: None, clock)
    decided = engine._judge("killed")
    # Here it signed, and was killed before it noted that; twice, and once in the middle of the signing.
    place(operator.repository, plan, list(decided.rows.values()))
    place(operator.repository, plan, list(decided.rows.values()))
    counter = current_assignment(operator.repository, SITES[0]).counter

    RolloutEngine(database, operator.repository, lambda _: None, clock).step()

    assert current_assignment(operator.repository, SITES[0]).counter == counter
    assert load(database, "killed").rows[SITES[0]].wish is Wish.GIVEN


def test_what_is_aborted_leaves_the_assignment(operator, database):
    plan = plan_of(operator, "taken", operator.publish("1.2.2"), sites=SITES[:1])
    put(operator, database, plan)
    engine = RolloutEngine(database, operator.repository, lambda _: None, SimClock(START_AT))
    engine.step()

    with turn(database, "taken") as held:
        held.put(abort(held.rollout, "anna: no", START_AT), START_AT, who="anna")
    engine.step()

    assert current_assignment(operator.repository, SITES[0]).jobs == ()
    assert load(database, "taken").rows[SITES[0]].wish is Wish.TAKEN_BACK
    assert operator.repository.state_is_published()


def test_files_replaced_since_the_rollout_began_fail_there_and_then(operator, database, tmp_path):
    text = (Path(__file__).resolve().parents[2] / "examples/demo/site.toml").read_text(encoding="utf-8")
    from fleet.publish import publish_config

    site = SITES[9]
    first = text.replace('id = "demo"', f'id = "{site}"', 1)
    publish_config(operator.repository, site, first.encode())
    targets = targets_for(operator.repository, Kind.CONFIG, [site])
    rings = rings_of([site], "100%")
    begin(database, Plan("stale", Kind.CONFIG, "config", rings), targets, START_AT, who="anna", why="a test")
    publish_config(operator.repository, site, (first + "\n# newer\n").encode())

    RolloutEngine(database, operator.repository, lambda _: None, SimClock(START_AT)).step()

    row = load(database, "stale").rows[site]
    assert (row.verdict, row.reason) == (
        Verdict.BAD,
        f"config/{site}/site.toml was replaced since the roll-out began",
    )


def test_a_change_by_hand_while_the_engine_signs_is_not_lost(operator, database):
    plan = plan_of(operator, "race", operator.publish("1.2.3"), sites=SITES[:1])
    put(operator, database, plan)
    engine = RolloutEngine(database, operator.repository, lambda _: None, SimClock(START_AT))
    decided = engine._judge("race")
    with turn(database, "race") as held:
        held.put(abort(held.rollout, "anna: no", START_AT), START_AT, who="anna")

    engine._act(decided)
    assert load(database, "race").rows[SITES[0]].wish is Wish.TAKE_BACK
    engine.step()

    assert current_assignment(operator.repository, SITES[0]).jobs == ()


def test_two_who_change_a_rollout_at_once_take_turns(operator, database):
    put(operator, database, plan_of(operator, "turns", operator.publish("1.2.5"), sites=SITES[:1]))

    def change() -> None:
        for _ in range(20):
            with turn(database, "turns") as held:
                held.put(replace(held.rollout, approved=held.rollout.approved + 1), START_AT)

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(change), pool.submit(change)]:
            done.result()

    assert load(database, "turns").approved == 40


def test_a_database_of_another_version_and_one_that_is_not_there_are_told(tmp_path):
    database = open_database(str(tmp_path / "fleet.db"))
    with database.writing() as connection:
        connection.exec_driver_sql("UPDATE trimload_fleet SET version = 99")
    database.close()

    with pytest.raises(StoreError, match="version 99"):
        open_database(str(tmp_path / "fleet.db"))
    with pytest.raises(StoreError, match="does not answer"):
        open_database(str(tmp_path / "no" / "such" / "fleet.db"))


@pytest.mark.peers("mosquitto")
def test_a_good_release_reaches_all_and_a_bad_one_stops_at_the_canary_though_the_service_is_killed(
    tmp_path, capsys
):
    """Twenty sites; the service gets SIGKILL in the middle of the second ring, and is begun again."""
    operator = Operator(tmp_path, SITES)
    places = ["--repo", str(operator.repo), "--keys", str(operator.keys), "--db", operator.db]
    good, bad = operator.publish("2.0.0"), operator.publish("2.1.0", "crashes")
    start = ["rollout", "start", *places, "--kind", "agent", "--all", "--soak-s", "0", "--per-minute", "600"]
    database = open_database(operator.db)

    def stands(rollout_id: str):
        return load(database, rollout_id)

    with (
        operator.online(),
        SimulatedFleet(SITES, operator.mosquitto.port, tmp_path, operator.root_file) as fleet,
    ):
        assert (
            main([*start, "--id", "good", "--release", good, "--rings", "1,50%,100%", "--why", "a test"]) == 0
        )
        service = operator.run_rollouts()
        until(lambda: sum(row.given_at is not None for row in stands("good").rows.values()) > 1)
        service.send_signal(signal.SIGKILL)
        service.wait()
        assert stands("good").phase is Phase.RUNNING
        service = operator.run_rollouts()
        until(lambda: stands("good").phase is Phase.DONE)

        assert main([*start, "--id", "bad", "--release", bad, "--canary", SITES[4], "--why", "a test"]) == 0
        until(lambda: stands("bad").phase is Phase.STOPPED)
        # The site's row tells what it runs now: the release before, read from what runs.
        until(lambda: fleet.sites[SITES[4]].gateway.release == good)

        ill = [*start, "--id", "ill", "--release", operator.publish("2.2.0", "ails"), "--canary", SITES[6]]
        assert main([*ill, "--trial-s", "3", "--why", "a test"]) == 0
        until(lambda: stands("ill").phase is Phase.STOPPED)
        until(lambda: fleet.sites[SITES[6]].gateway.release == good)
        told_ill = stands("ill")
        service.terminate()
        assert service.wait(20) == 0
        told_stopped = stands("bad")
        database.close()

    assert [site.gateway.installed_jobs[0] for site in fleet.sites.values()] == [
        f"good-{each}" for each in SITES
    ]
    assert [each for each in SITES if len(fleet.sites[each].gateway.installed_jobs) == 2] == [
        SITES[4],
        SITES[6],
    ]
    assert told_ill.rows[SITES[6]].reason == "not healthy within its trial: no plan was made for air"
    assert {site.gateway.release for site in fleet.sites.values()} == {good}
    assert good != FIRST_RELEASE
    assert told_stopped.rows[SITES[4]].reason == "crash loop: 3 starts"
    capsys.readouterr()
    assert main(["rollout", "show", "--db", operator.db, "bad", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert (told["phase"], told["rings"][0]["bad"], told["rings"][1]["given"]) == ("stopped", 1, 0)
    assert main(["status", "--db", operator.db, "--json"]) == 1
    status = json.loads(capsys.readouterr().out)
    assert {site["version"] for site in status["sites"]} == {"2.0.0"}
    assert status["sites"][4]["jobs"] == ["agent rolled back"]


HELPED = [
    *([name] for name in COMMANDS),
    *(["keys", name] for name in ("new", "import", "init", "enrol", "list")),
    *(["publish", name] for name in ("model", "config", "agent", "job", "withdraw")),
    *(["rollout", name] for name in ("start", "run", "list", "show", "pause", "resume", "approve", "abort")),
]


@pytest.mark.parametrize("words", HELPED, ids=" ".join)
def test_every_command_explains_itself(words, capsys):
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])

    assert ended.value.code == 0
    assert "usage: trimload-fleet" in capsys.readouterr().out


def test_a_rollout_is_paused_approved_and_aborted_from_the_command_line(operator, tmp_path, capsys):
    db = str(tmp_path / "fleet.db")
    database = open_database(db)
    put(
        operator,
        database,
        plan_of(operator, "hand", operator.publish("1.2.4"), approve=frozenset({1})),
        WallClock().now(),
    )
    by_hand = ["--db", db, "hand", "--who", "anna", "--why", "a visitor"]

    assert main(["rollout", "pause", *by_hand]) == 0
    assert load(database, "hand").phase is Phase.PAUSED
    assert main(["rollout", "resume", *by_hand]) == 0
    assert main(["rollout", "approve", *by_hand]) == 0
    assert main(["rollout", "approve", *by_hand]) == 2
    assert main(["rollout", "abort", *by_hand]) == 0
    assert main(["rollout", "resume", *by_hand]) == 2
    assert main(["rollout", "show", "--db", db, "hand"]) == 1
    assert main(["rollout", "show", "--db", db, "nothing"]) == 2

    told = events(database, "hand")
    database.close()
    record = [(event.who, event.what) for event in told[1:]]
    assert record == [("anna", f"{what}: a visitor") for what in ("pause", "resume", "approve", "abort")]
    assert "aborted: anna: a visitor" in capsys.readouterr().out
