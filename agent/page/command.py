"""`trimload page`: the site as a web page."""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Thread

from agent.clock import Clock, WallClock
from agent.config.load import load_site
from agent.errors import ConfigError
from agent.page.gather import SiteNow, gather
from agent.page.server import page_server

_DESCRIPTION = """\
The site as a web page: mode, alarms, pressure, machines, plan, zones, and what was done and why. It reads the agent's
files beside it and can change nothing; the agent does not notice whether it runs.
"""
_EPILOG = """\
It asks nobody who they are, so it is bound to this machine. To look from a desk, either tunnel
  ssh -L 8480:127.0.0.1:8480 gateway           then http://127.0.0.1:8480/
or put a reverse proxy with TLS and a log-in before it and name the host that people type: --allow-host.
Or let the plant's network in: --listen 10.1.2.3:8480

  trimload page site.toml --state /var/lib/trimload
  trimload page site.toml --json                the same once, for machines

exit codes: 0 ended; 1 with --json: nothing fresh, or an alarm; 2 bad input, or the address is taken
"""


def command(argv: Sequence[str]) -> int:
    """Serve the page until stopped; with --json print it once."""
    args = _parser().parse_args(list(argv))
    clock = WallClock()
    if args.json:
        return _once(args.site, args.state, clock)
    host, port = _address(args.listen)

    def look() -> SiteNow:
        # For each request: a configuration that was changed is seen without a restart.
        return _look(args.site, args.state, clock)

    load_site(args.site)
    server = page_server(look, host, port, {host, "127.0.0.1", "localhost", "::1", *args.allow_host})
    print(f"http://{host}:{server.server_address[1]}/", file=sys.stderr, flush=True)

    def stop(_number: int, _frame: object) -> None:
        # serve_forever waits for its own loop to end: asked from this thread it would wait for itself.
        Thread(target=server.shutdown).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    with server:
        server.serve_forever()
    return 0


def _once(site_file: Path, state: Path | None, clock: Clock) -> int:
    import json

    from agent.page.as_json import as_dict

    seen = _look(site_file, state, clock)
    print(json.dumps(as_dict(seen), ensure_ascii=False, allow_nan=False, indent=1))
    return 0 if seen.is_fresh and not any(air.alarm for air in seen.air) else 1


def _look(site_file: Path, state: Path | None, clock: Clock) -> SiteNow:
    site = load_site(site_file)
    return gather(site, state or site.storage.directory, clock.now())


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise ConfigError(
            f"{text!r} is no address", where="--listen", fix="write HOST:PORT, such as 127.0.0.1:8480"
        )
    return host.strip("[]"), int(port)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimload page",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("site", type=Path, help="the site's site.toml")
    parser.add_argument(
        "--state", type=Path, metavar="DIR", help="the agent's directory ([storage] directory)"
    )
    parser.add_argument(
        "--listen", default="127.0.0.1:8480", metavar="HOST:PORT", help="where to listen (127.0.0.1:8480)"
    )
    parser.add_argument(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="answer requests for this name too (more than once)",
    )
    parser.add_argument("--json", action="store_true", help="print it once as JSON and end")
    return parser
