"""Updates of the agent on a booted gateway, from a stick: one release that is good, and three that are not."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from boot_machine import LabError, Machine, say
from boot_plant import Plant

ROOT = Path(__file__).resolve().parent.parent
TRIAL_S = 45
SITE_LINES = """
[updates]
root_file = "/etc/trimload/trust/root.json"
kinds = ["agent"]
healthy_s = 8
"""
# What the unit has with 30 s, 5 s and 10 s: the same roads, travelled faster.
FASTER = "[Service]\nWatchdogSec=5\nRestartSec=1\nTimeoutAbortSec=2\n"
# File, a text in it, what stands there in the bad release, and the reason that launcher.pyz gives.
BAD = {
    "crashes": (
        "agent/daemon/command.py",
        "    configure(options.log_level)\n",
        '    raise RuntimeError("rehearsal of a release that crashes")\n',
        "crash loop",
    ),
    "hangs": (
        "agent/daemon/loop.py",
        "        snapshot = self.snapshot = await self._sense()\n",
        "        while self.ticks > 3:\n            pass\n        snapshot = self.snapshot = await self._sense()\n",
        "crash loop",
    ),
    "never becomes healthy": (
        "agent/update/health.py",
        "    if vitals.ticks == 0:\n",
        "    if vitals.ticks >= 0:\n",
        "",
    ),
}
Bundle = Callable[[str, Path, Path], Path]


class Fleet:
    """The operator's side: keys, a repository, and the stick it is copied to."""

    def __init__(self, work: Path) -> None:
        self._repo, self._keys = work / "repo", work / "keys"
        self("keys", "init", "--make-keys")
        self("keys", "enrol", "demo")

    def __call__(self, *words: str) -> str:
        head, rest = words[:2], words[2:]
        place = ["--repo", str(self._repo), "--keys", str(self._keys)]
        command = [sys.executable, "-m", "fleet.cli", *head, *place, *rest]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            raise LabError(f"trimload-fleet {' '.join(head)}: {done.stderr[-800:]}{done.stdout[-400:]}")
        return done.stdout

    def trust(self, gateway: Machine) -> None:
        """Root's own trusted root, as an engineer places it."""
        place = gateway.root / "etc/trimload/trust"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._repo / "metadata" / "1.root.json", place / "root.json")

    def offer(self, made: Path, gateway: Machine) -> str:
        """Sign the release of a bundle and a job for it, and put the repository on the stick. Its name."""
        manifest = json.loads((made / "manifest.json").read_text(encoding="utf-8"))
        wheels = [str(made / "wheels" / row["file"]) for row in manifest["wheels"]]
        about = [
            "--version",
            manifest["version"],
            "--python",
            manifest["python"],
            "--machine",
            manifest["machine"],
        ]
        self("publish", "agent", *about, *wheels)
        self(
            "publish",
            "job",
            "--kind",
            "agent",
            "--release",
            manifest["release"],
            "--trial-s",
            str(TRIAL_S),
            "demo",
        )
        stick = gateway.root / "mnt/stick"
        shutil.rmtree(stick, ignore_errors=True)
        shutil.copytree(self._repo, stick)
        return str(manifest["release"])


def bad_source(into: Path, file: str, old: str, new: str) -> Path:
    """The packages with one fault in them."""
    for name in ("agent", "twin", "training", "fleet"):
        shutil.copytree(ROOT / name, into / name, ignore=shutil.ignore_patterns("__pycache__"))
    text = (into / file).read_text(encoding="utf-8")
    if text.count(old) != 1:
        raise LabError(f"{file} has changed: {old!r} is not in it once")
    (into / file).write_text(text.replace(old, new), encoding="utf-8")
    return into


def boot_record(gateway: Machine) -> dict[str, str]:
    return dict(json.loads((gateway.root / "opt/trimload/boot.json").read_text(encoding="utf-8")))


def prove_updates(
    gateway: Machine, plant: Plant, proof: Callable[..., None], bundle: Bundle, work: Path, fleet: Fleet
) -> None:
    drop_in = gateway.root / "etc/systemd/system/trimload.service.d/faster.conf"
    drop_in.parent.mkdir(parents=True, exist_ok=True)
    drop_in.write_text(FASTER, encoding="utf-8")
    gateway.run("systemctl", "daemon-reload")
    gateway.run("systemctl", "restart", "trimload")
    plant.until(plant.none_local, 60, "no control before the update")
    first = boot_record(gateway)["release"]

    good = fleet.offer(bundle("1.1.0", work / "bundles", ROOT), gateway)
    took_s = _run_update(
        gateway, lambda: boot_record(gateway)["release"] == good and boot_record(gateway)["state"] == "good"
    )
    proof(
        "1.0.0 to 1.1.0 from a stick: verified again by root, switched, confirmed",
        took_s < 200,
        f"{took_s:.0f} s",
    )
    proof("  it is what runs", gateway.out("trimload", "--version").strip() == "trimload 1.1.0")
    plant.until(plant.none_local, 60, "no control after the update")
    proof("  1.0.0 stands by", boot_record(gateway)["previous"] == first)

    for number, (kind, (file, old, new, reason)) in enumerate(BAD.items()):
        source = bad_source(work / f"source{number}", file, old, new)
        bad = fleet.offer(bundle(f"1.2.{number}", work / "bundles", source), gateway)
        took_s = _run_update(gateway, lambda bad=bad: boot_record(gateway).get("previous") == bad)
        record = boot_record(gateway)
        what = f"{took_s:.0f} s, fetching and building included: {record['reason']}"
        proof(
            f"a 1.2 that {kind} is taken back",
            record["release"] == good and record["state"] == "rolled_back",
            what,
        )
        proof("  for the right reason", reason in record["reason"])
        limit_s = 60
        proof(
            f"  and 1.1.0 has the machines in hand within {limit_s} s",
            plant.until(plant.none_local, limit_s, "no control") < limit_s,
        )
        told = gateway.run(
            "trimload", "update", "/etc/trimload/site.toml", "--state", "/var/lib/trimload", "--json"
        )
        proof(
            "  the agent reports the job's end",
            "rolled_back" in told.stdout,
            told.stdout[-600:] if "rolled_back" not in told.stdout else "",
        )
    drop_in.unlink()
    gateway.run("systemctl", "daemon-reload")


def _run_update(gateway: Machine, ended: Callable[[], bool]) -> float:
    """Seconds from the stick to the end of it. Raises LabError."""
    began = time.monotonic()
    words = [
        "/etc/trimload/site.toml",
        "--state",
        "/var/lib/trimload",
        "--from",
        "/mnt/stick",
        "--wait-s",
        "5",
    ]
    # As the service's user: what root leaves in the state directory the agent could not clear away.
    told = gateway.run("runuser", "-u", "trimload", "--", "trimload", "update", *words)
    try:
        gateway.until(ended, 200, "the update comes to no end")
    except LabError:
        say(told.stdout + told.stderr)
        raise
    return time.monotonic() - began
