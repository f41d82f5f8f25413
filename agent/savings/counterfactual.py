"""What the same demand would have cost under another controller: a simulation, calibrated and doubted.

The simulation itself is no part of the gateway: whoever offers the entry point `trimload.savings` does it
(twin/counterfactual/). Here it is fitted to the days on which the plant was left alone, and the error that is
left there becomes the interval of the savings: a block bootstrap over those days.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple, Protocol

import numpy as np

from agent.config.site import Site
from agent.savings.daily import Day
from agent.savings.figure import CONFIDENCE, Saving, Unsupported
from agent.savings.measured import MINUTES_PER_HOUR, Flags, Floats, StationMinutes

ENTRY_POINTS = "trimload.savings"
LEAST_DAYS = 7
# No simulation is believed closer than a power meter of class 0.5 could check it.
LEAST_ERROR_SHARE = 0.005
# Fewer days than this do not tell a scale from an offset.
_DAYS_FOR_OFFSET = 10
_LEAST_VARIATION = 0.1
_REPLICATES = 2000
_SEED = 20260301

Controller = Literal["baseline", "agent"]


class MachineFit(NamedTuple):
    """How a machine's measured power stands to its nameplate: measured = scale * nameplate + offset."""

    scale: float
    offset_kw: float
    unloaded_power_kw: float
    minutes: int


class TwinRun(NamedTuple):
    """Simulated minute means of the station's power on the measured demand, and how the twin was fitted.

    A controller's power is NaN outside the span that it was asked for.
    """

    controller: str
    power_kw: Mapping[Controller, Floats]
    machines: Mapping[str, MachineFit]
    volume_m3: float
    volume_nameplate_m3: float
    flow_scale: float
    notes: tuple[str, ...]


class Twin(Protocol):
    """Runs controllers on the measured demand."""

    def __call__(
        self,
        site: Site,
        station_id: str,
        minutes: StationMinutes,
        *,
        fit_on: Flags,
        spans: Mapping[Controller, tuple[datetime, datetime]],
    ) -> TwinRun:
        """Fit the machines on the minutes `fit_on`, then simulate each controller over its span."""
        ...


@dataclass(frozen=True, slots=True)
class StationFit:
    """Measured day = `scale` * simulated + `offset_kwh_day`. Errors are of the days it was fitted on.

    `bias_before` is the twin's error in the sum before this fit; `cv_rmse` of days left out one by one.
    """

    scale: float
    offset_kwh_day: float
    bias_before: float
    cv_rmse: float
    days: int
    simulated_kwh: Floats
    measured_kwh: Floats
    day_lengths: Floats
    left_out_residual_kwh: Floats

    @property
    def with_offset(self) -> bool:
        """Whether an offset was fitted beside the scale."""
        return self.offset_kwh_day != 0.0


def daily_kwh(power_kw: Floats, known: Flags, minutes: StationMinutes, days: Sequence[Day]) -> Floats:
    """Simulated energy of each day over the minutes in which the plant was measured."""
    out = []
    for day in days:
        cut = slice(minutes.index_of(day.period.from_at), minutes.index_of(day.period.to_at))
        out.append(float(power_kw[cut][known[cut]].sum()) / MINUTES_PER_HOUR)
    return np.array(out)


def fit(days: Sequence[Day], simulated_kwh: Floats) -> StationFit | Unsupported:
    """Fit the simulated baseline to days on which the plant was left alone; all of `days` count."""
    if len(days) < LEAST_DAYS:
        return Unsupported(
            f"{len(days)} whole days in observe or advise have power and air, {LEAST_DAYS} are needed to fit the twin",
            "watch a week or more in observe before control is armed, or give --baseline-from/--baseline-to",
        )
    measured = np.array([day.energy_kwh for day in days])
    lengths = np.array([day.hours / 24.0 for day in days])
    x = _design(simulated_kwh, lengths)
    beta = _solve(x, measured)
    residual = measured - x @ beta
    leverage = np.einsum("ij,jk,ik->i", x, np.linalg.pinv(x.T @ x), x)
    left_out = residual / np.maximum(1.0 - leverage, 0.05)
    return StationFit(
        scale=float(beta[0]),
        offset_kwh_day=float(beta[1]) if len(beta) > 1 else 0.0,
        bias_before=float(simulated_kwh.sum() / measured.sum()) - 1.0,
        cv_rmse=float(np.sqrt(np.mean(left_out**2)) / measured.mean()),
        days=len(days),
        simulated_kwh=simulated_kwh,
        measured_kwh=measured,
        day_lengths=lengths,
        left_out_residual_kwh=left_out,
    )


