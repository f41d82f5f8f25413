"""The fleet at one glance, read from its database: the same figures for table, JSON and page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from agent.update.job import stamp
from fleet.database import FleetDatabase
from fleet.rollout.decide import (
    Phase,
    Rollout,
    Row,
    Verdict,
    counts,
    waits_for_approval,
    where_it_stands,
)
from fleet.rollout.record import Event, recent
from fleet.sites import SiteState, load_sites

# A site that says it is there and sends nothing for so long is looked at as well.
_SILENT = timedelta(minutes=30)
# Roll-outs that are over stay in sight for a while.
_SHOWN_OVER = 5


@dataclass(frozen=True, slots=True)
class SiteLine:
    """One site for people. `saving` is the share saved over all its stations, None when unknown: `saving_why`."""

    id: str
    presence: str
    since_at: datetime | None
    heard_at: datetime | None
    version: str
    release: str
    modes: str
    alarms: tuple[str, ...]
    saving: float | None
    saving_low: float | None
    saving_high: float | None
    saving_why: str
    jobs: tuple[str, ...]

    @property
    def needs_somebody(self) -> bool:
        """Whether it should not be passed over."""
        return self.presence in {"offline", "silent"} or bool(self.alarms)


@dataclass(frozen=True, slots=True)
class Overview:
    """Everything of the first page."""

    at: datetime
    sites: tuple[SiteLine, ...]
    rollouts: tuple[Rollout, ...]

    @property
    def bad_news(self) -> bool:
        """Whether a site needs somebody, or a roll-out under way has stopped."""
        return any(site.needs_somebody for site in self.sites) or any(
            rollout.phase is Phase.STOPPED for rollout in self.rollouts[:1]
        )


def overview(database: FleetDatabase, now: datetime) -> Overview:
    """The fleet as it was last heard of."""
    shown = recent(database, over=_SHOWN_OVER)
    known = load_sites(database)
    for rollout in shown:
        for site in rollout.rows:
            known.setdefault(site, SiteState(site))
    return Overview(now, tuple(site_line(known[site], now) for site in sorted(known)), tuple(shown))


def site_line(site: SiteState, now: datetime) -> SiteLine:
    """A site for people."""
    presence = {None: "never heard", True: "online", False: "offline"}[site.online]
    since = site.online_since_at
    if site.online and site.heard_at is not None and now - site.heard_at > _SILENT:
        presence, since = "silent", site.heard_at
    share, low, high, why = _saving(site)
    return SiteLine(
        id=site.id,
        presence=presence,
        since_at=since,
        heard_at=site.heard_at,
        version=site.standing.version,
        release=site.standing.release,
        modes=", ".join(f"{name} {mode}" for name, mode in sorted((site.modes or {}).items())),
        alarms=site.alarms,
        saving=share,
        saving_low=low,
        saving_high=high,
        saving_why=why,
        jobs=tuple(
            f"{job.kind.value} {job.state.value.replace('_', ' ')}"
            + (f" {job.share:.0%}" if 0 < job.share < 1 else "")
            for job in site.standing.jobs
        ),
    )


def _saving(site: SiteState) -> tuple[float | None, float | None, float | None, str]:
    """One station's share with its interval; of several stations the shares cannot be added: the least is shown."""
    if site.savings is None:
        return None, None, None, "not reported yet"
    known = [row for row in site.savings.values() if row.get("share") is not None]
    if not known:
        return None, None, None, next((str(row.get("why")) for row in site.savings.values()), "no station")
    least = min(known, key=lambda row: float(row["share"]))
    return float(least["share"]), least["low"], least["high"], ""


