"""Root's commands on a disk of their own, as the units call them."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from agent.clock import boot_s
from agent.update.boot import Boot, begin_trial, boot_id, write_boot
from agent.update.build import BuildError, build, manifest_in
from agent.update.launcher import main
from agent.update.place import Place, clear_out, decide, follow, installed_place
from agent.update.spool import Outcome, leave_outcome, read_intent, take_intent
from tests.service.conftest import add_complete

OLD, NEW = "1.0.0-aaaaaaaa", "1.1.0-bbbbbbbb"


def launch(place: Place, *words: str) -> int:
    return main(["--no-systemd", "--root", str(place.root), *words])


def on_trial(place: Place, *, trial_s: float = 600.0) -> None:
    add_complete(place, NEW)
    decide(
        place,
        begin_trial(OLD, NEW, job="r1", trial_s=trial_s, boot_id=boot_id(), now_boot_s=boot_s()),
    )


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    folder = tmp_path / "state" / "update" / "agent"
    folder.mkdir(parents=True)
    return folder


def ask(spool: Path, **fields: str) -> None:
    body = {"format": "trimload-intent/1", "site": "demo", "job": "r1", "release": NEW, **fields}
    (spool / "intent.json").write_text(json.dumps(body), encoding="utf-8")


def outcome(spool: Path) -> dict[str, str]:
    return json.loads((spool / "outcome.json").read_text(encoding="utf-8"))


def test_three_starts_without_confirmation_end_in_the_release_before(place: Place, capfd):
    on_trial(place)

    runs = []
    for _ in range(4):
        assert launch(place, "start") == 0
        runs.append(place.running())

    assert runs == [NEW, NEW, NEW, OLD]
    assert "crash loop" in capfd.readouterr().err


def test_a_release_that_runs_but_is_never_confirmed_goes_when_its_time_is_over(place: Place):
    on_trial(place, trial_s=0.0)

    assert launch(place, "watch") == 0

    assert place.running() == OLD
    assert "overdue" in place.boot().reason


def test_the_agent_confirms_its_trial_through_the_spool(place: Place, spool: Path):
    on_trial(place)
    ask(spool, action="confirm")

    code = launch(place, "intent", "--spool", str(spool))

    assert code == 0
    assert place.boot().state == "good"
    assert outcome(spool) == {"job": "r1", "outcome": "confirmed", "reason": ""}
    assert not (spool / "intent.json").exists()


def test_another_release_than_the_one_on_trial_is_not_confirmed(place: Place, spool: Path):
    on_trial(place)
    ask(spool, action="confirm", release="1.2.0-cccccccc")

    code = launch(place, "intent", "--spool", str(spool))

    assert code == 1
    assert place.boot().on_trial
    assert outcome(spool)["outcome"] == "failed"


def test_rollback_by_hand_goes_back_once_and_never_forward_again(place: Place, spool: Path):
    on_trial(place)
    ask(spool, action="confirm")
    launch(place, "intent", "--spool", str(spool))

    first, second = launch(place, "rollback"), launch(place, "rollback")

    assert (first, second) == (0, 1)
    assert place.running() == OLD


def test_an_installation_is_refused_when_the_running_release_cannot_prove_it(place: Place, spool: Path):
    ask(spool, action="install")

    code = launch(place, "intent", "--spool", str(spool))

    assert code == 1
    assert outcome(spool)["outcome"] == "failed"
    assert place.running() == OLD


def test_a_release_is_built_from_wheels_alone_and_runs(place: Place, small_release):
    manifest, wheels = small_release("1.1.0")

    assert launch(place, "add", str(manifest), str(wheels)) == 0

    release = manifest_in(manifest).release
    python = place.releases / release / "bin" / "python"
    said = subprocess.run(
        [python, "-I", "-c", "import agent; print(agent.VERSION)"], capture_output=True, text=True
    )
    assert said.stdout == "1.1.0\n"
    assert place.running() == release
    assert place.boot() == Boot(release, OLD)
    # Compiled beforehand: the service may not write there.
    assert list((place.releases / release).rglob("agent/__pycache__/__init__*.pyc"))
    assert not (place.releases / release / "bin" / "pip").exists()


def test_a_wheel_that_is_not_the_manifests_is_not_installed(place: Place, small_release):
    manifest, wheels = small_release("1.1.0")
    victim = next(wheels.glob("trimload-*.whl"))
    with zipfile.ZipFile(victim, "a") as archive:
        archive.writestr("agent/evil.py", "")

    with pytest.raises(BuildError, match="hash or length"):
        build(place, manifest_in(manifest), [wheels])

    assert place.complete_releases() == [OLD]


def test_a_release_that_misses_a_package_never_becomes_one(place: Place, small_release):
    manifest, wheels = small_release("1.1.0", smoke="import a_package_that_was_forgotten\n")

    code = launch(place, "add", str(manifest), str(wheels))

    assert code == 1
    assert place.running() == OLD
    assert [path.name for path in place.releases.iterdir()] == [OLD]


def test_a_bundle_for_another_python_is_refused_before_anything_is_written(place: Place, small_release):
    manifest, wheels = small_release("1.1.0")
    body = json.loads(manifest.read_text(encoding="utf-8"))
    manifest.write_text(json.dumps({**body, "python": "3.99"}), encoding="utf-8")

    with pytest.raises(BuildError, match=r"3\.99"):
        build(place, manifest_in(manifest), [wheels])

    assert not place.wheels.exists()


def test_what_no_kept_release_needs_is_cleared_out(place: Place):
    add_complete(place, NEW)
    add_complete(place, "0.9.0-99999999")
    half = place.releases / "1.2.0-cccccccc"
    half.mkdir()
    place.wheels.mkdir()
    (place.wheels / "old-1-py3-none-any.whl").touch()
    decide(place, Boot(NEW, OLD))

    removed = clear_out(place)

    assert sorted(removed) == ["0.9.0-99999999", "1.2.0-cccccccc", "old-1-py3-none-any.whl"]
    assert sorted(place.complete_releases()) == [OLD, NEW]


def test_without_a_record_or_link_any_complete_release_is_better_than_none(place: Place):
    place.current.unlink()
    (place.root / "boot.json").write_text("half a rec", encoding="utf-8")

    assert follow(place) == OLD
    assert place.running() == OLD


def test_a_release_that_is_gone_from_the_disk_is_not_insisted_on(place: Place):
    write_boot(place.root, Boot(NEW, OLD))

    assert launch(place, "start") == 0

    assert place.running() == OLD
    assert place.boot().state == "rolled_back"


def test_the_running_interpreter_knows_its_place():
    assert installed_place(Path("/opt/trimload/releases/1.0.0-aaaaaaaa")) == Place(Path("/opt/trimload"))
    assert installed_place(Path("/usr")) is None


@pytest.mark.parametrize(
    "fields",
    [
        {"action": "install", "release": "../../etc"},
        {"action": "install", "job": "../x"},
        {"action": "remove"},
        {"action": "install", "format": "trimload-intent/2"},
        {"action": "install", "site": ""},
    ],
)
def test_an_intent_that_is_out_of_form_is_refused(fields: dict[str, str]):
    body = {"format": "trimload-intent/1", "site": "demo", "job": "r1", "release": NEW, **fields}

    assert read_intent(json.dumps(body).encode()) is None


def test_root_follows_no_link_out_of_the_spool(spool: Path, tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_text('{"format": "trimload-intent/1"}', encoding="utf-8")
    (spool / "intent.json").symlink_to(secret)
    (spool / "outcome.json").symlink_to(secret)

    taken = take_intent(spool)
    leave_outcome(spool, Outcome("r1", "failed", "why"))

    assert taken is None
    assert secret.read_text(encoding="utf-8") == '{"format": "trimload-intent/1"}'
    assert not (spool / "outcome.json").is_symlink()


def test_root_writes_nothing_where_the_spool_is_a_link_to_elsewhere(tmp_path: Path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (tmp_path / "state" / "update").mkdir(parents=True)
    linked = tmp_path / "state" / "update" / "agent"
    linked.symlink_to(elsewhere)

    with pytest.raises(OSError, match="agent"):
        leave_outcome(linked, Outcome("r1", "failed", "why"))

    assert list(elsewhere.iterdir()) == []


def test_a_pipe_in_the_intents_place_holds_nobody_up(spool: Path):
    os.mkfifo(spool / "intent.json")

    assert take_intent(spool) is None
    assert not (spool / "intent.json").exists()


def test_the_launcher_needs_nothing_but_the_standard_library(tmp_path: Path):
    # As the unit starts it: no site-packages, no environment.
    program = (
        "import sys, runpy; sys.path.insert(0, sys.argv.pop(1)); "
        "import agent.update.launcher; "
        "print(sorted({m.partition('.')[0] for m in sys.modules} - set(sys.stdlib_module_names) - {'__main__'}))"
    )
    root = Path(__file__).resolve().parents[2]

    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(root)], capture_output=True, text=True, cwd=tmp_path
    )

    assert done.stderr == ""
    assert done.stdout.strip() == "['agent']"
