"""Signing keys by name: a folder with a list of them. The list holds where a private key is, not what it is.

A key is a PEM file in the folder, or whatever securesystemslib can sign with: `hsm:`, `awskms:`, `gcpkms:`,
`azurekms:`, `hv:` (Vault), `tkey:`, `gnupg:`. Each holder of a root key has a folder of their own.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from getpass import getpass
from pathlib import Path
from typing import Any, NamedTuple, cast

from securesystemslib.signer import SIGNER_FOR_URI_SCHEME, CryptoSigner, Key, Signer

from agent.errors import TrimloadError
from agent.update.files import write_durably

SCHEMES = ("ed25519", "ecdsa", "rsa", "mldsa")
_LIST = "keys.json"
_FILE = "file2:"


class SigningKeyError(TrimloadError):
    """A key that is not there, or cannot be used."""


class NamedKey(NamedTuple):
    """A key of the folder: its name there, where its private part is, and its public part."""

    name: str
    uri: str
    public: Key


def make_key(folder: Path, name: str, scheme: str = "ed25519") -> NamedKey:
    """Make a key pair; the private part goes to `folder/name.pem`, readable by its owner alone."""
    if scheme not in SCHEMES:
        raise SigningKeyError(
            f"scheme {scheme!r} is not known", where="--scheme", fix=f"one of {', '.join(SCHEMES)}"
        )
    _require_free(folder, name)
    maker: Callable[[], CryptoSigner] = getattr(CryptoSigner, f"generate_{scheme}")
    signer = maker()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_durably(folder / f"{name}.pem", signer.private_bytes, mode=0o600)
    return _keep(folder, NamedKey(name, f"{_FILE}{name}.pem", signer.public_key))


def import_key(folder: Path, name: str, uri: str, public: Path | None = None) -> NamedKey:
    """Take in a key that lives elsewhere. `public` is its public part as TUF JSON; without it the device is asked.

    Only `hsm:` tells its public part from the URI alone; the cloud KMS do after `import_` of securesystemslib.
    """
    _require_free(folder, name)
    scheme = uri.partition(":")[0]
    if scheme not in SIGNER_FOR_URI_SCHEME:
        raise SigningKeyError(
            f"no signer for {scheme!r}",
            where="--uri",
            fix=f"one of {', '.join(sorted(SIGNER_FOR_URI_SCHEME))}",
        )
    if public is not None:
        body = json.loads(public.read_text(encoding="utf-8"))
        key = Key.from_dict(str(body.pop("keyid")), body)
        return _keep(folder, NamedKey(name, uri, key))
    argument = uri.partition(":")[2]
    signer_class = cast("Any", SIGNER_FOR_URI_SCHEME[scheme])
    try:
        if scheme == "hsm":
            uri, key = signer_class.import_(int(argument) if argument else None, secrets_handler=_ask)
        elif scheme == "azurekms":
            vault, _, key_name = argument.removeprefix("//").partition("/")
            uri, key = signer_class.import_(vault.partition(".")[0], key_name.removeprefix("keys/"))
        else:
            uri, key = signer_class.import_(argument)
    except Exception as error:
        raise SigningKeyError(
            f"{uri} does not give its public key: {error}",
            where="--uri",
            fix="check device, credentials and the signer's Python package, or give --public FILE.json",
        ) from error
    return _keep(folder, NamedKey(name, uri, key))


def keys_in(folder: Path) -> dict[str, NamedKey]:
    """Every key of the folder by name. Raises SigningKeyError for a list that cannot be read."""
    path = folder / _LIST
    if not path.exists():
        return {}
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))
        return {
            name: NamedKey(name, row["uri"], Key.from_dict(row["keyid"], dict(row["public"])))
            for name, row in rows.items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SigningKeyError(
            f"the list of keys cannot be read: {error}",
            where=str(path),
            fix="restore it from a backup; it holds no secrets",
        ) from error


def key_named(folder: Path, name: str) -> NamedKey:
    """The key of that name. Raises SigningKeyError."""
    keys = keys_in(folder)
    if name not in keys:
        raise SigningKeyError(
            f"there is no key {name!r}",
            where=str(folder),
            fix=f"make it: trimload-fleet keys new {name}; there are: {', '.join(keys) or 'none'}",
        )
    return keys[name]


def signer_of(folder: Path, key: NamedKey) -> Signer:
    """What signs with that key. Raises SigningKeyError where the private part is not to be had."""
    uri = key.uri
    if uri.startswith(_FILE):
        path = Path(uri.removeprefix(_FILE))
        uri = f"{_FILE}{path if path.is_absolute() else (folder / path).resolve()}"
        # securesystemslib would put this in front of every path.
        os.environ.pop("CRYPTO_SIGNER_PATH_PREFIX", None)
    try:
        return Signer.from_priv_key_uri(uri, key.public, _ask)
    except Exception as error:
        raise SigningKeyError(
            f"key {key.name!r} cannot sign: {error}",
            where=uri,
            fix="bring the private key (file, token or cloud credentials) that this URI names",
        ) from error


def _ask(secret: str) -> str:
    return getpass(f"{secret}: ")


def _require_free(folder: Path, name: str) -> None:
    if not name or not all(sign.isalnum() or sign in "._-" for sign in name):
        raise SigningKeyError(f"{name!r} is no name for a key", where="NAME", fix="letters, digits, . _ -")
    if name in keys_in(folder):
        raise SigningKeyError(
            f"there is a key {name!r} already",
            where=str(folder / _LIST),
            fix="take another name; a key is never overwritten",
        )


def _keep(folder: Path, key: NamedKey) -> NamedKey:
    rows = {
        row.name: {"uri": row.uri, "keyid": row.public.keyid, "public": row.public.to_dict()}
        for row in [*keys_in(folder).values(), key]
    }
    write_durably(folder / _LIST, json.dumps(rows, indent=1).encode(), mode=0o600)
    return key
