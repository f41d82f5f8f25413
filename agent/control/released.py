"""What becomes of machines that run and are not meant to: let go with a thought for the next start, or made to stop."""

from __future__ import annotations

from agent.control.memory import HOUR_S, StationMemory
from agent.control.orders import STOP, Order
from agent.control.view import Fleet, StationView, bits_in

# A released machine with fewer starts than this below its limit is kept unloaded for a while.
_START_RESERVE = 1
_KEEP_UNLOADED_S = 1200.0
# Whoever delivers for so long after it was told to unload will not unload.
_CLINGS_S = 60.0


def let_go(fleet: Fleet, view: StationView, memory: StationMemory, index: int, share: float | None) -> Order:
    """Stop the machine, or keep it unloaded where it could hardly be started again within the hour."""
    past = memory.machines[index]
    limit = fleet.machines[index].max_starts_per_hour - _START_RESERVE
    few_starts = past.starts_within(view.at_s, HOUR_S) < limit
    rested = view.at_s - past.unloaded_since_s >= _KEEP_UNLOADED_S
    return STOP if few_starts or rested else Order(run=True, load=False, share=share)


class Released:
    """Released machines that deliver on although told to unload: a turbo that only blows off, a valve that is stuck.

    While one of them holds the net above the band nobody else is loaded, and as nobody else carries, it is not let go.
    """

    __slots__ = ("_said", "_since_s")

    def __init__(self) -> None:
        self._since_s: dict[int, float] = {}
        self._said = 0

    def clinging(self, fleet: Fleet, view: StationView, told: int, reasons: list[str]) -> int:
        """Those (bits) of the released machines `told` to unload that have delivered on for too long by now."""
        if not told and not self._since_s:
            return 0
        self._since_s = {index: self._since_s.get(index, view.at_s) for index in bits_in(told)}
        clinging = sum(1 << i for i, since_s in self._since_s.items() if view.at_s - since_s >= _CLINGS_S)
        for index in bits_in(clinging & ~self._said):
            reasons.append(f"{fleet.names[index]} delivers on though told to unload: to be stopped")
        self._said = clinging
        return clinging
