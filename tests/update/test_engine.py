"""Jobs through their states, on a whole agent: what is taken, what waits, what goes back."""

from __future__ import annotations

import pytest

from agent.update.job import Kind, Timeouts
from tests.update.site_under_test import Site, site_text

WHOLE_WAY = ["offered", "accepted", "downloading", "verified", "installing", "trial", "confirmed"]
CHEAPER = ("priority = 4", "priority = 5")


@pytest.fixture
async def site(fleet, tmp_path):
    site = Site(tmp_path / "site", fleet)
    await site.begin()
    yield site
    await site.end()


def config(fleet, *changes, text=None, **fields):
    content = (text or site_text(*changes)).encode()
    target = fleet.publish("config/demo/site.toml", content)
    return fleet.assign(target, kind=Kind.CONFIG, **fields), target


async def test_a_configuration_that_widens_nothing_is_run_on_trial_and_confirmed(fleet, site):
    await site.turn()
    job, target = config(fleet, CHEAPER)
    site.look()

    await site.until("confirmed")

    assert [step for step in site.steps(job.id) if step != "waiting"] == WHOLE_WAY
    assert site.loaded.site.stations["air"].machines["c4"].priority == 5
    assert site.service.running()["config"] == {"sha256": target.sha256, "source": "update"}
    assert site.ledger.verify().ok


async def test_set_points_are_handed_back_before_a_configuration_is_switched(fleet, site):
    for _ in range(4):
        await site.turn(1.0)
    assert site.daemon.stations["air"].was_controlling
    config(fleet, CHEAPER)
    site.look()

    while not site.restarts:
        await site.turn(1.0)

    assert not site.daemon.stations["air"].was_controlling


async def test_a_wider_write_range_waits_for_the_sites_consent_by_name(fleet, site):
    job, _ = config(fleet, ("pressure_max_bar_g = 8.0", "pressure_max_bar_g = 8.5"))

    waiting = await site.until("waiting")
    assert waiting["reason"].startswith("operator: 1 changes need")
    assert site.service.updater.book.consent_asked(job.id) == [
        "stations.air.pressure_max_bar_g: 8.0 -> 8.5  (asks)"
    ]
    assert (await site.ask("consent", job.id))["ok"]
    await site.until("confirmed")

    consents = site.told("update_consent")
    assert [(row["job"], row["who"]) for row in consents] == [(job.id, "anna")]


async def test_a_faulty_configuration_is_refused_before_anything_is_changed(fleet, site):
    config(fleet, ("pressure_min_bar_g = 6.3", "pressure_min_bar_g = 9.9"))

    failed = await site.until("failed")

    assert failed["reason"].startswith("trimload check: ")
    assert site.restarts == []


async def test_a_configuration_that_loses_a_device_is_rolled_back_within_its_trial(fleet, site):
    await site.turn()
    job, _ = config(fleet, CHEAPER, timeouts=Timeouts(trial_s=120.0))
    site.look()
    await site.until("trial")
    site.silent = {"header"}

    rolled = await site.until("rolled_back")
    await site.restart()

    assert "header" in rolled["reason"]
    assert site.loaded.config_source == "local"
    assert site.loaded.site.stations["air"].machines["c4"].priority == 4
    assert site.steps(job.id)[-1] == "rolled_back"


async def test_a_configuration_that_kills_the_agent_goes_back_after_three_starts(fleet, site):
    await site.turn()
    config(fleet, CHEAPER)
    site.look()
    while not site.restarts:
        await site.turn()
    for _ in range(3):
        await site.restart()
        assert site.loaded.config_source == "update"

    await site.restart()
    rolled = await site.until("rolled_back")

    assert site.loaded.config_source == "local"
    assert "3 times" in rolled["reason"]


async def test_the_sites_own_edit_wins_over_an_update(fleet, site):
    config(fleet, CHEAPER)
    await site.until("confirmed")
    site.file.write_text(site_text(("priority = 4", "priority = 9")))

    await site.restart()

    assert site.loaded.config_source == "local"
    assert site.loaded.site.stations["air"].machines["c4"].priority == 9


async def test_a_confirmed_configuration_goes_back_by_hand(fleet, site):
    config(fleet, CHEAPER)
    await site.until("confirmed")

    assert (await site.ask("rollback", "config"))["ok"]
    await site.restart()

    assert site.loaded.config_source == "local"
    last = site.told("update")[-1]
    assert (last["to"], last["who"]) == ("rolled_back", "anna")
    assert not (await site.ask("rollback", "model"))["ok"]


