"""The production plan as series known ahead: rows of (time, line, planned rate) to columns on a forecast's grid.

Gateway and training share this one reading of a plan. A rate holds from its time to the line's next row; a line's last
row holds for a day, since a plan that ends says nothing about what comes after. What no row says is NaN, never 0.
"""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# The column of all lines together; `plan.NAME` is the column of one line.
TOTAL = "plan"
LAST_ROW_HOLDS_S = 86_400
# A line that was planned so lately belongs to the total: while its rate is unknown, so is the total.
LINE_LIVES_S = 7 * 86_400
MOST_ROWS = 100_000

_TIMES = ("time", "timestamp", "start", "from")
_LINES = ("line", "machine", "product_line")
_RATES = ("planned_rate", "rate", "planned")


@dataclass(frozen=True, order=True)
class PlanRow:
    """From `at` (UTC) on `line` is planned to run at `rate`, in the plan's own unit, 0 or more."""

    line: str
    at: datetime
    rate: float


@dataclass(frozen=True)
class PlanRead:
    """Rows by line and time, and how many of the text could not be read."""

    rows: tuple[PlanRow, ...]
    skipped: int


def is_plan_column(name: str) -> bool:
    """Whether a known column's name asks for the production plan."""
    return name == TOTAL or name.startswith(f"{TOTAL}.")


def parse_plan(text: str, tz: str) -> PlanRead:
    """A plan as CSV (`,` `;` or tab; a header of time, line, planned_rate) or as a JSON list of such objects.

    Times are ISO 8601, local time of `tz` where they name no offset. A plan without a line column is one line, "all".
    A row that makes no sense is left out and counted. Raises ValueError when none can be read.
    """
    text = text.lstrip("\ufeff").strip()
    comma = False
    if text.startswith("["):
        try:
            cells: Sequence[Any] = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"no JSON: {error}") from error
    else:
        header = text.partition("\n")[0]
        separator = max((",", ";", "\t"), key=header.count)
        comma = separator != ","
        cells = list(csv.DictReader(text.splitlines(), delimiter=separator, skipinitialspace=True))
    if len(cells) > MOST_ROWS:
        raise ValueError(f"{len(cells)} rows, at most {MOST_ROWS}")
    zone = ZoneInfo(tz)
    rows = [_row(each, zone, decimal_comma=comma) for each in cells]
    good = [each for each in rows if each is not None]
    if not good:
        raise ValueError(f"none of {len(cells)} rows has a time and a planned_rate of 0 or more")
    # The last word on one line and instant counts.
    by_place = {(each.line, each.at): each for each in good}
    return PlanRead(tuple(sorted(by_place.values())), len(rows) - len(good))


def merged(old: Iterable[PlanRow], new: Sequence[PlanRow]) -> tuple[PlanRow, ...]:
    """The plan in force: from each line's first new row on, the new rows replace the old ones of that line."""
    first = {line: min(each.at for each in group) for line, group in groupby(sorted(new), lambda r: r.line)}
    kept = [each for each in old if each.line not in first or each.at < first[each.line]]
    return tuple(sorted([*kept, *new]))


def plan_columns(
    rows: Sequence[PlanRow], names: Sequence[str], first_at: datetime, step_s: int, length: int
) -> Array:
    """[length, len(names)] means of the planned rate over steps from `first_at` on; NaN where no row says any.

    A step that is known for less than half of its time is NaN. Names that are no plan column, or name no line, are
    NaN throughout.
    """
    by_line = {line: list(group) for line, group in groupby(sorted(rows), lambda row: row.line)}
    edges = first_at.timestamp() + step_s * np.arange(length + 1, dtype=np.float64)
    # Lines that went out of use before the grid began still tell whether the total is whole.
    lead = min(LINE_LIVES_S // step_s, 10_000)
    wide = np.concatenate([edges[0] - step_s * np.arange(lead, 0, -1, dtype=np.float64), edges])
    means = {line: _means(group, wide, step_s) for line, group in by_line.items()}
    out = np.full((length, len(names)), np.nan)
    for place, name in enumerate(names):
        if name == TOTAL:
            if means:
                out[:, place] = _total(np.stack(list(means.values())), lead)[lead:]
        elif name.startswith(f"{TOTAL}.") and name.removeprefix(f"{TOTAL}.") in means:
            out[:, place] = means[name.removeprefix(f"{TOTAL}.")][lead:]
    return out


def _means(rows: Sequence[PlanRow], edges: Array, step_s: int) -> Array:
    """Mean rate of each step between the edges, from the integrals of rate and of known time."""
    knots = np.array([*(each.at.timestamp() for each in rows), rows[-1].at.timestamp() + LAST_ROW_HOLDS_S])
    rates = np.array([each.rate for each in rows])
    amount = np.concatenate([[0.0], np.cumsum(rates * np.diff(knots))])
    produced = np.diff(np.interp(edges, knots, amount))
    known_s = np.diff(np.clip(edges, knots[0], knots[-1]))
    return np.where(known_s >= 0.5 * step_s, produced / np.maximum(known_s, 1e-9), np.nan)


def _total(lines: Array, reach: int) -> Array:
    """Sum over lines [lines, n]; NaN where a line that ran within `reach` steps is unknown. One that ended at 0 stays 0."""
    known = np.isfinite(lines)
    last = np.maximum.accumulate(np.where(known, np.arange(lines.shape[1]), -1), axis=1)
    ended_at = np.take_along_axis(lines, np.maximum(last, 0), axis=1)
    missed = ~known & (last >= 0) & (np.arange(lines.shape[1]) - last <= reach) & (ended_at > 0)
    total = np.where(known, lines, 0.0).sum(axis=0)
    return np.where(known.any(axis=0) & ~missed.any(axis=0), total, np.nan)


def plan_text(rows: Iterable[PlanRow]) -> str:
    """The rows as the CSV that `parse_plan` reads."""
    lines = [f"{each.at.isoformat()},{json.dumps(each.line)},{each.rate!r}" for each in rows]
    return "\n".join(["time,line,planned_rate", *lines, ""])


def _row(cell: object, zone: ZoneInfo, *, decimal_comma: bool) -> PlanRow | None:
    if not isinstance(cell, Mapping):
        return None
    named = {str(key).strip().lower().replace(" ", "_"): value for key, value in cell.items()}
    time, line, rate = (
        next((named[n] for n in names if n in named), None) for names in (_TIMES, _LINES, _RATES)
    )
    try:
        at = datetime.fromisoformat(str(time).strip())
        text = str(rate).strip()
        value = float(text.replace(",", ".") if decimal_comma else text)
    except ValueError:
        return None
    if not (math.isfinite(value) and value >= 0):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=zone)
    name = "all" if line is None else str(line).strip()
    return PlanRow(name or "all", at.astimezone(UTC), value)
