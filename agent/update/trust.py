"""What a site believes: TUF metadata kept between looks, and files only as they are signed for.

The only module that imports python-tuf, loaded when updates are configured. It closes four gaps of its client:
nothing is flushed to the disk there, nothing resumes, a file under way is visible, and the clock is believed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tuf.api import exceptions
from tuf.api.metadata import TargetFile
from tuf.ngclient import Updater, UpdaterConfig
from tuf.ngclient.fetcher import FetcherInterface

from agent.update.files import FileStates, file_states, flush_changed, flush_file, move_durably
from agent.update.job import Assignment, JobFaultError, Target, read_assignment
from agent.update.source import BudgetSpentError, NotThereError, Source, SourceGoneError, StoppedError

# No agent is older than this: a clock before it is wrong. Raised with each release.
BUILT_AT = datetime(2026, 11, 24, tzinfo=UTC)
_TO_TRY_AGAIN = (SourceGoneError, BudgetSpentError, StoppedError)


class RefusedError(Exception):
    """The repository, or the clock, is not believed. `code` is python-tuf's or ours, `detail` for people."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


class Versions(NamedTuple):
    """What was believed last. A lower number than one of these, under the same root, is an attack."""

    root: int = 0
    timestamp: int = 0
    snapshot: int = 0
    counter: int = 0


NOTHING_KNOWN = Versions()


class _Fetcher(FetcherInterface):
    """python-tuf's way to a source. An absent file must be a 404: it ends the chain of roots."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self.trouble: Exception | None = None

    def _fetch(self, url: str) -> Iterator[bytes]:
        try:
            return self._guarded(self._source.stream(url).content)
        except NotThereError:
            raise exceptions.DownloadHTTPError(f"{url} is not there", 404) from None
        except _TO_TRY_AGAIN as error:
            self.trouble = error
            raise exceptions.DownloadError(str(error)) from error

    def _guarded(self, content: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from content
        except _TO_TRY_AGAIN as error:
            self.trouble = error
            raise exceptions.DownloadError(str(error)) from error


class Look:
    """One consistent state of the repository, believed. Made by `look`; targets are looked up and fetched in it."""

    def __init__(
        self, updater: Updater, fetcher: _Fetcher, source: Source, directory: Path, flushed: FileStates
    ) -> None:
        self._updater, self._fetcher, self._source, self._directory = updater, fetcher, source, directory
        self._flushed = flush_changed(directory, flushed)
        trusted = updater._trusted_set  # noqa: SLF001 - python-tuf has no other way to what it believes
        self.versions = Versions(trusted.root.version, trusted.timestamp.version, trusted.snapshot.version)

    def signed(self, path: str) -> TargetFile | None:
        """What is signed for `path`, by a role that may; None for nothing. Raises as `look` does."""
        with _refusals(self._fetcher):
            info = self._updater.get_targetinfo(path)
        self._flushed = flush_changed(self._directory, self._flushed)
        return info

    def assignment(self, site: str, folder: Path) -> Assignment | None:
        """The site's open jobs; None where it was never told anything. Raises RefusedError and as `fetch`."""
        path = f"assign/{site}.json"
        info = self.signed(path)
        if info is None:
            return None
        file = self.fetch(Target(path, info.hashes["sha256"], info.length), folder)
        try:
            return read_assignment(file.read_bytes(), site)
        except JobFaultError as error:
            raise RefusedError("BadAssignment", str(error)) from error

    def fetch(self, target: Target, folder: Path, on_bytes: Callable[[int], None] = lambda _: None) -> Path:
        """The file `folder/<sha256>`, verified and on the disk; fetched, or gone on with, where it is not there.

        `on_bytes` hears the length reached. Raises RefusedError, SourceGoneError, BudgetSpentError, StoppedError.
        """
        info = self.signed(target.path)
        if info is None:
            raise RefusedError("NotSigned", f"{target.path} is signed by no role that may")
        if info.hashes.get("sha256") != target.sha256 or info.length != target.length:
            raise RefusedError("NotAsAssigned", f"{target.path} is signed with another hash than is assigned")
        final, part = folder / target.sha256, folder / f"{target.sha256}.part"
        if _fits(info, final):
            on_bytes(info.length)
            return final
        folder.mkdir(parents=True, exist_ok=True)
        resumed = part.exists() and part.stat().st_size > 0
        try:
            self._complete(info, part, on_bytes)
        except exceptions.LengthOrHashMismatchError as error:
            part.unlink(missing_ok=True)
            if not resumed:
                raise RefusedError("LengthOrHashMismatchError", f"{target.path}: {error}") from error
            # What a cut of power left of the earlier part may be torn: once more from the start.
            return self.fetch(target, folder, on_bytes)
        flush_file(part)
        move_durably(part, final)
        return final

    def _complete(self, info: TargetFile, part: Path, on_bytes: Callable[[int], None]) -> None:
        with part.open("ab") as out:
            if out.tell() > info.length:
                out.truncate(0)
            reached = out.tell()
            if reached < info.length:
                try:
                    stream = self._source.stream(_stored_as(info), reached)
                except NotThereError:
                    raise RefusedError("NotThere", f"the repository lacks {info.path}") from None
                if stream.size != info.length:
                    raise RefusedError(
                        "DownloadLengthMismatchError",
                        f"{info.path} has {stream.size} bytes, {info.length} are signed",
                    )
                for chunk in stream.content:
                    reached += len(chunk)
                    if reached > info.length:
                        raise RefusedError("DownloadLengthMismatchError", f"{info.path} does not end")
                    out.write(chunk)
                    on_bytes(reached)
        with part.open("rb") as file:
            info.verify_length_and_hashes(file)


