"""A journald of our own at the other end of the socket."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from agent.journal import Journal, datagram, field_name, stderr_is_the_journal

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def journald(tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "journal"))
        listening.settimeout(5)
        yield listening


def test_a_value_with_lines_of_its_own_goes_with_its_length():
    content = datagram({"A": "one", "B": "two\nlines"})

    # 9 bytes of value, little-endian in 8 bytes.
    assert content == b"A=one\nB\n\x09\x00\x00\x00\x00\x00\x00\x00two\nlines\n"


def test_a_field_gets_a_name_that_journald_allows():
    assert field_name("tick_s") == "TRIMLOAD_TICK_S"
    assert field_name("c1.load") == "TRIMLOAD_C1_LOAD"


def test_a_journal_that_is_not_there_is_no_reason_to_stop(tmp_path: Path):
    journal = Journal(str(tmp_path / "nobody"))

    sent = journal.send({"MESSAGE": "x"})

    journal.close()
    assert sent is False


def test_what_is_too_large_for_a_datagram_is_left_to_standard_error(journald, tmp_path: Path):
    journal = Journal(str(tmp_path / "journal"))

    assert journal.send({"MESSAGE": "x" * 70_000}) is False
    assert journal.send({"MESSAGE": "x" * 60_000}) is True
    journal.close()


def test_a_file_is_not_taken_for_the_journal():
    state = os.fstat(2)

    assert not stderr_is_the_journal({})
    assert not stderr_is_the_journal({"JOURNAL_STREAM": f"{state.st_dev}:{state.st_ino + 1}"})


def test_an_event_reaches_the_journal_with_its_fields_and_without_its_secrets(journald, tmp_path: Path):
    # Standard error must really be the socket that JOURNAL_STREAM names, so it is a process of its own.
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    state = os.fstat(theirs.fileno())
    program = (
        "import agent.journal; agent.journal.Journal.__init__.__defaults__ = (__import__('sys').argv[1],)\n"
        "from agent import log\n"
        "log.configure()\n"
        "log.get_logger('agent.daemon.loop').warning('command_written', tag='c1.load', value=1.0, mqtt_password='x')\n"
    )
    subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "journal")],
        cwd=ROOT,
        stderr=theirs,
        env={**os.environ, "JOURNAL_STREAM": f"{state.st_dev}:{state.st_ino}"},
        check=True,
    )

    rows = dict(line.split("=", 1) for line in journald.recv(65536).decode().splitlines())

    ours.close()
    theirs.close()
    assert rows["TRIMLOAD_EVENT"] == "command_written"
    assert rows["TRIMLOAD_TAG"] == "c1.load"
    assert rows["TRIMLOAD_VALUE"] == "1"
    assert rows["TRIMLOAD_MQTT_PASSWORD"] == "***"
    assert rows["PRIORITY"] == "4"
    assert rows["MESSAGE"].startswith("daemon.loop: command_written tag=c1.load")
