"""`trimload-fleet sign | rotate | revoke | expiry`: who is trusted, and for how long."""

from __future__ import annotations

import json
from collections.abc import Sequence

from fleet.commands.options import finish, repository_of, repository_parser
from fleet.keys import key_named, keys_in
from fleet.roles import change_keys, expiries, heal
from fleet.signing import TOP, Outcome, Repository, RepositoryFaultError

_DAY_S = 86_400.0


def sign_command(argv: Sequence[str]) -> int:
    """Sign what is staged."""
    parser = repository_parser(
        "sign",
        "Add the signatures of your keys to metadata that waits in REPO/staged. Once there are enough it is published, "
        "and roles whose keys it changed are signed anew, where their keys are here.",
    )
    parser.add_argument("--role", help="only this role (default: everything staged)")
    options = parser.parse_args(argv)
    repository = repository_of(options)
    with repository.lock():
        names = sorted(
            {path.name.split(".", 1)[1].removesuffix(".json") for path in repository.staged.glob("*.*.json")},
            key=lambda name: (TOP.index(name) if name in TOP else len(TOP), name),
        )
        if options.role is not None:
            names = [name for name in names if name == options.role]
        if not names:
            raise RepositoryFaultError(
                "nothing waits for signatures", where=str(repository.staged), fix="nothing to do"
            )
        outcomes = [repository.sign_staged(name) for name in names]
        return _after_change(repository, outcomes, as_json=options.json)


def rotate_command(argv: Sequence[str]) -> int:
    """A new key in place of an old one."""
    parser = repository_parser(
        "rotate",
        "Give a role a new key and take the old one away. For root, targets, snapshot and timestamp this is a new "
        "root, which old and new root keys sign; sites follow it by themselves, however long they were away.",
        epilog="example: trimload-fleet rotate --repo REPO --keys K --role timestamp --new online2\n",
    )
    parser.add_argument("--role", required=True, help="the role; trimload-fleet keys list shows them")
    parser.add_argument("--new", required=True, help="name of the new key (trimload-fleet keys new)")
    parser.add_argument("--old", help="name or id of the old key (default: all the role has now)")
    options = parser.parse_args(argv)
    repository = repository_of(options)
    with repository.lock():
        keyids = repository.keyids(options.role)[0]
        old = keyids if options.old is None else [_keyid(repository, options.role, options.old)]
        new = key_named(options.keys, options.new)
        revoke = [keyid for keyid in old if keyid != new.public.keyid]
        outcomes = change_keys(repository, options.role, add=[new], revoke=revoke)
        return finish(repository, outcomes, as_json=options.json)


def revoke_command(argv: Sequence[str]) -> int:
    """Take a key away."""
    parser = repository_parser(
        "revoke",
        "Take a key from a role, because it was stolen or lost. What it signed and no other key did is refused by "
        "every site from its next look on.",
    )
    parser.add_argument("--role", required=True, help="the role; trimload-fleet keys list shows them")
    parser.add_argument("--key", required=True, help="name or id of the key")
    options = parser.parse_args(argv)
    repository = repository_of(options)
    with repository.lock():
        outcomes = change_keys(
            repository, options.role, revoke=[_keyid(repository, options.role, options.key)]
        )
        return finish(repository, outcomes, as_json=options.json)


def expiry_command(argv: Sequence[str]) -> int:
    """What ends when; 1 when something ends within --days."""
    parser = repository_parser(
        "expiry",
        "Say when each role's metadata expires, soonest first. With --renew, sign anew what expires within --days and "
        "for which keys are here: run it daily where the online keys are.",
    )
    parser.add_argument("--days", type=float, default=3.0, help="bad news when something expires within (3)")
    parser.add_argument("--renew", action="store_true", help="renew what our keys can")
    options = parser.parse_args(argv)
    repository = repository_of(options)
    limit_s = options.days * _DAY_S
    if options.renew:
        with repository.lock():
            renew(repository, limit_s)
    rows = expiries(repository)
    if options.json:
        print(json.dumps([{**row._asdict(), "expires_at": row.expires_at.isoformat()} for row in rows]))
    else:
        for row in rows:
            mark = "EXPIRED" if row.left_s <= 0 else "soon" if row.left_s < limit_s else ""
            print(
                f"{row.role:<28}{row.version:>7}  {row.expires_at:%Y-%m-%d %H:%M}Z{row.left_s / _DAY_S:9.1f} d  {mark}"
            )
    return 1 if rows and rows[0].left_s < limit_s else 0


def renew(repository: Repository, within_s: float) -> list[Outcome]:
    """Sign anew, with the keys at hand, whatever expires within `within_s`; then snapshot and timestamp if due."""
    due = [row.role for row in expiries(repository) if row.left_s < within_s]
    outcomes = [
        repository.change(role, lambda _: None)
        for role in due
        if role not in {"snapshot", "timestamp"} and repository.can_sign(role)
    ]
    if "snapshot" in due or not repository.state_is_published():
        repository.publish_state()
    elif "timestamp" in due:
        repository.renew_timestamp()
    return outcomes


def _after_change(repository: Repository, outcomes: list[Outcome], *, as_json: bool) -> int:
    if any(outcome.published and outcome.role in TOP for outcome in outcomes):
        outcomes = [*outcomes, *heal(repository)]
    return finish(repository, outcomes, as_json=as_json)


def _keyid(repository: Repository, role: str, named: str) -> str:
    """A key of the role by its name in our folder, or by the start of its id."""
    names = keys_in(repository.keys) if repository.keys is not None else {}
    if named in names:
        return names[named].public.keyid
    found = [keyid for keyid in repository.keyids(role)[0] if keyid.startswith(named)]
    if len(found) != 1:
        raise RepositoryFaultError(
            f"{named!r} names {len(found)} keys of {role!r}",
            where="--key, --old",
            fix="trimload-fleet keys list",
        )
    return found[0]
