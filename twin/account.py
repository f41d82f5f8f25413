"""The table at the end: every controller on the same demand, good and bad figures alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.table import Table

ROWS = (
    ("energy kWh", "energy_corrected_kwh", "{:,.0f}"),
    ("cost {currency}", "cost", "{:,.2f}"),
    ("kW/(m3/min)", "specific_power_kw_min_m3", "{:.2f}"),
    ("air m3", "air_delivered_m3", "{:,.0f}"),
    ("short m3", "air_short_m3", "{:.1f}"),
    ("below min", "time_below_min_share", "{:.3%}"),
    ("worst dip", "worst_dip_bar", "{:.2f}"),
    ("mean bar", "mean_pressure_bar_g", "{:.2f}"),
    ("idle", "idle_energy_share", "{:.1%}"),
    ("max starts/h", "max_starts_per_hour", "{:d}"),
)


def account_table(runs: Mapping[str, Mapping[str, Any]], *, title: str, currency: str) -> Table:
    """One column per controller, so that it fits a narrow terminal; last the agent's saving against each."""
    table = Table(
        title=title,
        title_justify="left",
        header_style="bold",
        box=SIMPLE_HEAD,
        collapse_padding=True,
        pad_edge=False,
    )
    table.add_column("", no_wrap=True)
    for name in runs:
        table.add_column(name.replace(":", "\n"), justify="right", no_wrap=True)
    for label, key, form in ROWS:
        table.add_row(label.format(currency=currency), *(_cell(run.get(key), form) for run in runs.values()))
    table.add_row("starts", *(str(sum(run.get("starts", {}).values())) for run in runs.values()))
    agent = next((run for name, run in runs.items() if name.startswith("agent")), None)
    if agent is not None and len(runs) > 1:
        savings = ("" if run is agent else saving_text(agent, run) for run in runs.values())
        table.add_row("agent saves", *savings, style="bold")
    return table


def saving_text(agent: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Saving in energy, end pressure corrected; a loss shows its sign."""
    share = 1.0 - float(agent["energy_corrected_kwh"]) / float(other["energy_corrected_kwh"])
    return f"{share:+.1%}"


def service_warnings(runs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Where the comparison is not on equal service: said beside the table, never left out."""
    out = []
    for name, run in runs.items():
        below, dip = float(run["time_below_min_share"]), float(run["worst_dip_bar"])
        short = float(run["air_short_m3"]) / max(float(run["air_delivered_m3"]), 1e-9)
        if below > 0.001 or dip > 0.2 or short > 0.0005:
            out.append(
                f"{name}: service limit broken ({below:.2%} of the time below minimum, worst dip {dip:.2f} bar, "
                f"{short:.3%} of the air short)"
            )
    return out


def _cell(value: Any, form: str) -> str:
    return "" if value is None else form.format(value)
