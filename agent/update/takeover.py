"""`python -m agent.update.takeover`: the running release proves, as root, the one that the agent hands over.

Called by the launcher alone. Writes one JSON line for it, or says on standard error why not. Everything it believes
is root's own: the trusted root and the site's id from /etc/trimload, the metadata seen before from below the
releases' folder.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Sequence
from pathlib import Path

from agent.clock import WallClock
from agent.update.handover import Intent, verify_release
from agent.update.place import Place
from agent.update.release import ReleaseFaultError, manifest_json


def main(argv: Sequence[str] | None = None) -> int:
    """0 with the answer on standard output, 1 with the reason on standard error."""
    parser = argparse.ArgumentParser(prog="agent.update.takeover", description=__doc__)
    for name in ("spool", "etc", "root"):
        parser.add_argument(name, type=Path)
    for name in ("site", "job", "release"):
        parser.add_argument(name)
    options = parser.parse_args(argv)
    place = Place(options.root)
    own = place.root / "takeover"
    try:
        verified = verify_release(
            options.spool,
            Intent("install", options.site, options.job, options.release),
            root=(options.etc / "trust" / "root.json").read_bytes(),
            own=own,
            site=site_id(options.etc / "site.toml"),
            installed=place.wheels,
            now=WallClock().now(),
        )
    except (ReleaseFaultError, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    manifest = own / "manifest.json"
    manifest.write_bytes(manifest_json(*verified.manifest))
    answer = {
        "manifest": str(manifest),
        "wheels": str(verified.wheels),
        "trial_s": verified.job.timeouts.trial_s,
    }
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


def site_id(site_file: Path) -> str:
    """[site] id of the configuration in /etc, which root alone can write. Raises ReleaseFaultError."""
    try:
        return str(tomllib.loads(site_file.read_text(encoding="utf-8-sig"))["site"]["id"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ReleaseFaultError(f"{site_file} does not name its site: {error}") from None


if __name__ == "__main__":
    raise SystemExit(main())