async def test_outside_the_window_and_under_an_alarm_it_waits_and_says_for_what(fleet, tmp_path):
    """08:00 UTC is 09:00 in Berlin in December, on a Tuesday."""
    text = site_text(
        ("check_every_s = 60", 'check_every_s = 60\nwindow = [{ from = "09:05", to = "10:00" }]')
    )
    site = Site(tmp_path / "site", fleet, text)
    await site.begin()
    config(fleet, CHEAPER, text=text.replace(*CHEAPER))
    assert (await site.until("waiting"))["reason"] == "window: opens Tue 01 Dec 09:05"

    site.more = {"c3.tripped": 1.0}
    for _ in range(30):
        await site.turn()
    assert site.job()["reason"] == "interlock: alarm: c3 has tripped"
    site.more = {"c3.ready": 0.0}
    await site.turn()
    assert site.job()["reason"] == "interlock: manual: c3 takes no commands"
    site.more = {}
    await site.until("trial")
    await site.end()


async def test_a_withdrawn_job_is_cancelled_and_an_overdue_one_times_out(fleet, site):
    from fleet.publish import withdraw

    wide = ("pressure_max_bar_g = 8.0", "pressure_max_bar_g = 8.5")
    config(fleet, wide)
    await site.until("waiting")
    withdraw(fleet.repository, "demo", Kind.CONFIG)
    fleet.repository.publish_state()
    site.look()
    assert (await site.until("cancelled"))["reason"] == "withdrawn by the fleet"

    config(fleet, wide, timeouts=Timeouts(wait_s=100.0))
    site.look()
    await site.until("waiting")
    assert (await site.until("timed_out"))["reason"].startswith("waiting for 100 s: operator")


async def test_a_key_revoked_while_a_job_waits_ends_the_job(fleet, site):
    from fleet.keys import make_key
    from fleet.roles import change_keys

    config(fleet, ("pressure_max_bar_g = 8.0", "pressure_max_bar_g = 8.5"))
    await site.until("waiting")
    old = fleet.repository.keyids("config-demo")[0]
    change_keys(fleet.repository, "config-demo", add=[make_key(fleet.keys, "op2")], revoke=old)
    fleet.repository.change("config-demo", lambda signed: signed.targets.clear())
    fleet.repository.publish_state()
    site.look()

    assert (await site.until("failed"))["reason"] == "its files are no longer signed as they were"


async def test_a_refused_repository_is_reported_once_and_control_goes_on(fleet, site):
    await site.turn()
    (fleet.path / "metadata" / "timestamp.json").write_bytes(b"garbage")
    before = site.daemon.ticks

    for _ in range(30):
        site.look()
        await site.turn(1.0)

    assert site.daemon.ticks - before == 30
    assert [row["reason"].split(":")[0] for row in site.told("update_refused")] == ["DeserializationError"]
    assert site.service.status()["trust"]["refused"].startswith("DeserializationError")
    assert site.daemon.stations["air"].was_controlling


async def test_an_agent_release_is_refused_by_a_checkout_and_a_low_counter_by_everybody(fleet, site):
    target = fleet.publish("agent/1.0-00000000/manifest.json", b"{}")
    fleet.assign(target, kind=Kind.AGENT, release="1.0-00000000")
    assert "checkout" in (await site.until("failed"))["reason"]


async def test_a_restart_while_waiting_goes_on_without_a_repository(fleet, site, tmp_path):
    job, _ = config(fleet, ("pressure_max_bar_g = 8.0", "pressure_max_bar_g = 8.5"))
    await site.until("waiting")
    fleet.path.rename(tmp_path / "stick-pulled-out")
    await site.restart()

    assert (await site.ask("consent", job.id))["ok"]
    await site.until("confirmed")


async def test_files_of_a_job_are_kept_by_hash_and_verified_after_a_restart(fleet, site):
    _, target = config(fleet, ("pressure_max_bar_g = 8.0", "pressure_max_bar_g = 8.5"))
    await site.until("waiting")
    kept = site.service.folder / "files" / target.sha256
    kept.write_bytes(b"rotten")
    await site.restart()

    for _ in range(5):
        await site.turn()

    assert kept.read_bytes() == site_text(("pressure_max_bar_g = 8.0", "pressure_max_bar_g = 8.5")).encode()
    assert site.job()["state"] == "waiting"


async def test_files_of_ended_jobs_are_removed_by_the_next_look(fleet, site):
    _, target = config(fleet, CHEAPER)
    await site.until("confirmed")
    assert (site.service.folder / "files" / target.sha256).exists()

    site.look()
    await site.turn()

    # The assignment alone is left.
    assert len(list((site.service.folder / "files").iterdir())) == 1
