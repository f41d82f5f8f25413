"""TOML text to tables, with an error that names the line and the likeliest fix."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from agent.errors import ConfigError


def parse_toml(text: str, file: str) -> dict[str, Any]:
    """The tables of `text`. Raises ConfigError; `file` is what it calls the text."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise _not_toml(str(error), text, file) from None


def _not_toml(message: str, text: str, file: str) -> ConfigError:
    """TOML's own message with the line it means. It stops at the first: nothing after it can be trusted."""
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
