"""The other members of the mean beside the plain trees, and how much each of the three counts."""

from dataclasses import replace
from itertools import product

import numpy as np
from numpy.typing import NDArray

from training.features import Scales
from training.fitted import Members, Weights, profile
from training.metrics import pinball
from training.network import Network, NetworkSize, scaling, train_network
from training.trees import GRID, train_trees
from training.windows import FeatureSet

F32 = NDArray[np.float32]
Array = NDArray[np.float64]

# Horizon steps taken from each origin for the trees; neighbours carry almost the same information.
ROWS_PER_ORIGIN = 24
MAX_TREE_ROWS = 110_000
# Without evidence the trees count half and the others a quarter each. What leaves that has to gain on the slice:
# all weight on the trees 2 %, on one other 5 %.
USUAL: Weights = (0.5, 0.25, 0.25)
LEAVING_COST = 0.05
# A slice of fewer days chooses nothing, its best weights are noise: then plain trees and networks count the same.
CHOICE_DAYS = 14.0
UNTRIED: Weights = (0.5, 0.0, 0.5)


def add_others(
    members: Members,
    features: FeatureSet,
    scales: Scales,
    *,
    seed: int,
    quick: bool,
    weights: Weights = USUAL,
) -> Members:
    """The members with trees on the profile's residual and networks, as far as they have a weight.

    Trees cannot extrapolate a level they never saw; as a distance from the profile of the last weeks they need not.
    A network is smooth where trees are steps. The three err differently.
    """
    rows, target, base = sampled(features, seed)
    residual_trees = members.residual_trees
    if weights[1] > 0:
        residual_trees = tuple(train_trees(rows, target - profile(base, scales), GRID[0], seed=seed))
    size, count = (NetworkSize(hidden=32, epochs=4), 1) if quick else (NetworkSize(), 3)
    networks = _networks(features, scales, size, seed, count) if weights[2] > 0 else ()
    return replace(members, residual_trees=residual_trees, networks=networks)


def choose_weights(truth: F32, said: tuple[Array | None, ...], *, days: float) -> Weights:
    """Weights in quarters that do best on a slice of so many days, drawn to the usual ones: the slice is short."""
    if days < CHOICE_DAYS:
        return UNTRIED
    known = truth.astype(np.float64)
    parts = [np.zeros((*truth.shape, 3)) if each is None else each for each in said]
    best: tuple[float, Weights] | None = None
    for first, second in product(range(5), repeat=2):
        if first + second > 4:
            continue
        weights = (first / 4, second / 4, (4 - first - second) / 4)
        mean = sum((w * part for w, part in zip(weights, parts, strict=True)), np.zeros_like(parts[0]))
        away = sum((w - usual) ** 2 for w, usual in zip(weights, USUAL, strict=True))
        score = pinball(known, np.sort(mean, axis=2)) * (1 + LEAVING_COST * away)
        if best is None or score < best[0]:
            best = (score, weights)
    assert best is not None
    return best[1]


def sampled(features: FeatureSet, seed: int) -> tuple[F32, F32, F32]:
    """Rows, targets and bases of a few horizon steps of each origin."""
    count, horizon, width = features.rows.shape
    rng = np.random.default_rng(seed)
    per_origin = min(horizon, max(4, min(ROWS_PER_ORIGIN, MAX_TREE_ROWS // count)))
    pick = rng.integers(0, horizon, size=(count, per_origin))
    origin = np.arange(count)[:, None]
    return (
        features.rows[origin, pick].reshape(-1, width),
        features.truth[origin, pick].reshape(-1),
        features.base[origin, pick].reshape(-1),
    )


def _networks(
    features: FeatureSet, scales: Scales, size: NetworkSize, seed: int, members: int
) -> tuple[Network, ...]:
    trained = []
    shared = scaling(sampled(features, seed + 100)[0])
    for member in range(members):
        rows, target, base = sampled(features, seed + 100 + member)
        keep = np.isfinite(target)
        scaled = ((target[keep] - scales.y_mean) / scales.y_scale).astype(np.float32)
        trained.append(
            train_network(rows[keep], base[keep], scaled, size, seed=seed + member, scaled_by=shared)
        )
    return tuple(trained)
