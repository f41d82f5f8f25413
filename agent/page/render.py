"""The page as HTML: one document, no script, nothing loaded but its style sheet."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from html import escape
from zoneinfo import ZoneInfo

from agent.errors import TrimloadError
from agent.page import draw
from agent.page.gather import AirNow, HvacNow, MachineNow, ModeNow, SiteNow, ZoneNow, latest

REFRESH_S = 20
UNKNOWN = "unknown"
_MODES = {
    "observe": "watches, writes nothing",
    "advise": "says what it would order, writes nothing",
    "control": "is in charge",
    "fallback": "has let go: the units' own controllers work",
}


def page(seen: SiteNow, refresh_s: int = REFRESH_S) -> str:
    """The whole document; a browser asks for it again after `refresh_s`."""
    zone = ZoneInfo(seen.site.site.timezone)
    name = seen.site.site.name or seen.site.site.id
    parts = [_head(seen, name, zone)]
    parts += [_air(air, seen.now, zone) for air in seen.air]
    if seen.hvac is not None:
        parts.append(_hvac(seen.hvac, seen.now, zone))
    parts.append(_rows(seen, zone))
    return _document(name, "".join(parts), refresh_s)


def trouble(error: TrimloadError) -> str:
    """The document when there is nothing to show, with the reason and what to do."""
    return _document(
        "Trimload",
        f'<header><h1>Nothing to show</h1></header><p class="bad">{escape(str(error))}</p>',
        REFRESH_S,
    )


def _document(title: str, body: str, refresh_s: int) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta http-equiv="refresh" content="{refresh_s}"><title>{escape(title)}</title>'
        f'<link rel="stylesheet" href="/page.css"></head><body><main>{body}'
        "<footer>Minute means from the agent's own store. This page can change nothing; "
        "<a href=/status.json>the same as JSON</a>.</footer></main></body></html>\n"
    )


def _head(seen: SiteNow, name: str, zone: ZoneInfo) -> str:
    if seen.seen_at is None:
        news = '<p class="bad">The agent has not written anything yet.</p>'
    elif not seen.is_fresh:
        news = (
            f'<p class="bad">Nothing was written since {_clock(seen.seen_at, zone)}: the agent stands, or its disk is full. '
            "Nothing below is present.</p>"
        )
    else:
        news = f'<p class="muted">written until {_clock(seen.seen_at, zone)}, shown at {_clock(seen.now, zone)}</p>'
    return f"<header><h1>{escape(name)}</h1>{news}</header>"


def _air(air: AirNow, now: datetime, zone: ZoneInfo) -> str:
    name = air.station.name or air.station_id
    alarm = f'<p class="bad">{escape(air.alarm)}</p>' if air.alarm else ""
    tiles = _tiles(
        [
            (
                _value(air.pressure_bar_g, "{:.2f} bar"),
                f"at the header, at least {air.station.pressure_min_bar_g:g}",
            ),
            (_value(air.demand_m3_min, "{:.1f} m3/min"), "free air taken"),
            (_value(air.power_kw, "{:.0f} kW"), "all machines"),
            (_specific(air), "kW for each m3/min"),
        ]
    )
    return (
        f"<section><h2>Compressed air, {escape(name)}</h2>{_mode(air.mode, zone)}{alarm}{tiles}"
        f"{draw.machines(air, now, zone)}{_machines(air.machines)}"
        f"{draw.pressure(air, now, zone)}{draw.demand(air, now, zone)}{_plan(air, zone)}</section>"
    )


def _specific(air: AirNow) -> str:
    if air.power_kw is None or not air.demand_m3_min or air.demand_m3_min < 0.1:
        return UNKNOWN
    return f"{air.power_kw / air.demand_m3_min:.2f}"


def _mode(mode: ModeNow, zone: ZoneInfo) -> str:
    if mode.mode is None:
        return '<p class="mode bad">mode unknown</p>'
    since = "" if mode.since is None else f", since {_clock(mode.since, zone)}"
    why = f": {mode.why}" if mode.why else ""
    return (
        f'<p class="mode {mode.mode}"><b>{mode.mode}</b> {escape(_MODES[mode.mode])}'
        f'<span class="muted">{escape(since + why)}</span></p>'
    )


def _machines(machines: Iterable[MachineNow]) -> str:
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td><td class={one.state}>{one.state}</td>"
        f"<td>{_value(one.power_kw, '{:.0f}')}</td><td>{_value(one.output_share, '{:.0%}')}</td>"
        f'<td>{one.hours_loaded:.1f}</td><td>{one.starts}</td><td class="words">{escape(one.held)}</td></tr>'
        for one in machines
    )
    return (
        "<table><thead><tr><th>machine</th><th>now</th><th>kW</th><th>output</th><th>h loaded, 24 h</th>"
        f"<th>starts, 24 h</th><th></th></tr></thead><tbody>{rows}</tbody></table>"
    )


def _plan(air: AirNow, zone: ZoneInfo) -> str:
    if air.plan is None:
        return '<p class="muted">No plan yet: the band works by itself.</p>'
    plan = air.plan
    error = "" if air.forecast_error is None else f", error {air.forecast_error:.2f} x the best naive rule"
    forecast = f"<dt>forecast</dt><dd>{escape(air.forecast + error)}</dd>" if air.forecast else ""
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in plan.reasons)
    return (
        f"<dl><dt>plan</dt><dd>{escape(plan.plan_id)}, {escape(plan.status)}, made {_clock(plan.made_at, zone)}: "
        f"{escape(plan.cause)}</dd>{forecast}</dl>" + (f"<ul>{reasons}</ul>" if reasons else "")
    )


def _hvac(hvac: HvacNow, now: datetime, zone: ZoneInfo) -> str:
    age = "" if hvac.weather_age_h is None else f", issued {hvac.weather_age_h:.1f} h ago"
    weather = escape(hvac.weather + age)
    lost = "" if hvac.weather == "provider" else ' class="look"'
    reasons = "".join(f"<li>{escape(reason)}</li>" for reason in hvac.reasons)
    zones = "".join(_zone(one, now, zone) for one in hvac.zones)
    return (
        f"<section><h2>Heating and cooling</h2>{_mode(hvac.mode, zone)}"
        f"<dl><dt>outdoors</dt><dd>{_value(hvac.outdoor_degc, '{:.1f} °C')}</dd>"
        f"<dt>weather by</dt><dd{lost}>{weather}</dd><dt>plan</dt><dd>{escape(hvac.plan) or 'none yet'}</dd></dl>"
        + (f"<ul>{reasons}</ul>" if reasons else "")
        + f'<div class="pair">{zones}</div></section>'
    )


def _zone(one: ZoneNow, now: datetime, zone: ZoneInfo) -> str:
    temp = _value(latest(one.temp_degc), "{:.1f} °C")
    unit = {True: "on", False: "off", None: UNKNOWN}[one.enabled]
    low, high = one.zone.comfort_low_degc, one.zone.comfort_high_degc
    return (
        f"<figure><h3>{escape(one.zone_id)} <small>{temp}; with people {low:g} to {high:g} °C; "
        f"unit {escape(one.zone.unit)} {unit}</small></h3>{draw.temperature(one, now, zone)}</figure>"
    )


def _rows(seen: SiteNow, zone: ZoneInfo) -> str:
    rows = "".join(
        f"<tr class={told.weight}><td>{_clock(at, zone)}</td><td>{escape(told.subject)}</td>"
        f'<td class="words">{escape(told.words)}</td></tr>'
        for at, told in seen.rows
    )
    return (
        "<section><h2>What was done, and why <small>newest first; small moves of a speed control left out</small></h2>"
        f'<table class="told"><tbody>{rows}</tbody></table></section>'
    )


def _tiles(tiles: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f'<div class="tile"><b>{escape(a)}</b><span>{escape(b)}</span></div>' for a, b in tiles)
    return f'<div class="tiles">{cells}</div>'


def _value(value: float | None, how: str) -> str:
    return UNKNOWN if value is None else how.format(value)


def _clock(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%d %b %H:%M:%S}"
