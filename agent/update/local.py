"""What people on site ask of the updater, as files in the state directory: who may write there is on site.

The command writes a request and waits for its answer; the agent takes requests as they come.
"""

from __future__ import annotations

import getpass
import json
import os
import secrets
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from agent.update.files import write_durably

OPS = ("look", "consent", "rollback")
_LARGEST = 65_536


class LocalRequest(NamedTuple):
    """`op` look (into a folder, where `argument` names one), consent (to a job), rollback (a kind)."""

    id: str
    op: str
    argument: str
    who: str
    why: str


def leave_request(folder: Path, op: str, argument: str, who: str, why: str) -> str:
    """Ask; gives the request's id. Raises OSError."""
    request_id = secrets.token_hex(8)
    body = {"op": op, "argument": argument, "who": who, "why": why}
    path = folder / "requests" / f"{request_id}.json"
    write_durably(path, json.dumps(body).encode(), mode=0o640)
    if os.geteuid() == 0:
        # Left by root, it must be the agent's to read and to take away: as the state directory is.
        owner = folder.parent.stat()
        for each in (folder, path.parent, path):
            # An agent that runs as root may have taken it already.
            with suppress(FileNotFoundError):
                os.chown(each, owner.st_uid, owner.st_gid)
    return request_id


def take_requests(folder: Path, ops: Sequence[str] = OPS) -> Iterator[LocalRequest]:
    """Every request of `ops` that waits, each removed before it is obeyed. What is none is dropped."""
    try:
        paths = sorted((folder / "requests").glob("*.json"))
    except OSError:
        return
    for path in paths:
        try:
            content = path.read_bytes()[:_LARGEST]
            path.unlink()
            body = json.loads(content)
            request = LocalRequest(path.stem, *(str(body[key]) for key in ("op", "argument", "who", "why")))
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if request.op in ops:
            yield request


def withdraw_request(folder: Path, request_id: str) -> bool:
    """Take a request back that nobody has taken; False when it was taken."""
    try:
        (folder / "requests" / f"{request_id}.json").unlink()
    except OSError:
        return False
    return True


def answer_request(folder: Path, request_id: str, body: Mapping[str, object]) -> None:
    """Tell whoever asked. Raises OSError."""
    write_durably(folder / "answers" / f"{request_id}.json", json.dumps(body).encode())


def take_answer(folder: Path, request_id: str) -> dict[str, Any] | None:
    """The answer, once it is there."""
    path = folder / "answers" / f"{request_id}.json"
    try:
        body = json.loads(path.read_bytes())
        path.unlink(missing_ok=True)
    except (OSError, ValueError):
        return None
    return body if isinstance(body, dict) else None


def who_asks() -> str:
    """Who sits at the keyboard, also behind sudo."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    behind = os.environ.get("SUDO_USER")
    return f"{behind} as {user}" if behind else user
