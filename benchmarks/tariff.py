"""Where looking ahead must pay: price by the hour, a charge on the peak, machines that deliver minutes after their start.

    benchmarks/tariff.py [--stations 7bar,12bar,21] [--days 3] [--seed 700] [--samples 30] [--start-s 300]
                         [--rows band,naive,perfect,plan] [--best FOLDER] [--json OUT]

The demand is a production plan: three lines that run orders of one to four hours with changeovers between them,
two shifts, a lunch break; a line comes or goes within five minutes. Every machine delivers `--start-s` after its
start order. The first week tunes `sequencer:best` (least energy, not cost, of what keeps the limits of service, run-on up to
a day), the days after it are compared. `plan` reads the production plan as a site does ([production] file: when each line
comes, goes, and at which rate; what a line draws is learned from the first week) beside the naive forecast; `perfect` knows
the true mean of each quarter hour instead, but not the minute; `naive` goes by last week; `band` has no forecast.

Cost = energy by its price + the billed peak (highest quarter-hour mean) x the month's charge x the days' share of a month,
energy corrected for the pressure at the end. A saving counts only at equal service; what broke is named, opponents too.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.config.load import load_site
from agent.config.services import Production
from agent.config.site import PricePeriod, Site, Station, Tariff
from agent.inference.production import PlanRow, plan_text
from agent.inference.series import Series
from twin.baselines.best_file import best_body, read_best
from twin.baselines.sequencer import Sequencer, SequencerSettings
from twin.baselines.tune import RANGES, ServiceLimits, tune
from twin.demand import DemandSeries, reachable_peak_m3_min
from twin.make_station import draw_station
from twin.simulate import WARM_UP_S, ForecastKind, RunResult, Scene, run_agent, run_sequencer
from twin.station import AirStation
from twin.station_text import station_text

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = {"7bar": "station_7bar", "12bar": "carplant_12bar"}
# A Sunday, midnight in Europe/Berlin: the night before the first shift is the warm-up.
TUNE_FROM = datetime(2026, 2, 22, 23, 0, tzinfo=UTC)
TUNE_DAYS = 7
STEP_S = 10.0
LIMITS = ServiceLimits()
STARTS_RATIO = 1.2
GATE_PERCENT = 3.0
TARIFF = Tariff(
    energy_price_per_kwh=0.12,
    periods=(PricePeriod(days="mon-fri", energy_price_per_kwh=0.28, **{"from": "07:00", "to": "20:00"}),),
    demand_charge_per_kw=10.0,
    demand_interval_min=15,
)
# With slow machines an engineer lets them idle, for a whole day if need be, and keeps one more in reserve.
WIDER = {"run_on_s": 86400.0, "margin_share": 0.8, "floor_bar": 0.9}
SLOW_RANGES = tuple((name, low, WIDER.get(name, high)) for name, low, high in RANGES)
DAYS_OF_MONTH = 365.0 / 12.0
AGENT_ROWS: dict[str, tuple[ForecastKind, bool]] = {
    "band": ("none", False),
    "naive": ("naive", True),
    "perfect": ("perfect", True),
    "plan": ("naive", True),
}
LINES = (("line1", 0.40), ("line2", 0.35), ("line3", 0.25))


class Row(NamedTuple):
    """One controller on one station: cost, what it is made of, and service."""

    station: str
    controller: str
    cost: float
    peak_kw: float
    energy_kwh: float
    below_share: float
    dip_bar: float
    short_share: float
    starts: int
    starts_per_hour: int
    pressure_bar_g: float
    idle_share: float
    cpu_s: float


def main() -> None:
    options = _options()
    console = Console(width=150)
    rows: list[Row] = []
    for name in track(options.stations.split(","), "station", console=console, transient=True):
        rows += _station(name, options)
        if options.json:
            Path(options.json).write_text(json.dumps([row._asdict() for row in rows], indent=1) + "\n")
    report(console, rows)


def _station(name: str, options: argparse.Namespace) -> list[Row]:
    site = _site(name, options.start_s)
    station_id, station = next(iter(site.stations.items()))
    days = TUNE_DAYS + options.days
    whole = production_demand(station, TUNE_FROM, days, options.seed)
    plan_csv = plan_text(production_rows(TUNE_FROM, days, options.seed))
    cut = TUNE_DAYS * 1440
    week = DemandSeries(TUNE_FROM, 60.0, whole.values[:cut])
    begin = TUNE_FROM + timedelta(days=TUNE_DAYS)
    demand = DemandSeries(begin, 60.0, whole.values[cut:])
    past = Series(TUNE_FROM, 900, np.array(week.values).reshape(-1, 15).mean(axis=1))
    best = _best(options, name, station_id, station, week)

    def run(kind: str, play: Callable[[Scene], RunResult], plan: Path | None = None) -> Row:
        meter = Meter(begin + timedelta(seconds=WARM_UP_S))
        scene = Scene(
            site if plan is None else site.model_copy(update={"production": Production(file=plan)}),
            station_id,
            demand,
            begin,
            begin + timedelta(days=options.days),
            options.seed,
            step_s=STEP_S,
            past=past,
            watch=meter.see,
        )
        return _row(name, kind, play(scene), meter.peak_kw)

    rows = [
        run("typical", lambda scene: run_sequencer(scene, Sequencer(station))),
        run("best", lambda scene: run_sequencer(scene, Sequencer(station, settings=best))),
    ]
    for kind in options.rows.split(","):
        forecast, planned = AGENT_ROWS[kind]

        def play(scene: Scene, forecast: ForecastKind = forecast, *, planned: bool = planned) -> RunResult:
            return run_agent(scene, forecast, planned=planned)

        if kind != "plan":
            rows.append(run(f"agent:{kind}", play))
            continue
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "plan.csv"
            path.write_text(plan_csv, encoding="utf-8")
            rows.append(run(f"agent:{kind}", play, path))
    return rows


def _best(
    options: argparse.Namespace, name: str, station_id: str, station: Station, week: DemandSeries
) -> SequencerSettings:
    """`sequencer:best` of this scene, tuned on the week before; kept in --best so that it is searched once."""
    key = f"{name}-production{options.seed}-{options.start_s:.0f}-{options.samples}.json"
    kept = None if options.best is None else Path(options.best) / key
    if kept is not None and kept.exists():
        return read_best(kept, station)
    tuned = tune(station, week, samples=options.samples, seed=0, step_s=STEP_S, ranges=SLOW_RANGES)
    s = tuned.settings
    limits = "keeps the limits" if tuned.excess == 0.0 else f"breaks the limits by {tuned.excess:.2f}"
    print(
        f"{name}: best of {tuned.samples} {limits} in its own week: floor {s.floor_bar:.2f} bar, band {s.band_bar:.2f} bar, "
        f"run-on {s.run_on_s:.0f} s, hold {s.hold_s:.0f} s, margin {s.margin_share:.2f}, {s.selection}"
    )
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
        body = best_body(
            station_id, station, tuned, seed=0, span=f"production plan, seed {options.seed}, week 0"
        )
        kept.write_text(json.dumps(body, indent=1) + "\n")
    return tuned.settings


class Meter:
    """The power company's: mean power of each quarter hour from `from_at` on, and the highest of them."""

    def __init__(self, from_at: datetime) -> None:
        self._from_s = from_at.timestamp()
        self._slot = -1
        self._kws = 0.0
        self.peak_kw = 0.0

    def see(self, at: datetime, plant: AirStation) -> None:
        """Take in one step."""
        if at.timestamp() < self._from_s:
            return
        slot = int(at.timestamp() // 900)
        if slot != self._slot:
            self._slot, self._kws = slot, 0.0
        self._kws += plant.power_kw * STEP_S
        self.peak_kw = max(self.peak_kw, self._kws / 900.0)


def _row(name: str, kind: str, result: RunResult, peak_kw: float) -> Row:
    books = result.books
    mean_price = result.cost / books.energy_kwh
    charge = TARIFF.demand_charge_per_kw * peak_kw * result.days / DAYS_OF_MONTH
    return Row(
        station=name,
        controller=kind,
        cost=books.energy_corrected_kwh * mean_price + charge,
        peak_kw=peak_kw,
        energy_kwh=books.energy_corrected_kwh,
        below_share=books.time_below_min_s / books.elapsed_s,
        dip_bar=books.worst_dip_bar,
        short_share=books.short_m3 / max(books.delivered_m3, 1e-9),
        starts=sum(books.starts.values()),
        starts_per_hour=books.max_starts_per_hour,
        pressure_bar_g=books.mean_pressure_bar_g,
        idle_share=books.idle_energy_kwh / books.energy_kwh,
        cpu_s=result.loop_cpu_s,
    )


def broken(row: Row, runs: dict[str, Row]) -> list[str]:
    """Limits of service that a row breaks, by name; the agent's starts against the sequencers' too."""
    limits = [
        ("air short", row.short_share > LIMITS.short_share),
        ("below minimum", row.below_share > LIMITS.time_below_min_share),
        ("dip", row.dip_bar > LIMITS.worst_dip_bar),
        ("starts an hour", row.starts_per_hour > LIMITS.starts_per_hour),
    ]
    if row.controller.startswith("agent:"):
        limits += [
            (f"starts > {peer}", row.starts > STARTS_RATIO * runs[peer].starts)
            for peer in ("typical", "best")
        ]
    return [name for name, is_broken in limits if is_broken]


def report(console: Console, rows: list[Row]) -> None:
    """The table, then the gate of each row of the agent."""
    table = Table(
        title="cost of the days compared (warm-up left out); % less than typical and best sequencer"
    )
    for column in ("station", "controller"):
        table.add_column(column)
    for column in (
        "cost",
        "typical",
        "best",
        "kWh",
        "peak kW",
        "idle",
        "bar",
        "below",
        "dip",
        "short",
        "starts",
    ):
        table.add_column(column, justify="right")
    table.add_column("broken")
    judged: dict[str, list[tuple[float, list[str]]]] = {}
    for station in dict.fromkeys(row.station for row in rows):
        runs = {row.controller: row for row in rows if row.station == station}
        for kind, row in runs.items():
            less = {peer: 100.0 * (1.0 - row.cost / runs[peer].cost) for peer in ("typical", "best")}
            failed = broken(row, runs)
            if kind.startswith("agent:"):
                judged.setdefault(kind, []).append((less["best"], failed))
            table.add_row(
                station,
                kind,
                f"{row.cost:,.1f}",
                f"{less['typical']:+.2f}",
                f"{less['best']:+.2f}",
                f"{row.energy_kwh:,.0f}",
                f"{row.peak_kw:.0f}",
                f"{100.0 * row.idle_share:.1f}%",
                f"{row.pressure_bar_g:.2f}",
                f"{100.0 * row.below_share:.3f}%",
                f"{row.dip_bar:.2f}",
                f"{100.0 * row.short_share:.4f}%",
                f"{row.starts} ({row.starts_per_hour}/h)",
                ", ".join(failed),
            )
    console.print(table)
    for kind, found in judged.items():
        mean = statistics.fmean(less for less, _ in found)
        served = sum(not failed for _, failed in found)
        held = mean >= GATE_PERCENT and served == len(found)
        console.print(
            f"{'held  ' if held else 'MISSED'} {kind}: mean cost {mean:.2f} % below best (gate {GATE_PERCENT:g} %), worst "
            f"{min(less for less, _ in found):.2f} %; every limit of service kept on {served} of {len(found)} stations"
        )


def production_demand(station: Station, start_at: datetime, days: int, seed: int) -> DemandSeries:
    """Free air of three lines by their plan, minute values; `start_at` is midnight in the plant's time.

    Leaks of 13 % at all hours. Weekdays 06:00-22:00: orders of 1 to 4 h, changeovers of 20 to 50 min, products that
    take 75 to 100 % of a line's air, 12:00-12:30 at half. A line comes or goes in five minutes; 3 % noise by the minute.
    """
    rng = random.Random(seed)
    peak = reachable_peak_m3_min(station)
    leak = 0.13 * peak
    rates = _planned_rates(rng, start_at, days)
    target = np.sum([share * rate for (_, share), rate in zip(LINES, rates, strict=True)], axis=0)
    ramped = np.convolve(target, np.full(5, 0.2))[: len(target)]
    keep, noise = 0.78, 0.0
    values = []
    for share in ramped:
        noise = keep * noise + rng.gauss(0.0, 0.03 * (1.0 - keep**2) ** 0.5)
        values.append(leak + (peak - leak) * float(share) * (1.0 + noise))
    return DemandSeries(start_at, 60.0, values)


def production_rows(start_at: datetime, days: int, seed: int) -> list[PlanRow]:
    """What the plan says of these lines: from when on each runs at which rate, in percent of its full rate."""
    rows = []
    for (line, _), rate in zip(LINES, _planned_rates(random.Random(seed), start_at, days), strict=True):
        changes = [0, *(np.flatnonzero(np.diff(rate)) + 1)]
        rows += [
            PlanRow(line, start_at + timedelta(minutes=int(at)), round(100.0 * float(rate[at]), 1))
            for at in changes
        ]
    return rows


def _planned_rates(rng: random.Random, start_at: datetime, days: int) -> list[NDArray[np.float64]]:
    """Of each line, by the minute: 0 while it rests, 1 for the product that takes most air."""
    out = []
    for _ in LINES:
        rate = np.zeros(days * 1440)
        for day in range(days):
            if (start_at + timedelta(days=day, hours=2)).weekday() >= 5:
                continue
            minute, end = 360 + 15 * rng.randint(0, 2), 1320 - 15 * rng.randint(0, 2)
            while minute < end - 30:
                stop = min(minute + rng.randint(60, 240), end)
                rate[day * 1440 + minute : day * 1440 + stop] = rng.uniform(0.75, 1.0)
                minute = stop + rng.randint(20, 50)
        for day in range(days):
            rate[day * 1440 + 720 : day * 1440 + 750] *= 0.5
        out.append(rate)
    return out


def _site(name: str, start_s: float) -> Site:
    if name in EXAMPLES:
        site = load_site(ROOT / "examples" / EXAMPLES[name] / "site.toml")
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "site.toml"
            path.write_text(station_text(draw_station(int(name))), encoding="utf-8")
            site = load_site(path)
    station_id, station = next(iter(site.stations.items()))
    machines = {n: m.model_copy(update={"start_s": start_s}) for n, m in station.machines.items()}
    station = station.model_copy(update={"machines": machines})
    return site.model_copy(update={"tariff": TARIFF, "stations": {station_id: station}})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stations", default="7bar,12bar,21", help="examples by name, drawn ones by seed")
    parser.add_argument("--days", type=int, default=3, help="compared, from a Monday on")
    parser.add_argument("--seed", type=int, default=700, help="of the production plan and the noise")
    parser.add_argument("--samples", type=int, default=30, help="settings tried for sequencer:best")
    parser.add_argument(
        "--best", help="folder that keeps the settings found, so that a second run need not search"
    )
    parser.add_argument("--start-s", type=float, default=300.0, help="from start order to air, every machine")
    parser.add_argument("--rows", default="naive,perfect,plan", help=f"of the agent: {', '.join(AGENT_ROWS)}")
    parser.add_argument("--json", help="write the rows here, station by station")
    return parser.parse_args()


if __name__ == "__main__":
    main()
