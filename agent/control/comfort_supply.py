"""Supervisory set-points of plant that serves many zones: supply temperature of air and water, and CO2.

Supply: trim and respond, as in ASHRAE Guideline 36 (5.1.14): a little dearer to hold each quarter hour that zones
ask for more, a little cheaper each that none does. Every value lies between what the plant was laid out for and what
still dries the air, so that any of them may stand for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from agent.config.site import Unit
from agent.control.comfort_limits import DeviceRange
from agent.domain import Snapshot

PERIOD = timedelta(minutes=15)
TRIM_K = 0.3
RESPOND_K = 0.4
MOST_K = 1.0
ASKS_K = 0.5  # a zone asks for more when it is this far beyond the set-point in force; twice when three times as far
_SAME = 0.05
_RETRY = timedelta(minutes=5)


class ZoneCall(NamedTuple):
    """One zone as its plant sees it: temperature and set-points in force, None where unknown."""

    temp_degc: float | None
    heating_degc: float | None
    cooling_degc: float | None


class PlantSetpoint:
    """One written point of one unit: what was asked, what came through, and who moved it since."""

    def __init__(self, tag: str, device: DeviceRange, hold: timedelta, same: float = _SAME) -> None:
        self.tag = tag
        self._device, self._hold, self._same = device, hold, max(same, 0.51 * device.step_k)
        self._written: tuple[float, datetime] | None = None
        self._asked: tuple[float, datetime] | None = None
        self._override_until: datetime | None = None

    def standing(self, snapshot: Snapshot) -> float | None:
        """As read since the last write, else as written."""
        value, reading = snapshot.value(self.tag), snapshot.readings.get(self.tag)
        if value is None or reading is None or (self._written and reading.at <= self._written[1]):
            return None if self._written is None else self._written[0]
        return value

    def due(self, now: datetime) -> bool:
        """Whether a period has passed since the last write."""
        return self._written is None or now - self._written[1] >= PERIOD

    def put(self, snapshot: Snapshot, value: float, *, alone: bool) -> float | None:
        """The value to write now, in the device's own range and steps; None where nothing should be."""
        now, standing = snapshot.at, self.standing(snapshot)
        if (
            self._written is not None
            and standing is not None
            and abs(standing - self._written[0]) > self._same
        ):
            self._written = None
            if not alone:
                self._override_until = now + self._hold
        if self._override_until is not None and now < self._override_until:
            return None
        device = self._device
        value = min(max(value, device.low_degc), device.high_degc)
        value = device.origin_degc + device.step_k * round((value - device.origin_degc) / device.step_k)
        if standing is not None and abs(standing - value) <= max(self._same, 0.0):
            return None
        if self._asked is not None and abs(self._asked[0] - value) < _SAME and now - self._asked[1] < _RETRY:
            return None
        self._asked = value, now
        return round(value, 3)

    def wrote(self, tag: str, value: float, at: datetime) -> None:
        """A value was read back."""
        if tag == self.tag:
            self._written, self._asked = (value, at), None

    def release(self) -> list[str]:
        """The tag, where it is to be handed back."""
        ours = self._written is not None or self._asked is not None
        self._written = self._asked = self._override_until = None
        return [self.tag] if ours else []


def next_supply(unit: Unit, standing: float | None, calls: Sequence[ZoneCall]) -> float:
    """The supply set-point of the next quarter hour, [degC]: colder for warm zones, else warmer by and by.

    An air handler whose zones are only cold goes up like one that nobody calls, at the pace of a call.
    """
    low, high = supply_bounds(unit)
    # Nothing known of it: as laid out, which serves everybody.
    value = low if standing is None else standing
    warm = sum(_asks(c.temp_degc, c.cooling_degc, 1.0) for c in calls)
    cold = sum(_asks(c.temp_degc, c.heating_degc, -1.0) for c in calls)
    if warm:
        value -= min(MOST_K, RESPOND_K * warm)
    elif cold:
        value += min(MOST_K, RESPOND_K * cold)
    else:
        value += TRIM_K
    return min(max(value, low), high)


def supply_bounds(unit: Unit) -> tuple[float, float]:
    """Coldest and warmest supply set-point, [degC]."""
    water = unit.kind == "chiller"
    low = (7.0 if water else 13.0) if unit.supply_low_degc is None else unit.supply_low_degc
    high = low + 5.0 if unit.supply_high_degc is None else unit.supply_high_degc
    return low, high


def _asks(temp: float | None, setpoint: float | None, sign: float) -> int:
    if temp is None or setpoint is None:
        return 0
    beyond = sign * (temp - setpoint)
    return 2 if beyond > 3.0 * ASKS_K else int(beyond > ASKS_K)
