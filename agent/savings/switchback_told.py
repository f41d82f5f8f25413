"""A switchback test for people and machines: lines, JSON, and one page to print."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from agent.planner.switchback import Day
from agent.savings.figure import Saving, Unsupported
from agent.savings.html import gauge
from agent.savings.switchback import Switchback, SwitchDay
from agent.savings.switchback_measured import Left

_OWNER = {"agent": "agent", "site": "own control"}
_METHODS = (
    "Days run from the coming of people to their next coming. The first day of each block is left out. Saving: least "
    "squares over days of work and rest, degrees below and above two change points, and sun, times one factor for the "
    "agent's days. Interval: bootstrap over whole blocks with Student's t. Cost is the same regression on the day's "
    "kWh at their prices, without demand charges."
)
_WIDTH, _HEIGHT = 640.0, 300.0


def plan_text(test: Sequence[Day], timezone: str) -> str:
    """One line a block."""
    zone = ZoneInfo(timezone)
    firsts = [day for day in test if day.first]
    lines = [f"{len(firsts)} blocks, {len(test)} days; days begin when people come"]
    for day in firsts:
        last = [d for d in test if d.block == day.block][-1]
        lines.append(
            f"  {day.from_at.astimezone(zone):%a %Y-%m-%d %H:%M} to {last.to_at.astimezone(zone):%a %Y-%m-%d %H:%M}  "
            f"{_OWNER[day.arm]}"
        )
    return "\n".join(lines)


def plan_dict(test: Sequence[Day]) -> dict[str, Any]:
    """The test's days for machines."""
    return {
        "days": [
            {
                "date": day.on.isoformat(),
                "from": day.from_at.isoformat(),
                "to": day.to_at.isoformat(),
                "control": day.arm,
                "block": day.block,
                "counts": not day.first,
            }
            for day in test
        ]
    }


def result_text(name: str, found: Switchback | Unsupported, left: Sequence[Left], currency: str) -> str:
    """Some lines for a person; a figure never without its interval."""
    lines = [f"{name}: heating and cooling, the agent against the site's own control"]
    if isinstance(found, Unsupported):
        return "\n".join([*lines, f"no figure: {found.why}", f"  {found.fix}", *_left_lines(left)])
    less = found.discomfort
    return "\n".join(
        [
            *lines,
            f"energy: {saving_text(found.energy, 'kWh')}",
            f"cost:   {saving_text(found.cost, currency)}",
            f"out of comfort: {less.agent_kh:.2f} K h a day against {less.site_kh:.2f}; {less.less_kh:.2f} less "
            f"(90 % interval {less.low_kh:.2f} to {less.high_kh:.2f})",
            f"  {found.blocks['agent']} blocks of the agent, {found.blocks['site']} of the own control, "
            f"{len(found.days)} days counted; the regression is off by {100 * found.cv_rmse:.0f} % a day (CV(RMSE))",
            *_left_lines(left),
        ]
    )


def saving_text(saving: Saving, unit: str) -> str:
    """`412 kWh saved (5.6 %; 90 % interval -1.1 to 12.3 %)`."""
    low, high = saving.share_interval
    return (
        f"{saving.saved_kwh:,.0f} {unit} saved on the agent's days ({100 * saving.share:.1f} %; "
        f"{100 * saving.confidence:.0f} % interval {100 * low:.1f} to {100 * high:.1f} %)"
    )


def result_dict(found: Switchback | Unsupported, left: Sequence[Left]) -> dict[str, Any]:
    """The same for machines; `refused` in place of figures that the data do not support."""
    not_counted = [{"date": one.day.on.isoformat(), "why": one.why} for one in left]
    if isinstance(found, Unsupported):
        return {"refused": {"why": found.why, "fix": found.fix}, "left_out": not_counted}
    return {
        "energy": _saving_dict(found.energy, "kwh"),
        "cost": _saving_dict(found.cost, "money"),
        "discomfort_kh_a_day": found.discomfort._asdict(),
        "blocks": dict(found.blocks),
        "cv_rmse": found.cv_rmse,
        "heating_below_degc": found.heating_below_degc,
        "cooling_above_degc": found.cooling_above_degc,
        "days": [
            {
                "date": day.day.on.isoformat(),
                "control": day.day.arm,
                "energy_kwh": day.energy_kwh,
                "expected_kwh": float(expected),
                "outdoor_degc": day.outdoor_degc,
                "discomfort_kh": day.discomfort_kh,
            }
            for day, expected in zip(found.days, found.expected_kwh, strict=True)
        ],
        "left_out": not_counted,
    }


