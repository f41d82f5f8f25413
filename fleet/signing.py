"""The TUF repository of a fleet on disk: change a role, sign it, and publish it once enough keys have signed.

REPO/metadata is what sites are served; REPO/staged holds metadata that still lacks signatures, to be carried
to the next key holder. Targets lie in REPO/targets under their hash (consistent snapshots).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import (
    Delegations,
    Key,
    Metadata,
    MetaFile,
    Root,
    Signed,
    Targets,
)

from agent.clock import Clock
from agent.errors import TrimloadError
from agent.update.files import write_durably
from fleet.keys import NamedKey, keys_in, signer_of

TOP = ("root", "targets", "snapshot", "timestamp")
# Who signs offline may take a year; what a server renews by itself bounds how long a freeze goes unseen.
EXPIRY = {
    "root": timedelta(days=365),
    "snapshot": timedelta(days=7),
    "timestamp": timedelta(days=7),
    "assign": timedelta(days=30),
}
_EXPIRY_OTHERS = timedelta(days=365)


class RepositoryFaultError(TrimloadError):
    """The repository is not what the command needs."""


class Outcome(NamedTuple):
    """What became of a change: published, or staged until these keys have signed."""

    role: str
    version: int
    published: bool
    missing: int
    may_sign: tuple[str, ...]


class Repository:
    """`keys` is the folder of keys that may be used now; roles signed by others are staged."""

    def __init__(self, path: Path, keys: Path | None, clock: Clock) -> None:
        self.path, self.keys, self.clock = path, keys, clock
        self.metadata, self.staged = path / "metadata", path / "staged"
        # What is published under a version is never changed: the delegators are read once. Not for changing.
        self._read_once: dict[Path, Metadata[Any]] = {}

    @contextmanager
    def lock(self) -> Iterator[None]:
        """One writer at a time: the roll-out engine and a person at the command line."""
        self.metadata.mkdir(parents=True, exist_ok=True)
        with (self.path / ".lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def root(self) -> Metadata[Root]:
        """The root in force. Raises RepositoryFaultError where there is none."""
        return Metadata[Root].from_file(str(self._root_path()))

    def _root_path(self) -> Path:
        version = self._newest().get("root")
        if version is None:
            raise RepositoryFaultError(
                "there is no repository",
                where=str(self.path),
                fix="begin one: trimload-fleet keys init",
            )
        return self.metadata / f"{version}.root.json"

    def _newest(self) -> dict[str, int]:
        """The present version of every role but timestamp. One look at the folder: a large fleet has thousands."""
        newest: dict[str, int] = {}
        # Names alone: objects of pathlib cost ten times the listing.
        names = [entry.name for entry in os.scandir(self.metadata)] if self.metadata.is_dir() else []
        for name in names:
            number, dot, role = name.removesuffix(".json").partition(".")
            if dot and number.isdigit():
                newest[role] = max(int(number), newest.get(role, 0))
        return newest

    def _delegator(self, name: str) -> Root | Targets:
        """Who says whose signatures count for a role. Not to be changed."""
        newest = self._newest()
        path = (
            self._root_path() if name in TOP else self.metadata / f"{newest.get('targets', 0)}.targets.json"
        )
        if path not in self._read_once:
            self._read_once = {
                p: m
                for p, m in self._read_once.items()
                if p.name.partition(".")[2] != path.name.partition(".")[2]
            }
            self._read_once[path] = Metadata.from_file(str(path)) if path.exists() else self.role("targets")
        signed: Root | Targets = self._read_once[path].signed
        return signed

    def role(self, name: str) -> Metadata[Any]:
        """The published metadata of a role. Raises RepositoryFaultError."""
        if name == "root":
            return self.root()
        if name == "timestamp":
            path = self.metadata / "timestamp.json"
        else:
            path = self.metadata / f"{self._newest().get(name, 0)}.{name}.json"
        if not path.exists():
            raise RepositoryFaultError(
                f"the repository has no role {name!r}",
                where=str(self.metadata),
                fix="see trimload-fleet keys list for the roles, trimload-fleet keys enrol for a new site",
            )
        return Metadata.from_file(str(path))

    def delegated(self) -> tuple[str, ...]:
        """Names of the delegated roles, in order. Raises RepositoryFaultError where there is no repository."""
        self.root()
        targets = self._delegator("")
        assert isinstance(targets, Targets)
        delegations: Delegations | None = targets.delegations
        return () if delegations is None or delegations.roles is None else tuple(delegations.roles)

    def can_sign(self, name: str) -> bool:
        """Whether the keys at hand suffice for a role."""
        keyids, threshold = self.keyids(name)
        return len({key.public.keyid for key in self._our_keys()} & set(keyids)) >= threshold

    def state_is_published(self) -> bool:
        """Whether the snapshot names the present version of every role, and is signed by the keys in force."""
        meta = self.role("snapshot").signed.meta
        current = self._current()
        return {name: file.version for name, file in meta.items()} == current and all(
            self.verified(name) for name in ("snapshot", "timestamp")
        )

    def begun(self) -> tuple[str, ...]:
        """The delegated roles that have been signed at least once."""
        there = self._newest()
        return tuple(name for name in self.delegated() if name in there)

    def _current(self) -> dict[str, int]:
        """What a snapshot has to say: file and version of every role."""
        newest = self._newest()
        return {f"{name}.json": newest[name] for name in ("targets", *self.delegated()) if name in newest}

    def verified(self, name: str) -> bool:
        """Whether the published metadata of a role is signed by the keys now in force."""
        return self._missing(name, self.role(name)) == 0

    def change(self, name: str, edit: Callable[[Any], None]) -> Outcome:
        """A new version of a role: `edit` changes what is signed. Published if our keys suffice, else staged."""
        waiting = sorted(self.staged.glob(f"*.{name}.json"))
        if waiting:
            raise RepositoryFaultError(
                f"a change of {name!r} waits for signatures already",
                where=str(waiting[0]),
                fix=f"complete it (trimload-fleet sign --role {name}), or delete the file to give it up",
            )
        old = self.role(name)
        edit(old.signed)
        return self._issue(name, old, old.signed.version + 1)

    def begin(self, name: str, signed: Signed) -> Outcome:
        """The first version of a role."""
        return self._issue(name, Metadata(signed), 1)

    def sign_staged(self, name: str) -> Outcome:
        """Add our signatures to a staged role; published once there are enough."""
        paths = sorted(self.staged.glob(f"*.{name}.json"), key=lambda p: int(p.name.partition(".")[0]))
        if not paths:
            raise RepositoryFaultError(
                f"nothing of {name!r} waits for signatures", where=str(self.staged), fix="trimload-fleet sign"
            )
        metadata: Metadata[Any] = Metadata.from_file(str(paths[0]))
        return self._sign_and_place(name, metadata)

    def publish_state(self) -> None:
        """A new snapshot of every role's version, and a timestamp that names it."""
        snapshot = self.role("snapshot")
        for name, version in self._current().items():
            snapshot.signed.meta[name] = MetaFile(version)
        self._require_published(self._issue("snapshot", snapshot, snapshot.signed.version + 1))
        self.renew_timestamp(snapshot.signed.version)

    def renew_timestamp(self, snapshot_version: int | None = None) -> None:
        """The same state, said again: what a site needs to know that it is not kept from news."""
        timestamp = self.role("timestamp")
        if snapshot_version is not None:
            timestamp.signed.snapshot_meta = MetaFile(snapshot_version)
        self._require_published(self._issue("timestamp", timestamp, timestamp.signed.version + 1))

    def keyids(self, name: str) -> tuple[list[str], int]:
        """Keys and threshold of a role, as its delegator says."""
        delegator = self._delegator(name)
        try:
            role = delegator.get_delegated_role(name)
        except ValueError:
            raise RepositoryFaultError(
                f"the repository has no role {name!r}", where=str(self.path), fix="trimload-fleet keys list"
            ) from None
        return list(role.keyids), role.threshold

    def _issue(self, name: str, metadata: Metadata[Any], version: int) -> Outcome:
        metadata.signed.version = version
        lifetime = EXPIRY.get(name.partition("-")[0], _EXPIRY_OTHERS)
        metadata.signed.expires = self.clock.now().replace(microsecond=0) + lifetime
        metadata.signatures.clear()
        return self._sign_and_place(name, metadata)

    def _sign_and_place(self, name: str, metadata: Metadata[Any]) -> Outcome:
        wanted = self._who_signs(name, metadata)
        for key in self._our_keys():
            if key.public.keyid in wanted and key.public.keyid not in metadata.signatures:
                assert self.keys is not None
                metadata.sign(signer_of(self.keys, key), append=True)
        missing = self._missing(name, metadata)
        file_name = f"{metadata.signed.version}.{name}.json"
        staged = self.staged / file_name
        if missing:
            write_durably(staged, metadata.to_bytes())
        else:
            public_name = "timestamp.json" if name == "timestamp" else file_name
            write_durably(self.metadata / public_name, metadata.to_bytes())
            staged.unlink(missing_ok=True)
        unsigned = tuple(sorted(keyid for keyid in wanted if keyid not in metadata.signatures))
        return Outcome(name, int(metadata.signed.version), missing == 0, missing, unsigned)

    def _our_keys(self) -> Sequence[NamedKey]:
        return list(keys_in(self.keys).values()) if self.keys is not None else []

    def _who_signs(self, name: str, metadata: Metadata[Any]) -> Mapping[str, Key]:
        """Keys whose signature counts. A new root needs those of the old one as well: sites follow the chain."""
        if name == "root":
            keys = {i: metadata.signed.keys[i] for i in metadata.signed.roles["root"].keyids}
            if metadata.signed.version > 1:
                old = self.root().signed
                keys |= {i: old.keys[i] for i in old.roles["root"].keyids}
            return keys
        delegator = self._delegator(name)
        return {i: delegator.get_key(i) for i in self.keyids(name)[0]}

    def _missing(self, name: str, metadata: Metadata[Any]) -> int:
        content, signatures = metadata.signed_bytes, metadata.signatures
        if name == "root":
            previous = self.root().signed if metadata.signed.version > 1 else None
            result = metadata.signed.get_root_verification_result(previous, content, signatures)
            return max(int(result.first.missing), int(result.second.missing))
        delegator = self._delegator(name)
        try:
            result = delegator.get_verification_result(name, content, signatures)
            return int(result.missing)
        except (ValueError, RepositoryError) as error:
            raise RepositoryFaultError(
                f"role {name!r} cannot be verified: {error}",
                where=str(self.path),
                fix="trimload-fleet keys list",
            ) from error

    @staticmethod
    def _require_published(outcome: Outcome) -> None:
        if not outcome.published:
            raise RepositoryFaultError(
                f"the key of {outcome.role!r} is not here; it is needed for every publication",
                where=", ".join(outcome.may_sign),
                fix="give the folder of the online keys: --keys DIR",
            )
