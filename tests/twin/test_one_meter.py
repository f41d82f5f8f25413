"""Compressors and zones behind one meter, in closed loop through the whole daemon: they do not peak together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from agent.clock import SimClock
from agent.config.load import load_site
from agent.config.site import Site
from agent.daemon.loop import Daemon
from agent.domain import Command, Quality, Reading, WriteResult, unknown
from agent.planner.hvac import POOR_COMFORT_KH
from agent.store.history import History
from agent.store.ledger import Ledger
from twin.demand import DemandSeries
from twin.hvac import HvacTwin
from twin.hvac_trial import SetBack
from twin.plant import TwinPlant
from twin.weather import Weather

DEMO = load_site(Path(__file__).resolve().parents[2] / "examples" / "demo" / "site.toml")
BEGIN = datetime(2026, 1, 19, 23, 0, tzinfo=UTC)  # midnight in Berlin, a Tuesday
HOURS = 7.0
TICK_S = 10.0
PAST_DAYS = 15
# A furnace is blown off from half past four to half past five; people come into the halls at six.
NIGHT, BLOWN_OFF = 9.0, 42.0
LOUD = (4.5, 5.5)
LOUD_STEPS = slice(18, 22)
AIR_KW_PER_M3_MIN = 6.1


def demand_at(local_h: float) -> float:
    """In m3/min, and a quarter of an hour up and down."""
    share = min(local_h - LOUD[0], LOUD[1] - local_h) / 0.25
    return NIGHT + (BLOWN_OFF - NIGHT) * min(max(share, 0.0), 1.0)


class Direct:
    """One device of the site, straight on the twin."""

    def __init__(self, plant: TwinPlant, clock: SimClock, tags: Sequence[str]) -> None:
        self.tags, self._plant, self._clock = tuple(tags), plant, clock

    async def connect(self) -> None:
        return

    async def read(self, tags: Sequence[str]) -> dict[str, Reading]:
        at = self._clock.now()
        values = {tag: self._plant.read(tag) for tag in tags}
        return {t: unknown(at) if v is None else Reading(v, Quality.GOOD, at) for t, v in values.items()}

    async def write(self, commands: Sequence[Command]) -> list[WriteResult]:
        out = []
        for command in commands:
            ok = command.value is not None and self._plant.write(command.tag, command.value)
            out.append(WriteResult(command.tag, command.value, ok, command.value if ok else None))
        return out

    async def release(self) -> None:
        return

    async def close(self) -> None:
        return


def past_rows(site: Site, weather: Weather) -> list[tuple[datetime, str, float | None]]:
    """Two weeks of weather and of compressors that did every morning what they do in this one."""
    assert site.hvac is not None
    rows: list[tuple[datetime, str, float | None]] = []
    for k in range(PAST_DAYS * 96):
        at = BEGIN - timedelta(days=PAST_DAYS) + timedelta(minutes=15 * k)
        outdoor = weather.at(at)
        rows += [
            (at, "c1.power_kw", AIR_KW_PER_M3_MIN * demand_at(k % 96 / 4.0)),
            (at, site.hvac.outdoor_temp or "", outdoor.temp_degc),
            (at, site.hvac.solar or "", outdoor.sun_w_m2),
        ]
    return rows


def hvac_twin(weather: Weather) -> HvacTwin:
    return HvacTwin(DEMO, start_at=BEGIN, seed=4, weather=weather)


def quarter_hours(kw: Sequence[float]) -> np.ndarray:
    return np.array(kw).reshape(-1, int(900 / TICK_S)).mean(axis=1)


def plain_kw(weather: Weather) -> np.ndarray:
    """The halls under a start of two hours ahead, without anybody who knows of the furnace."""
    twin, rule, kw = hvac_twin(weather), SetBack(2.0, 20.0, 0.3), []
    for k in range(int(HOURS * 3600 / TICK_S)):
        at = BEGIN + timedelta(seconds=k * TICK_S)
        for unit in ("rtu1", "rtu2"):
            twin.write(f"{unit}.heartbeat", float(k))
        if k % 30 == 0:
            rule(twin, at)
        twin.advance_to(at + timedelta(seconds=TICK_S))
        kw.append(twin.power_kw)
    return quarter_hours(kw)


@pytest.mark.timeout(120)
async def test_halls_warm_up_around_the_compressors_peak_and_the_sites_limit_is_held():
    weather = Weather(
        start_at=BEGIN - timedelta(days=PAST_DAYS + 2), seed=4, timezone="Europe/Berlin", mean_degc=14.0
    )
    alone = plain_kw(weather)
    limit_kw = AIR_KW_PER_M3_MIN * BLOWN_OFF + 0.3 * float(alone[LOUD_STEPS].max())
    site = DEMO.model_copy(update={"tariff": DEMO.tariff.model_copy(update={"site_limit_kw": limit_kw})})
    halls = hvac_twin(weather)
    steps = [demand_at(m / 60.0) for m in range(int(HOURS * 60) + 60)]
    plant = TwinPlant(
        site, demand={"air": DemandSeries(BEGIN, 60.0, steps)}, start_at=BEGIN, hvac=halls, seed=4
    )
    clock, history = SimClock(BEGIN), History(":memory:", 60)
    history.load(past_rows(site, weather))
    drivers = {
        name: Direct(plant, clock, [f"{name}.{point}" for point in device.points])
        for name, device in site.devices.items()
    }
    daemon = Daemon(site, clock, drivers, history=history, ledger=Ledger(":memory:"))
    await daemon.start()
    compressors = plant.stations["air"].compressors.values()
    air, heat, pressures = [], [], []
    for k in range(int(HOURS * 3600 / TICK_S)):
        await daemon.tick()
        at = BEGIN + timedelta(seconds=(k + 1) * TICK_S)
        plant.advance_to(at)
        clock.advance_to(at)
        air.append(sum(machine.power_kw for machine in compressors))
        heat.append(halls.power_kw)
        pressures.append(plant.stations["air"].pressure_bar_g)
    air_kw, heat_kw = quarter_hours(air), quarter_hours(heat)
    loud = LOUD_STEPS

    # Without the agent the two meet, and pass the limit by a good deal.
    assert (air_kw + alone)[loud].max() > limit_kw + 5.0
    # With it they do not, and the halls are warm when people come all the same.
    assert (air_kw + heat_kw).max() <= limit_kw
    assert heat_kw[loud].mean() < 0.5 * heat_kw.max()
    assert halls.discomfort_kh < POOR_COMFORT_KH
    assert min(pressures) > site.stations["air"].pressure_min_bar_g - 0.1
