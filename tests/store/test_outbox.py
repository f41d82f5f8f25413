from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.store.outbox import Outbox

AT = datetime(2026, 3, 2, 6, 0, 0, 250_000, tzinfo=UTC)


@pytest.fixture(params=["file", "memory"])
def outbox(request: pytest.FixtureRequest, tmp_path: Path):
    outbox = Outbox(tmp_path / "outbox.db" if request.param == "file" else ":memory:")
    yield outbox
    outbox.close()


def fill(outbox: Outbox, count: int) -> None:
    for number in range(1, count + 1):
        assert outbox.put("t", b"%d" % number, AT + timedelta(seconds=number)) is not None


def test_messages_come_back_in_order_with_topic_content_and_time(outbox: Outbox) -> None:
    first = outbox.put("site/up/telemetry", b'{"a":1}', AT)
    second = outbox.put("site/up/events", b"\x00\xff", AT)

    messages = outbox.batch(10)

    assert (first, second) == (1, 2)
    assert [(m.seq, m.topic, m.payload, m.at, m.epoch) for m in messages] == [
        (1, "site/up/telemetry", b'{"a":1}', AT, outbox.epoch),
        (2, "site/up/events", b"\x00\xff", AT, outbox.epoch),
    ]


def test_a_cumulative_ack_forgets_everything_up_to_it(outbox: Outbox) -> None:
    fill(outbox, 10)

    forgotten = outbox.ack(7)

    assert forgotten == 7
    assert [m.seq for m in outbox.batch(10)] == [8, 9, 10]
    assert {m.oldest_seq for m in outbox.batch(10)} == {8}


def test_an_ack_of_another_epoch_forgets_nothing(outbox: Outbox) -> None:
    fill(outbox, 3)

    forgotten = outbox.ack(3, "ffff")

    assert (forgotten, len(outbox)) == (0, 3)


def test_single_messages_are_forgotten_by_id(outbox: Outbox) -> None:
    fill(outbox, 4)
    ids = [m.id for m in outbox.batch(4)]

    outbox.forget([ids[0], ids[2]])

    assert [m.seq for m in outbox.batch(4)] == [2, 4]


def test_a_batch_continues_after_an_id(outbox: Outbox) -> None:
    fill(outbox, 5)
    first = outbox.batch(2)

    second = outbox.batch(2, after_id=first[-1].id)

    assert [m.seq for m in second] == [3, 4]


def test_a_number_is_never_used_again_after_everything_was_acknowledged(outbox: Outbox) -> None:
    fill(outbox, 3)
    outbox.ack(3)

    seq = outbox.put("t", b"", AT)

    assert seq == 4


def test_each_opening_begins_an_epoch_and_keeps_what_waits_in_order(tmp_path: Path) -> None:
    first = Outbox(tmp_path / "o.db")
    fill(first, 2)
    first.close()

    second = Outbox(tmp_path / "o.db")
    fill(second, 1)
    waiting = second.batch(10)
    second.ack(2, first.epoch)
    left = second.batch(10)
    second.close()

    assert [(m.epoch, m.seq) for m in waiting] == [(first.epoch, 1), (first.epoch, 2), (second.epoch, 1)]
    assert [(m.epoch, m.seq) for m in left] == [(second.epoch, 1)]


@pytest.mark.parametrize("place", ["file", "memory"])
def test_at_the_size_cap_the_oldest_make_room_and_are_counted(tmp_path: Path, place: str) -> None:
    outbox = Outbox(tmp_path / "o.db" if place == "file" else ":memory:", max_bytes=512 << 10)

    # 1,000 messages of 2 kB are about 2 MB: a quarter of them fits.
    for number in range(1000):
        assert outbox.put("t", b"%04d" % number + b"x" * 2000, AT) == number + 1
    kept = outbox.batch(1000)
    outbox.close()

    assert kept[-1].seq == 1000
    assert [m.seq for m in kept] == list(range(kept[0].seq, 1001))
    assert 100 < len(kept) < 300
    assert outbox.dropped == 1000 - len(kept)


def test_intake_stops_before_the_disk_is_full_and_resumes(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o.db", reserve_bytes=1 << 62)

    refused = outbox.put("t", b"1", AT)
    outbox._database._reserve_bytes = 0
    taken = outbox.put("t", b"2", AT)
    outbox.close()

    assert refused is None
    assert (taken, outbox.refused) == (1, 1)


@pytest.mark.parametrize(
    "column", ["payload = x'414243'", "topic = 'u'", "at = at + 1", "seq = 99", "crc = 5", "payload = 7"]
)
def test_a_damaged_message_goes_to_quarantine_and_the_others_go_on(tmp_path: Path, column: str) -> None:
    outbox = Outbox(tmp_path / "o.db")
    fill(outbox, 5)
    with sqlite3.connect(tmp_path / "o.db") as connection:
        connection.execute(f"UPDATE message SET {column} WHERE id = 3")
    connection.close()

    sent = [m.payload for m in outbox.batch(4)]
    isolated = outbox._database.run(lambda c: c.execute("SELECT id FROM quarantine").fetchall())
    outbox.close()

    assert sent == [b"1", b"2", b"4", b"5"]
    assert isolated == [(3,)]
    assert outbox.quarantined == 1


def test_the_newest_messages_of_the_running_epoch_come_newest_last(outbox: Outbox) -> None:
    fill(outbox, 5)

    newest = outbox.newest(2)

    assert [m.seq for m in newest] == [4, 5]


def test_after_a_file_broke_in_the_run_ids_and_numbers_go_on(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "o.db")
    for _ in range(50):
        outbox.put("t", b"x" * 2000, AT)
    connection = outbox._database._connection
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with (tmp_path / "o.db").open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096 * 20)
    # The pages stand in this connection's cache; a small cache makes it read the disk.
    connection.execute("PRAGMA shrink_memory")
    connection.execute("PRAGMA cache_size=1")

    seq = outbox.put("t", b"after", AT)
    (left,) = outbox.batch(10)
    outbox.close()

    assert seq == 51
    assert (left.id, left.seq, left.oldest_seq, left.payload) == (51, 51, 51, b"after")
    assert len(list(tmp_path.glob("o.db.corrupt-*Z"))) == 1
