"""What a hostile broker, block server or key thief may try, over a real broker: refused, with its reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from tuf.api.metadata import Metadata, MetaFile, Root, TargetFile

from agent.update.job import Assignment, assignment_json
from agent.update.source import FolderSource
from agent.update.trust import RefusedError, Versions, look
from fleet.keys import make_key, signer_of
from fleet.publish import add_targets, stored_at
from fleet.roles import change_keys

pytestmark = pytest.mark.peers("mosquitto")


class Client:
    """A site that has looked once, and may look again."""

    def __init__(self, fleet, wire, folder: Path, site: str = "demo") -> None:
        self.fleet, self.wire, self.site = fleet, wire, site
        self.metadata, self.files = folder / site / "metadata", folder / site / "files"
        self.root = fleet.root
        self.versions = Versions()

    def look(self, now: datetime | None = None, **options):
        """Assignment and the first job's first file."""
        with self.wire.source(self.site) as source:
            seen = look(
                source,
                self.metadata,
                self.root,
                now or self.fleet.clock.now(),
                **({"known": self.versions} | options),
            )
            self.versions = seen.versions
            assignment = seen.assignment(self.site, self.files)
            if assignment is None or not assignment.jobs:
                return assignment, None
            return assignment, seen.fetch(assignment.jobs[0].targets[0], self.files)

    def refusal(self, now: datetime | None = None, **options) -> RefusedError:
        with pytest.raises(RefusedError) as caught:
            self.look(now, **options)
        return caught.value

    def whole_files(self) -> list[bytes]:
        return [path.read_bytes() for path in self.files.iterdir() if path.suffix != ".part"]


@pytest.fixture
def client(fleet, wire, tmp_path) -> Client:
    target = fleet.publish("models/demo/air.onnx", b"the first model" * 1000)
    fleet.assign(target)
    client = Client(fleet, wire, tmp_path / "site")
    assignment, file = client.look()
    assert (assignment.counter, file.read_bytes()) == (1, b"the first model" * 1000)
    return client


def metadata_file(fleet, role: str) -> Path:
    version = fleet.repository.role(role).signed.version
    return fleet.path / "metadata" / f"{version}.{role}.json"


def test_an_older_timestamp_is_refused(fleet, client):
    timestamp = fleet.path / "metadata" / "timestamp.json"
    old = timestamp.read_bytes()
    fleet.repository.renew_timestamp()
    client.look()

    timestamp.write_bytes(old)

    assert client.refusal().code == "BadVersionNumberError"


def test_an_older_state_is_refused_by_a_site_that_has_lost_its_metadata(fleet, client):
    saved = {path: path.read_bytes() for path in (fleet.path / "metadata").iterdir()}
    fleet.assign(fleet.publish("models/demo/air.onnx", b"newer"))
    client.look()
    for path, content in saved.items():
        path.write_bytes(content)
    for path in client.metadata.glob("*.json"):
        path.unlink()

    assert client.refusal().detail.startswith("timestamp ")


def test_a_site_kept_from_news_refuses_the_old_state_once_it_has_expired(fleet, client):
    fleet.later(days=7, hours=1)

    assert client.refusal().code == "ExpiredMetadataError"


def test_an_old_role_beside_a_new_snapshot_is_refused(fleet, client):
    before = metadata_file(fleet, "assign-demo").read_bytes()
    fleet.assign(fleet.publish("models/demo/air.onnx", b"newer"))

    metadata_file(fleet, "assign-demo").write_bytes(before)

    assert client.refusal().code == "BadVersionNumberError"


def test_a_snapshot_signed_by_a_stranger_is_refused(fleet, client, tmp_path):
    stranger = signer_of(tmp_path / "evil", make_key(tmp_path / "evil", "mallory"))
    fleet.repository.publish_state()
    path = metadata_file(fleet, "snapshot")
    forged = Metadata.from_file(str(path))
    forged.signed.meta["targets.json"] = MetaFile(99)
    forged.sign(stranger)

    path.write_bytes(forged.to_bytes())

    assert client.refusal().code == "UnsignedMetadataError"


def test_a_target_with_one_bit_changed_is_refused_and_leaves_no_file(fleet, client):
    target = fleet.publish("models/demo/air.onnx", b"the second model" * 1000)
    fleet.assign(target)
    stored = stored_at(fleet.path, target.path, target.sha256)
    stored.write_bytes(bytes([stored.read_bytes()[0] ^ 1]) + stored.read_bytes()[1:])

    refused = client.refusal()

    assert refused.code == "LengthOrHashMismatchError"
    assert not (client.files / target.sha256).exists()
    assert not list(client.files.glob("*.part"))


def test_a_target_that_is_longer_than_signed_is_not_even_fetched(fleet, client, wire):
    target = fleet.publish("models/demo/air.onnx", b"the second model")
    fleet.assign(target)
    stored = stored_at(fleet.path, target.path, target.sha256)
    stored.write_bytes(stored.read_bytes() + b"!" * 50_000_000)
    sent_before = wire.server.bytes_sent

    refused = client.refusal()

    assert refused.code == "DownloadLengthMismatchError"
    assert wire.server.bytes_sent - sent_before < 1_000_000


