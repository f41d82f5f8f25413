"""Conversion into the canonical units, done once, at the driver.

Canonical: kW, kWh, m3/min free air, bar (gauge or absolute as the tag says), degC, share 0-1, s, m/s.
The factors are exact by definition or from NIST SP 811 (2008), appendix B.8.
"""

from __future__ import annotations

from typing import NamedTuple


class Conversion(NamedTuple):
    """canonical = raw * factor + offset."""

    canonical: str
    factor: float
    offset: float = 0.0


CONVERSIONS: dict[str, Conversion] = {
    "": Conversion("", 1.0),
    "kW": Conversion("kW", 1.0),
    "W": Conversion("kW", 1e-3),
    "MW": Conversion("kW", 1e3),
    "hp": Conversion("kW", 0.745699871582270),  # mechanical horsepower, 550 ft lbf/s
    "kWh": Conversion("kWh", 1.0),
    "MWh": Conversion("kWh", 1e3),
    "m3/min": Conversion("m3/min", 1.0),
    "m3/h": Conversion("m3/min", 1.0 / 60.0),
    "m3/s": Conversion("m3/min", 60.0),
    "l/s": Conversion("m3/min", 0.06),
    "l/min": Conversion("m3/min", 1e-3),
    "cfm": Conversion("m3/min", 0.028316846592),  # 0.3048 m cubed
    "bar": Conversion("bar", 1.0),
    "mbar": Conversion("bar", 1e-3),
    "kPa": Conversion("bar", 1e-2),
    "Pa": Conversion("bar", 1e-5),
    "MPa": Conversion("bar", 10.0),
    "psi": Conversion("bar", 0.0689475729316836),
    "degC": Conversion("degC", 1.0),
    "degF": Conversion("degC", 5.0 / 9.0, -160.0 / 9.0),
    "K": Conversion("degC", 1.0, -273.15),
    "share": Conversion("share", 1.0),
    "%": Conversion("share", 1e-2),
    "s": Conversion("s", 1.0),
    "min": Conversion("s", 60.0),
    "h": Conversion("s", 3600.0),
    "W/m2": Conversion("W/m2", 1.0),
    "m/s": Conversion("m/s", 1.0),
    "km/h": Conversion("m/s", 1.0 / 3.6),
    "ppm": Conversion("ppm", 1.0),
    "bool": Conversion("bool", 1.0),
    "rpm": Conversion("rpm", 1.0),
    "A": Conversion("A", 1.0),
}

M3_PER_CUBIC_FOOT = 0.028316846592
BAR_PER_PSI = 0.0689475729316836
ATMOSPHERE_BAR = 1.01325


def to_canonical(raw: float, unit: str) -> float:
    """`raw` in `unit` -> the canonical unit. KeyError for a unit that config would refuse."""
    conversion = CONVERSIONS[unit]
    return raw * conversion.factor + conversion.offset


def from_canonical(value: float, unit: str) -> float:
    """The inverse of `to_canonical`."""
    conversion = CONVERSIONS[unit]
    return (value - conversion.offset) / conversion.factor
