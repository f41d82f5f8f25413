"""Minutes of a small station, written by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from agent.config.parts import WeekTime
from agent.config.site import Machine, Station, Tariff
from agent.savings.daily import Day
from agent.savings.kpi import Figures, derive, figures
from agent.savings.measured import StationMinutes
from agent.savings.periods import Period

# A Monday in UTC.
START = datetime(2026, 3, 2, tzinfo=UTC)
TARIFF = Tariff(energy_price_per_kwh=0.2, co2_kg_per_kwh=0.4)


def station(**changes: Any) -> Station:
    """A fixed machine and a VSD, 6 to 8 bar, nobody at work before 06:00 and after 14:00."""

    def machine(device: str, **more: Any) -> Machine:
        plate = {"device": device, "full_flow_m3_min": 10.0, "full_power_kw": 60.0, "unloaded_power_kw": 12.0}
        return Machine(**{**plate, **more})

    table: dict[str, Any] = {
        "pressure": "net.pressure",
        "flow": "net.flow",
        "pressure_min_bar_g": 6.0,
        "pressure_max_bar_g": 8.0,
        "receiver_m3": 10.0,
        "shift_hours": (WeekTime(days="mon-fri", **{"from": "06:00", "to": "14:00"}),),
        "machines": {"a": machine("a"), "b": machine("b", control="vsd")},
    }
    return Station(**{**table, **changes})


def minutes(count: int, **columns: Any) -> StationMinutes:
    """`count` minutes in which machine a runs loaded at 60 kW, b stands, 6.5 bar, 10 m3/min, OBSERVE."""

    def column(name: str, default: float) -> np.ndarray:
        return np.array(np.broadcast_to(np.asarray(columns.get(name, default), dtype=float), (count,)))

    def pair(name: str, a: float, b: float) -> np.ndarray:
        return np.column_stack([column(f"{name}_a", a), column(f"{name}_b", b)])

    return StationMinutes(
        start_at=columns.get("start_at", START),
        names=("a", "b"),
        power_kw=pair("power", 60.0, 0.0),
        running=pair("running", 1.0, 0.0),
        loaded=pair("loaded", 1.0, 0.0),
        output_share=pair("share", 1.0, 0.0),
        pressure_bar_g=column("pressure", 6.5),
        demand_m3_min=column("demand", 10.0),
        flow_m3_min=column("flow", 10.0),
        mode=column("mode", 0.0),
    )


def all_figures(given: StationMinutes, plant: Station | None = None) -> Figures:
    """Figures of the whole span."""
    plant = plant or station()
    derived = derive(given, plant, TARIFF, "UTC")
    return figures(derived, plant, TARIFF, Period("all", given.start_at, given.end_at, whole=True))


def day(number: int, energy_kwh: float, air_m3: float, *, hours: float = 24.0, armed: float = 0.0) -> Day:
    """A day of March 2026, all of it measured unless `hours` says otherwise."""
    begin = datetime(2026, 3, 1, tzinfo=UTC).timestamp() + 86400.0 * number
    at, end = (datetime.fromtimestamp(s, UTC) for s in (begin, begin + 86400.0))
    return Day(Period(f"{at:%Y-%m-%d}", at, end, whole=True), hours, energy_kwh, air_m3, hours / 24.0, armed)
