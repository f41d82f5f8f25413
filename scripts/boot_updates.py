"""Updates of the agent on a booted gateway: over MQTT one release that is good and three that are not, then a stick."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

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
BROKER_PORT = 18830


class Fleet:
    """The operator's side: keys, repository, roll-outs and the services that carry them out, in the gateway's network."""

    def __init__(self, work: Path) -> None:
        self._work, self._repo, self._keys = work, work / "repo", work / "keys"
        self._db = str(work / "fleet.db")
        self._services: list[subprocess.Popen[str]] = []
        self("keys", "init", "--make-keys")
        self("keys", "enrol", "demo")

    def __call__(self, *words: str, fine: Sequence[int] = (0,)) -> str:
        head, rest = words[:2], words[2:]
        done = subprocess.run(
            [*self._command(*head), *self._places(), *rest], cwd=ROOT, capture_output=True, text=True
        )
        if done.returncode not in fine:
            raise LabError(f"trimload-fleet {' '.join(head)}: {done.stderr[-800:]}{done.stdout[-400:]}")
        return done.stdout

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "fleet.cli", *words]

    def _places(self) -> list[str]:
        return ["--repo", str(self._repo), "--keys", str(self._keys)]

    def trust(self, gateway: Machine) -> None:
        """Root's own trusted root, as an engineer places it."""
        place = gateway.root / "etc/trimload/trust"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(self._repo / "metadata" / "1.root.json", place / "root.json")

    def go_online(self, gateway: Machine) -> None:
        """A broker, the block server and the roll-out service, where the gateway can reach them."""
        conf = self._work / "mosquitto.conf"
        conf.write_text(
            f"user root\npersistence false\nallow_anonymous true\nlistener {BROKER_PORT} 127.0.0.1\n"
            "set_tcp_nodelay true\n",
            encoding="utf-8",
        )
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        broker = f"mqtt://127.0.0.1:{BROKER_PORT}"
        commands = (
            [program, "-c", str(conf)],
            [*self._command("serve"), *self._places(), "--broker", broker],
            [*self._command("rollout", "run"), *self._places(), "--db", self._db, "--broker", broker],
        )
        for number, command in enumerate(commands):
            with (self._work / f"service{number}.log").open("ab") as log:
                self._services.append(
                    gateway.beside(*command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                )

    def go_offline(self) -> None:
        """Broker and services end: no network."""
        for service in reversed(self._services):
            service.terminate()
        for service in self._services:
            service.wait(30)
        self._services.clear()

    def log_of(self, number: int) -> str:
        return (self._work / f"service{number}.log").read_text(encoding="utf-8")[-1500:]

    def publish(self, made: Path) -> str:
        """Sign the release of a bundle. Its name."""
        manifest = json.loads((made / "manifest.json").read_text(encoding="utf-8"))
        wheels = [str(made / "wheels" / row["file"]) for row in manifest["wheels"]]
        about = [word for name in ("version", "python", "machine") for word in (f"--{name}", manifest[name])]
        self("publish", "agent", *about, *wheels)
        return str(manifest["release"])

    def roll_out(self, rollout_id: str, release: str) -> None:
        """Begin a roll-out to the one site."""
        about = ["--id", rollout_id, "--kind", "agent", "--release", release, "--why", "a rehearsal"]
        limits = ["--soak-s", "0", "--trial-s", str(TRIAL_S)]
        self("rollout", "start", "--db", self._db, *about, *limits, "demo")

    def rollout(self, rollout_id: str) -> dict[str, Any]:
        """What `trimload-fleet rollout show` says of it."""
        done = subprocess.run(
            [*self._command("rollout", "show"), "--db", self._db, rollout_id, "--json"],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        return dict(json.loads(done.stdout))

    def status(self) -> dict[str, Any]:
        """What `trimload-fleet status` says of the one site."""
        done = subprocess.run(
            [*self._command("status"), "--db", self._db, "--json"], cwd=ROOT, capture_output=True, text=True
        )
        return dict(json.loads(done.stdout)["sites"][0])

    def fill_stick(self, release: str, gateway: Machine) -> None:
        """A job for the site by hand, and the whole repository on the stick."""
        job = ["--kind", "agent", "--release", release, "--trial-s", str(TRIAL_S)]
        self("publish", "job", *job, "demo")
        stick = gateway.root / "mnt/stick"
        shutil.rmtree(stick, ignore_errors=True)
        shutil.copytree(self._repo, stick)


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
    fleet.go_online(gateway)
    try:
        good = _prove_a_good_one(gateway, plant, proof, fleet, bundle("1.1.0", work / "bundles", ROOT))
        proof("  1.0.0 stands by", boot_record(gateway)["previous"] == first)
        for number, (kind, (file, old, new, reason)) in enumerate(BAD.items()):
            source = bad_source(work / f"source{number}", file, old, new)
            made = bundle(f"1.2.{number}", work / "bundles", source)
            _prove_a_bad_one(gateway, plant, proof, fleet, made, kind, reason, good)
    except LabError:
        say(f"{fleet.log_of(1)}\n{fleet.log_of(2)}")
        raise
    finally:
        fleet.go_offline()
    _prove_the_stick(gateway, plant, proof, fleet, bundle("1.3.0", work / "bundles", ROOT))
    drop_in.unlink()
    gateway.run("systemctl", "daemon-reload")


def _prove_a_good_one(
    gateway: Machine, plant: Plant, proof: Callable[..., None], fleet: Fleet, made: Path
) -> str:
    release = fleet.publish(made)
    began = time.monotonic()
    fleet.roll_out("good", release)
    _until_over(gateway, fleet, "good")
    took_s = time.monotonic() - began
    told, record = fleet.rollout("good"), boot_record(gateway)
    proof(
        "1.0.0 to 1.1.0 over MQTT: verified again by root, switched, confirmed, the roll-out done",
        told["phase"] == "done" and record["release"] == release and record["state"] == "good",
        f"{took_s:.0f} s: {told['stands']}",
    )
    proof("  it is what runs", gateway.out("trimload", "--version").strip() == "trimload 1.1.0")
    proof("  and the fleet shows it", fleet.status()["version"] == "1.1.0")
    plant.until(plant.none_local, 60, "no control after the update")
    return release


def _prove_a_bad_one(
    gateway: Machine,
    plant: Plant,
    proof: Callable[..., None],
    fleet: Fleet,
    made: Path,
    kind: str,
    reason: str,
    good: str,
) -> None:
    rollout_id, bad = f"bad{made.name.split('-')[1]}", fleet.publish(made)
    fleet.roll_out(rollout_id, bad)
    gateway.until(lambda: boot_record(gateway)["release"] == bad, 240, "it is never switched to")
    switched = time.monotonic()
    gateway.until(lambda: boot_record(gateway).get("previous") == bad, 240, "it is never taken back")
    back_s = time.monotonic() - switched
    record = boot_record(gateway)
    # Three starts with a watchdog of 5 s take less than the trial; a trial that is overdue is ended within a tick.
    limit_s = TRIAL_S + 25
    proof(
        f"a 1.2 that {kind} is taken back within {limit_s} s of its first start",
        record["release"] == good and record["state"] == "rolled_back" and back_s < limit_s,
        f"{back_s:.0f} s: {record['reason']}",
    )
    proof("  for the right reason", reason in record["reason"])
    in_hand_s = plant.until(plant.none_local, 60, "no control after the roll-back")
    proof("  and 1.1.0 has the machines in hand within 60 s", in_hand_s < 60, f"{in_hand_s:.0f} s")
    _until_over(gateway, fleet, rollout_id)
    told = fleet.rollout(rollout_id)
    site = told["sites"][0]
    proof(
        "  the fleet shows it: the roll-out has stopped, the site was rolled back",
        told["phase"] == "stopped" and site["state"] == "rolled_back" and site["verdict"] == "bad",
        f"{told['stands']}; {site['reason']}",
    )
    proof("  and that 1.1.0 is what runs", fleet.status()["version"] == "1.1.0")


def _prove_the_stick(
    gateway: Machine, plant: Plant, proof: Callable[..., None], fleet: Fleet, made: Path
) -> None:
    release = fleet.publish(made)
    fleet.fill_stick(release, gateway)
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
        gateway.until(
            lambda: boot_record(gateway)["release"] == release and boot_record(gateway)["state"] == "good",
            240,
            "the update comes to no end",
        )
    except LabError:
        say(told.stdout + told.stderr)
        raise
    proof(
        "1.1.0 to 1.3.0 from a stick, without broker or network: confirmed",
        gateway.out("trimload", "--version").strip() == "trimload 1.3.0",
        f"{time.monotonic() - began:.0f} s",
    )
    plant.until(plant.none_local, 60, "no control after the update")


def _until_over(gateway: Machine, fleet: Fleet, rollout_id: str) -> None:
    """Until the fleet's own word is that the roll-out is over."""
    gateway.until(
        lambda: fleet.rollout(rollout_id)["phase"] in {"done", "stopped"}, 300, f"{rollout_id}: no end"
    )
