"""Zones and their units over a period: comfort and energy by zone and area, and what the plans foresaw of other schedules.

Comfort is that of the air, which is what sensors measure; an operative temperature would need the walls'. A figure
is None where nothing was measured. No saving is said here: that takes a test by turns (`trimload switchback`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

from agent.config.site import Hvac, Site, Zone
from agent.domain import Mode
from agent.planner.hvac_schedule import occupancy_grid, stuck_contact
from agent.savings.measured import MINUTE_S, Floats, SeriesSource
from agent.store.ledger import Entry
from agent.store.tags import MODE_CODES, mode_tag

_HOUR_MIN = 60.0
_SLOT_MIN = 15


@dataclass(frozen=True, slots=True)
class ZoneRow:
    """One zone. Kelvin hours below and above its comfort band with people in, of the minutes that are known."""

    name: str
    area_m2: float | None
    occupied_h: float
    known_share: float | None
    cold_kh: float | None
    warm_kh: float | None
    in_band_share: float | None
    mean_degc: float | None


@dataclass(frozen=True, slots=True)
class UnitRow:
    """One unit: energy, and per area where the area of all its zones is known."""

    name: str
    energy_kwh: float | None
    kwh_per_m2: float | None
    peak_kw: float | None  # of a quarter hour
    known_share: float


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What the first plan of each day foresaw of its 24 hours: the schedule that was sent beside another one."""

    schedule: str
    days: int
    cost: float
    discomfort_kh: float
    sent_cost: float
    sent_discomfort_kh: float


@dataclass(frozen=True, slots=True)
class ZoneReport:
    """All zones of a site over a period."""

    site_name: str
    timezone: str
    currency: str
    from_at: datetime
    to_at: datetime
    control_share: float | None
    zones: tuple[ZoneRow, ...]
    units: tuple[UnitRow, ...]
    foreseen: tuple[Foreseen, ...]


def zone_report(
    source: SeriesSource, site: Site, from_at: datetime, to_at: datetime, plans: Iterable[Entry]
) -> ZoneReport:
    """The report of a site with zones; `plans`: the ledger's `hvac_plan` rows, oldest first."""
    hvac = site.hvac or Hvac()
    mode = source.series(mode_tag("hvac"), from_at, to_at, MINUTE_S).values
    ruled = mode[np.isfinite(mode)]
    return ZoneReport(
        site.site.name or site.site.id,
        site.site.timezone,
        site.tariff.currency,
        from_at,
        to_at,
        float((ruled == MODE_CODES[Mode.CONTROL]).mean()) if ruled.size else None,
        tuple(_zone(source, site, name, zone, from_at, to_at) for name, zone in hvac.zones.items()),
        tuple(_unit(source, hvac, name, from_at, to_at) for name in hvac.units),
        foreseen(plans, site.site.timezone, from_at, to_at),
    )


