from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from agent.domain import Command, Mode, Quality, Reading, Refusal, Snapshot
from agent.store.outbox import Message
from agent.uplink import payload

AT = datetime(2026, 3, 2, 6, 0, 0, 250_000, tzinfo=UTC)


def test_telemetry_holds_value_and_quality_and_null_for_what_is_unknown() -> None:
    snapshot = Snapshot(
        AT,
        {
            "air.pressure": Reading(7.123456789, Quality.GOOD, AT),
            "air.flow": Reading(None, Quality.BAD, AT),
            "c1.power_kw": Reading(float("nan"), Quality.UNCERTAIN, AT),
        },
    )

    body = json.loads(payload.telemetry(snapshot))

    assert body == {
        "at": "2026-03-02T06:00:00.250Z",
        "values": {"air.pressure": [7.123457, 3], "air.flow": [None, 0], "c1.power_kw": [None, 2]},
    }


@pytest.mark.parametrize("content", [b"{}", b'{"at":"x"}'])
def test_a_sealed_message_carries_its_name_in_front_of_its_content(content: bytes) -> None:
    message = Message(9, "ab12", 7, "t", content, AT, 3)

    sealed = json.loads(payload.seal(message))

    assert sealed == {"seq": 7, "epoch": "ab12", "oldest": 3, **json.loads(content)}


def test_an_event_carries_the_records_of_the_house_by_field() -> None:
    fields = {
        "command": Command("c1.load", 1.0, AT, "pressure falls", "air-3"),
        "refusals": (Refusal("c2", "start", "min_stop_s", AT + timedelta(seconds=30)),),
        "mode": Mode.CONTROL,
        "quality": Quality.STALE,
        "cost": float("inf"),
    }

    body = json.loads(payload.event("command", AT, fields))

    assert body["fields"]["command"]["not_after"] == "2026-03-02T06:00:00.250000+00:00"
    assert body["fields"]["refusals"][0]["rule"] == "min_stop_s"
    assert (body["fields"]["mode"], body["fields"]["quality"], body["fields"]["cost"]) == (
        "control",
        "stale",
        None,
    )


@pytest.mark.parametrize(
    ("content", "request_read"),
    [
        (b'{"mode":"observe"}', payload.ModeRequest(None, Mode.OBSERVE)),
        (b'{"mode":"advise","station":"air"}', payload.ModeRequest("air", Mode.ADVISE)),
        (b'{"mode":"control"}', None),
        (b'{"mode":["observe"]}', None),
        (b'{"mode":"observe","station":3}', None),
        (b"observe", None),
        (b"\xff", None),
        (b'{"mode":"observe"}' + b" " * (64 << 10), None),
        (b"[" * 60_000, None),
    ],
)
def test_only_a_wish_for_less_is_understood_from_afar(content: bytes, request_read: object) -> None:
    read = payload.read_mode(content)

    assert read == request_read


@pytest.mark.parametrize(
    ("content", "ack"),
    [
        (b'{"epoch":"ab","seq":7}', payload.Ack("ab", 7)),
        (b'{"epoch":"ab","seq":-1}', None),
        (b'{"epoch":"ab","seq":true}', None),
        (b'{"epoch":"ab","seq":1e3}', None),
        (b'{"epoch":"ab","seq":99999999999999999999}', None),
    ],
)
def test_an_ack_is_an_epoch_and_a_whole_number(content: bytes, ack: object) -> None:
    read = payload.read_ack(content)

    assert read == ack
