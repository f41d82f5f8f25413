"""`trimload check` and `trimload schema`: a site file read by the agent's own eyes, before it runs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from agent.config.doubts import doubts
from agent.config.fault import Fault, located
from agent.config.load import SiteErrors, load_site
from agent.config.reference import key_tables
from agent.config.site import Site
from agent.errors import ConfigError

EXIT_GOOD = 0
EXIT_FAULTY = 2

_CHECK = """\
Check a site file and name every fault with its line and a fix.

First the shape (keys, types, ranges, units), then what contradicts what: tags that nobody describes,
two values on one register, pressures above a nameplate, a band that does not fit, commands without a
range or outside allow_writes, machines in mode "control" that would not notice a dead agent ...
Nothing is connected to and nothing is written.
"""

_CHECK_EXAMPLES = """\
examples:
  trimload check site.toml
  trimload check site.toml --json | jq .errors
  trimload check examples/demo/site.toml          a good one to copy from

exit status:
  0  good (warnings may be printed)      2  faulty: the agent would refuse to start
"""

_SCHEMA = """\
Print the JSON Schema of site.toml, for editors that complete and check while you type.
"""

_SCHEMA_EXAMPLES = """\
example (VS Code with "Even Better TOML", or any editor with taplo):
  trimload schema > site.schema.json
  then begin site.toml with the line    #:schema ./site.schema.json
"""


class Review(NamedTuple):
    """What was found in a site file. `site` is None where there are errors."""

    site: Site | None
    errors: tuple[ConfigError, ...]
    warnings: tuple[ConfigError, ...]


def review(path: Path) -> Review:
    """Read `path` as the agent would, and gather errors or warnings."""
    try:
        site = load_site(path)
    except SiteErrors as error:
        return Review(None, error.errors, ())
    text = path.read_text(encoding="utf-8-sig")
    return Review(site, (), tuple(located([*doubts(site), *_absent_files(site)], path.name, text)))


def check_command(argv: Sequence[str]) -> int:
    """Run `trimload check`; returns the exit status, 0 good or 2 faulty."""
    parser = argparse.ArgumentParser(
        prog="trimload check",
        description=_CHECK,
        epilog=_CHECK_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("site", type=Path, metavar="SITE.toml", help="the site file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    options = parser.parse_args(argv)
    found = review(options.site)
    print(as_json(found, options.site) if options.json else as_text(found, options.site))
    return EXIT_FAULTY if found.errors else EXIT_GOOD


def schema_command(argv: Sequence[str]) -> int:
    """Run `trimload schema`: JSON Schema of site.toml, or its keys as Markdown, on standard output."""
    parser = argparse.ArgumentParser(
        prog="trimload schema",
        description=_SCHEMA,
        epilog=_SCHEMA_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--markdown", action="store_true", help="print the keys as tables for people instead")
    options = parser.parse_args(argv)
    print(key_tables() if options.markdown else json.dumps(site_schema(), indent=1))
    return EXIT_GOOD


def site_schema() -> dict[str, object]:
    """JSON Schema (draft 2020-12) of site.toml."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Site.model_json_schema(by_alias=True),
        "title": "Trimload site.toml",
    }


def as_text(found: Review, path: Path) -> str:
    """The faults and warnings, three lines each, and a closing sentence."""
    blocks = [str(error) for error in found.errors]
    blocks += [str(doubt).replace("ConfigError:", "Warning:", 1) for doubt in found.warnings]
    if found.site is not None:
        blocks.append(f"{path} is good: {_contents(found.site)}.")
    else:
        count = len(found.errors)
        blocks.append(f"{path} has {count} fault{'s' if count > 1 else ''}; the agent would refuse to start.")
    return "\n\n".join(blocks)


def as_json(found: Review, path: Path) -> str:
    """The same for machines: {file, good, errors, warnings, found}."""
    return json.dumps(
        {
            "file": str(path),
            "good": found.site is not None,
            "errors": [error.as_dict() for error in found.errors],
            "warnings": [doubt.as_dict() for doubt in found.warnings],
            "found": None if found.site is None else _counts(found.site),
        },
        indent=1,
    )


def _counts(site: Site) -> dict[str, int]:
    zones, units = (site.hvac.zones, site.hvac.units) if site.hvac is not None else ({}, {})
    return {
        "stations": len(site.stations),
        "machines": sum(len(station.machines) for station in site.stations.values()),
        "units": len(units),
        "zones": len(zones),
        "devices": len(site.devices),
        "tags": len(site.points),
        "tags_to_write": sum(point.writable and site.may_write(tag) for tag, point in site.points.items()),
    }


def _contents(site: Site) -> str:
    counts = _counts(site)
    parts = [
        f"station '{name}' with {_some(len(station.machines), 'machine')} ({station.mode})"
        for name, station in site.stations.items()
    ]
    if site.hvac is not None:
        parts.append(
            f"{_some(counts['zones'], 'zone')} on {_some(counts['units'], 'unit')} ({site.hvac.mode})"
        )
    parts.append(
        f"{_some(counts['tags'], 'tag')} on {_some(counts['devices'], 'device')}, "
        f"{counts['tags_to_write'] or 'none'} of which may be written"
    )
    return "; ".join(parts)


def _some(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def _absent_files(site: Site) -> Iterator[Fault]:
    """Files that are named but not there (yet): models and certificates may be brought later."""
    for target, path in site.models.items():
        if not path.is_file():
            yield Fault(
                ("models", target),
                f"there is no model {path}: until it comes, '{target}' is forecast by the naive rule",
                "train one (trimload-train fit), or correct the path; it is relative to site.toml",
            )
    if site.uplink is None:
        return
    for key in ("ca_file", "cert_file", "key_file"):
        path = getattr(site.uplink, key)
        if path is not None and not path.is_file():
            yield Fault(
                ("uplink", key),
                f"there is no file {path}: the broker cannot be reached until it is there",
                "bring it, or correct the path; it is relative to site.toml",
            )
