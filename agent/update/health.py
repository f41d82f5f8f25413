"""Is the agent, as it runs now, as good as the one before? Local signs only: a cloud that is away proves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

MAX_RSS_MB = 700.0
MAX_CPU_SHARE = 0.9
MAX_LATE_SHARE = 0.2
# A tick is missed now and then on a busy gateway; of fewer than this many nothing is concluded.
_FEW_TICKS = 20


class Vitals(NamedTuple):
    """Signs of life since `since_at`: the start of the agent, or the change that is on trial.

    `devices` answered with a good value, `planned` stations have a plan made since, `wrote` stations had a
    command written and read back, `controlling` are in CONTROL now.
    """

    since_at: datetime
    at: datetime
    ticks: int
    late_ticks: int
    devices: frozenset[str]
    planned: frozenset[str]
    wrote: frozenset[str]
    controlling: frozenset[str]
    rss_mb: float
    cpu_share: float
    store_writable: bool


class Baseline(NamedTuple):
    """What the agent did before the change, and so has to do after it."""

    devices: frozenset[str] = frozenset()
    planned: frozenset[str] = frozenset()
    controlling: frozenset[str] = frozenset()

    def as_dict(self) -> dict[str, list[str]]:
        """For the store."""
        return {name: sorted(getattr(self, name)) for name in self._fields}


def baseline_of(vitals: Vitals) -> Baseline:
    """What works now."""
    return Baseline(vitals.devices, vitals.planned, vitals.controlling)


def read_baseline(body: Mapping[str, Any]) -> Baseline:
    """A baseline from the store."""
    return Baseline(*(frozenset(body.get(name, ())) for name in Baseline._fields))


def ailment(vitals: Vitals, before: Baseline) -> str:
    """What is missing or wrong, in the order in which it matters; "" when all is well.

    Devices or stations that the change itself took away are no loss: `before` names those that are left.
    """
    if vitals.ticks == 0:
        return "no tick was completed"
    silent = before.devices - vitals.devices
    if silent:
        return f"no answer from {', '.join(sorted(silent))}, which answered before"
    if not vitals.store_writable:
        return "the databases cannot be written"
    unplanned = before.planned - vitals.planned
    if unplanned:
        return f"no plan was made for {', '.join(sorted(unplanned))}"
    fallen = before.controlling - vitals.controlling
    if fallen:
        return f"{', '.join(sorted(fallen))} was in control before and is not"
    mute = before.controlling - vitals.wrote
    if mute:
        return f"no command was written and read back for {', '.join(sorted(mute))}"
    if vitals.rss_mb > MAX_RSS_MB:
        return f"{vitals.rss_mb:.0f} MB of memory, at most {MAX_RSS_MB:.0f}"
    if vitals.cpu_share > MAX_CPU_SHARE:
        return f"{vitals.cpu_share:.0%} of a core, at most {MAX_CPU_SHARE:.0%}"
    if vitals.ticks >= _FEW_TICKS and vitals.late_ticks > MAX_LATE_SHARE * vitals.ticks:
        return f"{vitals.late_ticks} of {vitals.ticks} ticks came late"
    return ""
