"""`boot.json`: which release is to run, and whether it is still on trial. Shared by installer, launcher and agent.

Standard library only: the launcher reads the same file before any release is loaded.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from agent.update.files import write_durably

FORMAT = "trimload-boot/1"
NAME = "boot.json"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

TrialState = Literal["good", "trial", "rolled_back"]


@dataclass(frozen=True, slots=True)
class Boot:
    """`deadline_boot_s` is on the clock that runs since the machine's start (CLOCK_BOOTTIME), of start `boot_id`."""

    release: str
    previous: str = ""
    state: TrialState = "good"
    job: str = ""
    tries: int = 0
    max_tries: int = 3
    boot_id: str = ""
    deadline_boot_s: float = 0.0
    trial_s: float = 1800.0
    reason: str = ""


def read_boot(state: Path) -> Boot | None:
    """The record in the state directory; None where there is none, or where it cannot be read."""
    try:
        body = json.loads((state / NAME).read_text(encoding="utf-8"))
        if body.pop("format") != FORMAT:
            return None
        return Boot(**body)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def write_boot(state: Path, boot: Boot) -> None:
    """Write the record: old or new, never half. Raises OSError."""
    write_durably(state / NAME, json.dumps({"format": FORMAT, **asdict(boot)}, indent=1).encode())


def boot_id() -> str:
    """Names this start of the machine; "" where the kernel does not say."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
