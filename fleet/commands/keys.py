"""`trimload-fleet keys`: keys, the first metadata, new sites."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fleet.commands.options import add_places, finish, repository_of, tell
from fleet.keys import SCHEMES, import_key, key_named, keys_in, make_key
from fleet.publish import SiteKeys, delegate_agent, enrol
from fleet.roles import begin_repository
from fleet.signing import TOP, Repository

_EXAMPLES = """\
A fleet begins like this, on a machine that is not connected for the root keys:

  trimload-fleet keys new --keys K root1              (and root2, root3, targets, online, release,
                                                       training, operator, assign; or init --make-keys)
  trimload-fleet keys init --repo REPO --keys K
  trimload-fleet keys enrol --repo REPO --keys K works-north works-south

Then REPO/metadata/1.root.json is installed on every gateway as /etc/trimload/trust/root.json, root*.pem and
targets.pem go into the safe, and the online machine keeps `online` and `assign` (trimload-fleet serve).
A key in an HSM or a cloud KMS: trimload-fleet keys import --keys K root1 --uri hsm:2
"""
ROLE_KEYS = ("targets", "online", "release", "training", "operator", "assign")


def command(argv: Sequence[str]) -> int:
    """Run one of `keys`' sub-commands."""
    parser = argparse.ArgumentParser(
        prog="trimload-fleet keys",
        description="Keys, and who may sign what.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    new = commands.add_parser("new", help="make a key pair in a folder of keys")
    new.add_argument("name", help="what the key is called in its folder")
    new.add_argument("--keys", type=Path, required=True, help="folder of keys")
    new.add_argument("--scheme", default="ed25519", choices=SCHEMES)
    new.set_defaults(run=_new)
    taken = commands.add_parser("import", help="take in a key that lives in an HSM, a KMS or a file")
    taken.add_argument("name", help="what the key is called in its folder")
    taken.add_argument("--keys", type=Path, required=True, help="folder of keys")
    taken.add_argument(
        "--uri", required=True, help="hsm:, awskms:, gcpkms:, azurekms:, hv:, tkey:, gnupg:, file2:"
    )
    taken.add_argument(
        "--public", type=Path, help="its public part as TUF JSON with keyid, if the device is away"
    )
    taken.set_defaults(run=_import)
    init = commands.add_parser("init", help="begin a repository: root, targets, snapshot, timestamp, agent")
    add_places(init)
    init.add_argument(
        "--roots", default="root1,root2,root3", help="names of the root keys (root1,root2,root3)"
    )
    init.add_argument("--threshold", type=int, default=2, help="how many of them must sign (2)")
    init.add_argument("--make-keys", action="store_true", help="make every key that is not there yet")
    init.set_defaults(run=_init)
    enrolled = commands.add_parser(
        "enrol", help="let sites exist: models, configuration and assignment of each"
    )
    add_places(enrolled)
    enrolled.add_argument("sites", nargs="+", help="ids of the sites ([site] id)")
    for option, default in (("--training", "training"), ("--operator", "operator"), ("--assign", "assign")):
        enrolled.add_argument(option, default=default, help=f"name of the key ({default})")
    enrolled.set_defaults(run=_enrol)
    shown = commands.add_parser("list", help="roles, their keys and thresholds")
    add_places(shown)
    shown.set_defaults(run=_list)
    options = parser.parse_args(argv)
    result: int = options.run(options)
    return result


def _new(options: argparse.Namespace) -> int:
    key = make_key(options.keys, options.name, options.scheme)
    print(f"{key.name}  {key.public.keyid}")
    return 0


def _import(options: argparse.Namespace) -> int:
    key = import_key(options.keys, options.name, options.uri, options.public)
    print(f"{key.name}  {key.public.keyid}")
    return 0


def _init(options: argparse.Namespace) -> int:
    roots = [name for name in options.roots.split(",") if name]
    if options.make_keys:
        there = keys_in(options.keys)
        for name in [*roots, *ROLE_KEYS]:
            if name not in there:
                make_key(options.keys, name)
    repository = repository_of(options)
    with repository.lock():
        outcomes = begin_repository(
            repository,
            roots=[key_named(options.keys, name) for name in roots],
            threshold=options.threshold,
            targets=key_named(options.keys, "targets"),
            online=key_named(options.keys, "online"),
        )
        if outcomes[-1].role == "timestamp":
            outcomes += delegate_agent(repository, [key_named(options.keys, "release")])
        return finish(repository, outcomes, as_json=options.json)


def _enrol(options: argparse.Namespace) -> int:
    repository = repository_of(options)
    training, operator, assign = (
        [key_named(options.keys, name)] for name in (options.training, options.operator, options.assign)
    )
    with repository.lock():
        outcomes = enrol(repository, options.sites, SiteKeys(training, operator, assign))
        return finish(repository, outcomes, as_json=options.json)


def _list(options: argparse.Namespace) -> int:
    repository = repository_of(options)
    names = {key.public.keyid: key.name for key in keys_in(options.keys).values()} if options.keys else {}
    rows = [_row(repository, role, names) for role in (*TOP, *repository.delegated())]
    if options.json:
        print(json.dumps(rows))
    else:
        print(f"{'role':<28}{'version':>8}{'needs':>7}  keys")
        for row in rows:
            keys = ", ".join(f"{names.get(keyid, '-')} {keyid[:16]}" for keyid in row["keys"])
            print(f"{row['role']:<28}{row['version'] or '-':>8}{row['threshold']:>7}  {keys}")
    return tell([], as_json=False)


def _row(repository: Repository, role: str, names: dict[str, str]) -> dict[str, Any]:
    keyids, threshold = repository.keyids(role)
    begun = role in TOP or role in repository.begun()
    version = repository.role(role).signed.version if begun else None
    return {
        "role": role,
        "version": version,
        "threshold": threshold,
        "keys": keyids,
        "here": [names[keyid] for keyid in keyids if keyid in names],
    }
