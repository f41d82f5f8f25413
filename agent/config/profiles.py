"""Device profiles: what every device of a make and model has in common, in one TOML file each."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field

from agent.config.parts import Part, Point
from agent.config.where import nearest
from agent.errors import ConfigError

SHIPPED = "agent.drivers.profiles"


class About(Part):
    """[profile]: what the file describes, and the protocol its addresses belong to."""

    make: str = Field(default="", description="Maker.")
    model: str = Field(default="", description="Model, controller, revision.")
    driver: Literal["modbus-tcp", "opcua", "lines"] = Field(description="Protocol the addresses belong to.")
    source: str = Field(
        default="", description="Manual, revision and page from which the addresses were taken."
    )


class Profile(Part):
    """A whole profile file."""

    profile: About
    points: dict[str, Point] = Field(min_length=1, description="Points of the device.")


class ProfileText(NamedTuple):
    """A profile as it was found. `file` is what errors call it."""

    file: str
    text: str


def shipped_profiles() -> tuple[str, ...]:
    """Names of the profiles that come with the agent, sorted."""
    return tuple(
        sorted(f.name[: -len(".toml")] for f in files(SHIPPED).iterdir() if f.name.endswith(".toml"))
    )


def find_profile(name: str, base: Path) -> ProfileText:
    """The text of profile `name`: one of the shipped ones, else NAME.toml beside site.toml (folder `base`).

    Raises ConfigError for a name that neither has, or that leaves the folder.
    """
    shipped = shipped_profiles()
    stem = name.removesuffix(".toml")
    if stem in shipped:
        return ProfileText(
            f"profile {stem}.toml", (files(SHIPPED) / f"{stem}.toml").read_text(encoding="utf-8")
        )
    own = base / f"{stem}.toml"
    if Path(stem).name == stem and own.is_file():
        return ProfileText(f"profile {own.name}", own.read_text(encoding="utf-8"))
    known = sorted({*shipped, *_beside(base)})
    close = nearest(stem, known)
    raise ConfigError(
        f"there is no profile '{name}'",
        where="",
        fix=f'write profile = "{close}"'
        if close
        else f"write one of {', '.join(known)}, or put {stem}.toml beside site.toml",
    )


def _beside(base: Path) -> Iterable[str]:
    return (p.stem for p in base.glob("*.toml") if p.name != "site.toml") if base.is_dir() else ()


def merged_points(profile: dict[str, Any], own: dict[str, Any], device: str) -> dict[str, Any]:
    """Points of the profile with the device's own changes laid over, key by key.

    `{device}` in a node id becomes the device's id. Neither argument is changed.
    """
    points: dict[str, Any] = {
        name: dict(point) if isinstance(point, dict) else point for name, point in profile.items()
    }
    for name, change in own.items():
        below = points.get(name)
        points[name] = {**below, **change} if isinstance(below, dict) and isinstance(change, dict) else change
    for name, point in points.items():
        if isinstance(point, dict) and isinstance(point.get("node"), str):
            points[name] = {**point, "node": point["node"].replace("{device}", device)}
    return points


def profile_table(found: ProfileText) -> dict[str, Any]:
    """The parsed file. Raises TOMLDecodeError; its shape is checked by `Profile`."""
    return tomllib.loads(found.text)
