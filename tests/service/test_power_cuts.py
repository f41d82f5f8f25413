"""The process is really killed before each of its changes to the disk. One complete release must always be left to run."""

import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from agent.clock import boot_s
from agent.update.boot import begin_trial, boot_id, write_boot
from agent.update.place import Place, before_start, decide
from tests.service.conftest import add_complete

ROOT = Path(__file__).resolve().parents[2]
DISK = "open,os.rename,os.remove,os.rmdir,os.symlink,os.truncate,os.mkdir,shutil.rmtree"
OLD, NEW = "1.0.0-aaaaaaaa", "1.1.0-bbbbbbbb"


def run_until(number: int, place: Place, *operation: str, events: str = DISK) -> int:
    """Exit code of the operation, -SIGKILL when the power went before its N-th change."""
    command = [
        sys.executable,
        "-m",
        "tests.service.cut_power",
        str(number),
        events,
        str(place.root),
        *operation,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode in (0, 1, -signal.SIGKILL), done.stderr
    return done.returncode


def trial(tries: int = 0, *, deadline_in_s: float = 600.0):
    begun = begin_trial(
        OLD, NEW, job="r1", trial_s=600.0, boot_id=boot_id(), now_boot_s=boot_s() + deadline_in_s - 600.0
    )
    return replace(begun, tries=tries)


def next_start(place: Place) -> str:
    """What a start after the power came back would run."""
    before_start(place, boot_id=boot_id(), now_boot_s=boot_s())
    running = place.running()
    assert place.is_complete(running)
    assert place.boot().release == running
    return running


@pytest.mark.parametrize(
    ("operation", "tries", "deadline_in_s", "may_run"),
    [
        # A start on trial is counted: the new one runs, and if the count was lost, once more.
        (("start",), 1, 600.0, {NEW}),
        # The fourth start: rolled back, now or at the start after the cut.
        (("start",), 3, 600.0, {OLD}),
        (("watch",), 1, -5.0, {OLD}),
        (("rollback",), 1, 600.0, {OLD, NEW}),
    ],
)
def test_a_cut_at_any_step_of_a_switch_leaves_the_release_that_was_decided(
    place: Place, operation, tries, deadline_in_s, may_run
):
    add_complete(place, NEW)
    cuts = 0

    while True:
        decide(place, trial(tries, deadline_in_s=deadline_in_s))
        ended = run_until(cuts + 1, place, *operation)
        assert next_start(place) in may_run
        if ended == 0:
            break
        cuts += 1

    assert cuts >= 3, "the operation writes at least its lock, its record and the record's final name"
    if operation != ("start",):
        assert place.running() == OLD


def test_a_cut_between_the_decision_and_the_link_is_mended_at_the_next_start(place: Place):
    add_complete(place, NEW)
    write_boot(place.root, trial())
    assert place.running() == OLD

    started = next_start(place)

    assert started == NEW
    assert place.boot().tries == 1


def test_a_cut_at_any_step_of_an_installation_leaves_the_old_release_or_the_whole_new_one(
    place: Place, small_release
):
    manifest, wheels = small_release("1.1.0")
    spare = place.root.with_name("spare")
    shutil.copytree(place.root, spare, symlinks=True)
    seen, cuts, ended = set(), 0, -signal.SIGKILL

    while ended != 0:
        shutil.rmtree(place.root)
        shutil.copytree(spare, place.root, symlinks=True)
        steps = "subprocess.Popen,os.rename,os.symlink,shutil.rmtree"
        ended = run_until(cuts + 1, place, "add", str(manifest), str(wheels), events=steps)
        seen.add(next_start(place))
        # The engineer starts the installation again: what the cut left must neither hinder nor deceive it.
        assert run_until(0, place, "add", str(manifest), str(wheels)) == 0
        python = place.current / "bin" / "python"
        said = subprocess.run(
            [python, "-I", "-c", "import agent; print(agent.VERSION)"], capture_output=True, text=True
        )
        assert said.stdout == "1.1.0\n", said.stderr
        cuts += ended != 0

    # Two wheels taken in, five steps of building, the manifest, the record, the link.
    assert cuts >= 9
    assert len(seen) == 2
    assert {path.name for path in place.releases.iterdir()} == set(place.complete_releases())
