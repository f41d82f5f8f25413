"""What runs instead of what site.toml and its folder say: the configuration and the models that updates brought.

`active.json` is read before anything else is loaded, so that what kills the agent is not loaded for ever: each start
with something on trial is counted, and after three, or past the deadline, the one before runs again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from agent.update.files import sha256_of, write_durably

FORMAT = "trimload-active/1"
CONFIG = "config"
_MODEL = "model:"
MAX_TRIES = 3

GOOD, TRIAL, ROLLED_BACK = "good", "trial", "rolled_back"


@dataclass(frozen=True, slots=True)
class Active:
    """One thing that an update brought. `previous` is what was before: a hash, or "" for the site's own file.

    `own_sha256` is the site's own site.toml that the configuration was made for: when somebody on site edits that,
    their file runs. The deadline counts on the boot clock of `boot_id`; a reboot begins the span anew, once.
    """

    sha256: str
    job: str
    previous: str = ""
    state: str = TRIAL
    own_sha256: str = ""
    tries: int = 0
    boot_id: str = ""
    deadline_boot_s: float = 0.0
    trial_s: float = 1800.0
    renewed: bool = False
    reason: str = ""


Actives = dict[str, Active]


def model_key(target: str) -> str:
    """The entry of a forecast target's model."""
    return f"{_MODEL}{target}"


class ActiveFiles:
    """`folder/active.json`, and beside it each file under its hash."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self) -> Actives:
        """What is active; nothing where the record is absent or cannot be read: the site's own files then run."""
        try:
            body = json.loads((self.folder / "active.json").read_text(encoding="utf-8"))
            if body["format"] != FORMAT:
                return {}
            return {key: Active(**row) for key, row in body["entries"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return {}

    def write(self, entries: Mapping[str, Active]) -> None:
        """Keep the record, whole; on the disk when it returns."""
        body = {"format": FORMAT, "entries": {key: asdict(entry) for key, entry in entries.items()}}
        write_durably(self.folder / "active.json", json.dumps(body, indent=1).encode())

    def put(self, key: str, entry: Active | None) -> None:
        """Change one entry; None takes it out."""
        entries = self.read()
        entries.pop(key, None)
        if entry is not None:
            entries[key] = entry
        self.write(entries)

    def take_in(self, source: Path, sha256: str) -> Path:
        """Copy a verified file in, whole."""
        target = self.path(sha256)
        if not self.holds(sha256):
            write_durably(target, source.read_bytes())
        return target

    def path(self, sha256: str) -> Path:
        """Where a file of that hash lies."""
        return self.folder / sha256

    def holds(self, sha256: str) -> bool:
        """Whether the file is there and still what it was."""
        try:
            return sha256_of(self.path(sha256)) == sha256
        except OSError:
            return False

    def count_start(self, *, boot_id: str, now_boot_s: float) -> Actives:
        """Count a start; what has had its chances goes back. Called before anything of it is loaded."""
        before = self.read()
        after = {key: started(entry, boot_id=boot_id, now_boot_s=now_boot_s) for key, entry in before.items()}
        if after != before:
            self.write(after)
        return after


def on_trial(
    sha256: str,
    job: str,
    previous: str,
    *,
    trial_s: float,
    boot_id: str,
    now_boot_s: float,
    own_sha256: str = "",
) -> Active:
    """An entry that has to prove itself within `trial_s`."""
    return Active(
        sha256,
        job,
        previous,
        boot_id=boot_id,
        deadline_boot_s=now_boot_s + trial_s,
        trial_s=trial_s,
        own_sha256=own_sha256,
    )


def started(entry: Active, *, boot_id: str, now_boot_s: float) -> Active:
    """The entry after one more start of the agent."""
    if entry.state != TRIAL:
        return entry
    if entry.tries >= MAX_TRIES:
        return rolled_back(entry, f"the agent was started {entry.tries} times with it and never got healthy")
    if boot_id != entry.boot_id and not entry.renewed:
        entry = replace(entry, boot_id=boot_id, deadline_boot_s=now_boot_s + entry.trial_s, renewed=True)
    elif boot_id != entry.boot_id or now_boot_s > entry.deadline_boot_s:
        return rolled_back(entry, "overdue: not confirmed within its trial")
    return replace(entry, tries=entry.tries + 1)


def overdue(entry: Active, *, now_boot_s: float) -> bool:
    """Whether a trial should have ended."""
    return entry.state == TRIAL and now_boot_s > entry.deadline_boot_s


def rolled_back(entry: Active, reason: str) -> Active:
    """The one before runs again: `sha256` is what runs, `previous` what failed."""
    return replace(entry, sha256=entry.previous, previous=entry.sha256, state=ROLLED_BACK, reason=reason)


def confirmed(entry: Active) -> Active:
    """The entry stays."""
    return replace(entry, state=GOOD, reason="")
