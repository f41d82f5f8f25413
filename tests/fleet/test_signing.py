"""Keys, thresholds and rotations: what is published only once enough holders have signed, and what sites follow."""

from __future__ import annotations

import json
import shutil
import stat
from pathlib import Path

import pytest

from agent.clock import WallClock
from agent.errors import DataError
from agent.update.job import Job, Kind, Target
from agent.update.source import FolderSource
from agent.update.trust import look
from fleet.cli import main
from fleet.commands.trust import renew
from fleet.keys import SigningKeyError, import_key, key_named, keys_in, make_key, signer_of
from fleet.publish import (
    add_targets,
    assign,
    current_assignment,
    next_counter,
    publish_config,
    publish_model,
    stored_at,
    withdraw,
)
from fleet.roles import change_keys, expiries
from fleet.signing import Repository, RepositoryFaultError
from tests.update.conftest import Fleet

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def made_once(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("fleet")
    Fleet(folder).begin()
    return folder


@pytest.fixture
def fleet(tmp_path: Path, made_once: Path) -> Fleet:
    shutil.copytree(made_once, tmp_path / "fleet")
    return Fleet(tmp_path / "fleet")


def seen_by_a_site(fleet: Fleet, metadata: Path, **options):
    return look(FolderSource(fleet.path), metadata, fleet.root, fleet.clock.now(), **options)


def holder(fleet: Fleet, folder: Path, *names: str) -> Repository:
    """The same repository with some keys only."""
    rows = json.loads((fleet.keys / "keys.json").read_text())
    folder.mkdir()
    (folder / "keys.json").write_text(json.dumps({name: rows[name] for name in names}))
    for name in names:
        shutil.copy(fleet.keys / f"{name}.pem", folder)
    return Repository(fleet.path, folder, fleet.clock)


def test_a_site_that_was_away_for_three_rotations_of_every_key_follows(fleet, tmp_path):
    before = seen_by_a_site(fleet, tmp_path / "metadata").versions
    for turn in (1, 2, 3):
        for role in ("root", "timestamp", "snapshot", "targets", "agent", "models-demo", "assign-demo"):
            fresh = [make_key(fleet.keys, f"{role}-{turn}")]
            if role == "root":
                fresh.append(make_key(fleet.keys, f"{role}-{turn}b"))
            change_keys(fleet.repository, role, add=fresh, revoke=fleet.repository.keyids(role)[0])
        fleet.repository.publish_state()
        fleet.later(days=90)
    target = fleet.publish("models/demo/air.onnx", b"after three rotations")
    fleet.assign(target)
    for role in ("targets", "agent", "models-demo", "config-demo"):
        fleet.repository.change(role, lambda _: None)
    fleet.repository.publish_state()

    seen = seen_by_a_site(fleet, tmp_path / "metadata", known=before)

    # Per turn a new root for each of the roles root, timestamp, snapshot and targets.
    assert seen.versions.root == 1 + 3 * 4
    assert seen.assignment("demo", tmp_path / "files").counter == 1
    assert seen.fetch(target, tmp_path / "files").read_bytes() == b"after three rotations"


def test_a_new_root_is_published_only_once_two_holders_have_signed_it(fleet, tmp_path):
    fresh = make_key(fleet.keys, "online2")
    first, second = (holder(fleet, tmp_path / name, name) for name in ("root1", "root2"))
    old = fleet.repository.keyids("timestamp")[0]

    outcome = change_keys(first, "timestamp", add=[fresh], revoke=old)[0]
    assert (outcome.published, outcome.missing) == (False, 1)
    assert fleet.key("root2").public.keyid in outcome.may_sign
    assert not (fleet.path / "metadata" / "2.root.json").exists()
    with pytest.raises(RepositoryFaultError, match="waits for signatures already"):
        change_keys(first, "snapshot", add=[fresh])

    assert second.sign_staged("root").published
    assert (fleet.path / "metadata" / "2.root.json").exists()
    assert not list(fleet.repository.staged.iterdir())


def test_a_signature_of_a_stranger_does_not_count(fleet, tmp_path):
    stranger = make_key(tmp_path / "evil", "mallory")
    evil = Repository(fleet.path, tmp_path / "evil", fleet.clock)

    outcome = change_keys(evil, "timestamp", add=[stranger])[0]

    assert (outcome.published, outcome.missing) == (False, 2)


def test_a_key_cannot_be_revoked_below_the_threshold(fleet):
    ids = fleet.repository.keyids("root")[0]

    with pytest.raises(RepositoryFaultError, match="left with 1 keys, it needs 2"):
        change_keys(fleet.repository, "root", revoke=ids[:2])
    with pytest.raises(RepositoryFaultError, match="no key of 'root'"):
        change_keys(fleet.repository, "root", revoke=["00" * 32])


def test_what_a_stolen_online_key_had_pushed_ahead_is_forgotten_with_a_new_root(fleet, tmp_path):
    """A thief signed timestamp 1000; with the key revoked, sites go on from small numbers again."""
    fleet.repository._issue("timestamp", fleet.repository.role("timestamp"), 1000)
    seen = seen_by_a_site(fleet, tmp_path / "metadata").versions
    assert seen.timestamp == 1000
    fresh = make_key(fleet.keys, "online2")
    for role in ("timestamp", "snapshot"):
        change_keys(fleet.repository, role, add=[fresh], revoke=fleet.repository.keyids(role)[0])
    fleet.repository._issue("timestamp", fleet.repository.role("timestamp"), 5)
    fleet.repository.publish_state()

    again = seen_by_a_site(fleet, tmp_path / "metadata", known=seen).versions

    assert again.root == 3
    assert again.timestamp < 1000


def test_private_keys_are_for_their_owner_alone_and_are_never_overwritten(tmp_path):
    key = make_key(tmp_path / "keys", "root1")

    assert stat.S_IMODE((tmp_path / "keys" / "root1.pem").stat().st_mode) == 0o600
    assert "PRIVATE" not in (tmp_path / "keys" / "keys.json").read_text()
    with pytest.raises(SigningKeyError, match="already"):
        make_key(tmp_path / "keys", "root1")
    with pytest.raises(SigningKeyError, match="no name"):
        make_key(tmp_path / "keys", "../root1")
    assert signer_of(tmp_path / "keys", key).public_key == key.public


@pytest.mark.parametrize("scheme", ["ecdsa", "rsa", "mldsa"])
def test_keys_of_other_schemes_sign_too(tmp_path, scheme):
    key = make_key(tmp_path, "k", scheme)

    signature = signer_of(tmp_path, key).sign(b"payload")

    keys_in(tmp_path)["k"].public.verify_signature(signature, b"payload")


def test_a_key_elsewhere_is_taken_in_by_its_uri_and_says_what_it_lacks(tmp_path):
    known = make_key(tmp_path / "there", "k").public
    public = tmp_path / "public.json"
    public.write_text(json.dumps({"keyid": known.keyid, **known.to_dict()}))

    key = import_key(tmp_path / "here", "root1", "awskms:alias/root1", public)

    assert key_named(tmp_path / "here", "root1") == key
    with pytest.raises(SigningKeyError, match="cannot sign"):
        signer_of(tmp_path / "here", key)
    with pytest.raises(SigningKeyError, match="no signer for 'floppy'"):
        import_key(tmp_path / "here", "root2", "floppy:1", public)
    with pytest.raises(SigningKeyError, match="does not give its public key"):
        import_key(tmp_path / "here", "root2", "hsm:2")


def test_short_lived_roles_are_renewed_before_they_expire_and_others_are_named(fleet):
    fleet.later(days=5)
    soonest = expiries(fleet.repository)[0]
    assert (soonest.role, soonest.left_s) == ("snapshot", 2 * 86_400.0)

    renew(fleet.repository, 3 * 86_400.0)

    assert expiries(fleet.repository)[0].left_s == 7 * 86_400.0
    fleet.later(days=28)
    assert {o.role for o in renew(fleet.repository, 3 * 86_400.0)} == {"assign-demo", "assign-other"}


def test_a_change_made_without_the_online_keys_is_published_by_the_next_renewal(fleet, tmp_path):
    offline = holder(fleet, tmp_path / "training", "training")
    add_targets(offline, "models-demo", {"models/demo/a.onnx": b"model"})
    assert not fleet.repository.state_is_published()

    renew(fleet.repository, 0.0)

    assert seen_by_a_site(fleet, tmp_path / "metadata").signed("models/demo/a.onnx") is not None


def test_a_job_replaces_the_open_one_of_its_kind_and_counters_only_rise(fleet):
    model = Target("models/demo/air.onnx", "ab" * 32, 5)
    config = Target("config/demo/site.toml", "cd" * 32, 5)
    fleet.assign(model)
    fleet.assign(config, kind=Kind.CONFIG)
    fleet.assign(model, id="again")

    now = current_assignment(fleet.repository, "demo")
    assert [(job.id, job.counter) for job in now.jobs] == [("job2", 2), ("again", 3)]
    with pytest.raises(RepositoryFaultError, match="counter 3"):
        assign(fleet.repository, "demo", Job("x", Kind.MODEL, "demo", 3, "r", (model,)))
    withdraw(fleet.repository, "demo", Kind.MODEL)
    assert [job.id for job in current_assignment(fleet.repository, "demo").jobs] == ["job2"]
    assert next_counter(fleet.repository, "demo") == 5


def test_what_a_site_would_refuse_is_not_published(fleet):
    with pytest.raises(DataError, match="refuse this model"):
        publish_model(fleet.repository, "demo", b"no ONNX")
    with pytest.raises(DataError, match="refuse it"):
        publish_config(fleet.repository, "demo", b'[site]\nid = "demo"\n')
    text = (ROOT / "examples" / "station_7bar" / "site.toml").read_bytes()
    with pytest.raises(DataError, match="not 'demo'"):
        publish_config(fleet.repository, "demo", text)


def test_the_commands_take_a_fleet_from_nothing_to_a_job(tmp_path, capsys):
    repo, keys = str(tmp_path / "repo"), str(tmp_path / "keys")
    places = ["--repo", repo, "--keys", keys]
    text = (ROOT / "examples" / "station_7bar" / "site.toml").read_text()
    site = next(line.split('"')[1] for line in text.splitlines() if line.startswith("id ="))
    (tmp_path / "site.toml").write_text(text)

    assert main(["keys", "init", *places, "--make-keys"]) == 0
    assert main(["keys", "enrol", *places, site]) == 0
    assert main(["publish", "config", *places, site, str(tmp_path / "site.toml"), "--assign"]) == 0
    assert main(["keys", "new", "--keys", keys, "online2"]) == 0
    assert main(["rotate", *places, "--role", "timestamp", "--new", "online2"]) == 0
    assert main(["expiry", *places]) == 0
    assert main(["expiry", *places, "--days", "8"]) == 1
    capsys.readouterr()
    assert main(["keys", "list", *places, "--json"]) == 0

    roles = {row["role"]: row for row in json.loads(capsys.readouterr().out)}
    assert roles["root"]["version"] == 2
    assert roles["timestamp"]["here"] == ["online2"]
    root = (tmp_path / "repo" / "metadata" / "1.root.json").read_bytes()
    seen = look(FolderSource(tmp_path / "repo"), tmp_path / "md", root, WallClock().now())
    job = seen.assignment(site, tmp_path / "files").jobs[0]
    assert (job.kind, job.id) == (Kind.CONFIG, f"{site}-config-1")
    assert seen.fetch(job.targets[0], tmp_path / "files").read_text() == text


def test_commands_say_what_is_wrong(tmp_path, capsys):
    assert main(["keys", "list", "--repo", str(tmp_path)]) == 2
    assert "begin one" in capsys.readouterr().err
    assert main(["nonsense"]) == 2
    assert main([]) == 0


def test_equal_files_are_stored_once_and_signed_once(fleet):
    first = fleet.publish("models/demo/air.onnx", b"model")
    version = fleet.repository.role("models-demo").signed.version

    fleet.publish("models/demo/air.onnx", b"model")

    assert fleet.repository.role("models-demo").signed.version == version
    assert stored_at(fleet.path, first.path, first.sha256).read_bytes() == b"model"
