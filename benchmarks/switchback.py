"""Coverage of the switchback meter's 90 % interval, in twin worlds whose true saving is known.

Each world lives three kinds of lives under the same weather: the old schedule all the time, the better one all the
time (their energies give the truth), and tests that switch between them. No planner is involved: the meter is judged,
with all its carry-over of heat, not the agent.

usage: .venv/bin/python benchmarks/switchback.py [--worlds 8] [--tests 3] [--blocks 3 5] [--days 84]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from datetime import date, datetime, timedelta

import numpy as np

from agent.clock import cpu_s
from agent.config.site import Site, Switchback
from agent.planner.hvac_schedule import is_occupied
from agent.planner.switchback import Arm, Day, arm_at, days
from agent.savings.figure import Unsupported
from agent.savings.switchback import SwitchDay, analyse
from twin.hvac import HvacTwin
from twin.hvac_world import CLIMATES, World, hall_maker, random_world
from twin.weather import Weather

STEP = timedelta(minutes=15)
LEAD = timedelta(hours=1)
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


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", type=int, default=8)
    parser.add_argument("--tests", type=int, default=3)
    parser.add_argument("--blocks", type=int, nargs="+", default=[3, 5])
    parser.add_argument("--days", type=int, default=84)
    options = parser.parse_args()
    began = cpu_s()
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
        if not hits[block]:
            continue
        error = 100 * np.array(errors[block])
        print(
            f"blocks of {block} days: {sum(hits[block])} of {len(hits[block])} 90 % intervals hold the truth "
            f"({np.mean(hits[block]):.0%}); error {error.mean():+.1f} +- {error.std():.1f} points, interval "
            f"{100 * np.mean(widths[block]):.1f} points wide"
        )
    print(f"{cpu_s() - began:.0f} CPU s")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
