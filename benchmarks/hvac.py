"""Random worlds under every controller: comfort, energy and cost against static set-backs, and what the gates say.

    benchmarks/hvac.py [--worlds 11,12] [--days 7] [--climates cold,mild,hot-dry,hot-humid] [--json OUT] [--scale]

A number draws a world for each climate, and each is lived through in February and in July (twin/hvac_world.py: three
nodes, doors, wind, units other than their nameplates; nothing of it is known to the agent). All controllers meet the
same weather, people and past. The static set-back is searched in hindsight on the very days that are compared: lead,
depth, distance from the band's edge. "even" is the best of those that are as comfortable as the gate asks of the
agent (half of the as-found discomfort), "any" the best of those no worse than as found, "as comfortable" the best of
those no worse than the agent was. The agent runs through
`trimload cosim` from a standing start: four weeks of the as-found past as history, then lines of five minutes.
Numbers 1, 2 and 11 to 13 were looked at while the fit and the plan were made; 21 and above were not.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

from agent.clock import cpu_s
from agent.config.hvac_models import HvacModels, write_models
from agent.config.site import Site, Tariff, ZoneModel
from agent.daemon.hvac_memory import LEARNED_DAYS, learned, site_past
from agent.planner.hvac import HvacState, WeatherForecast, plan_hvac
from agent.planner.hvac_schedule import occupancy_grid
from agent.planner.prices import price_grid
from agent.store.history import History
from twin.hvac import HvacTwin
from twin.hvac_trial import (
    TIMEZONE,
    Account,
    Always,
    Rows,
    Scene,
    SetBack,
    lived,
    plant,
    programme,
    run,
    run_agent,
    site_of,
)
from twin.hvac_world import CLIMATES, random_world

STARTS = {
    "winter": datetime(2026, 1, 31, 23, 0, tzinfo=UTC),
    "summer": datetime(2026, 6, 30, 22, 0, tzinfo=UTC),
}
FLAT = Tariff(energy_price_per_kwh=0.15)
# The charge is a week's share of 12 a kW and month: the run is one billing period.
TIME_OF_USE = Tariff.model_validate(
    {
        "energy_price_per_kwh": 0.09,
        "periods": [
            {"days": "mon-fri", "from": "16:00", "to": "20:00", "energy_price_per_kwh": 0.28},
            {"days": "mon-fri", "from": "07:00", "to": "21:00", "energy_price_per_kwh": 0.16},
        ],
        "demand_charge_per_kw": 2.8,
    }
)
SEARCHED = tuple(
    SetBack(lead, depth, inset)
    for lead in (0.0, 1.0, 2.0, 3.0)
    for depth in (2.0, 4.0, 20.0)
    for inset in (0.0, 0.3)
)
OVERCOOLED = Always(1.0)
MOST_DISCOMFORT = 0.5
MOST_ENERGY = 1.015
LEAST_COST_SAVED = 3.0
LEAST_SAVED_OF_ALWAYS = 20.0
MOST_LOST_WITHOUT_FORECAST = 3.0
MOST_RMSE_K = {"1h": 0.5, "24h": 0.8}
DROOP_K = 0.5  # a thermostat's dead-band: what the unit's own control holds its zone to
BAR_CPU_S = 2.0


class Row(NamedTuple):
    """One world-season: discomfort in K h, energy in kWh, costs in EUR; errors of the models in K."""

    world: str
    season: str
    found_kh: float
    flat_kh: float
    tou_kh: float
    found_kwh: float
    always_kwh: float
    any_kwh: float
    even_kwh: float
    flat_kwh: float
    any_tou: float
    even_tou: float
    tou: float
    tou_without_forecast: float
    worst_start_share: float
    writes: int
    idle_writes: int
    fallback_out_k: float
    rmse_k: dict[str, dict[str, float]]
    refused: dict[str, str]
    equal_kwh: float | None = None  # of the static set-back that is as comfortable as the agent was
    found_out_k: float | None = None  # at the ends of the same days, under the units' own programme

    @property
    def discomfort(self) -> float:
        """Share of the as-found discomfort that is left, at a flat price."""
        return self.flat_kh / max(self.found_kh, 1e-9)


def main() -> None:
    options = _options()
    console = Console(width=150)
    worlds = [
        (climate, int(number), season)
        for number in options.worlds.split(",")
        for climate in options.climates.split(",")
        for season in options.seasons.split(",")
    ]
    rows = [Row(**row) for path in options.rows for row in json.loads(Path(path).read_text(encoding="utf-8"))]
    if rows:
        worlds = []
    for climate, number, season in track(worlds, "world", console=Console(stderr=True), transient=True):
        rows.append(_world(climate, number, season, options.days))
        if options.json:
            Path(options.json).write_text(json.dumps([row._asdict() for row in rows], indent=1) + "\n")
    if rows:
        _print(console, rows)
    if options.scale:
        _scale(console)


def _world(climate: str, number: int, season: str, days: float) -> Row:
    scene = Scene(random_world(climate, number), STARTS[season], days, LEARNED_DAYS, number)
    flat, tou = site_of(scene.world, FLAT), site_of(scene.world, TIME_OF_USE)
    twin = plant(scene, flat)
    past = lived(twin, scene, programme)
    found = run(twin.branch(), scene, programme)
    always = run(twin.branch(), scene, OVERCOOLED)
    static = [run(twin.branch(), scene, rule) for rule in SEARCHED]
    even = _at_most(static, MOST_DISCOMFORT * found.discomfort_kh)
    anyhow = _at_most(static, found.discomfort_kh)
    at_flat = run_agent(twin.branch(), scene, flat, past)
    # The flat run learned by itself; the others are given what it learned, which is the same and saves the time.
    with tempfile.TemporaryDirectory() as folder:
        models = _models(flat, past, scene.start_at)
        write_models(Path(folder) / "models.json", models)
        flat, tou = (_knowing(site, Path(folder) / "models.json") for site in (flat, tou))
        at_tou, blind, fallen, lost = _others(twin, scene, flat, tou, past)
    rmse = {name: {str(k): v for k, v in zone.rmse_k.items()} for name, zone in models.zones.items()}
    return Row(
        scene.world.name,
        season,
        found.discomfort_kh,
        at_flat.discomfort_kh,
        at_tou.discomfort_kh,
        found.energy_kwh,
        always.energy_kwh,
        min(a.energy_kwh for a in anyhow),
        min(a.energy_kwh for a in even),
        at_flat.energy_kwh,
        min(_tou(a, scene) for a in anyhow),
        min(_tou(a, scene) for a in even),
        _tou(at_tou, scene),
        _tou(blind, scene),
        max(
            account.starts_per_hour(unit) / settings.max_starts_per_hour
            for account in (at_flat, at_tou, blind, fallen)
            for unit, settings in scene.world.hvac.units.items()
        ),
        at_flat.writes + at_tou.writes + blind.writes + fallen.writes,
        at_flat.idle_writes + at_tou.idle_writes + blind.idle_writes + fallen.idle_writes,
        max((out for at, _, out in fallen.day_ends if lost[0] <= at < lost[1]), default=0.0),
        rmse,
        dict(models.refused),
        min(a.energy_kwh for a in _at_most(static, at_flat.discomfort_kh)),
        max((out for at, _, out in found.day_ends if lost[0] <= at < lost[1]), default=0.0),
    )


def _knowing(site: Site, models: Path) -> Site:
    """The site with a file of models."""
    assert site.hvac is not None
    return site.model_copy(update={"hvac": site.hvac.model_copy(update={"models": models})})


def _others(
    twin: HvacTwin, scene: Scene, flat: Site, tou: Site, past: Rows
) -> tuple[Account, Account, Account, tuple[datetime, datetime]]:
    """Time of use with and without a forecast, and a day of work on which no temperature is known."""
    lost_at = scene.start_at + timedelta(days=1)
    while (lost_at + timedelta(hours=12)).isoweekday() > 5:
        lost_at += timedelta(days=1)
    lost = (lost_at, lost_at + timedelta(days=1))
    short = scene._replace(days=(lost[1] - scene.start_at) / timedelta(days=1) + 0.1)
    return (
        run_agent(twin.branch(), scene, tou, past),
        run_agent(twin.branch(), scene, tou, past, forecast=False),
        run_agent(twin.branch(), short, flat, past, lost=lost),
        lost,
    )


def _at_most(accounts: list[Account], discomfort_kh: float) -> list[Account]:
    """Those no less comfortable than that; the most comfortable one where none is."""
    good = [account for account in accounts if account.discomfort_kh <= discomfort_kh]
    return good or [min(accounts, key=lambda account: account.discomfort_kh)]


def _tou(account: Account, scene: Scene) -> float:
    return account.cost(TIME_OF_USE, scene.start_at)


def _models(site: Site, past: Rows, at: datetime) -> HvacModels:
    history = History(":memory:", 60)
    history.load(past)
    return learned(site, site_past(site, history, at, LEARNED_DAYS), None, at)


def _print(console: Console, rows: list[Row]) -> None:
    table = Table(
        title="Against the as-found schedule (discomfort) and static set-backs searched in hindsight, %"
    )
    for column in (
        "world",
        "season",
        "found K h",
        "flat K h",
        "left %",
        "tou K h",
        "kWh",
        "/even",
        "/any",
        "/24-7",
        "tou EUR",
        "/even",
        "/any",
        "blind",
        "starts",
        "fall-back K",
        "1 h K",
        "24 h K",
    ):
        table.add_column(column, justify="left" if column in ("world", "season") else "right")
    for row in rows:
        table.add_row(
            row.world,
            row.season,
            f"{row.found_kh:.1f}",
            f"{row.flat_kh:.1f}",
            f"{100 * row.discomfort:.0f}",
            f"{row.tou_kh:.1f}",
            f"{row.flat_kwh:,.0f}",
            f"{_more(row.flat_kwh, row.even_kwh):+.1f}",
            f"{_more(row.flat_kwh, row.any_kwh):+.1f}",
            f"{_more(row.flat_kwh, row.always_kwh):+.1f}",
            f"{row.tou:,.0f}",
            f"{_more(row.tou, row.even_tou):+.1f}",
            f"{_more(row.tou, row.any_tou):+.1f}",
            f"{_more(row.tou_without_forecast, row.tou):+.1f}",
            f"{100 * row.worst_start_share:.0f}%",
            f"{row.fallback_out_k:.2f}",
            f"{max((z['1h'] for z in row.rmse_k.values()), default=0.0):.2f}",
            f"{max((z['24h'] for z in row.rmse_k.values()), default=0.0):.2f}"
            + (f" -{len(row.refused)}" if row.refused else ""),
        )
    console.print(table)
    for text, held in _gates(rows):
        console.print(f"{'held  ' if held else 'MISSED'} {text}")


def _more(value: float, of: float) -> float:
    return 100.0 * (value / of - 1.0) if of > 0 else 0.0


def _gates(rows: list[Row]) -> list[tuple[str, bool]]:
    """What the acceptance asks, with the figure; by the mean where it says average, else by the worst world."""
    left = sum(r.flat_kh for r in rows) / max(sum(r.found_kh for r in rows), 1e-9)
    worst_left = max(r.discomfort for r in rows)
    even = sum(r.flat_kwh for r in rows) / sum(r.even_kwh for r in rows)
    anyhow = sum(r.flat_kwh for r in rows) / sum(r.any_kwh for r in rows)
    judged = [r for r in rows if r.equal_kwh]
    equal = sum(r.flat_kwh for r in judged) / max(sum(r.equal_kwh or 0.0 for r in judged), 1e-9)
    worst_even = max(r.flat_kwh / max(r.even_kwh, 1e-9) for r in rows)
    cost_even = statistics.fmean(-_more(r.tou, r.even_tou) for r in rows)
    cost_any = statistics.fmean(-_more(r.tou, r.any_tou) for r in rows)
    always = statistics.fmean(-_more(r.flat_kwh, r.always_kwh) for r in rows)
    blind = statistics.fmean(_more(r.tou_without_forecast, r.tou) for r in rows)
    worst_blind = max(_more(r.tou_without_forecast, r.tou) for r in rows)
    errors = {lead: [z[lead] for r in rows for z in r.rmse_k.values()] for lead in MOST_RMSE_K}
    refused = sum(len(r.refused) for r in rows)
    return [
        (
            f"discomfort {100 * left:.0f} % of as found (worst world {100 * worst_left:.0f} %); gate 50 %",
            worst_left <= MOST_DISCOMFORT,
        ),
        (
            f"energy {even:.3f} x static set-back of even comfort (worst world {worst_even:.3f}); gate 1.015",
            even <= MOST_ENERGY,
        ),
        *(
            [
                (
                    f"energy {equal:.3f} x static set-back as comfortable as the agent; gate 1.015",
                    equal <= MOST_ENERGY,
                )
            ]
            if judged
            else []
        ),
        (f"energy {anyhow:.3f} x static set-back of any comfort; gate 1.015", anyhow <= MOST_ENERGY),
        (
            f"cost {cost_even:.1f} % below static set-back of even comfort at time of use and demand charge; gate 3 %",
            cost_even >= LEAST_COST_SAVED,
        ),
        (
            f"cost {cost_any:.1f} % below static set-back of any comfort; gate 3 %",
            cost_any >= LEAST_COST_SAVED,
        ),
        (
            f"energy {always:.1f} % below comfort day and night, 1 K within the band; gate 20 %",
            always >= LEAST_SAVED_OF_ALWAYS,
        ),
        (
            f"losing the forecast costs {blind:+.1f} points (worst world {worst_blind:+.1f}); gate 3",
            blind < MOST_LOST_WITHOUT_FORECAST,
        ),
        (
            f"a day of fall-back ends {max(r.fallback_out_k for r in rows):.2f} K out of the band at worst; "
            f"(without the agent {max(r.found_out_k or 0.0 for r in rows):.2f}); gate: the thermostats' own {DROOP_K} K",
            all(r.fallback_out_k <= DROOP_K for r in rows),
        ),
        *(
            (
                f"zone models: {lead} RMSE median {statistics.median(values):.2f} K, worst {max(values):.2f} K, "
                f"{sum(v > most for v in values)} of {len(values)} over {most} K, {refused} zones refused",
                max(values) <= most,
            )
            for lead, most in MOST_RMSE_K.items()
            if (values := errors[lead])
        ),
        (
            f"starts: at most {100 * max(r.worst_start_share for r in rows):.0f} % of a unit's limit an hour",
            all(r.worst_start_share <= 1.0 for r in rows),
        ),
        (
            f"{sum(r.idle_writes for r in rows)} of {sum(r.writes for r in rows)} set-points written stood there already",
            not any(r.idle_writes for r in rows),
        ),
    ]


def _scale(console: Console) -> None:
    """The plan of fifty zones over a day, with and without a demand charge: CPU seconds."""
    world = random_world("mild", 1)
    at = STARTS["winter"] + timedelta(days=1)  # a Monday
    model = {"air_kwh_per_k": 6.0, "mass_kwh_per_k": 60.0, "ua_kw_per_k": 1.5, "mass_ua_kw_per_k": 5.0}
    rng = np.random.default_rng(1)
    base = next(iter(world.hvac.zones.values()))
    unit = world.hvac.units[base.unit]
    zones, units = {}, {}
    for k in range(50):
        scale = float(rng.uniform(0.5, 1.5))
        figures = {name: value * scale for name, value in model.items()} | {"gain_occupied_kw": 5.0 * scale}
        zones[f"z{k}"] = base.model_copy(update={"unit": f"u{k}", "model": ZoneModel.model_validate(figures)})
        units[f"u{k}"] = unit.model_copy(update={"heating_kw": 60.0 * scale, "cooling_kw": 40.0 * scale})
    hvac = world.hvac.model_copy(update={"zones": zones, "units": units})
    outdoor = 3.0 + 5.0 * np.sin(np.arange(96) / 96 * 2 * np.pi)
    state = HvacState(
        temp_degc={name: 16.0 + float(rng.uniform(-1, 1)) for name in zones},
        mass_degc=dict.fromkeys(zones, 17.0),
    )
    people = {name: occupancy_grid(zone, TIMEZONE, at, 96, 900.0) for name, zone in zones.items()}
    for tariff, what in ((FLAT, "flat price"), (TIME_OF_USE, "time of use and demand charge")):
        price = price_grid(tariff, TIMEZONE, at, 96, 900)
        begin = cpu_s()
        plan = plan_hvac(hvac, tariff, state, WeatherForecast(outdoor), people, price, at)
        spent = cpu_s() - begin
        verdict = "held  " if spent <= BAR_CPU_S else "MISSED"
        console.print(f"{verdict} 50 zones x 96 steps, {what}: {spent:.2f} CPU s, {plan.status}; bar 2 s")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--worlds", default="11", help="numbers; each draws a world a climate")
    parser.add_argument("--climates", default=",".join(CLIMATES))
    parser.add_argument("--seasons", default="winter,summer")
    parser.add_argument("--days", type=float, default=7.0, help="days compared")
    parser.add_argument("--scale", action="store_true", help="time the plan of fifty zones as well")
    parser.add_argument("--rows", nargs="*", default=[], help="only print rows written before by --json")
    parser.add_argument("--json", help="write the rows here after each world")
    return parser.parse_args()


if __name__ == "__main__":
    main()
