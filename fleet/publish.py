"""Put models, configurations, agent releases and assignments into the repository, checked as a site would.

Nothing is seen by a site before `Repository.publish_state`: one call for as many changes as belong together.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from tuf.api.metadata import TargetFile, Targets

from agent.config.load import SiteErrors, load_site
from agent.errors import DataError
from agent.inference.model import ModelRefusedError, load_model
from agent.update.files import write_durably
from agent.update.job import Assignment, Job, Kind, Target, assignment_json, read_assignment
from agent.update.release import manifest_json, manifest_path, release_name, wheel_of, wheel_path
from fleet.keys import NamedKey
from fleet.roles import delegate
from fleet.signing import Outcome, Repository, RepositoryFaultError


class SiteKeys(NamedTuple):
    """Who signs for a site."""

    models: Sequence[NamedKey]
    config: Sequence[NamedKey]
    assign: Sequence[NamedKey]


def enrol(repository: Repository, sites: Iterable[str], keys: SiteKeys) -> list[Outcome]:
    """Delegations for new sites, in one new version of `targets`."""
    roles: dict[str, tuple[Sequence[str], Sequence[NamedKey], int]] = {}
    for site in sites:
        roles[f"models-{site}"] = ([f"models/{site}/*"], keys.models, 1)
        roles[f"config-{site}"] = ([f"config/{site}/*"], keys.config, 1)
        roles[f"assign-{site}"] = ([f"assign/{site}.json"], keys.assign, 1)
    return delegate(repository, roles)


def delegate_agent(repository: Repository, keys: Sequence[NamedKey], threshold: int = 1) -> list[Outcome]:
    """The role that signs agent releases for every site."""
    return delegate(repository, {"agent": (["agent/*/*", "agent/wheels/*/*"], keys, threshold)})


def publish_model(repository: Repository, site: str, model_bytes: bytes) -> tuple[Outcome, Target]:
    """A model for a site, under the name of its forecast target. Raises DataError if a gateway would refuse it."""
    try:
        model = load_model(model_bytes)
    except ModelRefusedError as error:
        raise DataError(
            f"a gateway would refuse this model: {error}", where="the ONNX file", fix="fit it again"
        ) from error
    path = f"models/{site}/{model.contract.target}.onnx"
    outcome, targets = add_targets(repository, f"models-{site}", {path: model_bytes})
    return outcome, targets[0]


def publish_config(repository: Repository, site: str, text: bytes) -> tuple[Outcome, Target]:
    """A site.toml. Raises DataError if it is another site's or `trimload check` finds a fault."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "site.toml"
        file.write_bytes(text)
        try:
            found = load_site(file)
        except SiteErrors as error:
            raise DataError(
                f"the site would refuse it: {error.what}", where=error.where, fix=error.fix
            ) from error
    if found.site.id != site:
        raise DataError(
            f"the file is for site {found.site.id!r}, not {site!r}",
            where="[site] id",
            fix="name the right file",
        )
    outcome, targets = add_targets(repository, f"config-{site}", {f"config/{site}/site.toml": text})
    return outcome, targets[0]


def publish_agent(
    repository: Repository, wheels: Sequence[Path], *, version: str, python: str, machine: str
) -> tuple[Outcome, str, tuple[Target, ...]]:
    """An agent release: a lock manifest and every wheel as a target of its own. Gives its name and its targets."""
    rows = tuple(wheel_of(path) for path in sorted(wheels, key=lambda p: p.name))
    release = release_name(version, rows)
    manifest = manifest_json(release, version, python, machine, rows)
    files: dict[str, bytes | Path] = {manifest_path(release): manifest}
    for row, path in zip(rows, sorted(wheels, key=lambda p: p.name), strict=True):
        files[wheel_path(row)] = path
    outcome, targets = add_targets(repository, "agent", files)
    return outcome, release, targets


