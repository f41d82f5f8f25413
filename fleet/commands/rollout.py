"""`trimload-fleet rollout`: begin a roll-out, run those begun, watch them, and take them by hand."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import getpass
import json
import signal
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from agent.clock import WallClock
from agent.errors import DataError, StoreError
from agent.log import configure, get_logger
from agent.update.job import DEFAULT_TIMEOUTS, Kind, Timeouts
from fleet.broker import add_broker, broker_of
from fleet.commands.options import add_database, add_places, repository_of
from fleet.database import FleetDatabase, open_database
from fleet.listening import Listener
from fleet.overview import rollout_dict, rollout_lines
from fleet.rollout import decide
from fleet.rollout.decide import OVER, Phase, Rollout, where_it_stands
from fleet.rollout.engine import RolloutEngine
from fleet.rollout.place import require_keys, targets_for
from fleet.rollout.plan import APPROVALS, DEFAULT_RINGS, Plan, approvals, require_sound, rings_of
from fleet.rollout.record import begin, events, ids, load, turn

log = get_logger(__name__)

_LIMITS = {
    "download_s": ("download", DEFAULT_TIMEOUTS.download_s),
    "wait_s": ("wait for window, interlocks and people", DEFAULT_TIMEOUTS.wait_s),
    "install_s": ("installation", DEFAULT_TIMEOUTS.install_s),
    "trial_s": ("trial", DEFAULT_TIMEOUTS.trial_s),
}
_STEP = timedelta(seconds=1)
_EXAMPLES = """\
One service for the whole fleet, beside `trimload-fleet serve`:
  trimload-fleet rollout run   --repo REPO --keys ONLINE --db fleet.db --broker mqtts://broker:8883

Roll-outs, from anywhere that sees repository and database:
  trimload-fleet rollout start --repo REPO --keys ONLINE --db fleet.db --id r12 --kind agent --release 1.4.0-3fa9c2d1 \\
      --all --canary works-north --rings 1,10%,50%,100% --approve canary --why "faster start"
  trimload-fleet rollout show  --db fleet.db r12
  trimload-fleet rollout pause | resume | approve | abort --db fleet.db r12 --why "line 3 has a visitor"

What fails, is refused or does not come to its end in time counts as failed. When more than --errors of a ring failed,
the roll-out stops by itself: nobody new is given the job, and it is taken back where it is not yet installed. A stopped
roll-out is never taken up again: mend the release and begin another one.

