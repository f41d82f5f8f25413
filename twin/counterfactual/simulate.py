"""The site's old control, or the agent, on the twin with the demand that was measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import numpy as np

from agent.config.site import Site
from agent.savings.counterfactual import Controller, TwinRun
from agent.savings.measured import MINUTE_S, Flags, Floats, StationMinutes
from twin.baselines.configured import baseline_text, configured_baseline
from twin.counterfactual.machine_fit import fit_balance, fit_machines, fitted_station
from twin.demand import MINUTE_S as DEMAND_STEP_S
from twin.demand import DemandSeries
from twin.simulate import Progress, Scene, run_agent, run_baseline
from twin.station import AirStation

SEED = 1
STEP_S = 5.0
# The agent thinks for itself at each step; its own daemon ticks no faster than this on many sites.
AGENT_STEP_S = 10.0
# Up to here a gap in the demand is bridged by a line; a longer one takes the same time of the day before.
_BRIDGED_MIN = 60
_DAY_MIN = 1440


def simulate(
    site: Site,
    station_id: str,
    minutes: StationMinutes,
    *,
    fit_on: Flags,
    spans: Mapping[Controller, tuple[datetime, datetime]],
) -> TwinRun:
    """Fit the twin's machines on the minutes `fit_on`, run each controller over its span.

    An `agent.savings.counterfactual.Twin`. Gaps of the demand are filled so that the simulation goes on; the
    minutes filled are not among those that savings count.
    """
    station = site.stations[station_id]
    machines = fit_machines(station, minutes, fit_on)
    balance = fit_balance(station, minutes, fit_on)
    fitted = fitted_station(station, machines, balance)
    demand = DemandSeries(minutes.start_at, DEMAND_STEP_S, list(filled(minutes.demand_m3_min)))
    fitted_site = site.model_copy(update={"stations": {**site.stations, station_id: fitted}})
    power: dict[Controller, Floats] = {}
    with _progress() as add:
        for controller, (from_at, to_at) in spans.items():
            recorder = _MinuteMeans(minutes.start_at, minutes.count)
            scene = Scene(
                fitted_site,
                station_id,
                demand,
                from_at,
                to_at,
                SEED,
                step_s=STEP_S if controller == "baseline" else AGENT_STEP_S,
                watch=recorder.take,
            )
            tell = add(f"{controller} on the measured demand")
            if controller == "baseline":
                run_baseline(scene, configured_baseline(fitted), tell)
            else:
                # Without forecast and day plan: they save starts rather than energy, and cost ten times the time.
                run_agent(scene, "none", progress=tell)
            power[controller] = recorder.means()
    unseen = [name for name, found in machines.items() if found.minutes == 0]
    notes = [balance.note] if balance.note else []
    if unseen:
        notes.append(f"hardly seen under load, so simulated by nameplate: {', '.join(unseen)}")
    return TwinRun(
        controller=baseline_text(station),
        power_kw=power,
        machines=machines,
        volume_m3=balance.volume_m3,
        volume_nameplate_m3=station.receiver_m3,
        flow_scale=balance.flow_scale,
        notes=tuple(notes),
    )


def filled(demand_m3_min: Floats) -> Floats:
    """The demand without gaps: short ones by a line, long ones by the same time a day before, else after."""
    out = demand_m3_min.copy()
    known = np.isfinite(out)
    if not known.any():
        return np.zeros_like(out)
    index = np.arange(len(out))
    line = np.interp(index, index[known], out[known])
    edges = np.flatnonzero(np.diff(np.concatenate([[True], known, [True]]).astype(int)))
    for first, last in zip(edges[::2], edges[1::2], strict=True):
        if last - first <= _BRIDGED_MIN:
            out[first:last] = line[first:last]
            continue
        for at in range(first, last):
            before, after = at - _DAY_MIN, at + _DAY_MIN
            if before >= 0 and np.isfinite(out[before]):
                out[at] = out[before]
            elif after < len(out) and known[after]:
                out[at] = out[after]
            else:
                out[at] = line[at]
    return out


class _MinuteMeans:
    """Mean power of each minute of a simulation, NaN for those that it did not reach."""

    def __init__(self, start_at: datetime, count: int) -> None:
        self._start_s = start_at.timestamp()
        self._sum, self._steps = np.zeros(count), np.zeros(count)

    def take(self, at: datetime, plant: AirStation) -> None:
        """One step of the plant, begun at `at`."""
        minute = int((at.timestamp() - self._start_s) // MINUTE_S)
        self._sum[minute] += plant.power_kw
        self._steps[minute] += 1.0

    def means(self) -> Floats:
        """[kW] a minute."""
        out = np.full(len(self._sum), np.nan)
        np.divide(self._sum, self._steps, out=out, where=self._steps > 0)
        return out


@contextmanager
def _progress() -> Iterator[Any]:
    """A bar per controller on a terminal; silence elsewhere."""
    from rich.console import Console
    from rich.progress import Progress as Bars

    console = Console(stderr=True)
    with Bars(console=console, transient=True, disable=not console.is_terminal) as bars:

        def add(name: str) -> Progress:
            task = bars.add_task(name, total=1.0)
            return lambda share: bars.update(task, completed=share)

        yield add
