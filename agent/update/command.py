"""`trimload update` and `trimload rollback`: what people on site see of updates, agree to, bring, and take back."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from agent.clock import elapsed_s, pause
from agent.config.load import load_site
from agent.errors import ConfigError, DataError
from agent.update.job import Kind
from agent.update.local import leave_request, take_answer, who_asks

_EXAMPLES = """\
examples:
  trimload update site.toml                          what runs, and where the jobs stand
  trimload update site.toml --look                   look for news now
  trimload update site.toml --from /media/stick      take them from a copy of the repository instead
  trimload update site.toml --consent r12-demo       agree to what a configuration widens; shown first

The agent does the work: it has to run. exit codes: 0 done; 1 the agent says no, or a job failed; 2 bad input
"""
_ROLLBACK = """\
Take back the last confirmed update of a kind, or one that is on trial. The agent does it at once: the model or
configuration before runs again (for a release the root-owned installer, and the service is restarted).

exit codes: 0 done; 1 there is nothing that could be rolled back; 2 bad input
"""
_BAD = frozenset({"rejected", "failed", "rolled_back", "timed_out"})


def update_command(argv: Sequence[str]) -> int:
    """Run `trimload update`."""
    parser = argparse.ArgumentParser(
        prog="trimload update",
        description="Signed updates of this site: models, configuration, the agent itself.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _places(parser)
    wish = parser.add_mutually_exclusive_group()
    wish.add_argument("--look", action="store_true", help="look for news now")
    wish.add_argument(
        "--from", dest="stick", type=Path, metavar="DIR", help="take updates from a folder (USB stick)"
    )
    wish.add_argument("--consent", metavar="JOB", help="agree to what this job widens")
    options = parser.parse_args(argv)
    folder = _folder(options)
    if options.consent is not None:
        return _ask(folder, options, "consent", options.consent)
    if options.stick is not None:
        if not (options.stick / "metadata").is_dir():
            raise DataError(
                "the folder holds no repository",
                where=str(options.stick),
                fix="name the folder that has metadata/ and targets/ in it",
            )
        return _ask(folder, options, "look", str(options.stick.resolve()))
    if options.look:
        return _ask(folder, options, "look", "")
    return _show(_status(folder), as_json=options.json)


def rollback_command(argv: Sequence[str]) -> int:
    """Run `trimload rollback`."""
    parser = argparse.ArgumentParser(
        prog="trimload rollback",
        description=_ROLLBACK,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _places(parser)
    parser.add_argument("kind", choices=[kind.value for kind in Kind], help="what goes back")
    options = parser.parse_args(argv)
    return _ask(_folder(options), options, "rollback", options.kind)


def _places(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("site", type=Path, metavar="SITE.toml", help="the site's configuration")
    parser.add_argument("--state", type=Path, help="state directory (default: [storage] directory)")
    parser.add_argument("--why", default="", help="for the ledger")
    parser.add_argument("--wait-s", type=float, default=300.0, help="longest wait for the agent (300)")
    parser.add_argument("--json", action="store_true", help="print JSON for machines")


def _folder(options: argparse.Namespace) -> Path:
    site = load_site(options.site)
    if site.updates is None:
        raise ConfigError(
            "this site takes no updates",
            where=f"{options.site} [updates]",
            fix="write an [updates] table with root_file (docs/updates.md)",
        )
    return Path(options.state or site.storage.directory) / "update"


def _status(folder: Path) -> dict[str, Any]:
    try:
        body: dict[str, Any] = json.loads((folder / "status.json").read_bytes())
    except (OSError, ValueError) as error:
        raise DataError(
            f"the agent has not said anything yet: {error}",
            where=str(folder / "status.json"),
            fix="start the agent (systemctl start trimload), or give --state as it has it",
        ) from None
    return body


def _show(status: dict[str, Any], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps(status))
    else:
        running, trust = status["running"], status["trust"]
        agent = running["agent"]
        print(f"agent   {agent['version']}{'  ' + agent['release'] if agent['release'] else ''}")
        print(f"config  {running['config']['sha256'][:16]}  ({running['config']['source']})")
        for target, model in running["models"].items():
            print(f"model   {model['sha256'][:16]}  ({model['source']})  {target}")
        print(f"trust   root {trust['root']}, looked {trust['refreshed_at'] or 'never'}")
        for name in ("refused", "unreachable"):
            if trust[name]:
                print(f"        {name}: {trust[name]}")
        _show_jobs(status["jobs"])
    bad = bool(status["trust"]["refused"]) or any(job["state"] in _BAD for job in status["jobs"])
    return 1 if bad else 0


def _show_jobs(jobs: Sequence[dict[str, Any]]) -> None:
    for job in jobs:
        share = f" {job['share']:.0%}" if job["state"] == "downloading" else ""
        print(f"{job['kind']:<7} {job['id']}  {job['release']}: {job['state']}{share}  {job['reason']}")
        for line in job.get("asks", []):
            print(f"          {line}")


def _ask(folder: Path, options: argparse.Namespace, op: str, argument: str) -> int:
    """Leave a request, wait for the answer, and show it."""
    try:
        request_id = leave_request(folder, op, argument, who_asks(), options.why)
    except OSError as error:
        raise DataError(
            f"the request cannot be left: {error.strerror}",
            where=str(folder / "requests"),
            fix="run this as root or as the agent's user (sudo -u trimload ...)",
        ) from None
    answer = asyncio.run(_wait(lambda: take_answer(folder, request_id), options.wait_s))
    if answer is None:
        print(
            f"trimload: no answer within {options.wait_s:.0f} s; the request stays, and is taken when the agent runs",
            file=sys.stderr,
        )
        return 1
    if options.json:
        print(json.dumps(answer))
    else:
        print("done" if answer["ok"] else f"no: {answer['reason']}")
        _show_jobs(answer.get("jobs", []))
    failed = any(job["state"] in _BAD for job in answer.get("jobs", []))
    return 0 if answer["ok"] and not failed else 1


async def _wait(ready: Callable[[], dict[str, Any] | None], limit_s: float) -> dict[str, Any] | None:
    began_s = elapsed_s()
    while (answer := ready()) is None and elapsed_s() - began_s < limit_s:
        await pause(0.1)
    return answer
