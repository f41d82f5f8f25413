"""A new release of the agent: fetched as far as it differs, handed to the root-owned installer, and judged after."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from agent.log import get_logger
from agent.update.boot import GOOD, ROLLED_BACK, TRIAL, Boot
from agent.update.handover import (
    Intent,
    lay_out,
    read_outcome,
    wheels_to_fetch,
    write_intent,
)
from agent.update.job import Job, Progress
from agent.update.place import Place
from agent.update.release import Manifest, ReleaseFaultError, Wheel, manifest_path, read_manifest, wheel_path
from agent.update.source import NotThereError
from agent.update.taking import Files, Finding, Verdict, counted_from

if TYPE_CHECKING:
    from agent.update.trust import Look

log = get_logger(__name__)


class AgentTaker:
    """Takes the jobs of kind `agent`. `place` is where the running release lives; None in a checkout."""

    hands_back = True
    shadow_s = 0.0

    def __init__(self, place: Place | None, spool: Path, metadata: Path, files: Path) -> None:
        self._place, self._spool, self._metadata, self._files = place, spool, metadata, files

    def fetch(self, seen: Look, job: Job, folder: Path, on_bytes: Callable[[int], None]) -> Files:
        """The manifest, and of its wheels those that are not installed already."""
        targets = {target.path: target for target in job.targets}
        path = manifest_path(job.release)
        if path not in targets:
            raise NotThereError(f"the job names no {path}")
        files = {path: seen.fetch(targets[path], folder)}
        try:
            manifest = read_manifest(files[path].read_bytes())
        except ReleaseFaultError:
            # The examination says so, and ends the job.
            return files
        done = 0
        for wheel in self._missing(manifest):
            target = targets.get(wheel_path(wheel))
            if target is not None:
                files[target.path] = seen.fetch(target, folder, counted_from(done, on_bytes))
                done += target.length
        return files

    def examine(self, job: Job, files: Files) -> Finding:
        if self._place is None:
            return Finding("this agent runs from a checkout: there is no release to replace")
        try:
            manifest = read_manifest(files[manifest_path(job.release)].read_bytes())
        except (ReleaseFaultError, OSError, KeyError) as error:
            return Finding(str(error))
        if manifest.release != job.release:
            return Finding(f"the manifest is that of {manifest.release}")
        here = f"{sys.version_info.major}.{sys.version_info.minor}"
        if (manifest.python, manifest.machine) != (here, platform.machine()):
            return Finding(
                f"it is for Python {manifest.python} on {manifest.machine}, this is {here} on {platform.machine()}"
            )
        lacking = [wheel.file for wheel in self._missing(manifest) if wheel_path(wheel) not in files]
        if lacking:
            return Finding(f"the job does not bring {', '.join(lacking)}")
        sent = sum(path.stat().st_size for path in files.values())
        return Finding(
            notes=(f"{len(files) - 1} of {len(manifest.wheels)} wheels are new, {sent / 1e6:.1f} MB",)
        )

    def install(self, job: Job, files: Files) -> None:
        manifest = read_manifest(files[manifest_path(job.release)].read_bytes())
        lay_out(self._spool, self._metadata, job, self._files, manifest)

    def installed(self, job: Job) -> Verdict:
        boot = self._boot(job)
        if boot is not None and boot.state == ROLLED_BACK:
            return Verdict("bad", boot.reason)
        if boot is not None and self.running() == boot.release == job.release:
            return Verdict("good")
        outcome = read_outcome(self._spool, job.id)
        if outcome is not None and outcome.outcome == "failed":
            return Verdict("bad", outcome.reason)
        return Verdict("on", "the installer is at work")

    def trial(self, progress: Progress) -> Verdict:
        boot = self._boot(progress.job)
        if boot is None:
            return Verdict("bad", "boot.json speaks of another job")
        if boot.state == ROLLED_BACK:
            return Verdict("bad", boot.reason)
        if self.running() != progress.job.release:
            return Verdict("bad", f"{self.running() or 'no release'} runs instead")
        return Verdict("good")

    def confirm(self, job: Job) -> Verdict:
        boot = self._boot(job)
        if boot is not None and boot.state == GOOD:
            return Verdict("good")
        if boot is None or boot.state != TRIAL:
            return Verdict("bad", "the trial has ended otherwise")
        if not (self._spool / "intent.json").exists():
            write_intent(self._spool, Intent("confirm", job.site, job.id, job.release))
        return Verdict("on", "the installer is to confirm")

    def undo(self, job: Job, why: str) -> None:
        boot = self._boot(job)
        if boot is not None and boot.state != ROLLED_BACK:
            log.warning("release_goes_back", release=job.release, why=why)
            write_intent(self._spool, Intent("rollback", job.site, job.id, job.release))

    def last_job(self) -> str:
        boot = self._place.boot() if self._place is not None else None
        return boot.job if boot is not None and boot.state == GOOD and boot.previous else ""

    def running(self) -> str:
        """The release that runs: the folder of this very interpreter."""
        return "" if self._place is None else Path(sys.prefix).resolve().name

    def _boot(self, job: Job) -> Boot | None:
        boot = self._place.boot() if self._place is not None else None
        return boot if boot is not None and boot.job == job.id else None

    def _missing(self, manifest: Manifest) -> tuple[Wheel, ...]:
        installed = self._place.wheels if self._place is not None else Path("/nowhere")
        return wheels_to_fetch(manifest, installed)