exit codes: 0 done; 1 done, and the roll-out was stopped or aborted; 2 bad input, no database or no broker
"""


def command(argv: Sequence[str]) -> int:
    """Run one of `rollout`'s sub-commands."""
    parser = argparse.ArgumentParser(
        prog="trimload-fleet rollout",
        description="Bring a release, models or configurations to many sites, ring by ring.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_start(commands.add_parser("start", help="begin a roll-out; `run` carries it out"))
    run = commands.add_parser("run", help="the service: carry roll-outs out, keep what every site says")
    add_places(run)
    add_database(run)
    add_broker(run)
    run.add_argument(
        "--no-reports", action="store_true", help="do not ask each site for its savings report once a day"
    )
    run.set_defaults(run=_run)
    listed = commands.add_parser("list", help="every roll-out, newest first")
    add_database(listed)
    listed.add_argument("--json", action="store_true", help="print JSON for machines")
    listed.set_defaults(run=_list)
    shown = commands.add_parser("show", help="one roll-out: rings, sites, record")
    add_database(shown)
    shown.add_argument("id")
    shown.add_argument("--json", action="store_true", help="print JSON for machines")
    shown.set_defaults(run=_show)
    for name, help_text in (
        ("pause", "nobody new is given the job; those who have it go on"),
        ("resume", "go on after a pause"),
        ("approve", "the next ring may begin"),
        ("abort", "end it; jobs not yet installed are taken back"),
    ):
        sub = commands.add_parser(name, help=help_text)
        add_database(sub)
        sub.add_argument("id")
        sub.add_argument("--why", required=True, help="for the record")
        sub.add_argument("--who", default=getpass.getuser(), help="who says so (default: your user name)")
        sub.set_defaults(run=_by_hand)
    options = parser.parse_args(argv)
    with contextlib.closing(open_database(options.db)) as database:
        result: int = options.run(options, database)
    return result


def _add_start(parser: argparse.ArgumentParser) -> None:
    add_places(parser)
    add_database(parser)
    parser.add_argument("sites", nargs="*", help="ids of the sites; or --all")
    parser.add_argument("--all", action="store_true", help="every site that is enrolled")
    parser.add_argument("--id", required=True, help="short name, for ever: letters, digits, . and _")
    parser.add_argument("--kind", required=True, choices=[kind.value for kind in Kind])
    parser.add_argument("--release", default="", help="agent: the published release; else a name for people")
    parser.add_argument("--target", default="", help="model: the forecast target, e.g. air.demand_m3_min")
    parser.add_argument(
        "--rings",
        default=DEFAULT_RINGS,
        help=f"counts and shares, rising ({DEFAULT_RINGS.replace('%', '%%')})",
    )
    parser.add_argument("--canary", action="append", default=[], help="this site first (more than once)")
    parser.add_argument(
        "--success", type=float, default=0.95, help="share confirmed that passes a ring (0.95)"
    )
    parser.add_argument("--errors", type=float, default=0.05, help="share of a ring that may fail (0.05)")
    parser.add_argument("--error-count", type=int, help="stop when so many failed in all rings together")
    parser.add_argument(
        "--soak-s", type=float, default=3600.0, help="wait between a ring and the next (3600)"
    )
    parser.add_argument("--per-minute", type=int, default=30, help="sites given their job in a minute (30)")
    parser.add_argument(
        "--approve",
        default="none",
        choices=APPROVALS,
        help="ask somebody: never, after the canary, after each ring",
    )
    for name, (what, default) in _LIMITS.items():
        parser.add_argument(
            f"--{name.replace('_', '-')}",
            type=float,
            default=default,
            metavar="SECONDS",
            help=f"longest {what} on site, seconds ({default:.0f})",
        )
    parser.add_argument(
        "--grace-s", type=float, default=600.0, help="silence after a limit that counts as failed (600)"
    )
    parser.add_argument("--why", required=True, help="for the record")
    parser.add_argument("--who", default=getpass.getuser(), help="who says so (default: your user name)")
    parser.set_defaults(run=_start)


def _start(options: argparse.Namespace, database: FleetDatabase) -> int:
    repository, kind = repository_of(options), Kind(options.kind)
    enrolled = [role.removeprefix("assign-") for role in repository.delegated() if role.startswith("assign-")]
    sites = enrolled if options.all else list(dict.fromkeys(options.sites))
    strange = sorted(set(sites) - set(enrolled))
    if strange:
        raise DataError(
            f"site {strange[0]!r} is not enrolled",
            where="SITES",
            fix=f"trimload-fleet keys enrol {strange[0]}",
        )
    if kind is Kind.AGENT and not options.release:
        raise DataError("which release?", where="--release", fix="name it: --release 1.4.0-3fa9c2d1")
    if kind is Kind.MODEL and not options.target:
        raise DataError("which model?", where="--target", fix="name it: --target air.demand_m3_min")
    rings = rings_of(sites, options.rings, canaries=options.canary, seed=options.id) if sites else ()
    plan = Plan(
        id=options.id,
        kind=kind,
        release=options.release or f"{options.target or kind.value} {options.id}",
        rings=rings,
        success_share=options.success,
        error_share=options.errors,
        error_count=options.error_count,
        soak_s=options.soak_s,
        per_minute=options.per_minute,
        approve=approvals(options.approve, len(rings)),
        timeouts=Timeouts(**{name: getattr(options, name) for name in Timeouts._fields}),
        grace_s=options.grace_s,
    )
    require_sound(plan)
    require_keys(repository, sites)
    targets = targets_for(repository, kind, sites, release=options.release, target=options.target)
    new = begin(database, plan, targets, WallClock().now(), who=options.who, why=options.why)
    if options.json:
        print(json.dumps({"id": plan.id, "new": new, "rings": [[r.name, list(r.sites)] for r in rings]}))
        return 0
    print(
        f"roll-out {plan.id} {'is begun' if new else 'was begun before'}: {plan.release}, {len(sites)} sites"
    )
    for ring in rings:
        some = ", ".join(ring.sites[:6]) + (", …" if len(ring.sites) > 6 else "")
        print(f"  {ring.name:>6}  {len(ring.sites):>4} sites: {some}")
    print("trimload-fleet rollout run carries it out")
    return 0


def _run(options: argparse.Namespace, database: FleetDatabase) -> int:
    configure("info")
    repository, broker = repository_of(options), broker_of(options)
    repository.root()
    require_keys(repository, ())
    clock = WallClock()
    # Bound late: the engine hints by the listener, the listener tells the engine.
    hints: list[str] = []
    engine = RolloutEngine(database, repository, hints.append, clock)
    listener = Listener(broker, database, engine.hear, clock, reports=not options.no_reports)

    def step() -> None:
        listener.keep()
        engine.step()
        while hints:
            listener.hint(hints.pop(0))

    listener.start()
    try:
        asyncio.run(_until_stopped(step))
    finally:
        listener.stop()
    return 0


async def _until_stopped(step: Callable[[], None]) -> None:
    """Step once a second until SIGTERM or Ctrl-C. A database that is away for a while is waited for."""
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    lost = False
    while not stopped.is_set():
        try:
            await asyncio.to_thread(step)
            lost = False
        except StoreError as error:
            if not lost:
                log.warning("database_lost", reason=error.what)
            lost = True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STEP.total_seconds()):
                await stopped.wait()


