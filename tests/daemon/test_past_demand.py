"""Demand out of a historian's columns."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.config.load import load_site
from agent.daemon.past_demand import complete_past
from agent.store.history import History

ROOT = Path(__file__).resolve().parents[2]
BEGIN = datetime(2026, 6, 16, 4, 0, tzinfo=UTC)
STANDS = {"running": 0.0}


@pytest.fixture
def site():
    return load_site(ROOT / "examples" / "air_lines" / "site.toml")


def demand(site, minutes: int, pressure=lambda _: 6.5, flow=None, **machines: dict[str, float]):
    """Demand and mode of each minute, from what every one of them says."""
    history, end = History(":memory:", 60), BEGIN + timedelta(minutes=minutes)
    tags = {f"{name}.{role}": value for name, told in machines.items() for role, value in told.items()}
    if flow is not None:
        tags["header.flow"] = flow
    history.load(
        (BEGIN + timedelta(minutes=at), tag, value)
        for at in range(minutes)
        for tag, value in {**tags, "header.pressure": pressure(at)}.items()
    )
    complete_past(history, site, BEGIN, end)
    return [history.series(f"air.{name}", BEGIN, end).values for name in ("demand_m3_min", "mode")]


def test_loaded_machines_are_the_demand(site):
    found, mode = demand(
        site,
        5,
        c1={"running": 1.0, "loaded": 1.0},
        c2={"running": 1.0, "loaded": 0.5},
        c3=STANDS,
        c4={"running": 1.0, "loaded": 1.0, "output_share": 0.5},
    )

    # 16.3 + half of 16.3 + half of 16.6 m3/min; watched, as in mode observe.
    assert found == pytest.approx(32.75)
    assert set(mode) == {0.0}


def test_power_tells_what_loaded_does_not(site):
    found, _ = demand(
        site,
        5,
        # Half of the way from 20.5 kW unloaded to 98 kW; the VSD at the row of its data sheet: 60 kW, 10 m3/min.
        c1={"running": 1.0, "power_kw": 59.25},
        c2=STANDS,
        c3=STANDS,
        c4={"running": 1.0, "power_kw": 60.0},
    )

    assert found == pytest.approx(8.15 + 10.0)


def test_air_that_the_net_stores_is_not_taken(site):
    found, _ = demand(
        site,
        5,
        lambda at: 6.5 + 0.1 * at,
        c1={"running": 1.0, "loaded": 1.0},
        c2=STANDS,
        c3=STANDS,
        c4=STANDS,
    )

    # 0.1 bar a minute into 15 m3.
    assert found[1:-1] == pytest.approx(16.3 - 0.1 * 15 / 1.013)


def test_flow_meter_is_asked_first_and_a_silent_machine_leaves_the_demand_unknown(site):
    metered, _ = demand(site, 5, flow=21.0, c1={"running": 1.0, "loaded": 1.0})
    silent, mode = demand(site, 5, c1={"running": 1.0, "loaded": 1.0}, c2=STANDS, c3=STANDS)

    assert metered == pytest.approx(21.0)
    assert np.isnan(silent).all()
    assert np.isnan(mode).all()
