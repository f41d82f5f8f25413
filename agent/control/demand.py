"""How much air the plant takes, from the pressure's slope and what the machines deliver."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from agent.control.view import Fleet, StationView, bits_in

# Filters of the demand: a fast one for loading, a slow one for choosing machines.
_FAST_S = 20.0
# A meter that is believed needs no slope of a noisy pressure: what it shows is followed sooner.
_FAST_METER_S = 6.0
_SLOW_S = 120.0
# The pressure's slope is taken over this span: a sensor's noise of 5 mbar over one second would be
# worth a whole machine, over ten it is a tenth of that.
_SLOPE_S = 10.0
# A flow meter that differs from the balance by more than this for long is not believed.
_METER_TRUST_SHARE = 0.25
_METER_DOUBT_S = 900.0
# One that shows next to nothing while the pressure tells of a demand is left at once: a cut transmitter shows 0. Both
# filtered alike, over so long; less than half of the balance, and a tenth of all machines' flow below it.
_GROSS_S = 10.0
_GROSS_SHARE, _GROSS_OF_TOTAL = 0.5, 0.1


@dataclass(slots=True)
class Demand:
    """Estimates in free air [m3/min]; None until two pressures were seen."""

    fast_m3_min: float
    slow_m3_min: float
    supply_m3_min: float


class DemandEstimator:
    """Mass balance of the receiver: demand = supply - (V / p_atm) dp/dt.

    With a flow meter the meter is used, as long as it agrees with the balance of the nameplates.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = self._plates = fleet
        self._past: deque[tuple[float, float, float]] = deque()
        self._volume_m3 = 0.0
        self._last_s: float | None = None
        self._fast: float | None = None
        self._slow = 0.0
        self._balance_slow = 0.0
        self._doubt_s = 0.0
        self._total = sum(fleet.full_flow)
        self._silent = 0
        self._near: tuple[float, float] | None = None

    @property
    def meter_doubted(self) -> bool:
        """The flow meter has disagreed with the balance for a quarter of an hour."""
        return self._doubt_s > _METER_DOUBT_S

    def use(self, fleet: Fleet) -> None:
        """From now on the machines deliver as `fleet` says; a meter is judged by what they were first said to."""
        self._fleet = fleet

    def update(self, view: StationView) -> Demand | None:
        """Take in one tick; None while nothing can be said."""
        supply = self._fleet.supply(view)
        self._see_who_is_back(view)
        if view.pressure_bar_g is None:
            self._past.clear()
            self._last_s = None
            return None if self._fast is None else Demand(self._fast, self._slow, supply)
        now_s, last_s = view.at_s, self._last_s
        if last_s is not None and (now_s <= last_s or now_s - last_s > 120.0):
            self._past.clear()
            last_s = None
        step_s = 0.0 if last_s is None else now_s - last_s
        self._volume_m3 += supply * step_s / 60.0
        self._last_s = now_s
        self._past.append((now_s, view.pressure_bar_g, self._volume_m3))
        while len(self._past) > 2 and now_s - self._past[1][0] >= _SLOPE_S:
            self._past.popleft()
        if len(self._past) < 2:
            return None if self._fast is None else Demand(self._fast, self._slow, supply)
        first_s, first_bar, first_m3 = self._past[0]
        stored_m3 = (view.pressure_bar_g - first_bar) * self._fleet.m3_per_bar
        balance = max((self._volume_m3 - first_m3 - stored_m3) / (now_s - first_s) * 60.0, 0.0)
        by_plates = balance
        if self._fleet is not self._plates:
            by_plates = max(balance + self._plates.supply(view) - supply, 0.0)
        self._filter(view, balance, by_plates, step_s)
        assert self._fast is not None
        return Demand(self._fast, self._slow, supply)

    def _see_who_is_back(self, view: StationView) -> None:
        """What a machine delivered while it was silent was no demand on the others; from now on it is."""
        silent, before = view.states.silent, self._silent
        self._silent = silent
        flow = sum(self._fleet.flow_of(i, view.machines[i]) for i in bits_in(before & ~silent))
        if not flow or self._fast is None:
            return
        self._past.clear()
        if view.flow_m3_min is None or self.meter_doubted:
            self._fast, self._slow = self._fast + flow, self._slow + flow

    def _filter(self, view: StationView, balance: float, by_plates: float, step_s: float) -> None:
        if self._fast is None:
            self._fast = self._slow = self._balance_slow = balance
            return
        slow_gain = 1.0 - math.exp(-step_s / _SLOW_S)
        # What a silent machine delivers is missing in the balance: no meter is judged by that.
        blind = bool(self._silent)
        if not blind:
            self._balance_slow += (by_plates - self._balance_slow) * slow_gain
        measured, fast_s = balance, _FAST_S
        meter = view.flow_m3_min
        if meter is None:
            self._near = None
        else:
            off = abs(meter - self._balance_slow) > _METER_TRUST_SHARE * max(self._balance_slow, 1.0)
            self._doubt_s = (
                self._doubt_s
                if blind
                else min(self._doubt_s + step_s, 2 * _METER_DOUBT_S)
                if off
                else max(self._doubt_s - 2 * step_s, 0.0)
            )
            if not self._far_too_low(meter, balance, step_s) and not self.meter_doubted:
                measured, fast_s = max(meter, 0.0), _FAST_METER_S
        self._fast += (measured - self._fast) * (1.0 - math.exp(-step_s / fast_s))
        self._slow += (measured - self._slow) * slow_gain

    def _far_too_low(self, meter: float, balance: float, step_s: float) -> bool:
        """Whether the meter says hardly anything is taken while the pressure falls as if much were."""
        if self._near is None:
            self._near = (meter, balance)
        gain = 1.0 - math.exp(-step_s / _GROSS_S)
        shown, found = self._near
        shown, found = self._near = (shown + (meter - shown) * gain, found + (balance - found) * gain)
        return found - shown > max(_GROSS_SHARE * found, _GROSS_OF_TOTAL * self._total)
