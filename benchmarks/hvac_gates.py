"""What random worlds under every controller have shown: the row of one, the table, and what the gates say of it."""

from __future__ import annotations

import statistics
from typing import NamedTuple

from rich.console import Console
from rich.table import Table

MOST_DISCOMFORT = 0.5
MOST_ENERGY = 1.015
LEAST_COST_SAVED = 3.0
LEAST_SAVED_OF_ALWAYS = 20.0
MOST_LOST_WITHOUT_FORECAST = 3.0
MOST_RMSE_K = {"1h": 0.5, "24h": 0.8}


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
    even_demand: float | None = None  # of even_tou, for the peak
    tou_demand: float | None = None  # of tou
    least_tou: float | None = None  # the least that any controller could pay, at the discomfort of even_tou
    held_out_k: float | None = None  # likewise, kept at comfort by the agent: [hvac] fallback = "comfort"
    even_empty_kwh: float | None = None  # of even_kwh, while nobody was in
    flat_empty_kwh: float | None = None  # of flat_kwh

    @property
    def discomfort(self) -> float:
        """Share of the as-found discomfort that is left, at a flat price."""
        return self.flat_kh / max(self.found_kh, 1e-9)


class Hall(NamedTuple):
    """One hall's model: RMSE by lead, [K], without and with the wind; None where it was refused."""

    world: str
    season: str
    zone: str
    rmse_k: dict[str, float] | None
    windy_rmse_k: dict[str, float] | None


class Fallback(NamedTuple):
    """How far out of its band the worst zone was when people left after a day without any temperature, [K]."""

    world: str
    season: str
    alone_k: float
    handed_back_k: float
    kept_k: float


def print_models(console: Console, halls: list[Hall]) -> None:
    """Each hall, and both gates without and with the wind."""
    table = Table(title="Open-loop error on days held back, RMSE in K: without the wind, with it")
    for column in ("world", "season", "hall", "1 h", "24 h", "1 h", "24 h"):
        table.add_column(column, justify="left" if column in ("world", "season", "hall") else "right")
    for hall in halls:
        errors = [
            "refused" if known is None else f"{known[lead]:.2f}"
            for known in (hall.rmse_k, hall.windy_rmse_k)
            for lead in MOST_RMSE_K
        ]
        table.add_row(hall.world, hall.season, hall.zone, *errors)
    console.print(table)
    for what, known in (
        ("without the wind", [hall.rmse_k for hall in halls]),
        ("with the wind", [hall.windy_rmse_k for hall in halls]),
    ):
        for lead, most in MOST_RMSE_K.items():
            values = [errors[lead] for errors in known if errors is not None]
            held = len(values) == len(known) and max(values) <= most
            console.print(
                f"{'held  ' if held else 'MISSED'} {what}, {lead}: median {statistics.median(values):.2f} K, worst "
                f"{max(values):.2f} K, {sum(v > most for v in values)} of {len(known)} over {most} K, "
                f"{len(known) - len(values)} refused"
            )


def print_fallbacks(console: Console, rows: list[Fallback]) -> None:
    """Each world, and the gate for both ways to fall back."""
    table = Table(title="Out of the band when people leave, after a day without any zone temperature, K")
    for column in ("world", "season", "without the agent", "handed back", "kept at comfort"):
        table.add_column(column, justify="left" if column in ("world", "season") else "right")
    for row in rows:
        table.add_row(
            row.world, row.season, f"{row.alone_k:.2f}", f"{row.handed_back_k:.2f}", f"{row.kept_k:.2f}"
        )
    console.print(table)
    for text, held in _fallback_gates(
        max(r.alone_k for r in rows), max(r.handed_back_k for r in rows), max(r.kept_k for r in rows)
    ):
        console.print(f"{'held  ' if held else 'MISSED'} {text}")


def _fallback_gates(alone_k: float, handed_back_k: float, kept_k: float | None) -> list[tuple[str, bool]]:
    handed = (
        f"a day of fall-back, handed back, ends {handed_back_k:.2f} K out of the band at worst (without the agent "
        f"{alone_k:.2f}); gate: in the band",
        handed_back_k <= 0.0,
    )
    if kept_k is None:
        return [handed]
    return [
        handed,
        (f'likewise with fallback = "comfort": {kept_k:.2f} K; gate: in the band', kept_k <= 0.0),
    ]


def print_rows(console: Console, rows: list[Row]) -> None:
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
        "least",
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
            "" if row.least_tou is None else f"{_more(row.least_tou, row.even_tou):+.1f}",
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


def _bills(rows: list[Row]) -> list[tuple[str, bool]]:
    """What the bills are made of, and how far the best of all could go; no gate of its own."""
    known = [
        r for r in rows if r.even_demand is not None and r.tou_demand is not None and r.least_tou is not None
    ]
    if not known:
        return []
    even = statistics.fmean(100.0 * (r.even_demand or 0.0) / r.even_tou for r in known)
    mine = statistics.fmean(100.0 * (r.tou_demand or 0.0) / r.tou for r in known)
    least = [-_more(r.least_tou or 0.0, r.even_tou) for r in known]
    return [
        (
            f"the peak is {even:.0f} % of the even static bill, {mine:.0f} % of the agent's; all known beforehand, with units of "
            f"any output, would cost {statistics.fmean(least):.1f} % below it (least {min(least):.1f} %): no gate",
            True,
        )
    ]


def _mornings(rows: list[Row]) -> list[tuple[str, bool]]:
    """When the agent draws what it draws more than the static set-back of even comfort; no gate of its own."""
    known = [r for r in rows if r.even_empty_kwh is not None and r.flat_empty_kwh is not None]
    if not known:
        return []
    more = sum(r.flat_kwh - r.even_kwh for r in known)
    empty = sum((r.flat_empty_kwh or 0.0) - (r.even_empty_kwh or 0.0) for r in known)
    return [
        (
            f"energy beyond the even one {more:+.0f} kWh of {sum(r.even_kwh for r in known):.0f}: {empty:+.0f} before people come "
            f"and by night, {more - empty:+.0f} with them in: no gate",
            True,
        )
    ]


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
        *_bills(rows),
        *_mornings(rows),
        *_fallback_gates(
            max(r.found_out_k or 0.0 for r in rows),
            max(r.fallback_out_k for r in rows),
            max((r.held_out_k for r in rows if r.held_out_k is not None), default=None),
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
