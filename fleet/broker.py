"""The fleet's own way to the broker: address, certificate or password, and a session that comes back by itself."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from agent.errors import ConfigError, TrimloadError
from agent.uplink.connection import broker_address, send_at_once


class BrokerUnreachableError(TrimloadError):
    """The broker does not answer."""


class Broker(NamedTuple):
    """Where the broker is, what its topics begin with, and how the fleet shows who it is."""

    url: str
    root: str = "trimload"
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    username: str | None = None
    password_file: Path | None = None

    @property
    def place(self) -> str:
        """Host and port, for people."""
        host, port, _ = broker_address(self.url)
        return f"{host}:{port}"


def add_broker(parser: argparse.ArgumentParser) -> None:
    """The options that name a broker."""
    parser.add_argument("--broker", required=True, help="mqtt://host:1883 or mqtts://host:8883")
    parser.add_argument("--root", default="trimload", help="first level of every topic ([uplink] topic_root)")
    group = parser.add_argument_group("who the fleet is to the broker (docs/uplink.md)")
    group.add_argument("--ca", type=Path, help="certificates that sign the broker's (default: the system's)")
    group.add_argument("--certificate", type=Path, help="our certificate")
    group.add_argument("--certificate-key", type=Path, help="its key")
    group.add_argument("--username", help="our name, where the broker wants a password")
    group.add_argument("--password-file", type=Path, help="file with the password")


def broker_of(options: argparse.Namespace) -> Broker:
    """The broker that the options name. Raises ConfigError for an address that is none."""
    broker_address(options.broker)
    return Broker(
        options.broker,
        options.root,
        options.ca,
        options.certificate,
        options.certificate_key,
        options.username,
        options.password_file,
    )


def session(broker: Broker, *, client_id: str = "") -> paho.Client:
    """A client that is not connected yet. Raises ConfigError for files that cannot be used."""
    _, _, tls = broker_address(broker.url)
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    client.reconnect_delay_set(1, 5)
    client.on_socket_open = send_at_once
    try:
        if broker.username is not None:
            path = broker.password_file
            client.username_pw_set(
                broker.username, None if path is None else path.read_text(encoding="utf-8").strip()
            )
        if tls:
            ca, certificate, key = (
                None if path is None else str(path) for path in (broker.ca, broker.certificate, broker.key)
            )
            client.tls_set(ca_certs=ca, certfile=certificate, keyfile=key)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"the fleet's certificate, key or password cannot be used: {error}",
            where="--ca, --certificate, --certificate-key, --password-file",
            fix="name readable PEM files, a certificate with its key",
        ) from error
    return client


def connect(client: paho.Client, broker: Broker, on_connect: Callable[[paho.Client], None]) -> None:
    """Connect in the client's own thread; `on_connect` at each time that the broker has us."""

    def connected(session: paho.Client, _data: object, _flags: object, reason: object, *_: object) -> None:
        if not getattr(reason, "is_failure", False):
            on_connect(session)

    host, port, _ = broker_address(broker.url)
    client.on_connect = connected
    client.connect_async(host, port)
    client.loop_start()
