"""From site.toml to a Site: read, merge the profiles in, check, and name every fault at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from agent.config.contradictions import faults_of
from agent.config.fault import Fault
from agent.config.profiles import Profile, find_profile, merged_points, profile_table
from agent.config.schema_faults import schema_faults
from agent.config.site import Site
from agent.config.where import line_numbers, line_of
from agent.errors import ConfigError, TrimloadError

DRIVERS = ("modbus-tcp", "opcua", "lines")


class SiteErrors(TrimloadError):
    """All faults of a site file. The first one gives the three fields; `errors` has them all."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        first = errors[0]
        super().__init__(first.what, where=first.where, fix=first.fix)
        self.errors = tuple(errors)

    def __str__(self) -> str:
        return "\n".join(str(error) for error in self.errors)


def load_site(path: Path) -> Site:
    """The site that `path` describes, schema and contradictions checked, relative paths resolved beside it.

    Raises SiteErrors with every fault that can be seen at once.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise SiteErrors([_unreadable(path, error.strerror or str(error))]) from None
    except UnicodeDecodeError as error:
        raise SiteErrors([_unreadable(path, f"byte {error.start} is not UTF-8")]) from None
    site = parse_site(text, path.parent, file=path.name)
    if faults := faults_of(site):
        raise SiteErrors(located(faults, path.name, text))
    return site


def located(faults: Iterable[Fault], file: str, text: str) -> list[ConfigError]:
    """The faults as a person reads them, in the order of the lines of `text`."""
    lines = line_numbers(text)
    in_order = sorted(faults, key=lambda fault: line_of(fault.place, lines) or 0)
    return [fault.error(file, lines) for fault in in_order]


def parse_site(text: str, base: Path, *, file: str = "site.toml") -> Site:
    """The site that `text` describes, checked against the schema only.

    `base` is the folder for own profiles and relative paths; `file` is what errors call the text.
    Raises SiteErrors. For contradictions between values see agent/config/contradictions.py.
    """
    try:
        raw = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SiteErrors([_not_toml(str(error), text, file)]) from None
    errors = _merge_profiles(raw, base, file, text)
    try:
        site = Site.model_validate(raw)
    except ValidationError as error:
        errors += located(schema_faults(error, Site), file, text)
    else:
        if not errors:
            return _resolved(site, base)
    raise SiteErrors(errors)


def _unreadable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"the site file cannot be read: {why}",
        where=str(path),
        fix="give the path of a site.toml; examples/ has some to copy",
    )


def _not_toml(message: str, text: str, file: str) -> ConfigError:
    """TOML's own message with the line it means, and the likeliest fix for it."""
    found = re.search(r" \(at (?:line (\d+), column (\d+)|end of document)\)$", message)
    rows = text.splitlines()
    line = int(found[1]) if found and found[1] else max(1, len(rows))
    what = message[: found.start()] if found else message
    shown = rows[line - 1].strip() if line <= len(rows) else ""
    fix = "correct the line" + (f": {shown}" if shown else "")
    if comma := re.search(r"=\s*-?\d+,\d+", shown):
        fix = f"the decimal sign is a point: {shown.replace(comma[0], comma[0].replace(',', '.'), 1)}"
    elif "Invalid value" in what:
        fix = f"text needs quotes, a decimal sign is a point, and every key a value: {shown}"
    elif "Cannot overwrite" in what or "Cannot declare" in what:
        what = f"{shown} stands above already"
        fix = "keep one of the two, or give the second its own id"
    return ConfigError(f"this is not TOML: {what}", where=f"{file}:{line}", fix=fix)


def _merge_profiles(raw: dict[str, Any], base: Path, file: str, text: str) -> list[ConfigError]:
    """Lay the devices' points over their profiles, in `raw`. Gives the faults of profiles.

    A device without the shape of one is left for the schema to name.
    """
    errors: list[ConfigError] = []
    devices = raw.get("devices")
    for name, device in devices.items() if isinstance(devices, dict) else ():
        if not isinstance(device, dict) or not isinstance(own := device.get("points", {}), dict):
            continue
        profile = device.get("profile")
        below: dict[str, Any] = {}
        if isinstance(profile, str):
            found = _read_profile(profile, base, name, errors, file, text)
            if found is None:
                continue
            below = found["points"]
            if device.get("driver") in DRIVERS and device["driver"] != found["profile"]["driver"]:
                errors.append(
                    _other_driver(name, device["driver"], found["profile"]["driver"], profile, file, text)
                )
                continue
        device["points"] = merged_points(below, own, name)
    return errors


def _read_profile(
    name: str, base: Path, device: str, errors: list[ConfigError], file: str, text: str
) -> dict[str, Any] | None:
    """The profile as tables; None with the fault added to `errors`."""
    try:
        found = find_profile(name, base)
    except ConfigError as error:
        fault = Fault(("devices", device, "profile"), error.what, error.fix)
        errors.append(fault.error(file, line_numbers(text)))
        return None
    try:
        table = profile_table(found)
        Profile.model_validate(table)
    except tomllib.TOMLDecodeError as error:
        new = [_not_toml(str(error), found.text, found.file)]
    except ValidationError as error:
        new = located(schema_faults(error, Profile), found.file, found.text)
    else:
        return table
    # Two devices of one make would name the same fault twice.
    errors += [error for error in new if str(error) not in {str(e) for e in errors}]
    return None


def _other_driver(device: str, driver: str, meant: str, profile: str, file: str, text: str) -> ConfigError:
    fault = Fault(
        ("devices", device, "profile"),
        f"profile '{profile}' is for driver \"{meant}\", but device '{device}' has driver \"{driver}\"",
        f'set driver = "{meant}", or take another profile',
    )
    return fault.error(file, line_numbers(text))


def _resolved(site: Site, base: Path) -> Site:
    """The site with its relative paths beside site.toml, wherever the agent is started."""
    uplink = site.uplink
    if uplink is not None:
        files = {
            key: base / path
            for key in ("ca_file", "cert_file", "key_file")
            if (path := getattr(uplink, key)) is not None
        }
        uplink = uplink.model_copy(update=files)
    storage = site.storage.model_copy(update={"directory": base / site.storage.directory})
    models = {target: base / path for target, path in site.models.items()}
    return site.model_copy(update={"storage": storage, "uplink": uplink, "models": models})
