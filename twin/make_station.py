"""Stations drawn from a seed, as they stand in real compressor rooms: 3 to 8 screws, 6.3 to 12 bar.

Ranges, with their sources: specific power by motor size at 100 psig (medians of the MEASUR catalogue)
carried to the station's pressure by the isentropic rule; unloaded power 16-27 % of full load (catalogue
median 17 %, field reports 20-25 %); blow-down 10-90 s about a median of 40 s; start to air 10-30 s;
VSD turndown 25-45 %, best in the middle of its range; receivers and pipes 1-10 US gallons per cfm of the
whole room. No real site is meant.
"""

from __future__ import annotations

import math
import random
from typing import NamedTuple

from agent.units import ATMOSPHERE_BAR, M3_PER_CUBIC_FOOT

M3_PER_GALLON = 0.003785411784
CATALOGUE_BAR_G = 6.895  # 100 psig
ISENTROPIC_EXPONENT = 0.283
# Motor sizes of makers' lists, [kW], and what the package takes of the net for each (fan, losses, service factor).
MOTOR_KW = (22, 30, 37, 45, 55, 75, 90, 110, 132, 160, 200, 250, 315, 355)
PACKAGE_SHARE = (1.08, 1.18)
# (largest motor [kW], median specific package power at 100 psig [kW/(m3/min)]): 20-40, 50-100, 125-200, 250-500 hp.
SPECIFIC_KW_MIN_M3 = ((31.0, 7.2), (80.0, 6.5), (155.0, 6.1), (math.inf, 6.2))
SHIFTS = (
    (("mon-fri", "06:00", "22:00"), ("sat", "06:00", "14:00")),
    (("mon-fri", "06:00", "22:00"),),
    (("mon-fri", "06:00", "24:00"), ("sat", "06:00", "14:00")),
    (("mon-fri", "07:00", "17:00"),),
    (("mon-sat", "00:00", "24:00"), ("sun", "18:00", "24:00")),
)


class DrawnMachine(NamedTuple):
    """Nameplate of one machine. Flows m3/min free air, powers kW, at the station's middle pressure."""

    is_vsd: bool
    full_flow_m3_min: float
    full_power_kw: float
    unloaded_power_kw: float
    turndown_flow_m3_min: float
    turndown_power_kw: float
    mid_flow_m3_min: float
    mid_power_kw: float
    start_s: float
    reload_s: float
    blowdown_s: float
    min_run_s: float
    min_stop_s: float
    max_starts_per_hour: int


class DrawnStation(NamedTuple):
    """A station of `draw_station`. Pressures gauge; `gallons_per_cfm` of all machines together."""

    seed: int
    pressure_min_bar_g: float
    pressure_max_bar_g: float
    receiver_m3: float
    receiver_rated_bar_g: float
    gallons_per_cfm: float
    energy_price_per_kwh: float
    peak_price_per_kwh: float | None
    demand_charge_per_kw: float
    shifts: tuple[tuple[str, str, str], ...]
    machines: tuple[DrawnMachine, ...]


def draw_station(seed: int) -> DrawnStation:
    """The station of a seed: the same on every machine and in every version that keeps this module."""
    rng = random.Random(f"station {seed}")
    count = rng.randint(3, 8)
    speeds = rng.choices((0, 1, 2), weights=(2, 6, 2))[0]
    # Most rooms run at 7 bar; blow moulding, paint shops and long nets ask for more.
    low = rng.uniform(6.3, 7.4) if rng.random() < 0.65 else rng.uniform(7.4, 11.4)
    low = round(low, 1)
    high = round(low + rng.uniform(1.2, 1.8), 1)
    machines = _machines(rng, count, speeds, 0.5 * (low + high))
    capacity = sum(m.full_flow_m3_min for m in machines)
    # Rule of thumb: 1 gallon per cfm does beside a VSD; who cycles fixed machines learns to want several.
    gallons = math.exp(rng.uniform(math.log(1.0 if speeds else 2.0), math.log(10.0)))
    receiver = gallons * M3_PER_GALLON * capacity / M3_PER_CUBIC_FOOT
    price = round(rng.uniform(0.11, 0.22), 3)
    peak_price = round(price * rng.uniform(1.15, 1.6), 3) if rng.random() < 0.5 else None
    return DrawnStation(
        seed=seed,
        pressure_min_bar_g=low,
        pressure_max_bar_g=high,
        receiver_m3=round(receiver, 1),
        receiver_rated_bar_g=16.0 if high > 10.5 else 11.0,
        gallons_per_cfm=gallons,
        energy_price_per_kwh=price,
        peak_price_per_kwh=peak_price,
        demand_charge_per_kw=round(rng.uniform(4.0, 12.0), 1) if rng.random() < 0.6 else 0.0,
        shifts=rng.choice(SHIFTS),
        machines=machines,
    )


