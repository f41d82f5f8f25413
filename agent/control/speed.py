"""The integral action of a trimming VSD: what nameplates miss, leaner air at higher pressure, worn screws."""

from __future__ import annotations

from agent.control.view import Fleet, StationView

# In 1/s of the flow that would refill in a minute, and its bound. Beyond this share of the flow the drive is at its end
# and says nothing.
_BIAS_PER_S = 0.004
_BIAS_SHARE = 0.1
_SPEED_END = 0.999


class SpeedBias:
    """Flow [m3/min] that a VSD is asked for beyond what the balance wants of it."""

    __slots__ = ("m3_min",)

    def __init__(self) -> None:
        self.m3_min = 0.0

    def learn(self, fleet: Fleet, view: StationView, trim: int, short_bar: float, dt_s: float) -> None:
        """Integrate by how much the pressure is short of the aim, while the drive `trim` has room."""
        full, share = fleet.full_flow[trim], view.machines[trim].output_share
        if share is None or not 0.0 < share < _SPEED_END:
            return
        bias = self.m3_min + _BIAS_PER_S * dt_s * short_bar * fleet.m3_per_bar
        self.m3_min = min(max(bias, -_BIAS_SHARE * full), _BIAS_SHARE * full)
