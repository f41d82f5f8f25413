"""What commands print, write and show while they work."""

import argparse
import json
import math
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

Tick = Callable[[str], None]

DONE, REFUSED, WRONG = 0, 1, 2


@contextmanager
def progress(total: int) -> Iterator[Tick]:
    """A bar on a terminal's standard error, silence elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description:24}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading", total=total)
        yield lambda text: bar.update(task, advance=1, description=text)


def say(options: argparse.Namespace, text: str) -> None:
    """For people, unless the JSON goes to standard output."""
    if getattr(options, "json", None) != Path("-"):
        print(text)


def write_json(path: Path | None, body: object) -> None:
    """To a file, to standard output for -, nowhere for None. What is not a number becomes null."""
    if path is None:
        return
    text = json.dumps(_plain(body), indent=2, default=str, allow_nan=False)
    if path == Path("-"):
        print(text)
    else:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + os.linesep)


def iso(at: datetime) -> str:
    """A UTC instant, ending in Z."""
    return at.isoformat().replace("+00:00", "Z")


def _plain(body: object) -> object:
    if isinstance(body, float) and not math.isfinite(body):
        return None
    if isinstance(body, Mapping):
        return {key: _plain(value) for key, value in body.items()}
    if isinstance(body, Sequence) and not isinstance(body, str):
        return [_plain(value) for value in body]
    return body
