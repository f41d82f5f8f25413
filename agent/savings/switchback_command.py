"""`trimload switchback`: the plan of a switchback test, and what it has shown so far."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from agent.config.load import load_site
from agent.config.site import Hvac, Site
from agent.errors import ConfigError, DataError
from agent.planner.switchback import days
from agent.savings.figure import Unsupported
from agent.savings.switchback import analyse
from agent.savings.switchback_measured import read_days
from agent.savings.switchback_told import page, plan_dict, plan_text, result_dict, result_text
from agent.store.reading import HistoryReader

EXIT_OK, EXIT_BAD_NEWS = 0, 1

_DESCRIPTION = """\
What the agent saves in heating and cooling, measured on the site itself: blocks of days under the agent and under
the site's own control by turns, drawn by lot. Before/after comparisons cannot show savings under 10 %: another
summer is another summer.
"""
_EPILOG = """\
Write the test into site.toml; the agent then hands over to the site's own control in the blocks drawn for it:

  [hvac.switchback]
  begin = 2026-05-04
  days = 100         # longer for savings under 10 %
  block_days = 10    # 3 to 13, not 7; the first day of each does not count

  trimload switchback plan site.toml
  trimload switchback report site.toml --html test.html
  trimload switchback report site.toml --state /var/lib/trimload --json

exit codes: 0 done; 1 done, but more was used than under the own control, or no figure can be given; 2 bad input
"""


def command(argv: Sequence[str]) -> int:
    """Run `trimload switchback`."""
    parser = argparse.ArgumentParser(
        prog="trimload switchback",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("what", choices=("plan", "report"), help="the blocks, or what they have shown")
    parser.add_argument("site", type=Path, metavar="SITE.toml", help="the site's configuration")
    parser.add_argument("--state", type=Path, help="state directory (default: [storage] directory)")
    parser.add_argument(
        "--json", metavar="OUT", nargs="?", const="-", help="figures for machines; alone: to standard output"
    )
    parser.add_argument("--html", metavar="OUT", help="a page to print, everything in one file")
    args = parser.parse_args(list(argv))
    site = load_site(args.site)
    test = days(site.hvac or Hvac(), site.site.timezone)
    if not test:
        raise ConfigError(
            "the site has no switchback test",
            where=f"{args.site} [hvac.switchback]",
            fix="add [hvac.switchback] with begin = 2026-05-04 (trimload switchback --help shows one)",
        )
    if args.what == "plan":
        _give(args.json, plan_dict(test), plan_text(test, site.site.timezone))
        return EXIT_OK
    return _report(site, args)


def _report(site: Site, args: argparse.Namespace) -> int:
    with HistoryReader((args.state or site.storage.directory) / "history.db") as source:
        span = source.span()
        if span is None:
            raise DataError(
                "the history is empty", where=str(source.path), fix="let the agent run for a day first"
            )
        counted, left = read_days(source, site, span[1])
    found = analyse(counted)
    name, currency = site.site.name or site.site.id, site.tariff.currency
    if args.html is not None:
        _write(args.html, page(name, found, left, currency), "--html")
    _give(args.json, result_dict(found, left), result_text(name, found, left, currency))
    return EXIT_BAD_NEWS if isinstance(found, Unsupported) or found.energy.saved_kwh < 0 else EXIT_OK


def _give(target: str | None, body: object, text: str) -> None:
    if target is not None:
        _write(target, json.dumps(body, indent=1, allow_nan=False) + "\n", "--json")
    if target != "-":
        print(text)


def _write(target: str, content: str, option: str) -> None:
    if target == "-":
        sys.stdout.write(content)
        return
    try:
        Path(target).write_text(content, encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{target} cannot be written: {error.strerror}", where=option, fix="name another file"
        ) from None
