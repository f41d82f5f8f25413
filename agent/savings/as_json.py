"""The report for machines: every figure of the page, rounded to what it is worth; null where nothing is known."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from agent.savings.daily import Day
from agent.savings.figure import Saving, Unsupported
from agent.savings.kpi import Figures
from agent.savings.report import Counterfactual, Regression, Report

FORMAT = "savings-report/1"


def as_dict(report: Report) -> dict[str, Any]:
    """`{"format": "savings-report/1", ...}`; instants are ISO 8601, UTC."""
    return {
        "format": FORMAT,
        "site": report.site_id,
        "station": report.station_id,
        "from": _stamp(report.from_at),
        "to": _stamp(report.to_at),
        "by": report.by,
        "kind": report.kind,
        "currency": report.currency,
        "total": _figures(report.total),
        "periods": [_figures(row) for row in report.rows],
        "baseline": {
            "control": report.station.baseline.control,
            "days": [day.period.label for day in report.baseline_days],
        },
        "counterfactual": _counterfactual(report),
        "regression": _regression(report),
    }


def _figures(row: Figures) -> dict[str, Any]:
    rest = row.rest
    return {
        "period": row.period.label,
        "from": _stamp(row.period.from_at),
        "to": _stamp(row.period.to_at),
        "whole": row.period.whole,
        "energy_kwh": _round(row.energy_kwh, 1),
        "air_m3": _round(row.air_m3, 0),
        "specific_power_kw_min_m3": _round(row.specific_power_kw_min_m3, 3),
        "idle_energy_kwh": _round(row.idle_energy_kwh, 1),
        "idle_share": _round(row.idle_share, 4),
        "mean_pressure_bar_g": _round(row.mean_pressure_bar_g, 3),
        "below_min_min": _round(row.below_min_min, 0),
        "below_min_share": _round(row.below_min_share, 5),
        "rest": None
        if rest is None
        else {
            "demand_m3_min": _round(rest.demand_m3_min, 2),
            "low_m3_min": _round(rest.low_m3_min, 2),
            "high_m3_min": _round(rest.high_m3_min, 2),
            "share_of_mean": _round(rest.share_of_mean, 3),
            "hours": _round(rest.hours, 1),
        },
        "starts": dict(row.starts),
        "hours_run": {name: _round(hours, 2) for name, hours in row.hours_run.items()},
        "hours_loaded": {name: _round(hours, 2) for name, hours in row.hours_loaded.items()},
        "cost": _round(row.cost, 2),
        "co2_kg": _round(row.co2_kg, 1),
        "peak_kw": _round(row.peak_kw, 1),
        "coverage": {
            "power": _round(row.power_coverage, 4),
            "air": _round(row.air_coverage, 4),
            "pressure": _round(row.pressure_coverage, 4),
        },
        "control_share": _round(row.control_share, 4),
        "fallback_share": _round(row.fallback_share, 4),
    }


def _counterfactual(report: Report) -> dict[str, Any]:
    found = report.counterfactual
    if isinstance(found, Unsupported):
        return _refusal(found)
    fitted, run = found.fitted, found.run
    return {
        "available": True,
        "controller": run.controller,
        "saving": saving_dict(report, found.saving),
        "days": _by_day(found.days, found),
        "calibration": {
            "days": fitted.days,
            "scale": _round(fitted.scale, 4),
            "offset_kwh_day": _round(fitted.offset_kwh_day, 1),
            "bias_before": _round(fitted.bias_before, 4),
            "cv_rmse": _round(fitted.cv_rmse, 4),
            "machines": {
                name: {
                    "scale": _round(machine.scale, 4),
                    "offset_kw": _round(machine.offset_kw, 2),
                    "unloaded_power_kw": _round(machine.unloaded_power_kw, 2),
                    "minutes": machine.minutes,
                }
                for name, machine in run.machines.items()
            },
            "volume_m3": _round(run.volume_m3, 2),
            "volume_nameplate_m3": _round(run.volume_nameplate_m3, 2),
            "flow_scale": _round(run.flow_scale, 4),
        },
        "notes": list(run.notes),
    }


def _by_day(days: Sequence[Day], found: Counterfactual) -> list[dict[str, Any]]:
    return [
        {
            "day": day.period.label,
            "measured_kwh": _round(day.energy_kwh, 1),
            "simulated_kwh": _round(float(kwh), 1),
        }
        for day, kwh in zip(days, found.expected_kwh, strict=True)
    ]


def _regression(report: Report) -> dict[str, Any]:
    found: Regression | Unsupported = report.regression
    if isinstance(found, Unsupported):
        return _refusal(found)
    model = found.model
    return {
        "available": isinstance(found.saving, Saving),
        **(
            _refusal(found.saving)
            if isinstance(found.saving, Unsupported)
            else {"saving": saving_dict(report, found.saving)}
        ),
        "model": {
            "base_kwh_day": _round(model.base_kwh_day, 2),
            "slope_kwh_m3": _round(model.slope_kwh_m3, 6),
            "r2": _round(model.r2, 4),
            "cv_rmse": _round(model.cv_rmse, 4),
            "correlation": _round(model.correlation, 3),
            "days": model.days,
            "air_m3_day": [_round(model.least_air_m3_day, 0), _round(model.most_air_m3_day, 0)],
        },
        "extrapolated_days": [day.period.label for day in found.extrapolated],
    }


def saving_dict(report: Report, saving: Saving) -> dict[str, Any]:
    """A saving in kWh, share, money and CO2, each with its interval."""
    low, high = saving.share_interval
    return {
        "saved_kwh": _round(saving.saved_kwh, 1),
        "saved_kwh_interval": [_round(saving.low_kwh, 1), _round(saving.high_kwh, 1)],
        "share": _round(saving.share, 5),
        "share_interval": [_round(low, 5), _round(high, 5)],
        "confidence": saving.confidence,
        "baseline_kwh": _round(saving.baseline_kwh, 1),
        "actual_kwh": _round(saving.actual_kwh, 1),
        "cost": _round(report.money(saving.saved_kwh), 2),
        "cost_interval": [_round(report.money(kwh), 2) for kwh in (saving.low_kwh, saving.high_kwh)],
        "co2_kg": _round(saving.saved_kwh * report.co2_kg_per_kwh, 1),
    }


def _refusal(refused: Unsupported) -> dict[str, Any]:
    return {"available": False, "why": refused.why, "fix": refused.fix}


def _round(value: float | None, digits: int) -> float | None:
    return None if value is None else round(float(value), digits)


def _stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
