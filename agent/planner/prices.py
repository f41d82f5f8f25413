"""What a kilowatt-hour costs in each step, in the site's own time zone."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Tariff


def price_at(tariff: Tariff, zone: ZoneInfo, at: datetime) -> float:
    """Energy price per kWh in force at an instant."""
    local = at.astimezone(zone)
    minute = local.hour * 60 + local.minute
    for period in tariff.periods:
        if period.contains(local.weekday(), minute):
            return period.energy_price_per_kwh
    return tariff.energy_price_per_kwh


def price_grid(
    tariff: Tariff, timezone: str, first_at: datetime, steps: int, step_s: float
) -> NDArray[np.float64]:
    """Energy price per kWh of `steps` steps from `first_at` on, each taken at its middle."""
    zone = ZoneInfo(timezone)
    return np.array(
        [price_at(tariff, zone, first_at + timedelta(seconds=step_s * (i + 0.5))) for i in range(steps)]
    )
