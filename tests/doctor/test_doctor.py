"""What the doctor finds on a gateway: each ailment is really there, and each finding says what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.config.load import load_site
from agent.doctor import access, gateway, plant
from agent.doctor.command import command, examine
from agent.doctor.finding import Level, fail, ok, warn, worst
from agent.update.boot import Boot, begin_trial, rolled_back
from agent.update.place import decide
from tests.daemon.conftest import free_ports
from tests.service.conftest import add_complete

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[2]


def levels(findings) -> list[Level]:
    return [finding.level for finding in findings]


def certificate(folder: Path, name: str, valid_days: float) -> tuple[Path, Path]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW - timedelta(days=10))
        .not_valid_after(NOW + timedelta(days=valid_days))
        .sign(key, hashes.SHA256())
    )
    cert_file, key_file = folder / f"{name}.pem", folder / f"{name}.key"
    cert_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    key_file.chmod(0o640)
    return cert_file, key_file


def secured(site_file: Path, **files: Path):
    site = load_site(site_file)
    return site.model_copy(update={"uplink": site.uplink.model_copy(update=files)})


def test_the_worst_line_is_the_verdict():
    assert worst([ok("a", ""), warn("b", "", "do"), ok("c", "")]) is Level.WARN
    assert worst([warn("b", "", "do"), fail("c", "", "do")]) is Level.FAIL
    assert worst([]) is Level.OK


@pytest.mark.parametrize(
    ("now", "synchronised", "level"),
    [
        (NOW, True, Level.OK),
        (NOW, False, Level.WARN),
        (NOW, None, Level.WARN),
        # A flat battery: 1970, however synchronised.
        (datetime(1970, 1, 1, tzinfo=UTC), True, Level.FAIL),
    ],
)
def test_a_clock_is_judged_by_its_date_and_by_who_keeps_it(now, synchronised, level):
    found = list(gateway.clock(now, release=None, synchronised=lambda: synchronised))

    assert levels(found) == [level]


def test_a_clock_behind_the_release_that_runs_is_wrong(place):
    os.utime(place.releases / "1.0.0-aaaaaaaa" / "release.json", (NOW.timestamp(), NOW.timestamp()))

    found = list(gateway.clock(NOW - timedelta(days=2), release=place.current, synchronised=lambda: True))

    assert levels(found) == [Level.FAIL]


def test_the_kernel_is_asked_about_its_clock():
    assert gateway.clock_is_synchronised() in (True, False, None)


@pytest.mark.parametrize(
    ("kib", "level"), [(200 << 10, Level.FAIL), (300 << 10, Level.WARN), (900 << 10, Level.OK)]
)
def test_memory_is_judged_by_what_is_available(kib: int, level: Level):
    found = list(gateway.memory(f"MemTotal: 1 kB\nMemAvailable:   {kib} kB\n"))

    assert levels(found) == [level]


def test_room_is_judged_against_what_the_site_may_store(site_file: Path, tmp_path: Path):
    site = load_site(site_file)
    huge = site.model_copy(update={"storage": site.storage.model_copy(update={"outbox_mb": 10**9})})

    assert levels(gateway.disk(site, tmp_path / "not" / "yet", None)) == [Level.OK]
    assert levels(gateway.disk(huge, tmp_path, None)) == [Level.WARN]


@pytest.mark.parametrize(
    ("unit", "level"),
    [
        (None, Level.WARN),
        ({"LoadState": "not-found"}, Level.WARN),
        ({"LoadState": "loaded", "ActiveState": "inactive", "UnitFileState": "disabled"}, Level.WARN),
        ({"LoadState": "loaded", "ActiveState": "active", "NRestarts": "2"}, Level.WARN),
        ({"LoadState": "loaded", "ActiveState": "active", "NRestarts": "0"}, Level.OK),
    ],
)
def test_the_service_is_judged_by_what_systemd_says(unit, level: Level):
    assert levels(gateway.service(unit, None)) == [level]


def test_a_release_taken_back_is_told_with_its_reason(place):
    add_complete(place, "1.1.0-bbbbbbbb")
    trial = begin_trial(
        "1.0.0-aaaaaaaa", "1.1.0-bbbbbbbb", job="r1", trial_s=9.0, boot_id="x", now_boot_s=0.0
    )
    running = {"LoadState": "loaded", "ActiveState": "active"}
    found = []

    for boot in (Boot("1.0.0-aaaaaaaa"), trial, rolled_back(trial, "crash loop")):
        decide(place, boot)
        found.append(list(gateway.service(running, place))[-1])

    assert levels(found) == [Level.OK, Level.WARN, Level.WARN]
    assert "crash loop" in found[-1].what


def test_a_machine_without_dead_man_fails_in_control_and_is_a_warning_below(site_file: Path):
    site = load_site(site_file)
    air = site.stations["air"]
    mute = {name: machine.model_copy(update={"dead_man_s": None}) for name, machine in air.machines.items()}

    def with_mode(mode: str):
        station = air.model_copy(update={"mode": mode, "machines": mute})
        return list(plant.dead_man(site.model_copy(update={"stations": {"air": station}, "hvac": None})))

    assert levels(plant.dead_man(site))[0] is Level.OK
    assert levels(with_mode("control")) == [Level.FAIL]
    assert levels(with_mode("observe")) == [Level.WARN]


@pytest.mark.parametrize(("valid_days", "level"), [(-1, Level.FAIL), (10, Level.WARN), (100, Level.OK)])
def test_a_certificate_is_judged_by_its_end(site_file: Path, tmp_path: Path, valid_days, level):
    cert, key = certificate(tmp_path, "gateway", valid_days)
    site = secured(site_file, cert_file=cert, key_file=key)

    found = list(access.certificates(site, NOW, None))

    assert levels(found) == [level, Level.OK]


def test_a_key_that_everybody_may_read_fails(site_file: Path, tmp_path: Path):
    cert, key = certificate(tmp_path, "gateway", 100)
    key.chmod(0o644)

    found = list(access.certificates(secured(site_file, cert_file=cert, key_file=key), NOW, None))

    assert levels(found) == [Level.OK, Level.FAIL]
    assert "chmod 640" in found[1].fix


def test_certificate_and_key_of_two_pairs_fail(site_file: Path, tmp_path: Path):
    cert, _ = certificate(tmp_path, "gateway", 100)
    _, key = certificate(tmp_path, "other", 100)

    found = list(access.certificates(secured(site_file, cert_file=cert, key_file=key), NOW, None))

    assert levels(found) == [Level.OK, Level.OK, Level.FAIL]


def test_a_file_that_is_not_there_or_is_no_certificate_fails(site_file: Path, tmp_path: Path):
    (tmp_path / "ca.pem").write_text("no certificate", encoding="utf-8")
    site = secured(site_file, ca_file=tmp_path / "ca.pem", cert_file=tmp_path / "gone.pem")

    assert levels(access.certificates(site, NOW, None)) == [Level.FAIL, Level.FAIL]


def test_a_state_directory_of_somebody_else_fails(tmp_path: Path):
    if os.geteuid() != 0:
        pytest.skip("only root can try a directory as another user")
    shut = tmp_path / "state"
    shut.mkdir(mode=0o700)

    assert not access.may("write", shut, "nobody")
    assert levels(access.store(shut, "nobody")) == [Level.FAIL]
    assert levels(access.store(shut, None)) == [Level.OK]


def test_secrets_that_others_may_read_fail(tmp_path: Path):
    folder = tmp_path / "credentials"
    folder.mkdir(mode=0o700)
    (folder / "mqtt_password").write_text("x", encoding="utf-8")
    (folder / "mqtt_password").chmod(0o644)

    before = levels(access.credentials(folder))
    (folder / "mqtt_password").chmod(0o600)

    assert before == [Level.FAIL]
    assert levels(access.credentials(folder)) == [Level.OK]


def test_devices_of_a_living_plant_are_read_and_a_dead_one_is_named(site_file: Path, start_twin, tmp_path):
    start_twin(site_file, "2026-06-16T08:00:00+00:00")
    dead = free_ports(1)[0]
    text = site_file.read_text(encoding="utf-8")
    port = load_site(site_file).devices["c2"].port
    site_file.write_text(text.replace(f"port = {port}\n", f"port = {dead}\n"), encoding="utf-8")

    found = {
        f.what.partition(":")[0]: f
        for f in examine(load_site(site_file), tmp_path, with_devices=True)
        if f.check == "devices"
    }

    assert found.pop("c2").level is Level.FAIL
    assert {f.level for f in found.values()} == {Level.OK}
    assert len(found) == 7


@pytest.mark.peers("mosquitto")
def test_a_broker_is_tried_with_a_session_of_its_own(site_file: Path, mosquitto, tmp_path: Path):
    text = site_file.read_text(encoding="utf-8")
    old = load_site(site_file).uplink.broker
    site_file.write_text(text.replace(old, f"mqtt://127.0.0.1:{mosquitto.port}"), encoding="utf-8")
    uplink = load_site(site_file).uplink

    dead = list(plant.broker(uplink, "demo", None))
    mosquitto.start()
    alive = list(plant.broker(uplink, "demo", None))
    mosquitto.kill()
    passwords = tmp_path / "passwords"
    subprocess.run(["mosquitto_passwd", "-c", "-b", str(passwords), "demo", "right"], check=True)
    passwords.chmod(0o644)
    mosquitto.configure(f"allow_anonymous false\npassword_file {passwords}\n")
    mosquitto.start()
    named = uplink.model_copy(update={"username": "demo"})
    wrong, right = (list(plant.broker(named, "demo", word)) for word in ("wrong", "right"))

    # Without encryption is a warning however well it answers.
    assert [levels(each) for each in (dead, alive, wrong, right)] == [
        [Level.FAIL],
        [Level.WARN],
        [Level.FAIL],
        [Level.WARN],
    ]
    assert "uthori" in wrong[0].what


def test_the_command_speaks_to_machines_and_its_exit_code_is_the_verdict(site_file: Path, capsys, tmp_path):
    state = tmp_path / "state"
    state.mkdir()

    unreachable = command([str(site_file), "--json", "--state", str(state)])
    told = json.loads(capsys.readouterr().out)
    fit = command([str(site_file), "--no-devices", "--state", str(state)])
    text = capsys.readouterr().out

    assert (unreachable, told["level"]) == (1, "fail")
    assert {row["check"] for row in told["findings"]} >= {
        "config",
        "clock",
        "disk",
        "devices",
        "broker",
        "dead-man",
    }
    assert all(row["fix"] for row in told["findings"] if row["level"] != "ok")
    assert fit == 0
    assert "0 failing" in text


def test_a_faulty_site_is_bad_input(tmp_path: Path):
    path = tmp_path / "site.toml"
    path.write_text("[site]\nid = 'x'\n", encoding="utf-8")

    done = subprocess.run(
        [sys.executable, "-m", "agent.cli", "doctor", str(path)], cwd=ROOT, capture_output=True, text=True
    )

    assert done.returncode == 2
    assert "fail  config" in done.stdout
