"""Where in site.toml something stands, in the words of the file: `[stations.air.machines.c1] full_power_kw`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence

Place = tuple[str | int, ...]

_BARE = re.compile(r"[A-Za-z0-9_-]+")
_HEADER = re.compile(r"^\s*(\[\[?)\s*(.+?)\s*\]\]?\s*(#.*)?$")
_KEY = re.compile(
    r"""^\s*((?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+)(?:\s*\.\s*(?:"[^"]*"|'[^']*'|[A-Za-z0-9_-]+))*)\s*="""
)
_PART = re.compile(r""""([^"]*)"|'([^']*)'|([A-Za-z0-9_-]+)""")


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word most like `word`, None when nothing is near."""
    by_lower = {k.lower(): k for k in known}
    found = difflib.get_close_matches(word.lower(), list(by_lower), n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def place_text(place: Sequence[str | int], *, table: bool = False) -> str:
    """`("tariff", "periods", 0, "from")` -> "[tariff] periods[0].from"; "" for the whole file. `table` keeps all in the brackets."""
    if not place:
        return ""
    words: list[str] = []
    indexed = None  # position of the first word that is a list: from there on it is a value, not a table
    for part in place:
        if isinstance(part, int):
            indexed = len(words) - 1 if indexed is None else indexed
            words[-1] += f"[{part}]"
        else:
            words.append(part if _BARE.fullmatch(part) else f'"{part}"')
    split = len(words) if table else len(words) - 1
    if indexed is not None:
        split = min(split, indexed)
    header, key = ".".join(words[:split]), ".".join(words[split:])
    return " ".join(text for text in (f"[{header}]" if header else "", key) if text)


def line_numbers(text: str) -> dict[Place, int]:
    """First line of every table and key that stands on a line of its own, by its place. 1-based.

    A reading of the layout, not of the values: what stands inside an inline table or a long string is
    found under the key that opens it.
    """
    lines: dict[Place, int] = {}
    header: Place = ()
    lists: dict[Place, int] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if match := _HEADER.match(line):
            header = tuple(_words(match[2]))
            if match[1] == "[[":
                lists[header] = lists.get(header, -1) + 1
                lines.setdefault(header, number)
                header = (*header, lists[header])
            lines.setdefault(header, number)
        elif match := _KEY.match(line):
            lines.setdefault((*header, *_words(match[1])), number)
    return lines


def line_of(place: Place, lines: Mapping[Place, int]) -> int | None:
    """Line of `place`, else of the innermost table or key around it that has one."""
    for end in range(len(place), 0, -1):
        if (found := lines.get(place[:end])) is not None:
            return found
    return None


def _words(dotted: str) -> list[str]:
    return [a or b or c for a, b, c in _PART.findall(dotted)]
