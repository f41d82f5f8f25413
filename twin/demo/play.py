"""The demonstration from set-up to account."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from agent.clock import elapsed_s
from agent.config.site import Site
from agent.daemon.loop import Daemon
from agent.daemon.report import Reporter
from agent.drivers.build import build_driver
from agent.inference.model import Model
from agent.planner.prices import price_at
from agent.store.history import History
from agent.store.ledger import Ledger
from agent.store.outbox import Outbox
from agent.uplink.mqtt import Uplink
from fleet.broker import Broker
from fleet.consumer import Consumer
from twin.broker import broker
from twin.demo.page import live_page
from twin.demo.scene import DemoScene, history_rows, write_demand
from twin.demo.view import DemoView
from twin.demo.wire import LockstepClock, twin_process
from twin.simulate import WARM_UP_S

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class DemoResult:
    """What came of the day: the twin's own books, and what went over the wire."""

    books: dict[str, Any]
    cost: float
    zones: dict[str, Any]
    broker: str
    messages: int
    ticks: int
    wall_s: float
    commands: int
    ledger_sound: bool


class CostMeter:
    """What the station's energy costs, read off the twin's meter at each tick."""

    def __init__(self, site: Site, station_id: str) -> None:
        self._tariff, self._zone = site.tariff, ZoneInfo(site.site.timezone)
        self._station_id = station_id
        self._energy_kwh: float | None = None
        self.cost = 0.0

    def take(self, at: datetime, state: Mapping[str, Any]) -> None:
        """One reading of the meter."""
        station = state.get("stations", {}).get(self._station_id)
        if station is None:
            return
        energy = float(station["energy_kwh"])
        if self._energy_kwh is not None:
            self.cost += (energy - self._energy_kwh) * price_at(self._tariff, self._zone, at)
        self._energy_kwh = energy


async def play(
    scene: DemoScene, site_path: Path, state: Path, model: Model | None, view: DemoView, *, say: Say
) -> DemoResult:
    """Run the day. Raises TrimloadError when twin or broker cannot be had."""
    site = scene.site
    assert site.uplink is not None
    demand_file = state / "demand.csv"
    write_demand(scene, demand_file)
    port = int(site.uplink.broker.rpartition(":")[2])
    async with (
        broker(port, state / "broker") as broker_name,
        twin_process(
            site_path, start_at=scene.start_at, demand=f"{scene.station_id}={demand_file}", seed=scene.seed
        ) as link,
    ):
        say(f"broker: {broker_name}; simulated devices answer on Modbus TCP and OPC UA")
        clock = LockstepClock(scene.start_at, link)
        history = History(state / "history.db", site.storage.history_days)
        ledger = Ledger(state / "ledger.db")
        outbox = Outbox(state / "outbox.db", site.storage.outbox_mb << 20)
        uplink = Uplink(site.uplink, site.site.id, outbox, clock)
        consumer = Consumer(Broker(site.uplink.broker, site.uplink.topic_root))
        await consumer.start()
        uplink.start()
        meter = CostMeter(site, scene.station_id)

        def watch(daemon: Daemon) -> None:
            meter.take(clock.now(), link.state)
            view.show(daemon)

        daemon = Daemon(
            site,
            clock,
            {name: build_driver(name, device, clock) for name, device in site.devices.items()},
            history=history,
            ledger=ledger,
            reporter=Reporter(uplink, watch=watch),
            models={scene.station_id: model} if model is not None else {},
        )
        history.load(history_rows(scene, daemon.stations[scene.station_id].demand_tag))
        view.power_kw = lambda: _power_kw(link.state)
        began_s = elapsed_s()
        await daemon.start()
        stopped = asyncio.Event()
        with live_page(site, state, clock) as address:
            say(f"live page: {address}")
            with view:
                await daemon.run(stopped, until=scene.start_at + timedelta(seconds=WARM_UP_S))
                await link.ask({"open_books": True})
                meter.cost = 0.0
                await daemon.run(stopped, until=scene.end_at)
        wall_s = elapsed_s() - began_s
        books = await link.ask({"books": True})
        await daemon.stop("the demonstration is over")
        await uplink.stop()
        messages = await consumer.stop()
        commands = len(ledger.since(scene.start_at, "command_written", limit=1_000_000))
        result = DemoResult(
            books=books["stations"][scene.station_id],
            cost=meter.cost,
            zones=link.state.get("zones", {}),
            broker=broker_name,
            messages=messages,
            ticks=daemon.ticks,
            wall_s=wall_s,
            commands=commands,
            ledger_sound=ledger.verify().ok,
        )
        for store in (history, ledger, outbox):
            store.close()
        return result


def _power_kw(state: dict[str, Any]) -> float:
    stations = sum(station["power_kw"] for station in state.get("stations", {}).values())
    units = sum(unit["power_kw"] for unit in state.get("units", {}).values())
    return float(stations + units)
