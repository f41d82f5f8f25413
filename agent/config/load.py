"""From site.toml to a Site: read, merge the profiles in, check, and name every fault at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import ValidationError

from agent.config.contradictions import faults_of
from agent.config.fault import Fault, located
from agent.config.mend import faults_of_the_rest
from agent.config.profiles import merge_profiles
from agent.config.schema_faults import schema_faults
from agent.config.site import Site
from agent.config.toml_text import parse_toml
from agent.errors import ConfigError, TrimloadError


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

    Raises SiteErrors with every fault that can be seen at once: a file that does not fit the schema is
    searched for contradictions in the rest as well.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SiteErrors([_unreadable(path, error.strerror or str(error))]) from None
    except UnicodeDecodeError as error:
        raise SiteErrors([_unreadable(path, f"byte {error.start} is not UTF-8")]) from None
    return _read(text, path.parent, path.name, contradictions=True)


def read_site(text: str, base: Path, *, file: str = "site.toml") -> Site:
    """As `load_site`, of a text that belongs into the folder `base` wherever it came from. Raises SiteErrors."""
    return _read(text, base, file, contradictions=True)


def parse_site(text: str, base: Path, *, file: str = "site.toml") -> Site:
    """The site that `text` describes, checked against the schema only.

    `base` is the folder for own profiles and relative paths; `file` is what errors call the text.
    Raises SiteErrors. For contradictions between values see agent/config/contradictions.py.
    """
    return _read(text, base, file, contradictions=False)


def _read(text: str, base: Path, file: str, *, contradictions: bool) -> Site:
    try:
        raw = parse_toml(text, file)
    except ConfigError as error:
        raise SiteErrors([error]) from None
    merged = merge_profiles(raw, base)
    faults: list[Fault] = list(merged.faults)
    site = None
    try:
        site = Site.model_validate(raw)
    except ValidationError as error:
        faults += schema_faults(error, Site)
    if contradictions and site is not None and not merged.unusable:
        faults += faults_of(site)
    elif contradictions:
        faults += faults_of_the_rest(raw, merged.unusable)
    errors = [*merged.errors, *located(faults, file, text)]
    if errors or site is None:
        raise SiteErrors(errors)
    return _resolved(site, base)


def _unreadable(path: Path, why: str) -> ConfigError:
    return ConfigError(
        f"the site file cannot be read: {why}",
        where=str(path),
        fix="give the path of a site.toml; examples/ has some to copy",
    )


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
    updates = site.updates
    if updates is not None:
        updates = updates.model_copy(update={"root_file": base / updates.root_file})
    production = site.production
    if production is not None and production.file is not None:
        production = production.model_copy(update={"file": base / production.file})
    hvac = site.hvac
    if hvac is not None and hvac.weather is not None and hvac.weather.file is not None:
        weather = hvac.weather.model_copy(update={"file": base / hvac.weather.file})
        hvac = hvac.model_copy(update={"weather": weather})
    if hvac is not None and hvac.models is not None:
        hvac = hvac.model_copy(update={"models": base / hvac.models})
    return site.model_copy(
        update={
            "storage": storage,
            "uplink": uplink,
            "models": models,
            "updates": updates,
            "production": production,
            "hvac": hvac,
        }
    )