def test_a_source_that_lies_about_the_length_is_cut_off(fleet, client):
    target = fleet.publish("models/demo/air.onnx", b"short")
    fleet.assign(target)

    class Endless(FolderSource):
        def stream(self, path, offset=0):
            stream = super().stream(path, offset)
            if not path.startswith("targets/models"):
                return stream
            return stream._replace(content=iter([b"x"] * 1_000_000))

    seen = look(Endless(fleet.path), client.metadata, client.root, fleet.clock.now())

    with pytest.raises(RefusedError, match="does not end"):
        seen.fetch(target, client.files)


def test_a_role_signed_by_a_revoked_key_is_refused(fleet, client):
    stolen = fleet.key("training")
    fresh = make_key(fleet.keys, "training2")
    change_keys(fleet.repository, "models-demo", add=[fresh], revoke=[stolen.public.keyid])
    fleet.repository.publish_state()
    client.look()
    fleet.publish("models/demo/air.onnx", b"the second model")
    path = metadata_file(fleet, "models-demo")
    forged = Metadata.from_file(str(path))
    forged.sign(signer_of(fleet.keys, stolen))

    path.write_bytes(forged.to_bytes())

    assert client.refusal().code == "UnsignedMetadataError"


def test_a_root_with_one_of_two_signatures_is_refused(fleet, client):
    forged = Metadata[Root].from_file(str(fleet.path / "metadata" / "1.root.json"))
    forged.signed.version = 2
    forged.signed.expires = fleet.clock.now().replace(microsecond=0) + timedelta(days=365)
    forged.sign(signer_of(fleet.keys, fleet.key("root1")))

    (fleet.path / "metadata" / "2.root.json").write_bytes(forged.to_bytes())

    assert client.refusal().code == "UnsignedMetadataError"


def test_a_role_that_signs_outside_its_folder_is_not_heard(fleet, client):
    """The training pipeline's key is stolen and signs a configuration."""

    def edit(signed) -> None:
        signed.targets["config/demo/site.toml"] = TargetFile.from_data(
            "config/demo/site.toml", b"[site]", ["sha256"]
        )

    fleet.repository.change("models-demo", edit)
    fleet.repository.publish_state()

    with client.wire.source() as source:
        seen = look(source, client.metadata, client.root, fleet.clock.now())

        assert seen.signed("models/demo/air.onnx") is not None
        assert seen.signed("config/demo/site.toml") is None


def test_a_signed_model_that_is_not_the_assigned_one_is_refused(fleet, client):
    """An old assignment with a newer model: each is signed, together they are not."""
    fleet.publish("models/demo/air.onnx", b"newer, not assigned")
    for path in client.files.iterdir():
        path.unlink()

    assert client.refusal().code == "NotAsAssigned"


def test_the_role_of_another_site_does_not_pass_for_ours(fleet, client, tmp_path):
    fleet.assign(fleet.publish("models/other/air.onnx", b"for the other", "other"), site="other")
    metadata_file(fleet, "assign-demo").write_bytes(metadata_file(fleet, "assign-other").read_bytes())
    fresh = Client(fleet, client.wire, tmp_path / "fresh")

    # Same key, same version: but what it signs is the path of the other site.
    assert fresh.look() == (None, None)


def test_an_assignment_replayed_from_another_site_is_refused(fleet, client):
    body = assignment_json(Assignment("other", 9, ()))
    add_targets(fleet.repository, "assign-demo", {"assign/demo.json": body})
    fleet.repository.publish_state()

    refused = client.refusal()

    assert (refused.code, refused.detail) == (
        "BadAssignment",
        "the assignment is for site 'other', this is 'demo'",
    )


def test_a_site_is_not_served_the_files_of_another(fleet, client, wire, tmp_path):
    fleet.assign(fleet.publish("models/demo/secret.onnx", b"secret"))
    spy = Client(fleet, wire, tmp_path / "spy", "other")

    with wire.source("other") as source:
        seen = look(source, spy.metadata, spy.root, fleet.clock.now())
        with pytest.raises(RefusedError, match="DownloadHTTPError"):
            seen.signed("models/demo/secret.onnx")


@pytest.mark.parametrize(
    ("year", "code"), [(1970, "ClockBehind"), (2040, "ExpiredMetadataError")], ids=["1970", "2040"]
)
def test_a_clock_that_is_wrong_by_decades_stops_updates(fleet, client, year, code):
    assert client.refusal(datetime(year, 1, 2, tzinfo=UTC)).code == code


def test_a_clock_behind_the_last_time_that_was_believed_stops_updates(fleet, client):
    believed = fleet.clock.now() + timedelta(days=3)

    assert client.refusal(floor=believed).code == "ClockBehind"


def test_a_repository_that_is_no_repository_is_refused(fleet, client):
    (fleet.path / "metadata" / "timestamp.json").write_bytes(json.dumps({"signed": []}).encode())

    assert client.refusal().code == "DeserializationError"


def test_after_every_refusal_the_next_honest_state_is_taken(fleet, client):
    timestamp = fleet.path / "metadata" / "timestamp.json"
    honest = timestamp.read_bytes()
    timestamp.write_bytes(b"garbage")
    client.refusal()

    timestamp.write_bytes(honest)
    fleet.assign(fleet.publish("models/demo/air.onnx", b"the second model"))
    assignment, file = client.look()

    assert (assignment.counter, file.read_bytes()) == (2, b"the second model")
