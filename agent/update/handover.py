"""An agent release from the agent, which may not write code, to the root-owned installer, which trusts nobody.

The agent lays out what it fetched as a small TUF repository and writes an intent. The installer takes the files
out of the agent's reach and verifies them again from the start, with a root, metadata and site id of its own.
"""

from __future__ import annotations

import json
import shutil
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple

from agent.update.files import flush_changed, sha256_of, write_durably
from agent.update.job import Job, Kind
from agent.update.release import (
    Manifest,
    ReleaseFaultError,
    Wheel,
    manifest_path,
    read_manifest,
    wheel_path,
)
from agent.update.source import FolderSource

if TYPE_CHECKING:
    from agent.update.trust import Look

INTENT_FORMAT = "trimload-intent/1"
INTENT, OUTCOME = "intent.json", "outcome.json"
Action = Literal["install", "confirm", "rollback"]
ACTIONS = ("install", "confirm", "rollback")


class Intent(NamedTuple):
    """What the agent asks the installer for."""

    action: Action
    site: str
    job: str
    release: str
    manifest: str = ""


class Outcome(NamedTuple):
    """What the installer did: `switched` means that the new release starts next."""

    job: str
    outcome: Literal["switched", "confirmed", "rolled_back", "failed"]
    reason: str = ""


class VerifiedRelease(NamedTuple):
    """A release of which every byte is as signed: all its wheels lie in `wheels`, and nothing else does."""

    job: Job
    manifest: Manifest
    wheels: Path


def wheels_to_fetch(manifest: Manifest, installed: Path) -> tuple[Wheel, ...]:
    """Those wheels of a release that are not among the installed ones, byte for byte."""
    return tuple(wheel for wheel in manifest.wheels if not _is_there(wheel, installed))


def lay_out(folder: Path, metadata: Path, job: Job, files: Path, manifest: Manifest) -> None:
    """Make `folder` a repository of what the agent fetched for a job (`files/<sha256>`), then write the intent."""
    for name in ("metadata", "targets"):
        shutil.rmtree(folder / name, ignore_errors=True)
    (folder / OUTCOME).unlink(missing_ok=True)
    export_metadata(metadata, folder / "metadata")
    wanted = [(target.path, target.sha256) for target in job.targets]
    for path, sha256 in [*wanted, *_signed_as(folder / "metadata", f"assign/{job.site}.json")]:
        if (files / sha256).is_file():
            head, _, name = path.rpartition("/")
            place = folder / "targets" / head / f"{sha256}.{name}"
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(files / sha256, place)
    flush_changed(folder, frozenset())
    write_intent(
        folder, Intent("install", job.site, job.id, manifest.release, manifest_path(manifest.release))
    )


def write_intent(folder: Path, intent: Intent) -> None:
    """Ask the installer; the file's appearance starts it."""
    write_durably(folder / INTENT, json.dumps({"format": INTENT_FORMAT, **intent._asdict()}).encode())


