"""The best sequencer that a patient engineer could set: a search on a demand of the past.

Three rounds, each on fewer settings and more of the demand: anywhere in the ranges on its two busiest
days, around the best so far on a week, and a final of the best few on all of it at the full step. The
service limits bind throughout; the defaults (`sequencer:typical`) always reach the final, so the result
is never worse than these on the tuning demand.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, NamedTuple, get_args

from agent.config.site import Station
from twin.baselines.orders import ORDER_NAMES, machine_order
from twin.baselines.play import play
from twin.baselines.selection import SelectionName
from twin.baselines.sequencer import Sequencer, SequencerSettings
from twin.demand import DemandSeries
from twin.station import Books

DAY_S = 86400.0
SCREEN_DAYS, REFINE_DAYS = 2, 7
SCREEN_STEP_S = 10.0
KEPT, FINALISTS = 8, 4
# Settings found at 10 s or on other days may break a limit by a hair: the floor is raised until they do not.
REPAIRS_BAR = (0.01, 0.03, 0.06, 0.1)


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
    """The settings found, what they used on the tuning demand, how many were tried, what `typical` used."""

    settings: SequencerSettings
    energy_corrected_kwh: float
    excess: float
    samples: int
    typical_kwh: float


class _Tried(NamedTuple):
    """Settings with their rank: broken limits first, then energy."""

    excess: float
    energy_kwh: float
    settings: SequencerSettings

    @property
    def rank(self) -> tuple[float, float]:
        return self.excess, self.energy_kwh


# (field, lowest, highest): what can be set on the panels of today's sequencers.
Ranges = Sequence[tuple[str, float, float]]
RANGES: Ranges = (
    ("floor_bar", 0.0, 0.4),
    ("band_bar", 0.05, 0.6),
    ("target_share", 0.1, 0.9),
    ("run_on_s", 20.0, 1200.0),
    ("start_delay_s", 5.0, 90.0),
    ("load_delay_s", 2.0, 30.0),
    ("lead_s", 0.0, 45.0),
    ("filter_s", 20.0, 400.0),
    ("hold_s", 30.0, 1800.0),
    ("margin_share", -0.05, 0.25),
)
# Short run-on times, low floors and narrow bands are where the energy is; the rest is drawn evenly.
LOW_IS_LIKELY = frozenset({"floor_bar", "band_bar", "run_on_s", "hold_s"})


def tune(
    station: Station,
    demand: DemandSeries,
    *,
    samples: int = 160,
    seed: int = 0,
    limits: ServiceLimits | None = None,
    step_s: float = 5.0,
    ranges: Ranges = RANGES,
    progress: Callable[[float, float], None] | None = None,
) -> Tuned:
    """Search `samples` settings, two thirds of them anywhere; least corrected energy of those that keep `limits`.

    Where none keeps them, the least broken. `ranges` of the panel's settings: a scene may need
    others. `progress` gets the share done and the best energy of the round.
    """
    limits = limits or ServiceLimits()
    samples = max(1, samples)
    rng = random.Random(seed)
    done = 0

    def judge(settings: SequencerSettings, span: DemandSeries, by_s: float) -> _Tried:
        books = play(station, Sequencer(station, settings=settings), span, seed=seed, step_s=by_s).books
        return _Tried(limits.excess(books), books.energy_corrected_kwh, settings)

    def tell(tried: Sequence[_Tried]) -> None:
        if progress is not None:
            progress(min(1.0, done / (samples + 1)), min(tried, key=lambda t: t.rank).energy_kwh)

    coarse_s = max(step_s, SCREEN_STEP_S)
    busy = busiest(demand, SCREEN_DAYS)
    queue = [SequencerSettings(), *_sensible(station)]
    screened = []
    for number in range(max(1, 2 * samples // 3)):
        settings = queue[number] if number < len(queue) else _anywhere(station, rng, ranges)
        screened.append(judge(settings, busy, coarse_s))
        done += 1
        tell(screened)
    week = busiest(demand, REFINE_DAYS)
    screened.sort(key=lambda t: t.rank)
    refined = [judge(t.settings, week, coarse_s) for t in screened[:KEPT]]
    while done < samples:
        refined.sort(key=lambda t: t.rank)
        # Mostly around the best; the others keep the search from one valley.
        around = refined[0] if rng.random() < 0.6 else rng.choice(refined[:KEPT])
        refined.append(judge(_near(station, around.settings, rng, ranges), week, coarse_s))
        done += 1
        tell(refined)
    refined.sort(key=lambda t: t.rank)
    typical = judge(SequencerSettings(), demand, step_s)
    final = [typical]
    for tried in refined[:FINALISTS]:
        final.append(judge(tried.settings, demand, step_s))
        for raise_bar in REPAIRS_BAR:
            if final[-1].excess == 0.0:
                break
            higher = replace(tried.settings, floor_bar=tried.settings.floor_bar + raise_bar)
            final.append(judge(higher, demand, step_s))
    done += 1
    tell(final)
    best = min(final, key=lambda t: t.rank)
    return Tuned(best.settings, best.energy_kwh, best.excess, samples, typical.energy_kwh)


def busiest(demand: DemandSeries, days: int) -> DemandSeries:
    """The stretch of so many days, from midnight to midnight of the series, with the most air; all if shorter."""
    per_day = round(DAY_S / demand.step_s)
    count = len(demand.values) // per_day
    if count <= days:
        return demand
    volumes = [sum(demand.values[d * per_day : (d + 1) * per_day]) for d in range(count)]
    first = max(range(count - days + 1), key=lambda d: sum(volumes[d : d + days]))
    values = demand.values[first * per_day : (first + days) * per_day]
    return DemandSeries(demand.start_at + timedelta(days=first), demand.step_s, values)


def _sensible(station: Station) -> list[SequencerSettings]:
    """A low, narrow band with a short run-on under every rule of selection."""
    has_vsd = any(m.control == "vsd" for m in station.machines.values())
    return [
        SequencerSettings(selection=rule, vsd_trims=trims, floor_bar=0.12, band_bar=0.25, run_on_s=180.0)
        for rule in get_args(SelectionName)
        for trims in ((True, False) if has_vsd else (True,))
    ]


def _anywhere(station: Station, rng: random.Random, ranges: Ranges) -> SequencerSettings:
    selection, trims = rng.choice(get_args(SelectionName)), rng.random() < 0.5
    settings = SequencerSettings(selection=selection, vsd_trims=trims)
    for name, low, high in ranges:
        part = rng.random() ** 2 if name in LOW_IS_LIKELY else rng.random()
        settings = _with(settings, name, low + (high - low) * part)
    return replace(settings, order=_some_order(station, rng)) if rng.random() < 0.3 else settings


def _near(
    station: Station, settings: SequencerSettings, rng: random.Random, ranges: Ranges
) -> SequencerSettings:
    """A few fields moved by some hundredths to a tenth of their range; now and then another selection or order."""
    near = settings
    size = rng.choice((0.03, 0.1))
    for name, low, high in ranges:
        if rng.random() < 0.4:
            moved = getattr(settings, name) + rng.gauss(0.0, size) * (high - low)
            near = _with(near, name, min(high, max(low, moved)))
    if rng.random() < 0.1:
        near = replace(near, vsd_trims=not near.vsd_trims)
    if rng.random() < 0.15:
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
