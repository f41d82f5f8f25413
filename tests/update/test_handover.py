"""A release goes from the agent's folder to the installer's, and nothing that is not signed and assigned goes along."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from agent.update.boot import Boot, read_boot, write_boot
from agent.update.handover import (
    Intent,
    Outcome,
    lay_out,
    read_intent,
    read_outcome,
    verify_release,
    wheels_to_fetch,
    write_outcome,
)
from agent.update.job import Kind
from agent.update.release import (
    ReleaseFaultError,
    Wheel,
    manifest_json,
    read_manifest,
    release_name,
    wheel_of,
)
from agent.update.source import FolderSource
from agent.update.trust import look
from fleet.publish import publish_agent, release_targets

NUMPY = b"a large wheel that does not change" * 1000


def write_wheels(folder: Path, **contents: bytes) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for name, content in contents.items():
        paths.append(folder / f"{name}-1.0-py3-none-any.whl")
        paths[-1].write_bytes(content)
    return paths


class Gateway:
    """The agent's side (`state`) and the installer's (`own`, `installed`)."""

    def __init__(self, fleet, folder: Path) -> None:
        self.fleet = fleet
        self.metadata, self.files, self.spool = (
            folder / "state" / name for name in ("metadata", "files", "agent")
        )
        self.own, self.installed = folder / "root", folder / "opt" / "wheels"

    def fetch_and_lay_out(self) -> list[int]:
        """What the agent does; lengths of what it fetched."""
        seen = look(FolderSource(self.fleet.path), self.metadata, self.fleet.root, self.fleet.clock.now())
        job = next(j for j in seen.assignment("demo", self.files).jobs if j.kind is Kind.AGENT)
        targets = {target.path: target for target in job.targets}
        path = next(path for path in targets if path.endswith("manifest.json"))
        manifest = read_manifest(seen.fetch(targets[path], self.files).read_bytes())
        missing = wheels_to_fetch(manifest, self.installed)
        fetched = [
            seen.fetch(target, self.files)
            for target in job.targets
            if any(target.sha256 == wheel.sha256 for wheel in missing)
        ]
        lay_out(self.spool, self.metadata, job, self.files, manifest)
        return [path.stat().st_size for path in fetched]

    def verify(self, **changes):
        options = {
            "root": self.fleet.root,
            "own": self.own,
            "site": "demo",
            "installed": self.installed,
            "now": self.fleet.clock.now(),
        }
        return verify_release(self.spool, read_intent(self.spool), **options | changes)


@pytest.fixture
def gateway(fleet, tmp_path):
    """A gateway with release 1.0 installed, to which 1.1 is assigned: one wheel of two is new."""
    gateway = Gateway(fleet, tmp_path)
    write_wheels(gateway.installed, numpy=NUMPY, trimload=b"old agent")
    wheels = write_wheels(tmp_path / "dist", numpy=NUMPY, trimload=b"new agent")
    _, release, _ = publish_agent(fleet.repository, wheels, version="1.1", python="3.11", machine="x86_64")
    fleet.assign(*release_targets(fleet.repository, release), kind=Kind.AGENT, release=release)
    return gateway


def test_a_release_arrives_whole_though_only_its_new_wheel_was_fetched(gateway):
    fetched = gateway.fetch_and_lay_out()

    verified = gateway.verify()

    assert fetched == [len(b"new agent")]
    assert {path.name: path.read_bytes() for path in verified.wheels.iterdir()} == {
        "numpy-1.0-py3-none-any.whl": NUMPY,
        "trimload-1.0-py3-none-any.whl": b"new agent",
    }
    assert verified.manifest.release.startswith("1.1-")
    assert verified.job.release == verified.manifest.release


def test_a_wheel_that_the_agent_has_changed_is_refused(gateway):
    gateway.fetch_and_lay_out()
    wheel = next((gateway.spool / "targets").rglob("*trimload*.whl"))
    wheel.write_bytes(b"evil agent"[:9])

    with pytest.raises(ReleaseFaultError, match="LengthOrHashMismatch"):
        gateway.verify()


def test_an_installed_wheel_that_has_rotted_is_not_taken(gateway):
    gateway.fetch_and_lay_out()
    (gateway.installed / "numpy-1.0-py3-none-any.whl").write_bytes(NUMPY[::-1])

    with pytest.raises(ReleaseFaultError, match="NotThere"):
        gateway.verify()


def test_links_out_of_the_spool_are_not_followed(gateway, tmp_path):
    gateway.fetch_and_lay_out()
    secret = tmp_path / "secret"
    secret.write_bytes(b"new agent")
    wheel = next((gateway.spool / "targets").rglob("*trimload*.whl"))
    wheel.unlink()
    wheel.symlink_to(secret)

    with pytest.raises(ReleaseFaultError, match="NotThere"):
        gateway.verify()


def test_an_older_state_of_the_spool_is_refused_by_the_installers_own_metadata(gateway, tmp_path):
    gateway.fetch_and_lay_out()
    shutil.copytree(gateway.spool, tmp_path / "old")
    gateway.fleet.repository.publish_state()
    gateway.fetch_and_lay_out()
    gateway.verify()
    shutil.rmtree(gateway.spool)
    shutil.copytree(tmp_path / "old", gateway.spool)

    with pytest.raises(ReleaseFaultError, match="BadVersionNumber"):
        gateway.verify()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"job": "another"}, "no agent job"),
        ({"release": "9.9-00000000"}, "does not bring"),
        ({"site": "other"}, "for site 'other'"),
        ({"action": "shell"}, "none that this installer knows"),
        ({"job": 5}, "none that this installer knows"),
        ({"more": 1}, "cannot be read"),
    ],
)
def test_an_intent_that_does_not_fit_what_is_signed_is_refused(gateway, change, said):
    gateway.fetch_and_lay_out()
    path = gateway.spool / "intent.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))

    with pytest.raises(ReleaseFaultError, match=said):
        gateway.verify()


def test_a_manifest_without_its_own_wheels_name_is_refused(tmp_path):
    wheels = [wheel_of(path) for path in write_wheels(tmp_path, a=b"a", b=b"b")]
    release = release_name("1.0", wheels)

    with pytest.raises(ReleaseFaultError, match="not those of"):
        read_manifest(manifest_json(release, "1.0", "3.11", "x86_64", wheels[:1]))
    with pytest.raises(ReleaseFaultError, match="is no wheel"):
        read_manifest(manifest_json(release, "1.0", "3.11", "x86_64", [Wheel("../a.whl", "0" * 64, 1)]))
    with pytest.raises(ReleaseFaultError, match="no name of a release"):
        read_manifest(manifest_json("../1.0", "1.0", "3.11", "x86_64", wheels))
    with pytest.raises(ReleaseFaultError, match="cannot be read"):
        read_manifest(b"{}")


def test_the_installers_outcome_is_heard_for_its_job_only(tmp_path):
    write_outcome(tmp_path, Outcome("r13", "failed", "no room"))

    assert read_outcome(tmp_path, "r13") == Outcome("r13", "failed", "no room")
    assert read_outcome(tmp_path, "r14") is None
    assert read_outcome(tmp_path / "none", "r13") is None


def test_the_boot_record_comes_back_and_garbage_is_none(tmp_path):
    boot = Boot("1.1-aa", "1.0-bb", "trial", "r13", tries=2, boot_id="x", deadline_boot_s=12.5)
    write_boot(tmp_path, boot)

    assert read_boot(tmp_path) == boot
    (tmp_path / "boot.json").write_text('{"format": "trimload-boot/1", "what": 1}')
    assert read_boot(tmp_path) is None
    (tmp_path / "boot.json").write_text("")
    assert read_boot(tmp_path) is None


def test_an_intent_reads_back(gateway):
    gateway.fetch_and_lay_out()

    intent = read_intent(gateway.spool)

    assert intent == Intent(
        "install", "demo", "job1", intent.release, f"agent/{intent.release}/manifest.json"
    )