def page(name: str, found: Switchback | Unsupported, left: Sequence[Left], currency: str) -> str:
    """A whole HTML document that loads nothing from anywhere."""
    css = files("agent.savings").joinpath("report.css").read_text(encoding="utf-8")
    title = f"{name}: heating and cooling, switchback test"
    if isinstance(found, Unsupported):
        body = (
            f'<div class="cards"><div class="card none"><h2>Saved by the agent</h2><p class="why">No figure: '
            f'{escape(found.why)}.</p><p class="muted">{escape(found.fix)}.</p></div></div>'
        )
    else:
        body = (
            f'<div class="cards">{_card("Energy saved by the agent", found.energy, "kWh")}'
            f"{_card('Cost saved by the agent', found.cost, currency)}</div>{_tiles(found)}"
            f"<h2>Energy over outdoor temperature<small>one dot a day</small></h2><figure>{_scatter(found.days)}</figure>"
        )
    rows = "".join(f"<dt>{one.day.on}</dt><dd>{escape(one.why)}</dd>" for one in left)
    rest = f"<h2>Days left out</h2><dl>{rows}</dl>" if rows else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{escape(title)}</title><style>{css}</style></head><body><main><header><h1>{escape(name)}</h1>"
        f"<p>Heating and cooling: days under the agent and under the site's own control, by turns</p></header>"
        f"{body}{rest}<footer>{escape(_METHODS)}</footer></main></body></html>\n"
    )


def _card(title: str, saving: Saving, unit: str) -> str:
    low, high = saving.share_interval
    return (
        f'<div class="card"><h2>{escape(title)}</h2><div class="share">{100 * saving.share:.1f} %</div>'
        f'<p class="interval">{100 * saving.confidence:.0f} % interval {100 * low:.1f} to {100 * high:.1f} %</p>'
        f"{gauge(saving)}<p><b>{saving.saved_kwh:,.0f} {escape(unit)}</b> on the agent's days</p></div>"
    )


def _tiles(found: Switchback) -> str:
    less = found.discomfort
    tiles = (
        (f"{less.agent_kh:.2f}", "K h a day out of comfort, agent"),
        (f"{less.site_kh:.2f}", "K h a day out of comfort, own control"),
        (f"{less.low_kh:.2f} to {less.high_kh:.2f}", "K h a day less, 90 % interval"),
        (
            f"{found.blocks['agent']} + {found.blocks['site']}",
            f"blocks, {len(found.days)} days; CV(RMSE) {found.cv_rmse:.0%}",
        ),
    )
    cells = "".join(
        f'<div class="tile"><b>{escape(v)}</b><span>{escape(what)}</span></div>' for v, what in tiles
    )
    return f'<div class="tiles">{cells}</div>'


def _scatter(days: Sequence[SwitchDay]) -> str:
    cold, warm = min(d.outdoor_degc for d in days), max(d.outdoor_degc for d in days)
    most = max(d.energy_kwh for d in days) * 1.05 or 1.0

    def x(degc: float) -> float:
        return 56.0 + (_WIDTH - 70.0) * (degc - cold) / max(warm - cold, 1e-9)

    def y(kwh: float) -> float:
        return _HEIGHT - 34.0 - (_HEIGHT - 50.0) * kwh / most

    marks = "".join(
        f'<circle class="dot{"" if d.day.arm == "agent" else " before"}" cx="{x(d.outdoor_degc):.1f}" '
        f'cy="{y(d.energy_kwh):.1f}" r="4"><title>{d.day.on}: {d.energy_kwh:.0f} kWh at {d.outdoor_degc:.1f} degC, '
        f"{_OWNER[d.day.arm]}</title></circle>"
        for d in days
    )
    scale = "".join(
        f'<line class="grid" x1="56" x2="{_WIDTH - 14:.0f}" y1="{y(share * most):.1f}" y2="{y(share * most):.1f}"/>'
        f'<text class="end" x="50" y="{y(share * most) + 4:.1f}">{share * most:,.0f}</text>'
        for share in (0.0, 0.25, 0.5, 0.75, 1.0)
    )
    ends = "".join(
        f'<text class="middle" x="{x(t):.1f}" y="{_HEIGHT - 14:.0f}">{t:.0f}</text>'
        for t in (cold, 0.5 * (cold + warm), warm)
    )
    legend = (
        f'<circle class="dot" cx="70" cy="10" r="4"/><text class="label" x="80" y="14">agent</text>'
        f'<circle class="dot before" cx="140" cy="10" r="4"/><text class="label" x="150" y="14">own control</text>'
        f'<text class="end" x="{_WIDTH - 14:.0f}" y="14">kWh a day over degC outdoors</text>'
    )
    return f'<svg viewBox="0 0 {_WIDTH:.0f} {_HEIGHT:.0f}">{scale}{ends}{marks}{legend}</svg>'


def _saving_dict(saving: Saving, unit: str) -> dict[str, float]:
    return {
        f"saved_{unit}": saving.saved_kwh,
        f"low_{unit}": saving.low_kwh,
        f"high_{unit}": saving.high_kwh,
        f"baseline_{unit}": saving.baseline_kwh,
        f"actual_{unit}": saving.actual_kwh,
        "share": saving.share,
        "confidence": saving.confidence,
    }


def _left_lines(left: Sequence[Left]) -> list[str]:
    return [f"  left out: {one.day.on}, {one.why}" for one in left]
