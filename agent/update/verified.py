"""The release that runs, asked by root to prove the one that is to come.

TUF is no part of the standard library, so the launcher lets the running release do it: code that root installed
and nobody else can write. It runs as root, on root's own trusted metadata, and answers with a manifest and a folder
of wheels that the agent cannot reach.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import NamedTuple

from agent.update.build import BuildError, manifest_in
from agent.update.place import Place
from agent.update.release import Manifest
from agent.update.spool import Intent

_LIMIT_S = 600


class Verified(NamedTuple):
    """What may be installed."""

    manifest: Manifest
    wheels: Path
    trial_s: float


def verified_by_release(place: Place, intent: Intent, spool: Path, etc: Path) -> Verified:
    """Let the running release verify `intent`. Raises BuildError with its reason for a refusal."""
    running = place.running()
    python = place.releases / running / "bin" / "python"
    if not running or not python.exists():
        raise BuildError("no complete release runs that could verify another one")
    command = [str(python), "-I", "-m", "agent.update.takeover", str(spool), str(etc), str(place.root)]
    try:
        done = subprocess.run(  # noqa: S603 -- the interpreter of a release that root built
            [*command, intent.site, intent.job, intent.release],
            # Verified wheels are large: not into a /tmp that may be memory.
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "TMPDIR": str(place.root)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LIMIT_S,
            check=False,
        )
        answer = json.loads(done.stdout) if done.returncode == 0 else None
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        raise BuildError(f"{running} could not verify {intent.release}: {error}") from None
    if answer is None:
        raise BuildError(f"{intent.release} was refused: {done.stderr.strip()[-400:]}")
    manifest = manifest_in(Path(answer["manifest"]))
    if manifest.release != intent.release:
        raise BuildError(f"the manifest is of {manifest.release}, the job of {intent.release}")
    return Verified(manifest, Path(answer["wheels"]), float(answer["trial_s"]))
