"""A past in one CSV, as people and systems write them: rows for the history, or one clear error."""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path

from agent.config.site import Site
from agent.errors import DataError
from agent.log import get_logger
from agent.store.tags import WEATHER_WIND_TAG, demand_tag, mode_tag

log = get_logger(__name__)

TIME_NAMES = frozenset({"time", "timestamp", "datetime", "date", "at", "ts", "utc", "instant"})
SEPARATORS = (",", ";", "\t")
UNKNOWN = frozenset({"", "na", "n/a", "#n/a", "nan", "null", "none", "-", "--", "?", "unknown"})
STATES = {"true": 1.0, "on": 1.0, "yes": 1.0, "false": 0.0, "off": 0.0, "no": 0.0}
SHOWN = 5  # strange columns that a message names


def history_rows(path: Path, site: Site | None = None) -> Iterator[tuple[datetime, str, float | None]]:
    """Rows of a history CSV: one column the time, the others tags; what says "unknown" is None.

    Columns may stand in any order, separated by comma, semicolon (then numbers may have a decimal comma) or tab.
    With `site`, a file of which no column is one of its tags is refused, and strange columns are logged. Raises
    DataError with line and column for what cannot be meant.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            head_line = file.readline()
            separator = max(SEPARATORS, key=head_line.count)
            head = [name.strip() for name in next(csv.reader([head_line], delimiter=separator), [])]
            when, strange = _checked_head(head, path, site)
            for number, row in enumerate(csv.reader(file, delimiter=separator), start=2):
                if not any(field.strip() for field in row):
                    continue
                where = f"{path} line {number}"
                if len(row) > len(head):
                    raise DataError(
                        f"{len(row)} fields under {len(head)} columns",
                        where=where,
                        fix="quote fields that hold the separator, or separate by semicolons where the comma is decimal",
                    )
                if len(row) <= when:
                    raise DataError(
                        "the row has no time", where=where, fix="leave the row out, or write its time"
                    )
                at = instant(row[when].strip(), where)
                for tag, field in zip(head, row, strict=False):  # a row cut short: what is missing is unknown
                    if tag != head[when] and tag not in strange:
                        yield at, tag, _number(field, f"{where} column {tag}", decimal_comma=separator != ",")
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror}", where=str(path), fix="name a readable file"
        ) from None
    except UnicodeDecodeError:
        raise DataError(
            f"{path} is not text in UTF-8", where=str(path), fix="save it as CSV in UTF-8"
        ) from None
    except csv.Error as error:
        raise DataError(f"{path} is no CSV: {error}", where=str(path), fix="save it as CSV") from None


def instant(raw: object, where: str) -> datetime:
    """An ISO 8601 instant with its zone, in UTC. Raises DataError."""
    try:
        text = re.sub(r"\s+(?=[+-]\d\d)|\s+(?=Z$)", "", re.sub(r"\s*UTC$", "Z", str(raw)))
        at = datetime.fromisoformat(text) if isinstance(raw, str) and not raw.isdigit() else None
        if at is not None and at.tzinfo is not None:
            at = at.astimezone(UTC)
    except (ValueError, OverflowError):
        at = None
    if at is not None and at.tzinfo is None:
        raise DataError(
            f"{raw!r} is a time without its zone: no instant, for an hour comes twice when clocks go back",
            where=where,
            fix='add the offset, "2026-01-05T08:00:00+01:00", or Z for UTC',
        )
    if at is None:
        raise DataError(
            f"{raw!r} is no instant", where=where, fix='write ISO 8601 with zone, "2026-01-05T08:00:00Z"'
        )
    return at


def _checked_head(head: list[str], path: Path, site: Site | None) -> tuple[int, frozenset[str]]:
    """Place of the time column, and columns that are no tags of the site. Raises DataError for a head that cannot be meant."""
    where = f"{path} line 1"
    if len(head) < 2:
        raise DataError(f"{path} has no columns", where=where, fix="write a time column and one column a tag")
    twice = sorted({name for name in head if head.count(name) > 1})
    if twice:
        raise DataError(f"column {twice[0]!r} stands there twice", where=where, fix="leave one of them out")
    if _is_value(head[0]):
        raise DataError(
            "the first line holds values, not the names of columns",
            where=where,
            fix='name them: "time" and the tags of site.toml',
        )
    named = [place for place, name in enumerate(head) if name.lower() in TIME_NAMES]
    when = named[0] if named else 0
    if site is None:
        return when, frozenset()
    return when, _strange(head[:when] + head[when + 1 :], tags_of(site), path)


def tags_of(site: Site) -> frozenset[str]:
    """Every tag that a past of the site may hold."""
    stations = {demand_tag(name) for name in site.stations}
    modes = {mode_tag(name) for name in [*site.stations, "hvac"]}
    return frozenset(site.points) | stations | modes | {WEATHER_WIND_TAG}


def _strange(columns: list[str], tags: Collection[str], path: Path) -> frozenset[str]:
    strange = [name for name in columns if name not in tags]
    if not strange:
        return frozenset()
    near = {name: get_close_matches(name, tags, 1) for name in strange[:SHOWN]}
    meant = ", ".join(
        f"{name!r}" + (f" (meant {found[0]!r}?)" if found else "") for name, found in near.items()
    )
    if len(strange) == len(columns):
        raise DataError(
            f"no column is a tag of this site: {meant}",
            where=f"{path} line 1",
            fix="name each column by its tag in site.toml, such as "
            + repr(min(tags, default="rtu1.zone_temp")),
        )
    log.warning("history_columns_left_out", where=str(path), columns=meant, count=len(strange))
    return frozenset(strange)


def _is_value(name: str) -> bool:
    try:
        datetime.fromisoformat(name)
    except ValueError:
        return re.fullmatch(r"[-+]?\d+([.,]\d+)?", name) is not None
    return True


def _number(field: str, where: str, *, decimal_comma: bool) -> float | None:
    text = field.strip()
    if text.lower() in UNKNOWN:
        return None
    if text.lower() in STATES:
        return STATES[text.lower()]
    try:
        return float(text.replace(",", ".") if decimal_comma else text)
    except ValueError:
        raise DataError(
            f"{field!r} is no number", where=where, fix="leave the field empty where unknown"
        ) from None