def specific_power_kw_min_m3(motor_kw: float, pressure_bar_g: float) -> float:
    """Median specific package power of a single-stage screw, [kW/(m3/min)], at `pressure_bar_g`."""
    median = next(value for most, value in SPECIFIC_KW_MIN_M3 if motor_kw <= most)
    return float(median * _head(pressure_bar_g) / _head(CATALOGUE_BAR_G))


def _head(pressure_bar_g: float) -> float:
    return float(((pressure_bar_g + ATMOSPHERE_BAR) / ATMOSPHERE_BAR) ** ISENTROPIC_EXPONENT - 1.0)


def _machines(rng: random.Random, count: int, speeds: int, pressure_bar_g: float) -> tuple[DrawnMachine, ...]:
    """Fixed machines, often in pairs, then those of variable speed."""
    middle = rng.randint(3, len(MOTOR_KW) - 4)
    fixed: list[DrawnMachine] = []
    while len(fixed) < count - speeds:
        if fixed and rng.random() < 0.45:
            fixed.append(rng.choice(fixed))  # a twin: rooms are extended by the same make
        else:
            motor = MOTOR_KW[min(len(MOTOR_KW) - 1, max(0, middle + rng.randint(-3, 2)))]
            fixed.append(_machine(rng, motor, pressure_bar_g, vsd=False))
    variable = [
        _machine(rng, MOTOR_KW[min(len(MOTOR_KW) - 1, middle + rng.randint(-1, 3))], pressure_bar_g, vsd=True)
        for _ in range(speeds)
    ]
    return (*fixed, *variable)


def _machine(rng: random.Random, motor_kw: float, pressure_bar_g: float, *, vsd: bool) -> DrawnMachine:
    power = motor_kw * rng.uniform(*PACKAGE_SHARE)
    # Ages and makes scatter by some per cent; an inverter costs 2-4 %, an ill-chosen one more.
    specific = specific_power_kw_min_m3(motor_kw, pressure_bar_g)
    specific *= min(1.12, max(0.9, rng.gauss(1.0, 0.045))) * (rng.uniform(1.0, 1.08) if vsd else 1.0)
    flow = power / specific
    low, mid = flow * rng.uniform(0.25, 0.45), flow * rng.uniform(0.6, 0.7)
    return DrawnMachine(
        is_vsd=vsd,
        full_flow_m3_min=round(flow, 2),
        full_power_kw=round(power, 1),
        unloaded_power_kw=round(
            power * (rng.uniform(0.1, 0.2) if vsd else rng.triangular(0.16, 0.27, 0.2)), 1
        ),
        turndown_flow_m3_min=round(low, 2),
        turndown_power_kw=round(low * specific * rng.uniform(1.03, 1.18), 1),
        mid_flow_m3_min=round(mid, 2),
        mid_power_kw=round(mid * specific * rng.uniform(0.94, 1.0), 1),
        start_s=float(rng.randint(10, 30)),
        reload_s=float(rng.randint(2, 5)),
        blowdown_s=round(rng.triangular(10.0, 90.0, 40.0), 0),
        min_run_s=float(rng.choice((60, 120, 120, 180, 300))),
        min_stop_s=float(rng.choice((30, 60, 60, 120))),
        max_starts_per_hour=rng.choice((4, 6, 6)) if motor_kw >= 132 else rng.choice((6, 6, 8)),
    )
