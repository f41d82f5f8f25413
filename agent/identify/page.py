"""The report of `trimload identify`: one HTML page with its plots inside, nothing loaded from anywhere."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Literal
from zoneinfo import ZoneInfo

from agent.config.hvac_models import HvacModels
from agent.config.site import Hvac, Site

WIDTH, HEIGHT, LEFT, TOP, BOTTOM = 860.0, 234.0, 46.0, 10.0, 36.0
STEPS_PER_DAY = 96
WANTED_K: Mapping[Literal["1h", "4h", "24h"], float] = {"1h": 0.5, "24h": 0.8}
LEAST_SHOWN = 1e-6
_MUCH = ' class="no"'
_NO_WIND = (
    " More is missed than wanted, and no wind is in the model: a hall that leaks loses more in a storm. A sensor ([hvac] wind) or "
    "a weather service that tells the wind lets it be learned."
)
STYLE = (
    "body{font:15px/1.5 system-ui;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}"
    "table{border-collapse:collapse;margin:.5rem 0}td,th{padding:.2rem .8rem;border-bottom:1px solid #ccc;"
    "text-align:right}td:first-child,th:first-child{text-align:left}svg{width:100%;height:auto}"
    ".measured{stroke:#222}.foreseen{stroke:#c2410c}polyline{fill:none;stroke-width:1.3}"
    ".grid{stroke:#ddd}text{font-size:11px;fill:#555}.no{color:#b91c1c}"
)
FIGURES = (
    ("air_kwh_per_k", "capacity of the air", "kWh/K"),
    ("mass_kwh_per_k", "capacity of the mass", "kWh/K"),
    ("mass_ua_kw_per_k", "air to mass", "kW/K"),
    ("slab_share", "share of the heating into the mass (a floor)", ""),
    ("ua_kw_per_k", "air to outdoors", "kW/K"),
    ("vent_ua_kw_per_k", "further, while occupied", "kW/K"),
    ("wind_kw_per_k_m_s", "further, per m/s of wind", "kW/K"),
    ("gain_occupied_kw", "gains while occupied", "kW"),
    ("gain_always_kw", "gains at all hours", "kW"),
    ("sun_kw_per_w_m2", "sun", "kW per W/m2"),
    ("heating_droop_k", "thermostat's droop, heating", "K"),
    ("cooling_droop_k", "thermostat's droop, cooling", "K"),
)

Courses = Mapping[str, tuple[Sequence[float], Sequence[float]]]


def page(site: Site, models: HvacModels, courses: Courses, judged_from: datetime, ends_at: datetime) -> str:
    """A whole HTML document; `courses` by zone: air measured and foreseen on the days held back, from `judged_from` on."""
    hvac = site.hvac or Hvac()
    local = judged_from.astimezone(ZoneInfo(site.site.timezone))
    title = escape(f"Zone models of {site.site.name or site.site.id}")
    parts = [f"<h1>{title}</h1><p>From the past up to {ends_at:%Y-%m-%d %H:%M} UTC.</p>"]
    for name in hvac.zones:
        parts.append(f"<h2>{escape(name)}</h2>")
        if name in models.refused:
            parts.append(f'<p class="no">No model: {escape(models.refused[name])}.</p>')
        if name in models.zones:
            parts += [_errors(models, name), _plot(*courses[name], local), _figures(models, name)]
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f"<style>{STYLE}</style></head><body>{''.join(parts)}</body></html>\n"
    )


def _errors(models: HvacModels, name: str) -> str:
    zone = models.zones[name]
    rows = "".join(
        f"<tr><td>{lead}</td><td{_MUCH if zone.rmse_k[lead] > WANTED_K.get(lead, math.inf) else ''}>"
        f"{zone.rmse_k[lead]:.2f}</td>"
        f"<td>{zone.alone_rmse_k.get(lead, math.nan):.2f}</td><td>{zone.naive_rmse_k[lead]:.2f}</td></tr>"
        for lead in zone.rmse_k
    )
    over = any(zone.rmse_k[lead] > most for lead, most in WANTED_K.items())
    wind = _NO_WIND if over and zone.model.wind_kw_per_k_m_s == 0.0 else ""
    return (
        f"<table><tr><th>ahead</th><th>RMSE [K]</th><th>of the model alone</th><th>of saying that nothing changes</th></tr>{rows}</table>"
        "<p>A day at a time with known weather and power, on days that were held back "
        f"({zone.days:.0f} days in all); from the start of each with the heat that the model did not explain until then. "
        f"Wanted: {WANTED_K['1h']} K at 1 h, {WANTED_K['24h']} K at 24 h.{wind}</p>"
    )


def _figures(models: HvacModels, name: str) -> str:
    model = models.zones[name].model
    rows = "".join(
        f"<tr><td>{what}</td><td>{_shown(getattr(model, key))}</td><td>{unit}</td></tr>"
        for key, what, unit in FIGURES
    )
    return f"<table>{rows}</table>"


def _shown(value: float) -> str:
    return "0" if abs(value) < LEAST_SHOWN else f"{value:.3g}"


def _plot(measured: Sequence[float], foreseen: Sequence[float], begins: datetime) -> str:
    known = [v for v in (*measured, *foreseen) if math.isfinite(v)]
    if not known:
        return ""
    low, high = math.floor(min(known)), math.ceil(max(known))
    high = max(high, low + 1)

    def y(value: float) -> float:
        return HEIGHT - BOTTOM - (value - low) / (high - low) * (HEIGHT - TOP - BOTTOM)

    def x(step: float) -> float:
        return LEFT + step / max(len(measured) - 1, 1) * (WIDTH - LEFT)

    marks = []
    for level in range(low, high + 1, max(1, (high - low) // 5)):
        marks.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH}" y1="{y(level):.1f}" y2="{y(level):.1f}"/>')
        marks.append(f'<text x="4" y="{y(level) + 4:.1f}">{level} &#176;C</text>')
    for day in range(len(measured) // STEPS_PER_DAY + 1):
        at = x(day * STEPS_PER_DAY)
        marks.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>')
        if day < len(measured) // STEPS_PER_DAY:
            when = begins + timedelta(days=day)
            marks.append(
                f'<text x="{at + 3:.1f}" y="{HEIGHT - BOTTOM + 12:.1f}">{when:%a %d %b %H:%M}</text>'
            )
    for kind, values in (("measured", measured), ("foreseen", foreseen)):
        points = " ".join(f"{x(k):.1f},{y(v):.1f}" for k, v in enumerate(values) if math.isfinite(v))
        marks.append(f'<polyline class="{kind}" points="{points}"/>')
    legend = f'<text x="{LEFT}" y="{HEIGHT - 4}">black: measured; orange: foreseen a day at a time</text>'
    return f'<svg viewBox="0 0 {WIDTH:.0f} {HEIGHT:.0f}" role="img">{"".join(marks)}{legend}</svg>'
