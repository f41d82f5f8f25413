"""Whether updates would be believed here: the trusted roots, and what became of the last look."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from agent.config.site import Site
from agent.doctor.finding import Finding, ok, warn

_CHECK = "updates"


def updates(site: Site, state: Path, etc: Path, *, installed: bool) -> Iterator[Finding]:
    """`etc` holds root's own trusted root; `installed` says that a release folder runs, not a checkout."""
    if site.updates is None:
        yield ok(_CHECK, "no [updates]: nothing here is ever replaced from outside")
        return
    path = site.updates.root_file
    trouble = _root_trouble(path)
    if trouble:
        yield warn(
            _CHECK,
            f"[updates] root_file: {path} {trouble}",
            "copy the fleet's metadata/1.root.json there; without it no update is believed",
        )
    else:
        yield ok(_CHECK, f"{path} is a trusted root")
    if installed and "agent" in site.updates.kinds:
        yield from _roots_own(etc / "trust" / "root.json", path)
    yield from _last_look(state / "update" / "status.json")


def _roots_own(own: Path, agents: Path) -> Iterator[Finding]:
    trouble = _root_trouble(own)
    if trouble:
        yield warn(
            _CHECK,
            f"{own} {trouble}: releases of the agent are refused by root's own check",
            f"sudo cp {agents} {own}",
        )
    else:
        yield ok(_CHECK, f"{own} is root's own trusted root")


def _root_trouble(path: Path) -> str:
    """Why a file is no trusted root; "" when it is one. That it has expired does not matter: newer ones follow from it."""
    from tuf.api.exceptions import RepositoryError
    from tuf.api.metadata import Metadata, Root

    try:
        metadata = Metadata[Root].from_bytes(path.read_bytes())
        metadata.signed.verify_delegate("root", metadata.signed_bytes, metadata.signatures)
    except FileNotFoundError:
        return "is not there"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    except (RepositoryError, ValueError, AttributeError) as error:
        return f"is no root signed by its own keys ({type(error).__name__})"
    return ""


def _last_look(path: Path) -> Iterator[Finding]:
    """What the agent itself says of the repository; nothing before its first start."""
    try:
        trust = json.loads(path.read_text(encoding="utf-8"))["trust"]
        refused, unreachable, at = trust["refused"], trust["unreachable"], trust["refreshed_at"]
    except (OSError, ValueError, KeyError, TypeError):
        return
    if refused:
        yield warn(
            _CHECK,
            f"the repository was not believed: {refused}",
            "a clock that is wrong, or somebody in between: check the clock, then ask the fleet's operator",
        )
    elif unreachable:
        yield warn(
            _CHECK, f"the repository is out of reach: {unreachable}", "check [uplink], or bring it by stick"
        )
    elif at:
        yield ok(_CHECK, f"the repository was believed at {at}")
