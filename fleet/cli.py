"""The fleet operator's command line: `trimload-fleet COMMAND`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import NamedTuple, cast

from agent.errors import TrimloadError

Main = Callable[[Sequence[str]], int]


class Entry(NamedTuple):
    """A command: where it lives and what it does, in one line."""

    target: str
    help: str


COMMANDS = {
    "watch": Entry("fleet.commands.watch:command", "listen to every site's uplink and say who is there"),
    "keys": Entry("fleet.commands.keys:command", "make signing keys, begin a repository, enrol sites"),
    "sign": Entry("fleet.commands.trust:sign_command", "add your signature to what waits for it"),
    "rotate": Entry("fleet.commands.trust:rotate_command", "give a role a new key in place of an old one"),
    "revoke": Entry("fleet.commands.trust:revoke_command", "take a key from a role, at once"),
    "expiry": Entry("fleet.commands.trust:expiry_command", "say what expires when, and renew it"),
    "publish": Entry(
        "fleet.commands.publish:command", "publish models, configurations, agent releases, jobs"
    ),
    "serve": Entry("fleet.commands.serve:command", "serve the repository to every site over MQTT"),
    "rollout": Entry("fleet.commands.rollout:command", "bring a release to many sites, ring by ring"),
    "status": Entry("fleet.commands.status:command", "every site and roll-out at one glance"),
    "page": Entry("fleet.commands.page:command", "the same as a web page"),
    "ask": Entry("fleet.commands.ask:command", "ask a site for status, report or log; lower its mode"),
}
USAGE = "usage: trimload-fleet COMMAND [options]      (trimload-fleet COMMAND --help explains one)"
# What a gateway does without.
_OF_THE_FLEET = frozenset({"jinja2", "psycopg", "sqlalchemy", "starlette", "uvicorn"})
EXIT_CODES = "exit codes: 0 done; 1 done, with a result that is bad news; 2 bad input or no broker"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        rows = [f"  {name:<14}{entry.help}" for name, entry in COMMANDS.items()]
        print("\n".join([USAGE, "", *rows, "", EXIT_CODES]))
        return 0
    if words[0] not in COMMANDS:
        print(
            f"trimload-fleet: {words[0]!r} is no command; known: {', '.join(sorted(COMMANDS))}",
            file=sys.stderr,
        )
        return 2
    module, _, function = COMMANDS[words[0]].target.partition(":")
    try:
        return cast("Main", getattr(import_module(module), function))(words[1:])
    except TrimloadError as error:
        print(error, file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_THE_FLEET:
            raise
        print(
            f"trimload-fleet: {error.name} is not installed: pip install 'trimload[fleet]' (a gateway needs none of it)",
            file=sys.stderr,
        )
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    sys.exit(main())
