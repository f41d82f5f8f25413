"""The oil sump of a screw: blows down when the machine unloads, has to be filled before it delivers.

Source: the cycle of AIRMaster+ / MEASUR (ORNL AMO-Tools-Suite): the excess of power over idling, and
the sump's pressure with it, fall as an exponential that has lost all but 2 % at the end of the
blow-down time; the reload takes its full time only from a sump that is blown down.
"""

from __future__ import annotations

import math

BLOWDOWN_TIME_CONSTANTS = math.log(1.0 / 0.02)
_EMPTY = 1e-6
_NOTHING = 1e-30  # below it the next step would be spent on numbers too small to be numbers


class Sump:
    """`level` is the share of its working pressure that is left, 0 to 1. Times in s, powers in kW."""

    __slots__ = ("_excess_kw", "_idle_kw", "_tau_s", "_vents", "level", "reload_s")

    def __init__(self, *, idle_kw: float, blowdown_s: float, reload_s: float, vents: bool) -> None:
        self._idle_kw, self._vents = idle_kw, vents
        self._tau_s = blowdown_s / BLOWDOWN_TIME_CONSTANTS
        self._excess_kw = 0.0
        self.reload_s = reload_s
        self.level = 0.0

    def fill(self) -> None:
        """The machine delivers: working pressure stands in the sump."""
        self.level = 1.0

    def forget(self) -> None:
        """The motor has just started: nothing in the sump yet."""
        self.level = self._excess_kw = 0.0

    def unload(self, closed_kw: float) -> None:
        """The inlet closes; power is `closed_kw` before the sump blows down."""
        self._excess_kw = max(0.0, closed_kw - self._idle_kw) if self._vents else 0.0

    @property
    def power_kw(self) -> float:
        """Power of the unloaded machine at this instant."""
        return self._idle_kw + self._excess_kw * self.level

    @property
    def fill_s(self) -> float:
        """How long a reload would take from here."""
        return self.reload_s * (1.0 - self.level)

    def vent(self, span_s: float) -> float:
        """Energy of `span_s` unloaded, [kW s]."""
        if not self._vents:
            return self._idle_kw * span_s
        if self._excess_kw == 0.0 or self.level < _EMPTY or self._tau_s <= 0.0:
            self.level = 0.0
            return self._idle_kw * span_s
        kept = self.level * math.exp(-span_s / self._tau_s)
        spent = self._idle_kw * span_s + self._excess_kw * (self.level - kept) * self._tau_s
        self.level = kept
        return spent

    def fade(self, span_s: float) -> None:
        """The motor stands: what is left blows off."""
        if self.level > _NOTHING:
            self.level = self.level * math.exp(-span_s / self._tau_s) if self._tau_s > 0.0 else 0.0

    def refill(self, share_of_the_way: float) -> None:
        """A reload got this far: it fills as it had emptied, so one that is abandoned begins a shorter blow-down."""
        self.level += (1.0 - self.level) * share_of_the_way
