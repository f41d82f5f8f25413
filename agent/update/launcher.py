"""What root does for the agent: count its starts, end trials, build and switch releases.

It travels as `/opt/trimload/launcher.pyz`, outside all releases, and runs on the system's Python with the standard
library alone: no release, however broken, can keep it from bringing the one before back.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from agent.clock import boot_s
from agent.update.boot import Boot, begin_trial, confirmed, rolled_back
from agent.update.boot import boot_id as this_boot
from agent.update.build import BuildError, build, manifest_in
from agent.update.place import (
    DEFAULT_ROOT,
    Place,
    ReleaseIncompleteError,
    before_start,
    clear_out,
    decide,
    end_overdue,
    locked,
)
from agent.update.spool import DEFAULT_SPOOL, Intent, Outcome, leave_outcome, take_intent
from agent.update.verified import Verified, verified_by_release

SERVICE = "trimload.service"
TRIAL_TIMER = "trimload-trial.timer"
Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 done, 1 not done, 2 bad input."""
    options = _parser().parse_args(argv)
    # The agent's user reads what is built here, whatever umask an engineer's shell has.
    os.umask(0o022)
    run: Command = options.run
    try:
        return run(options)
    except (BuildError, ReleaseIncompleteError) as error:
        _say(3, str(error))
        return 1


def _start(options: argparse.Namespace) -> int:
    """Before each start of the service, as root."""
    boot = before_start(Place(options.root), boot_id=this_boot(), now_boot_s=boot_s())
    if boot is not None and boot.on_trial:
        _systemctl(options, "start", "--no-block", TRIAL_TIMER)
        _say(5, f"release {boot.release} on trial, start {boot.tries} of {boot.max_tries}")
    elif boot is not None and boot.reason:
        _say(4, f"release {boot.release} runs again instead of {boot.previous}: {boot.reason}")
    return 0


def _watch(options: argparse.Namespace) -> int:
    """Every few seconds during a trial: the release may run and never become healthy."""
    boot, another = end_overdue(Place(options.root), boot_id=this_boot(), now_boot_s=boot_s())
    if another and boot is not None:
        _say(4, f"release {boot.previous} is rolled back to {boot.release}: {boot.reason}")
        _systemctl(options, "restart", "--no-block", SERVICE)
    if boot is None or not boot.on_trial:
        _systemctl(options, "stop", "--no-block", TRIAL_TIMER)
    return 0


def _intent(options: argparse.Namespace) -> int:
    """What the agent has left in its spool."""
    intent = take_intent(options.spool)
    if intent is None:
        _say(4, "the intent is not one that can be read; it was removed")
        return 1
    try:
        outcome = _obey(Place(options.root), intent, options)
    except (BuildError, ReleaseIncompleteError) as error:
        outcome = Outcome(intent.job, "failed", str(error))
    leave_outcome(options.spool, outcome)
    _say(
        4 if outcome.outcome == "failed" else 5,
        f"job {intent.job}: {outcome.outcome} {outcome.reason}".strip(),
    )
    if outcome.outcome in ("switched", "rolled_back"):
        _systemctl(options, "restart", "--no-block", SERVICE)
    return 0 if outcome.outcome != "failed" else 1


def _obey(place: Place, intent: Intent, options: argparse.Namespace) -> Outcome:
    if intent.action == "install":
        return _install(place, intent, verified_by_release(place, intent, options.spool, options.etc))
    with locked(place):
        boot = place.boot()
        if intent.action == "confirm":
            if boot is None or not boot.on_trial or boot.release != intent.release:
                raise BuildError(f"{intent.release} is not on trial")
            decide(place, confirmed(boot))
            return Outcome(intent.job, "confirmed", "")
        return _back(place, boot, intent.job, "asked for by the agent")


def _install(place: Place, intent: Intent, verified: Verified) -> Outcome:
    manifest = verified.manifest
    boot = place.boot()
    if boot is not None and boot.on_trial:
        raise BuildError(f"{boot.release} is still on trial")
    build(place, manifest, [verified.wheels])
    with locked(place):
        running = place.running()
        if manifest.release == running:
            raise BuildError(f"{manifest.release} runs already")
        trial = begin_trial(
            running,
            manifest.release,
            job=intent.job,
            trial_s=verified.trial_s,
            boot_id=this_boot(),
            now_boot_s=boot_s(),
        )
        decide(place, trial)
        clear_out(place)
    return Outcome(intent.job, "switched", "")


def _back(place: Place, boot: Boot | None, job: str, reason: str) -> Outcome:
    if (
        boot is None
        or not boot.previous
        or boot.state == "rolled_back"
        or not place.is_complete(boot.previous)
    ):
        raise ReleaseIncompleteError("there is no release to go back to")
    after = rolled_back(boot, reason)
    decide(place, after)
    return Outcome(job, "rolled_back", f"{after.release} instead of {after.previous}")


def _add(options: argparse.Namespace) -> int:
    """By hand, from a bundle: the engineer stands beside it, so it is no trial."""
    place = Place(options.root)
    manifest = manifest_in(options.manifest)
    built = build(place, manifest, [options.wheels])
    with locked(place):
        before = place.running()
        previous = "" if before == manifest.release else before
        boot = place.boot()
        if boot is None or boot.release != manifest.release or boot.on_trial:
            decide(place, Boot(manifest.release, previous))
        clear_out(place)
    print(f"release {manifest.release}: {'built' if built else 'was there'}, {'runs' if before else 'first'}")
    return 0


def _rollback(options: argparse.Namespace) -> int:
    place = Place(options.root)
    with locked(place):
        outcome = _back(place, place.boot(), "", "by hand")
    print(f"release {outcome.reason}")
    _systemctl(options, "restart", SERVICE)
    return 0


def _systemctl(options: argparse.Namespace, *words: str) -> None:
    if not options.no_systemd:
        subprocess.run(["systemctl", *words], check=False)  # noqa: S603, S607 -- root's own PATH


def _say(priority: int, text: str) -> None:
    # journald takes the priority from "<n>", and a person reads past it (sd-daemon(3)).
    print(f"<{priority}>{text}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="launcher.pyz",
        description="Root's side of a Trimload gateway: which release runs. The units call it; by hand only "
        "`rollback` is of use.",
    )
    parser.add_argument(
        "--root", type=Path, default=DEFAULT_ROOT, help="where the releases lie (%(default)s)"
    )
    parser.add_argument("--no-systemd", action="store_true", help="switch only; start and stop nothing")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Command, text: str) -> argparse.ArgumentParser:
        made = commands.add_parser(name, help=text, description=text)
        made.set_defaults(run=run)
        return made

    command("start", _start, "count a start of the service; roll a crash loop or an overdue trial back")
    command("watch", _watch, "roll an overdue trial back while the service runs")
    spool = command("intent", _intent, "do what the agent has asked for in its spool")
    spool.add_argument("--spool", type=Path, default=DEFAULT_SPOOL)
    spool.add_argument("--etc", type=Path, default=Path("/etc/trimload"))
    add = command("add", _add, "build a release from a bundle and let it be the one that runs")
    add.add_argument("manifest", type=Path)
    add.add_argument("wheels", type=Path)
    command("rollback", _rollback, "go back to the release before, and restart the service")
    return parser


if __name__ == "__main__":
    sys.exit(main())
