"""The report for a terminal: one table, and each saving with its interval or the reason why there is none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from zoneinfo import ZoneInfo

from agent.savings.figure import Saving, Unsupported
from agent.savings.kpi import Figures
from agent.savings.report import Counterfactual, Report

UNKNOWN = "–"
_HEAD = ("", "kWh", "m3", "kW/(m3/min)", "idle", "bar", "below min", "at rest", "starts", "covered")


def text(report: Report) -> str:
    """Some lines for a person."""
    zone = ZoneInfo(report.timezone)
    lines = [
        f"{report.site_name}, station {report.station_id}: {_day(report.from_at, zone)} to "
        f"{_day(report.to_at, zone)}",
        "",
        *_table([*report.rows, report.total]),
        "",
        *_counterfactual(report),
        *_regression(report),
    ]
    return "\n".join(lines)


def saving_text(report: Report, saving: Saving) -> str:
    """`1,234 kWh (5.6 %; 95 % interval 3.1 to 8.0 %), 185 EUR`, with the sign that it has."""
    low, high = saving.share_interval
    money = report.money(saving.saved_kwh)
    cost = "" if money is None else f", {money:,.0f} {report.currency}"
    return (
        f"{saving.saved_kwh:,.0f} kWh ({100 * saving.share:.1f} %; {100 * saving.confidence:.0f} % interval "
        f"{100 * low:.1f} to {100 * high:.1f} %){cost}"
    )


def _counterfactual(report: Report) -> list[str]:
    found = report.counterfactual
    if not isinstance(found, Counterfactual):
        return _refused("against the old control", found)
    fitted = found.fitted
    return [
        f"{report.kind}, against {found.run.controller}: {saving_text(report, found.saving)}",
        f"  simulated on the measured demand of {len(found.days)} days; fitted on {fitted.days} days: twin off by "
        f"{100 * fitted.bias_before:+.1f} % before, {100 * fitted.cv_rmse:.1f} % a day after (CV(RMSE))",
        *(f"  {note}" for note in found.run.notes),
    ]


def _regression(report: Report) -> list[str]:
    found = report.regression
    if isinstance(found, Unsupported):
        return _refused("against the energy baseline", found)
    model = found.model
    about = (
        f"  kWh = {model.base_kwh_day:,.0f} a day + {model.slope_kwh_m3:.4f} per m3; {model.days} days, "
        f"R2 {model.r2:.3f}, CV(RMSE) {100 * model.cv_rmse:.1f} %"
    )
    if isinstance(found.saving, Unsupported):
        return [*_refused("against the energy baseline", found.saving), about]
    lines = [f"{report.kind}, against the energy baseline: {saving_text(report, found.saving)}", about]
    if found.extrapolated:
        lines.append(f"  {len(found.extrapolated)} days lie outside the air that the baseline has seen")
    return lines


def _refused(what: str, refused: Unsupported) -> list[str]:
    return [f"no saving {what}: {refused.why}", f"  {refused.fix}"]


def _table(rows: Sequence[Figures]) -> list[str]:
    cells = [_HEAD, *(_cells(row) for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(_HEAD))]
    return [
        "  ".join([row[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))])
        for row in cells
    ]


def _cells(row: Figures) -> tuple[str, ...]:
    started = [count for count in row.starts.values() if count is not None]
    return (
        row.period.label,
        number(row.energy_kwh, "{:,.0f}"),
        number(row.air_m3, "{:,.0f}"),
        number(row.specific_power_kw_min_m3, "{:.2f}"),
        number(row.idle_share, "{:.1%}"),
        number(row.mean_pressure_bar_g, "{:.2f}"),
        number(row.below_min_min, "{:.0f} min"),
        number(None if row.rest is None else row.rest.demand_m3_min, "{:.1f} m3/min"),
        str(sum(started)) if len(started) == len(row.starts) else UNKNOWN,
        f"{min(row.power_coverage, row.air_coverage):.0%}",
    )


def number(value: float | None, form: str) -> str:
    """A figure, or a dash for one that is not known."""
    return UNKNOWN if value is None else form.format(value)


def _day(at: datetime, zone: ZoneInfo) -> str:
    return f"{at.astimezone(zone):%Y-%m-%d %H:%M}"
