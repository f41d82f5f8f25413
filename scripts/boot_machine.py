"""A disposable Debian that boots with its own systemd, in systemd-nspawn, in a network of its own with nothing in it.

The root file system is made once by debootstrap and kept; each machine writes into a tmpfs above it. Processes of
ours may stand in the same network (`beside`): for the machine they are the plant's devices and the broker.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

HIERARCHIES = ("systemd", "unified", "memory", "cpu", "cpuset", "pids")
# Debian releases, and the Python that each brings.
SUITES = {"bookworm": "3.11", "trixie": "3.13"}
PACKAGES = "systemd,systemd-sysv,dbus,python3,iproute2,procps"
TOOLS = ("debootstrap", "systemd-nspawn", "ip", "nsenter", "mount")


class LabError(Exception):
    """The machine did not do what it had to."""


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def why_not() -> str:
    """Why no machine can be booted here; empty where it can."""
    if os.geteuid() != 0:
        return "not root"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing and shutil.which("apt-get"):
        say(f"boot-test: installing debootstrap and systemd-container for {', '.join(missing)}")
        command = [
            "apt-get",
            "-q",
            "-y",
            "-o",
            "DPkg::Lock::Timeout=500",
            "install",
            "--no-install-recommends",
        ]
        environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        for step in (["apt-get", "-q", "update"], [*command, "debootstrap", "systemd-container", "iproute2"]):
            subprocess.run(step, env=environment, stdout=subprocess.DEVNULL, check=False)
        missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"not installed: {', '.join(missing)}"
    probe = subprocess.run(["ip", "netns", "add", f"probe{os.getpid()}"], capture_output=True, check=False)
    if probe.returncode != 0:
        return "no network namespace can be made"
    subprocess.run(["ip", "netns", "del", f"probe{os.getpid()}"], check=False)
    return ""


def base_root(cache: Path, suite: str) -> Path:
    """A minimal Debian, made once. Raises LabError with the end of debootstrap's words."""
    base = cache / suite
    if (base / ".complete").exists():
        return base
    say(f"boot-test: making a minimal {suite} in {base} (one to three minutes, once)")
    shutil.rmtree(base, ignore_errors=True)
    cache.mkdir(parents=True, exist_ok=True)
    command = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, str(base), *_mirror()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"debootstrap failed:\n{done.stdout[-1500:]}{done.stderr[-500:]}")
    shutil.rmtree(base / "var/cache/apt/archives", ignore_errors=True)
    # Nobody sits at a console, and nothing may go looking for a network.
    masked = ("console-getty.service", "getty@.service", "apt-daily.timer", "apt-daily-upgrade.timer")
    subprocess.run(["systemctl", f"--root={base}", "mask", *masked], capture_output=True, check=False)
    (base / ".complete").touch()
    return base


