"""Files that the service needs: may its user read and write them, may nobody else, and for how long are they valid?"""

from __future__ import annotations

import os
import pwd
import ssl
import stat
import subprocess
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel

from agent.config.site import Site
from agent.doctor.finding import Finding, fail, ok, warn

SERVICE_USER = "trimload"
_EXPIRY_WARN_DAYS = 30


def service_user() -> str | None:
    """The user to try files as: the service's, when root asks and it exists; else whoever asks (None)."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(SERVICE_USER).pw_name
    except KeyError:
        return None


def may(action: str, path: Path, user: str | None) -> bool:
    """Whether `user` (None: this one) may "read" or "write" `path`; tried, not computed."""
    if user is None:
        return os.access(path, os.R_OK if action == "read" else os.W_OK | os.X_OK)
    words = ["-r", str(path)] if action == "read" else ["-w", str(path), "-a", "-x", str(path)]
    record = pwd.getpwnam(user)
    done = subprocess.run(  # noqa: S603 -- a fixed program
        ["/usr/bin/test", *words],
        user=record.pw_uid,
        group=record.pw_gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        check=False,
    )
    return done.returncode == 0


def store(state: Path, user: str | None) -> Iterator[Finding]:
    """The state directory takes files."""
    who = user or pwd.getpwuid(os.geteuid()).pw_name
    if not state.exists():
        level = warn if may("write", state.parent, user) else fail
        yield level(
            "store",
            f"{state} does not exist yet",
            f"the service makes it; else: install -d -o {SERVICE_USER} {state}",
        )
        return
    if not may("write", state, user):
        yield fail("store", f"{who} may not write to {state}", f"sudo chown -R {SERVICE_USER}: {state}")
        return
    strange = [
        path.name
        for path in sorted(state.glob("*.db"))
        if user and path.stat().st_uid != pwd.getpwnam(user).pw_uid
    ]
    if strange:
        yield fail(
            "store",
            f"{', '.join(strange)} in {state} belong to somebody else",
            f"sudo chown -R {user}: {state}",
        )
        return
    corrupt = sorted(path.name for path in state.glob("*.corrupt-*"))
    if corrupt:
        yield warn(
            "store",
            f"{state} is writable; set aside as damaged: {', '.join(corrupt)}",
            "check the disk; keep the files for support",
        )
        return
    yield ok("store", f"{state} is writable for {who}")


def files_of(part: BaseModel, place: str = "") -> Iterator[tuple[str, Path]]:
    """Every file that the configuration names, with the place where it does."""
    for name in type(part).model_fields:
        value = getattr(part, name)
        here = f"{place}.{name}" if place else name
        rows = value.items() if isinstance(value, dict) else [("", value)]
        for key, each in rows:
            below = f"{here}.{key}" if key else here
            if isinstance(each, BaseModel):
                yield from files_of(each, below)
            elif isinstance(each, Path):
                yield below, each


def certificates(site: Site, now: datetime, user: str | None) -> Iterator[Finding]:
    """Certificates, keys and other named files: there, readable, valid, keys private and of one pair."""
    found = False
    named = [(where, path) for where, path in files_of(site) if not where.endswith("directory")]
    for where, path in named:
        found = True
        yield from _file(where, path, now, user)
    uplink = site.uplink
    if uplink is not None and uplink.cert_file and uplink.key_file:
        yield from _pair(uplink.cert_file, uplink.key_file)
    if not found:
        yield ok("certificates", "the configuration names no files")


def _file(where: str, path: Path, now: datetime, user: str | None) -> Iterator[Finding]:
    if not path.is_file():
        yield fail(
            "certificates", f"{where}: {path} is not there", "copy it there, or correct the path in site.toml"
        )
        return
    if not may("read", path, user):
        yield fail(
            "certificates",
            f"{where}: {user or 'this user'} may not read {path}",
            f"sudo chgrp {SERVICE_USER} {path} && sudo chmod 640 {path}",
        )
        return
    if where.endswith("key_file"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if mode & 0o007:
            yield fail(
                "certificates",
                f"{where}: everybody may read the key {path} (mode {mode:o})",
                f"sudo chmod 640 {path}",
            )
        else:
            yield ok("certificates", f"{where}: {path} is private")
    elif where.endswith(("cert_file", "ca_file")):
        yield from _validity(where, path, now)
    else:
        yield ok("certificates", f"{where}: {path} is readable")


def _validity(where: str, path: Path, now: datetime) -> Iterator[Finding]:
    from cryptography import x509

    try:
        loaded = x509.load_pem_x509_certificates(path.read_bytes())
    except (OSError, ValueError) as error:
        yield fail(
            "certificates",
            f"{where}: {path} holds no certificate: {error}",
            "give a PEM file (-----BEGIN CERTIFICATE-----)",
        )
        return
    first, last = (
        max(each.not_valid_before_utc for each in loaded),
        min(each.not_valid_after_utc for each in loaded),
    )
    left = (last - now).days
    if now >= last:
        yield fail(
            "certificates",
            f"{where}: {path} has expired on {last:%Y-%m-%d}",
            "renew it; until then nothing goes upstream",
        )
    elif now < first:
        yield fail(
            "certificates",
            f"{where}: {path} is valid from {first:%Y-%m-%d} on",
            "is the gateway's clock right?",
        )
    elif left < _EXPIRY_WARN_DAYS:
        yield warn("certificates", f"{where}: {path} expires in {left} days", "renew it in time")
    else:
        yield ok("certificates", f"{where}: {path} is valid until {last:%Y-%m-%d}")


def _pair(cert: Path, key: Path) -> Iterator[Finding]:
    if not (os.access(cert, os.R_OK) and os.access(key, os.R_OK)):
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        yield fail(
            "certificates",
            f"{cert} and {key} do not belong together: {error}",
            "take certificate and key of one pair",
        )


def credentials(folder: Path) -> Iterator[Finding]:
    """Secrets lie in a folder that root alone may read; systemd hands them to the service."""
    if not folder.is_dir():
        return
    open_ones = [
        path
        for path in [folder, *sorted(folder.iterdir())]
        if os.access(folder, os.X_OK) and path.stat().st_mode & 0o077
    ]
    if open_ones:
        yield fail("credentials", f"others than root may read {open_ones[0]}", f"sudo chmod -R go= {folder}")
    else:
        yield ok("credentials", f"{folder} is root's alone")
