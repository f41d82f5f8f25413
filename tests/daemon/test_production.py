"""The plant's plan on its way into the forecast: by file, by message, and when it is missing."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.clock import SimClock
from agent.config.load import load_site
from agent.config.services import Production
from agent.daemon.known import known_ahead
from agent.daemon.loop import Daemon
from agent.daemon.messages import handler
from agent.daemon.production import KEEP_DAYS, ProductionPlan
from agent.drivers.lines import LinesDriver
from agent.inference.model import load_model
from agent.store.history import History
from agent.store.ledger import Ledger
from training.dataset import Frame
from training.fit import fit_target

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "air_lines" / "site.toml"
START = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
DAYS = 40
PER_DAY = 96
NOW = START + timedelta(days=DAYS)
LEVELS = np.random.default_rng(2).choice([10.0, 20.0, 30.0], DAYS + 2)


def demand() -> np.ndarray:
    """Each day follows its planned rate from six to eighteen, in a draw that no calendar tells."""
    step = np.arange(DAYS * PER_DAY)
    works = (step % PER_DAY >= 24) & (step % PER_DAY < 72)
    return 4.0 + LEVELS[step // PER_DAY] * works + np.random.default_rng(5).normal(0, 0.5, len(step))


def plan_csv(days: range) -> str:
    rows = ["time,line,planned_rate"]
    for day in days:
        begin = START + timedelta(days=day)
        rows += [f"{begin + timedelta(hours=6):%Y-%m-%dT%H:%MZ},press,{LEVELS[day]}"]
        rows += [f"{begin + timedelta(hours=18):%Y-%m-%dT%H:%MZ},press,0"]
    return "\n".join(rows)


@pytest.fixture(scope="module")
def model():
    plan = ProductionPlan(Production(file=Path("-")), "UTC")
    plan.take(plan_csv(range(DAYS)), "test", START)
    columns = {
        "air.demand_m3_min": demand(),
        "plan": plan.columns(["plan"], START, 900, DAYS * PER_DAY)[:, 0],
    }
    content = fit_target(
        Frame(START, 900, columns), target="air.demand_m3_min", unit="m3/min", step_s=900, horizon=96,
        tz="Europe/Berlin", seed=1, quick=True, known=["plan"], limits=(0.0, 70.68),
    )  # fmt: skip
    return load_model(content)


async def daemon_with(model, production: Production, kept_at: Path) -> Daemon:
    site = load_site(EXAMPLE).model_copy(update={"production": production})
    daemon = Daemon(
        site,
        SimClock(NOW),
        {name: LinesDriver(name, device) for name, device in site.devices.items()},
        history=History(":memory:", 60),
        ledger=Ledger(":memory:"),
        models={"air": model},
        production=ProductionPlan(production, "UTC", kept_at),
    )
    await daemon.start()
    daemon.stations["air"].foresight.history.load(START, list(demand()))
    return daemon


async def tick(daemon: Daemon, minutes: float) -> list[dict]:
    """Let that much time pass, tick, and return the ledger's new forecast and plan events."""
    before = len(daemon.ledger.since(START, limit=1000))
    daemon.clock.advance_to(daemon.clock.now() + timedelta(minutes=minutes))
    for driver in daemon.drivers.values():
        driver.feed(daemon.clock.now(), {})
    await daemon.tick()
    rows = daemon.ledger.since(START, limit=1000)[before:]
    return [
        {"kind": row.kind, **json.loads(row.fields)}
        for row in rows
        if row.kind.startswith(("forecast", "production"))
    ]


def noon(daemon: Daemon, day: int) -> float:
    forecast = daemon.stations["air"].foresight.forecast
    return forecast.at(START + timedelta(days=day, hours=12))[1]


