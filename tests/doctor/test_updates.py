"""What the doctor says of updates: whether anything would be believed here, and what became of the last look."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent.config.load import load_site
from agent.doctor.finding import Level
from agent.doctor.updates import updates
from tests.update.site_under_test import site_text


@pytest.fixture
def places(tmp_path: Path, fleet):
    """A site with [updates] and its root, a state directory, and what is root's own."""
    file, etc, state = tmp_path / "site.toml", tmp_path / "etc", tmp_path / "state"
    file.write_text(site_text(), encoding="utf-8")
    (tmp_path / "root.json").write_bytes(fleet.root)
    (etc / "trust").mkdir(parents=True)
    (etc / "trust" / "root.json").write_bytes(fleet.root)
    (state / "update").mkdir(parents=True)
    return file, state, etc


def found(places, *, installed: bool = True) -> list[tuple[Level, str]]:
    file, state, etc = places
    return [(each.level, each.what) for each in updates(load_site(file), state, etc, installed=installed)]


def test_sound_roots_and_a_believed_look_are_well(places):
    told = {"trust": {"refused": "", "unreachable": "", "refreshed_at": "2026-12-01T08:00:00Z"}}
    (places[1] / "update" / "status.json").write_text(json.dumps(told))

    rows = found(places)

    assert [level for level, _ in rows] == [Level.OK] * 3
    assert rows[2][1] == "the repository was believed at 2026-12-01T08:00:00Z"


def test_a_root_that_its_own_keys_have_not_signed_is_found(places, fleet):
    body = json.loads(fleet.root)
    body["signatures"] = body["signatures"][:1]
    (places[0].parent / "root.json").write_text(json.dumps(body))

    level, what = found(places)[0]

    assert (level, "is no root signed by its own keys (UnsignedMetadataError)" in what) == (Level.WARN, True)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"signed": 1}', b"\xff"])
def test_what_is_no_root_at_all_is_found(places, content):
    (places[0].parent / "root.json").write_bytes(content)

    assert found(places)[0][0] is Level.WARN


def test_roots_own_root_is_asked_for_where_releases_are_taken_and_a_release_runs(places):
    (places[2] / "trust" / "root.json").unlink()

    rows = found(places)

    assert (rows[1][0], "releases of the agent are refused" in rows[1][1]) == (Level.WARN, True)
    assert len(found(places, installed=False)) == 1


@pytest.mark.parametrize(
    ("refused", "unreachable", "said"),
    [
        ("ExpiredMetadataError: x", "", "was not believed: Expired"),
        ("", "no answer for 60 s", "out of reach: no answer"),
    ],
)
def test_a_last_look_that_came_to_nothing_is_told(places, refused, unreachable, said):
    trust = {"refused": refused, "unreachable": unreachable, "refreshed_at": None}
    (places[1] / "update" / "status.json").write_text(json.dumps({"trust": trust}))

    level, what = found(places)[-1]

    assert (level, said in what) == (Level.WARN, True)


def test_a_site_without_updates_is_told_so(places):
    places[0].write_text(site_text(updates=""), encoding="utf-8")

    assert found(places) == [(Level.OK, "no [updates]: nothing here is ever replaced from outside")]
