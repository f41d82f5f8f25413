from __future__ import annotations

import io
import logging
import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from agent import log, notify
from agent.domain import Mode

AT = datetime(2026, 3, 2, 6, 0, tzinfo=UTC)


def test_an_event_line_reads_as_words_and_quotes_what_has_blanks() -> None:
    fields = {
        "tag": "c1.load",
        "value": 1.0,
        "reason": "pressure falls",
        "mode": Mode.ADVISE,
        "plan": None,
        "at": AT,
    }

    line = log.event_line("command_written", fields)

    assert line == (
        'command_written tag=c1.load value=1 reason="pressure falls" mode=advise plan=- at=2026-03-02T06:00:00+00:00'
    )


def test_text_from_outside_cannot_forge_a_second_line() -> None:
    line = log.event_line("refused", {"error": 'x\n<0>agent: all_well ok="yes"'})

    assert "\n" not in line
    assert line == 'refused error="x\\n<0>agent: all_well ok=\\"yes\\""'


@pytest.mark.parametrize("name", ["password", "mqtt_password", "api_token", "private_key"])
def test_a_field_named_like_a_secret_is_hidden(name: str) -> None:
    line = log.event_line("connected", {name: "hunter2"})

    assert line == f"connected {name}=***"


@pytest.fixture
def clean_logging():
    root = logging.getLogger()
    before = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("agent", "twin", "training", "fleet")}
    yield
    root.handlers[:], level = before
    root.setLevel(level)
    for name, value in levels.items():
        logging.getLogger(name).setLevel(value)


def test_lines_carry_the_simulated_time_and_respect_the_level(clean_logging) -> None:
    out = io.StringIO()
    log.configure("info", stream=out, now=lambda: AT)

    log.get_logger("agent.control").info("mode_changed", to="control")
    log.get_logger("agent.control").debug("not_shown")

    assert out.getvalue() == "2026-03-02T06:00:00Z info    control: mode_changed to=control\n"


def test_under_systemd_a_line_carries_its_priority_instead_of_a_time(
    clean_logging, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = io.StringIO()
    monkeypatch.setenv("JOURNAL_STREAM", "8:1234")
    monkeypatch.setattr(sys, "stderr", out)
    log.configure()

    log.get_logger("agent.drivers").error("device_lost", device="c1")

    assert out.getvalue() == "<3>drivers: device_lost device=c1\n"


@pytest.mark.parametrize("kind", ["path", "abstract"])
def test_systemd_hears_readiness_watchdog_and_stop(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = str(tmp_path / "notify") if kind == "path" else f"\0trimload-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(address)
        systemd.settimeout(5)
        monkeypatch.setitem(os.environ, "NOTIFY_SOCKET", address.replace("\0", "@"))

        sent = [notify.ready("air: advise"), notify.alive(), notify.status("two\nlines"), notify.stopping()]
        heard = [systemd.recv(200) for _ in range(4)]

    assert sent == [True] * 4
    assert heard == [b"READY=1\nSTATUS=air: advise", b"WATCHDOG=1", b"STATUS=two lines", b"STOPPING=1"]


@pytest.mark.parametrize("address", ["", "relative", "/nowhere/at/all"])
def test_without_a_listening_systemd_nothing_happens(address: str) -> None:
    sent = notify.notify("READY=1", environment={"NOTIFY_SOCKET": address})

    assert sent is False


@pytest.mark.parametrize(
    ("environment", "period_s"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 30.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_period_is_read_from_the_environment(
    environment: dict[str, str], period_s: float | None
) -> None:
    period = notify.watchdog_s(environment)

    assert period == period_s
