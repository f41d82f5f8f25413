"""Word to systemd: ready, alive, stopping. Nothing happens where no systemd listens.

Source: sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


def notify(*assignments: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Send e.g. `"READY=1", "STATUS=..."` to NOTIFY_SOCKET; True when it was taken.

    A refused datagram is False, never an exception: the plant matters more than its supervisor.
    """
    address = environment.get("NOTIFY_SOCKET", "")
    if not address or address[0] not in "/@":
        return False
    if address[0] == "@":
        # "@" stands for the zero byte of an abstract socket, which no environment can carry.
        address = "\0" + address[1:]
    message = "\n".join(text.replace("\n", " ") for text in assignments).encode()
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.setblocking(False)
            out.sendto(message, address)
    except OSError:
        return False
    return True


def ready(status: str = "") -> bool:
    """The agent works: the unit counts as started."""
    return notify("READY=1", f"STATUS={status}") if status else notify("READY=1")


def alive(status: str = "") -> bool:
    """Feed the watchdog. Called by the control loop alone, after a tick that did its work."""
    return notify("WATCHDOG=1", f"STATUS={status}") if status else notify("WATCHDOG=1")


def status(text: str) -> bool:
    """One line for `systemctl status`."""
    return notify(f"STATUS={text}")


def stopping(status: str = "") -> bool:
    """The agent hands its set-points back and will end."""
    return notify("STOPPING=1", f"STATUS={status}") if status else notify("STOPPING=1")


def watchdog_s(environment: Mapping[str, str] = os.environ) -> float | None:
    """Longest time between two `alive`, [s]; None when this process is not watched."""
    owner = environment.get("WATCHDOG_PID", "")
    if owner and owner != str(os.getpid()):
        return None
    text = environment.get("WATCHDOG_USEC", "")
    return int(text) / 1e6 if text.isascii() and text.isdigit() and int(text) > 0 else None
