"""Requests for blocks of a repository's files, and the blocks: pure encoding and decoding.

A request asks for `count` blocks of one file from `offset` on. Each block comes as one message: a JSON line
and the bytes. Nothing here is trusted; what the bytes are worth, the signatures say.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

DEFAULT_BLOCK_BYTES = 60 << 10
MAX_BLOCK_BYTES = 1 << 20
MAX_COUNT = 64
# What one request may have the server hold in memory.
MAX_ANSWER_BYTES = 4 << 20
_MAX_HEAD_BYTES = 1024
_SESSION = re.compile(r"[A-Za-z0-9]{1,32}")
_PATH = re.compile(r"(?:metadata|targets)(?:/[A-Za-z0-9_][A-Za-z0-9._+%-]{0,254}){1,5}")


class Status:
    """What a block server says about a file, in HTTP's words."""

    OK = 200
    BAD_REQUEST = 400
    NOT_YOURS = 403
    NOT_FOUND = 404


@dataclass(frozen=True, slots=True)
class Request:
    """`n` counts the requests of a session: a block that answers an older one is dropped."""

    session: str
    n: int
    path: str
    offset: int
    block: int
    count: int


class Block(NamedTuple):
    """Bytes of a file from `offset` on; `size` is the whole file's."""

    n: int
    offset: int
    size: int
    status: int
    content: bytes


def request_bytes(request: Request) -> bytes:
    """A request as it goes out."""
    return json.dumps(asdict(request), separators=(",", ":")).encode()


def read_request(payload: bytes) -> Request | None:
    """A request; None for anything that is none. The path is relative, plain, below metadata/ or targets/."""
    body = _object(payload)
    session, path = body.get("session"), body.get("path")
    numbers = [_whole(body.get(key)) for key in ("n", "offset", "block", "count")]
    if not isinstance(session, str) or not _SESSION.fullmatch(session):
        return None
    if not isinstance(path, str) or not _PATH.fullmatch(path) or None in numbers:
        return None
    n, offset, block, count = (number or 0 for number in numbers)
    if not (0 < block <= MAX_BLOCK_BYTES and 0 < count <= MAX_COUNT and block * count <= MAX_ANSWER_BYTES):
        return None
    return Request(session, n, path, offset, block, count)


def block_bytes(block: Block) -> bytes:
    """A block as it goes out."""
    head = {"n": block.n, "offset": block.offset, "size": block.size, "status": block.status}
    return json.dumps(head, separators=(",", ":")).encode() + b"\n" + block.content


def read_block(payload: bytes) -> Block | None:
    """A block; None for anything that is none."""
    end = payload.find(b"\n", 0, _MAX_HEAD_BYTES)
    if end < 0:
        return None
    body = _object(payload[:end])
    numbers = [_whole(body.get(key)) for key in ("n", "offset", "size", "status")]
    if None in numbers:
        return None
    n, offset, size, status = (number or 0 for number in numbers)
    return Block(n, offset, size, status, payload[end + 1 :])


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 53 else None


def _object(payload: bytes) -> dict[str, Any]:
    if len(payload) > _MAX_HEAD_BYTES:
        return {}
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}
