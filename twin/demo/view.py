"""What a person watches during the demonstration: a live screen, or a line now and then without one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from types import TracebackType
from typing import Self
from zoneinfo import ZoneInfo

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from agent.clock import elapsed_s
from agent.daemon.loop import Daemon
from agent.daemon.runtime import StationRuntime

_BARS = " ▁▂▃▄▅▆▇█"
_WIDTH = 60
_REFRESH_S = 0.2
_PLAIN_EVERY_S = 3 * 3600


def sparkline(values: Sequence[float], low: float, high: float) -> str:
    """Values as a row of bars between `low` and `high`."""
    span = max(high - low, 1e-9)
    return "".join(_BARS[min(max(int((v - low) / span * 8.99), 0), 8)] for v in values)


class DemoView:
    """Shows the daemon after each tick; a context that owns the screen."""

    def __init__(self, console: Console, *, start_at: datetime, end_at: datetime, timezone: str) -> None:
        self._console = console
        self._start_at, self._span_s = start_at, (end_at - start_at).total_seconds()
        self._zone = ZoneInfo(timezone)
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=40),
            TaskProgressColumn(),
            TimeRemainingColumn(),
        )
        self._task = self._progress.add_task("simulated day", total=self._span_s)
        self._live = (
            Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        )
        self._drawn_s = 0.0
        self._plain_at: datetime | None = None
        self._pressure: deque[float] = deque(maxlen=_WIDTH)
        self._demand: deque[float] = deque(maxlen=_WIDTH)
        self._sampled: datetime | None = None
        self._last_note = ""
        self.power_kw: Callable[[], float] = lambda: 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.__exit__(kind, error, trace)

    def show(self, daemon: Daemon) -> None:
        """Take in a tick; draw when it is time."""
        snapshot = daemon.snapshot
        if snapshot is None:
            return
        if daemon.notes:
            self._last_note = daemon.notes[-1]
        runtime = next(iter(daemon.stations.values()))
        self._sample(runtime, snapshot.at)
        self._progress.update(self._task, completed=(snapshot.at - self._start_at).total_seconds())
        if self._live is None:
            self._plain(daemon, snapshot.at)
        elif elapsed_s() - self._drawn_s >= _REFRESH_S:
            self._drawn_s = elapsed_s()
            self._live.update(self._screen(daemon, runtime, snapshot.at), refresh=True)

    def _sample(self, runtime: StationRuntime, at: datetime) -> None:
        result = runtime.last
        if result is None or (self._sampled is not None and (at - self._sampled).total_seconds() < 300):
            return
        self._sampled = at
        if result.view.pressure_bar_g is not None:
            self._pressure.append(result.view.pressure_bar_g)
        if result.demand is not None:
            self._demand.append(result.demand.fast_m3_min)

    def _plain(self, daemon: Daemon, at: datetime) -> None:
        if self._plain_at is not None and (at - self._plain_at).total_seconds() < _PLAIN_EVERY_S:
            return
        self._plain_at = at
        from agent.daemon.report import status_text

        self._console.print(f"{at.astimezone(self._zone):%H:%M}  {status_text(daemon)}", highlight=False)

    def _screen(self, daemon: Daemon, runtime: StationRuntime, at: datetime) -> Group:
        station = runtime.station
        low = station.pressure_min_bar_g - 0.1
        high = station.pressure_min_bar_g + 0.6
        capacity = sum(m.full_flow_m3_min for m in station.machines.values())
        result, forecast = runtime.last, runtime.foresight.forecast
        head = Table.grid(padding=(0, 2))
        pressure = (
            "unknown"
            if result is None or result.view.pressure_bar_g is None
            else f"{result.view.pressure_bar_g:.2f}"
        )
        demand = "unknown" if result is None or result.demand is None else f"{result.demand.fast_m3_min:.1f}"
        head.add_row("pressure", f"[bold]{pressure}[/] bar", sparkline(self._pressure, low, high))
        head.add_row("demand", f"[bold]{demand}[/] m3/min", sparkline(self._demand, 0.0, capacity))
        if forecast is not None:
            middles = [float(q) for q in forecast.quantiles[:_WIDTH, 1]]
            head.add_row("forecast", forecast.source[:28], f"[cyan]{sparkline(middles, 0.0, capacity)}[/]")
        head.add_row(
            "power", f"[bold]{self.power_kw():.0f}[/] kW", f"mode [bold green]{runtime.mode.value}[/]"
        )
        parts: list[Table | Panel | Text | Progress] = [head, self._machines(runtime)]
        if daemon.hvac is not None:
            parts.append(self._zones(daemon))
        parts.append(Text(self._last_note[:110], style="dim"))
        parts.append(self._progress)
        local = at.astimezone(self._zone)
        return Group(Panel(Group(*parts), title=f"Trimload   {local:%a %d %b %H:%M}", border_style="blue"))

    @staticmethod
    def _machines(runtime: StationRuntime) -> Table:
        table = Table(box=None, padding=(0, 2))
        for title in ("machine", "state", "kW", "output", "ordered"):
            table.add_column(title, justify="right" if title == "kW" else "left")
        result = runtime.last
        if result is None:
            return table
        orders = result.orders or result.advice
        for index, name in enumerate(runtime.control.fleet.names):
            machine = result.view.machines[index]
            state = "silent" if machine.running is None else "stopped"
            if machine.running:
                state = "[green]loaded[/]" if machine.loaded else "[yellow]unloaded[/]"
            order = orders[index] if orders else None
            wish = "" if order is None else ("load" if order.load else "idle" if order.run else "stop")
            share = machine.output_share or 0.0
            power = "" if machine.power_kw is None else f"{machine.power_kw:.0f}"
            table.add_row(name, state, power, "█" * round(share * 20), wish)
        return table

    @staticmethod
    def _zones(daemon: Daemon) -> Table:
        table = Table(box=None, padding=(0, 2))
        for title in ("zone", "now", "heat below", "cool above", "why"):
            table.add_column(title)
        assert daemon.hvac is not None
        for row in daemon.hvac.rows():
            table.add_row(*row)
        return table
