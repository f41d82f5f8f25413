"""What the agent asks of root, and root's answer, as files in a directory that belongs to the agent.

Root reads and writes here with the suspicion that a stranger's directory deserves: no link is followed at any
step below the parent that is root's own, sizes are bounded, and every field is checked. Standard library only.
"""

from __future__ import annotations

import json
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from agent.update.place import RELEASE_NAME

DEFAULT_SPOOL = Path("/var/lib/trimload/update/agent")
INTENT_FORMAT = "trimload-intent/1"
ACTIONS = ("install", "rollback", "confirm")
_LARGEST_INTENT = 65_536
_JOB = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")


class Intent(NamedTuple):
    """What the agent asks for."""

    action: str
    site: str
    job: str
    release: str


class Outcome(NamedTuple):
    """switched, confirmed, rolled_back or failed, and why."""

    job: str
    outcome: str
    reason: str


def take_intent(spool: Path) -> Intent | None:
    """The intent, removed from the spool before it is obeyed: what kills us is not tried for ever. None if unfit."""
    try:
        with _opened(spool) as directory:
            try:
                content = _read(directory, "intent.json")
            finally:
                os.unlink("intent.json", dir_fd=directory)
                os.fsync(directory)
    except OSError:
        return None
    return read_intent(content)


def read_intent(content: bytes) -> Intent | None:
    """An intent from its JSON; None when anything about it is not as it should be."""
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or body.get("format") != INTENT_FORMAT:
        return None
    values = {key: body.get(key, "") for key in Intent._fields}
    if not all(isinstance(value, str) and len(value) <= 512 for value in values.values()):
        return None
    intent = Intent(**values)
    fit = (
        intent.action in ACTIONS
        and (_JOB.fullmatch(intent.job) or (not intent.job and intent.action == "rollback"))
        and _JOB.fullmatch(intent.site)
        and (RELEASE_NAME.fullmatch(intent.release) or intent.action == "rollback")
    )
    return intent if fit else None


def leave_outcome(spool: Path, outcome: Outcome) -> None:
    """Write outcome.json whole or not at all. Raises OSError."""
    name = f".outcome.{secrets.token_hex(8)}"
    content = json.dumps(outcome._asdict()).encode() + b"\n"
    with _opened(spool) as directory:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(name, flags, 0o644, dir_fd=directory)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), 0o644)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, "outcome.json", src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)


@contextmanager
def _opened(spool: Path) -> Iterator[int]:
    """The spool as a descriptor. Its last three steps may be the agent's, so none of them may be a link."""
    steps = spool.parts[-3:]
    descriptor = os.open(Path(*spool.parts[:-3]), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for step in steps:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            deeper = os.open(step, flags, dir_fd=descriptor)
            os.close(descriptor)
            descriptor = deeper
        yield descriptor
    finally:
        os.close(descriptor)


def _read(directory: int, name: str) -> bytes:
    # A pipe in the file's place must not hold root up: opened without waiting, and then refused.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with os.fdopen(os.open(name, flags, dir_fd=directory), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{name} is no file")
        return file.read(_LARGEST_INTENT + 1)[:_LARGEST_INTENT]
