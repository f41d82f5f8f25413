"""The gateway itself: clock, memory, disk, the service and the release that runs."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

from agent.config.site import Site
from agent.doctor.finding import Finding, fail, ok, warn
from agent.update.place import MANIFEST, Place

_STA_UNSYNC = 0x0040
# struct timex of 64-bit Linux: modes, then four longs, then status (adjtimex(2)).
_TIMEX_BYTES, _STATUS_AT = 256, 40
_MEMORY_FAIL_MB, _MEMORY_WARN_MB = 256, 400
_DISK_FAIL_MB, _DISK_SPARE_MB, _RELEASE_MB = 100, 200, 700
# A release built before this code was written has a wrong date, and so has the clock.
_WRITTEN_AT = datetime(2026, 1, 1, tzinfo=UTC)


def clock_is_synchronised() -> bool | None:
    """Whether the kernel says that somebody keeps its clock right; None where it does not say."""
    buffer = (ctypes.c_char * _TIMEX_BYTES)()
    try:
        state = ctypes.CDLL(None).adjtimex(ctypes.byref(buffer))
    except (OSError, AttributeError):
        return None
    status = int.from_bytes(buffer.raw[_STATUS_AT : _STATUS_AT + 4], "little")
    return None if state < 0 else not status & _STA_UNSYNC


def clock(
    now: datetime, *, release: Path | None, synchronised: Callable[[], bool | None] = clock_is_synchronised
) -> Iterator[Finding]:
    """Prices, schedules, certificates and updates follow the wall clock; control does not."""
    floor = _WRITTEN_AT
    if release is not None and (release / MANIFEST).is_file():
        floor = max(
            floor, datetime.fromtimestamp((release / MANIFEST).stat().st_mtime, UTC) - timedelta(days=1)
        )
    if now < floor:
        yield fail(
            "clock",
            f"the clock shows {now:%Y-%m-%d %H:%M} UTC, which is in the past",
            "set it (timedatectl set-time) and enable time synchronisation; is the battery of the gateway's clock flat?",
        )
        return
    kept = synchronised()
    if kept:
        yield ok("clock", f"{now:%Y-%m-%d %H:%M} UTC, synchronised")
    else:
        why = "is not synchronised" if kept is False else "may not be synchronised: the kernel does not say"
        yield warn(
            "clock",
            f"{now:%Y-%m-%d %H:%M} UTC, {why}",
            "name the site's NTP server in /etc/systemd/timesyncd.conf (or chrony); prices and schedules follow this clock",
        )


def memory(meminfo: str) -> Iterator[Finding]:
    """From the text of /proc/meminfo."""
    rows = {name: value for name, _, value in (line.partition(":") for line in meminfo.splitlines())}
    try:
        free_mb = int(rows["MemAvailable"].split()[0]) // 1024
    except (KeyError, IndexError, ValueError):
        yield warn("memory", "/proc/meminfo does not say what is free", "is this Linux?")
        return
    text = f"{free_mb} MiB available, {os.cpu_count() or 1} CPU"
    if free_mb < _MEMORY_FAIL_MB:
        yield fail(
            "memory",
            text,
            f"the agent needs about {_MEMORY_FAIL_MB} MiB: end other programs or take a larger gateway",
        )
    elif free_mb < _MEMORY_WARN_MB:
        yield warn("memory", text, "enough to run, little to spare for a plan of many machines")
    else:
        yield ok("memory", text)


def disk(site: Site, state: Path, releases: Path | None) -> Iterator[Finding]:
    """Room for the databases, and for the next release beside the present one."""
    free_mb = shutil.disk_usage(_existing(state)).free >> 20
    needed_mb = site.storage.outbox_mb + _DISK_SPARE_MB
    text = f"{free_mb} MiB free for {state}"
    if free_mb < _DISK_FAIL_MB:
        yield fail("disk", text, "make room: readings and the ledger of commands cannot be kept")
    elif free_mb < needed_mb:
        yield warn(
            "disk",
            text,
            f"{needed_mb} MiB are wanted: make room, or lower [storage] outbox_mb ({site.storage.outbox_mb})",
        )
    else:
        yield ok("disk", text)
    if releases is not None and (free := shutil.disk_usage(releases).free >> 20) < _RELEASE_MB:
        yield warn(
            "disk", f"{free} MiB free for {releases}", f"an update of the agent needs {_RELEASE_MB} MiB there"
        )


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path


def unit_state() -> dict[str, str] | None:
    """What systemd says of trimload.service; None without systemd."""
    wanted = "LoadState,ActiveState,UnitFileState,NRestarts,StatusText,Result"
    try:
        done = subprocess.run(  # noqa: S603 -- a fixed command
            ["systemctl", "show", "trimload.service", f"--property={wanted}"],  # noqa: S607 -- the user's own PATH
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    rows = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    return rows if done.returncode == 0 and rows.get("LoadState") else None


def service(unit: Mapping[str, str] | None, place: Place | None) -> Iterator[Finding]:
    """Is it installed, does it start by itself, does it run, and does the release run that should?"""
    if unit is None or unit.get("LoadState") != "loaded":
        yield warn(
            "service",
            "trimload.service is not installed here",
            "install from a bundle: sudo ./install (docs/install.md)",
        )
    elif unit.get("ActiveState") != "active":
        enabled = unit.get("UnitFileState") == "enabled"
        hint = "" if enabled else "; it will not start by itself either: sudo systemctl enable trimload"
        yield warn(
            "service", f"the service is {unit.get('ActiveState')}", f"sudo systemctl start trimload{hint}"
        )
    elif int(unit.get("NRestarts") or 0) > 0:
        yield warn(
            "service",
            f"runs, after {unit['NRestarts']} restarts: {unit.get('StatusText', '')}",
            "journalctl -u trimload -p warning says why it was restarted",
        )
    else:
        yield ok("service", f"runs: {unit.get('StatusText', '')}")
    if place is None:
        return
    boot = place.boot()
    running = place.running()
    if boot is None:
        yield warn(
            "release",
            f"{running or 'no release'} runs, and boot.json cannot be read",
            "run the bundle's ./install again",
        )
    elif boot.on_trial:
        yield warn(
            "release",
            f"{boot.release} is on trial, {boot.previous} stands by",
            "it is confirmed or taken back by itself",
        )
    elif boot.state == "rolled_back":
        yield warn(
            "release",
            f"{boot.release} runs again instead of {boot.previous}: {boot.reason}",
            "report it; a newer release ends this",
        )
    else:
        yield ok("release", running)
