"""Which release runs, which one ran before, and whether the present one is on trial: the record and its rules.

Pure rules on one small file, `boot.json`, which is the only point of decision: `current` merely follows it.
Standard library only, because the launcher reads it with the system's Python outside all releases. Times are
CLOCK_BOOTTIME: a gateway's wall clock may jump by years when the network comes back.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path

from agent.update.files import write_durably

FORMAT = "trimload-boot/1"
GOOD, TRIAL, ROLLED_BACK = "good", "trial", "rolled_back"
STATES = (GOOD, TRIAL, ROLLED_BACK)
MAX_TRIES = 3
NAME = "boot.json"
_BOOT_ID_FILE = Path("/proc/sys/kernel/random/boot_id")


@dataclass(frozen=True, slots=True)
class Boot:
    """Content of boot.json. `release` is what is to run; after a roll-back `previous` is what failed.

    `deadline_boot_s` counts on the boot clock of `boot_id`, [s]; both mean nothing outside a trial.
    """

    release: str
    previous: str = ""
    state: str = GOOD
    job: str = ""
    tries: int = 0
    max_tries: int = MAX_TRIES
    boot_id: str = ""
    deadline_boot_s: float = 0.0
    trial_s: float = 0.0
    renewed: bool = False
    reason: str = ""

    @property
    def on_trial(self) -> bool:
        """Whether somebody still has to confirm the release."""
        return self.state == TRIAL


def begin_trial(
    running: str, release: str, *, job: str, trial_s: float, boot_id: str, now_boot_s: float
) -> Boot:
    """`release` is to run from the next start, and to go again unless confirmed within `trial_s`."""
    return Boot(
        release,
        running,
        TRIAL,
        job,
        boot_id=boot_id,
        deadline_boot_s=now_boot_s + trial_s,
        trial_s=trial_s,
    )


def confirmed(boot: Boot) -> Boot:
    """The trial is over, the release stays. Anything but a trial is left as it is."""
    return replace(boot, state=GOOD, reason="") if boot.on_trial else boot


def rolled_back(boot: Boot, reason: str) -> Boot:
    """The release before this one is to run. Left as it is where there is none."""
    if not boot.previous:
        return boot
    return replace(boot, release=boot.previous, previous=boot.release, state=ROLLED_BACK, reason=reason)


def watched(boot: Boot, *, boot_id: str, now_boot_s: float) -> Boot:
    """What holds now: an overdue trial is rolled back.

    A restart of the machine ends the clock that the deadline was set on. The span begins anew then, once: a
    release that takes the machine down with it every time must not be on trial for ever.
    """
    if not boot.on_trial:
        return boot
    if boot.boot_id != boot_id:
        if boot.renewed:
            return rolled_back(boot, "overdue: the machine was restarted twice during the trial")
        return replace(boot, boot_id=boot_id, deadline_boot_s=now_boot_s + boot.trial_s, renewed=True)
    if now_boot_s >= boot.deadline_boot_s:
        return rolled_back(boot, f"overdue: not confirmed within {boot.trial_s:.0f} s")
    return boot


def counted(boot: Boot, *, boot_id: str, now_boot_s: float) -> Boot:
    """The record with which the service may start: one more try, or the release before."""
    boot = watched(boot, boot_id=boot_id, now_boot_s=now_boot_s)
    if not boot.on_trial:
        return boot
    if boot.tries >= boot.max_tries:
        return rolled_back(boot, f"crash loop: {boot.tries} starts without being confirmed")
    return replace(boot, tries=boot.tries + 1)


def read_boot(root: Path) -> Boot | None:
    """The record in the folder of the releases; None where there is none, or none that can be trusted."""
    try:
        body = json.loads((root / NAME).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(body, dict) or body.pop("format", None) != FORMAT:
        return None
    types = {field.name: type(getattr(_SAMPLE, field.name)) for field in fields(Boot)}
    for name, value in body.items():
        # JSON writes a whole float without its point.
        if name not in types or not isinstance(value, (int, float) if types[name] is float else types[name]):
            return None
    if body.get("state", GOOD) not in STATES or not body.get("release"):
        return None
    return Boot(**body)


def write_boot(root: Path, boot: Boot) -> None:
    """Replace the record: old or new, never half; on the disk when it returns. Raises OSError."""
    content = json.dumps({"format": FORMAT, **asdict(boot)}, indent=1)
    write_durably(root / NAME, content.encode() + b"\n")


def boot_id() -> str:
    """A name of the present run of the machine; another one after each restart."""
    return _BOOT_ID_FILE.read_text(encoding="ascii").strip()


_SAMPLE = Boot("")
