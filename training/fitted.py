"""What a fit leaves behind: the members of the mean, and their predictions by LightGBM and numpy themselves."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from agent.inference.contract import Contract
from training.features import Scales
from training.network import Network, forward
from training.trees import predict_trees
from training.windows import FeatureSet

Array = NDArray[np.float64]
F32 = NDArray[np.float32]


# Trees on the target, trees on the target's distance from its profile, networks: in this order everywhere.
Weights = tuple[float, float, float]


@dataclass(frozen=True)
class Members:
    """What is averaged; a member that is not there is empty and has no weight."""

    trees: tuple[lgb.Booster, ...]
    residual_trees: tuple[lgb.Booster, ...] = ()
    networks: tuple[Network, ...] = ()


@dataclass(frozen=True)
class Fitted:
    """Everything the graph is made of, kept for parity tests."""

    contract: Contract
    scales: Scales
    members: Members
    weights: Weights
    offsets: Array
    metrics: dict[str, float]
    # The offsets that the trees alone would carry.
    tree_offsets: Array

    def trees_alone(self) -> "Fitted":
        """The same trees without the others: plain LightGBM quantiles with conformal offsets."""
        return replace(
            self, members=Members(self.members.trees), weights=(1.0, 0.0, 0.0), offsets=self.tree_offsets
        )


def tree_predict(boosters: Sequence[lgb.Booster], features: FeatureSet) -> Array:
    """[n, S, 3] in the unit of what the trees were trained on."""
    count, horizon, width = features.rows.shape
    return predict_trees(boosters, features.rows.reshape(-1, width)).reshape(count, horizon, 3)


def residual_predict(boosters: Sequence[lgb.Booster], features: FeatureSet, scales: Scales) -> Array:
    """[n, S, 3] in the target's unit: the profile and what the trees add to it."""
    return tree_predict(boosters, features) + profile(features.base, scales)[..., None]


def network_predict(networks: Sequence[Network], features: FeatureSet, scales: Scales) -> Array:
    """[n, S, 3] in the target's unit, the mean of the networks."""
    count, horizon, width = features.rows.shape
    rows, base = features.rows.reshape(-1, width), features.base.reshape(-1)
    mean = np.mean([forward(each, rows, base) for each in networks], axis=0, dtype=np.float64)
    return mean.reshape(count, horizon, 3) * scales.y_scale + scales.y_mean


def profile(base: F32, scales: Scales) -> F32:
    """The scaled profile in the target's unit, as the graph computes it."""
    return base * np.float32(scales.y_scale) + np.float32(scales.y_mean)


def mixed(members: Members, weights: Weights, features: FeatureSet, scales: Scales) -> Array:
    """[n, S, 3], the weighted mean of the members, sorted."""
    total = np.zeros((*features.rows.shape[:2], 3))
    for weight, said in zip(weights, predictions(members, features, scales), strict=True):
        if weight > 0 and said is not None:
            total += weight * said
    return np.sort(total, axis=2)


def predictions(members: Members, features: FeatureSet, scales: Scales) -> tuple[Array | None, ...]:
    """What each member says, None for one that is not there."""
    return (
        tree_predict(members.trees, features),
        residual_predict(members.residual_trees, features, scales) if members.residual_trees else None,
        network_predict(members.networks, features, scales) if members.networks else None,
    )
