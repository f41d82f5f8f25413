"""The report of a station: figures of each period, and the saving by two methods that know nothing of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

import numpy as np

from agent.config.site import Site, Station
from agent.errors import DataError
from agent.savings import counterfactual, energy_baseline
from agent.savings.counterfactual import Controller, StationFit, Twin, TwinRun
from agent.savings.daily import Day, both_known, days_of
from agent.savings.energy_baseline import EnergyBaseline
from agent.savings.figure import Saving, Unsupported
from agent.savings.kpi import Derived, Figures, derive, figures
from agent.savings.measured import Floats, StationMinutes
from agent.savings.periods import Period, Step, periods

NO_TWIN = Unsupported(
    "the twin is not installed on this machine: no controller can be simulated on the measured demand",
    "run `trimload report` where the whole of Trimload is installed, on a copy of the state directory",
)
NOTHING_TO_COMPARE = Unsupported(
    "the agent was not in control in this period: there is nothing that the regression could compare",
    "name a period with control weeks in --from/--to; what the agent would have saved is simulated",
)


class Ask(NamedTuple):
    """What is wanted, UTC; None is chosen from the data."""

    from_at: datetime | None = None
    to_at: datetime | None = None
    baseline_from_at: datetime | None = None
    baseline_to_at: datetime | None = None
    by: Step = "day"


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """The saving against the simulated controller, and all that it rests on."""

    run: TwinRun
    fitted: StationFit
    saving: Saving
    days: tuple[Day, ...]
    expected_kwh: Floats


@dataclass(frozen=True, slots=True)
class Regression:
    """The saving against the energy baseline, and all that it rests on."""

    model: EnergyBaseline
    saving: Saving | Unsupported
    extrapolated: tuple[Day, ...]


@dataclass(frozen=True, slots=True)
class Report:
    """One station."""

    site_id: str
    site_name: str
    station_id: str
    station: Station
    currency: str
    timezone: str
    from_at: datetime
    to_at: datetime
    kind: Literal["saved", "would have saved"]
    total: Figures
    rows: tuple[Figures, ...]
    by: Step
    days: tuple[Day, ...]
    baseline_days: tuple[Day, ...]
    counterfactual: Counterfactual | Unsupported
    regression: Regression | Unsupported
    pressure_bar_g: Floats
    idle_by_day: tuple[float | None, ...]
    price_per_kwh: float | None
    co2_kg_per_kwh: float

    @property
    def headline(self) -> Saving | None:
        """The saving that stands on top: simulated where that is to be had, else by regression."""
        if isinstance(self.counterfactual, Counterfactual):
            return self.counterfactual.saving
        if isinstance(self.regression, Regression) and isinstance(self.regression.saving, Saving):
            return self.regression.saving
        return None

    def money(self, kwh: float) -> float | None:
        """At the mean price that was paid in the period."""
        return None if self.price_per_kwh is None else kwh * self.price_per_kwh


def make_report(site: Site, station_id: str, minutes: StationMinutes, ask: Ask, twin: Twin | None) -> Report:
    """The report from all minutes that the store has. Raises DataError where the span holds nothing."""
    station, timezone = site.stations[station_id], site.site.timezone
    derived = derive(minutes, station, site.tariff, timezone)
    every_day = days_of(derived, periods(minutes.start_at, minutes.end_at, timezone, "day"))
    from_at, to_at = _span(minutes, every_day, ask)
    days = _within(every_day, from_at, to_at)
    kind: Literal["saved", "would have saved"] = (
        "saved" if any(day.ruled and day.counts for day in days) else "would have saved"
    )
    baseline_days = _baseline_days(every_day, ask, from_at)
    whole = Period("all", from_at, to_at, whole=True)
    total = figures(derived, station, site.tariff, whole)
    if total.energy_kwh is None and total.air_m3 is None and total.mean_pressure_bar_g is None:
        raise DataError(
            f"the store knows nothing of station {station_id!r} between {from_at:%Y-%m-%d %H:%M} and "
            f"{to_at:%Y-%m-%d %H:%M} UTC",
            where="--from, --to",
            fix=f"it holds {minutes.start_at:%Y-%m-%d %H:%M} to {minutes.end_at:%Y-%m-%d %H:%M} UTC",
        )
    rows = tuple(
        figures(derived, station, site.tariff, period) for period in periods(from_at, to_at, timezone, ask.by)
    )
    cut = slice(minutes.index_of(from_at), minutes.index_of(to_at))
    pressure = minutes.pressure_bar_g[cut]
    return Report(
        site_id=site.site.id,
        site_name=site.site.name or site.site.id,
        station_id=station_id,
        station=station,
        currency=site.tariff.currency,
        timezone=timezone,
        from_at=from_at,
        to_at=to_at,
        kind=kind,
        total=total,
        rows=rows,
        by=ask.by,
        days=days,
        baseline_days=baseline_days,
        counterfactual=_counterfactual(site, station_id, derived, days, baseline_days, kind, twin),
        regression=_regression(days, baseline_days, kind),
        pressure_bar_g=pressure[np.isfinite(pressure)],
        idle_by_day=tuple(figures(derived, station, site.tariff, day.period).idle_share for day in days),
        price_per_kwh=total.cost / total.energy_kwh if total.cost is not None and total.energy_kwh else None,
        co2_kg_per_kwh=site.tariff.co2_kg_per_kwh,
    )


def _span(minutes: StationMinutes, days: Sequence[Day], ask: Ask) -> tuple[datetime, datetime]:
    """As asked; else from the first day of control on, else all there is."""
    to_at = min(minutes.end_at, ask.to_at or minutes.end_at)
    ruled = [day for day in days if day.ruled and day.period.to_at <= to_at]
    first = ruled[0].period.from_at if ruled else minutes.start_at
    from_at = max(minutes.start_at, ask.from_at or first)
    if from_at >= to_at:
        raise DataError(
            "the span asked for holds nothing that the store knows",
            where="--from, --to",
            fix=f"it holds {minutes.start_at:%Y-%m-%d %H:%M} to {minutes.end_at:%Y-%m-%d %H:%M} UTC",
        )
    return from_at, to_at


def _within(days: Sequence[Day], from_at: datetime, to_at: datetime) -> tuple[Day, ...]:
    """Whole days inside the span: a day cut by the span's edge is no whole one."""
    return tuple(d for d in days if d.period.from_at >= from_at and d.period.to_at <= to_at)


