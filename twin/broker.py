"""A broker for the demo: mosquitto where it is installed, else amqtt inside this process."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

from agent.clock import elapsed_s, pause
from agent.errors import TrimloadError
from agent.log import get_logger

log = get_logger(__name__)

_START_S = 10.0
_STOP_S = 5.0


class BrokerError(TrimloadError):
    """No broker can be had on this machine."""


def mosquitto_program() -> str | None:
    """Path of mosquitto; Debian puts it where a user's PATH does not look."""
    places = [os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"]
    return shutil.which("mosquitto", path=os.pathsep.join(places))


@contextlib.asynccontextmanager
async def broker(port: int, directory: Path, *, embedded: bool = False) -> AsyncIterator[str]:
    """A broker on 127.0.0.1:`port` for whoever asks, with its files in `directory`; yields its name.

    `embedded` leaves mosquitto out. Raises BrokerError when none can be started.
    """
    program = None if embedded else mosquitto_program()
    running = _embedded(port) if program is None else _mosquitto(program, port, directory)
    async with running as name:
        log.info("broker_started", name=name, port=port)
        yield name


@contextlib.asynccontextmanager
async def _mosquitto(program: str, port: int, directory: Path) -> AsyncIterator[str]:
    config, log_file = _prepare(port, directory)
    with log_file.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            program, "-c", str(config), stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
        )
    try:
        await _wait_until_open(process, port, log_file)
        yield "mosquitto"
    finally:
        await _end(process)


def _prepare(port: int, directory: Path) -> tuple[Path, Path]:
    """Configuration and log file of mosquitto; the former is written."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = [
        f"listener {port} 127.0.0.1",
        "allow_anonymous true",
        "persistence false",
        "set_tcp_nodelay true",
        "log_dest stderr",
        "log_type error",
        "log_type warning",
    ]
    if os.geteuid() == 0:
        # Started by root it would become the user mosquitto, who may not look into `directory`.
        lines.append("user root")
    config = directory / "mosquitto.conf"
    config.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return config, directory / "mosquitto.log"


def _last_line(file: Path) -> str:
    lines = file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return lines[-1] if lines else "it says nothing"


async def _wait_until_open(process: asyncio.subprocess.Process, port: int, log_file: Path) -> None:
    began_s = elapsed_s()
    while process.returncode is None and elapsed_s() - began_s < _START_S:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await pause(0.02)
            continue
        writer.close()
        await writer.wait_closed()
        # Another broker may hold the port; then ours has just ended.
        await pause(0.02)
        if process.returncode is None:
            return
    raise BrokerError(
        f"mosquitto does not start: {_last_line(log_file)}",
        where=str(log_file),
        fix=f"free port {port}, or choose another one",
    )


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), _STOP_S)
    except TimeoutError:
        process.kill()
        await process.wait()


@contextlib.asynccontextmanager
async def _embedded(port: int) -> AsyncIterator[str]:
    try:
        from amqtt.broker import Broker
        from amqtt.errors import BrokerError as AmqttError
    except ImportError as error:
        raise BrokerError(
            "there is no MQTT broker on this machine",
            where="PATH and this Python environment",
            fix="apt-get install mosquitto, or pip install 'trimload[demo]'",
        ) from error
    server = Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
    try:
        await server.start()
    except AmqttError as error:
        raise BrokerError(
            f"amqtt does not start: {error}",
            where=f"127.0.0.1:{port}",
            fix=f"free port {port}, or choose another one",
        ) from error
    try:
        yield "amqtt (embedded)"
    finally:
        await server.shutdown()
