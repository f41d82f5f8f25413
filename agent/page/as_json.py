"""The page for machines: `trimload-page/1`. Unknown is null."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from agent.page.gather import AirNow, DayPlan, HvacNow, ModeNow, SiteNow, latest

FORMAT = "trimload-page/1"


def as_dict(seen: SiteNow) -> dict[str, Any]:
    """Everything on the page but its plots."""
    return {
        "format": FORMAT,
        "site": seen.site.site.id,
        "at": _stamp(seen.now),
        "written_until": None if seen.seen_at is None else _stamp(seen.seen_at),
        "fresh": seen.is_fresh,
        "stations": {air.station_id: _air(air) for air in seen.air},
        "hvac": None if seen.hvac is None else _hvac(seen.hvac),
        "rows": [
            {"at": _stamp(at), "subject": told.subject, "words": told.words, "weight": told.weight}
            for at, told in seen.rows
        ],
    }


def _air(air: AirNow) -> dict[str, Any]:
    return {
        "mode": _mode(air.mode),
        "alarm": air.alarm or None,
        "pressure_bar_g": air.pressure_bar_g,
        "demand_m3_min": air.demand_m3_min,
        "power_kw": air.power_kw,
        "machines": {
            one.name: {
                "state": one.state,
                "power_kw": one.power_kw,
                "output_share": one.output_share,
                "hours_loaded_24h": round(one.hours_loaded, 2),
                "starts_24h": one.starts,
                "held": one.held or None,
            }
            for one in air.machines
        },
        "plan": None if air.plan is None else _plan(air.plan),
        "forecast": {"by": air.forecast or None, "ratio_to_naive": air.forecast_error},
    }


def _plan(plan: DayPlan) -> dict[str, Any]:
    return {
        "plan": plan.plan_id,
        "made_at": _stamp(plan.made_at),
        "status": plan.status,
        "cause": plan.cause,
        "reasons": list(plan.reasons),
        "running": [[_stamp(at), sorted(names)] for at, names in plan.running],
    }


def _hvac(hvac: HvacNow) -> dict[str, Any]:
    return {
        "mode": _mode(hvac.mode),
        "outdoor_degc": hvac.outdoor_degc,
        "weather": {"by": hvac.weather, "age_h": hvac.weather_age_h},
        "plan": hvac.plan or None,
        "reasons": list(hvac.reasons),
        "zones": {
            one.zone_id: {
                "temp_degc": latest(one.temp_degc),
                "heating_degc": latest(one.heating_degc),
                "cooling_degc": latest(one.cooling_degc),
                "unit": one.zone.unit,
                "enabled": one.enabled,
            }
            for one in hvac.zones
        },
    }


def _mode(mode: ModeNow) -> dict[str, Any]:
    since = None if mode.since is None else _stamp(mode.since)
    return {"mode": mode.mode, "since": since, "why": mode.why or None}


def _stamp(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
