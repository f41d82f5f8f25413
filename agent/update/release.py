"""An agent release: a set of wheels, named by what it holds, and how it is handed to the root-owned installer."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from agent.update.files import sha256_of

MANIFEST_FORMAT = "trimload-release/1"
_WHEEL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{1,150}\.whl")
_VERSION = re.compile(r"[0-9][A-Za-z0-9.+!]{0,40}")
_RELEASE = re.compile(r"[0-9][A-Za-z0-9.+!]{0,40}-[0-9a-f]{8}")


class ReleaseFaultError(Exception):
    """A manifest, wheel or intent that cannot be what it claims to be."""


class Wheel(NamedTuple):
    """One wheel, exactly."""

    file: str
    sha256: str
    length: int


class Manifest(NamedTuple):
    """The lock of a release: these wheels and no others, for this Python on this machine."""

    release: str
    version: str
    python: str
    machine: str
    wheels: tuple[Wheel, ...]


def wheel_of(path: Path) -> Wheel:
    """A wheel file as the manifest names it. Raises OSError."""
    return Wheel(path.name, sha256_of(path), path.stat().st_size)


def wheel_path(wheel: Wheel) -> str:
    """The wheel's target path: equal wheels of two releases are one target."""
    return f"agent/wheels/{wheel.sha256[:16]}/{wheel.file}"


def manifest_path(release: str) -> str:
    """The manifest's target path."""
    return f"agent/{release}/manifest.json"


def release_name(version: str, wheels: Sequence[Wheel]) -> str:
    """`<version>-<hash>`: another set of wheels is another release, whatever its version says."""
    rows = "\n".join(sorted(f"{wheel.sha256} {wheel.file}" for wheel in wheels))
    return f"{version}-{hashlib.sha256(rows.encode()).hexdigest()[:8]}"


def manifest_json(release: str, version: str, python: str, machine: str, wheels: Sequence[Wheel]) -> bytes:
    """The manifest's bytes."""
    body = {
        "format": MANIFEST_FORMAT,
        "release": release,
        "version": version,
        "python": python,
        "machine": machine,
        "wheels": [wheel._asdict() for wheel in wheels],
    }
    return json.dumps(body, indent=1, sort_keys=True).encode()


def read_manifest(content: bytes) -> Manifest:
    """A manifest, its name and its wheels' names checked. Raises ReleaseFaultError."""
    try:
        body: Any = json.loads(content)
        wheels = tuple(
            Wheel(str(row["file"]), str(row["sha256"]), int(row["length"])) for row in body["wheels"]
        )
        release, version, python, machine = (
            str(body[key]) for key in ("release", "version", "python", "machine")
        )
        manifest = Manifest(release, version, python, machine, wheels)
        stated = body["format"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ReleaseFaultError(f"the manifest cannot be read: {error}") from None
    if stated != MANIFEST_FORMAT:
        raise ReleaseFaultError(f"the manifest has the format {stated!r}, not {MANIFEST_FORMAT}")
    if not _VERSION.fullmatch(manifest.version) or not _RELEASE.fullmatch(manifest.release):
        raise ReleaseFaultError(f"{manifest.release!r} is no name of a release")
    strange = [wheel.file for wheel in wheels if not _WHEEL.fullmatch(wheel.file)]
    if strange or not wheels:
        raise ReleaseFaultError(f"{strange[0]!r} is no wheel" if strange else "the manifest has no wheels")
    if release_name(manifest.version, wheels) != manifest.release:
        raise ReleaseFaultError(f"the wheels are not those of {manifest.release}")
    return manifest