def ago(at: datetime | None, now: datetime) -> str:
    """How long ago, as people say it: `40 s`, `12 min`, `5 h`, `3 d`; "" for never."""
    if at is None:
        return ""
    seconds = max((now - at).total_seconds(), 0.0)
    for unit, length_s in (("d", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length_s:
            return f"{seconds / length_s:.0f} {unit}"
    return f"{seconds:.0f} s"


def percent(share: float | None, low: float | None, high: float | None) -> str:
    """A saving with its interval: `7.4 % (5.1 to 9.6)`."""
    if share is None:
        return ""
    text = f"{100 * share:.1f} %"
    return text if low is None or high is None else f"{text} ({100 * low:.1f} to {100 * high:.1f})"


def table(view: Overview) -> list[str]:
    """The fleet as lines of text."""
    rows = [("site", "", "since", "version", "modes", "saved in 28 days", "jobs", "alarms")]
    for site in view.sites:
        saved = percent(site.saving, site.saving_low, site.saving_high) or "unknown"
        rows.append(
            (
                site.id,
                site.presence,
                ago(site.since_at, view.at),
                site.version or "unknown",
                site.modes,
                saved,
                ", ".join(site.jobs),
                "; ".join(site.alarms),
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    lines += ["", "roll-outs:" if view.rollouts else "no roll-out"]
    for rollout in view.rollouts:
        lines.append(f"  {rollout.plan.id}  {rollout.plan.release}  {where_it_stands(rollout, view.at)}")
    return lines


def overview_dict(view: Overview) -> dict[str, Any]:
    """The fleet for machines; null is unknown."""
    return {
        "format": "trimload-fleet-status/1",
        "at": stamp(view.at),
        "sites": [
            {
                "id": site.id,
                "presence": site.presence,
                "since": _stamp(site.since_at),
                "heard_at": _stamp(site.heard_at),
                "version": site.version or None,
                "release": site.release or None,
                "modes": site.modes or None,
                "alarms": list(site.alarms),
                "saving": {
                    "share": site.saving,
                    "interval": [site.saving_low, site.saving_high],
                    "why_not": site.saving_why or None,
                },
                "jobs": list(site.jobs),
            }
            for site in view.sites
        ],
        "rollouts": [rollout_dict(rollout, view.at) for rollout in view.rollouts],
    }


def rollout_dict(rollout: Rollout, now: datetime) -> dict[str, Any]:
    """A roll-out for machines."""
    return {
        "id": rollout.plan.id,
        "kind": rollout.plan.kind.value,
        "release": rollout.plan.release,
        "phase": rollout.phase.value,
        "stands": where_it_stands(rollout, now),
        "since": _stamp(rollout.since_at),
        "waits_for_approval": waits_for_approval(rollout) and rollout.passed_at is not None,
        "rings": [ring._asdict() for ring in counts(rollout)],
        "sites": [
            {
                "site": row.site,
                "ring": row.ring,
                "given_at": _stamp(row.given_at),
                "state": None if row.state is None else row.state.value,
                "since": _stamp(row.state_at),
                "share": row.share,
                "reason": row.reason,
                "verdict": row.verdict.value or None,
            }
            for row in sites_in_order(rollout)
        ],
    }


def sites_in_order(rollout: Rollout) -> list[Row]:
    """Its rows, ring after ring; in a ring, what failed comes first."""
    rank = {Verdict.BAD: 0, Verdict.OPEN: 1, Verdict.OUT: 2, Verdict.GOOD: 3}
    return sorted(rollout.rows.values(), key=lambda row: (row.ring, rank[row.verdict], row.site))


def rollout_lines(rollout: Rollout, record: Sequence[Event], now: datetime) -> list[str]:
    """A roll-out as lines of text: rings, sites that have been given the job, record."""
    plan = rollout.plan
    lines = [f"{plan.id}  {plan.kind.value}  {plan.release}", where_it_stands(rollout, now), ""]
    lines.append(f"{'ring':<8}{'sites':>7}{'given':>7}{'good':>7}{'failed':>8}{'out':>5}")
    for ring in counts(rollout):
        lines.append(f"{ring.name:<8}{ring.sites:>7}{ring.given:>7}{ring.good:>7}{ring.bad:>8}{ring.out:>5}")
    lines.append("")
    for row in sites_in_order(rollout):
        if row.given_at is not None:
            state = "not heard yet" if row.state is None else row.state.value
            verdict = f"[{row.verdict.value}] " if row.verdict else ""
            lines.append(
                f"  {row.site:<24}{state:<14}{ago(row.state_at, now):>8}  {verdict}{row.reason}".rstrip()
            )
    lines += ["", *(f"{stamp(event.at)}  {event.who}: {event.what}" for event in record)]
    return lines


def _stamp(at: datetime | None) -> str | None:
    return None if at is None else stamp(at)