def read_intent(folder: Path) -> Intent:
    """What the agent asks for. Raises ReleaseFaultError for anything that is no intent."""
    try:
        body = json.loads((folder / INTENT).read_text(encoding="utf-8"))
        stated = body.pop("format")
        intent = Intent(**body)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ReleaseFaultError(f"the intent cannot be read: {error}") from None
    plain = all(isinstance(value, str) for value in intent)
    if stated != INTENT_FORMAT or not plain or intent.action not in ACTIONS:
        raise ReleaseFaultError("the intent is none that this installer knows")
    return intent


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Tell the agent."""
    write_durably(folder / OUTCOME, json.dumps(outcome._asdict()).encode())


def read_outcome(folder: Path, job: str) -> Outcome | None:
    """What the installer said of a job; None as long as it has not."""
    try:
        outcome = Outcome(**json.loads((folder / OUTCOME).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
    return outcome if outcome.job == job else None


def verify_release(
    folder: Path, intent: Intent, *, root: bytes, own: Path, site: str, installed: Path, now: datetime
) -> VerifiedRelease:
    """Verify again what the agent laid out; for the installer.

    `root` is the installed trusted root, `own` a directory that only the installer may write (metadata that it
    believed before, files), `site` its own knowledge of the site's id, `installed` the folder of installed wheels.
    Raises ReleaseFaultError; where the metadata is not believed its text begins with the reason's code.
    """
    from agent.update.trust import RefusedError, look

    if intent.site != site:
        raise ReleaseFaultError(f"the intent is for site {intent.site!r}, this is {site!r}")
    taken = own / "taken"
    shutil.rmtree(taken, ignore_errors=True)
    # Out of the agent's reach first: what is verified must be what is installed. Links are not followed.
    for name in ("metadata", "targets"):
        if (folder / name).is_dir() and not (folder / name).is_symlink():
            shutil.copytree(folder / name, taken / name, symlinks=True)
    try:
        seen = look(FolderSource(taken), own / "metadata", root, now)
        assignment = seen.assignment(site, own / "files")
        jobs = [] if assignment is None else [each for each in assignment.jobs if each.id == intent.job]
        if not jobs or jobs[0].kind is not Kind.AGENT:
            raise ReleaseFaultError(f"the assignment has no agent job {intent.job!r}")
        return _gather(seen, jobs[0], intent.release, own, installed)
    except RefusedError as error:
        raise ReleaseFaultError(str(error)) from error
    except OSError as error:
        raise ReleaseFaultError(f"a file cannot be read: {error}") from error


def _gather(seen: Look, job: Job, release: str, own: Path, installed: Path) -> VerifiedRelease:
    targets = {target.path: target for target in job.targets}
    path = manifest_path(release)
    if path not in targets:
        raise ReleaseFaultError(f"job {job.id!r} does not bring {release}")
    manifest = read_manifest(seen.fetch(targets[path], own / "files").read_bytes())
    if manifest.release != release:
        raise ReleaseFaultError(f"the manifest is that of {manifest.release}, not of {release}")
    wheels = own / "wheels"
    shutil.rmtree(wheels, ignore_errors=True)
    wheels.mkdir(parents=True)
    for wheel in manifest.wheels:
        target = targets.get(wheel_path(wheel))
        if target is None or target.sha256 != wheel.sha256:
            raise ReleaseFaultError(f"job {job.id!r} does not bring {wheel.file}")
        if _is_there(wheel, installed):
            shutil.copyfile(installed / wheel.file, wheels / wheel.file)
        else:
            shutil.copyfile(seen.fetch(target, own / "files"), wheels / wheel.file)
    flush_changed(wheels, frozenset())
    return VerifiedRelease(job, manifest, wheels)


def export_metadata(metadata: Path, folder: Path) -> None:
    """A client's metadata as a repository serves it: the version before the name."""
    folder.mkdir(parents=True, exist_ok=True)
    for root in sorted((metadata / "root_history").glob("*.root.json")):
        shutil.copyfile(root, folder / root.name)
    for path in metadata.glob("*.json"):
        if path.name == "root.json":
            continue
        content = path.read_bytes()
        version = json.loads(content)["signed"]["version"]
        name = path.name if path.name == "timestamp.json" else f"{version}.{path.name}"
        (folder / name).write_bytes(content)


def _signed_as(metadata: Path, path: str) -> list[tuple[str, str]]:
    """Path and hash of a target as any role of an exported repository signs it."""
    found = []
    for file in metadata.glob("*.json"):
        targets = json.loads(file.read_bytes())["signed"].get("targets", {})
        if path in targets:
            found.append((path, str(targets[path]["hashes"]["sha256"])))
    return found


def _is_there(wheel: Wheel, installed: Path) -> bool:
    path = installed / wheel.file
    try:
        return path.stat().st_size == wheel.length and sha256_of(path) == wheel.sha256
    except OSError:
        return False
