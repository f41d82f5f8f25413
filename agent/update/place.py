"""The releases on a gateway's disk, and the one way to change which of them runs.

    ROOT/releases/<version>-<hash>/   complete once release.json, written last, is in it
    ROOT/current                      symlink to the release that runs
    ROOT/boot.json                    the decision (agent/update/boot.py); `current` follows it
    ROOT/wheels/                      wheels of the kept releases

Standard library only. Every change is in such an order, and flushed to the disk in it, that a cut of power
between any two steps leaves a complete release to run.
"""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent.update.boot import Boot, read_boot, rolled_back, watched, write_boot
from agent.update.boot import counted as counted_start
from agent.update.files import flush_directory

DEFAULT_ROOT = Path("/opt/trimload")
RELEASE_NAME = re.compile(r"[0-9][A-Za-z0-9.+!]{0,40}-[0-9a-f]{8}")
MANIFEST = "release.json"
KEPT_RELEASES = 2


@dataclass(frozen=True, slots=True)
class Place:
    """Where releases live. `root` is writable by root alone."""

    root: Path = DEFAULT_ROOT

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def current(self) -> Path:
        return self.root / "current"

    @property
    def wheels(self) -> Path:
        return self.root / "wheels"

    def is_complete(self, release: str) -> bool:
        """Whether the release was built to its end: its manifest is written last."""
        return bool(RELEASE_NAME.fullmatch(release)) and (self.releases / release / MANIFEST).is_file()

    def complete_releases(self) -> list[str]:
        """Names, the most recently completed one first."""
        if not self.releases.is_dir():
            return []
        names = [path.name for path in self.releases.iterdir() if self.is_complete(path.name)]
        return sorted(names, key=lambda name: -(self.releases / name / MANIFEST).stat().st_mtime_ns)

    def running(self) -> str:
        """The release that `current` leads to; "" where it leads nowhere."""
        try:
            name = Path(self.current.readlink()).name
        except OSError:
            return ""
        return name if self.is_complete(name) else ""

    def boot(self) -> Boot | None:
        """The record on disk."""
        return read_boot(self.root)


def installed_place(prefix: Path | None = None) -> Place | None:
    """The place that the running interpreter is a release of; None in a checkout."""
    prefix = prefix or Path(sys.prefix)
    return Place(prefix.parents[1]) if prefix.parent.name == "releases" else None


@contextmanager
def locked(place: Place) -> Iterator[None]:
    """One change at a time: start, watch and installation are processes of their own."""
    with (place.root / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def flip(place: Place, release: str) -> None:
    """Let `current` lead to `release`: the old link or the new one, never none. Idempotent."""
    if not place.is_complete(release):
        raise ReleaseIncompleteError(f"{release} is not a complete release in {place.releases}")
    target = Path("releases") / release
    if place.current.is_symlink() and place.current.readlink() == target:
        return
    beside = place.root / ".current.new"
    beside.unlink(missing_ok=True)
    beside.symlink_to(target)
    beside.replace(place.current)
    flush_directory(place.root)


def decide(place: Place, boot: Boot) -> None:
    """Write the decision, then let `current` follow. A cut between the two is mended by `follow`."""
    write_boot(place.root, boot)
    flip(place, boot.release)


def follow(place: Place) -> str:
    """Let `current` lead to what boot.json decided, or to whatever complete release there is. Its name.

    Raises ReleaseIncompleteError when there is no complete release at all.
    """
    boot = place.boot()
    if boot is not None and not place.is_complete(boot.release) and place.is_complete(boot.previous):
        boot = rolled_back(boot, f"release {boot.release} is not complete on the disk")
        write_boot(place.root, boot)
    wanted = boot.release if boot is not None else place.running()
    if not place.is_complete(wanted):
        wanted = place.running() or next(iter(place.complete_releases()), "")
    flip(place, wanted)
    return wanted


def before_start(place: Place, *, boot_id: str, now_boot_s: float) -> Boot | None:
    """Count a start on trial, on the disk before anything is run, or roll back; then see that `current` is right."""
    with locked(place):
        boot = place.boot()
        if (
            boot is not None
            and (after := counted_start(boot, boot_id=boot_id, now_boot_s=now_boot_s)) != boot
        ):
            write_boot(place.root, after)
        follow(place)
        return place.boot()


def end_overdue(place: Place, *, boot_id: str, now_boot_s: float) -> tuple[Boot | None, bool]:
    """Roll an overdue trial back. The record, and whether another release has to be started."""
    with locked(place):
        before = place.running()
        boot = place.boot()
        if boot is not None and (after := watched(boot, boot_id=boot_id, now_boot_s=now_boot_s)) != boot:
            write_boot(place.root, after)
        return place.boot(), follow(place) != before


def clear_out(place: Place) -> list[str]:
    """Remove incomplete releases, all but the kept ones, and wheels that none of those needs. Names removed."""
    boot = place.boot()
    keep = {place.running()} | ({boot.release, boot.previous} if boot is not None else set())
    for name in place.complete_releases():
        if len(keep - {""}) < KEPT_RELEASES:
            keep.add(name)
    removed = []
    for path in sorted(place.releases.iterdir()) if place.releases.is_dir() else []:
        if path.name not in keep or not place.is_complete(path.name):
            # Without its manifest it is no release any more, however far the removal gets.
            (path / MANIFEST).unlink(missing_ok=True)
            flush_directory(path)
            shutil.rmtree(path)
            removed.append(path.name)
    needed = {row["file"] for name in keep - {""} for row in _wheels_of(place.releases / name)}
    for path in sorted(place.wheels.glob("*.whl")):
        if path.name not in needed:
            path.unlink()
            removed.append(path.name)
    return removed


def _wheels_of(release: Path) -> list[dict[str, str]]:
    try:
        wheels = json.loads((release / MANIFEST).read_text(encoding="utf-8"))["wheels"]
    except (OSError, ValueError, KeyError):
        return []
    return list(wheels)


class ReleaseIncompleteError(Exception):
    """There is nothing that could be started."""
