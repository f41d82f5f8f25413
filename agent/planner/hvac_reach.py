"""How much of its capacity a unit brings into a hall that is led up (or cooled down) before people come.

A plan that meets people just in time is late each morning on which the unit gives less than its figures say:
heat pumps in the cold, defrosting, a coil that is dirty, heat that goes into walls first. Where the unit gave all
it had, the past shows what arrived. Of each such run the share of the modelled capacity that would have led the
air where it went is taken, and a line over the outdoor temperature drawn through them, begun at what is likely:
with no run seen the margin is wide, and it shrinks as runs agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from agent.config.site import Hvac, Unit
from agent.planner.hvac_model import FloatArray, cooling_capacity_kw, heating_capacity_kw
from agent.planner.hvac_observer import Followed, followed
from agent.planner.hvac_past import SitePast, UnitPast, bridged, setpoints_in_force
from agent.planner.hvac_residual import LASTING_STEPS

STEPS_PER_DAY = 96
LEAST_RUN_STEPS = 3  # the first one gives the state at which the run begins
FULL_SHARE = 0.85  # of what the unit gave at its most; above it all there is was asked for
SHORT_K = 0.3  # so far from its set-point the thermostat still asks
LEAST_LIFT_K = 0.7  # that full output makes in a run; less says little
SHARE_LIMITS = (0.4, 1.1)
# Before anything was seen: a capacity that is a little less than the figures, of which most are within a tenth.
LIKELY_SHARE, LIKELY_SPREAD, LIKELY_SLOPE_PER_K = 0.95, 0.12, 0.008
SCATTER, SCATTER_RUNS = 0.08, 3.0  # of one run about the line, believed like so many runs
HALF_DAYS = 10.0  # a run counts half as much after so many days
# Early costs a little heat for a little longer, late costs comfort: four mornings of five are to be met in time.
CAUTION = 0.84


class Run(NamedTuple):
    """One run at all the unit had: the share that arrived, how cold it was, how long ago."""

    share: float
    outdoor_degc: float
    days_ago: float


@dataclass(frozen=True, slots=True)
class Reach:
    """A line over the outdoor temperature: share of the modelled capacity, and how sure it is."""

    share: float = LIKELY_SHARE
    per_k: float = 0.0
    at_degc: float = 0.0
    variance: tuple[float, float, float] = (LIKELY_SPREAD**2, 0.0, 0.0)  # of level, both, slope
    scatter: float = SCATTER
    runs: int = 0

    def expected(self, outdoor_degc: FloatArray) -> FloatArray:
        """The share to reckon with on average."""
        line = self.share + self.per_k * (outdoor_degc - self.at_degc)
        return np.asarray(np.clip(line, *SHARE_LIMITS), dtype=np.float64)

    def cautious(self, outdoor_degc: FloatArray) -> FloatArray:
        """The share that four runs of five surpass."""
        away = outdoor_degc - self.at_degc
        level, both, slope = self.variance
        spread = np.sqrt(level + 2.0 * both * away + slope * away**2 + self.scatter**2)
        line = self.share + self.per_k * away - CAUTION * spread
        return np.asarray(np.clip(line, *SHARE_LIMITS), dtype=np.float64)


class UnitReach(NamedTuple):
    """Of a zone's unit, in heating and in cooling."""

    heating: Reach = Reach()
    cooling: Reach = Reach()


def line_through(runs: list[Run]) -> Reach:
    """The line through runs, held near what is likely the fewer there are."""
    if not runs:
        return Reach()
    share, outdoor, ago = (np.array(values) for values in zip(*runs, strict=True))
    weight = 0.5 ** (ago / HALF_DAYS)
    centre = float(weight @ outdoor / weight.sum())
    away = outdoor - centre
    prior = np.diag([LIKELY_SPREAD**-2, LIKELY_SLOPE_PER_K**-2])
    columns = np.stack([np.ones_like(away), away])
    scatter2 = SCATTER**2
    line = np.array([LIKELY_SHARE, 0.0])
    variance: FloatArray = np.linalg.inv(prior)
    for _ in range(3):  # the scatter is known once the line is, and the other way round
        variance = np.asarray(
            np.linalg.inv(prior + (columns * weight) @ columns.T / scatter2), dtype=np.float64
        )
        line = variance @ (prior @ [LIKELY_SHARE, 0.0] + (columns * weight) @ share / scatter2)
        missed = share - line @ columns
        scatter2 = (SCATTER_RUNS * SCATTER**2 + weight @ missed**2) / (SCATTER_RUNS + weight.sum())
    return Reach(
        float(line[0]),
        float(line[1]),
        centre,
        (float(variance[0, 0]), float(variance[0, 1]), float(variance[1, 1])),
        float(np.sqrt(scatter2)),
        len(runs),
    )


