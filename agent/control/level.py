"""How far above the minimum the band begins: learned from the dips that come, for each way of trimming."""

from __future__ import annotations

from agent.config.site import Station

# The floor rises this fast while the pressure is below the minimum ...
_RISE_BAR_S = 0.002
# ... and sinks so that it stands still when this share of the time is spent below: a third of what
# users of sequencers accept (0.1 %), so that a bad day stays inside.
_SHARE_BELOW = 0.0003
# A trimming VSD holds its pressure this far above the floor: twice the swing of a quiet net with sensor noise.
_VSD_AIM_BAR = 0.03
# With a VSD the other machines change when its range ends, not when a wide band is left.
_VSD_WIDTH_BAR = 0.12
_HIGHEST_BAR = 0.3
# For so long after the way of trimming has changed a dip is the doing of the way before: it set the pressure that the
# dip began from. A sudden rise takes a VSD to its end, and the trim passes on, before the pressure is below.
_HANDED_ON_S = 60.0
# That is so where it happens often: so many seconds of such dips are spared, and come back at half of the 0.1 % below
# that users accept. Where they are seldom the dip teaches whoever trims in it, which costs a calm plant less.
_SPARED_S, _SPARED_SHARE = 30.0, 0.0005
# A band that is wide for economy stays this far from the net's highest pressure: unloading takes its seconds.
_WIDE_MARGIN_BAR = 0.1


class BandLevel:
    """Lowest pressure, aim and highest pressure of the band [bar gauge].

    The floor is a stochastic approximation of the pressure's quantile: `_SHARE_BELOW` of the time below the
    minimum is what it settles at. A trimming VSD needs another floor than a machine that loads and
    unloads, so each has its own. A site that sets `band_adapts = false` keeps its floor.
    """

    __slots__ = ("_by_speed", "_floors", "_handed_on_s", "_spared_s", "_station", "reserve_bar", "unseen_bar")

    def __init__(self, station: Station) -> None:
        self._station = station
        self._floors = [station.band_floor_bar, station.band_floor_bar]
        self._by_speed: bool | None = None
        self._handed_on_s = 0.0
        self._spared_s = _SPARED_S
        # The floor does not stand below this, whatever was learned: what a trip costs, where the site bears none.
        self.reserve_bar = 0.0
        # The net may stand this far below what the sensor shows: half of a coarse one's step. No dip within it is seen.
        self.unseen_bar = 0.0

    def floor_bar(self, *, by_speed: bool) -> float:
        """How far above the minimum the band begins while a VSD trims, or while none does."""
        # A VSD holds its aim, so that is what the trip finds; a machine that switches may be at its lowest.
        reserve = self.reserve_bar - _VSD_AIM_BAR if by_speed else self.reserve_bar
        return max(self._floors[by_speed], reserve)

    def edges(
        self, *, by_speed: bool, surge_bar: float = 0.0, worthwhile_bar: float = 0.0
    ) -> tuple[float, float, float]:
        """(low, aim, high). `surge_bar`: how far above the minimum a sudden rise of the demand is met.

        `worthwhile_bar`: the width that pays for itself while a machine loads and unloads (control/cycle.py).
        """
        station = self._station
        # A VSD holds its aim, so that is what the rise finds; a machine that switches may be at its lowest.
        reserve = max(surge_bar - _VSD_AIM_BAR, 0.0) if by_speed else surge_bar
        if not station.band_adapts:
            reserve = worthwhile_bar = 0.0
        low = station.pressure_min_bar_g + max(self.floor_bar(by_speed=by_speed), reserve)
        if station.band_adapts:
            low += self.unseen_bar
        width = min(station.band_width_bar, _VSD_WIDTH_BAR) if by_speed else station.band_width_bar
        high = min(low + width, station.pressure_max_bar_g)
        if not by_speed:
            high = max(high, min(low + worthwhile_bar, station.pressure_max_bar_g - _WIDE_MARGIN_BAR))
        aim = min(low + _VSD_AIM_BAR, high) if by_speed else 0.5 * (low + high)
        return low, aim, high

    def learn(self, pressure_bar_g: float, dt_s: float, *, by_speed: bool, short: bool) -> None:
        """Take in one tick under our control. `short`: the running machines cannot cover the demand.

        A dip for want of a running machine teaches nothing: a higher band would pay all day for a
        start that came late once.
        """
        station = self._station
        if not station.band_adapts:
            return
        if by_speed is not self._by_speed:
            self._handed_on_s = 0.0 if self._by_speed is None else _HANDED_ON_S
            self._by_speed = by_speed
        self._handed_on_s = max(self._handed_on_s - dt_s, 0.0)
        if self._handed_on_s > 0.0 and pressure_bar_g < station.pressure_min_bar_g and not short:
            if self._spared_s < dt_s:
                by_speed = not by_speed
            else:
                self._spared_s -= dt_s
        else:
            self._spared_s = min(self._spared_s + _SPARED_SHARE * dt_s, _SPARED_S)
        floor = self._floors[by_speed]
        if pressure_bar_g >= station.pressure_min_bar_g:
            floor = max(floor - _RISE_BAR_S * _SHARE_BELOW * dt_s, 0.0)
        elif not short:
            room = station.pressure_max_bar_g - station.band_width_bar - station.pressure_min_bar_g
            highest = max(min(_HIGHEST_BAR, room), station.band_floor_bar)
            floor = min(floor + _RISE_BAR_S * dt_s, highest)
        self._floors[by_speed] = floor
