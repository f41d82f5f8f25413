"""What a site says of itself in `up/update`: what runs, where its jobs stand. Read with suspicion: it came over a broker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from agent.update.job import Kind, State, Target

_LONGEST = 500


class JobStanding(NamedTuple):
    """A site's newest job of one kind."""

    id: str
    kind: Kind
    counter: int
    state: State
    reason: str
    share: float


class Standing(NamedTuple):
    """One site's word. What it does not say is empty."""

    version: str = ""
    release: str = ""
    config_sha256: str = ""
    models: Mapping[str, str] = {}
    jobs: tuple[JobStanding, ...] = ()
    refused: str = ""
    health: str = ""

    def job(self, kind: Kind) -> JobStanding | None:
        """The newest job of a kind."""
        return next((job for job in self.jobs if job.kind is kind), None)

    def runs(self, kind: Kind, release: str, targets: tuple[Target, ...]) -> bool:
        """Whether what a roll-out brings is what runs there, as read from what runs."""
        if kind is Kind.AGENT:
            return self.release == release
        if kind is Kind.CONFIG:
            return self.config_sha256 == targets[0].sha256
        return all(
            self.models.get(target.path.rsplit("/", 1)[1].removesuffix(".onnx")) == target.sha256
            for target in targets
        )


NOTHING_SAID = Standing()


def read_standing(body: Any) -> Standing:
    """A standing from the JSON of `up/update`; parts that are not what they should be are left out."""
    body = _table(body)
    running, trust = _table(body.get("running")), _table(body.get("trust"))
    agent, config, models = (_table(running.get(key)) for key in ("agent", "config", "models"))
    rows = body.get("jobs")
    jobs = [_job(row) for row in rows[:8]] if isinstance(rows, list) else []
    return Standing(
        version=_text(agent.get("version")),
        release=_text(agent.get("release")),
        config_sha256=_text(config.get("sha256")),
        models={str(target)[:_LONGEST]: _text(_table(row).get("sha256")) for target, row in models.items()},
        jobs=tuple(job for job in jobs if job is not None),
        refused=_text(trust.get("refused")),
        health=_text(body.get("health")),
    )


def _job(row: Any) -> JobStanding | None:
    row = _table(row)
    counter, share = row.get("counter"), row.get("share")
    try:
        kind, state = Kind(row.get("kind")), State(row.get("state"))
    except ValueError:
        return None
    if not isinstance(row.get("id"), str) or not isinstance(counter, int):
        return None
    return JobStanding(
        _text(row["id"]),
        kind,
        counter,
        state,
        _text(row.get("reason")),
        min(max(float(share), 0.0), 1.0) if isinstance(share, int | float) else 0.0,
    )


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _text(value: Any) -> str:
    return value[:_LONGEST] if isinstance(value, str) else ""