def add_targets(
    repository: Repository, role: str, files: Mapping[str, bytes | Path]
) -> tuple[Outcome, tuple[Target, ...]]:
    """Take files in and sign for them. A file that is there already under the same hash costs nothing."""
    signed = repository.role(role).signed
    new: dict[str, TargetFile] = {}
    for path, content in files.items():
        body = content if isinstance(content, bytes) else content.read_bytes()
        new[path] = TargetFile.from_data(path, body, ["sha256"])
        place = stored_at(repository.path, path, new[path].hashes["sha256"])
        if not place.exists():
            write_durably(place, body)
    targets = tuple(Target(path, file.hashes["sha256"], file.length) for path, file in new.items())
    if all(path in signed.targets and signed.targets[path] == file for path, file in new.items()):
        return Outcome(role, signed.version, published=True, missing=0, may_sign=()), targets

    def edit(targets: Targets) -> None:
        targets.targets |= new

    return repository.change(role, edit), targets


def stored_at(repository: Path, path: str, sha256: str) -> Path:
    """Where a target's bytes lie: below targets/, the hash before its name."""
    folder, _, name = path.rpartition("/")
    return repository / "targets" / folder / f"{sha256}.{name}"


def targets_of(repository: Repository, role: str, paths: Sequence[str]) -> tuple[Target, ...]:
    """Targets as they are signed now. Raises RepositoryFaultError for one that is not."""
    signed = repository.role(role).signed.targets
    missing = [path for path in paths if path not in signed]
    if missing:
        raise RepositoryFaultError(
            f"{missing[0]} is not signed by {role!r}", where=str(repository.path), fix="publish it first"
        )
    return tuple(Target(path, signed[path].hashes["sha256"], signed[path].length) for path in paths)


def release_targets(repository: Repository, release: str) -> tuple[Target, ...]:
    """Manifest and wheels of a published agent release."""
    manifest = targets_of(repository, "agent", [manifest_path(release)])[0]
    body = json.loads(stored_at(repository.path, manifest.path, manifest.sha256).read_bytes())
    paths = [f"agent/wheels/{row['sha256'][:16]}/{row['file']}" for row in body["wheels"]]
    return (manifest, *targets_of(repository, "agent", paths))


def current_assignment(repository: Repository, site: str) -> Assignment:
    """What a site is told now; no jobs where it was never told anything."""
    path = f"assign/{site}.json"
    target = repository.role(f"assign-{site}").signed.targets.get(path)
    if target is None:
        return Assignment(site, 0, ())
    content = stored_at(repository.path, path, target.hashes["sha256"]).read_bytes()
    return read_assignment(content, site)


def assign(repository: Repository, site: str, job: Job) -> Outcome:
    """Give a site a job, in place of its open one of that kind. `job.counter` must be `next_counter`."""
    now = current_assignment(repository, site)
    if job.site != site or job.counter <= now.counter:
        raise RepositoryFaultError(
            f"job {job.id!r} has site {job.site!r} and counter {job.counter}; {site!r} is at {now.counter}",
            where=f"assign/{site}.json",
            fix="take the counter from next_counter",
        )
    others = tuple(each for each in now.jobs if each.kind is not job.kind)
    return _put(repository, Assignment(site, job.counter, (*others, job)))


def withdraw(repository: Repository, site: str, kind: Kind) -> Outcome:
    """Take a site's job of that kind back: it ends as cancelled unless it is being installed."""
    now = current_assignment(repository, site)
    return _put(
        repository, Assignment(site, now.counter + 1, tuple(job for job in now.jobs if job.kind is not kind))
    )


def next_counter(repository: Repository, site: str) -> int:
    """The counter that the next job of a site has to carry."""
    return current_assignment(repository, site).counter + 1


def _put(repository: Repository, assignment: Assignment) -> Outcome:
    path, content = f"assign/{assignment.site}.json", assignment_json(assignment)
    read_assignment(content, assignment.site)
    return add_targets(repository, f"assign-{assignment.site}", {path: content})[0]


def site_of(text: bytes) -> str:
    """The id in a site.toml, unchecked. Raises DataError."""
    try:
        return str(tomllib.loads(text.decode("utf-8-sig"))["site"]["id"])
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"no [site] id: {error}", where="site.toml", fix="name a site file") from error


def fingerprint(content: bytes) -> str:
    """Hash as people compare it."""
    return hashlib.sha256(content).hexdigest()
