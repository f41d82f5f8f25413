"""What is changed in a fleet's repository as a whole: its first roles, delegations, keys, and when each role ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from tuf.api.metadata import DelegatedRole, Delegations, Root, Snapshot, Targets, Timestamp

from fleet.keys import NamedKey
from fleet.signing import TOP, Outcome, Repository, RepositoryFaultError


def begin_repository(
    repository: Repository,
    *,
    roots: Sequence[NamedKey],
    threshold: int,
    targets: NamedKey,
    online: NamedKey,
) -> list[Outcome]:
    """The first root, targets, snapshot and timestamp. Raises RepositoryFaultError where there is one already."""
    if any(repository.metadata.glob("*.root.json")):
        raise RepositoryFaultError(
            "there is a repository already", where=str(repository.path), fix="take another folder"
        )
    root = Root(consistent_snapshot=True)
    for key in roots:
        root.add_key(key.public, "root")
    root.roles["root"].threshold = threshold
    for name, key in (("targets", targets), ("snapshot", online), ("timestamp", online)):
        root.add_key(key.public, name)
    outcomes = [repository.begin("root", root)]
    if not outcomes[0].published:
        return outcomes
    outcomes.append(repository.begin("targets", Targets(delegations=Delegations(keys={}, roles={}))))
    outcomes.append(repository.begin("snapshot", Snapshot()))
    outcomes.append(repository.begin("timestamp", Timestamp()))
    repository.publish_state()
    return outcomes


def delegate(
    repository: Repository, roles: Mapping[str, tuple[Sequence[str], Sequence[NamedKey], int]]
) -> list[Outcome]:
    """Delegate `{role: (path patterns, keys, threshold)}` and begin each; one new version of targets for all."""

    def edit(targets: Targets) -> None:
        assert targets.delegations is not None
        assert targets.delegations.roles is not None
        for name, (patterns, keys, threshold) in roles.items():
            if name in targets.delegations.roles:
                raise RepositoryFaultError(
                    f"role {name!r} is there already", where=str(repository.path), fix="choose another id"
                )
            targets.delegations.roles[name] = DelegatedRole(
                name, [], threshold, terminating=True, paths=list(patterns)
            )
            for key in keys:
                targets.add_key(key.public, name)

    outcomes = [repository.change("targets", edit)]
    return outcomes + heal(repository) if outcomes[0].published else outcomes


def change_keys(
    repository: Repository, name: str, *, add: Sequence[NamedKey] = (), revoke: Sequence[str] = ()
) -> list[Outcome]:
    """Give a role other keys, and sign it anew with them. Adds before it revokes."""
    keyids, threshold = repository.keyids(name)
    unknown = [keyid for keyid in revoke if keyid not in keyids]
    if unknown:
        raise RepositoryFaultError(
            f"{unknown[0][:16]} is no key of {name!r}",
            where=", ".join(k[:16] for k in keyids),
            fix="trimload-fleet keys list shows the keys of each role",
        )
    left = (set(keyids) | {key.public.keyid for key in add}) - set(revoke)
    if len(left) < threshold:
        raise RepositoryFaultError(
            f"{name!r} would be left with {len(left)} keys, it needs {threshold}",
            where=str(repository.path),
            fix="name a new key with it: trimload-fleet rotate --role R --new NAME --old KEYID",
        )

    def edit(delegator: Root | Targets) -> None:
        for key in add:
            delegator.add_key(key.public, name)
        for keyid in revoke:
            delegator.revoke_key(keyid, name)

    outcomes = [repository.change("root" if name in TOP else "targets", edit)]
    return outcomes + heal(repository) if outcomes[0].published else outcomes


def heal(repository: Repository) -> list[Outcome]:
    """Begin the roles that were delegated since, and sign anew those whose keys have changed."""
    outcomes = []
    if not repository.verified("targets"):
        outcomes.append(repository.change("targets", lambda _: None))
    begun = repository.begun()
    for name in repository.delegated():
        if name not in begun:
            outcomes.append(repository.begin(name, Targets()))
        elif not repository.verified(name):
            outcomes.append(repository.change(name, lambda _: None))
    return outcomes


class Ends(NamedTuple):
    """When a role's metadata ends, as seen from now."""

    role: str
    version: int
    expires_at: datetime
    left_s: float


def expiries(repository: Repository) -> list[Ends]:
    """Every role, soonest end first."""
    now = repository.clock.now()
    rows = []
    for name in (*TOP, *repository.begun()):
        signed = repository.role(name).signed
        rows.append(Ends(name, signed.version, signed.expires, (signed.expires - now).total_seconds()))
    return sorted(rows, key=lambda row: row.left_s)
