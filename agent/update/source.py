"""Where a repository's bytes come from: a folder (USB stick), or anything else that can stream a file.

A source is not trusted. It says what it has; python-tuf decides what of it is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

_CHUNK = 256 << 10


class NotThereError(Exception):
    """The source says that it has no such file (or not for this site)."""


class SourceGoneError(Exception):
    """The source does not answer: to be tried again later."""


class BudgetSpentError(Exception):
    """The day's bytes are used up: to be tried again tomorrow."""


class StoppedError(Exception):
    """The agent is about to end; what was fetched stays."""


class Stream(NamedTuple):
    """A file from some offset on: its whole size as the source states it, and its bytes."""

    size: int
    content: Iterator[bytes]


class Source(Protocol):
    """One file at a time, in order, from any offset."""

    def stream(self, path: str, offset: int = 0) -> Stream:
        """Bytes of `metadata/...` or `targets/...`. Raises NotThereError, SourceGoneError, StoppedError."""
        ...


class FolderSource:
    """A copy of the repository in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def stream(self, path: str, offset: int = 0) -> Stream:
        file = self._folder / path
        if not file.resolve().is_relative_to(self._folder.resolve()):
            raise NotThereError(path)
        try:
            size = file.stat().st_size
        except (FileNotFoundError, NotADirectoryError):
            raise NotThereError(path) from None
        except OSError as error:
            raise SourceGoneError(f"{file}: {error.strerror}") from error
        return Stream(size, self._read(file, offset))

    def _read(self, file: Path, offset: int) -> Iterator[bytes]:
        try:
            with file.open("rb") as content:
                content.seek(offset)
                while chunk := content.read(_CHUNK):
                    yield chunk
        except OSError as error:
            raise SourceGoneError(f"{file}: {error.strerror}") from error


class MeteredSource:
    """A source whose bytes are counted against the day's budget."""

    def __init__(self, source: Source, left: Callable[[], int], spend: Callable[[int], None]) -> None:
        self._source, self._left, self._spend = source, left, spend

    def stream(self, path: str, offset: int = 0) -> Stream:
        if self._left() <= 0:
            raise BudgetSpentError("the day's bytes are used up")
        inner = self._source.stream(path, offset)
        return Stream(inner.size, self._counted(inner.content))

    def _counted(self, content: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in content:
            self._spend(len(chunk))
            yield chunk
            if self._left() <= 0:
                raise BudgetSpentError("the day's bytes are used up")
