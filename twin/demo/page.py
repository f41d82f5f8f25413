"""The agent's page while the demonstration runs, on its simulated clock."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from agent.clock import Clock
from agent.config.site import Site
from agent.errors import ConfigError
from agent.page.gather import gather
from agent.page.server import page_server

HOST, PORT = "127.0.0.1", 8480
# A simulated day goes by in about a minute.
REFRESH_S = 3


@contextmanager
def live_page(site: Site, state: Path, clock: Clock) -> Iterator[str]:
    """Serve the page from the files that the agent writes; gives its address."""

    def serve(port: int) -> ThreadingHTTPServer:
        return page_server(
            lambda: gather(site, state, clock.now()), HOST, port, {HOST, "localhost"}, refresh_s=REFRESH_S
        )

    try:
        server = serve(PORT)
    except ConfigError:
        server = serve(0)  # taken: by the page of a real agent, say
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://{HOST}:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
