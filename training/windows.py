"""Origins of a frame to the contract's inputs, and the feature graph run over many of them."""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from agent.inference.calendar import calendar_columns
from agent.inference.contract import Contract
from agent.inference.runtime import Session
from training.dataset import Frame
from training.features import FeatureNodes, Scales, add_features, add_inputs
from training.graph import GraphBuilder

F32 = NDArray[np.float32]
Index = NDArray[np.int64]


@dataclass(frozen=True)
class Windows:
    """Padded arrays of a frame: an origin at row r is the instant at which row r starts. Cuts are copies."""

    y: F32
    known: F32
    cal: F32
    contract: Contract
    rows: int

    def inputs(self, origin: int) -> dict[str, F32]:
        """The contract's inputs at one origin, without cqr. Target values at or after the origin are not in it."""
        hist, total = self.contract.hist, self.contract.hist + self.contract.horizon
        out = {"y_hist": self.y[origin : origin + hist].copy(), "cal": self.cal[origin : origin + total]}
        if self.contract.known:
            out["known"] = self.known[origin : origin + total].copy()
        return out

    def truth(self, origin: int) -> F32:
        """[H], NaN where unknown or beyond the end."""
        hist, horizon = self.contract.hist, self.contract.horizon
        return self.y[origin + hist : origin + hist + horizon]


def make_windows(frame: Frame, contract: Contract, holidays: Collection[date] = ()) -> Windows:
    """Pad the frame with a history of NaN before and a horizon after, and compute its calendar once."""
    hist, horizon = contract.hist, contract.horizon
    total = frame.rows + hist + horizon
    y = np.full(total, np.nan, dtype=np.float32)
    y[hist : hist + frame.rows] = frame.columns[contract.target]
    known = np.full((total, len(contract.known)), np.nan, dtype=np.float32)
    for place, column in enumerate(contract.known):
        known[hist : hist + frame.rows, place] = frame.columns[column.name]
    first_at = frame.first_at - timedelta(seconds=hist * frame.step_s)
    cal = calendar_columns(first_at, frame.step_s, total, tz=contract.tz, holidays=holidays)
    return Windows(y, known, cal, contract, frame.rows)


@dataclass(frozen=True)
class FeatureSet:
    """Features of n origins: `rows` [n, S, R], `base` [n, S] scaled, `truth` [n, S]; S = H unless thinned."""

    rows: F32
    base: F32
    truth: F32

    def thinned(self, keep_steps: int, seed: int) -> "FeatureSet":
        """The same origins with at most so many of their steps, drawn at random."""
        count, horizon = self.truth.shape
        if keep_steps >= horizon:
            return self
        pick = np.random.default_rng(seed).permuted(np.tile(np.arange(horizon), (count, 1)), axis=1)
        pick, origin = np.sort(pick[:, :keep_steps], axis=1), np.arange(count)[:, None]
        return FeatureSet(self.rows[origin, pick], self.base[origin, pick], self.truth[origin, pick])


def compute_features(
    windows: Windows,
    scales: Scales,
    origins: Index,
    *,
    seed: int,
    fault_share: float = 0.0,
    blind_steps: int = 0,
    without_known: bool = False,
    keep_steps: int | None = None,
    tick: Callable[[], None] = lambda: None,
) -> FeatureSet:
    """Run the feature graph at each origin. A share of them first loses recent history or a known series.

    `blind_steps` takes the last so many values from every window, `without_known` all that is known ahead;
    `keep_steps` keeps that many steps of the horizon, drawn at random, where memory is short. A model that has met gaps in training loses a quarter less when a day is missing, and next to nothing else.
    """
    contract = windows.contract
    graph = GraphBuilder()
    nodes: FeatureNodes = add_features(graph, contract, add_inputs(graph, contract), scales)
    row_shape, horizon = (contract.horizon, len(nodes.row_names)), contract.horizon
    session = Session(
        graph.build(
            {
                "rows": (nodes.rows, row_shape),
                "base": (nodes.base, (horizon, 1)),
            },
            {},
        )
    )
    rng = np.random.default_rng(seed)
    count, kept = len(origins), min(horizon, keep_steps or horizon)
    rows = np.empty((count, kept, row_shape[1]), dtype=np.float32)
    base = np.empty((count, kept), dtype=np.float32)
    truth = np.empty((count, kept), dtype=np.float32)
    for place, origin in enumerate(origins):
        inputs = windows.inputs(int(origin))
        if rng.random() < fault_share:
            _spoil(inputs, contract, rng)
        if blind_steps:
            inputs["y_hist"][-blind_steps:] = np.nan
        if without_known:
            inputs["known"][:] = np.nan
        all_rows, flat = session.run(inputs)
        steps = np.sort(rng.permutation(horizon)[:kept]) if kept < horizon else slice(None)
        rows[place], base[place] = all_rows[steps], flat[steps, 0]
        truth[place] = windows.truth(int(origin))[steps]
        if place % 256 == 0:
            tick()
    return FeatureSet(rows, base, truth)


def _spoil(inputs: dict[str, F32], contract: Contract, rng: np.random.Generator) -> None:
    day = contract.steps_per_day
    history = inputs["y_hist"]
    kind = rng.integers(4 if contract.known else 3)
    if kind == 0:
        history[len(history) - int(rng.integers(1, min(3 * day, len(history) // 2) + 1)) :] = np.nan
    elif kind == 1:
        history[rng.random(len(history)) < 0.1] = np.nan
    elif kind == 2:
        length = int(rng.integers(day, min(7 * day, len(history) // 2) + 1))
        start = int(rng.integers(0, len(history) - length + 1))
        history[start : start + length] = np.nan
    else:
        # One column or all, for ever or from now on: a plan that was never there, or that has ended.
        columns = slice(None) if rng.random() < 0.5 else int(rng.integers(len(contract.known)))
        first = 0 if rng.random() < 0.5 else contract.hist
        inputs["known"][first:, columns] = np.nan


def find_scales(frame: Frame, contract: Contract, end_row: int) -> Scales:
    """Mean and standard deviation before `end_row` only."""

    def centre(values: NDArray[np.float64]) -> tuple[float, float]:
        good = values[:end_row][np.isfinite(values[:end_row])]
        if not len(good):
            return 0.0, 1.0
        return float(good.mean()), max(float(good.std()), 1e-6 * max(1.0, abs(float(good.mean()))))

    y_mean, y_scale = centre(frame.columns[contract.target])
    known = [centre(frame.columns[each.name]) for each in contract.known]
    return Scales(y_mean, y_scale, tuple(m for m, _ in known), tuple(s for _, s in known))
