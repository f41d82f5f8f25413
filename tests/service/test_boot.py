"""The rules of a trial, on times worked by hand."""

import json
from pathlib import Path

import pytest

from agent.update.boot import (
    Boot,
    begin_trial,
    confirmed,
    counted,
    read_boot,
    rolled_back,
    watched,
    write_boot,
)

OLD, NEW = "1.0.0-aaaaaaaa", "1.1.0-bbbbbbbb"
# On trial from second 1000 of this run of the machine, for 600 s.
TRIAL = begin_trial(OLD, NEW, job="r1", trial_s=600.0, boot_id="first", now_boot_s=1000.0)


def test_a_release_on_trial_may_start_three_times_and_the_fourth_start_is_the_release_before():
    boots = [TRIAL]

    for second in (1001.0, 1010.0, 1020.0, 1030.0):
        boots.append(counted(boots[-1], boot_id="first", now_boot_s=second))

    assert [boot.tries for boot in boots[1:4]] == [1, 2, 3]
    assert [boot.release for boot in boots[1:]] == [NEW, NEW, NEW, OLD]
    assert boots[-1].state == "rolled_back"
    assert boots[-1].previous == NEW
    assert "crash loop" in boots[-1].reason
    assert boots[-1].job == "r1"


def test_a_trial_is_overdue_at_its_deadline_and_not_a_second_before():
    before = watched(TRIAL, boot_id="first", now_boot_s=1599.9)
    at = watched(TRIAL, boot_id="first", now_boot_s=1600.0)

    assert before == TRIAL
    assert (at.release, at.state) == (OLD, "rolled_back")
    assert "600 s" in at.reason


def test_a_restart_of_the_machine_begins_the_span_anew_once():
    # After the restart the boot clock is at 20 s: due at 620.
    once = counted(TRIAL, boot_id="second", now_boot_s=20.0)
    late = watched(once, boot_id="second", now_boot_s=619.0)
    twice = counted(once, boot_id="third", now_boot_s=15.0)

    assert (once.deadline_boot_s, once.renewed, once.tries) == (620.0, True, 1)
    assert late == once
    assert (twice.release, twice.state) == (OLD, "rolled_back")


def test_a_confirmed_release_is_never_counted_nor_overdue():
    good = confirmed(counted(TRIAL, boot_id="first", now_boot_s=1001.0))

    later = counted(good, boot_id="ninth", now_boot_s=9e6)

    assert later == good
    assert (good.release, good.state) == (NEW, "good")


def test_the_first_release_ever_has_nothing_to_go_back_to():
    first = Boot(NEW, state="trial", max_tries=1, tries=1, boot_id="first", deadline_boot_s=5.0)

    assert rolled_back(first, "why") == first
    assert counted(first, boot_id="first", now_boot_s=6.0).release == NEW


def test_the_record_survives_the_disk(tmp_path: Path):
    write_boot(tmp_path, TRIAL)

    assert read_boot(tmp_path) == TRIAL
    # A whole number where a float is meant is what other writers of JSON make of 1600.0.
    body = json.loads((tmp_path / "boot.json").read_text(encoding="utf-8"))
    (tmp_path / "boot.json").write_text(json.dumps({**body, "deadline_boot_s": 1600}), encoding="utf-8")
    assert read_boot(tmp_path) == TRIAL


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        '{"format": "trimload-boot/2", "release": "1"}',
        '{"format": "trimload-boot/1"}',
        '{"format": "trimload-boot/1", "release": ""}',
        '{"format": "trimload-boot/1", "release": "1", "state": "odd"}',
        '{"format": "trimload-boot/1", "release": "1", "tries": "many"}',
        '{"format": "trimload-boot/1", "release": "1", "unknown": 1}',
    ],
)
def test_a_damaged_record_is_no_record(tmp_path: Path, content: str):
    (tmp_path / "boot.json").write_text(content, encoding="utf-8")

    assert read_boot(tmp_path) is None
