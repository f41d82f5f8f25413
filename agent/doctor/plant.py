"""What stands outside the gateway: devices, their dead-man, the broker. Reads, and never writes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from agent.clock import WallClock, elapsed_s
from agent.config.parts import Device
from agent.config.services import Uplink
from agent.config.site import Site
from agent.doctor.finding import Finding, fail, ok, warn
from agent.domain import Quality
from agent.drivers.build import build_driver
from agent.errors import ConfigError, TrimloadError

_CONNECT_S = 3.0


def dead_man(site: Site) -> Iterator[Finding]:
    """Each machine must notice that the agent is gone: by a heartbeat word and a time after which it helps itself."""
    for station_id, station in site.stations.items():
        without = [
            name
            for name, machine in station.machines.items()
            if not machine.locked_out
            and (machine.dead_man_s is None or machine.tag("heartbeat") not in site.points)
        ]
        where = f"station {station_id}"
        if not without:
            longest = max((m.dead_man_s or 0.0 for m in station.machines.values()), default=0.0)
            yield ok("dead-man", f"{where}: every machine has one, the slowest takes {longest:g} s")
        else:
            level = fail if station.mode == "control" else warn
            yield level(
                "dead-man",
                f"{where}: {', '.join(without)} would not notice a dead agent",
                "have a heartbeat watched in the machine's controller, then give dead_man_s and the point heartbeat; "
                "until then the station stays in observe or advise",
            )
    for name, unit in site.hvac.units.items() if site.hvac is not None else ():
        if unit.left_behind == "comfort":
            yield ok("dead-man", f"hvac unit {name}: none; its set-points never leave the comfort band")
        elif unit.dead_man_s is None or unit.heartbeat is None:
            yield warn(
                "dead-man",
                f"hvac unit {name} has none",
                "give heartbeat and dead_man_s, or left_behind, or keep hvac in observe or advise",
            )
        else:
            yield ok("dead-man", f"hvac unit {name}: {unit.dead_man_s:g} s")


async def devices(site: Site) -> list[Finding]:
    """Connect to each device once and read all its points."""
    return [
        found
        for each in await asyncio.gather(*(_device(n, d) for n, d in site.devices.items()))
        for found in each
    ]


async def _device(name: str, device: Device) -> list[Finding]:
    address = _address(device)
    if address is None:
        return [ok("devices", f"{name}: driver {device.driver} is fed from outside, nothing to reach")]
    host, port = address
    began_s = elapsed_s()
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(host, port), _CONNECT_S)
        writer.close()
        await writer.wait_closed()
    except TimeoutError:
        return [
            fail(
                "devices",
                f"{name}: {host}:{port} does not answer",
                "is it switched on, in this network, and is the address right?",
            )
        ]
    except OSError as error:
        return [
            fail(
                "devices",
                f"{name}: {host}:{port}: {os.strerror(error.errno) if error.errno else error}",
                "check address and port, and whether the device's server is enabled",
            )
        ]
    took_ms = (elapsed_s() - began_s) * 1000
    try:
        driver = build_driver(name, device, WallClock())
    except ConfigError as error:
        return [fail("devices", f"{name}: {error.what}", error.fix)]
    limit_s = 5.0 + 4.0 * device.timeout_s
    try:
        await asyncio.wait_for(driver.connect(), limit_s)
        readings = await asyncio.wait_for(driver.read(driver.tags), limit_s)
    except TimeoutError:
        readings = {}
    finally:
        await driver.close()
    readable = [tag for tag in driver.tags if tag in readings]
    bad = [tag for tag in readable if readings[tag].quality is Quality.BAD]
    if not readable or len(bad) == len(readable):
        return [
            fail(
                "devices",
                f"{name}: {host}:{port} is open, but nothing can be read",
                "check driver, unit_id, profile and register addresses (trimload check names what is doubtful)",
            )
        ]
    if bad:
        return [
            warn(
                "devices",
                f"{name}: no value of {', '.join(bad)}",
                "check these points' addresses and types against the device's manual",
            )
        ]
    return [
        ok(
            "devices",
            f"{name}: {len(readable)} points read from {host}:{port}, connected in {took_ms:.0f} ms",
        )
    ]


def _address(device: Device) -> tuple[str, int] | None:
    if device.driver == "opcua":
        parts = urlsplit(device.url)
        return (parts.hostname or "", parts.port or 4840)
    return (device.host, device.port) if device.host else None


def broker(config: Uplink | None, site_id: str, password: str | None) -> Iterator[Finding]:
    """Name, port, certificates and password, tried with a session of its own."""
    if config is None:
        yield ok("broker", "no [uplink]: everything stays on site")
        return
    from agent.uplink.connection import broker_address

    try:
        host, port, tls = broker_address(config.broker)
    except TrimloadError as error:
        yield fail("broker", error.what, error.fix)
        return
    try:
        refused = _session(config, f"{site_id}-doctor", password, host, port, tls=tls)
    except TrimloadError as error:
        yield fail("broker", error.what, error.fix)
        return
    except OSError as error:
        yield fail(
            "broker",
            f"{host}:{port}: {getattr(error, 'verify_message', '') or error.strerror or str(error)}",
            "name, port, firewall, certificate authority? The agent runs without it and sends later what it has kept",
        )
        return
    if refused:
        yield fail(
            "broker",
            f"{host}:{port} refuses the session: {refused}",
            "check username and credential mqtt_password, and the broker's rules",
        )
    elif not tls:
        yield warn(
            "broker",
            f"{host}:{port} answers, without encryption",
            "use mqtts:// wherever the network is not the gateway itself",
        )
    else:
        yield ok("broker", f"{host}:{port} answers over TLS")


def _session(config: Uplink, client_id: str, password: str | None, host: str, port: int, *, tls: bool) -> str:
    """Why the broker refuses a session; "" when it does not. Raises OSError when there is none, ConfigError."""
    from paho.mqtt import client as paho
    from paho.mqtt.enums import CallbackAPIVersion

    from agent.uplink.connection import use_certificates

    answers: list[str] = []
    client = paho.Client(CallbackAPIVersion.VERSION2, client_id=client_id)
    client.connect_timeout = _CONNECT_S
    if tls:
        use_certificates(client, config)
    if config.username is not None:
        client.username_pw_set(config.username, password)
    client.on_connect = lambda _c, _d, _f, reason, _p: answers.append(
        str(reason) if reason.is_failure else ""
    )
    client.connect(host, port)
    began_s = elapsed_s()
    while not answers and elapsed_s() - began_s < _CONNECT_S:
        if client.loop(timeout=0.1) != paho.MQTT_ERR_SUCCESS and not answers:
            raise OSError("the broker closes the connection")
    client.disconnect()
    if not answers:
        raise TimeoutError("no answer to CONNECT")
    return answers[0]


def skipped(unit: Mapping[str, str]) -> Iterator[Finding]:
    """Many controllers bear one connection only: while the service holds it, its word is taken."""
    yield ok("devices", f"read by the running service: {unit.get('StatusText', '')}")


def etc_password(folder: Path) -> str | None:
    """The broker's password as the service will get it, where this user may read it."""
    try:
        return (folder / "mqtt_password").read_text(encoding="utf-8").strip() or None
    except OSError:
        return None
