"""The band's numbers for one station, found on its own twin: a search on part of its past, judged on the rest.

Two rounds as an engineer would: many settings on the busiest days, then the best few on all days but the last.
The last days are never searched on; what the proposal is worth is what it is worth there. The numbers that stand
in site.toml and the agent's defaults, which were chosen on many stations, go through both rounds whatever the first
one says of them, so a proposal is worse than neither on the days searched.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from agent.config.site import Site, Station
from agent.control.start_price import StartHabit
from twin.baselines.tune import ServiceLimits
from twin.demand import DemandSeries
from twin.simulate import Scene, run_agent
from twin.station import AirStation, Books

DAY_S = 86400.0
LEAST_DAYS = 7
SCREEN_DAYS = 2
FINALISTS = 4
STEP_S = 10.0
# Less than this the twin cannot tell: it is off by about as much from day to day (docs/control.md has a case).
LEAST_GAIN_SHARE = 0.005
# More motor starts than now by more than this is a price that a proposal does not ask for.
STARTS_FACTOR, STARTS_ALLOWANCE_A_DAY = 1.2, 2.0


class Key(NamedTuple):
    """A number of [stations.X] that is searched, with its range."""

    name: str
    low: float
    high: float
    digits: int


KEYS = (
    Key("band_width_bar", 0.08, 0.5, 2),
    Key("band_floor_bar", 0.02, 0.3, 2),
    Key("lead_s", 3.0, 40.0, 0),
    Key("start_cost_min", 0.5, 20.0, 1),
    Key("demand_spread", 0.0, 0.2, 2),
)
Settings = Mapping[str, float]
Progress = Callable[[float, str], None]


class Service(NamedTuple):
    """What settings used and how the plant was served over a span; `broken` is by how much limits were passed."""

    energy_kwh: float
    short_share: float
    below_share: float
    worst_dip_bar: float
    starts_a_day: float
    starts_per_hour: int
    mean_bar_g: float
    broken: float
    daily_kwh: tuple[float, ...]

    def rank(self, now: Service) -> tuple[float, float]:
        """Broken limits first, then energy. What the settings of today (`now`) break is no reason against others."""
        starts = self.starts_a_day / (STARTS_FACTOR * now.starts_a_day + STARTS_ALLOWANCE_A_DAY)
        return max(self.broken - now.broken, 0.0) + max(starts - 1.0, 0.0), self.energy_kwh


@dataclass(frozen=True, slots=True)
class Proposal:
    """The best settings found beside those of site.toml, on the days searched and on those kept back."""

    settings: dict[str, float]
    searched_days: int
    held_out_days: int
    samples: int
    now_searched: Service
    best_searched: Service
    now_held_out: Service
    best_held_out: Service

    @property
    def changes(self) -> bool:
        """Whether the search found other settings at all."""
        return self.best_searched is not self.now_searched

    @property
    def gain_share(self) -> float:
        """Energy saved on the days that were kept back; negative where it is more."""
        return 1.0 - self.best_held_out.energy_kwh / self.now_held_out.energy_kwh

    @property
    def gain_low_share(self) -> float:
        """What the gain on the days kept back is at least, with 90 % confidence: Student's t over these days' pairs."""
        from scipy.special import stdtrit

        pairs = zip(self.now_held_out.daily_kwh, self.best_held_out.daily_kwh, strict=True)
        gains = [1.0 - best / now for now, best in pairs if now > 0.0]
        if len(gains) < 2:
            return -1.0
        mean = sum(gains) / len(gains)
        spread = math.sqrt(sum((gain - mean) ** 2 for gain in gains) / (len(gains) - 1))
        return mean - float(stdtrit(len(gains) - 1, 0.9)) * spread / math.sqrt(len(gains))

    @property
    def holds(self) -> bool:
        """Whether the settings are worth taking: no limit of service broken further on the days kept back, and a gain
        there that is neither luck of these days nor less than a twin can tell.
        """
        broken, _ = self.best_held_out.rank(self.now_held_out)
        return self.changes and broken == 0.0 and self.gain_low_share >= LEAST_GAIN_SHARE


def tune_agent(
    site: Site,
    station_id: str,
    true_station: Station,
    demand: DemandSeries,
    *,
    samples: int = 40,
    seed: int = 0,
    limits: ServiceLimits | None = None,
    step_s: float = STEP_S,
    finalists: int = FINALISTS,
    progress: Progress | None = None,
) -> Proposal:
    """Search `samples` settings on the first two thirds of `demand`'s whole days, which it holds back to back.

    `true_station` is the plant: calibrated where that was possible. The agent goes on knowing nameplates, as on site.
    Raises ValueError below LEAST_DAYS.
    """
    limits = limits or ServiceLimits()
    days = int(len(demand.values) * demand.step_s // DAY_S)
    if days < LEAST_DAYS:
        raise ValueError(f"{days} days of demand, {LEAST_DAYS} are needed")
    kept_back = max(3, days // 3)
    searched, held_out = cut(demand, 0, days - kept_back), cut(demand, days - kept_back, days)
    now = {key.name: float(getattr(site.stations[station_id], key.name)) for key in KEYS}
    usual = {key.name: float(Station.model_fields[key.name].default) for key in KEYS}
    fixed = [now] if usual == now else [now, usual]
    rng = random.Random(seed)
    # The busiest days weigh twice: once to be chosen, once within the whole.
    screen = _busiest(searched, SCREEN_DAYS)
    done, work = 0.0, samples * SCREEN_DAYS + (finalists + len(fixed)) * (days - kept_back) + 2 * kept_back

    def judge(settings: Settings, span: DemandSeries) -> Service:
        nonlocal done
        books, daily_kwh = play_agent(site, station_id, true_station, settings, span, seed, step_s)
        done += len(span.values) * span.step_s / DAY_S
        found = service_of(books, limits, daily_kwh)
        if progress is not None:
            progress(min(done / work, 1.0), f"{found.energy_kwh:,.0f} kWh")
        return found

    first = judge(now, screen)
    tried: list[tuple[Service, dict[str, float]]] = [(first, now)]
    tried += [(judge(usual, screen), usual) for usual in fixed[1:]]
    while len(tried) < max(samples, finalists + 1):
        tried.sort(key=lambda each: each[0].rank(first))
        near = len(tried) > samples // 2
        settings = _near(rng.choice(tried[:3])[1], rng) if near else _anywhere(rng)
        tried.append((judge(settings, screen), settings))
    tried.sort(key=lambda each: each[0].rank(first))
    now_searched = judge(now, searched)
    final = [(now_searched, now)]
    found = [settings for _, settings in tried if all(settings is not each for each in fixed)]
    for settings in (*fixed[1:], *found[:finalists]):
        final.append((judge(settings, searched), settings))
    best_searched, best = min(final, key=lambda each: each[0].rank(now_searched))
    now_held_out = judge(now, held_out)
    best_held_out = now_held_out if best is now else judge(best, held_out)
    return Proposal(
        settings={name: value for name, value in best.items() if value != now[name]},
        searched_days=days - kept_back,
        held_out_days=kept_back,
        samples=len(tried),
        now_searched=now_searched,
        best_searched=best_searched,
        now_held_out=now_held_out,
        best_held_out=best_held_out,
    )


def play_agent(
    site: Site,
    station_id: str,
    true_station: Station,
    settings: Settings,
    demand: DemandSeries,
    seed: int,
    step_s: float = STEP_S,
    *,
    habit: StartHabit | None = None,
) -> tuple[Books, tuple[float, ...]]:
    """The agent with `settings` on the twin, without forecast: the books, and the energy of each day [kWh]."""
    tuned = site.stations[station_id].model_copy(update=dict(settings))
    end_at = demand.start_at + timedelta(seconds=len(demand.values) * demand.step_s)
    daily = [0.0] * math.ceil(len(demand.values) * demand.step_s / DAY_S)

    def watch(at: datetime, plant: AirStation) -> None:
        day = int((at - demand.start_at).total_seconds() // DAY_S)
        daily[day] += plant.power_kw * step_s / 3600.0

    scene = Scene(
        site.model_copy(update={"stations": {**site.stations, station_id: tuned}}),
        station_id,
        demand,
        demand.start_at,
        end_at,
        seed,
        step_s=step_s,
        true_station=true_station,
        watch=watch,
    )
    return run_agent(scene, "none", planned=False, habit=habit).books, tuple(daily)


def service_of(books: Books, limits: ServiceLimits, daily_kwh: tuple[float, ...]) -> Service:
    """How a span went, from its books."""
    days = max(books.elapsed_s / DAY_S, 1e-9)
    return Service(
        energy_kwh=books.energy_corrected_kwh,
        short_share=books.short_m3 / max(books.delivered_m3, 1e-9),
        below_share=books.time_below_min_s / max(books.elapsed_s, 1e-9),
        worst_dip_bar=books.worst_dip_bar,
        starts_a_day=sum(books.starts.values()) / days,
        starts_per_hour=books.max_starts_per_hour,
        mean_bar_g=books.mean_pressure_bar_g,
        broken=limits.excess(books),
        daily_kwh=daily_kwh,
    )


def cut(demand: DemandSeries, first_day: int, end_day: int) -> DemandSeries:
    """The whole days from `first_day` until before `end_day`."""
    per_day = round(DAY_S / demand.step_s)
    start_at: datetime = demand.start_at + timedelta(days=first_day)
    return DemandSeries(start_at, demand.step_s, list(demand.values[first_day * per_day : end_day * per_day]))


def _busiest(demand: DemandSeries, days: int) -> DemandSeries:
    per_day = round(DAY_S / demand.step_s)
    count = len(demand.values) // per_day
    volumes = [sum(demand.values[d * per_day : (d + 1) * per_day]) for d in range(count)]
    first = max(range(max(count - days, 0) + 1), key=lambda d: sum(volumes[d : d + days]))
    return cut(demand, first, min(first + days, count))


def _anywhere(rng: random.Random) -> dict[str, float]:
    return {key.name: round(rng.uniform(key.low, key.high), key.digits) for key in KEYS}


def _near(settings: Settings, rng: random.Random) -> dict[str, float]:
    """Some of the numbers moved by a tenth of their range."""
    out = dict(settings)
    for key in KEYS:
        if rng.random() < 0.5:
            moved = settings[key.name] + rng.gauss(0.0, 0.1) * (key.high - key.low)
            out[key.name] = round(min(max(moved, key.low), key.high), key.digits)
    return out


def gain_text(proposal: Proposal) -> Sequence[str]:
    """Some lines for a person."""
    rows = [
        f"searched {proposal.searched_days} days with {proposal.samples} settings, kept back {proposal.held_out_days}"
    ]
    for name, now, best in (
        ("searched", proposal.now_searched, proposal.best_searched),
        ("kept back", proposal.now_held_out, proposal.best_held_out),
    ):
        for who, service in (("site.toml", now), ("proposed", best)):
            rows.append(
                f"  {name:<10}{who:<10}{service.energy_kwh:>10,.0f} kWh  below {100 * service.below_share:.3f} %  "
                f"dip {service.worst_dip_bar:.2f} bar  {service.starts_a_day:.0f} starts a day, at most "
                f"{service.starts_per_hour} an hour and machine  mean {service.mean_bar_g:.2f} bar"
            )
    return rows
