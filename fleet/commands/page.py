"""`trimload-fleet page`: the fleet as a web page."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from agent.clock import WallClock
from fleet.commands.options import add_database

_EPILOG = """\
The page can change nothing and asks nobody who they are: it is bound to this machine. For others put a reverse proxy
with TLS and a log-in before it, and name the host that they type (docs/updates.md):
  trimload-fleet page --db fleet.db --allow-host fleet.example.com

exit codes: 0 ended; 2 no database, or the port is taken
"""


def command(argv: Sequence[str]) -> int:
    """Serve the page until stopped."""
    parser = argparse.ArgumentParser(
        prog="trimload-fleet page",
        description="Sites and roll-outs as a web page, from the database that `trimload-fleet rollout run` keeps.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_database(parser)
    parser.add_argument("--host", default="127.0.0.1", help="address to bind to (127.0.0.1)")
    parser.add_argument("--port", type=int, default=8080, help="port to bind to (8080)")
    parser.add_argument(
        "--allow-host", action="append", default=[], help="answer requests for this name too (more than once)"
    )
    options = parser.parse_args(argv)
    from fleet.page.app import serve

    print(f"http://{options.host}:{options.port}/", file=sys.stderr)
    try:
        serve(options.db, options.host, options.port, WallClock(), options.allow_host)
    except SystemExit as error:
        # uvicorn has said why.
        return 2 if error.code else 0
    return 0
