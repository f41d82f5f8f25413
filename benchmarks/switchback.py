"""Coverage of the switchback meter's 90 % interval, in twin worlds whose true saving is known.

Each world lives three kinds of lives under the same weather: the old schedule all the time, the better one all the
time (their energies give the truth), and tests that switch between them. No planner is involved: the meter is judged,
with all its carry-over of heat, not the agent.

usage: .venv/bin/python benchmarks/switchback.py [--halls 48] [--tests 2] [--blocks 3 5 10] [--days 84]
       .venv/bin/python benchmarks/switchback.py --full [--worlds 8] ...     the twin itself, about 20 CPU min

--halls: that many random halls of the twin in four climates, summer and winter, all in numpy (switchback_worlds.py).
"""

from __future__ import annotations

import argparse
from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import UTC, date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray
from switchback_worlds import STEP_S, Halls

from agent.clock import cpu_s
from agent.config.parts import WeekTime
from agent.config.site import Hvac, Site, Switchback, Zone
from agent.planner.hvac_schedule import is_occupied
from agent.planner.switchback import Arm, Day, arm_at, days
from agent.savings.figure import Unsupported
from agent.savings.switchback import SwitchDay, analyse
from twin.hvac import HvacTwin
from twin.hvac_world import CLIMATES, World, hall_maker, random_world
from twin.weather import Weather

STEP = timedelta(minutes=15)
LEAD = timedelta(hours=1)
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Turn = Callable[[datetime], Arm]


def live(world: World, site: Site, test: Sequence[Day], turn: Turn, seed: int) -> list[SwitchDay]:
    """Every day of `test`, with the schedule that `turn` gives each quarter hour."""
    start = test[0].from_at - timedelta(days=1)
    climate = world.climate
    weather = Weather(
        start_at=start - timedelta(days=2),
        seed=seed,
        timezone=site.site.timezone,
        latitude_deg=climate.latitude_deg,
        mean_degc=climate.mean_degc,
        yearly_swing_k=climate.yearly_swing_k,
        daily_swing_k=climate.daily_swing_k,
    )
    twin = HvacTwin(
        site, start_at=start, seed=seed, weather=weather, units=world.units, make_zones=hall_maker(world)
    )
    out: list[SwitchDay] = []
    energy = discomfort = 0.0
    seen: list[tuple[float, float]] = []
    index, beat, at = 0, 1.0, start
    while index < len(test):
        arm = turn(at)
        for name, zone in world.hvac.zones.items():
            unit = twin.units[zone.unit]
            beat = beat % 60000.0 + 1.0
            unit.panel.write_heartbeat(beat, (at - start).total_seconds() + 2 * 86400.0)
            local = at + LEAD
            # The old schedule keeps comfort from 05:00 to 23:00 whatever the day; the better one follows people.
            comfort = (
                is_occupied(zone, site.site.timezone, at) or is_occupied(zone, site.site.timezone, local)
                if arm == "agent"
                else 5 <= at.hour < 23
            )
            low = zone.comfort_low_degc if comfort else zone.setback_low_degc
            high = zone.comfort_high_degc if comfort else zone.setback_high_degc
            unit.panel.write_setpoint(name, "cooling", 40.0)
            unit.panel.write_setpoint(name, "heating", low)
            unit.panel.write_setpoint(name, "cooling", high)
        at += STEP
        twin.advance_to(at)
        seen.append((twin.outdoor.temp_degc, twin.outdoor.sun_w_m2))
        if at == test[index].from_at:
            energy, discomfort, seen = twin.energy_kwh, twin.discomfort_kh, []
        if at == test[index].to_at:
            day = test[index]
            used = twin.energy_kwh - energy
            mean = np.mean(np.array(seen), axis=0)
            people = any(
                is_occupied(z, site.site.timezone, day.from_at + timedelta(hours=h))
                for z in world.hvac.zones.values()
                for h in range(24)
            )
            out.append(
                SwitchDay(
                    day,
                    used,
                    0.15 * used,
                    float(mean[0]),
                    float(mean[1]),
                    float(people),
                    twin.discomfort_kh - discomfort,
                )
            )
            energy, discomfort, seen = twin.energy_kwh, twin.discomfort_kh, []
            index += 1
    return out


