"""What is known ahead on site, as the columns that a model asks for by name."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from agent.config.parts import WeekTime
from agent.config.site import Site, Station, Tariff
from agent.daemon.outlook import KnownAhead
from agent.daemon.production import ProductionPlan
from agent.inference.contract import Contract
from agent.inference.production import is_plan_column
from agent.inference.series import Series
from agent.planner.prices import price_grid

PRICE, SHIFT = "price", "shift"


def known_ahead(site: Site, station: Station, plan: ProductionPlan | None) -> KnownAhead:
    """History and horizon of a model's known columns for a forecast at an instant; None for a model without any.

    `plan` and `plan.LINE` come from the production plan, `price` from the tariff, `shift` from the station's shifts.
    A column that the site cannot give is NaN: the forecaster says so and decides.
    """

    def known(contract: Contract, at: datetime) -> Series | None:
        if not contract.known:
            return None
        step_s, length = contract.step_s, contract.hist + contract.horizon
        first_s = int(at.timestamp()) // step_s * step_s - contract.hist * step_s
        first_at = datetime.fromtimestamp(first_s, UTC)
        names = [each.name for each in contract.known]
        columns = site_columns(
            names, first_at, step_s, length, contract.tz, plan, site.tariff, station.shift_hours
        )
        return Series(first_at, step_s, columns)

    return known


def site_columns(
    names: Sequence[str],
    first_at: datetime,
    step_s: int,
    length: int,
    timezone: str,
    plan: ProductionPlan | None,
    tariff: Tariff,
    shifts: Sequence[WeekTime],
) -> NDArray[np.float64]:
    """[length, len(names)]; NaN throughout for a name that the site knows nothing of."""
    out = np.full((length, len(names)), np.nan)
    planned = [place for place, name in enumerate(names) if is_plan_column(name)]
    if planned and plan is not None:
        out[:, planned] = plan.columns([names[place] for place in planned], first_at, step_s, length)
    for place, name in enumerate(names):
        if name == PRICE:
            out[:, place] = price_grid(tariff, timezone, first_at, length, step_s)
        elif name == SHIFT and shifts:
            out[:, place] = _shift_grid(shifts, timezone, first_at, length, step_s)
    return out


def is_site_column(name: str) -> bool:
    """Whether a site can give the column itself."""
    return is_plan_column(name) or name in (PRICE, SHIFT)


def _shift_grid(
    shifts: Sequence[WeekTime], timezone: str, first_at: datetime, length: int, step_s: int
) -> NDArray[np.float64]:
    """1 in a step whose middle lies in a shift, else 0."""
    zone = ZoneInfo(timezone)
    locals_ = [(first_at + timedelta(seconds=step_s * (i + 0.5))).astimezone(zone) for i in range(length)]
    return np.array(
        [
            float(
                any(
                    shift.contains(at.weekday(), at.hour * 60 + at.minute + at.second / 60)
                    for shift in shifts
                )
            )
            for at in locals_
        ]
    )
