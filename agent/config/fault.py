"""One fault of a site file, before it is known which file and line it stands in."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from agent.config.where import Place, line_numbers, line_of, place_text
from agent.errors import ConfigError


class Fault(NamedTuple):
    """What is wrong at `place`, and how to put it right. `table`: the place is a table, not a key of one."""

    place: Place
    what: str
    fix: str
    table: bool = False

    def error(self, file: str = "", lines: Mapping[Place, int] | None = None) -> ConfigError:
        """The fault as a person reads it: file and line first where they are known."""
        line = line_of(self.place, lines) if lines else None
        origin = f"{file}:{line}" if file and line else file
        where = " ".join(text for text in (origin, place_text(self.place, table=self.table)) if text)
        where = where or "site.toml"
        return ConfigError(self.what, where=where, fix=self.fix)


def located(faults: Iterable[Fault], file: str, text: str) -> list[ConfigError]:
    """The faults as a person reads them, in the order of the lines of `text`."""
    lines = line_numbers(text)
    in_order = sorted(faults, key=lambda fault: line_of(fault.place, lines) or 0)
    return [fault.error(file, lines) for fault in in_order]
