"""The whole daemon on a simulated clock, its drivers straight on the twin: no wire, every layer above it."""

import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from agent.clock import SimClock
from agent.config.load import load_site
from agent.config.site import Site
from agent.daemon.loop import Daemon
from agent.domain import Command, Reading, WriteResult, unknown
from agent.store.history import History
from agent.store.ledger import Ledger
from twin.demand import DemandSeries
from twin.simulate import Scene, Wires, wires_of
from twin.station import AirStation

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "station_7bar" / "site.toml"
START = datetime(2026, 3, 3, 7, 0, tzinfo=UTC)
STEP_S = 2.0


def control_site(**changes: Any) -> Site:
    """The 7 bar example in CONTROL with a tick of two seconds."""
    site = load_site(EXAMPLE)
    station = site.stations["air"].model_copy(update={"mode": "control", **changes})
    return site.model_copy(
        update={
            "stations": {"air": station},
            "tick_s": STEP_S,
            "allow_writes": ("c1.*", "c2.*", "c3.*", "c4.*"),
        }
    )


class PlantDriver:
    """One device of the site on the twin. `cut` is the network: "" or read, write or both are gone."""

    def __init__(self, device: str, tags: Sequence[str], rig: "Rig") -> None:
        self.device, self.tags = device, tuple(tags)
        self._rig = rig

    async def connect(self) -> None:
        return

    async def read(self, tags: Sequence[str]) -> dict[str, Reading]:
        at = self._rig.clock.now()
        if self._rig.cut:
            return {tag: unknown(at) for tag in tags}
        known = self._rig.wires.readings(at)
        return {tag: known.get(tag, unknown(at)) for tag in tags}

    async def write(self, commands: Sequence[Command]) -> list[WriteResult]:
        results = []
        for command in commands:
            if self._rig.before_write is not None:
                self._rig.before_write(command)
            if self._rig.cut:
                results.append(WriteResult(command.tag, command.value, ok=False, error="no answer"))
                continue
            ok = command.value is not None and self._rig.wires.write(command.tag, command.value)
            results.append(
                WriteResult(
                    command.tag, command.value, ok, command.value if ok else None, "" if ok else "refused"
                )
            )
        return results

    async def release(self) -> None:
        return

    async def close(self) -> None:
        return


class Rig:
    """Daemon and plant, stepped together; the pressure of every step is kept."""

    def __init__(
        self,
        state: Path,
        demand_m3_min: float,
        site: Site | None = None,
        *,
        forecasters: dict[str, Any] | None = None,
        plan_in_thread: bool = False,
        **changes: Any,
    ) -> None:
        self.forecasters, self.plan_in_thread = forecasters, plan_in_thread
        self.site = site or control_site(**changes)
        self.state = state
        station = self.site.stations["air"]
        self.plant = AirStation(station, seed=1)
        scene = Scene(self.site, "air", DemandSeries(START, 60.0, [demand_m3_min]), START, START, 1)
        self.wires: Wires = wires_of(scene, self.plant)
        self.clock = SimClock(START)
        self.demand = demand_m3_min
        self.cut = False
        self.before_write: Callable[[Command], None] | None = None
        self.pressures: list[float] = []
        self.plant.settle(demand_m3_min)
        self.open()

    def open(self) -> None:
        """Begin a life of the agent on the state directory."""
        self.state.mkdir(parents=True, exist_ok=True)
        self.history = History(self.state / "history.db", 60)
        self.ledger = Ledger(self.state / "ledger.db")
        drivers = {
            name: PlantDriver(name, [f"{name}.{point}" for point in device.points], self)
            for name, device in self.site.devices.items()
        }
        self.daemon = Daemon(
            self.site,
            self.clock,
            drivers,
            history=self.history,
            ledger=self.ledger,
            overrides_folder=self.state / "overrides",
            forecasters=self.forecasters,
            plan_in_thread=self.plan_in_thread,
        )

    def kill(self) -> None:
        """The process is gone: nothing is handed back, nothing is flushed but the files."""
        self.history.close()
        self.ledger.close()

    async def live(self, seconds: float, *, agent: bool = True) -> None:
        for _ in range(int(seconds / STEP_S)):
            if agent:
                await self.daemon.tick()
            self.plant.step(STEP_S, self.demand)
            self.clock.advance_to(self.clock.now() + timedelta(seconds=STEP_S))
            self.pressures.append(self.plant.pressure_bar_g)

    def local(self) -> list[str]:
        return [name for name, control in self.plant.controls.items() if not control.master_steers]

    def running(self) -> set[str]:
        return {name for name, machine in self.plant.compressors.items() if machine.running}

    def events(self, kind: str) -> list[dict[str, Any]]:
        return [json.loads(row.fields) for row in self.ledger.since(START, limit=100_000) if row.kind == kind]