async def test_a_plan_file_steers_the_forecast_and_its_change_is_followed_within_a_minute(model, tmp_path):
    file = tmp_path / "plan.csv"
    file.write_text(plan_csv(range(DAYS + 1)))
    daemon = await daemon_with(model, Production(file=file), tmp_path / "kept.csv")

    told = await tick(daemon, 1)
    first = noon(daemon, DAYS)
    other = 40.0 - LEVELS[DAYS] if LEVELS[DAYS] != 20.0 else 10.0
    file.write_text(plan_csv(range(DAYS)) + f"\n{NOW + timedelta(hours=6):%Y-%m-%dT%H:%MZ},press,{other}\n")
    os.utime(file, (1, 1))
    await tick(daemon, 2)

    assert [event["kind"] for event in told] == ["production_plan", "forecast"]
    assert told[1]["text"].startswith("model:")
    assert first == pytest.approx(4.0 + LEVELS[DAYS], abs=2.5)
    assert noon(daemon, DAYS) == pytest.approx(4.0 + other, abs=2.5)
    await daemon.stop("the test is over")


async def test_a_plan_that_comes_by_message_steers_the_forecast_at_the_next_tick(model, tmp_path):
    daemon = await daemon_with(model, Production(topic="plan"), tmp_path / "kept.csv")
    without = await tick(daemon, 1)

    handler(daemon)("plan", plan_csv(range(DAYS + 1)).encode())
    told = await tick(daemon, 0.5)

    assert without[0]["reasons"][-1] == "known_missing"
    assert [event["kind"] for event in told] == ["production_plan", "forecast"]
    assert noon(daemon, DAYS) == pytest.approx(4.0 + LEVELS[DAYS], abs=2.5)
    await daemon.stop("the test is over")


async def test_without_a_plan_the_forecast_says_so_and_is_finite(model, tmp_path):
    daemon = await daemon_with(model, Production(file=tmp_path / "none.csv"), tmp_path / "kept.csv")

    told = await tick(daemon, 1)
    later = await tick(daemon, 5)

    assert [event["kind"] for event in told] == ["production_plan_refused", "forecast"]
    assert "known_missing" in told[1]["reasons"]
    assert np.isfinite(daemon.stations["air"].foresight.forecast.quantiles).all()
    assert later == []
    await daemon.stop("the test is over")


def test_a_model_that_does_without_its_plan_keeps_steering_and_says_so(model):
    # Days of 10, 20 or 30 with nothing but the plan to tell them apart: without it the naive rule is as good.
    assert not model.limits.known_proof


def test_the_plan_is_remembered_over_a_restart_and_what_is_old_is_dropped(tmp_path):
    config, kept = Production(topic="plan"), tmp_path / "kept.csv"
    first = ProductionPlan(config, "UTC", kept)
    first.take(plan_csv(range(20)), "test", NOW + timedelta(days=40))

    again = ProductionPlan(config, "UTC", kept)

    # Day 80 keeps what began after day 16, and the one row before that still holds.
    since = NOW + timedelta(days=40 - KEEP_DAYS)
    assert again.rows == first.rows
    assert [row.at < since for row in again.rows] == [True] + [False] * 8


def test_nonsense_by_message_changes_nothing_and_is_told(tmp_path):
    plan = ProductionPlan(Production(topic="plan"), "UTC", tmp_path / "kept.csv")
    plan.take(plan_csv(range(3)), "test", START)
    before, version = plan.rows, plan.version

    refused = [plan.receive(content, START) for content in (b"\xff\xfe\x00", b"hello", b"[]")]

    told = [kind for kind, _, _ in plan.look(START)]
    assert refused == [False, False, False]
    # The last two have no row for the same reason, which is told once.
    assert told == ["production_plan", "production_plan_refused", "production_plan_refused"]
    assert (plan.rows, plan.version) == (before, version)


def test_price_and_shift_come_from_the_site_and_what_it_does_not_know_is_nan(model):
    site = load_site(EXAMPLE.parents[1] / "demo" / "site.toml")
    contract = model.contract
    columns = tuple(type(contract.known[0])(name, "", 0, 1) for name in ("price", "shift", "weather", "plan"))
    wanted = type(contract)(**{**contract.__dict__, "known": columns})

    series = known_ahead(site, site.stations["air"], None)(wanted, NOW)

    assert series.end_at == NOW + timedelta(seconds=900 * contract.horizon)
    assert np.isfinite(series.values[:, 0]).all()
    assert np.isnan(series.values[:, 2:]).all()
