"""Seeded series of a small plant, for the forecasting tests."""

from datetime import UTC, datetime

import numpy as np

from agent.inference.calendar import calendar_columns
from training.dataset import Frame

FIRST_AT = datetime(2024, 1, 1, tzinfo=UTC)  # a Monday
STEP_S = 3600
PER_DAY = 24


def plant(days: int, seed: int = 3) -> np.ndarray:
    """Hourly load: 10 at night and on weekends, 30 from six to eighteen on working days, noise of 1."""
    hours = np.arange(days * PER_DAY)
    works = (hours % 24 >= 6) & (hours % 24 < 18) & ((hours // 24) % 7 < 5)
    return 10.0 + 20.0 * works + np.random.default_rng(seed).normal(0, 1, len(hours))


def kinds(length: int) -> np.ndarray:
    cal = calendar_columns(FIRST_AT, STEP_S, length, tz="UTC")
    return np.where(cal[:, 1] == 5, 1, np.where(cal[:, 1] == 6, 2, 0))


def plant_frame(days: int) -> Frame:
    """The plant with half a kilowatt a degree on top, and that temperature."""
    hours = np.arange(days * PER_DAY)
    temp = 15 + 8 * np.sin(2 * np.pi * hours / 24) + 4 * np.sin(2 * np.pi * hours / (24 * 9))
    return Frame(FIRST_AT, STEP_S, {"load": plant(days) + 0.5 * temp, "temp": temp})
