"""Files that are there whole or not at all, also after a cut of power."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

_CHUNK = 1 << 20


def write_durably(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """A reader, and the disk after a cut of power, have the old file or the new one. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    with partial.open("wb") as out:
        out.write(content)
        out.flush()
        os.fchmod(out.fileno(), mode)
        os.fsync(out.fileno())
    move_durably(partial, path)


def move_durably(source: Path, target: Path) -> None:
    """Rename within one file system; on the disk when it returns. The file's content was flushed before."""
    target.parent.mkdir(parents=True, exist_ok=True)
    source.replace(target)
    flush_directory(target.parent)


def flush_directory(directory: Path) -> None:
    """Names of files made, renamed or removed in `directory` are on the disk when it returns."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


FileStates = frozenset[tuple[str, int, int]]


def file_states(directory: Path) -> FileStates:
    """Path, inode and time of change of every file below `directory`."""
    return frozenset(
        (str(path), state.st_ino, state.st_mtime_ns)
        for folder, _, names in os.walk(directory)
        for path in (Path(folder, name) for name in names)
        for state in (path.lstat(),)
    )


def flush_changed(directory: Path, known: FileStates) -> FileStates:
    """Every file below `directory` that is not in `known`, and its name, are on the disk; gives the new `known`."""
    found = file_states(directory)
    changed = {Path(path) for path, _, _ in found - known}
    for path in changed:
        if not path.is_symlink():
            flush_file(path)
    for folder in {path.parent for path in changed}:
        flush_directory(folder)
    return found


def flush_file(path: Path) -> None:
    """The file's content is on the disk when it returns."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256_of(path: Path) -> str:
    """Hash of a file's content, hexadecimal. Raises OSError."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()
