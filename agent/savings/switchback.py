"""What the agent saved in heating and cooling, from days given to it and to the site's own control by turns.

E = (kind of day + heating degrees + cooling degrees + sun) x (1 - saving where the agent ruled), by least squares over
days that begin when people come; the first day of each block, which still pays for the block before, is left out. Work
after rest, other work and rest have a saving each, weighed to the calendar: what a week-end saves is paid on Monday. The
interval is a bootstrap over whole blocks: days of one block resemble each other, and no formula need know how much.
Source of the rules: docs/hvac.md, "What it saves".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.planner.switchback import Arm
from agent.planner.switchback import Day as TestDay
from agent.savings.figure import Saving, Unsupported

Floats = NDArray[np.float64]
Quantity = Literal["energy_kwh", "cost"]

CONFIDENCE = 0.90
LEAST_BLOCKS = 4
_DRAWS = 999
# Weather that one arm never saw: no regression carries the other's figures there.
_LARGEST_WEATHER_GAP_K = 6.0
_HEATING_BELOW = np.arange(6.0, 20.1, 2.0)
_COOLING_ABOVE = np.arange(10.0, 26.1, 2.0)
_ROUNDS = 12


class SwitchDay(NamedTuple):
    """One day of the test as it was measured."""

    day: TestDay
    energy_kwh: float
    cost: float
    outdoor_degc: float
    sun_w_m2: float
    occupied_h: float
    discomfort_kh: float


class Discomfort(NamedTuple):
    """Kelvin hours a day outside the comfort band with people in, all zones; the difference with its interval."""

    agent_kh: float
    site_kh: float
    less_kh: float
    low_kh: float
    high_kh: float


@dataclass(frozen=True, slots=True)
class Switchback:
    """The result of a test, as far as it has come."""

    energy: Saving
    cost: Saving
    discomfort: Discomfort
    days: tuple[SwitchDay, ...]
    expected_kwh: Floats
    blocks: Mapping[Arm, int]
    cv_rmse: float
    heating_below_degc: float
    cooling_above_degc: float


def analyse(measured: Sequence[SwitchDay], *, seed: int = 0) -> Switchback | Unsupported:
    """The saving with its interval, or why there is none. Days in the order of time."""
    chosen = [index for index, day in enumerate(measured) if not day.day.first]
    days = [measured[index] for index in chosen]
    blocks: dict[Arm, int] = {
        "agent": len({d.day.block for d in days if d.day.arm == "agent"}),
        "site": len({d.day.block for d in days if d.day.arm == "site"}),
    }
    short = min(blocks, key=lambda arm: blocks[arm])
    if blocks[short] < LEAST_BLOCKS:
        owner = "the agent" if short == "agent" else "the site's own control"
        return Unsupported(
            f"there are {blocks[short]} blocks of {owner} with a day to count, {LEAST_BLOCKS} of each are needed",
            "let the test run on; the first day of each block does not count",
        )
    on = np.array([day.day.arm == "agent" for day in days])
    outdoor = np.array([day.outdoor_degc for day in days])
    gap_k = abs(float(outdoor[on].mean() - outdoor[~on].mean()))
    if gap_k > _LARGEST_WEATHER_GAP_K:
        return Unsupported(
            f"the agent's days were {gap_k:.0f} K away from the others': their weather cannot be compared",
            "let the test run on until both have seen the same weather",
        )
    energy = np.array([day.energy_kwh for day in days])
    kinds = _kinds(measured)[chosen]
    changes = _change_points(days, kinds, on, energy)
    x = _columns(days, kinds, *changes)
    fit = _fit(x, kinds, on, energy)
    expected = x @ fit.beta[0]
    residual = energy - expected * (1.0 - (kinds @ fit.by_kind[0]) * on)
    free = max(len(days) - x.shape[1] - 1, 1)
    money = np.array([day.cost for day in days])
    discomfort = np.array([day.discomfort_kh for day in days])
    draws = _draws(days, seed)
    energy_draws = _fits(x, kinds, on, energy, draws).share
    cost_fit = _fit(x, kinds, on, money)
    cost_draws = _fits(x, kinds, on, money, draws).share
    less = float(discomfort[~on].mean() - discomfort[on].mean())
    less_draws = _mean(discomfort, draws * ~on) - _mean(discomfort, draws * on)
    half_kh = _half_width(less_draws, blocks)
    return Switchback(
        energy=_saving(
            float(fit.share[0]), energy_draws, blocks, float(expected[on].sum()), float(energy[on].sum())
        ),
        cost=_saving(
            float(cost_fit.share[0]),
            cost_draws,
            blocks,
            float((x @ cost_fit.beta[0])[on].sum()),
            float(money[on].sum()),
        ),
        discomfort=Discomfort(
            float(discomfort[on].mean()), float(discomfort[~on].mean()), less, less - half_kh, less + half_kh
        ),
        days=tuple(days),
        expected_kwh=expected,
        blocks=blocks,
        cv_rmse=float(np.sqrt(residual @ residual / free)) / float(energy.mean()),
        heating_below_degc=changes[0],
        cooling_above_degc=changes[1],
    )


def _saving(share: float, draws: Floats, blocks: Mapping[Arm, int], baseline: float, actual: float) -> Saving:
    half = _half_width(draws, blocks) * baseline
    saved = share * baseline
    return Saving(saved, saved - half, saved + half, baseline, actual, CONFIDENCE)


def _half_width(draws: Floats, blocks: Mapping[Arm, int]) -> float:
    """Half the interval from the spread of the draws.

    Drawing n blocks of n leaves 1/n of the variance out, and a spread estimated from few blocks wants Student's t.
    """
    from scipy.special import stdtrit

    fewest = min(blocks.values())
    spread = float(np.std(draws, ddof=1)) * float(np.sqrt(fewest / (fewest - 1.0)))
    free = float(sum(blocks.values()) - 2)
    return float(stdtrit(free, 0.5 + 0.5 * CONFIDENCE)) * spread


def _mean(values: Floats, counts: Floats) -> Floats:
    mean: Floats = (counts @ values) / counts.sum(axis=1)
    return mean


def _draws(days: Sequence[SwitchDay], seed: int) -> Floats:
    """(draws, days): how often each day is in each draw of as many whole blocks of each arm as there are."""
    rng = np.random.default_rng(seed)
    block = np.array([day.day.block for day in days])
    counts = np.zeros((_DRAWS, len(days)))
    for arm in ("agent", "site"):
        own = sorted({day.day.block for day in days if day.day.arm == arm})
        drawn = rng.multinomial(len(own), np.full(len(own), 1.0 / len(own)), size=_DRAWS)
        for column, number in enumerate(own):
            counts[:, block == number] = drawn[:, column : column + 1]
    return counts


def _columns(days: Sequence[SwitchDay], kinds: Floats, heating_below: float, cooling_above: float) -> Floats:
    """The kinds of day, degrees below and above the change points, more of them at work, sun: those that vary."""
    work = 1.0 - kinds[:, 2]
    outdoor = np.array([day.outdoor_degc for day in days])
    sun = np.array([day.sun_w_m2 for day in days])
    columns = [
        *kinds.T,
        np.maximum(heating_below - outdoor, 0.0),
        np.maximum(outdoor - cooling_above, 0.0),
        np.maximum(outdoor - cooling_above, 0.0) * work,
        np.maximum(heating_below - outdoor, 0.0) * work,
        np.where(np.isfinite(sun), sun, np.nanmean(sun) if np.isfinite(sun).any() else 0.0),
    ]
    return np.column_stack([c for c in columns if np.count_nonzero(c) >= 3])


def _change_points(
    days: Sequence[SwitchDay], kinds: Floats, on: NDArray[np.bool_], energy: Floats
) -> tuple[float, float]:
    """The pair with the least squares, the lower one first."""
    best, chosen = float("inf"), (16.0, 18.0)
    for below in _HEATING_BELOW:
        for above in _COOLING_ABOVE[below <= _COOLING_ABOVE]:
            x = _columns(days, kinds, float(below), float(above))
            fit = _fit(x, kinds, on, energy, rounds=3)
            error = energy - (x @ fit.beta[0]) * (1.0 - (kinds @ fit.by_kind[0]) * on)
            if (squares := float(error @ error)) < best:
                best, chosen = squares, (float(below), float(above))
    return chosen


class _Fit(NamedTuple):
    """Shares saved, one a kind of day, and coefficients; a row a draw. `share` is weighed to all days of the test."""

    by_kind: Floats
    beta: Floats
    share: Floats


def _fit(x: Floats, kinds: Floats, on: NDArray[np.bool_], y: Floats, *, rounds: int = _ROUNDS) -> _Fit:
    """With every day counted once."""
    return _fits(x, kinds, on, y, np.ones((1, len(y))), rounds=rounds)


def _fits(
    x: Floats, kinds: Floats, on: NDArray[np.bool_], y: Floats, counts: Floats, *, rounds: int = _ROUNDS
) -> _Fit:
    """y = x beta (1 - saved on) for each row of `counts` (draws, days): how often each day was drawn.

    By turns, all draws at once: given the savings the coefficients are least squares, and given those the savings are.
    """
    draws, width = len(counts), x.shape[1]
    saved: Floats = np.zeros((draws, kinds.shape[1]))
    beta: Floats = np.zeros((draws, width))
    products = (x[:, :, None] * x[:, None, :]).reshape(len(y), -1)
    for _ in range(rounds):
        scale = 1.0 - (saved @ kinds.T) * on
        normal = ((counts * scale**2) @ products).reshape(draws, width, width)
        # A draw may miss a kind of day altogether: what it says nothing of stays near zero.
        ridge = 1e-9 * np.trace(normal, axis1=1, axis2=2)[:, None, None] * np.eye(width)
        beta = np.linalg.solve(normal + ridge, ((counts * scale * y) @ x)[:, :, None])[:, :, 0]
        expected = (beta @ x.T) * on
        square, less = counts * expected**2, counts * expected * (expected - y)
        total = square.sum(axis=1, keepdims=True)
        overall = less.sum(axis=1, keepdims=True) / np.where(total > 0.0, total, 1.0)
        # A kind of day with few of them leans on the others, as if one day more spoke for all.
        lean = total / np.maximum((counts * on).sum(axis=1, keepdims=True), 1.0)
        saved = np.minimum((less @ kinds + lean * overall) / np.maximum(square @ kinds + lean, 1e-9), 0.95)
    whole = beta @ x.T
    share: Floats = (whole * (saved @ kinds.T)).sum(axis=1) / whole.sum(axis=1)
    return _Fit(saved, beta, share)


def _kinds(measured: Sequence[SwitchDay]) -> Floats:
    """Work after rest, other work, rest: (days, 3). The saving of a week-end is paid for on Monday."""
    work = np.array([day.occupied_h > 0 for day in measured])
    after_rest = np.zeros(len(work), dtype=np.bool_)
    for index in range(1, len(measured)):
        apart = measured[index].day.on - measured[index - 1].day.on
        after_rest[index] = work[index] and not work[index - 1] and apart.days == 1
    return np.column_stack([after_rest, work & ~after_rest, ~work]).astype(np.float64)
