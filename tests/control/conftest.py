"""A small station that control tests share."""

import pytest

from agent.config.site import Machine, Station
from agent.control.view import Fleet, fleet_of


@pytest.fixture
def station() -> Station:
    """Two fixed machines and a VSD on 15 m3, 6.3 to 8 bar."""

    def machine(device: str, flow: float, power: float, idle: float, **more) -> Machine:
        return Machine(
            device=device,
            full_flow_m3_min=flow,
            full_power_kw=power,
            unloaded_power_kw=idle,
            dead_man_s=30.0,
            **more,
        )

    return Station(
        mode="control",
        pressure="header.pressure",
        pressure_min_bar_g=6.3,
        pressure_max_bar_g=8.0,
        receiver_m3=15.0,
        machines={
            "big": machine("big", 16.0, 98.0, 20.0),
            "small": machine("small", 9.0, 58.0, 13.0),
            "vsd": machine(
                "vsd", 16.0, 103.0, 12.0, control="vsd", turndown_flow_m3_min=3.2, turndown_power_kw=25.0
            ),
        },
    )


@pytest.fixture
def fleet(station: Station) -> Fleet:
    return fleet_of(station)
