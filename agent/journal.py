"""journald's own protocol: an event with its fields, so that `journalctl TRIMLOAD_EVENT=command_written -o json` finds it.

Source: systemd.io/JOURNAL_NATIVE_PROTOCOL, sd_journal_print(3), systemd.journal-fields(7).
"""

from __future__ import annotations

import os
import re
import socket
import stat
from collections.abc import Mapping

SOCKET = "/run/systemd/journal/socket"
# A datagram of this size passes with the kernel's default buffers.
_LARGEST = 65_536
_UNFIT = re.compile(r"[^A-Z0-9_]")


def stderr_is_the_journal(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether standard error leads to journald and nowhere else: JOURNAL_STREAM names its device and inode."""
    device, _, inode = environment.get("JOURNAL_STREAM", "").partition(":")
    try:
        state = os.fstat(2)
    except OSError:
        return False
    return stat.S_ISSOCK(state.st_mode) and (device, inode) == (str(state.st_dev), str(state.st_ino))


def field_name(key: str) -> str:
    """`tick_s` -> `TRIMLOAD_TICK_S`; what journald does not allow in a name becomes an underscore."""
    return f"TRIMLOAD_{_UNFIT.sub('_', key.upper())}"[:64]


def datagram(fields: Mapping[str, str]) -> bytes:
    """Fields as journald takes them: `KEY=value`, or with a length where the value has lines of its own."""
    parts = []
    for name, value in fields.items():
        content = value.encode("utf-8", "replace")
        if b"\n" in content:
            parts.append(name.encode() + b"\n" + len(content).to_bytes(8, "little") + content + b"\n")
        else:
            parts.append(name.encode() + b"=" + content + b"\n")
    return b"".join(parts)


class Journal:
    """A sender. It never blocks and never raises: a log must not stop a tick."""

    def __init__(self, path: str = SOCKET) -> None:
        self._path = path
        self._out = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._out.setblocking(False)

    def send(self, fields: Mapping[str, str]) -> bool:
        """Whether journald took it."""
        content = datagram(fields)
        if len(content) > _LARGEST:
            return False
        try:
            self._out.sendto(content, self._path)
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Close the socket."""
        self._out.close()