def _mirror() -> list[str]:
    """The machine's own package source: a site behind a mirror has no other."""
    for path in sorted(Path("/etc/apt").rglob("*.sources")):
        if found := re.search(r"(?m)^URIs:\s*(\S+)", path.read_text(encoding="utf-8")):
            return [found[1]]
    for path in [Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*.list"))]:
        if path.is_file() and (
            found := re.search(r"(?m)^deb (?:\[.*?\] )?(\S+)", path.read_text(encoding="utf-8"))
        ):
            return [found[1]]
    return []


class Machine:
    """One gateway: it can be booted, told things, and be switched off; its disk lasts until `closed`."""

    def __init__(self, base: Path, work: Path) -> None:
        self.name = f"trimload{os.getpid()}"
        self.work, self.root = work, work / "root"
        self._nspawn: subprocess.Popen[bytes] | None = None
        self._pid1 = 0
        upper = work / "disk"
        for path in (self.root, upper):
            path.mkdir(parents=True)
        _call("mount", "-t", "tmpfs", "-o", "size=4g", "tmpfs", str(upper))
        for name in ("upper", "below"):
            (upper / name).mkdir()
        options = f"lowerdir={base},upperdir={upper}/upper,workdir={upper}/below"
        _call("mount", "-t", "overlay", "overlay", "-o", options, str(self.root))
        _call("ip", "netns", "add", self.name)
        _call("ip", "netns", "exec", self.name, "ip", "link", "set", "lo", "up")
        # Groups of its own, or nspawn makes some at the very root of this machine's.
        for each in self._groups():
            each.mkdir(exist_ok=True)

    def _groups(self) -> list[Path]:
        mounted = [Path("/sys/fs/cgroup", name) for name in HIERARCHIES]
        return [path / self.name for path in mounted if path.is_dir()]

    def boot(self) -> float:
        """Start it; seconds until systemd says that it is up. Raises LabError."""
        began = time.monotonic()
        command = [
            *("systemd-nspawn", "-q", "-D", str(self.root), "-M", self.name, "--register=no", "--keep-unit"),
            *("--console=pipe", f"--network-namespace-path=/run/netns/{self.name}", "-b"),
        ]
        groups = [str(group / "cgroup.procs") for group in self._groups()]
        entry = 'for f in $GROUPS_OF_IT; do echo $$ >"$f" 2>/dev/null; done; exec "$@"'
        with (self.work / "console.log").open("ab") as console:
            self._nspawn = subprocess.Popen(
                ["sh", "-c", entry, "sh", *command],
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1", "GROUPS_OF_IT": " ".join(groups)},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
        self.until(self._find_pid1, 30, "systemd does not start")
        states = ("running", "degraded")
        self.until(
            lambda: self.out("systemctl", "is-system-running").strip() in states, 60, "it does not come up"
        )
        return time.monotonic() - began

    def _find_pid1(self) -> bool:
        assert self._nspawn is not None
        path = Path(f"/proc/{self._nspawn.pid}/task/{self._nspawn.pid}/children")
        for word in path.read_text(encoding="ascii").split() if path.exists() else []:
            with suppress(OSError):
                if Path(f"/proc/{word}/comm").read_text(encoding="ascii").strip() == "systemd":
                    self._pid1 = int(word)
                    return True
        return False

    def run(self, *command: str, timeout_s: float = 300) -> subprocess.CompletedProcess[str]:
        """A command inside, as root."""
        return subprocess.run(
            ["nsenter", "-t", str(self._pid1), "-a", "--", *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def out(self, *command: str) -> str:
        return self.run(*command).stdout

    def beside(self, *command: str, **options: object) -> subprocess.Popen[str]:
        """A process of ours in the machine's network."""
        words = ["ip", "netns", "exec", self.name, *command]
        return subprocess.Popen(words, text=True, **options)  # type: ignore[call-overload,no-any-return]

    def until(self, condition: Callable[[], object], within_s: float, else_say: str) -> float:
        """Seconds until the condition holds. Raises LabError."""
        began = time.monotonic()
        while not condition():
            if time.monotonic() - began > within_s:
                raise LabError(f"{else_say} (waited {within_s:.0f} s)")
            time.sleep(0.1)
        return time.monotonic() - began

    def power_off(self) -> int:
        """An orderly end; nspawn's exit code."""
        assert self._nspawn is not None
        self.run("systemctl", "poweroff")
        code = self._nspawn.wait(120)
        self._nspawn = None
        return code

    def cut_power(self) -> None:
        """Everything inside dies at once, as by SIGKILL; nothing is written any more."""
        assert self._nspawn is not None
        os.kill(self._pid1, signal.SIGKILL)
        self._nspawn.wait(30)
        self._nspawn = None

    def close(self) -> None:
        if self._nspawn is not None:
            with suppress(ProcessLookupError):
                os.kill(self._pid1, signal.SIGKILL)
            with suppress(subprocess.TimeoutExpired):
                self._nspawn.wait(30)
        for path in (self.root, self.work / "disk"):
            subprocess.run(["umount", "-l", str(path)], capture_output=True, check=False)
        subprocess.run(["ip", "netns", "del", self.name], capture_output=True, check=False)
        for group in self._groups():
            for path in sorted((p for p in group.rglob("*") if p.is_dir()), reverse=True):
                with suppress(OSError):
                    path.rmdir()
            with suppress(OSError):
                group.rmdir()
        shutil.rmtree(self.work, ignore_errors=True)


@contextmanager
def machine(cache: Path, work: Path, suite: str) -> Iterator[Machine]:
    """A machine with an empty disk above the kept root, gone at the end."""
    made = Machine(base_root(cache, suite), work)
    try:
        yield made
    finally:
        made.close()


def _call(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise LabError(f"{' '.join(command)}: {done.stderr.strip()}")
