"""Files over a real broker that dies, to a client that dies: whole at the end, and never half in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from agent.clock import elapsed_s
from agent.update.source import (
    BudgetSpentError,
    FolderSource,
    MeteredSource,
    NotThereError,
    SourceGoneError,
    StoppedError,
)
from agent.update.trust import look
from agent.update.wire import Request, read_block, read_request, request_bytes
from fleet.serve import blocks_of, may_have

pytestmark = pytest.mark.peers("mosquitto")

CLIENT = """
import sys
from datetime import datetime
from pathlib import Path
from agent.config.services import Uplink
from agent.update.mqtt_source import MqttSource
from agent.update.trust import look

broker, root, folder, now = sys.argv[1:]
with MqttSource(Uplink(broker=broker), "demo", patience_s=30.0, answer_s=0.5) as source:
    seen = look(source, Path(folder, "metadata"), Path(root).read_bytes(), datetime.fromisoformat(now))
    job = seen.assignment("demo", Path(folder, "files")).jobs[0]
    print(seen.fetch(job.targets[0], Path(folder, "files")), flush=True)
"""


def start_client(fleet, wire, folder: Path) -> subprocess.Popen[str]:
    root = fleet.path / "metadata" / "1.root.json"
    arguments = [wire.config.broker, str(root), str(folder), fleet.clock.now().isoformat()]
    return subprocess.Popen([sys.executable, "-c", CLIENT, *arguments], stdout=subprocess.PIPE, text=True)


def wait_for(condition, within_s: float = 30.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.002)


def length_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def test_forty_megabytes_survive_a_killed_client_and_a_killed_broker(fleet, wire, tmp_path):
    content = os.urandom(40_000_000)
    target = fleet.publish("models/demo/air.onnx", content)
    fleet.assign(target)
    final, part = (tmp_path / "files" / f"{target.sha256}{tail}" for tail in ("", ".part"))

    first = start_client(fleet, wire, tmp_path)
    wait_for(lambda: length_of(part) > 4_000_000)
    first.send_signal(signal.SIGKILL)
    first.communicate()
    reached = length_of(part)
    assert 4_000_000 < reached < 40_000_000
    assert not final.exists()
    sent_before = wire.server.bytes_sent

    second = start_client(fleet, wire, tmp_path)
    wait_for(lambda: length_of(part) > reached + 4_000_000)
    wire.broker.kill()
    assert not final.exists()
    wire.broker.start()
    said, _ = second.communicate(timeout=60)

    assert second.returncode == 0
    assert Path(said.strip()) == final
    assert final.read_bytes() == content
    assert not part.exists()
    # Resumed, not begun anew: what was sent since fits what was missing and one lost window.
    assert wire.server.bytes_sent - sent_before < 40_000_000 - reached + 6_000_000


def test_a_part_that_a_cut_of_power_has_torn_is_fetched_anew(fleet, wire, tmp_path):
    content = os.urandom(300_000)
    target = fleet.publish("models/demo/air.onnx", content)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / f"{target.sha256}.part").write_bytes(b"\0" * 100_000)

    with wire.source() as source:
        seen = look(source, tmp_path / "metadata", fleet.root, fleet.clock.now())
        file = seen.fetch(target, tmp_path / "files")

    assert file.read_bytes() == content


def test_a_file_on_the_disk_is_verified_again_and_replaced_when_it_has_rotted(fleet, wire, tmp_path):
    target = fleet.publish("models/demo/air.onnx", b"the model")
    with wire.source() as source:
        seen = look(source, tmp_path / "metadata", fleet.root, fleet.clock.now())
        file = seen.fetch(target, tmp_path / "files")
        file.write_bytes(b"the modem")

        assert seen.fetch(target, tmp_path / "files").read_bytes() == b"the model"


def test_lost_blocks_are_asked_for_again(fleet, wire, tmp_path):
    """The server loses every fifth block, as a broker at its limit of QoS 0 messages does."""
    content = os.urandom(1_000_000)
    target = fleet.publish("models/demo/air.onnx", content)
    publish, count = wire.server._client.publish, 0

    def lossy(topic, payload, qos):
        nonlocal count
        count += 1
        if count % 5:
            publish(topic, payload, qos=qos)

    wire.server._client.publish = lossy
    with wire.source(answer_s=0.2, block_bytes=30_000) as source:
        seen = look(source, tmp_path / "metadata", fleet.root, fleet.clock.now())

        assert seen.fetch(target, tmp_path / "files").read_bytes() == content


def test_a_server_that_does_not_answer_is_gone_after_the_patience(fleet, wire, tmp_path):
    wire.server.stop()

    with wire.source(patience_s=0.5) as source, pytest.raises(SourceGoneError):
        look(source, tmp_path / "metadata", fleet.root, fleet.clock.now())


def test_an_agent_that_is_told_to_stop_leaves_at_once_and_keeps_what_it_has(fleet, wire, tmp_path):
    target = fleet.publish("models/demo/air.onnx", os.urandom(4_000_000))
    stopped = threading.Event()

    def on_bytes(reached: int) -> None:
        if reached > 1_000_000:
            stopped.set()

    with wire.source(stopped=stopped.is_set) as source:
        seen = look(source, tmp_path / "metadata", fleet.root, fleet.clock.now())
        with pytest.raises(StoppedError):
            seen.fetch(target, tmp_path / "files", on_bytes)

    assert length_of(tmp_path / "files" / f"{target.sha256}.part") > 1_000_000


def test_the_rate_limit_holds(fleet, wire, tmp_path):
    """3 MB at 2 MB/s: 1.9 MB are asked for at once, the rest has to wait 0.5 s and more."""
    target = fleet.publish("models/demo/air.onnx", os.urandom(3_000_000))
    with wire.source() as source:
        seen = look(source, tmp_path / "metadata", fleet.root, fleet.clock.now())
        seen.signed(target.path)
    with wire.source(rate_bytes_s=2e6) as source:
        seen = look(source, tmp_path / "metadata", fleet.root, fleet.clock.now())
        began_s = elapsed_s()

        seen.fetch(target, tmp_path / "files")

    assert elapsed_s() - began_s > 0.5


def test_the_days_budget_stops_a_download_which_goes_on_the_next_day(fleet, tmp_path):
    content = os.urandom(2_000_000)
    target = fleet.publish("models/demo/air.onnx", content)
    spent, budget = 0, 1_000_000

    def spend(count: int) -> None:
        nonlocal spent
        spent += count

    source = MeteredSource(FolderSource(fleet.path), lambda: budget - spent, spend)
    seen = look(source, tmp_path / "metadata", fleet.root, fleet.clock.now())
    with pytest.raises(BudgetSpentError):
        seen.fetch(target, tmp_path / "files")
    with pytest.raises(BudgetSpentError):
        look(source, tmp_path / "metadata", fleet.root, fleet.clock.now())
    spent = 0
    file = seen.fetch(target, tmp_path / "files")

    assert file.read_bytes() == content
    assert spent < 1_100_000


def test_a_stick_and_the_broker_are_one_state(fleet, wire, tmp_path):
    """Seen from a stick first, then over the broker, then an older stick: the last is refused."""
    import shutil

    target = fleet.publish("models/demo/air.onnx", b"first")
    shutil.copytree(fleet.path, tmp_path / "stick")
    look(FolderSource(tmp_path / "stick"), tmp_path / "metadata", fleet.root, fleet.clock.now())
    fleet.publish("models/demo/air.onnx", b"second")
    with wire.source() as source:
        seen = look(source, tmp_path / "metadata", fleet.root, fleet.clock.now())
        assert seen.signed(target.path).length == len(b"second")

    with pytest.raises(Exception, match="BadVersionNumberError"):
        look(FolderSource(tmp_path / "stick"), tmp_path / "metadata", fleet.root, fleet.clock.now())


def test_a_folder_gives_nothing_from_outside(tmp_path):
    (tmp_path / "stick").mkdir()
    (tmp_path / "secret").write_bytes(b"secret")

    with pytest.raises(NotThereError):
        FolderSource(tmp_path / "stick").stream("../secret")


@pytest.mark.parametrize(
    "path",
    ["metadata/../../etc/passwd", "etc/passwd", "/metadata/a", "metadata/.ssh", "metadata", "targets//a"],
)
def test_a_request_for_a_path_outside_the_repository_is_none(path):
    assert read_request(request_bytes(Request("ab", 1, path, 0, 1000, 1))) is None


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"{",
        b"[1]",
        request_bytes(Request("a/b", 1, "metadata/a", 0, 1000, 1)),
        request_bytes(Request("ab", 1, "metadata/a", -1, 1000, 1)),
        request_bytes(Request("ab", 1, "metadata/a", 0, 0, 1)),
        request_bytes(Request("ab", 1, "metadata/a", 0, 1 << 20, 64)),
        request_bytes(Request("ab", 1, "metadata/a", 0, 1000, 1)) + b" " * 2000,
    ],
)
def test_bytes_that_are_no_request_are_none(payload):
    assert read_request(payload) is None


@pytest.mark.parametrize("payload", [b"", b"no line feed", b"{}\nrest", b'{"n":true,"offset":0}\n', b"[\n"])
def test_bytes_that_are_no_block_are_none(payload):
    assert read_block(payload) is None


@pytest.mark.parametrize(
    ("path", "may"),
    [
        ("metadata/timestamp.json", True),
        ("metadata/3.root.json", True),
        ("metadata/12.models-demo.json", True),
        ("metadata/12.models-other.json", False),
        ("metadata/12.assign-demo-2.json", False),
        ("metadata/1.agent.json", True),
        ("targets/agent/wheels/ab/cd.numpy.whl", True),
        ("targets/models/demo/ab.air.onnx", True),
        ("targets/models/other/ab.air.onnx", False),
        ("targets/config/other/ab.site.toml", False),
        ("targets/assign/ab.demo.json", True),
        ("targets/assign/ab.other.json", False),
    ],
)
def test_a_site_may_have_what_is_not_another_sites(path, may):
    assert may_have("demo", path) is may


def test_a_site_asking_for_another_sites_file_is_told_no(fleet):
    fleet.publish("models/other/air.onnx", b"secret", "other")
    name = next((fleet.path / "targets" / "models" / "other").iterdir()).name

    blocks = blocks_of(fleet.path, "demo", Request("ab", 1, f"targets/models/other/{name}", 0, 1000, 1))

    assert [(block.status, block.content) for block in blocks] == [(403, b"")]
