"""What a fit leaves behind, and its predictions by LightGBM and numpy themselves."""

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


@dataclass(frozen=True)
class Fitted:
    """Everything the graph is made of, kept for parity tests."""

    contract: Contract
    scales: Scales
    boosters: tuple[lgb.Booster, ...]
    networks: tuple[Network, ...]
    network_share: float
    offsets: Array
    metrics: dict[str, float]
    # The offsets that the trees alone would carry.
    tree_offsets: Array

    def trees_alone(self) -> "Fitted":
        """The same trees without the network: plain LightGBM quantiles with conformal offsets."""
        return replace(self, networks=(), network_share=0.0, offsets=self.tree_offsets)


def tree_predict(boosters: Sequence[lgb.Booster], features: FeatureSet) -> Array:
    count, horizon, width = features.rows.shape
    return predict_trees(boosters, features.rows.reshape(-1, width)).reshape(count, horizon, 3)


def network_predict(networks: Sequence[Network], features: FeatureSet, scales: Scales) -> Array:
    count, horizon, width = features.rows.shape
    rows, base = features.rows.reshape(-1, width), features.base.reshape(-1)
    mean = np.mean([forward(each, rows, base) for each in networks], axis=0, dtype=np.float64)
    return mean.reshape(count, horizon, 3) * scales.y_scale + scales.y_mean
