from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from agent.domain import Mode
from agent.store.ledger import Head, Ledger, check, link, read_export, write_export

AT = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


@pytest.fixture(params=["file", "memory"])
def ledger(request: pytest.FixtureRequest, tmp_path: Path):
    ledger = Ledger(tmp_path / "ledger.db" if request.param == "file" else ":memory:")
    yield ledger
    ledger.close()


def test_rows_come_back_as_written_by_time_and_kind(ledger: Ledger) -> None:
    ledger.append("plan", AT, {"id": "air-1"})
    ledger.append("command", AT + timedelta(seconds=1), {"tag": "c1.load", "value": 1.0, "until": AT})
    ledger.append("mode", AT + timedelta(seconds=2), {"to": Mode.CONTROL, "machines": frozenset({"b", "a"})})

    rows = ledger.since(AT + timedelta(seconds=1))
    commands = ledger.since(AT, "command")

    assert [row.kind for row in rows] == ["command", "mode"]
    assert rows[1].values() == {"machines": ["a", "b"], "to": "control"}
    assert commands[0].values() == {
        "tag": "c1.load",
        "until": "2026-03-02T06:00:00.000000+00:00",
        "value": 1.0,
    }


def test_the_hash_of_a_row_covers_the_row_before() -> None:
    # Worked outside Python: printf '["",1,"2026-03-02T06:00:00.000000+00:00","plan","{}"]' | sha256sum
    digest = link("", 1, "2026-03-02T06:00:00.000000+00:00", "plan", "{}")

    assert digest == "4c610c510b16a168b0d94cca341c64b9a3a94040754204d98398ea989f0d1272"


def test_all_rows_of_a_tick_are_one_chain(ledger: Ledger) -> None:
    ledger.append("plan", AT, {})

    seqs = ledger.append_all([("command", AT, {"n": n}) for n in range(3)])

    assert seqs == [2, 3, 4]
    assert ledger.verify() == (True, 4, None, "")
    assert ledger.head == Head(4, ledger.after(3)[0].hash)


@pytest.mark.parametrize(
    ("tamper", "bad_seq"),
    [
        ("UPDATE entry SET fields = '{\"n\":7}' WHERE seq = 3", 3),
        ("UPDATE entry SET at = '2026-03-02T06:00:00.000001+00:00' WHERE seq = 2", 2),
        ("UPDATE entry SET kind = 'refusal' WHERE seq = 5", 5),
        ("DELETE FROM entry WHERE seq = 4", 4),
        ("DELETE FROM entry WHERE seq = 1", 1),
        ("DELETE FROM entry WHERE seq = 5", 5),
        ("UPDATE entry SET hash = (SELECT hash FROM entry WHERE seq = 1) WHERE seq = 2", 2),
    ],
)
def test_a_row_changed_or_taken_out_is_found(tmp_path: Path, tamper: str, bad_seq: int) -> None:
    ledger = Ledger(tmp_path / "ledger.db")
    for number in range(5):
        ledger.append("command", AT, {"n": number})
    with sqlite3.connect(tmp_path / "ledger.db") as connection:
        connection.execute(tamper)
    connection.close()

    verdict = ledger.verify()
    ledger.close()

    assert not verdict.ok
    assert verdict.bad_seq == bad_seq


def test_the_chain_goes_on_after_a_restart(tmp_path: Path) -> None:
    first = Ledger(tmp_path / "ledger.db")
    first.append("plan", AT, {})
    first.close()

    second = Ledger(tmp_path / "ledger.db")
    seq = second.append("plan", AT, {})
    verdict = second.verify()
    second.close()

    assert seq == 2
    assert verdict == (True, 2, None, "")


def test_at_the_size_cap_the_old_part_goes_to_files_by_day_and_the_chain_holds(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db", max_bytes=256 << 10)

    # 1,000 rows of 0.5 kB are about 0.7 MB with their hash and index; ten rows an hour, so about four days.
    for number in range(1000):
        assert ledger.append("command", AT + timedelta(minutes=6 * number), {"n": number, "x": "y" * 400})
    held = ledger.after(0)
    verdict = ledger.verify()
    files = ledger.exported()
    ledger.close()

    assert verdict.ok
    assert files[0].name == "ledger-2026-03-02.jsonl"
    assert len(files) > 1
    before, whole = Head(0, ""), []
    for file in files:
        start, entries = read_export(file)
        assert start == before
        whole += entries
        before = Head(entries[-1].seq, entries[-1].hash)
    assert check([*whole, *held], Head(0, "")) == (True, 1000, None, "")


def test_rows_that_a_kill_left_in_file_and_database_are_not_exported_twice(tmp_path: Path) -> None:
    ledger = Ledger(":memory:")
    ledger.append_all([("command", AT, {"n": n, "text": "line\u2028separator"}) for n in range(8)])
    entries = ledger.after(0)
    file = tmp_path / "ledger-2026-03-02.jsonl"
    write_export(file, entries[:5], Head(0, ""))

    write_export(file, entries, Head(0, ""))

    assert read_export(file) == (Head(0, ""), entries)
    ledger.close()


def test_a_torn_line_is_written_whole_by_the_next_export(tmp_path: Path) -> None:
    ledger = Ledger(":memory:")
    ledger.append_all([("command", AT, {"n": n}) for n in range(4)])
    entries = ledger.after(0)
    file = tmp_path / "ledger-2026-03-02.jsonl"
    write_export(file, entries[:3], Head(0, ""))
    file.write_bytes(file.read_bytes()[:-20])

    write_export(file, entries, Head(0, ""))

    assert read_export(file) == (Head(0, ""), entries)
    ledger.close()


def test_a_damaged_export_is_kept_under_another_name(tmp_path: Path) -> None:
    ledger = Ledger(":memory:")
    ledger.append("command", AT, {})
    file = tmp_path / "ledger-2026-03-02.jsonl"
    file.write_bytes(b"\xfe\xff damaged\n")

    write_export(file, ledger.after(0), Head(0, ""))

    assert read_export(file) == (Head(0, ""), ledger.after(0))
    assert Path(f"{file}.damaged").read_bytes() == b"\xfe\xff damaged\n"
    ledger.close()


def test_without_room_nothing_is_promised_and_the_loss_is_counted(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.db", max_bytes=16 * 4096)

    seq = ledger.append("plan", AT, {"x": "y" * 200_000})
    next_seq = ledger.append("plan", AT, {})
    verdict = ledger.verify()
    ledger.close()

    assert seq is None
    assert ledger.lost == 1
    assert next_seq == 1
    assert verdict.ok


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from agent.store.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
for number in range(100_000):
    print(ledger.append("command", datetime(2026, 3, 2, tzinfo=UTC), {"n": number}), flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 17, 60])
def test_killing_the_writer_loses_no_row_it_had_promised(tmp_path: Path, acknowledged: int) -> None:
    path = tmp_path / "ledger.db"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    assert writer.stdout is not None
    promised = [int(writer.stdout.readline()) for _ in range(acknowledged)]
    os.kill(writer.pid, signal.SIGKILL)
    promised += [int(line) for line in writer.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
    writer.stdout.close()
    assert writer.wait() == -signal.SIGKILL

    ledger = Ledger(path)
    kept = [entry.seq for entry in ledger.after(0, limit=100_000)]
    verdict = ledger.verify()
    ledger.close()

    assert promised == kept[: len(promised)]
    assert verdict.ok
