"""The units, judged by systemd's own tools."""

from __future__ import annotations

import configparser
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).resolve().parents[2] / "systemd"
NAMES = sorted(path.name for path in UNITS.iterdir() if path.suffix in {".service", ".path", ".timer"})
# Programs that the units start, on the gateway.
PROGRAMS = ("usr/bin/python3", "opt/trimload/current/bin/trimload")
# Targets and sockets that units lean on, as far as they do.
TARGETS = ("sysinit", "basic", "shutdown", "multi-user", "network-online", "time-sync", "paths", "timers")


def exposure(folder: Path, name: str) -> float:
    """The figure of `systemd-analyze security`, 0 (safe) to 10."""
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(folder / name)],
        capture_output=True,
        text=True,
    )
    verdict = [line for line in done.stdout.splitlines() if "Overall exposure level" in line]
    assert verdict, done.stderr
    return float(verdict[0].split(":")[1].split()[0])


def gateway_root(folder: Path) -> Path:
    """As much of a gateway as systemd-analyze looks at."""
    for program in PROGRAMS:
        path = folder / program
        path.parent.mkdir(parents=True)
        path.write_text("#!/bin/sh\n", encoding="utf-8")
        path.chmod(0o755)
    units = folder / "etc/systemd/system"
    units.mkdir(parents=True)
    for name in NAMES:
        shutil.copy(UNITS / name, units)
    for target in TARGETS:
        (units / f"{target}.target").write_text("[Unit]\nDescription=x\n", encoding="utf-8")
    return folder


def verified(root: Path, name: str) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "verify", "--recursive-errors=yes", "--man=no", f"--root={root}", name]
    return subprocess.run(command, capture_output=True, text=True)


def one(name: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str
    parser.read(UNITS / name)
    return parser


@pytest.mark.peers("systemd-analyze")
def test_the_agent_is_exposed_at_most_1_3_without_serial_lines():
    assert exposure(UNITS, "trimload.service") <= 1.3


@pytest.mark.peers("systemd-analyze")
def test_the_agent_is_exposed_at_most_1_6_with_serial_lines(tmp_path: Path):
    # A drop-in's lines count after the unit's own, and the last one of a key holds.
    whole = (UNITS / "trimload.service").read_text(encoding="utf-8").split("[Install]")[0]
    added = (UNITS / "serial.conf").read_text(encoding="utf-8").split("[Service]")[1]
    (tmp_path / "trimload.service").write_text(whole + added, encoding="utf-8")

    assert exposure(tmp_path, "trimload.service") <= 1.6


@pytest.mark.peers("systemd-analyze")
@pytest.mark.parametrize("name", NAMES)
def test_systemd_understands_every_word_of_a_unit(tmp_path: Path, name: str):
    done = verified(gateway_root(tmp_path), name)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.peers("systemd-analyze")
def test_a_word_that_systemd_does_not_know_is_found(tmp_path: Path):
    root = gateway_root(tmp_path)
    unit = root / "etc/systemd/system/trimload.service"
    unit.write_text(
        unit.read_text(encoding="utf-8").replace("RestartSec=", "RestartSeconds="), encoding="utf-8"
    )

    assert verified(root, "trimload.service").returncode != 0


def test_the_agent_hands_back_before_it_is_killed_and_is_never_given_up():
    unit = one("trimload.service")

    service = unit["Service"]
    assert service["Type"] == "notify"
    assert service["Restart"] == "always"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    # The slowest hand-back: 20 devices one after another on a serial bus, 1 s each, twice (write, read back).
    assert int(service["TimeoutStopSec"]) >= 40
    assert "ORT_DISABLE_TELEMETRY=1" in service["Environment"].split()


def test_what_runs_as_root_takes_nothing_from_the_network_or_the_agents_packages():
    for name in ("trimload-update.service", "trimload-trial.service"):
        service = one(name)["Service"]
        assert service["ExecStart"].startswith("/usr/bin/python3 -I /opt/trimload/launcher.pyz ")
        assert service["PrivateNetwork"] == "yes"
        assert service["ProtectSystem"] == "strict"


def test_the_bundle_carries_every_unit_that_the_installer_places():
    script = (UNITS.parent / "scripts" / "install").read_text(encoding="utf-8")

    assert [name for name in NAMES if name not in script] == []


def test_all_of_roots_units_see_the_same_boot_id():
    # Both directives cover /proc/sys anew, and with it the boot_id that a container's manager has put there.
    for name in ("trimload-update.service", "trimload-trial.service"):
        assert {"ProtectKernelTunables", "ProtectControlGroups"} & set(one(name)["Service"]) == set()


@pytest.mark.peers("systemd-analyze")
def test_the_page_is_exposed_at_most_1_3():
    assert exposure(UNITS, "trimload-page.service") <= 1.3


def test_the_page_can_write_nothing_and_answers_this_machine_alone():
    service = one("trimload-page.service")["Service"]

    assert service["ProtectSystem"] == "strict"
    assert not {"StateDirectory", "ReadWritePaths", "LoadCredential"} & set(service)
    assert (service["IPAddressDeny"], service["IPAddressAllow"]) == ("any", "localhost")
