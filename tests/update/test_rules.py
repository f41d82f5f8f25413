"""Pure rules: window, rejection, consent, health, and what a start does to something on trial."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.config.load import parse_site
from agent.config.parts import WeekTime
from agent.update.active import CONFIG, Active, ActiveFiles, on_trial, started
from agent.update.consent import changes
from agent.update.gates import interlock_reason, rejection, window_reason
from agent.update.health import MAX_RSS_MB, Baseline, Vitals, ailment, read_baseline
from agent.update.job import Job, Kind, Target
from tests.update.site_under_test import site_text

NIGHT = WeekTime(days="sun", **{"from": "02:00", "to": "04:00"})
NOW = datetime(2026, 12, 1, 8, tzinfo=UTC)


@pytest.mark.parametrize(
    ("at", "reason"),
    [
        # Berlin is UTC+1 in winter: 01:00 UTC on Sunday is 02:00.
        (datetime(2026, 11, 29, 1, 0, tzinfo=UTC), ""),
        (datetime(2026, 11, 29, 0, 59, tzinfo=UTC), "window: opens Sun 29 Nov 02:00"),
        (datetime(2026, 11, 29, 3, 0, tzinfo=UTC), "window: opens Sun 06 Dec 02:00"),
        # On 28 March 2027 the clock jumps from 02:00 to 03:00: the window begins with 03:00.
        (datetime(2027, 3, 28, 0, 30, tzinfo=UTC), "window: opens Sun 28 Mar 03:00"),
        # On 25 October 2026 the hour from 02:00 comes twice: open in both.
        (datetime(2026, 10, 25, 0, 30, tzinfo=UTC), ""),
        (datetime(2026, 10, 25, 1, 30, tzinfo=UTC), ""),
    ],
)
def test_the_window_is_that_of_the_clock_on_the_sites_wall(at, reason):
    assert window_reason([NIGHT], "Europe/Berlin", at) == reason


def test_without_a_window_or_an_interlock_nothing_holds():
    assert window_reason([], "UTC", NOW) == ""
    assert interlock_reason(()) == ""
    assert interlock_reason(("alarm: c1 has tripped", "peak: 9 of 9 kW")) == (
        "interlock: alarm: c1 has tripped; peak: 9 of 9 kW"
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"kinds": ["model"]}, "takes no config"),
        ({"taken_counter": 5}, "counter 5 is not above 5"),
        ({"free_bytes": 2_099}, "the disk has"),
        ({"now": NOW + timedelta(days=2)}, "not_after 2026-12-02"),
    ],
)
def test_a_job_that_is_not_for_this_site_is_rejected_with_its_reason(change, said):
    job = Job(
        "j",
        Kind.CONFIG,
        "demo",
        5,
        "r",
        (Target("config/demo/site.toml", "ab" * 32, 1000),),
        not_after=NOW + timedelta(days=1),
    )
    # Two times 1000 bytes, and 100 in reserve.
    options = {"kinds": ["config"], "taken_counter": 4, "now": NOW, "free_bytes": 2_100, "reserve_bytes": 100}

    reason = rejection(job, **options | change)

    assert said in reason
    assert bool(reason) == bool(said)


@pytest.mark.parametrize(
    ("change", "asks"),
    [
        (("priority = 4", "priority = 5"), False),
        (('name = "Compressor room"', 'name = "Hall"'), False),
        (("pressure_max_bar_g = 8.0", "pressure_max_bar_g = 7.8"), False),
        (("pressure_max_bar_g = 8.0", "pressure_max_bar_g = 8.2"), True),
        (("pressure_min_bar_g = 6.3", "pressure_min_bar_g = 6.5"), False),
        (("pressure_min_bar_g = 6.3", "pressure_min_bar_g = 6.1"), True),
        (('mode = "control"', 'mode = "observe"'), False),
        (('allow_writes = ["c1.*", ', "allow_writes = ["), False),
        (("receiver_m3 = 15", "receiver_m3 = 16"), True),
        (("receiver_rated_bar_g = 11", "receiver_rated_bar_g = 12"), True),
        (("priority = 4", "priority = 4\nlocked_out = true"), False),
        (("healthy_s = 30", "healthy_s = 0"), True),
        (("full_power_kw = 60", "full_power_kw = 55"), True),
    ],
)
def test_only_what_is_known_to_widen_nothing_is_free_of_consent(change, asks):
    before = parse_site(site_text(), Path("/nowhere"))
    after = parse_site(site_text(change), Path("/nowhere"))

    found = changes(before, after)

    assert found
    assert any(each.asks for each in found) is asks


@pytest.mark.parametrize(
    ("change", "asks"),
    [
        (('mode = "control"', 'mode = "observe"'), True),
        (('allow_writes = ["c1.*", ', "allow_writes = ["), True),
        (("priority = 4", "priority = 4\nlocked_out = true"), True),
    ],
)
def test_the_way_back_to_more_asks(change, asks):
    more = parse_site(site_text(), Path("/nowhere"))
    less = parse_site(site_text(change), Path("/nowhere"))

    assert any(each.asks for each in changes(less, more)) is asks


WELL = Vitals(
    since_at=NOW,
    at=NOW + timedelta(minutes=10),
    ticks=600,
    late_ticks=1,
    devices=frozenset({"c1", "header"}),
    planned=frozenset({"air"}),
    wrote=frozenset({"air"}),
    controlling=frozenset({"air"}),
    rss_mb=200.0,
    cpu_share=0.1,
    store_writable=True,
)
BEFORE = Baseline(frozenset({"c1", "header"}), frozenset({"air"}), frozenset({"air"}))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({}, ""),
        ({"ticks": 0}, "no tick"),
        ({"devices": frozenset({"c1"})}, "no answer from header"),
        ({"store_writable": False}, "cannot be written"),
        ({"planned": frozenset()}, "no plan was made for air"),
        ({"controlling": frozenset()}, "air was in control before"),
        ({"wrote": frozenset()}, "no command was written and read back for air"),
        ({"rss_mb": MAX_RSS_MB + 1}, "of memory"),
        ({"cpu_share": 0.95}, "of a core"),
        ({"late_ticks": 121}, "121 of 600 ticks came late"),
        ({"late_ticks": 120}, ""),
    ],
)
def test_each_sign_of_illness_is_named(change, said):
    assert said in ailment(WELL._replace(**change), BEFORE)
    assert bool(ailment(WELL._replace(**change), BEFORE)) == bool(said)


def test_what_did_not_work_before_is_not_asked_of_the_update():
    sick = WELL._replace(devices=frozenset(), planned=frozenset(), controlling=frozenset(), wrote=frozenset())

    assert ailment(sick, Baseline()) == ""
    assert read_baseline(BEFORE.as_dict()) == BEFORE


ENTRY = on_trial("new", "r1", "old", trial_s=600.0, boot_id="b1", now_boot_s=1000.0)


def test_a_trial_is_counted_at_each_start_and_goes_back_at_the_fourth():
    entry = ENTRY
    for tries in (1, 2, 3):
        entry = started(entry, boot_id="b1", now_boot_s=1100.0)
        assert (entry.tries, entry.sha256) == (tries, "new")

    entry = started(entry, boot_id="b1", now_boot_s=1100.0)

    assert (entry.state, entry.sha256, entry.previous) == ("rolled_back", "old", "new")


def test_a_trial_past_its_deadline_goes_back_and_a_reboot_begins_the_span_anew_once():
    assert started(ENTRY, boot_id="b1", now_boot_s=1601.0).reason.startswith("overdue")
    rebooted = started(ENTRY, boot_id="b2", now_boot_s=20.0)
    assert (rebooted.state, rebooted.deadline_boot_s, rebooted.renewed) == ("trial", 620.0, True)
    assert started(rebooted, boot_id="b3", now_boot_s=20.0).state == "rolled_back"


def test_what_is_confirmed_is_not_counted():
    good = replace(ENTRY, state="good")

    assert started(good, boot_id="b9", now_boot_s=1e9) == good


def test_an_active_file_that_has_rotted_or_a_record_that_is_garbage_is_nothing(tmp_path):
    active = ActiveFiles(tmp_path)
    source = tmp_path / "source"
    source.write_bytes(b"content")
    sha256 = "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"
    active.take_in(source, sha256)
    active.put(CONFIG, Active(sha256, "r1"))
    assert active.holds(sha256)
    assert active.read()[CONFIG].job == "r1"

    active.path(sha256).write_bytes(b"contend")
    (tmp_path / "active.json").write_text('{"format": "trimload-active/1", "entries": {"config": 5}}')

    assert not active.holds(sha256)
    assert active.read() == {}
