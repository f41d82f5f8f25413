"""From a manifest and its wheels to a release folder, without a network.

The folder is a Python environment at its final path. pip comes from a wheel of the manifest itself and is not
installed: a gateway needs neither pip nor ensurepip of its own. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path

from agent.update.files import flush_directory, move_durably, sha256_of, write_durably
from agent.update.place import MANIFEST, Place
from agent.update.release import Manifest, ReleaseFaultError, Wheel, manifest_json, read_manifest

_PIP_INSTALL = (
    *("--isolated", "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--no-cache-dir"),
    *("--disable-pip-version-check", "--root-user-action=ignore"),
)
_COMPILE = ("-m", "compileall", "-qq", "-j", "2", "--invalidation-mode", "unchecked-hash", "-x", r"/tests?/")
# Unpacked and compiled, next to the copy in ROOT/wheels.
_SPACE_FACTOR = 6
_STEP_LIMIT_S = 900


class BuildError(Exception):
    """The release cannot be built; nothing that runs was touched."""


def manifest_in(path: Path) -> Manifest:
    """The manifest in a file. Raises BuildError for anything that is not one."""
    try:
        return read_manifest(path.read_bytes())
    except (OSError, ReleaseFaultError) as error:
        raise BuildError(f"{path}: {error}") from None


def build(place: Place, manifest: Manifest, sources: Iterable[Path], *, python: str = sys.executable) -> bool:
    """Make `manifest.release` a complete release, from wheels in `sources` or ROOT/wheels; False when it was.

    Raises BuildError; a half-built folder is then removed, or was never there.
    """
    if place.is_complete(manifest.release):
        return False
    _require_fit(manifest)
    folder = place.releases / manifest.release
    for directory in (place.root, place.releases, place.wheels):
        directory.mkdir(parents=True, exist_ok=True)
    _require_space(place, manifest)
    wheels = [_take_in(place, wheel, sources) for wheel in manifest.wheels]
    tools = [path for path in wheels if path.name.startswith("pip-")]
    if len(tools) != 1:
        raise BuildError(f"{manifest.release} needs exactly one wheel of pip, and has {len(tools)}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _build_into(folder, python, tools[0], [path for path in wheels if path not in tools])
    except (BuildError, OSError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise BuildError(str(error)) from None
    # One flush of the whole file system: thousands of single ones would take minutes on a slow disk.
    _run(["sync", "-f", str(folder)])
    write_durably(folder / MANIFEST, manifest_json(*manifest))
    flush_directory(place.releases)
    return True


def _require_fit(manifest: Manifest) -> None:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if manifest.python != here:
        raise BuildError(
            f"{manifest.release} is for Python {manifest.python}, this gateway has {here}: take the bundle for {here}"
        )
    if manifest.machine != os.uname().machine:
        raise BuildError(
            f"{manifest.release} is for {manifest.machine}, this gateway is {os.uname().machine}"
        )


def _require_space(place: Place, manifest: Manifest) -> None:
    needed = _SPACE_FACTOR * sum(wheel.length for wheel in manifest.wheels)
    free = shutil.disk_usage(place.root).free
    if free < needed:
        raise BuildError(
            f"{place.root} has {free >> 20} MiB free and needs {needed >> 20}: make room and try again"
        )


def _take_in(place: Place, wheel: Wheel, sources: Iterable[Path]) -> Path:
    """The wheel in ROOT/wheels, its hash proven; taken from the first source that has it."""
    kept = place.wheels / wheel.file
    if kept.is_file() and sha256_of(kept) == wheel.sha256:
        return kept
    for source in sources:
        given = source / wheel.file
        if not given.is_file():
            continue
        # Copied first, hashed then: what is installed is what was hashed, whoever owns the source.
        partial = place.wheels / f".{wheel.file}.partial"
        shutil.copyfile(given, partial)
        if partial.stat().st_size != wheel.length or sha256_of(partial) != wheel.sha256:
            partial.unlink()
            raise BuildError(f"{given} is not the file that the manifest names: hash or length differ")
        move_durably(partial, kept)
        return kept
    raise BuildError(f"{wheel.file} is neither in {place.wheels} nor in {', '.join(map(str, sources))}")


def _build_into(folder: Path, python: str, pip: Path, wheels: list[Path]) -> None:
    _run([python, "-I", "-m", "venv", "--without-pip", str(folder)])
    inside = str(folder / "bin" / "python")
    _run([inside, "-I", str(pip / "pip"), *_PIP_INSTALL, *map(str, wheels)])
    # Under ProtectSystem=strict nobody can write .pyc later, and a start without them takes 4 to 7 s. The files
    # never change, so their times need no look: a wrong clock at the time of building does no harm.
    # Some packages carry files of other Pythons that do not compile (1): nobody imports those.
    _run([inside, "-I", *_COMPILE, str(folder / "lib")], good=(0, 1))
    # The release itself knows what has to be there.
    _run([inside, "-I", "-m", "agent.update.smoke"], {"OPENBLAS_NUM_THREADS": "1"})


def _run(
    command: list[str], environment: Mapping[str, str] | None = None, *, good: tuple[int, ...] = (0,)
) -> None:
    """Run a step. Raises BuildError with the end of what it said."""
    path = os.environ.get("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
    try:
        done = subprocess.run(  # noqa: S603 -- commands of ours, paths of root
            command,
            env={"PATH": path, "LANG": "C.UTF-8", "HOME": "/nonexistent", **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_STEP_LIMIT_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise BuildError(f"{Path(command[0]).name} failed: {error}") from None
    if done.returncode not in good:
        raise BuildError(
            f"{' '.join(command[:5])} ... failed ({done.returncode}): {done.stdout.strip()[-600:]}"
        )
