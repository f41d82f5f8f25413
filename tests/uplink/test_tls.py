"""mqtts with a certificate for each site, against a real mosquitto and a CA made for the test."""

from __future__ import annotations

import ipaddress
import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from agent.clock import SimClock, WallClock
from agent.config.services import Uplink as UplinkConfig
from agent.domain import Quality, Reading, Snapshot
from agent.store.outbox import Outbox
from agent.uplink.mqtt import Uplink

AT = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


class Authority:
    """A certificate authority that writes PEM files into `directory`."""

    def __init__(self, directory: Path, name: str) -> None:
        directory.mkdir()
        self._directory = directory
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self._key = ec.generate_private_key(ec.SECP256R1())
        self.file = directory / "ca.pem"
        authority = x509.BasicConstraints(ca=True, path_length=None)
        certificate = self._certificate(self._name, self._key).add_extension(authority, critical=True)
        self._write(self.file, certificate.sign(self._key, hashes.SHA256()))

    def issue(self, name: str) -> tuple[Path, Path]:
        """Certificate and key of `name`, valid for 127.0.0.1."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        here = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        certificate = self._certificate(subject, key).add_extension(here, critical=False)
        files = self._directory / f"{name}.pem", self._directory / f"{name}.key"
        self._write(files[0], certificate.sign(self._key, hashes.SHA256()))
        files[1].write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files

    def _certificate(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = WallClock().now()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))
            .not_valid_after(now + timedelta(days=1))
        )

    def _write(self, file: Path, certificate: x509.Certificate) -> None:
        file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca", "the plant's CA")


@pytest.fixture
def server(mosquitto, authority: Authority):
    certificate, key = authority.issue("broker")
    mosquitto.configure(
        f"cafile {authority.file}\ncertfile {certificate}\nkeyfile {key}\n"
        "require_certificate true\nuse_identity_as_username true\n"
    )
    mosquitto.start()
    return mosquitto


def uplink_to(port: int, outbox: Outbox, ca: Path, files: tuple[Path, Path] | None) -> Uplink:
    cert, key = files or (None, None)
    config = UplinkConfig(broker=f"mqtts://127.0.0.1:{port}", ca_file=ca, cert_file=cert, key_file=key)
    return Uplink(config, "plant-1", outbox, SimClock(AT))


@pytest.mark.peers("mosquitto")
async def test_a_site_with_its_certificate_delivers(server, authority: Authority, until) -> None:
    outbox = Outbox(":memory:")
    uplink = uplink_to(server.port, outbox, authority.file, authority.issue("plant-1"))
    uplink.report(Snapshot(AT, {"air.pressure": Reading(7.0, Quality.GOOD, AT)}))

    uplink.start()
    await until(lambda: len(outbox) == 0)
    await uplink.stop()

    assert uplink.published == 1


@pytest.mark.peers("mosquitto")
# paho drops the socket of a handshake that failed without closing it; the interpreter closes it at once.
@pytest.mark.filterwarnings("ignore:Exception ignored in.*SSLSocket:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("wrong", ["broker of another authority", "site without certificate"])
async def test_without_trust_in_both_directions_nothing_is_sent(
    server, authority: Authority, until, tmp_path: Path, caplog: pytest.LogCaptureFixture, wrong: str
) -> None:
    caplog.set_level(logging.INFO, "agent.uplink")
    stranger = Authority(tmp_path / "stranger", "somebody else")
    outbox = Outbox(":memory:")
    if wrong == "broker of another authority":
        uplink = uplink_to(server.port, outbox, stranger.file, authority.issue("plant-1"))
    else:
        uplink = uplink_to(server.port, outbox, authority.file, None)
    uplink.report(Snapshot(AT, {"air.pressure": Reading(7.0, Quality.GOOD, AT)}))

    uplink.start()
    await until(lambda: "uplink_lost" in caplog.text)
    await uplink.stop()

    assert uplink.published == 0
    assert len(outbox) == 1
    assert "uplink_connected" not in caplog.text
