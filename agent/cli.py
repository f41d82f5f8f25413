"""The command line: `trimload COMMAND`. Commands of packages the agent may not import are entry points."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple, cast

from agent.errors import TrimloadError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

Main = Callable[[Sequence[str]], int]


class Entry(NamedTuple):
    """A command: where it lives and what it does, in one line."""

    target: str
    help: str


COMMANDS = {
    "check": Entry("agent.config.command:check_command", "find every contradiction in a site.toml"),
    "doctor": Entry("agent.doctor.command:command", "look whether this gateway is fit to run a site"),
    "schema": Entry("agent.config.command:schema_command", "print the JSON Schema of site.toml for editors"),
    "run": Entry(
        "agent.daemon.command:command", "run the agent of a site on the wall clock (what the service does)"
    ),
    "page": Entry("agent.page.command:command", "the site as a web page, read from the agent's files"),
    "override": Entry(
        "agent.daemon.override_command:command", "hold a machine running, stopped or locked out, on site"
    ),
    "update": Entry(
        "agent.update.command:update_command", "signed updates of this site: see, look, bring by stick, agree"
    ),
    "rollback": Entry("agent.update.command:rollback_command", "take back a model, configuration or release"),
    "identify": Entry(
        "agent.identify.command:command", "fit models of a site's zones on its past, with a report"
    ),
    "cosim": Entry("agent.daemon.cosim:command", "let an outside simulator drive the agent over JSON lines"),
    "report": Entry(
        "agent.savings.command:command", "what a station used, and what the agent saved, with its interval"
    ),
    "switchback": Entry(
        "agent.savings.switchback_command:command",
        "what the agent saves in heating and cooling, by turns with the site's own control",
    ),
    "plan": Entry("agent.daemon.plan_command:command", "plan one case, or make a past plan again"),
}
HELP_OF_OTHERS = {
    "demo": "a simulated day over real Modbus, OPC UA and MQTT, with the savings at the end",
    "machine-curve": "mean power of one compressor at part load, from its data sheet",
    "make-station": "draw a compressor room and its demand from a seed",
    "simulate": "run your own metered demand through agent, cascade and sequencer",
    "tune": "search the numbers of the band on the site's own twin, and propose them",
    "tune-baseline": "search the best settings of a conventional sequencer for a station and its demand",
    "twin": "serve a simulated plant for a site.toml over Modbus and OPC UA",
}
USAGE = "usage: trimload COMMAND [options]      (trimload COMMAND --help explains one)"
EXIT_CODES = "exit codes: 0 done; 1 done, with a result that is bad news; 2 bad input, nothing was done"


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and give its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    # Looking for entry points reads the metadata of every package: not for a command that is known.
    others = {} if words and words[0] in COMMANDS else _others()
    if not words or words[0] in ("-h", "--help", "help"):
        print(_help(others))
        return 0
    if words[0] in ("-V", "--version"):
        print(_version())
        return 0
    name = words[0]
    try:
        if name in COMMANDS:
            return _load(COMMANDS[name].target)(words[1:])
        if name in others:
            return cast("Main", others[name].load())(words[1:])
    except TrimloadError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever read us has gone (`trimload schema | head`): no news, no traceback.
        sys.stderr.close()
        return 0
    known = ", ".join(sorted({*COMMANDS, *others}))
    print(f"trimload: {name!r} is no command; known: {known}", file=sys.stderr)
    return 2


def _others() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    return {point.name: point for point in entry_points(group="trimload.commands")}


def _load(target: str) -> Main:
    module, _, function = target.partition(":")
    return cast("Main", getattr(import_module(module), function))


def _help(others: dict[str, EntryPoint]) -> str:
    rows = [(name, entry.help) for name, entry in COMMANDS.items()]
    rows += [(name, HELP_OF_OTHERS.get(name, "")) for name in sorted(others)]
    lines = [f"  {name:<14}{text}" for name, text in rows]
    return "\n".join([USAGE, "", *lines, "", EXIT_CODES])


def _version() -> str:
    from importlib.metadata import version

    return f"trimload {version('trimload')}"


if __name__ == "__main__":
    sys.exit(main())
