"""A switchback test at work: the agent hands over to the site's own control in the blocks drawn for it, and takes back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from agent.config.load import load_site
from agent.config.site import Switchback
from agent.daemon.comfort import HvacRuntime
from agent.domain import Mode, Quality, Reading, Snapshot
from agent.planner.switchback import days
from agent.store.history import History

SITE = Path(__file__).resolve().parents[2] / "examples" / "hvac_only" / "site.toml"


@pytest.fixture
def runtime() -> HvacRuntime:
    site = load_site(SITE)
    test = Switchback(begin=date(2026, 3, 2), days=24, block_days=3)
    hvac = site.hvac.model_copy(update={"switchback": test})
    return HvacRuntime(site.model_copy(update={"hvac": hvac}), frozenset(site.points))


def tick(runtime: HvacRuntime, at: datetime) -> dict[str, float | None]:
    temps = {zone.temp: 20.0 + at.timestamp() % 7 / 10 for zone in runtime._hvac.zones.values()}
    snapshot = Snapshot(at, {tag: Reading(value, Quality.GOOD, at) for tag, value in temps.items()})
    commands = runtime.tick(snapshot, History(":memory:", 30), [])
    for command in commands:
        runtime.wrote(command.tag, command.value)
    return {command.tag: command.value for command in commands if "heartbeat" not in command.tag}


def test_blocks_go_by_turns_and_each_handover_gives_the_set_points_back(runtime):
    test = days(runtime._hvac, "Europe/Berlin")
    seen = []
    for day in test:
        first = tick(runtime, day.from_at)
        tick(runtime, day.from_at + timedelta(minutes=1))
        seen.append((day.arm, runtime.switch.mode))
        previous = next((d.arm for d in test if d.to_at == day.from_at), None)
        if previous == "agent" and day.arm == "site":
            assert first
            assert set(first.values()) == {None}

    assert set(seen) == {("agent", Mode.CONTROL), ("site", Mode.ADVISE)}
    after = test[-1].to_at + timedelta(minutes=5)
    tick(runtime, after)
    assert runtime.switch.mode is Mode.CONTROL


def test_whoever_wished_for_less_than_control_keeps_it_over_the_agents_turns(runtime):
    runtime.switch.wish(Mode.OBSERVE, "inspection")

    modes = set()
    for day in days(runtime._hvac, "Europe/Berlin"):
        tick(runtime, day.from_at)
        modes.add(runtime.switch.mode)

    assert modes == {Mode.OBSERVE}


def test_the_mode_is_kept_in_telemetry_so_that_days_can_be_told_apart(runtime):
    at = datetime(2026, 3, 1, tzinfo=UTC)
    tick(runtime, at)

    assert runtime.readings(at)["hvac.mode"].value == 2.0
