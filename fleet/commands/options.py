"""Options that the commands on a repository share, and how they tell what became of a change."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from agent.clock import WallClock
from fleet.signing import Outcome, Repository


def repository_parser(name: str, description: str, *, epilog: str = "") -> argparse.ArgumentParser:
    """A parser with --repo, --keys and --json."""
    parser = argparse.ArgumentParser(
        prog=f"trimload-fleet {name}",
        description=description,
        epilog=f"{epilog}\nexit codes: 0 done and published; 1 staged, other keys have to sign; 2 bad input".strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_places(parser)
    return parser


def add_places(parser: argparse.ArgumentParser) -> None:
    """The repository's and the keys' folders."""
    parser.add_argument("--repo", type=Path, required=True, help="folder of the repository")
    parser.add_argument("--keys", type=Path, help="folder of the keys that may sign now (keys.json)")
    parser.add_argument("--json", action="store_true", help="print JSON for machines")


def add_database(parser: argparse.ArgumentParser) -> None:
    """Where the fleet's database is."""
    parser.add_argument(
        "--db", required=True, help="the fleet's database: a file, or postgresql+psycopg://USER@HOST/DATABASE"
    )


def repository_of(options: argparse.Namespace) -> Repository:
    """The repository that --repo and --keys name, on the wall clock."""
    return Repository(options.repo, options.keys, WallClock())


def tell(outcomes: Sequence[Outcome], *, as_json: bool) -> int:
    """Print what became of each role; 1 when something waits for signatures."""
    waits = [outcome for outcome in outcomes if not outcome.published]
    if as_json:
        print(json.dumps([outcome._asdict() for outcome in outcomes]))
    else:
        for outcome in outcomes:
            if outcome.published:
                print(f"{outcome.role} {outcome.version}: published")
                continue
            print(f"{outcome.role} {outcome.version}: waits for {outcome.missing} more of these keys:")
            print("".join(f"  {keyid}\n" for keyid in outcome.may_sign), end="")
        if waits:
            print("carry the repository (or its staged/ folder) to the next holder: trimload-fleet sign")
    return 1 if waits else 0


def finish(repository: Repository, outcomes: Sequence[Outcome], *, as_json: bool) -> int:
    """Make what was published visible to the sites, where the online keys are here, and tell."""
    code = tell(outcomes, as_json=as_json)
    if any(outcome.published for outcome in outcomes):
        if repository.can_sign("snapshot") and repository.can_sign("timestamp"):
            repository.publish_state()
        elif not as_json:
            print("sites see it after: trimload-fleet expiry --renew, where the online keys are")
    return code
