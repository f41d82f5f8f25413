"""What people on site ask of the updater, as files in the state directory: who may write there is on site.

The command writes a request and waits for its answer; the agent takes requests as they come.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Mapping
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
    write_durably(folder / "requests" / f"{request_id}.json", json.dumps(body).encode(), mode=0o640)
    return request_id


def take_requests(folder: Path) -> Iterator[LocalRequest]:
    """Every request that waits, each removed before it is obeyed. What is none is dropped."""
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
        if request.op in OPS:
            yield request


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
