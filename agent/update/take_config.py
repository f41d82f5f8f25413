"""A new site.toml: checked as `trimload check` does, compared, agreed to where it widens, and run on trial."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from agent.config.load import SiteErrors, read_site
from agent.config.site import Site
from agent.update.active import CONFIG, GOOD, ROLLED_BACK, ActiveFiles, confirmed, on_trial, rolled_back
from agent.update.consent import changes
from agent.update.files import sha256_of
from agent.update.job import Job, Progress
from agent.update.taking import Files, Finding, Verdict, fetch_all

if TYPE_CHECKING:
    from agent.update.trust import Look


class ConfigHost(Protocol):
    """What a configuration needs of the agent that runs."""

    site: Site
    # The site's own file, and the hash of what was loaded.
    site_file: Path
    running_config: str

    def boot(self) -> tuple[str, float]:
        """Name of the machine's present start, and seconds since it."""
        ...

    def restart(self, why: str) -> None:
        """Hand back, end, and begin anew with what is active then."""
        ...


class ConfigTaker:
    """Takes the jobs of kind `config`: one file, site.toml."""

    hands_back = True
    shadow_s = 0.0

    def __init__(self, host: ConfigHost, active: ActiveFiles) -> None:
        self._host, self._active = host, active

    def fetch(self, seen: Look, job: Job, folder: Path, on_bytes: Callable[[int], None]) -> Files:
        return fetch_all(seen, job, folder, on_bytes)

    def examine(self, job: Job, files: Files) -> Finding:
        names = [target.path.rpartition("/")[2] for target in job.targets]
        if names != ["site.toml"]:
            return Finding(f"a configuration is one site.toml, not {', '.join(names)}")
        running = self._host.site
        try:
            text = files[job.targets[0].path].read_text(encoding="utf-8-sig")
            site = read_site(text, self._host.site_file.parent)
        except SiteErrors as error:
            return Finding(f"trimload check: {error.what} ({error.where})")
        except (OSError, UnicodeDecodeError) as error:
            return Finding(f"the file cannot be read: {error}")
        if site.site.id != running.site.id:
            return Finding(f"the file is for site {site.site.id!r}")
        if site.storage.directory != running.storage.directory:
            return Finding("[storage] directory cannot be moved by an update")
        found = changes(running, site)
        if not found:
            return Finding(notes=("nothing changes",))
        asking = tuple(str(change) for change in found if change.asks)
        return Finding(consent=asking, notes=tuple(str(change) for change in found))

    def install(self, job: Job, files: Files) -> None:
        target = job.targets[0]
        before = self._active.read().get(CONFIG)
        if before is not None and before.job == job.id:
            return
        self._active.take_in(files[target.path], target.sha256)
        boot_id, boot_s = self._host.boot()
        own = sha256_of(self._host.site_file)
        runs_before = before.sha256 if before is not None and before.own_sha256 == own else ""
        entry = on_trial(
            target.sha256,
            job.id,
            runs_before,
            trial_s=job.timeouts.trial_s,
            boot_id=boot_id,
            now_boot_s=boot_s,
            own_sha256=own,
        )
        self._active.put(CONFIG, entry)
        self._host.restart(f"configuration {job.release} on trial")

    def installed(self, job: Job) -> Verdict:
        entry = self._active.read().get(CONFIG)
        if entry is None or entry.job != job.id:
            return Verdict("on")
        if entry.state == ROLLED_BACK:
            return Verdict("bad", entry.reason)
        return Verdict("good" if self._host.running_config == job.targets[0].sha256 else "on")

    def trial(self, progress: Progress) -> Verdict:
        entry = self._active.read().get(CONFIG)
        if entry is None or entry.job != progress.job.id:
            return Verdict("bad", "another configuration was put in its place")
        if entry.state == ROLLED_BACK:
            return Verdict("bad", entry.reason)
        if self._host.running_config != entry.sha256:
            return Verdict("bad", "the site's own site.toml was edited: that one runs")
        return Verdict("good")

    def confirm(self, job: Job) -> Verdict:
        entry = self._active.read().get(CONFIG)
        if entry is not None and entry.job == job.id:
            self._active.put(CONFIG, confirmed(entry))
        return Verdict("good")

    def undo(self, job: Job, why: str) -> None:
        entry = self._active.read().get(CONFIG)
        if entry is None or entry.job != job.id or entry.state == ROLLED_BACK:
            return
        self._active.put(CONFIG, rolled_back(entry, why))
        self._host.restart(f"configuration rolled back: {why}")

    def last_job(self) -> str:
        entry = self._active.read().get(CONFIG)
        return entry.job if entry is not None and entry.state == GOOD else ""
