"""How a loaded machine sets its flow: speed by order, inlet by pressure, or full flow always."""

from __future__ import annotations

import math

from agent.config.site import Machine
from agent.planner.part_load import KINDS, part_load

# Inverters of this size accelerate from standstill to full speed in about 10 s.
SPEED_RAMP_SHARE_PER_S = 0.1
# A pneumatic inlet valve or guide vanes: open to closed in about 2 s.
INLET_RAMP_SHARE_PER_S = 0.5
DEFAULT_RANGE_BAR = 0.7


class Regulator:
    """Flow share of a loaded machine, and its steady power share.

    A throttled machine is fully open up to `open_bar_g` and closes in proportion over `range_bar`
    above it; its controller sets both to fit its pressure switch.
    """

    __slots__ = (
        "_a",
        "_b",
        "_c",
        "_floor",
        "_ramp",
        "is_vsd",
        "least_share",
        "moves",
        "open_bar_g",
        "range_bar",
        "share",
        "throttles",
    )

    def __init__(self, machine: Machine) -> None:
        kind, curve = KINDS[machine.control], part_load(machine)
        self.is_vsd = machine.control == "vsd"
        self.throttles = kind.throttles
        self.moves = self.is_vsd or self.throttles
        self.least_share, self._a, self._b, self._c, self._floor = curve
        self._ramp = SPEED_RAMP_SHARE_PER_S if self.is_vsd else INLET_RAMP_SHARE_PER_S
        self.range_bar = machine.modulating_range_bar or DEFAULT_RANGE_BAR
        self.open_bar_g = math.inf
        self.share = 0.0

    @property
    def begin_share(self) -> float:
        """Where it takes load: a VSD at its least speed, the others fully open."""
        return self.least_share if self.is_vsd else 1.0

    def hold(self, share: float) -> float:
        """The nearest share that the machine can deliver loaded."""
        return max(self.least_share, min(1.0, share)) if self.is_vsd else 1.0

    def fit(self, load_bar_g: float, unload_bar_g: float) -> None:
        """Throttle so that the inlet has reached its end at `unload_bar_g`, never below `load_bar_g`."""
        if not self.throttles:
            return
        travel = 1.0 - self.least_share
        self.open_bar_g = max(load_bar_g, unload_bar_g - travel * self.range_bar)
        self.range_bar = max(1e-3, (unload_bar_g - self.open_bar_g) / travel)

    def move(self, dt_s: float, wanted_share: float, pressure_bar_g: float) -> float:
        """Mean share over `dt_s` on the way to what is wanted or what the pressure asks for."""
        if self.throttles:
            target = 1.0 - (pressure_bar_g - self.open_bar_g) / self.range_bar
            if target >= 1.0 and self.share >= 1.0:
                return 1.0
        else:
            target = wanted_share
        target = min(1.0, max(self.least_share, target))
        gap = target - self.share
        ramp_s = abs(gap) / self._ramp
        if ramp_s >= dt_s:
            moved = math.copysign(self._ramp * dt_s, gap)
            mean = self.share + 0.5 * moved
            self.share += moved
        else:
            mean = target - 0.5 * gap * ramp_s / dt_s
            self.share = target
        return mean

    def power_share(self, share: float) -> float:
        """Power over full-flow power at a flow share."""
        return max(self._floor, self._a + share * (self._b + share * self._c))
