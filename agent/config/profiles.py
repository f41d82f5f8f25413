"""Device profiles: what every device of a make and model has in common, in one TOML file each."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import Field, ValidationError

from agent.config.fault import Fault, located
from agent.config.parts import Part, Point
from agent.config.schema_faults import schema_faults
from agent.config.toml_text import parse_toml
from agent.config.where import nearest
from agent.errors import ConfigError

DRIVERS = ("modbus-tcp", "opcua", "lines")
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
        return ProfileText(f"profile {own.name}", own.read_text(encoding="utf-8-sig"))
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


class Merged(NamedTuple):
    """What became of the devices' profiles. `errors` are of profile files, `faults` of site.toml."""

    faults: tuple[Fault, ...]
    errors: tuple[ConfigError, ...]
    unusable: frozenset[str]  # devices whose points are not known for that reason


def merge_profiles(raw: dict[str, Any], base: Path) -> Merged:
    """Lay the points of each device of `raw` over those of its profile, in place.

    `base` is the folder of site.toml. A device without the shape of one is left for the schema to name.
    """
    faults: list[Fault] = []
    errors: dict[str, ConfigError] = {}  # by text: two devices of one make would name the same fault twice
    unusable: set[str] = set()
    devices = raw.get("devices")
    for name, device in devices.items() if isinstance(devices, dict) else ():
        if not isinstance(device, dict) or not isinstance(own := device.get("points", {}), dict):
            continue
        below: dict[str, Any] = {}
        if isinstance(wanted := device.get("profile"), str):
            place = ("devices", name, "profile")
            table: dict[str, Any] = {}
            try:
                found = find_profile(wanted, base)
                table = profile_table(found)
                below = table["points"]
            except ConfigError as error:
                if error.where:
                    errors[str(error)] = error
                else:
                    faults.append(Fault(place, error.what, error.fix))
                unusable.add(name)
            except ProfileErrors as several:
                errors |= {str(error): error for error in several.errors}
                unusable.add(name)
            driver, meant = device.get("driver"), table.get("profile", {}).get("driver")
            if meant and driver in DRIVERS and driver != meant:
                faults.append(
                    Fault(
                        place,
                        f"profile '{wanted}' is for driver \"{meant}\", but device '{name}' has driver \"{driver}\"",
                        f'set driver = "{meant}", or take another profile',
                    )
                )
                unusable.add(name)
                continue
        if below or own:
            device["points"] = merged_points(below, own, name)
    return Merged(tuple(faults), tuple(errors.values()), frozenset(unusable))


class ProfileErrors(Exception):
    """All faults of a profile file."""

    def __init__(self, errors: list[ConfigError]) -> None:
        super().__init__(*errors)
        self.errors = errors


def profile_table(found: ProfileText) -> dict[str, Any]:
    """The file's tables, which fit `Profile`. Raises ConfigError for no TOML, ProfileErrors for no profile."""
    table = parse_toml(found.text, found.file)
    try:
        Profile.model_validate(table)
    except ValidationError as error:
        raise ProfileErrors(located(schema_faults(error, Profile), found.file, found.text)) from None
    return table