def look(
    source: Source,
    directory: Path,
    root: bytes,
    now: datetime,
    *,
    floor: datetime = BUILT_AT,
    known: Versions = NOTHING_KNOWN,
) -> Look:
    """Bring the metadata in `directory` up to date from `source`.

    `root` is the root that was installed with the agent; newer ones follow from it by their signatures. `floor` is
    the latest time that was ever believed, `known` what was. Raises RefusedError where the repository or the clock
    is not believed, and SourceGoneError, BudgetSpentError, StoppedError where it is to be tried again.
    """
    floor = max(floor, BUILT_AT)
    if now < floor:
        raise RefusedError(
            "ClockBehind", f"the clock says {now:%Y-%m-%d %H:%M}, it was {floor:%Y-%m-%d %H:%M} before"
        )
    directory.mkdir(parents=True, exist_ok=True)
    flushed = file_states(directory)
    fetcher = _Fetcher(source)
    with _refusals(fetcher):
        updater = Updater(
            str(directory), "metadata/", None, "targets/", fetcher, UpdaterConfig(), bootstrap=root
        )
        # python-tuf takes the machine's clock; ours is injected, and is the one held against the floor.
        updater._trusted_set.reference_time = now  # noqa: SLF001
        updater.refresh()
    found = Look(updater, fetcher, source, directory, flushed)
    _require_not_older(found.versions, known)
    return found


def _require_not_older(found: Versions, known: Versions) -> None:
    """python-tuf forgets what it believed when its files are lost; the store does not.

    A newer root may have replaced a stolen online key, and numbers begin anew with it.
    """
    same_root = found.root == known.root
    for name, before, after in zip(Versions._fields, known, found, strict=True):
        if name == "counter" or (name != "root" and not same_root):
            continue
        if after < before:
            raise RefusedError("BadVersionNumberError", f"{name} {after} after {before}")


@contextmanager
def _refusals(fetcher: _Fetcher) -> Iterator[None]:
    """python-tuf's errors as ours; trouble of the source comes out as what it was."""
    fetcher.trouble = None
    try:
        yield
    except (exceptions.RepositoryError, exceptions.DownloadError) as error:
        if fetcher.trouble is not None:
            raise fetcher.trouble from error
        raise RefusedError(type(error).__name__, str(error)) from error


def _stored_as(info: TargetFile) -> str:
    folder, _, name = info.path.rpartition("/")
    return f"targets/{folder}/{info.hashes['sha256']}.{name}"


def _fits(info: TargetFile, path: Path) -> bool:
    try:
        with path.open("rb") as file:
            info.verify_length_and_hashes(file)
    except (OSError, exceptions.LengthOrHashMismatchError):
        return False
    return True


def versions_from(fields: Mapping[str, int]) -> Versions:
    """What the store kept of `Versions`."""
    return Versions(**{name: int(fields.get(name, 0)) for name in Versions._fields})