def _baseline_days(days: Sequence[Day], ask: Ask, from_at: datetime) -> tuple[Day, ...]:
    """Days that count and on which the plant was left alone: of the span asked for, else all that are known."""
    chosen = days
    if ask.baseline_from_at is not None or ask.baseline_to_at is not None:
        low = ask.baseline_from_at or days[0].period.from_at
        high = ask.baseline_to_at or (from_at if from_at > low else days[-1].period.to_at)
        chosen = _within(days, low, high)
    return tuple(day for day in chosen if day.left_alone and day.counts)


def _counted(days: Sequence[Day], kind: str) -> tuple[Day, ...]:
    """Days that the saving is about: under the agent, or left alone for "would have saved"."""
    return tuple(d for d in days if d.counts and (not d.left_alone if kind == "saved" else d.left_alone))


def _regression(days: Sequence[Day], baseline: Sequence[Day], kind: str) -> Regression | Unsupported:
    model = energy_baseline.fit(baseline)
    if isinstance(model, Unsupported):
        return model
    if kind != "saved":
        return Regression(model, NOTHING_TO_COMPARE, ())
    counted = _counted(days, kind)
    return Regression(model, energy_baseline.saving(model, counted), energy_baseline.outside(model, counted))


def _counterfactual(
    site: Site,
    station_id: str,
    derived: Derived,
    days: Sequence[Day],
    baseline: Sequence[Day],
    kind: str,
    twin: Twin | None,
) -> Counterfactual | Unsupported:
    if twin is None:
        return NO_TWIN
    counted = _counted(days, kind)
    if not counted:
        return Unsupported(
            "no whole day of the reporting period has power and air",
            "widen --from/--to, or mend the meters that the coverage shows",
        )
    if len(baseline) < counterfactual.LEAST_DAYS:
        refused = counterfactual.fit(baseline, np.array([day.energy_kwh for day in baseline]))
        assert isinstance(refused, Unsupported)
        return refused
    involved = sorted({*counted, *baseline}, key=lambda day: day.period.from_at)
    minutes = derived.minutes.between(involved[0].period.from_at, involved[-1].period.to_at)
    offset = derived.minutes.index_of(minutes.start_at)
    known = both_known(derived)[offset : offset + minutes.count]
    fit_on = np.zeros(minutes.count, dtype=bool)
    for day in baseline:
        fit_on[minutes.index_of(day.period.from_at) : minutes.index_of(day.period.to_at)] = True
    simulated_is: Controller = "baseline" if kind == "saved" else "agent"
    spans: dict[Controller, tuple[datetime, datetime]] = {"baseline": (minutes.start_at, minutes.end_at)}
    if kind != "saved":
        spans["agent"] = (counted[0].period.from_at, counted[-1].period.to_at)
    run = twin(site, station_id, minutes, fit_on=fit_on, spans=spans)
    fitted = counterfactual.fit(
        baseline, counterfactual.daily_kwh(run.power_kw["baseline"], known, minutes, baseline)
    )
    if isinstance(fitted, Unsupported):
        return fitted
    simulated = counterfactual.daily_kwh(run.power_kw[simulated_is], known, minutes, counted)
    return Counterfactual(
        run=run,
        fitted=fitted,
        saving=counterfactual.saving(fitted, counted, simulated, simulated_is=simulated_is),
        days=counted,
        expected_kwh=counterfactual.expected_kwh(fitted, counted, simulated),
    )
