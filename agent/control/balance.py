"""Equal machines share the hours: which of them starts, which of them stops, and when they change places.

Machines with the same nameplate cost the same, so the choice between them is free: the one with the fewest hours
starts, the one with the most stops. A site that names a greatest spread also has two of them change places at the
cost of a start, once the spread is passed.
"""

from __future__ import annotations

from collections.abc import Sequence

from agent.config.site import Machine

# Nameplates that differ by less than this are the same machine's.
_SAME_SHARE = 0.01
# They do not change places again before the other has worked this much off.
_HYSTERESIS_H = 1.0


def peers_of(machines: Sequence[Machine]) -> tuple[int, ...]:
    """For each machine the bits of those with the same nameplate, itself among them."""
    return tuple(sum(1 << j for j, other in enumerate(machines) if _same(one, other)) for one in machines)


def balanced(
    chosen: int,
    running: int,
    hours: Sequence[float],
    peers: Sequence[int],
    *,
    barred: int,
    held: int,
    spread_h: float | None = None,
) -> int:
    """`chosen` with machines exchanged for equal ones where that evens out the hours.

    Exchanged are only machines that are to start for others that stand, and machines that are kept for others that
    would be released; `barred` bits never come in, `held` bits never go out. With `spread_h` one running machine a
    call also gives way to a standing peer that is so many hours behind.
    """
    count = len(hours)
    for index in range(count):
        bit = 1 << index
        if not chosen & bit or held & bit:
            continue
        same = peers[index] & ~chosen & ~barred & (running if running & bit else ~running)
        # To start: the one with the fewest hours. To keep: likewise, and the one with the most is released.
        other = _fewest(same, hours)
        if other is not None and hours[other] < hours[index]:
            chosen = (chosen & ~bit) | (1 << other)
    if spread_h is None:
        return chosen
    worst, change = spread_h + _HYSTERESIS_H, 0
    for index in range(count):
        bit = 1 << index
        if not chosen & running & bit or held & bit:
            continue
        other = _fewest(peers[index] & ~chosen & ~barred & ~running, hours)
        if other is not None and hours[index] - hours[other] > worst:
            worst, change = hours[index] - hours[other], bit | (1 << other)
    return chosen ^ change


def spread_h(hours: Sequence[float], peers: Sequence[int]) -> float:
    """Greatest difference of hours between machines with the same nameplate; 0 where there are none."""
    groups = ([h for j, h in enumerate(hours) if (mask >> j) & 1] for mask in set(peers))
    return max((max(group) - min(group) for group in groups), default=0.0)


def _fewest(bits: int, hours: Sequence[float]) -> int | None:
    return min((i for i in range(len(hours)) if (bits >> i) & 1), key=lambda i: hours[i], default=None)


def _same(one: Machine, other: Machine) -> bool:
    if one.control != other.control:
        return False
    pairs = (
        (one.full_flow_m3_min, other.full_flow_m3_min),
        (one.full_power_kw, other.full_power_kw),
        (one.unloaded_power_kw, other.unloaded_power_kw),
    )
    return all(abs(a - b) <= _SAME_SHARE * max(a, b) for a, b in pairs) and one.start_s == other.start_s