def expected_kwh(fitted: StationFit, days: Sequence[Day], simulated_kwh: Floats) -> Floats:
    """What each day would have cost, by the fitted simulation."""
    lengths = np.array([day.hours / 24.0 for day in days])
    return fitted.scale * simulated_kwh + fitted.offset_kwh_day * lengths


def saving(
    fitted: StationFit, days: Sequence[Day], simulated_kwh: Floats, *, simulated_is: Controller
) -> Saving:
    """The days' saving with its interval.

    With `baseline` the simulation stands for what would have been used, the measurement for what was; with
    `agent` the other way round: "would have saved".
    """
    measured = sum(day.energy_kwh for day in days)
    simulated = float(expected_kwh(fitted, days, simulated_kwh).sum())
    deviations = _replicates(fitted, days, simulated_kwh) - simulated
    free = fitted.days - (2 if fitted.with_offset else 1)
    low, high = np.quantile(deviations, (0.5 - 0.5 * CONFIDENCE, 0.5 + 0.5 * CONFIDENCE))
    # A bootstrap of few days is too sure of itself by what Student's t has over the normal distribution.
    low, high = float(low) * _widening(free), float(high) * _widening(free)
    # Days that resemble each other say nothing of what the fit leaves out once another control drives the machines.
    least = LEAST_ERROR_SHARE * simulated
    low, high = min(low, -least), max(high, least)
    if simulated_is == "baseline":
        saved = simulated - measured
        return Saving(saved, saved + low, saved + high, simulated, measured)
    saved = measured - simulated
    return Saving(saved, saved - high, saved - low, measured, simulated)


def _design(simulated_kwh: Floats, lengths: Floats) -> Floats:
    enough = len(simulated_kwh) >= _DAYS_FOR_OFFSET
    varied = float(simulated_kwh.std()) >= _LEAST_VARIATION * float(simulated_kwh.mean())
    return np.column_stack([simulated_kwh, lengths] if enough and varied else [simulated_kwh])


def _solve(x: Floats, y: Floats) -> Floats:
    solution: Floats = np.linalg.pinv(x) @ y
    return solution


def _replicates(fitted: StationFit, days: Sequence[Day], simulated_kwh: Floats) -> Floats:
    """Sums of the days as other fitting days would have told them, each with other errors of its own days."""
    rng = np.random.default_rng(_SEED)
    count, ahead = fitted.days, len(days)
    lengths = np.array([day.hours / 24.0 for day in days])
    x = _design(fitted.simulated_kwh, fitted.day_lengths)
    total = np.array([simulated_kwh.sum(), lengths.sum()])[: x.shape[1]]
    left_out = fitted.left_out_residual_kwh - fitted.left_out_residual_kwh.mean()
    # The usual length for means of dependent data: the cube root of their number.
    block = max(1, round(count ** (1.0 / 3.0)))
    out = np.empty(_REPLICATES)
    for index in range(_REPLICATES):
        chosen = _blocks(rng, count, count, block)
        beta = _solve(x[chosen], fitted.measured_kwh[chosen])
        noise = left_out[_blocks(rng, count, ahead, block)].sum()
        out[index] = float(total @ beta) + float(noise)
    return out


def _blocks(rng: np.random.Generator, count: int, wanted: int, block: int) -> np.ndarray:
    """Indices of `wanted` days in circular blocks of neighbours."""
    first = rng.integers(0, count, size=-(-wanted // block))
    return np.asarray((first[:, None] + np.arange(block)[None, :]).ravel()[:wanted] % count)


def _widening(free: int) -> float:
    from scipy.special import ndtri, stdtrit

    return float(stdtrit(max(free, 1), 0.5 + 0.5 * CONFIDENCE) / ndtri(0.5 + 0.5 * CONFIDENCE))
