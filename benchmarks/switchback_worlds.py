"""Many halls of twin/hvac_world.py at once, for benchmarks/switchback.py: the same three nodes, in numpy.

Steps of five minutes; the unit is a proportional one within its capacity, its COP follows the weather. What is left out of
the twin: dead-band and timers of the unit, sensor noise, walls between halls.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import fields
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from agent.planner.hvac_model import CAPACITY_SLOPE_PER_K, COP_SLOPE_PER_K
from twin.hvac_world import CLIMATES, Hall, random_hall
from twin.weather import Weather

Floats = NDArray[np.float64]
STEP_S = 300.0


class Halls:
    """`count` halls in one climate each; `live` gives each day's energy under set-points that a function chooses."""

    def __init__(self, count: int, begin: datetime, days: int, seed: int) -> None:
        rng = random.Random(seed)
        halls = [random_hall(rng) for _ in range(count)]
        self.h = {f.name: np.array([getattr(hall, f.name) for hall in halls]) for f in fields(Hall)}
        self.count, self.begin = count, begin
        climates = [sorted(CLIMATES)[k % len(CLIMATES)] for k in range(count)]
        self.climates = climates
        self.rng = np.random.default_rng(seed)
        self.work_begin = self.rng.choice([6.0, 7.0, 8.0], count)
        self.work_end = self.rng.choice([16.0, 18.0, 20.0, 22.0], count)
        self.saturday = self.rng.random(count) < 0.4
        self.low = self.rng.choice([18.0, 20.0, 21.0], count)
        self.high = self.low + self.rng.choice([4.0, 5.0, 6.0], count)
        self.cooling_cop = self.rng.uniform(2.4, 3.6, count)
        self.heating_cop = np.where(self.rng.random(count) < 0.5, 1.0, self.rng.uniform(2.4, 3.4, count))
        self.fan_kw = self.h["area_m2"] * self.rng.uniform(1.2, 2.5, count) / 1000.0
        self.power_kw = self.h["area_m2"] * 0.12
        self.crowd = self.rng.uniform(0.8, 1.1, (days + 4, count))
        self.steps = round((days + 3) * 86400 / STEP_S)
        self.outdoor, self.sun, self.wind = (np.empty((self.steps, count)) for _ in range(3))
        for k, name in enumerate(climates):
            place = CLIMATES[name]
            weather = Weather(
                start_at=begin,
                seed=seed * 1000 + k,
                latitude_deg=place.latitude_deg,
                mean_degc=place.mean_degc,
                yearly_swing_k=place.yearly_swing_k,
                daily_swing_k=place.daily_swing_k,
            )
            hourly = [weather.at(begin + timedelta(hours=i)) for i in range((days + 3) * 24 + 2)]
            at = np.arange(self.steps) * STEP_S / 3600.0
            for row, values in (
                (self.outdoor, [c.temp_degc for c in hourly]),
                (self.sun, [c.sun_w_m2 for c in hourly]),
                (self.wind, [c.wind_m_s for c in hourly]),
            ):
                row[:, k] = np.interp(at, np.arange(len(values)), values)

    def people(self, at: datetime, clock_h: float) -> NDArray[np.bool_]:
        """Who has people in at an instant."""
        weekday = at.weekday()
        open_ = np.full(self.count, weekday < 5) | (self.saturday & (weekday == 5))
        end = np.where(weekday == 5, np.minimum(self.work_end, 14.0), self.work_end)
        return open_ & (clock_h >= self.work_begin) & (clock_h < end)

    def live(self, agent: Callable[[datetime], NDArray[np.bool_]], marks: Sequence[datetime]) -> Floats:
        """kWh of each hall between the instants of `marks`: (marks - 1, halls)."""
        h, hours = self.h, STEP_S / 3600.0
        air = mass = shell = np.full(self.count, 20.0)
        out = np.zeros((len(marks) - 1, self.count))
        column = -1
        for k in range(self.steps):
            at = self.begin + timedelta(seconds=k * STEP_S)
            clock_h = at.hour + at.minute / 60.0
            if column + 1 < len(marks) and at >= marks[column + 1]:
                column += 1
                if column == len(marks) - 1:
                    break
            outdoor, sun = self.outdoor[k], self.sun[k]
            people = self.people(at, clock_h)
            soon_at = at + timedelta(hours=1)
            ahead = people | self.people(soon_at, soon_at.hour + soon_at.minute / 60.0)
            # The old schedule keeps comfort from 05:00 to 23:00 whatever the day; the better one follows people.
            comfort = np.where(agent(at), ahead, 5.0 <= clock_h < 23.0)
            low, high = np.where(comfort, self.low, 15.0), np.where(comfort, self.high, 30.0)
            leak = h["leak_ua_at_4_m_s"] * (0.4 + 0.15 * self.wind[k]) * (1.0 + people * h["door_share"])
            leak = leak + people * h["fresh_air_ua"]
            work = people * h["gain_occupied_kw"] * self.crowd[k * int(STEP_S) // 86400]
            facing = np.maximum(0.2, np.cos((clock_h - h["faces_h"]) / 24.0 * 3.0 * np.pi))
            sun_kw = h["glass_m2"] * 0.5 * sun * facing / 1000.0
            to_mass = h["mass_ua"] * (air - mass)
            to_shell = h["shell_inside_ua"] * (air - shell)
            through = h["shell_outside_ua"] * (shell - outdoor - h["roof_sun_k_per_w_m2"] * sun)
            free = work + h["gain_always_kw"] + 0.4 * sun_kw - to_mass - to_shell + leak * (outdoor - air)
            drift = air + hours * free / h["air_kwh_per_k"]
            per_k = h["air_kwh_per_k"] / hours
            most = self.power_kw * (1.0 - CAPACITY_SLOPE_PER_K * (outdoor - 35.0))
            heat = np.clip((low - drift) * per_k, 0.0, self.power_kw) - np.clip(
                (drift - high) * per_k, 0.0, most
            )
            air = drift + heat / per_k
            mass = mass + hours * (to_mass + 0.6 * sun_kw) / h["mass_kwh_per_k"]
            shell = shell + hours * (to_shell - through) / h["shell_kwh_per_k"]
            colder = np.clip(1.0 - COP_SLOPE_PER_K * (outdoor - 35.0), 0.6, 1.6)
            warmer = np.where(
                self.heating_cop > 1.0, np.clip(1.0 + COP_SLOPE_PER_K * (outdoor - 7.0), 0.4, 1.3), 1.0
            )
            power = np.where(
                heat > 0.0, heat / (self.heating_cop * warmer), -heat / (self.cooling_cop * colder)
            )
            power = power + self.fan_kw * (people | (np.abs(heat) > 0.01 * self.power_kw))
            if column >= 0:
                out[column] += power * hours
        return out
