"""Errors that a person reads: what is wrong, where, and how to put it right."""

from __future__ import annotations


class TrimloadError(Exception):
    """Something a person can mend. Carries the three answers as fields, not only as text."""

    def __init__(self, what: str, *, where: str, fix: str) -> None:
        super().__init__(what, where, fix)
        self.what = what
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        return f"{type(self).__name__}: {self.what}\n  where: {self.where}\n  fix:   {self.fix}"

    def as_dict(self) -> dict[str, str]:
        """The three fields for machines: `{"what", "where", "fix"}`."""
        return {"what": self.what, "where": self.where, "fix": self.fix}


class ConfigError(TrimloadError):
    """The site's configuration contradicts itself, the nameplate, or the schema."""


class DataError(TrimloadError):
    """A data file or message cannot be read as what it claims to be."""


class StoreError(TrimloadError):
    """The local database cannot do what safety needs of it."""
