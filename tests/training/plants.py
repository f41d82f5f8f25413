"""Seeded series for the training tests: a plant with shifts, weekends and weather."""

from datetime import UTC, datetime

import numpy as np

from training.dataset import Frame

FIRST_AT = datetime(2024, 1, 1, tzinfo=UTC)


def frame(days: int, *, step_s: int = 3600, seed: int = 5, missing: float = 0.0) -> Frame:
    """Load 10 plus a shift of 20, plus 0.6 kW a degree; noise 1; temperature known ahead."""
    rng = np.random.default_rng(seed)
    per_day = 86_400 // step_s
    n = days * per_day
    hour = np.arange(n) * 24 / per_day
    temp = 15 + 6 * np.sin(2 * np.pi * hour / 24) + np.repeat(rng.normal(0, 4, days), per_day)
    works = (hour % 24 >= 6) & (hour % 24 < 18) & ((hour // 24) % 7 < 5)
    load = 10 + 20 * works + 0.6 * temp + rng.normal(0, 1, n)
    load[rng.random(n) < missing] = np.nan
    return Frame(FIRST_AT, step_s, {"load": load, "temp": temp})
