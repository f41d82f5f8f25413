"""What goes over the wire, as bytes: pure encoding and decoding of the uplink's JSON.

docs/uplink.md is the contract for whoever reads it on the other side.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from math import isfinite
from typing import Any, NamedTuple

from agent.domain import Mode, Snapshot
from agent.store.ledger import Head, canonical
from agent.store.outbox import Message

# No message that means anything to an agent is longer.
MAX_DOWN_BYTES = 64 << 10
# Seven digits are more than any sensor has, and half the bytes of a double in full.
_DIGITS = 7


class Ack(NamedTuple):
    """The far side has every message of `epoch` up to `seq`."""

    epoch: str
    seq: int


class ModeRequest(NamedTuple):
    """A wish to do less to a station (or to all: None). More is only granted on site."""

    station: str | None
    mode: Mode


def telemetry(snapshot: Snapshot) -> bytes:
    """`{"at", "values": {tag: [value, quality]}}`; value null is unknown, quality 0 bad .. 3 good."""
    values = {
        tag: [
            None if value is None or not isfinite(value) else float(f"{value:.{_DIGITS}g}"),
            int(quality),
        ]
        for tag, (value, quality, _) in snapshot.readings.items()
    }
    return _json({"at": _stamp(snapshot.at), "values": values})


def event(kind: str, at: datetime, fields: Mapping[str, object], ledger: Head | None = None) -> bytes:
    """`{"at", "kind", "fields", "ledger": {"seq", "hash"}}`: the hash lets the far side see a ledger cut short."""
    body: dict[str, object] = {"at": _stamp(at), "kind": kind, "fields": json.loads(canonical(fields))}
    if ledger is not None:
        body["ledger"] = ledger._asdict()
    return _json(body)


def status(state: str, at: datetime | None = None, epoch: str | None = None) -> bytes:
    """`{"state": "online" | "offline", "at", "epoch"}`; the broker sends the last will without the latter two."""
    body: dict[str, object] = {"state": state}
    if at is not None:
        body["at"] = _stamp(at)
    if epoch is not None:
        body["epoch"] = epoch
    return _json(body)


def seal(message: Message) -> bytes:
    """The payload with its name in front: `{"seq", "epoch", "oldest", ...}`.

    `oldest` is the least seq of the epoch that may still come: what is missing below it never will.
    """
    head = f'{{"seq":{message.seq},"epoch":"{message.epoch}","oldest":{message.oldest_seq}'
    rest = message.payload[1:]
    return head.encode() + (rest if rest == b"}" else b"," + rest)


def read_ack(payload: bytes) -> Ack | None:
    """`{"epoch": text, "seq": number}`; None for anything else."""
    body = _object(payload)
    epoch, seq = body.get("epoch"), body.get("seq")
    if isinstance(epoch, str) and isinstance(seq, int) and not isinstance(seq, bool) and 0 <= seq < 1 << 63:
        return Ack(epoch, seq)
    return None


def read_mode(payload: bytes) -> ModeRequest | None:
    """`{"mode": "observe" | "advise", "station": text}`; None for anything else, CONTROL included."""
    body = _object(payload)
    mode, station = body.get("mode"), body.get("station")
    if mode not in (Mode.OBSERVE.value, Mode.ADVISE.value) or not isinstance(station, str | None):
        return None
    return ModeRequest(station, Mode(mode))


def _object(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_DOWN_BYTES:
        return {}
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        return {}
    return body if isinstance(body, dict) else {}


def _json(body: Mapping[str, object]) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _stamp(at: datetime) -> str:
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
