"""Dispatch on the curves as they are: choose a convex section for every machine and step.

The programme on the curves' hulls is a bound. Where its flows lie on the curves themselves it is the
answer; elsewhere each machine is put into a section, the programme is solved within the sections,
and machines that press against the end of theirs are let into the next while that gains.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from agent.planner.dispatch import Dispatch, Dispatched
from agent.planner.stage import delivered_flow
from agent.planner.tables import Bools, Floats, Ints, Tables

# kW and m3/min: closer than this to a curve or to the end of a section is on it.
_ON_CURVE_KW = 1e-6
_AT_END_M3_MIN = 1e-7
_LEAST_GAIN_EUR = 1e-6
# Rounds of letting machines into the next section.
_CROSSINGS = 3


class Priced(NamedTuple):
    """Answer of a dispatch and what it took; `exact` False when only the hull's bound was needed."""

    answer: Dispatched | None
    solves: int
    exact: bool


def dispatch_real(
    dispatch: Dispatch, on: Bools, *, at_most_eur: float, pressure: Floats | None = None
) -> Priced:
    """Cheapest dispatch found on the real curves.

    A schedule whose bound already costs more than `at_most_eur` is answered by that bound.
    `pressure` [N] at the ends of steps is a path of storage to choose sections along; without it
    the path of the bound serves.
    """
    tables = dispatch.tables
    hull = dispatch.solve(on)
    if hull is None:
        return Priced(None, 1, exact=False)
    if _excess_kw(tables, on, hull.flow).max(initial=0.0) < _ON_CURVE_KW:
        return Priced(hull, 1, exact=True)
    if hull.cost_eur > at_most_eur:
        return Priced(hull, 1, exact=False)
    best: Dispatched | None = None
    solves = 1
    for path in [hull.pressure] if pressure is None else [pressure, hull.pressure]:
        section = _sections_at(tables, on, _split(tables, on, path, hull.flow))
        reached = np.inf
        for _ in range(1 + _CROSSINGS):
            answer = dispatch.solve(on, section)
            solves += 1
            if answer is None or answer.cost_eur > reached - _LEAST_GAIN_EUR:
                break
            reached = answer.cost_eur
            if best is None or reached < best.cost_eur:
                best = answer
            crossed = _crossed(tables, on, section, answer)
            if (crossed == section).all():
                break
            section = crossed
    return Priced(best, solves, exact=True)


def _free(tables: Tables, on: Bools) -> Bools:
    """Machines [N, n] that run with a dented curve and no manual flow."""
    free: Bools = on & ~tables.is_forced_flow & (tables.sections.count > 0)
    return free


def _excess_kw(tables: Tables, on: Bools, flow: Floats) -> Floats:
    """How far each machine's curve lies above its hull at its flow [N, n]."""
    excess = np.zeros(flow.shape)
    free = _free(tables, on)
    for index in np.flatnonzero(tables.sections.count):
        curve = tables.problem.machines[index].curve
        points = np.array(curve)
        real = np.interp(flow[:, index], points[:, 0], points[:, 1])
        hull = tables.hulls[index]
        low = np.interp(flow[:, index], hull[:, 0], hull[:, 1])
        excess[:, index] = np.where(free[:, index], real - low, 0.0)
    return excess


def _split(tables: Tables, on: Bools, pressure: Floats, flow: Floats) -> Floats:
    """Flows [N, n] along a path of pressure, shared by the real curves; `flow` where none are tabled."""
    if tables.real is None:
        return flow
    bits = np.where(tables.is_forced_flow, 0, np.int64(1) << np.arange(tables.count))
    manual = (tables.forced_flow * tables.is_forced_flow).sum(axis=1)
    wanted = np.maximum(delivered_flow(tables, pressure) - manual, 0.0)
    return tables.real.split((bits * on).sum(axis=1), wanted)


def _sections_at(tables: Tables, on: Bools, flow: Floats) -> Ints:
    """Section [N, n] in which each flow lies; at a cut the flatter side, which wants to stay."""
    section = np.zeros(flow.shape, dtype=np.int64)
    free = _free(tables, on)
    sections = tables.sections
    for index in np.flatnonzero(sections.count):
        tops = sections.top_flow[index, 1 : sections.count[index]]
        chosen = 1 + np.searchsorted(tops, flow[:, index] + _AT_END_M3_MIN, side="right")
        section[:, index] = np.where(free[:, index], chosen, 0)
    return section


def _crossed(tables: Tables, on: Bools, section: Ints, answer: Dispatched) -> Ints:
    """Sections after letting each machine across the end it lies at, where the air's price pays it.

    Beyond the end the curve is flatter going up, or steeper going down: what counts is the mean
    slope up to the far end of the next section.
    """
    sections = tables.sections
    free = _free(tables, on)
    energy = tables.price_eur_kwh * tables.hours
    if len(answer.peak_eur_kw):
        share = tables.hours / tables.interval_hours[tables.interval_of_step]
        energy = energy + answer.peak_eur_kw[tables.interval_of_step] * share
    worth = answer.price_eur_m3 * tables.step_min / np.maximum(energy, 1e-9)
    crossed = section.copy()
    for index in np.flatnonzero(sections.count):
        here, flow = section[:, index], answer.flow[:, index]
        count = int(sections.count[index])
        knots = np.append(sections.base_flow[index, 1 : count + 1], sections.top_flow[index, count])
        points = np.array(tables.problem.machines[index].curve)
        power = np.interp(knots, points[:, 0], points[:, 1])
        slope = np.diff(power) / np.diff(knots)
        at_top = flow > sections.top_flow[index, here] - _AT_END_M3_MIN
        at_base = flow < sections.base_flow[index, here] + _AT_END_M3_MIN
        up = free[:, index] & at_top & (here < count)
        up &= slope[np.minimum(here, count - 1)] < worth
        down = free[:, index] & at_base & (here > 1) & ~up
        down &= slope[np.maximum(here - 2, 0)] > worth
        crossed[:, index] += up.astype(np.int64) - down.astype(np.int64)
    return crossed
