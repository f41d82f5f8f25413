"""The best sequencer that a patient engineer could set: random search on a demand of the past."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, get_args

from agent.config.site import Station
from twin.baselines.orders import ORDER_NAMES, machine_order
from twin.baselines.play import play
from twin.baselines.sequencer import SelectionName, Sequencer, SequencerSettings
from twin.demand import DemandSeries
from twin.station import Books


@dataclass(frozen=True, slots=True)
class ServiceLimits:
    """What every controller must keep before its energy counts."""

    short_share: float = 0.0005
    time_below_min_share: float = 0.001
    worst_dip_bar: float = 0.2
    starts_per_hour: int = 6

    def excess(self, books: Books) -> float:
        """By how much the limits are broken, 0 when all are kept; each limit broken twice over adds 1."""
        delivered = max(books.delivered_m3, 1e-9)
        ratios = (
            books.short_m3 / delivered / self.short_share,
            books.time_below_min_s / books.elapsed_s / self.time_below_min_share,
            books.worst_dip_bar / self.worst_dip_bar,
            books.max_starts_per_hour / self.starts_per_hour,
        )
        return sum(max(0.0, ratio - 1.0) for ratio in ratios)


@dataclass(frozen=True, slots=True)
class Tuned:
    """The settings found, what they used on the tuning demand, and how many were tried."""

    settings: SequencerSettings
    energy_corrected_kwh: float
    excess: float
    samples: int


# (field, lowest, highest): what can be set on the panels of today's sequencers.
RANGES = (
    ("floor_bar", 0.0, 0.4),
    ("band_bar", 0.05, 0.6),
    ("run_on_s", 20.0, 1200.0),
    ("start_delay_s", 5.0, 90.0),
    ("load_delay_s", 2.0, 30.0),
    ("lead_s", 0.0, 45.0),
    ("filter_s", 20.0, 400.0),
    ("hold_s", 30.0, 1800.0),
    ("margin_share", -0.05, 0.25),
)


def tune(
    station: Station,
    demand: DemandSeries,
    *,
    samples: int = 200,
    seed: int = 0,
    limits: ServiceLimits | None = None,
    step_s: float = 5.0,
    progress: Callable[[int, float], None] | None = None,
) -> Tuned:
    """Search `samples` settings: three tenths anywhere, the rest around the best so far.

    Least corrected energy among those that keep `limits`; where none does, the least broken. The
    defaults and a lower, narrower variant of each selection are always tried, so the result is never
    worse than `sequencer:typical` on this demand.
    """
    limits = limits or ServiceLimits()
    rng = random.Random(seed)
    queue = [SequencerSettings()]
    queue += [
        SequencerSettings(selection=s, vsd_trims=v, floor_bar=0.12, band_bar=0.25, run_on_s=180.0)
        for s in get_args(SelectionName)
        for v in (True, False)
    ]
    best: Tuned | None = None
    for number in range(max(1, samples)):
        if number < len(queue):
            settings = queue[number]
        elif best is None or number < len(queue) + 0.3 * (samples - len(queue)):
            settings = _anywhere(station, rng)
        else:
            settings = _near(station, best.settings, rng)
        books = play(station, Sequencer(station, settings=settings), demand, seed=seed, step_s=step_s).books
        found = Tuned(settings, books.energy_corrected_kwh, limits.excess(books), number + 1)
        if best is None or (found.excess, found.energy_corrected_kwh) < (
            best.excess,
            best.energy_corrected_kwh,
        ):
            best = found
        if progress is not None:
            progress(number + 1, best.energy_corrected_kwh)
    assert best is not None
    return replace(best, samples=max(1, samples))


def _anywhere(station: Station, rng: random.Random) -> SequencerSettings:
    selection, trims = rng.choice(get_args(SelectionName)), rng.random() < 0.5
    settings = SequencerSettings(selection=selection, vsd_trims=trims)
    for name, low, high in RANGES:
        # Squared: short run-on times, low floors and narrow bands are where the energy is.
        settings = _with(settings, name, low + (high - low) * rng.random() ** 2)
    return replace(settings, order=_some_order(station, rng)) if rng.random() < 0.4 else settings


def _near(station: Station, settings: SequencerSettings, rng: random.Random) -> SequencerSettings:
    """A few fields moved by about a tenth of their range; now and then another selection or order."""
    near = settings
    for name, low, high in RANGES:
        if rng.random() < 0.4:
            moved = getattr(settings, name) + rng.gauss(0.0, 0.1) * (high - low)
            near = _with(near, name, min(high, max(low, moved)))
    if rng.random() < 0.15:
        near = replace(near, vsd_trims=not near.vsd_trims)
    if rng.random() < 0.2:
        near = replace(near, order=_swapped(near.order or _some_order(station, rng), rng))
    elif rng.random() < 0.1:
        near = replace(near, order=(), selection=rng.choice(get_args(SelectionName)))
    return near


def _with(settings: SequencerSettings, name: str, value: float) -> SequencerSettings:
    change: dict[str, Any] = {name: value}  # field names come from RANGES; mypy cannot follow them
    return replace(settings, **change)


def _some_order(station: Station, rng: random.Random) -> tuple[str, ...]:
    order = machine_order(station, rng.choice(ORDER_NAMES), vsd_first=rng.random() < 0.5)
    return _swapped(order, rng)


def _swapped(order: tuple[str, ...], rng: random.Random) -> tuple[str, ...]:
    if len(order) < 2:
        return order
    names = list(order)
    first, second = rng.sample(range(len(names)), 2)
    names[first], names[second] = names[second], names[first]
    return tuple(names)
