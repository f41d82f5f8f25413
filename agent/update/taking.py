"""What each kind of update does at the steps that all kinds share. The engine moves jobs; a taker does the work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from agent.update.job import Job, Progress

if TYPE_CHECKING:
    from agent.update.trust import Look

Files = Mapping[str, Path]


class Finding(NamedTuple):
    """What an examination found: why not, or what the site's people have to agree to, and what to tell them."""

    refused: str = ""
    consent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


class Verdict(NamedTuple):
    """A step that takes its time: still on, done well, or failed."""

    stage: Literal["on", "good", "bad"]
    reason: str = ""


class Taker(Protocol):
    """One kind of update."""

    # Machines and set-points are handed back before it is installed.
    hands_back: bool
    # A part of the trial in which nothing is changed yet, on top of the job's own limit.
    shadow_s: float

    def fetch(self, seen: Look, job: Job, folder: Path, on_bytes: Callable[[int], None]) -> Files:
        """Bring the job's files. In the worker's thread; raises as `Look.fetch`."""
        ...

    def examine(self, job: Job, files: Files) -> Finding:
        """Judge the files before anything is changed. In the worker's thread."""
        ...

    def install(self, job: Job, files: Files) -> None:
        """Begin to switch; again after a restart in between."""
        ...

    def installed(self, job: Job) -> Verdict:
        """Whether it has been switched: good begins the trial."""
        ...

    def trial(self, progress: Progress) -> Verdict:
        """Whether the kind's own conditions for confirmation hold; health is judged beside it."""
        ...

    def confirm(self, job: Job) -> Verdict:
        """It stays. Asked again as long as the answer is on."""
        ...

    def undo(self, job: Job, why: str) -> None:
        """Back to what was before."""
        ...

    def last_job(self) -> str:
        """The confirmed job that could be undone now; "" where there is none."""
        ...


def fetch_all(seen: Look, job: Job, folder: Path, on_bytes: Callable[[int], None]) -> dict[str, Path]:
    """Every target of a job by its path."""
    files: dict[str, Path] = {}
    done = 0
    for target in job.targets:
        files[target.path] = seen.fetch(target, folder, counted_from(done, on_bytes))
        done += target.length
    return files


def counted_from(before: int, on_bytes: Callable[[int], None]) -> Callable[[int], None]:
    """Hears the length reached of one file, and tells that of all."""
    return lambda reached: on_bytes(before + reached)
