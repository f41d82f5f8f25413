"""Where a forecast lies: a file, or the answer to an HTTP request. Blocking; called in a thread."""

from __future__ import annotations

import urllib.error
import urllib.request
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPException
from pathlib import Path
from typing import NamedTuple

from agent.clock import elapsed_s
from agent.errors import DataError

_CHUNK = 16 << 10
# A server that drips byte by byte keeps every single read alive: all of them together get this many time-outs.
_WHOLE_ANSWER = 3.0


class Found(NamedTuple):
    """What lay there, and when its carrier says that it was made."""

    content: bytes
    dated_at: datetime | None


def read_file(path: Path, *, most_bytes: int) -> Found:
    """The file, dated by its last change. Raises DataError."""
    try:
        with path.open("rb") as file:
            content = file.read(most_bytes + 1)
            changed_at = datetime.fromtimestamp(path.stat().st_mtime, UTC)
    except OSError as error:
        raise DataError(
            f"the weather file cannot be read: {error.strerror or error}",
            where=str(path),
            fix="let the job that writes it put a finished file there (write beside it, then rename)",
        ) from None
    return Found(_within(content, most_bytes, str(path)), changed_at)


def fetch_url(url: str, *, timeout_s: float, most_bytes: int, token: str | None = None) -> Found:
    """The answer to a GET, dated by its Last-Modified. Raises DataError for whatever goes wrong."""
    request = urllib.request.Request(  # noqa: S310 -- config takes http and https only
        url, headers={"Accept": "application/json, text/csv", "User-Agent": "trimload"}
    )
    if token:
        # Not sent on to wherever the server may redirect.
        request.add_unredirected_header("Authorization", f"Bearer {token}")
    began_s = elapsed_s()
    content = bytearray()
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310 -- config takes http(s) only
            while len(content) <= most_bytes and (piece := answer.read1(_CHUNK)):
                content += piece
                if elapsed_s() - began_s > _WHOLE_ANSWER * timeout_s:
                    raise TimeoutError("the answer did not end")
            dated = answer.headers.get("Last-Modified")
    except urllib.error.HTTPError as error:
        error.close()
        raise _unreachable(url, f"the server answers {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise _unreachable(url, str(error.reason)) from None
    except (OSError, HTTPException, ValueError) as error:
        raise _unreachable(url, str(error) or type(error).__name__) from None
    return Found(_within(bytes(content), most_bytes, _plain(url)), _http_date(dated))


def _within(content: bytes, most_bytes: int, where: str) -> bytes:
    if len(content) > most_bytes:
        raise DataError(
            f"the weather forecast is longer than {most_bytes >> 10} kB",
            where=where,
            fix="ask for fewer days and only for temperature and sun, or raise most_kb",
        )
    return content


def _unreachable(url: str, why: str) -> DataError:
    return DataError(
        f"the weather service cannot be used: {why}",
        where=_plain(url),
        fix="try the address with curl from this machine; check [hvac.weather] url, the key and the firewall",
    )


def _plain(url: str) -> str:
    """The address without its query, where keys stand."""
    return url.partition("?")[0]


def _http_date(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    return at.astimezone(UTC) if at.tzinfo is not None else None
