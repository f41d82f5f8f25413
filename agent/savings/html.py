"""The report as one page to print: nothing is loaded from anywhere, and a loss looks like a saving with a minus."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from html import escape
from importlib.resources import files
from zoneinfo import ZoneInfo

import numpy as np

from agent.savings.daily import Day
from agent.savings.figure import Saving, Unsupported
from agent.savings.kpi import Figures
from agent.savings.plots import DayPoint, energy_by_day, idle_by_day, power_over_air, pressure_histogram
from agent.savings.report import Counterfactual, Regression, Report
from agent.savings.text import UNKNOWN, number

_METHODS = (
    "Energy and air are counted over minutes in which both were measured; days with less than 90 % of them are left "
    "out of savings. Time below the minimum is counted in minute means. Starts are read from the running signal. "
    "Demand at rest is the median of minutes an hour and more away from every shift: leaks and what stays on. "
    "Money is at the mean energy price paid in the period, without demand charges."
)


def page(reports: Sequence[Report]) -> str:
    """A whole HTML document."""
    css = files("agent.savings").joinpath("report.css").read_text(encoding="utf-8")
    first = reports[0]
    title = f"{first.site_name}: compressed air {_date(first, first.from_at)} to {_last(first)}"
    body = "".join(_station(report) for report in reports)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{css}</style></head><body><main>{body}"
        f"<footer>{escape(_METHODS)}</footer></main></body></html>\n"
    )


def _station(report: Report) -> str:
    station = report.station.name or report.station_id
    span = f"{_date(report, report.from_at)} to {_last(report)}"
    return (
        f'<section class="station"><header><h1>{escape(report.site_name)}</h1>'
        f"<p>Compressed air, {escape(station)} &middot; {span} &middot; {len(report.days)} days</p></header>"
        f'<div class="cards">{_counterfactual_card(report)}{_regression_card(report)}</div>'
        f"{_tiles(report)}{_energy(report)}{_scatter(report)}{_pair(report)}{_periods(report)}{_machines(report)}"
        f"{_basis(report)}</section>"
    )


def _counterfactual_card(report: Report) -> str:
    found = report.counterfactual
    if isinstance(found, Unsupported):
        return _no_card("Against the old control, simulated", found)
    about = (
        f"{escape(found.run.controller[:1].upper() + found.run.controller[1:])}, simulated on the measured demand of {len(found.days)} days. Simulation "
        f"fitted on {found.fitted.days} days; its error there {100 * found.fitted.cv_rmse:.1f} % a day."
    )
    return _card(report, f"{report.kind.capitalize()} against the old control", found.saving, about)


def _regression_card(report: Report) -> str:
    title = "Against the energy baseline (ISO 50006)"
    found = report.regression
    if isinstance(found, Unsupported):
        return _no_card(title, found)
    if isinstance(found.saving, Unsupported):
        return _no_card(title, found.saving)
    model = found.model
    about = f"kWh over air of {model.days} days: R² {model.r2:.3f}, CV(RMSE) {100 * model.cv_rmse:.1f} %." + (
        f" {len(found.extrapolated)} days lie outside its range of air." if found.extrapolated else ""
    )
    return _card(report, f"{report.kind.capitalize()} a{title[1:]}", found.saving, about)


def _card(report: Report, title: str, saving: Saving, about: str) -> str:
    low, high = saving.share_interval
    money, co2_t = report.money(saving.saved_kwh), saving.saved_kwh * report.co2_kg_per_kwh / 1000.0
    cost = "" if money is None else f" &middot; {_signed(money, '{:,.0f}')} {escape(report.currency)}"
    return (
        f'<div class="card"><h2>{escape(title)}</h2>'
        f'<div class="share">{_signed(100 * saving.share, "{:.1f}")} %</div>'
        f'<p class="interval">{100 * saving.confidence:.0f} % interval {_signed(100 * low, "{:.1f}")} to '
        f"{_signed(100 * high, '{:.1f}')} %</p>"
        f"{gauge(saving)}"
        f"<p><b>{_signed(saving.saved_kwh, '{:,.0f}')} kWh</b>{cost} &middot; {_signed(co2_t, '{:.2f}')} t CO₂</p>"
        f'<p class="muted">{about}</p></div>'
    )


def gauge(saving: Saving) -> str:
    """The interval on a line with zero on it."""
    low, high = saving.share_interval
    reach = max(abs(low), abs(high), 0.02) * 1.1
    left = -reach if low < 0.0 else -0.05 * reach
    right = reach if high > 0.0 else 0.05 * reach

    def x(share: float) -> float:
        return 6.0 + 388.0 * (share - left) / (right - left)

    return (
        '<svg class="gauge" viewBox="0 0 400 26" aria-hidden="true">'
        '<line class="axis" x1="6" y1="13" x2="394" y2="13"/>'
        f'<line class="axis" x1="{x(0.0):.1f}" y1="3" x2="{x(0.0):.1f}" y2="23"/>'
        f'<rect class="bar" fill-opacity="0.35" x="{x(low):.1f}" y="8" width="{max(x(high) - x(low), 2):.1f}" '
        f'height="10" rx="3"/><circle class="dot" cx="{x(saving.share):.1f}" cy="13" r="6"/></svg>'
    )


def _no_card(title: str, refused: Unsupported) -> str:
    return (
        f'<div class="card none"><h2>{escape(title)}</h2><p class="why">No figure: {escape(refused.why)}.</p>'
        f'<p class="muted">{escape(refused.fix[:1].upper() + refused.fix[1:])}.</p></div>'
    )


def _tiles(report: Report) -> str:
    total = report.total
    rest = total.rest
    started = [n for n in total.starts.values() if n is not None]
    days = (report.to_at - report.from_at) / timedelta(days=1)
    tiles = (
        (number(total.energy_kwh, "{:,.0f} kWh"), "energy" + _covered(total.power_coverage)),
        (number(total.air_m3, "{:,.0f} m³"), "free air" + _covered(total.air_coverage)),
        (number(total.specific_power_kw_min_m3, "{:.2f}"), "kW per m³/min"),
        (number(total.idle_share, "{:.1%}"), "of the energy running unloaded"),
        (number(total.mean_pressure_bar_g, "{:.2f} bar"), "mean at the header"),
        (number(total.below_min_min, "{:.0f} min"), f"below {report.station.pressure_min_bar_g:g} bar"),
        (
            UNKNOWN if rest is None else f"{rest.demand_m3_min:.1f} m³/min",
            "at rest, leaks included"
            + (
                ""
                if rest is None or rest.share_of_mean is None
                else f" ({rest.share_of_mean:.0%} of the mean)"
            ),
        ),
        (
            f"{sum(started) / days:.0f} a day" if len(started) == len(total.starts) else UNKNOWN,
            "starts of all machines",
        ),
    )
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><b>{escape(value)}</b><span>{escape(what)}</span></div>'
            for value, what in tiles
        )
        + "</div>"
    )


def _covered(share: float) -> str:
    return "" if share >= 0.995 else f", {share:.0%} of the time measured"


def _energy(report: Report) -> str:
    expected, deviation, what = _expected(report)
    shown = sorted({*report.days, *report.baseline_days}, key=lambda day: day.period.from_at)
    points = []
    for day in shown:
        kwh = expected.get(day.period.label)
        points.append(
            DayPoint(
                _short_date(report, day),
                day.energy_kwh if day.counts else None,
                kwh,
                None if kwh is None else kwh - deviation,
                None if kwh is None else kwh + deviation,
            )
        )
    if not any(point.measured is not None for point in points):
        return ""
    plot = energy_by_day(points, what_expected=what)
    return f"<h2>Energy per day<small>band: 95 % of single days</small></h2><figure>{plot}</figure>"


def _expected(report: Report) -> tuple[dict[str, float], float, str]:
    """(day -> expected kWh, half the band for a single day [kWh], name)."""
    found = report.counterfactual
    if isinstance(found, Counterfactual):
        kwh = {d.period.label: float(e) for d, e in zip(found.days, found.expected_kwh, strict=True)}
        spread = 1.96 * float(np.sqrt(np.mean(found.fitted.left_out_residual_kwh**2)))
        return kwh, spread, "old control, simulated" if report.kind == "saved" else "the agent, simulated"
    regression = report.regression
    if isinstance(regression, Regression) and report.kind == "saved":
        model = regression.model
        counted = [day for day in report.days if day.counts and not day.left_alone]
        expected = {day.period.label: model.expected_kwh(day) for day in counted}
        return expected, 1.96 * model.sigma_kwh, "energy baseline"
    return {}, 0.0, ""


def _scatter(report: Report) -> str:
    def dots(days: Iterable[Day]) -> list[tuple[float, float]]:
        return [(d.air_m3 / (60.0 * d.hours), d.energy_kwh / d.hours) for d in days if d.counts]

    after = dots(day for day in report.days if day not in report.baseline_days)
    before = dots(report.baseline_days)
    found = report.regression
    line = None
    if isinstance(found, Regression):
        line = (found.model.base_kwh_day / 24.0, 60.0 * found.model.slope_kwh_m3)
    if not before and not after:
        return ""
    plot = power_over_air(before, after, line, names=("baseline days", "reporting days"))
    return f"<h2>Power over air<small>one dot a day</small></h2><figure>{plot}</figure>"


def _pair(report: Report) -> str:
    parts = []
    if len(report.pressure_bar_g):
        plot = pressure_histogram(report.pressure_bar_g, report.station.pressure_min_bar_g)
        parts.append(f"<figure><h2>Header pressure</h2>{plot}</figure>")
    if any(share is not None for share in report.idle_by_day):
        labels = [_short_date(report, day) for day in report.days]
        parts.append(f"<figure><h2>Running unloaded</h2>{idle_by_day(labels, report.idle_by_day)}</figure>")
    return f'<div class="pair">{"".join(parts)}</div>' if parts else ""


def _periods(report: Report) -> str:
    head = (
        report.by.capitalize(), "kWh", "m³", "kW/(m³/min)", "idle", "bar", "below min", "at rest", "peak kW",
        report.currency, "t CO₂", "control", "covered",
    )  # fmt: skip
    rows = [_period_row(row) for row in report.rows]
    total = _period_row(report.total)
    return f"<h2>Figures by {report.by}</h2>" + _table(head, rows, ("all", *total[1:]))


def _period_row(row: Figures) -> tuple[str, ...]:
    return (
        row.period.label + ("" if row.period.whole else " (part)"),
        number(row.energy_kwh, "{:,.0f}"),
        number(row.air_m3, "{:,.0f}"),
        number(row.specific_power_kw_min_m3, "{:.2f}"),
        number(row.idle_share, "{:.1%}"),
        number(row.mean_pressure_bar_g, "{:.2f}"),
        number(row.below_min_min, "{:.0f} min"),
        number(None if row.rest is None else row.rest.demand_m3_min, "{:.1f}"),
        number(row.peak_kw, "{:.0f}"),
        number(row.cost, "{:,.0f}"),
        number(None if row.co2_kg is None else row.co2_kg / 1000.0, "{:.2f}"),
        number(row.control_share, "{:.0%}"),
        f"{min(row.power_coverage, row.air_coverage):.0%}",
    )


def _machines(report: Report) -> str:
    total, found = report.total, report.counterfactual
    fits = found.run.machines if isinstance(found, Counterfactual) else {}
    head = (
        "Machine",
        "starts",
        "hours run",
        "hours loaded",
        "nameplate kW",
        *(("measured kW",) if fits else ()),
    )
    rows = []
    for name, machine in report.station.machines.items():
        fit = fits.get(name)
        row = [
            name,
            number(total.starts[name], "{:d}"),
            number(total.hours_run[name], "{:.1f}"),
            number(total.hours_loaded[name], "{:.1f}"),
            f"{machine.full_power_kw:g} / {machine.unloaded_power_kw:g} idle",
        ]
        if fit is not None:
            full_kw = fit.scale * machine.full_power_kw + fit.offset_kw
            row.append(f"{full_kw:.1f} / {fit.unloaded_power_kw:.1f} idle" if fit.minutes else UNKNOWN)
        rows.append(tuple(row))
    return "<h2>Machines</h2>" + _table(head, rows, None)


def _basis(report: Report) -> str:
    rows: list[tuple[str, str]] = []
    found, regression = report.counterfactual, report.regression
    if report.baseline_days:
        first, last = report.baseline_days[0].period.label, report.baseline_days[-1].period.label
        rows.append(("Baseline days", f"{len(report.baseline_days)} in observe or advise, {first} to {last}"))
    if isinstance(found, Counterfactual):
        fitted, run = found.fitted, found.run
        rows.append(
            (
                "Calibration",
                f"measured = {fitted.scale:.3f} × simulated {fitted.offset_kwh_day:+,.0f} kWh a day; "
                f"{100 * fitted.bias_before:+.1f} % off before, {100 * fitted.cv_rmse:.1f} % a day after, each day "
                f"left out in turn",
            )
        )
        rows.append(
            (
                "Net",
                f"{run.volume_m3:.1f} m³ effective ({run.volume_nameplate_m3:g} by nameplate), delivered flow "
                f"{100 * run.flow_scale:.0f} % of nameplate",
            )
        )
        rows += [("Note", note) for note in run.notes]
    if isinstance(regression, Regression):
        model = regression.model
        rows.append(
            (
                "Energy baseline",
                f"{model.base_kwh_day:,.0f} kWh a day + {model.slope_kwh_m3:.4f} kWh/m³, {model.days} days; "
                f"neighbouring days correlate with {model.correlation:.2f}",
            )
        )
    if not rows:
        return ""
    items = "".join(f"<dt>{escape(a)}</dt><dd>{escape(b)}</dd>" for a, b in rows)
    return f"<h2>What the savings rest on</h2><dl>{items}</dl>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]], total: Sequence[str] | None) -> str:
    cells = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = ["<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    if total is not None:
        lines.append('<tr class="total">' + "".join(f"<td>{escape(cell)}</td>" for cell in total) + "</tr>")
    return f"<table><thead><tr>{cells}</tr></thead><tbody>{''.join(lines)}</tbody></table>"


def _signed(value: float, form: str) -> str:
    """With a real minus: a hyphen is lost on paper."""
    return form.format(value).replace("-", "−")


def _date(report: Report, at: datetime) -> str:
    return f"{at.astimezone(ZoneInfo(report.timezone)):%Y-%m-%d}"


def _last(report: Report) -> str:
    """The last day that the span holds anything of."""
    return _date(report, report.to_at - timedelta(minutes=1))


def _short_date(report: Report, day: Day) -> str:
    return f"{day.period.from_at.astimezone(ZoneInfo(report.timezone)):%d %b}"
