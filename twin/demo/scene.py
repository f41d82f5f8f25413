"""What the demonstration plays: a site, twelve weeks of its past, a day to come, a model trained on the past."""

from __future__ import annotations

import csv
import random
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from agent.config.site import Site
from agent.daemon.outlook import STEP_S
from agent.errors import ConfigError
from twin.demand import DemandSeries, shift_demand

PAST_DAYS = 84
# The agent keeps this much of it: what the longest look back of model and naive rule needs.
KEPT_DAYS = 35
METER_NOISE_SHARE = 0.005


@dataclass(frozen=True, slots=True)
class DemoScene:
    """One station of the site, its demand of the past and of the day."""

    site: Site
    station_id: str
    start_at: datetime
    end_at: datetime
    past_at: datetime
    past_m3_min: NDArray[np.float64]
    day: DemandSeries
    seed: int


def demo_scene(site: Site, *, hours: float, seed: int) -> DemoScene:
    """A working day of the first station. Raises ConfigError for a site without one."""
    if not site.stations:
        raise ConfigError(
            "the site has no compressed-air station to show",
            where="[stations]",
            fix="take examples/demo/site.toml, or add a station",
        )
    station_id, station = next(iter(site.stations.items()))
    zone = ZoneInfo(site.site.timezone)
    # A Tuesday in June: shifts, breaks, and cooling weather for the zones.
    start_at = datetime(2026, 6, 16, 0, 0, tzinfo=zone).astimezone(UTC)
    past_at = start_at - timedelta(days=PAST_DAYS)
    series = shift_demand(station, site.site.timezone, past_at, PAST_DAYS + 2, seed)
    per_step = STEP_S // 60
    count = PAST_DAYS * 86400 // STEP_S
    past = np.array(series.values[: count * per_step]).reshape(count, per_step).mean(axis=1)
    noise = random.Random(seed)
    past *= np.array([1.0 + METER_NOISE_SHARE * noise.gauss(0.0, 1.0) for _ in range(count)])
    day = DemandSeries(start_at, 60.0, series.values[PAST_DAYS * 1440 :])
    return DemoScene(site, station_id, start_at, start_at + timedelta(hours=hours), past_at, past, day, seed)


def write_demand(scene: DemoScene, path: Path) -> None:
    """The day's demand as a file for `trimload twin --demand`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("at", "demand_m3_min"))
        for minute, value in enumerate(scene.day.values):
            rows.writerow(((scene.day.start_at + timedelta(minutes=minute)).isoformat(), f"{value:.5f}"))


def history_rows(scene: DemoScene, tag: str) -> list[tuple[datetime, str, float | None]]:
    """The last weeks as the store keeps them: one row a minute."""
    per_step = STEP_S // 60
    first = (PAST_DAYS - KEPT_DAYS) * 86400 // STEP_S
    return [
        (scene.past_at + timedelta(minutes=step * per_step + minute), tag, float(value))
        for step, value in enumerate(scene.past_m3_min)
        if step >= first
        for minute in range(per_step)
    ]