def _zone(
    source: SeriesSource, site: Site, name: str, zone: Zone, from_at: datetime, to_at: datetime
) -> ZoneRow:
    grid = source.series(zone.temp, from_at, to_at, MINUTE_S)
    air = grid.values
    slots = -(-air.size // _SLOT_MIN)
    closed = frozenset(site.site.closed_days)
    due = occupancy_grid(zone, site.site.timezone, grid.start_at, slots, _SLOT_MIN * 60.0, closed)
    people = np.repeat(due, _SLOT_MIN)[: air.size]
    if zone.occupied is not None:
        contact = source.series(zone.occupied, from_at, to_at, MINUTE_S).values
        if not stuck_contact(contact, people, MINUTE_S):
            people = np.where(np.isfinite(contact), contact >= 0.5, people)
    known = people & np.isfinite(air)
    seen = air[known]
    cold = np.maximum(zone.comfort_low_degc - seen, 0.0)
    warm = np.maximum(seen - zone.comfort_high_degc, 0.0)
    occupied = int(people.sum())
    some = bool(seen.size)
    return ZoneRow(
        name,
        zone.area_m2,
        occupied / _HOUR_MIN,
        seen.size / occupied if occupied else None,
        float(cold.sum()) / _HOUR_MIN if some else None,
        float(warm.sum()) / _HOUR_MIN if some else None,
        float(((cold == 0.0) & (warm == 0.0)).mean()) if some else None,
        float(seen.mean()) if some else None,
    )


def _unit(source: SeriesSource, hvac: Hvac, name: str, from_at: datetime, to_at: datetime) -> UnitRow:
    unit = hvac.units[name]
    power: Floats = source.series(unit.power or "", from_at, to_at, MINUTE_S).values
    known = np.isfinite(power)
    energy = float(power[known].sum()) / _HOUR_MIN if known.any() else None
    areas = [zone.area_m2 for zone in hvac.zones.values() if zone.unit == name]
    area = sum(a for a in areas if a is not None) if areas and None not in areas else 0.0
    whole = power[: power.size // _SLOT_MIN * _SLOT_MIN].reshape(-1, _SLOT_MIN).mean(axis=1)
    quarters = whole[np.isfinite(whole)]
    return UnitRow(
        name,
        energy,
        energy / area if energy is not None and area > 0 else None,
        float(quarters.max()) if quarters.size else None,
        float(known.mean()) if known.size else 0.0,
    )


def foreseen(
    plans: Iterable[Entry], timezone: str, from_at: datetime, to_at: datetime
) -> tuple[Foreseen, ...]:
    """By schedule, from the first plan of each local day that costed more than one."""
    place, days = ZoneInfo(timezone), set()
    sums: dict[str, list[float]] = {}
    for entry in plans:
        fields: Mapping[str, Any] = entry.values()
        costed, chosen = fields.get("schedules") or {}, fields.get("sent")
        day = entry.at.astimezone(place).date()
        if not from_at <= entry.at < to_at or chosen not in costed or day in days:
            continue
        days.add(day)
        for name, found in costed.items():
            row = (1.0, *found, *costed[chosen])
            sums[name] = [a + b for a, b in zip(sums.get(name, [0.0] * 5), row, strict=True)]
    return tuple(Foreseen(name, round(n), *rest) for name, (n, *rest) in sums.items())


def zones_text(report: ZoneReport) -> str:
    """Some lines for a person."""
    place = ZoneInfo(report.timezone)
    share = "unknown" if report.control_share is None else f"{100 * report.control_share:.0f} % of the time"
    lines = [
        f"{report.site_name}, zones: {report.from_at.astimezone(place):%Y-%m-%d %H:%M} to "
        f"{report.to_at.astimezone(place):%Y-%m-%d %H:%M}; in control {share}",
        "",
        *_columns(
            ("zone", "people h", "known", "cold K h", "warm K h", "in band", "mean degC"),
            [
                (
                    z.name,
                    f"{z.occupied_h:.0f}",
                    _percent(z.known_share),
                    _figure(z.cold_kh, 1),
                    _figure(z.warm_kh, 1),
                    _percent(z.in_band_share),
                    _figure(z.mean_degc, 1),
                )
                for z in report.zones
            ],
        ),
        "",
        *_columns(
            ("unit", "kWh", "kWh/m2", "peak kW", "known"),
            [
                (
                    u.name,
                    _figure(u.energy_kwh, 0),
                    _figure(u.kwh_per_m2, 2),
                    _figure(u.peak_kw, 1),
                    _percent(u.known_share),
                )
                for u in report.units
            ],
        ),
    ]
    if report.foreseen:
        lines += ["", "foreseen by the first plan of each day, in the models (no proof of a saving):"]
        lines += [
            f"  {f.schedule}: {f.cost:.2f} {report.currency} and {f.discomfort_kh:.1f} K h over {f.days} days; "
            f"what was sent: {f.sent_cost:.2f} and {f.sent_discomfort_kh:.1f}"
            for f in report.foreseen
        ]
    return "\n".join(lines)


def _columns(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    wide = [max(len(row[k]) for row in (head, *rows)) for k in range(len(head))]
    return [
        "  ".join(cell.ljust(wide[k]) if k == 0 else cell.rjust(wide[k]) for k, cell in enumerate(row))
        for row in (head, *rows)
    ]


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.0f} %"
