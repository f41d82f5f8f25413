"""`trimload doctor SITE.toml`: everything that keeps a gateway from doing its work, and what to do about it."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.clock import WallClock
from agent.config.command import review
from agent.config.site import Site
from agent.doctor import access, gateway, plant
from agent.doctor.finding import Finding, Level, fail, ok, warn, worst
from agent.doctor.updates import updates
from agent.log import configure
from agent.update.place import installed_place

_TEXT = """\
Look whether this gateway is fit to run this site: configuration, clock, disk, memory, files and permissions,
dead-man of every machine, devices, broker, service and release. Devices are read, nothing is ever written to
them. While the service runs the devices are left to it: many controllers bear one connection only.
Run it as root (sudo) to have files and permissions tried as the service's own user.
"""
_MORE = """\
examples:
  sudo trimload doctor /etc/trimload/site.toml
  trimload doctor site.toml --json | jq '.findings[] | select(.level != "ok")'

exit status:
  0  fit (warnings may be printed)    1  something fails: see its fix    2  site.toml is faulty
"""
ETC = Path("/etc/trimload")


def command(argv: Sequence[str]) -> int:
    """Run `trimload doctor`; the exit status."""
    parser = argparse.ArgumentParser(
        prog="trimload doctor",
        description=_TEXT,
        epilog=_MORE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("site", type=Path, metavar="SITE.toml", help="the site file")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of text")
    parser.add_argument(
        "--state", type=Path, help="directory for the databases (default: [storage] directory)"
    )
    parser.add_argument("--no-devices", action="store_true", help="do not connect to devices and broker")
    options = parser.parse_args(argv)
    # What the drivers log while they try is said better in the findings.
    configure("error")
    found = review(options.site)
    findings = [fail("config", f"{each.what} ({each.where})", each.fix) for each in found.errors]
    findings += [warn("config", f"{each.what} ({each.where})", each.fix) for each in found.warnings]
    if found.site is not None:
        if not findings:
            findings.append(ok("config", f"{options.site}: site {found.site.site.id}"))
        findings += examine(found.site, options.state, with_devices=not options.no_devices)
    print(as_json(options.site, findings) if options.json else as_text(findings))
    if found.site is None:
        return 2
    return 1 if worst(findings) is Level.FAIL else 0


def examine(site: Site, state: Path | None, *, with_devices: bool) -> Iterator[Finding]:
    """Every check of a site whose configuration is good, in the order in which an engineer mends things."""
    state = state or site.storage.directory
    place = installed_place()
    unit = gateway.unit_state()
    user = access.service_user()
    now = WallClock().now()
    yield from gateway.clock(now, release=None if place is None else place.current)
    yield from gateway.memory(Path("/proc/meminfo").read_text(encoding="ascii"))
    yield from gateway.disk(site, state, None if place is None else place.releases)
    yield from access.store(state, user)
    yield from access.certificates(site, now, user)
    yield from access.credentials(ETC / "credentials")
    yield from updates(site, state, ETC, installed=place is not None)
    yield from plant.dead_man(site)
    if with_devices:
        if unit is not None and unit.get("ActiveState") == "active":
            yield from plant.skipped(unit)
        else:
            yield from asyncio.run(plant.devices(site))
        yield from plant.broker(site.uplink, site.site.id, plant.etc_password(ETC / "credentials"))
    yield from gateway.service(unit, place)


def as_text(findings: Sequence[Finding]) -> str:
    """One line each, its fix below, and the sum at the end."""
    lines = []
    for finding in findings:
        lines.append(f"{finding.level.value:<4}  {finding.check:<13} {finding.what}")
        if finding.fix:
            lines.append(f"{'':20}fix: {finding.fix}")
    counts = {level: sum(finding.level is level for finding in findings) for level in Level}
    lines.append(f"{counts[Level.OK]} ok, {counts[Level.WARN]} to put right, {counts[Level.FAIL]} failing")
    return "\n".join(lines)


def as_json(site: Path, findings: Sequence[Finding]) -> str:
    """{file, level, findings: [{check, level, what, fix}]}."""
    rows = [finding._asdict() for finding in findings]
    return json.dumps({"file": str(site), "level": worst(findings), "findings": rows}, indent=1)
