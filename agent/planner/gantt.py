"""The plan as one self-contained HTML page: which machine runs when, flow, price, pressure."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from agent.planner.explain import clock, explain_switches
from agent.planner.problem import StationProblem
from agent.planner.result import PlanStatus, StationPlanResult

_WIDTH = 1120.0
_LEFT = 84.0
_RIGHT = 56.0
_ROW = 26.0
_PALETTE = (
    "#2f6db5",
    "#e08a2e",
    "#3f9a6b",
    "#b3495a",
    "#7a5fb0",
    "#4aa3b8",
    "#c2a33a",
    "#8a6d5a",
    "#5f7f3a",
    "#c46fa0",
)

_STYLE = """
:root { --ink:#1d2733; --soft:#66727f; --line:#dfe4ea; --paper:#ffffff; --panel:#f6f8fa;
  --demand:#101820; --bad:#c43333; }
@media (prefers-color-scheme: dark) { :root { --ink:#e6eaef; --soft:#98a4b1; --line:#313a45;
  --paper:#14191f; --panel:#1b222a; --demand:#f2f5f8; --bad:#ff7468; } }
body { font:15px/1.5 system-ui,sans-serif; color:var(--ink); background:var(--paper);
  margin:0 auto; padding:28px 24px 60px; max-width:1180px; }
h1 { font-size:22px; margin:0 0 2px; } h2 { font-size:15px; margin:28px 0 6px; }
p.lead { color:var(--soft); margin:0 0 18px; }
.facts { display:flex; flex-wrap:wrap; gap:10px; margin:0 0 8px; padding:0; list-style:none; }
.facts li { background:var(--panel); border:1px solid var(--line); border-radius:8px;
  padding:8px 14px; min-width:92px; } .facts b { display:block; font-size:18px; }
.facts span { color:var(--soft); font-size:12px; }
.bad { color:var(--bad); }
svg { display:block; width:100%; height:auto; } svg text { fill:var(--soft); font-size:11px;
  font-family:system-ui,sans-serif; } svg text.name { fill:var(--ink); font-size:12px; }
.grid { stroke:var(--line); stroke-width:1; } .rail { fill:var(--panel); }
.demand { fill:none; stroke:var(--demand); stroke-width:1.6; }
.band { fill:var(--panel); stroke:var(--line); }
ol { padding-left:22px; columns:2; column-gap:40px; font-size:13px; }
@media (max-width:760px) { ol { columns:1; } }
"""


def draw(problem: StationProblem, plan: StationPlanResult) -> str:
    """A complete HTML document; nothing is fetched from anywhere."""
    title = html.escape(f"Plan: {plan.name}")
    hours = sum(problem.step_min) / 60.0
    reasons = "".join(f"<li>{html.escape(reason.text)}</li>" for reason in explain_switches(problem, plan))
    notes = "".join(f'<p class="bad">{html.escape(text)}</p>' for text in plan.reasons)
    sections = (
        ("Which machine runs when", _machines(problem, plan), "darker is closer to full load"),
        (
            "Flow against demand",
            _flows(problem, plan),
            "m3/min; stacked: machines, line: demand, dashed: demand and reserve",
        ),
        (
            "Price of energy and of air",
            _prices(problem, plan),
            "EUR/kWh left, EUR per m3 right (dashed)",
        ),
        ("Pressure", _pressure(problem, plan), "bar at the end of each step, band shaded"),
    )
    body = "".join(
        f'<h2>{name} <span style="color:var(--soft);font-weight:400">({hint})</span></h2>{picture}'
        for name, picture, hint in sections
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{_STYLE}</style></head><body>"
        f'<h1>{title}</h1><p class="lead">{hours:g} h from {clock(problem, 0)}, '
        f"{len(problem.machines)} machines, {problem.steps} steps</p>"
        f"{_facts(plan)}{notes}{body}"
        f"<h2>Why machines start and stop</h2><ol>{reasons or '<li>Nothing switches.</li>'}</ol>"
        "</body></html>\n"
    )


def _facts(plan: StationPlanResult) -> str:
    bad = ' class="bad"' if plan.status is PlanStatus.BEST_EFFORT else ""
    facts = [
        (f"<b{bad}>{html.escape(str(plan.status).replace('_', ' '))}</b>", "status"),
        (f"<b>{plan.total_eur:.2f} EUR</b>", "total cost"),
        (f"<b>{plan.cost.energy_eur + plan.cost.co2_eur:.2f} EUR</b>", "energy and CO2"),
        (f"<b>{len(plan.start_orders)}</b>", "starts"),
    ]
    if plan.peak_kw is not None:
        facts.append((f"<b>{plan.peak_kw:.0f} kW</b>", "billing peak"))
    if plan.cost.unserved_eur > 0.005:
        facts.append((f'<b class="bad">{len(plan.shortages)}</b>', "steps short of air"))
    items = "".join(f"<li>{value}<span>{name}</span></li>" for value, name in facts)
    return f'<ul class="facts">{items}</ul>'


class _Axis:
    """Maps minutes to x; state: the plan's horizon."""

    def __init__(self, problem: StationProblem) -> None:
        edges = [0.0]
        for minutes in problem.step_min:
            edges.append(edges[-1] + minutes)
        self.problem = problem
        self._scale = (_WIDTH - _LEFT - _RIGHT) / edges[-1]
        self.x = [_LEFT + edge * self._scale for edge in edges]
        self.total_min = edges[-1]

    def hours(self, height: float) -> str:
        """Vertical lines with the time of day, a dozen or so."""
        candidates = (5, 10, 15, 30, 60, 120, 180, 360, 720, 1440, 2880)
        every = next((m for m in candidates if self.total_min / m <= 13), candidates[-1])
        first = math.ceil(self.problem.start_minute_of_day / every) * every
        parts: list[str] = []
        minute = first - self.problem.start_minute_of_day
        while minute <= self.total_min + 1e-9:
            x = _LEFT + minute * self._scale
            day = (self.problem.start_minute_of_day + minute) % 1440
            parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height:.0f}"/>')
            parts.append(
                f'<text x="{x:.1f}" y="{height + 14:.0f}" text-anchor="middle">'
                f"{int(day // 60):02d}:{int(day % 60):02d}</text>"
            )
            minute += every
        return "".join(parts)


def _svg(height: float, body: str, label: str) -> str:
    return (
        f'<svg viewBox="0 0 {_WIDTH:.0f} {height + 20:.0f}" role="img" '
        f'aria-label="{html.escape(label)}">{body}</svg>'
    )


def _color(index: int) -> str:
    return _PALETTE[index % len(_PALETTE)]


def _machines(problem: StationProblem, plan: StationPlanResult) -> str:
    axis = _Axis(problem)
    height = _ROW * max(len(problem.machines), 1)
    parts = [axis.hours(height)]
    for index, machine in enumerate(problem.machines):
        key, top = machine.machine_id, index * _ROW
        parts.append(
            f'<text class="name" x="{_LEFT - 8:.0f}" y="{top + 17:.0f}" text-anchor="end">'
            f"{html.escape(key)}</text>"
            f'<rect class="rail" x="{_LEFT:.0f}" y="{top + 4:.0f}" '
            f'width="{_WIDTH - _LEFT - _RIGHT:.0f}" height="{_ROW - 8:.0f}"/>'
        )
        for first, end, level in _blocks(plan.on[key], plan.flow_m3_min[key]):
            load = level / machine.flow_full_m3_min if machine.flow_full_m3_min > 0 else 0.0
            parts.append(
                f'<rect x="{axis.x[first]:.2f}" y="{top + 4:.0f}" '
                f'width="{axis.x[end] - axis.x[first]:.2f}" height="{_ROW - 8:.0f}" '
                f'fill="{_color(index)}" fill-opacity="{0.25 + 0.75 * min(load, 1.0):.2f}">'
                f"<title>{html.escape(key)} {clock(problem, first)}: {level:.2f} m3/min "
                f"({100 * load:.0f} %)</title></rect>"
            )
    return _svg(height, "".join(parts), "machines over time")


def _blocks(on: Sequence[bool], flow: Sequence[float]) -> list[tuple[int, int, float]]:
    """Stretches of running at one flow: first step, step after, flow."""
    blocks: list[tuple[int, int, float]] = []
    for step, running in enumerate(on):
        if not running:
            continue
        if blocks and blocks[-1][1] == step and abs(blocks[-1][2] - flow[step]) < 1e-3:
            blocks[-1] = (blocks[-1][0], step + 1, flow[step])
        else:
            blocks.append((step, step + 1, flow[step]))
    return blocks


def _scale(top: float, height: float, bottom: float = 0.0) -> tuple[float, float]:
    """Factor and offset of y for values bottom .. top drawn upwards."""
    span = top - bottom if top > bottom else 1.0
    return -height / span, height + height * bottom / span


def _stairs(axis: _Axis, values: Sequence[float], scale: tuple[float, float]) -> str:
    points: list[str] = []
    for step, value in enumerate(values):
        y = scale[0] * value + scale[1]
        points += [f"{axis.x[step]:.2f},{y:.2f}", f"{axis.x[step + 1]:.2f},{y:.2f}"]
    return " ".join(points)


def _ticks(low: float, high: float, scale: tuple[float, float], digits: int, *, right: bool) -> str:
    parts: list[str] = []
    for share in (0.0, 0.5, 1.0):
        value = low + share * (high - low)
        y = scale[0] * value + scale[1]
        x, anchor = (_WIDTH - _RIGHT + 6, "start") if right else (_LEFT - 8, "end")
        parts.append(f'<text x="{x:.0f}" y="{y + 4:.1f}" text-anchor="{anchor}">{value:.{digits}f}</text>')
    return "".join(parts)


def _flows(problem: StationProblem, plan: StationPlanResult) -> str:
    axis, height = _Axis(problem), 230.0
    wanted = [d + r for d, r in zip(problem.demand_m3_min, problem.reserve_m3_min, strict=True)]
    total = [0.0] * problem.steps
    layers: list[tuple[int, list[float], list[float]]] = []
    for index, key in enumerate(problem.machine_ids):
        lower = list(total)
        total = [a + b for a, b in zip(total, plan.flow_m3_min[key], strict=True)]
        layers.append((index, lower, list(total)))
    top = max([*total, *wanted, 1e-6]) * 1.05
    scale = _scale(top, height)
    parts = [axis.hours(height), _ticks(0.0, top, scale, 0, right=False)]
    for index, lower, upper in layers:
        outline = _stairs(axis, upper, scale).split() + _stairs(axis, lower, scale).split()[::-1]
        name = html.escape(problem.machines[index].machine_id)
        parts.append(
            f'<polygon points="{" ".join(outline)}" fill="{_color(index)}" fill-opacity="0.75">'
            f"<title>{name}</title></polygon>"
        )
    parts.append(
        f'<polyline class="demand" stroke-dasharray="4 3" stroke-opacity="0.6" '
        f'points="{_stairs(axis, wanted, scale)}"/>'
        f'<polyline class="demand" points="{_stairs(axis, problem.demand_m3_min, scale)}"/>'
    )
    return _svg(height, "".join(parts), "flow of the machines stacked against demand")


def _prices(problem: StationProblem, plan: StationPlanResult) -> str:
    axis, height = _Axis(problem), 120.0
    energy = problem.energy_price_eur_kwh
    air = plan.price_eur_m3
    low = min(0.0, *energy)
    scale = _scale(max(*energy, 1e-6, low), height, low) if energy else _scale(1.0, height)
    # One scarce step must not flatten the rest of the day: the scale ends at the 97th percentile.
    usual = sorted(air)[int(0.97 * (len(air) - 1))]
    high = max(usual * 1.2, 1e-6)
    air_scale = _scale(high, height)
    shown = [min(max(value, 0.0), high) for value in air]
    body = (
        axis.hours(height)
        + _ticks(low, max(*energy, 1e-6, low), scale, 2, right=False)
        + _ticks(0.0, high, air_scale, 3, right=True)
        + f'<polyline fill="none" stroke="{_PALETTE[0]}" stroke-width="1.8" '
        f'points="{_stairs(axis, energy, scale)}"/>'
        + f'<polyline fill="none" stroke="{_PALETTE[1]}" stroke-width="1.5" '
        f'stroke-dasharray="5 3" points="{_stairs(axis, shown, air_scale)}"/>'
    )
    return _svg(height, body, "price of energy and marginal price of air")


def _pressure(problem: StationProblem, plan: StationPlanResult) -> str:
    axis, height = _Axis(problem), 130.0
    receiver = problem.receiver
    values = [receiver.pressure_init_bar, *plan.pressure_bar]
    low = min(receiver.pressure_min_bar, *values)
    high = max(receiver.pressure_max_bar, *values)
    margin = max(0.06 * (high - low), 1e-3)
    low, high = low - margin, high + margin
    scale = _scale(high, height, low)
    top = scale[0] * receiver.pressure_max_bar + scale[1]
    bottom = scale[0] * receiver.pressure_min_bar + scale[1]
    line = " ".join(
        f"{x:.2f},{scale[0] * value + scale[1]:.2f}" for x, value in zip(axis.x, values, strict=True)
    )
    body = (
        f'<rect class="band" x="{_LEFT:.0f}" y="{top:.1f}" '
        f'width="{_WIDTH - _LEFT - _RIGHT:.0f}" height="{max(bottom - top, 0.5):.1f}"/>'
        + axis.hours(height)
        + _ticks(receiver.pressure_min_bar, receiver.pressure_max_bar, scale, 2, right=False)
        + f'<polyline fill="none" stroke="{_PALETTE[2]}" stroke-width="1.8" points="{line}"/>'
    )
    return _svg(height, body, "receiver pressure within its band")
