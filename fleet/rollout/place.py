"""What a roll-out does to the repository: jobs into assignments and out of them. Doing it twice is doing it once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from agent.update.job import Job, Kind, Target
from fleet.publish import assign, current_assignment, release_targets, targets_of, withdraw
from fleet.rollout.decide import Row, Wish
from fleet.rollout.plan import Plan
from fleet.signing import Repository, RepositoryFaultError


class Placed(NamedTuple):
    """What became of a wish; `why_not` where the repository has none of it."""

    site: str
    wish: Wish
    why_not: str = ""


def targets_for(
    repository: Repository, kind: Kind, sites: Iterable[str], *, release: str = "", target: str = ""
) -> dict[str, tuple[Target, ...]]:
    """The exact files that each site is to run: those signed now. Raises RepositoryFaultError where there are none."""
    if kind is Kind.AGENT:
        files = release_targets(repository, release)
        return dict.fromkeys(sites, files)
    if kind is Kind.CONFIG:
        return {
            site: targets_of(repository, f"config-{site}", [f"config/{site}/site.toml"]) for site in sites
        }
    return {
        site: targets_of(repository, f"models-{site}", [f"models/{site}/{target}.onnx"]) for site in sites
    }


def require_keys(repository: Repository, sites: Iterable[str]) -> None:
    """Raises RepositoryFaultError where a roll-out would come to a halt for want of a key."""
    for role in ("snapshot", "timestamp", *(f"assign-{site}" for site in sites)):
        if not repository.can_sign(role):
            raise RepositoryFaultError(
                f"the key of {role!r} is not here, and a roll-out signs with it",
                where="--keys",
                fix="run it where the online and the assign key are",
            )


def place(repository: Repository, plan: Plan, rows: Sequence[Row]) -> list[Placed]:
    """Give jobs and take them back, as the rows wish; sites see it when this returns. The caller holds the lock."""
    placed = []
    for row in rows:
        try:
            if row.wish is Wish.GIVE:
                _give(repository, plan, row)
                placed.append(Placed(row.site, Wish.GIVEN))
            elif row.wish is Wish.TAKE_BACK:
                _take_back(repository, plan, row)
                placed.append(Placed(row.site, Wish.TAKEN_BACK))
        except RepositoryFaultError as error:
            placed.append(Placed(row.site, Wish.TAKEN_BACK, error.what))
    # Also what an earlier run of this signed, and was killed before sites could see it.
    if not repository.state_is_published():
        repository.publish_state()
    return placed


def _give(repository: Repository, plan: Plan, row: Row) -> None:
    job_id = plan.job_id(row.site)
    now = current_assignment(repository, row.site)
    if any(job.id == job_id for job in now.jobs):
        return
    _require_signed(repository, plan.kind, row)
    job = Job(
        id=job_id,
        kind=plan.kind,
        site=row.site,
        counter=now.counter + 1,
        release=plan.release,
        targets=row.targets,
        timeouts=plan.timeouts,
    )
    outcome = assign(repository, row.site, job)
    if not outcome.published:
        raise RepositoryFaultError(
            f"the assignment waits for the signature of {', '.join(outcome.may_sign)}",
            where=str(repository.staged),
            fix="run the roll-out where the assign key is",
        )


def _require_signed(repository: Repository, kind: Kind, row: Row) -> None:
    """What was signed when the roll-out began may have been replaced: the site would refuse it."""
    role = "agent" if kind is Kind.AGENT else f"{'models' if kind is Kind.MODEL else 'config'}-{row.site}"
    if targets_of(repository, role, [target.path for target in row.targets]) != row.targets:
        raise RepositoryFaultError(
            f"{row.targets[0].path} was replaced since the roll-out began",
            where=role,
            fix="begin another roll-out",
        )


def _take_back(repository: Repository, plan: Plan, row: Row) -> None:
    if any(job.id == plan.job_id(row.site) for job in current_assignment(repository, row.site).jobs):
        withdraw(repository, row.site, plan.kind)
