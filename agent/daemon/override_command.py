"""`trimload override`: an operator's word for one machine, with an end; and what holds now."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from agent.clock import elapsed_s, pause
from agent.config.load import load_site
from agent.config.site import Site
from agent.daemon.overrides import ACTIONS, overrides_body, read_overrides
from agent.errors import ConfigError, DataError
from agent.update.local import leave_request, take_answer, who_asks, withdraw_request

_DESCRIPTION = """\
Hold one machine, whatever the agent would do: running, stopped, or locked out for maintenance. It wins over plan and
band until its end; minimum times and start limits of the motor hold against it too. A lock-out has no end and is
released by hand. It is no substitute for the main switch: who works inside a machine locks that.
With a station's name and "believe" it says that a header sensor that has jumped shows what a gauge shows too.
"""
_EPILOG = """\
  trimload override site.toml                                          what holds now
  trimload override site.toml c2 stop --for 2h --why "belt squeals"    leave it out for two hours
  trimload override site.toml c1 run --for 30m --why "test run"        keep it running
  trimload override site.toml c3 lockout --why "oil change"            held stopped until released
  trimload override site.toml c3 release --why "done"
  trimload override site.toml air believe --why "new transmitter, checked"   the jump was no fault

The agent obeys, so it has to run; each request is in the ledger with who and why, refused ones too. An override
outlives a restart of the agent.

exit codes: 0 done; 1 the agent said no, or did not answer; 2 bad input
"""
_UNITS_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0}


def command(argv: Sequence[str]) -> int:
    """Run `trimload override`."""
    options = _parser().parse_args(list(argv))
    site = load_site(options.site)
    folder = Path(options.state or site.storage.directory) / "overrides"
    if options.machine is None:
        return _show(folder, as_json=options.json)
    if options.action is None:
        raise DataError(
            f"what is to be done with {options.machine}?",
            where="ACTION",
            fix=f"name one of: {', '.join(ACTIONS)}",
        )
    if options.action in ("run", "stop") and options.for_s is None:
        raise DataError(f"{options.action} needs an end", where="--for", fix="give --for 2h, or 30m, or 1d")
    station = (
        _station_named(site, options.machine)
        if options.action == "believe"
        else _station_of(site, options.machine, options.station)
    )
    wanted = {"station": station, "machine": options.machine, "for_s": options.for_s}
    try:
        request_id = leave_request(folder, options.action, json.dumps(wanted), who_asks(), options.why)
    except OSError as error:
        raise DataError(
            f"the request cannot be left: {error.strerror}",
            where=str(folder / "requests"),
            fix="run this as root or as the agent's user (sudo -u trimload ...)",
        ) from None
    answer = asyncio.run(_wait(folder, request_id, options.wait_s))
    if answer is None:
        # An order that is obeyed hours later is none that anybody gave.
        withdraw_request(folder, request_id)
        sys.stderr.write(
            f"trimload: the agent did not answer within {options.wait_s:g} s: nothing was changed\n"
        )
        return 1
    if options.json:
        sys.stdout.write(json.dumps(answer) + "\n")
    else:
        sys.stdout.write("done\n" if answer["ok"] else f"no: {answer['reason']}\n")
        _rows(answer["overrides"])
    return 0 if answer["ok"] else 1


def _show(folder: Path, *, as_json: bool) -> int:
    held = overrides_body(read_overrides(folder))
    if as_json:
        sys.stdout.write(json.dumps({"overrides": held}) + "\n")
    else:
        _rows(held)
        if not held:
            sys.stdout.write("nothing is overridden\n")
    return 0


def _rows(held: Sequence[dict[str, Any]]) -> None:
    for each in held:
        end = (
            "until released" if each["until"] is None else f"until {each['until'][:16].replace('T', ' ')} UTC"
        )
        place = " (from afar)" if each["remote"] else ""
        why = f": {each['why']}" if each["why"] else ""
        sys.stdout.write(
            f"{each['station']} {each['machine']:<8} {each['action']:<8} {end}, {each['who']}{place}{why}\n"
        )


def _station_of(site: Site, machine: str, given: str | None) -> str:
    holders = [name for name, station in site.stations.items() if machine in station.machines]
    if given is not None:
        holders = [name for name in holders if name == given]
    if len(holders) == 1:
        return holders[0]
    if holders:
        raise ConfigError(
            f"stations {', '.join(holders)} all have a machine {machine!r}", where="--station", fix="name one"
        )
    known = ", ".join(m for name, s in site.stations.items() if given in (None, name) for m in s.machines)
    raise ConfigError(f"no machine {machine!r}", where="MACHINE", fix=f"name one of: {known}")


def _station_named(site: Site, name: str) -> str:
    if name not in site.stations:
        raise ConfigError(
            f"no station {name!r}", where="MACHINE", fix=f"name one of: {', '.join(site.stations)}"
        )
    return name


async def _wait(folder: Path, request_id: str, limit_s: float) -> dict[str, Any] | None:
    began_s = elapsed_s()
    while (answer := take_answer(folder, request_id)) is None and elapsed_s() - began_s < limit_s:
        await pause(0.1)
    return answer


def _span_s(text: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|m|h|d)", text.strip())
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time such as 90s, 30m, 2h or 1d")
    return float(found[1]) * _UNITS_S[found[2]]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="trimload override",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("site", type=Path, metavar="SITE.toml", help="the site's configuration")
    parser.add_argument(
        "machine", nargs="?", metavar="MACHINE", help="its name in site.toml; for believe the station's"
    )
    parser.add_argument("action", nargs="?", choices=ACTIONS, metavar="ACTION", help=", ".join(ACTIONS))
    parser.add_argument(
        "--for", dest="for_s", type=_span_s, metavar="SPAN", help="90s, 30m, 2h, 1d; at most 7d"
    )
    parser.add_argument("--why", default="", help="for the ledger")
    parser.add_argument("--station", help="where several stations have a machine of that name")
    parser.add_argument("--state", type=Path, help="state directory (default: [storage] directory)")
    parser.add_argument("--wait-s", type=float, default=30.0, help="longest wait for the agent (30)")
    parser.add_argument("--json", action="store_true", help="print JSON for machines")
    return parser
