"""What a forecast is worth: the same demand with naive rule, model and perfect knowledge, and the past that all look back at."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np

from agent.config.site import Site
from agent.daemon.outlook import STEP_S
from agent.errors import DataError
from agent.inference.series import Series
from twin.demand import DemandSeries
from twin.metered import DemandReport, metered_demand

PAST_DAYS = 60
# Rows of the account beside "agent", which has the model's forecast.
NAIVE, PERFECT = "foresight:naive", "foresight:perfect"


def past_of(
    path: Path,
    demand: DemandSeries,
    report: DemandReport,
    site: Site,
    station_id: str,
    time_column: str | None,
) -> Series | None:
    """Quarter hours of the same file before the comparison begins, scaled alike; None where it has none.

    Without them a model has nothing to look back at: an agent on site has weeks in its store.
    """
    try:
        before, told = metered_demand(
            path,
            column=report.column,
            unit=report.unit,
            station=site.stations[station_id],
            timezone=site.site.timezone,
            time_column=time_column,
            from_at=demand.start_at - timedelta(days=PAST_DAYS),
            to_at=demand.start_at,
        )
    except DataError:
        return None
    scaled = before.scaled(report.scale / told.scale)
    return quarter_hours(DemandSeries(scaled.start_at, scaled.step_s, scaled.values))


def quarter_hours(demand: DemandSeries) -> Series | None:
    """Means of the whole quarter hours, None where there is none."""
    per_step = round(STEP_S / demand.step_s)
    lead_s = -demand.start_at.timestamp() % STEP_S
    first = round(lead_s / demand.step_s)
    count = (len(demand.values) - first) // per_step
    if count < 1:
        return None
    values = np.array(demand.values[first : first + count * per_step]).reshape(count, per_step).mean(axis=1)
    return Series(demand.start_at + timedelta(seconds=lead_s), STEP_S, values)


def save_demand(path: Path, demand: DemandSeries, target: str) -> None:
    """The quarter hours as a table that `trimload-train fit --target TARGET` reads. Raises DataError."""
    series = quarter_hours(demand)
    if series is None:
        raise DataError("less than a quarter hour of demand", where="--save-demand", fix="give a longer span")
    try:
        with path.open("w", encoding="utf-8", newline="") as out:
            rows = csv.writer(out)
            rows.writerow(("timestamp", target))
            for place, value in enumerate(series.values):
                at = series.first_at + timedelta(seconds=place * STEP_S)
                rows.writerow((at.isoformat(), f"{value:.5f}"))
    except OSError as error:
        raise DataError(
            f"{path} cannot be written: {error.strerror}", where="--save-demand", fix="name another file"
        ) from None


def worth_text(runs: Mapping[str, Mapping[str, Any]]) -> str | None:
    """One line: what model and perfect knowledge save over the naive rule; None unless all three ran."""
    if not {"agent", NAIVE, PERFECT} <= set(runs):
        return None
    model, naive, perfect = (float(runs[name]["energy_kwh"]) for name in ("agent", NAIVE, PERFECT))
    starts = [sum(runs[name]["starts"].values()) for name in ("agent", NAIVE, PERFECT)]
    return (
        f"the model's forecast against the naive one: {naive - model:+.1f} kWh saved ({(naive - model) / naive:+.2%}); "
        f"perfect foresight: {naive - perfect:+.1f} kWh ({(naive - perfect) / naive:+.2%}); "
        f"starts {starts[0]}, {starts[1]} and {starts[2]}"
    )
