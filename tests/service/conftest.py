"""Releases on a disk, small ones: what matters is which of them would be started."""

from __future__ import annotations

import os
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.update.boot import Boot
from agent.update.place import MANIFEST, Place, decide
from agent.update.release import Manifest, manifest_json, release_name, wheel_of

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
# Stands in for pip where a test is about cuts of power: it unpacks, and does so in a fraction of a second.
TINY_PIP = """
import sys, sysconfig, zipfile
for wheel in sys.argv[1:]:
    if wheel.endswith(".whl"):
        zipfile.ZipFile(wheel).extractall(sysconfig.get_path("purelib"))
"""


def add_complete(place: Place, name: str, wheels: tuple = ()) -> str:
    folder = place.releases / name
    folder.mkdir(parents=True)
    content = manifest_json(name, name.split("-", maxsplit=1)[0], HERE, os.uname().machine, wheels)
    (folder / MANIFEST).write_bytes(content)
    return name


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """1.0.0 runs, and is the only release."""
    made = Place(tmp_path / "opt")
    decide(made, Boot(add_complete(made, "1.0.0-aaaaaaaa")))
    return made


@pytest.fixture
def small_release(tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Manifest and wheel folder of a release that can be built, of a few hundred bytes."""

    def make(version: str = "1.1.0", *, smoke: str = "") -> tuple[Path, Path]:
        wheels = tmp_path / f"wheels-{version}"
        wheels.mkdir()
        contents = {
            "pip-0-py3-none-any.whl": {"pip/__main__.py": TINY_PIP},
            f"trimload-{version}-py3-none-any.whl": {
                "agent/__init__.py": f"VERSION = {version!r}\n",
                "agent/update/__init__.py": "",
                "agent/update/smoke.py": smoke,
            },
        }
        for name, files in contents.items():
            with zipfile.ZipFile(wheels / name, "w") as archive:
                for path, text in files.items():
                    archive.writestr(path, text)
        rows = [wheel_of(path) for path in sorted(wheels.glob("*.whl"))]
        release = release_name(version, rows)
        manifest = wheels / "manifest.json"
        manifest.write_bytes(
            manifest_json(*Manifest(release, version, HERE, os.uname().machine, tuple(rows)))
        )
        return manifest, wheels

    return make
