"""What was last heard of each site, and kept: there or not, what runs, modes, alarms, savings."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from fleet.database import FleetDatabase, sites
from fleet.standing import NOTHING_SAID, Standing, read_standing

_LONGEST_BODY = 64 << 10
_MOST_ALARMS = 20
# A reading of this quality or better is a value; below it is a doubt (docs/uplink.md).
_UNCERTAIN = 2


@dataclass(frozen=True, slots=True)
class SiteState:
    """Instants are the fleet's own. `online` is None for a site that was never heard of."""

    id: str
    online: bool | None = None
    online_since_at: datetime | None = None
    heard_at: datetime | None = None
    standing_json: str = "{}"
    standing: Standing = NOTHING_SAID
    modes: Mapping[str, str] | None = None
    tripped: tuple[str, ...] = ()
    telemetry_at: datetime | None = None
    savings: Mapping[str, Any] | None = None
    savings_at: datetime | None = None

    @property
    def alarms(self) -> tuple[str, ...]:
        """What somebody should look at, as far as the site said so itself."""
        found = [f"{machine} has tripped" for machine in self.tripped]
        # The agent's own list names a tripped machine as well.
        health = [
            each for each in self.standing.health.split("; ") if each and not each.endswith("has tripped")
        ]
        refused = [f"updates refused: {self.standing.refused}"] if self.standing.refused else []
        return (*found, *health, *refused)


def heard(site: SiteState, kind: str, content: bytes, now: datetime) -> SiteState:
    """A site after a message on `up/<kind>`. What cannot be read changes nothing."""
    if len(content) > _LONGEST_BODY:
        return site
    try:
        body = json.loads(content)
    except (ValueError, RecursionError):
        return site
    if not isinstance(body, dict):
        return site
    if kind == "status":
        online = body.get("state") == "online"
        if online is site.online:
            return site
        return replace(site, online=online, online_since_at=now, heard_at=now if online else site.heard_at)
    if kind == "update":
        text = content.decode()
        if text == site.standing_json:
            return site
        modes = body.get("modes")
        return replace(
            site,
            standing_json=text,
            standing=read_standing(body),
            modes={str(k): str(v) for k, v in modes.items()} if isinstance(modes, dict) else site.modes,
            heard_at=now,
        )
    if kind == "telemetry":
        return replace(site, tripped=_tripped(body.get("values")), telemetry_at=now, heard_at=now)
    return site


def with_savings(site: SiteState, body: Mapping[str, Any], now: datetime) -> SiteState:
    """A site after its report of the last weeks (`ask report`): what counts of it."""
    return replace(site, savings=_savings(body), savings_at=now)


def _tripped(values: Any) -> tuple[str, ...]:
    found = []
    for tag, pair in values.items() if isinstance(values, dict) else ():
        if tag.endswith(".tripped") and isinstance(pair, list) and len(pair) == 2:
            value, quality = pair
            if value == 1 and isinstance(quality, int) and quality >= _UNCERTAIN:
                found.append(tag.removesuffix(".tripped"))
    return tuple(sorted(found)[:_MOST_ALARMS])


def _savings(body: Mapping[str, Any]) -> dict[str, Any]:
    """Per station: `{"share", "low", "high", "saved_kwh"}` of the regression, or `{"why"}` there is none."""
    if isinstance(body.get("reason"), str):
        return {"": {"why": body["reason"]}}
    found: dict[str, Any] = {}
    for station, report in body.items():
        regression = report.get("regression") if isinstance(report, dict) else None
        saving = regression.get("saving") if isinstance(regression, dict) else None
        if isinstance(saving, dict) and isinstance(saving.get("share"), int | float):
            low, high = saving.get("share_interval") or (None, None)
            found[station] = {
                "share": saving["share"],
                "low": low,
                "high": high,
                "saved_kwh": saving.get("saved_kwh"),
            }
        else:
            why = regression.get("why") if isinstance(regression, dict) else None
            found[station] = {"why": why if isinstance(why, str) else "not reported"}
    return found


def load_sites(database: FleetDatabase) -> dict[str, SiteState]:
    """Every site that is known, by id."""
    with database.reading() as connection:
        rows = connection.execute(sa.select(sites).order_by(sites.c.id)).all()
    return {
        row.id: SiteState(
            id=row.id,
            online=row.online,
            online_since_at=row.online_since_at,
            heard_at=row.heard_at,
            standing_json=row.standing,
            standing=read_standing(json.loads(row.standing)),
            modes=json.loads(row.modes),
            tripped=tuple(json.loads(row.alarms)),
            telemetry_at=row.telemetry_at,
            savings=json.loads(row.savings),
            savings_at=row.savings_at,
        )
        for row in rows
    }


def save_sites(database: FleetDatabase, states: Iterable[SiteState], known: set[str]) -> None:
    """Keep these; `known` are the ids that have a row, and it grows."""
    states = list(states)
    if not states:
        return
    with database.writing() as connection:
        for state in states:
            values = {
                "online": state.online,
                "online_since_at": state.online_since_at,
                "heard_at": state.heard_at,
                "standing": state.standing_json,
                "modes": json.dumps(state.modes),
                "alarms": json.dumps(list(state.tripped)),
                "telemetry_at": state.telemetry_at,
                "savings": json.dumps(state.savings),
                "savings_at": state.savings_at,
            }
            if state.id in known:
                connection.execute(sites.update().where(sites.c.id == state.id).values(**values))
            else:
                connection.execute(sites.insert().values(id=state.id, **values))
    known.update(state.id for state in states)
