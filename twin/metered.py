"""Any metered CSV -> a demand in minutes, and a report of what was found, filled and scaled."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from statistics import median
from zoneinfo import ZoneInfo

from agent.config.site import Station
from agent.errors import DataError
from agent.units import CONVERSIONS, to_canonical
from twin.demand import DemandSeries, reachable_peak_m3_min, with_minute_noise
from twin.metered_csv import Sample, read_samples

FLOW_UNITS = ("m3/min", "m3/h", "m3/s", "l/s", "l/min", "cfm")
SHAPE_UNITS = ("kW", "kWh", "shape")
UNITS = (*FLOW_UNITS, "m3", *SHAPE_UNITS)
SHORT_GAP_S = 3600.0
LONGEST_INTERVAL_S = 3600.0
WEEK_S = 7 * 86400.0


@dataclass(frozen=True, slots=True)
class Gap:
    """A stretch without measurement, UTC."""

    from_at: datetime
    to_at: datetime
    filled: str  # "line", "week before", "day before", "week after"


@dataclass(frozen=True, slots=True)
class DemandReport:
    """What became of the file. Flows m3/min free air."""

    path: str
    column: str
    unit: str
    rows: int
    unread: int
    negative: int
    duplicates: int
    interval_s: float
    from_at: datetime
    to_at: datetime
    gaps: tuple[Gap, ...]
    missing_share: float
    scale: float
    peak_hour_m3_min: float
    mean_m3_min: float
    volume_m3: float
    notes: tuple[str, ...]

    def text(self) -> str:
        """Some lines for a person."""
        lines = [
            f"demand: {self.path}, column {self.column} in {self.unit}, {self.rows} rows, "
            f"one each {self.interval_s / 60:g} min",
            f"  from {self.from_at:%Y-%m-%d %H:%M} to {self.to_at:%Y-%m-%d %H:%M} UTC; "
            f"mean {self.mean_m3_min:.1f}, highest hour {self.peak_hour_m3_min:.1f} m3/min, "
            f"{self.volume_m3:.0f} m3 free air",
        ]
        if self.gaps:
            longest = max(self.gaps, key=lambda gap: gap.to_at - gap.from_at)
            lines.append(
                f"  gaps: {len(self.gaps)}, {100 * self.missing_share:.2f} % of the time, longest "
                f"{longest.from_at:%Y-%m-%d %H:%M} to {longest.to_at:%Y-%m-%d %H:%M} UTC "
                f"(filled: {longest.filled})"
            )
        lines += [f"  {note}" for note in self.notes]
        return "\n".join(lines)

    def as_dict(self) -> dict[str, object]:
        """For JSON: instants as ISO-8601."""
        return {
            "path": self.path,
            "column": self.column,
            "unit": self.unit,
            "rows": self.rows,
            "unread": self.unread,
            "negative": self.negative,
            "duplicates": self.duplicates,
            "interval_s": self.interval_s,
            "from": self.from_at.isoformat(),
            "to": self.to_at.isoformat(),
            "gaps": [
                {"from": gap.from_at.isoformat(), "to": gap.to_at.isoformat(), "filled": gap.filled}
                for gap in self.gaps
            ],
            "missing_share": round(self.missing_share, 6),
            "scale": self.scale,
            "peak_hour_m3_min": round(self.peak_hour_m3_min, 4),
            "mean_m3_min": round(self.mean_m3_min, 4),
            "volume_m3": round(self.volume_m3, 2),
            "notes": list(self.notes),
        }


def metered_demand(
    path: Path,
    *,
    column: str,
    unit: str,
    station: Station,
    timezone: str,
    time_column: str | None = None,
    from_at: datetime | None = None,
    to_at: datetime | None = None,
    scale_to_peak_m3_min: float | None = None,
    seed: int = 0,
) -> tuple[DemandSeries, DemandReport]:
    """The demand of a metered file in minutes, each interval's volume kept, and the report.

    A stamp is the start of its interval. Stamps and `from_at`, `to_at` without an offset are local
    time of `timezone`. Flows are converted; power, energy and "shape" are scaled so that the highest
    hour is `scale_to_peak_m3_min` (default: what the station can sensibly deliver). Gaps up to an
    hour are bridged by a line, longer ones by the week or day before. Raises DataError.
    """
    if unit not in UNITS:
        raise DataError(
            f"unit {unit!r} is not one of {', '.join(UNITS)}",
            where="--unit",
            fix="name the unit of the column; shape takes any number and scales it to the station",
        )
    zone = ZoneInfo(timezone)
    table = read_samples(path, column=column, time_column=time_column, zone=zone)
    begin = None if from_at is None else _aware(from_at, zone)
    end = None if to_at is None else _aware(to_at, zone)
    samples = [s for s in table.samples if (begin is None or s.at >= begin) and (end is None or s.at < end)]
    if len(samples) < 3:
        span = f"{table.samples[0].at:%Y-%m-%d %H:%M} to {table.samples[-1].at:%Y-%m-%d %H:%M} UTC"
        raise DataError(
            f"{len(samples)} rows lie in the time asked for; the file covers {span}",
            where=f"{path}, --from and --to",
            fix="choose a span inside the file with at least three rows",
        )
    step_s = _interval(samples, path)
    cells, negative, duplicates = _grid(samples, step_s)
    missing = sum(cell is None for cell in cells)
    if missing > len(cells) // 2:
        raise DataError(
            f"{missing} of {len(cells)} intervals have no value",
            where=f"{path}, column {table.column}",
            fix="choose a span with --from and --to in which at least half is measured",
        )
    start_at = samples[0].at
    filled, gaps = _fill(cells, start_at, step_s)
    flows = [_flow(value, unit, step_s) for value in filled]
    notes = []
    peak = _peak_hour(flows, step_s)
    if peak <= 0.0:
        raise DataError(
            "every value of the column is zero",
            where=f"{path}, column {table.column}",
            fix="name another column",
        )
    scale = 1.0
    if scale_to_peak_m3_min is not None or unit in SHAPE_UNITS:
        target = reachable_peak_m3_min(station) if scale_to_peak_m3_min is None else scale_to_peak_m3_min
        scale = target / peak
        notes.append(f"scaled by {scale:.6g}, so that the highest hour is {target:.1f} m3/min")
        flows = [flow * scale for flow in flows]
        peak = target
    capacity = sum(m.full_flow_m3_min for m in station.machines.values() if not m.locked_out)
    if peak > capacity:
        notes.append(f"the highest hour is above the station's {capacity:.1f} m3/min: air will be short")
    if negative:
        notes.append(f"{negative} negative values counted as missing")
    if table.unread:
        notes.append(f"{table.unread} values are no numbers and counted as missing")
    if duplicates:
        notes.append(f"{duplicates} rows fall into an interval that had one; their mean was taken")
    series = with_minute_noise(start_at, step_s, flows, seed=seed)
    volume = series.volume_m3()
    return series, DemandReport(
        path=str(path),
        column=table.column,
        unit=unit,
        rows=len(samples),
        unread=table.unread,
        negative=negative,
        duplicates=duplicates,
        interval_s=step_s,
        from_at=start_at,
        to_at=start_at + timedelta(seconds=step_s * len(cells)),
        gaps=gaps,
        missing_share=missing / len(cells),
        scale=scale,
        peak_hour_m3_min=peak,
        mean_m3_min=volume / (step_s * len(cells) / 60.0),
        volume_m3=volume,
        notes=tuple(notes),
    )


def _aware(at: datetime, zone: ZoneInfo) -> datetime:
    return (at.replace(tzinfo=zone) if at.tzinfo is None else at).astimezone(UTC)


def _interval(samples: list[Sample], path: Path) -> float:
    """Length of a measuring interval, [s]; readings quicker than a minute are gathered into minutes."""
    spacing = median((b.at - a.at).total_seconds() for a, b in pairwise(samples))
    if spacing > LONGEST_INTERVAL_S * 1.01:
        raise DataError(
            f"rows are {spacing / 3600:g} h apart; a demand needs at least one an hour",
            where=str(path),
            fix="export the meter in hours, quarters or minutes",
        )
    return 60.0 if spacing < 60.0 else round(spacing)


def _grid(samples: list[Sample], step_s: float) -> tuple[list[float | None], int, int]:
    """Values on an even grid from the first sample on; (cells, negative values, rows in a used cell)."""
    start_at = samples[0].at
    count = int((samples[-1].at - start_at).total_seconds() // step_s) + 1
    sums, counts = [0.0] * count, [0] * count
    negative = duplicates = 0
    for sample in samples:
        if sample.value is None:
            continue
        if sample.value < 0.0:
            negative += 1
            continue
        index = int((sample.at - start_at).total_seconds() // step_s)
        duplicates += counts[index] > 0 and step_s > 60.0
        sums[index] += sample.value
        counts[index] += 1
    return [s / n if n else None for s, n in zip(sums, counts, strict=True)], negative, duplicates


def _fill(
    cells: list[float | None], start_at: datetime, step_s: float
) -> tuple[list[float], tuple[Gap, ...]]:
    out = [0.0 if cell is None else cell for cell in cells]
    gaps = []
    week, day = round(WEEK_S / step_s), round(86400.0 / step_s)
    index = 0
    while index < len(cells):
        if cells[index] is not None:
            index += 1
            continue
        first = index
        while index < len(cells) and cells[index] is None:
            index += 1
        span = range(first, index)
        how = "line"
        if (index - first) * step_s > SHORT_GAP_S:
            # What lies before has been filled already, so a gap longer than a week repeats the last one.
            if first >= week:
                how, shift = "week before", -week
            elif first >= day:
                how, shift = "day before", -day
            elif _measured(cells, span, week):
                how, shift = "week after", week
            else:
                shift = 0
            if shift:
                for k in span:
                    out[k] = out[k + shift]
        if how == "line":
            before = out[first - 1] if first > 0 else None
            after = cells[index] if index < len(cells) else None
            left = before if before is not None else (after if after is not None else 0.0)
            right = after if after is not None else left
            for k in span:
                out[k] = left + (right - left) * (k - first + 1) / (index - first + 1)
        gaps.append(
            Gap(
                start_at + timedelta(seconds=first * step_s),
                start_at + timedelta(seconds=index * step_s),
                how,
            )
        )
    return out, tuple(gaps)


def _measured(cells: list[float | None], span: range, shift: int) -> bool:
    return (
        span.start + shift >= 0
        and span.stop + shift <= len(cells)
        and all(cells[k + shift] is not None for k in span)
    )


def _flow(value: float, unit: str, step_s: float) -> float:
    if unit == "m3":
        return value * 60.0 / step_s
    return to_canonical(value, unit) if unit in CONVERSIONS else value


def _peak_hour(flows: list[float], step_s: float) -> float:
    """Greatest mean over an hour, or over all where there is less."""
    width = min(len(flows), max(1, round(3600.0 / step_s)))
    total = sum(flows[:width])
    peak = total
    for k in range(width, len(flows)):
        total += flows[k] - flows[k - width]
        peak = max(peak, total)
    return peak / width
