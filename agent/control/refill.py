"""How long the pressure is below the minimum when machines come one after the other.

The same sum serves the reserve before a trip (control/reserve.py) and the order of the starts after one
(control/after_trip.py).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from agent.control.guard import START_GAP_S

# What a machine delivers within so long of the first order tells how well it refills the net.
_REFILL_S = 60.0


def slot_s(tick_s: float) -> float:
    """From one start order to the next [s]: the start is seen a tick later, and the gap ends with a tick."""
    return tick_s + math.ceil(START_GAP_S / tick_s) * tick_s


def helps_m3(full_flow_m3_min: float, start_s: float) -> float:
    """Air [m3] that a machine ordered now delivers within a minute, or as good as nothing if it takes longer."""
    return full_flow_m3_min * max(_REFILL_S - start_s, 1.0) / 60.0


def path_of(beyond_m3_min: float, gains: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """(seconds, what is delivered beyond the demand [m3/min]); the last of them never ends.

    `gains`: (seconds from now, flow [m3/min]) of each machine that comes.
    """
    path, at_s = [], 0.0
    for comes_s, flow in sorted(gains):
        lasts_s = max(comes_s - at_s, 0.0)
        path.append((lasts_s, beyond_m3_min))
        at_s += lasts_s
        beyond_m3_min += flow
    path.append((math.inf, beyond_m3_min))
    return path


def below_s(path: Sequence[tuple[float, float]], store_m3: float) -> float:
    """Seconds below the minimum on the path, with `store_m3` above it at its begin; inf where it stays below."""
    level, below = store_m3, 0.0
    for lasts_s, beyond in path[:-1]:
        after = level + beyond * lasts_s / 60.0
        if level < 0.0 and after < 0.0:
            below += lasts_s
        elif level < 0.0 or after < 0.0:
            below += lasts_s * max(-level, -after) / abs(after - level)
        level = after
    beyond = path[-1][1]
    if level < 0.0:
        return below + (-level / beyond * 60.0 if beyond > 0.0 else math.inf)
    return below if beyond >= 0.0 else math.inf
