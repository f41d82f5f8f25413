"""Known columns that no data file holds: the production plan by its file, price and shift by the site's, as on site."""

import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter, ValidationError

from agent.config.parts import WeekTime
from agent.config.services import Production
from agent.config.site import Tariff
from agent.daemon.known import is_site_column, site_columns
from agent.daemon.production import ProductionPlan
from agent.errors import DataError
from agent.inference.production import TOTAL, is_plan_column, parse_plan
from training.dataset import Frame


def with_plan(known: Sequence[str], plan: Path | None) -> tuple[str, ...]:
    """The known columns, and the plan's total where a plan is given and none of its columns is asked for."""
    if plan is None or any(is_plan_column(name) for name in known):
        return tuple(known)
    return (*known, TOTAL)


def made_here(known: Sequence[str], plan: Path | None, site: Path | None) -> tuple[str, ...]:
    """Those of the known columns that come from plan or site file, and not from the data."""
    return tuple(
        name
        for name in known
        if is_site_column(name) and (plan is not None if is_plan_column(name) else site is not None)
    )


def add_ahead(
    frame: Frame, names: Sequence[str], *, tz: str, plan: Path | None, site: Path | None, target: str
) -> Frame:
    """The frame with these columns, over its own rows. Raises DataError for files that cannot be read."""
    if not names:
        return frame
    tariff, shifts = _of_site(site, target)
    columns = site_columns(
        names, frame.first_at, frame.step_s, frame.rows, tz, _plan(plan, tz), tariff, shifts
    )
    made = {name: columns[:, place].copy() for place, name in enumerate(names)}
    notes = [
        f"{name} is unknown throughout: {plan if is_plan_column(name) else site} does not name it"
        for name, values in made.items()
        if not np.isfinite(values).any()
    ]
    return replace(frame, columns={**frame.columns, **made}, notes=(*frame.notes, *notes))


def _plan(path: Path | None, tz: str) -> ProductionPlan | None:
    if path is None:
        return None
    try:
        rows = parse_plan(path.read_text(encoding="utf-8-sig"), tz).rows
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read the plan: {error}",
            where=str(path),
            fix="give a CSV of time, line, planned_rate",
        ) from error
    return ProductionPlan(Production(), tz, rows=rows)


def _of_site(path: Path | None, target: str) -> tuple[Tariff, tuple[WeekTime, ...]]:
    if path is None:
        return Tariff(), ()
    try:
        site = tomllib.loads(path.read_text(encoding="utf-8-sig"))
        station = site.get("stations", {}).get(target.partition(".")[0], {})
        tariff = Tariff.model_validate(site.get("tariff", {}))
        shifts = TypeAdapter(tuple[WeekTime, ...]).validate_python(tuple(station.get("shift_hours", ())))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise DataError(
            f"cannot read tariff and shifts: {error}", where=str(path), fix="run trimload check on it"
        ) from error
    return tariff, shifts
