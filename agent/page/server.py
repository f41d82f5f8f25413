"""A small web server for the page: reads files for each request, changes nothing, asks the agent nothing.

It runs in a process of its own, so that whatever happens here the machines' control does not notice.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import Any

from agent.errors import ConfigError, TrimloadError
from agent.log import get_logger
from agent.page.as_json import as_dict
from agent.page.gather import SiteNow
from agent.page.render import REFRESH_S, page, trouble

log = get_logger(__name__)

# No script runs, nothing is loaded from elsewhere, nobody frames it.
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'self'; base-uri 'none'; frame-ancestors 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}
_TIMEOUT_S = 10.0


def page_server(
    look: Callable[[], SiteNow], host: str, port: int, allowed: Collection[str], *, refresh_s: int = REFRESH_S
) -> ThreadingHTTPServer:
    """A server on `host:port` that answers requests naming one of `allowed` hosts; port 0 takes a free one.

    Under another name it answers nobody: a page elsewhere cannot have a browser read this one. Raises ConfigError
    where the address cannot be had.
    """
    css = files("agent.page").joinpath("page.css").read_bytes()
    names = {name.lower() for name in allowed}

    class Handler(BaseHTTPRequestHandler):
        server_version, sys_version = "Trimload", ""
        timeout = _TIMEOUT_S

        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, *, body: bool) -> None:
            status, kind, content = self._content()
            self.send_response(status)
            for name, value in {
                **_HEADERS,
                "Content-Type": kind,
                "Content-Length": str(len(content)),
            }.items():
                self.send_header(name, value)
            self.end_headers()
            if body:
                self.wfile.write(content)

        def _content(self) -> tuple[int, str, bytes]:
            if _host_of(self.headers.get("Host", "")) not in names:
                return 421, "text/plain; charset=utf-8", b"this name is not served: see --allow-host\n"
            path = self.path.partition("?")[0]
            if path == "/page.css":
                return 200, "text/css; charset=utf-8", css
            if path not in ("/", "/status.json"):
                return 404, "text/plain; charset=utf-8", b"there is / and /status.json\n"
            try:
                seen = look()
            except TrimloadError as error:
                if path == "/":
                    return 503, "text/html; charset=utf-8", trouble(error).encode()
                return 503, "application/json", _json({"error": str(error)})
            if path == "/":
                return 200, "text/html; charset=utf-8", page(seen, refresh_s).encode()
            return 200, "application/json", _json(as_dict(seen))

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            log.debug("page_request", line=format % args, peer=self.client_address[0])

    try:
        return _Server((host, port), Handler)
    except OSError as error:
        raise ConfigError(
            f"the page cannot listen on {host}:{port}: {error.strerror}",
            where="--listen",
            fix="name another port, or the address of one of this machine's interfaces",
        ) from error


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # More at once are not people.
    request_queue_size = 16


def _host_of(header: str) -> str:
    """The name in a Host header, without its port and an address's brackets."""
    if header.startswith("["):
        return header[1:].partition("]")[0].lower()
    return header.partition(":")[0].lower()


def _json(body: object) -> bytes:
    return json.dumps(body, ensure_ascii=False, allow_nan=False, indent=1).encode()