def quick(count: int, blocks: Sequence[int], tests: int, span: int) -> None:
    """Coverage over many halls at once."""
    for block in blocks:
        hits: list[bool] = []
        errors: list[float] = []
        widths: list[float] = []
        refused = 0
        for season, begin in (("winter", date(2026, 1, 5)), ("summer", date(2026, 6, 1))):
            start = datetime(begin.year, begin.month, begin.day, tzinfo=UTC) - timedelta(days=1)
            halls = Halls(count // 2, start, span, seed=21 if season == "winter" else 22)
            zone = Zone(
                unit="u", temp="u.t", occupancy=(WeekTime(days="mon-fri", from_="07:00", to="18:00"),)
            )
            plan = Hvac(zones={"z": zone}, switchback=Switchback(begin=begin, days=span, block_days=block))
            marks_of = [*(day.from_at for day in days(plan, "UTC")), days(plan, "UTC")[-1].to_at]
            always = np.ones(halls.count, dtype=bool)
            by_agent = halls.live(lambda _at, a=always: a, marks_of)  # type: ignore[misc]
            by_site = halls.live(lambda _at, a=always: ~a, marks_of)  # type: ignore[misc]
            true = 1.0 - by_agent.sum(axis=0) / by_site.sum(axis=0)
            for seed in range(tests):
                # Each hall its own lots.
                lots = [
                    days(plan.model_copy(update={"switchback": Switchback(begin=begin, days=span, block_days=block, seed=1000 * seed + k)}), "UTC")
                    for k in range(halls.count)
                ]  # fmt: skip
                table = np.array([[day.arm == "agent" for day in lot] for lot in lots]).T

                def turn(at: datetime, *, marks: Sequence[datetime] = marks_of, rows: Flags = table) -> Flags:
                    index = min(max(bisect_right(marks, at) - 1, 0), len(rows) - 1)
                    chosen: Flags = rows[index]
                    return chosen

                used = halls.live(turn, marks_of)
                for k in range(halls.count):
                    found = analyse(turns_of(halls, lots[k], used[:, k], marks_of, k), seed=seed)
                    if isinstance(found, Unsupported):
                        refused += 1
                        continue
                    low, high = found.energy.share_interval
                    hits.append(low <= true[k] <= high)
                    errors.append(found.energy.share - true[k])
                    widths.append(high - low)
        say(f"halls, blocks of {block} days", hits, errors, widths)
        if refused:
            print(f"  refused for too little data or weather apart: {refused}")


def turns_of(
    halls: Halls, lot: Sequence[Day], used: Floats, marks: Sequence[datetime], k: int
) -> list[SwitchDay]:
    """The days of one hall as the meter sees them."""
    out = []
    for index, day in enumerate(lot):
        first, last = (round((m - halls.begin).total_seconds() / STEP_S) for m in marks[index : index + 2])
        people = [
            halls.people(day.from_at + timedelta(hours=h), (day.from_at.hour + h) % 24)[k] for h in range(24)
        ]
        out.append(
            SwitchDay(
                day,
                float(used[index]),
                0.15 * float(used[index]),
                float(halls.outdoor[first:last, k].mean()),
                float(halls.sun[first:last, k].mean()),
                float(sum(people)),
                0.0,
            )
        )
    return out


def say(what: str, hits: Sequence[bool], errors: Sequence[float], widths: Sequence[float]) -> None:
    """One line: how often the interval held the truth, how far off, how wide."""
    if hits:
        error = 100 * np.array(errors)
        print(
            f"{what}: {sum(hits)} of {len(hits)} 90 % intervals hold the truth ({np.mean(hits):.0%}); error "
            f"{error.mean():+.1f} +- {error.std():.1f} points, interval {100 * np.mean(widths):.1f} points wide",
            flush=True,
        )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, default=8)
    parser.add_argument("--tests", type=int, default=2)
    parser.add_argument("--blocks", type=int, nargs="+", default=[3, 5, 10])
    parser.add_argument("--days", type=int, default=84)
    parser.add_argument("--halls", type=int, default=48)
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    began = cpu_s()
    if not options.full:
        quick(options.halls, options.blocks, options.tests, options.days)
        print(f"{cpu_s() - began:.0f} CPU s")
        return 0
    print(f"{'world':<14}{'season':<8}{'block':>6}{'true %':>8}{'says %':>8}{'low':>7}{'high':>7}  hit")
    hits: dict[int, list[bool]] = {b: [] for b in options.blocks}
    errors: dict[int, list[float]] = {b: [] for b in options.blocks}
    widths: dict[int, list[float]] = {b: [] for b in options.blocks}
    for number in range(options.worlds):
        climate = sorted(CLIMATES)[number % len(CLIMATES)]
        season, begin = (("winter", date(2026, 1, 5)), ("summer", date(2026, 6, 1)))[number // 4 % 2]
        world = random_world(climate, 700 + number)

        def site_with(block: int, seed: int, *, world: World = world, begin: date = begin) -> Site:
            test = Switchback(begin=begin, days=options.days, block_days=block, seed=seed)
            hvac = world.hvac.model_copy(update={"switchback": test})
            base = Site.model_validate({"site": {"id": "w"}, "devices": {"x": {"driver": "lines"}}})
            return base.model_copy(update={"hvac": hvac})

        whole = site_with(options.blocks[0], 0)
        test = days(whole.hvac, "UTC")  # type: ignore[arg-type]
        truth = {
            arm: sum(day.energy_kwh for day in live(world, whole, test, lambda _at, a=arm: a, number))  # type: ignore[misc]
            for arm in ("agent", "site")
        }
        true = 1.0 - truth["agent"] / truth["site"]
        for block in options.blocks:
            for seed in range(options.tests):
                site = site_with(block, 10 * number + seed)
                test = days(site.hvac, "UTC")  # type: ignore[arg-type]
                turns = live(world, site, test, lambda at, t=test: arm_at(t, at) or "site", number)  # type: ignore[misc]
                found = analyse(turns, seed=seed)
                if isinstance(found, Unsupported):
                    print(
                        f"{world.name:<14}{season:<8}{block:>6}{100 * true:>8.1f}  refused: {found.why}",
                        flush=True,
                    )
                    continue
                low, high = found.energy.share_interval
                hit = low <= true <= high
                hits[block].append(hit)
                errors[block].append(found.energy.share - true)
                widths[block].append(high - low)
                print(
                    f"{world.name:<14}{season:<8}{block:>6}{100 * true:>8.1f}{100 * found.energy.share:>8.1f}"
                    f"{100 * low:>7.1f}{100 * high:>7.1f}  {'yes' if hit else 'NO'}",
                    flush=True,
                )
    for block in options.blocks:
        say(f"blocks of {block} days", hits[block], errors[block], widths[block])
    print(f"{cpu_s() - began:.0f} CPU s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
