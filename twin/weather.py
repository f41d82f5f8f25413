"""Made-up weather from a seed: seasons, days, fronts and clouds."""

from __future__ import annotations

import math
import random
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

FRONT_H = 30.0  # a warm or cold spell fades with about this time constant
FRONT_SPREAD_K = 2.5
CLOUD_H = 8.0
SOLAR_CONSTANT_W_M2 = 1361.0
DEGREE = math.pi / 180.0


class Conditions(NamedTuple):
    """Outdoor temperature, global horizontal irradiance, wind, and the hour of the sun (12 is noon)."""

    temp_degc: float
    sun_w_m2: float
    wind_m_s: float = 0.0
    solar_hour: float = 12.0


class Weather:
    """Weather as a function of time from `start_at` on; the same seed gives the same weather.

    Temperature: yearly and daily wave plus an anomaly that fades (AR(1) by the hour). Sun: height
    over the horizon at `latitude_deg`, clear-sky transmission, and clouds that come and go.
    """

    def __init__(
        self,
        *,
        start_at: datetime,
        seed: int,
        timezone: str = "UTC",
        latitude_deg: float = 50.0,
        mean_degc: float = 10.5,
        yearly_swing_k: float = 10.0,
        daily_swing_k: float = 5.5,
    ) -> None:
        self._origin = start_at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
        standard = self._origin.replace(month=1, day=1).astimezone(ZoneInfo(timezone)).utcoffset()
        self._solar_shift_h = (standard or timedelta()).total_seconds() / 3600.0
        self._latitude = latitude_deg
        self._mean_degc, self._yearly_k, self._daily_k = mean_degc, yearly_swing_k, daily_swing_k
        self._rng = random.Random(seed)
        self._front = [self._rng.gauss(0.0, FRONT_SPREAD_K)]
        self._cloud = [self._rng.gauss(0.0, 1.0)]

    def at(self, at: datetime) -> Conditions:
        """Conditions at an instant; before the start those of the start's first hour hold."""
        hours = max(0.0, (at - self._origin).total_seconds() / 3600.0)
        front = self._between(self._front, hours)
        cloud = 0.5 + 0.5 * math.tanh(self._between(self._cloud, hours))  # 0 clear, 1 overcast
        solar = at.astimezone(UTC) + timedelta(hours=self._solar_shift_h)
        day = solar.timetuple().tm_yday
        clock = solar.hour + solar.minute / 60.0 + solar.second / 3600.0
        season = math.cos(2.0 * math.pi * (day - 20) / 365.0)  # the coldest about 20 January
        south = -1.0 if self._latitude >= 0 else 1.0
        wave = math.cos(2.0 * math.pi * (clock - 15.0) / 24.0)  # the warmest about 15:00
        temp = (
            self._mean_degc
            + south * self._yearly_k * season
            + self._daily_k * (1.15 - 0.7 * cloud) * wave
            + front
        )
        # Fronts bring wind, and so does the warm part of a clear day.
        wind = 2.0 + 0.8 * abs(front) + 2.0 * cloud + max(0.0, 1.5 * wave)
        return Conditions(temp, self._sun(day, clock) * (1.0 - 0.75 * cloud**2), wind, clock)

    def _sun(self, day: int, clock: float) -> float:
        declination = -23.44 * DEGREE * math.cos(2.0 * math.pi * (day + 10) / 365.0)
        latitude = self._latitude * DEGREE
        angle = 15.0 * DEGREE * (clock - 12.0)
        height = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(
            declination
        ) * math.cos(angle)
        if height <= 0.01:
            return 0.0
        # Clear-sky global irradiance after Haurwitz (1945): 1098 cos z exp(-0.057 / cos z).
        return min(SOLAR_CONSTANT_W_M2, 1098.0 * height * math.exp(-0.057 / height))

    def _between(self, series: list[float], hours: float) -> float:
        whole = int(hours)
        while len(series) <= whole + 1:
            # Both grow together, so that the draw of an hour does not depend on who asked first.
            self._front.append(self._fade(self._front[-1], FRONT_H, FRONT_SPREAD_K))
            self._cloud.append(self._fade(self._cloud[-1], CLOUD_H, 1.0))
        return series[whole] + (series[whole + 1] - series[whole]) * (hours - whole)

    def _fade(self, last: float, hold_h: float, spread: float) -> float:
        keep = math.exp(-1.0 / hold_h)
        return keep * last + self._rng.gauss(0.0, spread * math.sqrt(1.0 - keep * keep))
