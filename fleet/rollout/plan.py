"""What a roll-out is to do: which sites in which rings, and when it has to stop. Data and arithmetic only."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from agent.errors import DataError
from agent.update.job import DEFAULT_TIMEOUTS, Kind, Timeouts

DEFAULT_RINGS = "1,10%,50%,100%"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._]{0,30}")
_LONGEST_JOB_ID = 80
APPROVALS = ("none", "canary", "each")


class Ring(NamedTuple):
    """Sites that are given their job together; `name` is what was asked for: `1`, `10%`."""

    name: str
    sites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """Shares are of a ring's sites, so that one early failure among many does not yet count as all of them."""

    id: str
    kind: Kind
    release: str
    rings: tuple[Ring, ...]
    # A ring is passed when so many of it are confirmed.
    success_share: float = 0.95
    # The roll-out stops by itself when more of a ring than this failed,
    error_share: float = 0.05
    # or, if given, when so many have failed in all rings together.
    error_count: int | None = None
    soak_s: float = 3600.0
    # Sites given their job within any minute.
    per_minute: int = 30
    # Rings (by number) that somebody has to approve before they begin.
    approve: frozenset[int] = frozenset()
    timeouts: Timeouts = DEFAULT_TIMEOUTS
    # How long after a job's own limit a site may still be silent before it counts as failed.
    grace_s: float = 600.0

    def ring_of(self, site: str) -> int:
        """Number of the ring that a site is in."""
        return next(number for number, ring in enumerate(self.rings) if site in ring.sites)

    def job_id(self, site: str) -> str:
        """The id of a site's job: the same for ever, so a site that hears it twice does it once."""
        return f"{self.id}-{site}"


def require_sound(plan: Plan) -> None:
    """Raises DataError for a plan that could not do what it says."""
    faults = (
        (
            not _ID.fullmatch(plan.id),
            f"{plan.id!r} is no id",
            "--id",
            "letters, digits, . and _, at most 31; no dash: it parts roll-out and site",
        ),
        (not plan.rings, "there is no site in it", "SITES", "name sites, or --all"),
        (
            any(len(plan.job_id(site)) > _LONGEST_JOB_ID for ring in plan.rings for site in ring.sites),
            f"roll-out and site make a job id of more than {_LONGEST_JOB_ID} characters",
            "--id",
            "take a shorter one",
        ),
        (not 0.0 < plan.success_share <= 1.0, "a share is above 0 and at most 1", "--success", "0.95"),
        (not 0.0 <= plan.error_share < 1.0, "a share is at least 0 and below 1", "--errors", "0.05"),
        (
            plan.error_count is not None and plan.error_count < 1,
            "a count is at least 1",
            "--error-count",
            "1",
        ),
        (plan.soak_s < 0, "time does not run backwards", "--soak-s", "3600"),
        (plan.per_minute < 1, "at least one site a minute", "--per-minute", "30"),
        (
            any(value <= 0 for value in (*plan.timeouts, plan.grace_s)),
            "a time-out is above 0",
            "--…-s",
            "1800",
        ),
    )
    for wrong, what, where, fix in faults:
        if wrong:
            raise DataError(what, where=where, fix=fix)


def rings_of(
    sites: Sequence[str], text: str, *, canaries: Sequence[str] = (), seed: str = ""
) -> tuple[Ring, ...]:
    """Part `sites` by `1,10%,50%,100%`: counts and shares of all, each including those before. The rest comes last.

    `canaries` come first. The others follow in an order drawn from `seed`: it is the same each time, and not
    always the same sites that go first. Raises DataError.
    """
    strange = [site for site in canaries if site not in sites]
    if strange:
        raise DataError(
            f"canary {strange[0]!r} is not among the sites", where="--canary", fix="name it as a site as well"
        )

    def drawn(site: str) -> str:
        return hashlib.sha256(f"{seed}/{site}".encode()).hexdigest()

    order = [*dict.fromkeys(canaries), *sorted(set(sites) - set(canaries), key=drawn)]
    rings: list[Ring] = []
    taken = 0
    for word in [*(part.strip() for part in text.split(",")), "100%"]:
        reach = min(_reach(word, len(order)), len(order))
        if rings and reach < taken:
            raise DataError(
                f"ring {word!r} is smaller than the one before", where="--rings", fix=DEFAULT_RINGS
            )
        if reach > taken:
            rings.append(Ring(word, tuple(order[taken:reach])))
            taken = reach
    return tuple(rings)


def _reach(word: str, sites: int) -> int:
    """How many sites have it once this ring does."""
    number = word.removesuffix("%")
    try:
        reach = math.ceil(float(number) / 100.0 * sites) if number != word else int(word)
    except (ValueError, OverflowError):
        reach = 0
    if reach < 1 or (number != word and float(number) > 100.0):
        raise DataError(
            f"{word!r} is no ring", where="--rings", fix=f"counts and shares in rising order: {DEFAULT_RINGS}"
        )
    return reach


def approvals(word: str, rings: int) -> frozenset[int]:
    """Rings to approve for `none`, `canary` (all after the first) or `each` (every one). Raises DataError."""
    if word not in APPROVALS:
        raise DataError(f"{word!r} is not known", where="--approve", fix=", ".join(APPROVALS))
    return {
        "none": frozenset[int](),
        "canary": frozenset({1} if rings > 1 else ()),
        "each": frozenset(range(1, rings)),
    }[word]
