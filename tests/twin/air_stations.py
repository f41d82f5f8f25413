"""Stations with round numbers for tests of the simulated plant."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from agent.config.site import Machine, Station
from twin.compressor import Compressor

MONDAY = datetime(2026, 3, 2, tzinfo=UTC)


def machine(name: str = "c1", **changes: Any) -> Machine:
    """10 m3/min, 60 kW, 12 kW unloaded, 15 s to start, 3 s to reload, 40 s blow-down."""
    nameplate: dict[str, Any] = {
        "device": name,
        "full_flow_m3_min": 10.0,
        "full_power_kw": 60.0,
        "unloaded_power_kw": 12.0,
        "dead_man_s": 10.0,
    }
    return Machine(**{**nameplate, **changes})


def vsd(name: str = "v1", **changes: Any) -> Machine:
    """10 m3/min at 66 kW, 6 m3/min at 42 kW, 3 m3/min at 25 kW."""
    nameplate = {
        "control": "vsd",
        "full_power_kw": 66.0,
        "turndown_flow_m3_min": 3.0,
        "turndown_power_kw": 25.0,
        "mid_flow_m3_min": 6.0,
        "mid_power_kw": 42.0,
    }
    return machine(name, **{**nameplate, **changes})


def compressor(plate: Machine | None = None) -> Compressor:
    """Alone against its rated 7 bar, where no correction for pressure applies."""
    return Compressor("c1", plate or machine(), rated_bar_g=7.0, atmosphere_bar=1.0)


def station(**changes: Any) -> Station:
    """Two fixed machines of different size and a VSD on 10 m3, atmosphere 1 bar, 6 to 8 bar."""
    table: dict[str, Any] = {
        "pressure": "net.pressure",
        "flow": "net.flow",
        "pressure_min_bar_g": 6.0,
        "pressure_max_bar_g": 8.0,
        "receiver_m3": 10.0,
        "atmosphere_bar": 1.0,
        "machines": {
            "c1": machine("c1", priority=1),
            "c2": machine("c2", priority=2, full_flow_m3_min=6.0, full_power_kw=37.0, unloaded_power_kw=7.5),
            "v1": vsd("v1", priority=3),
        },
    }
    return Station(**{**table, **changes})