def _list(options: argparse.Namespace, database: FleetDatabase) -> int:
    now = WallClock().now()
    found = [rollout for each in ids(database) if (rollout := load(database, each)) is not None]
    if options.json:
        print(json.dumps([rollout_dict(rollout, now) for rollout in found], indent=1))
    else:
        for rollout in found:
            print(f"{rollout.plan.id:<16}{rollout.plan.release:<28}{where_it_stands(rollout, now)}")
    return 0


def _show(options: argparse.Namespace, database: FleetDatabase) -> int:
    now = WallClock().now()
    rollout = _required(database, options.id)
    record = events(database, options.id)
    if options.json:
        body = {**rollout_dict(rollout, now), "record": [[e.at.isoformat(), e.who, e.what] for e in record]}
        print(json.dumps(body, indent=1))
    else:
        print("\n".join(rollout_lines(rollout, record, now)))
    return 1 if rollout.phase in {Phase.STOPPED, Phase.ABORTED} else 0


def _required(database: FleetDatabase, rollout_id: str) -> Rollout:
    rollout = load(database, rollout_id)
    if rollout is None:
        raise DataError(f"there is no roll-out {rollout_id!r}", where="ID", fix="trimload-fleet rollout list")
    return rollout


_BY_HAND: dict[str, Callable[[Rollout, str, datetime], Rollout]] = {
    "pause": decide.pause,
    "resume": lambda rollout, _why, now: decide.resume(rollout, now),
    "approve": lambda rollout, _why, _now: decide.approve(rollout),
    "abort": decide.abort,
}


def _by_hand(options: argparse.Namespace, database: FleetDatabase) -> int:
    now = WallClock().now()
    with turn(database, options.id) as held:
        if held.rollout.phase in OVER:
            raise DataError(
                f"roll-out {options.id} is over: {where_it_stands(held.rollout, now)}",
                where=options.command,
                fix="begin another one",
            )
        if options.command == "approve" and not decide.waits_for_approval(held.rollout):
            raise DataError("nothing waits for approval", where=options.id, fix="trimload-fleet rollout show")
        why = f"{options.who}: {options.why}"
        after = _BY_HAND[options.command](held.rollout, why, now)
        held.put(after, now, said=(f"{options.command}: {options.why}",), who=options.who)
        print(f"{options.id}: {where_it_stands(held.rollout, now)}")
    return 0