def reaches(hvac: Hvac, past: SitePast, units: Mapping[str, UnitPast | None]) -> dict[str, UnitReach]:
    """What the past shows of each zone with a model; `units` by their names."""
    out = {}
    for name, zone in hvac.zones.items():
        unit = units.get(zone.unit)
        if zone.model is None or unit is None:
            continue
        along = followed(name, zone.model, past, unit)
        if along is not None:
            runs = runs_of(hvac, name, past, unit, along)
            out[name] = UnitReach(line_through(runs[0]), line_through(runs[1]))
    return out


def runs_of(
    hvac: Hvac, name: str, past: SitePast, unit: UnitPast, along: Followed
) -> tuple[list[Run], list[Run]]:
    """Runs of a zone in heating and in cooling."""
    zone = hvac.zones[name]
    settings = hvac.units[zone.unit]
    low, high = setpoints_in_force(name, zone, past)
    whole = np.sum([np.nan_to_num(bridged(heat)) for heat in unit.heat_kw.values()], axis=0)
    mine = np.nan_to_num(bridged(unit.heat_kw[name]))
    outdoor = bridged(past.outdoor_degc)
    sides: tuple[list[Run], list[Run]] = ([], [])
    for side, sign, short in ((sides[0], 1.0, low - along.air_degc), (sides[1], -1.0, along.air_degc - high)):
        capacity = _capacity_kw(settings, unit, outdoor, heats=sign > 0)
        share = sign * whole / np.maximum(capacity, 1e-6)
        working = share[np.isfinite(share) & (share > 0.05)]
        if working.size < LEAST_RUN_STEPS:
            continue
        most = float(np.quantile(working, 0.95))
        full = (
            (share > FULL_SHARE * most)
            & (short > SHORT_K)
            & (sign * mine > 0)
            & np.isfinite(past.temp_degc[name])
        )
        for first, last in _stretches(full):
            found = _run(along, first, last, sign, mine / np.where(whole == 0.0, 1.0, whole) * capacity)
            if found is not None:
                ago = (past.size - last) / STEPS_PER_DAY
                side.append(Run(found, float(np.mean(outdoor[first : last + 1])), ago))
    return sides


def _capacity_kw(settings: Unit, unit: UnitPast, outdoor_degc: FloatArray, *, heats: bool) -> FloatArray:
    sized = settings.model_copy(update={"heating_kw": unit.heating_kw, "cooling_kw": unit.cooling_kw})
    return (heating_capacity_kw if heats else cooling_capacity_kw)(sized, outdoor_degc)


def _stretches(full: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> list[tuple[int, int]]:
    """First and last step of each stretch of at least `LEAST_RUN_STEPS`."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], full, [False]]).astype(np.int8)))
    pairs = zip(edges[::2].tolist(), (edges[1::2] - 1).tolist(), strict=True)
    return [(first, last) for first, last in pairs if last - first + 1 >= LEAST_RUN_STEPS]


def _run(along: Followed, first: int, last: int, sign: float, capacity_kw: FloatArray) -> float | None:
    """The share of the capacity under which the model goes from the state at `first` to the air at `last`."""
    before = along.residual_kw[max(0, first + 1 - LASTING_STEPS) : first + 1]
    lasting = float(np.nansum(before)) / LASTING_STEPS
    free = full = along.air_degc[first]
    free_mass = full_mass = along.mass_degc[first]
    course = along.course
    for k in range(first + 1, last + 1):
        rest = course.drive_degc[k] + course.air_of_kw[k] * lasting
        free = course.air_of_air[k] * free + course.air_of_mass[k] * free_mass + rest
        full = course.air_of_air[k] * full + course.air_of_mass[k] * full_mass + rest
        full += (course.air_of_heating if sign > 0 else course.air_of_kw)[k] * sign * capacity_kw[k]
        free_mass = course.mass_of_mass * free_mass + course.mass_of_air * free
        full_mass = course.mass_of_mass * full_mass + course.mass_of_air * full
        if sign > 0:
            full_mass += course.mass_of_heating * capacity_kw[k]
    lift = sign * (full - free)
    if not np.isfinite(lift) or lift < LEAST_LIFT_K:
        return None
    return float(np.clip(sign * (along.air_degc[last] - free) / lift, 0.2, 1.5))
