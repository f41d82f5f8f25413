"""LightGBM quantile trees and their exact translation into one TreeEnsembleRegressor node."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from agent.inference.contract import QUANTILES
from training.graph import GraphBuilder

F32 = NDArray[np.float32]


FLOAT32_MAX = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class TreeSize:
    """One point of the grid. Small trees on purpose: rows of one plant overlap, a year is about 300 samples."""

    trees: int
    leaves: int
    min_leaf_share: float
    rate: float = 0.06


GRID = (
    TreeSize(120, 8, 0.008),
    TreeSize(200, 12, 0.004),
    TreeSize(90, 5, 0.02),
    TreeSize(220, 6, 0.008),
)


def train_trees(rows: F32, target: F32, size: TreeSize, *, seed: int) -> list[lgb.Booster]:
    """Three boosters, one a quantile. Deterministic for a seed: one thread, row-wise histograms."""
    keep = np.isfinite(target)
    rows, target = rows[keep], target[keep]
    boosters = []
    data = lgb.Dataset(
        rows, label=target, params={"max_bin": 127, "verbosity": -1, "seed": seed, "num_threads": 1}
    )
    for quantile in QUANTILES:
        params: dict[str, Any] = {
            "objective": "quantile",
            "alpha": quantile,
            "num_leaves": size.leaves,
            "learning_rate": size.rate,
            "min_data_in_leaf": max(20, int(size.min_leaf_share * len(target))),
            "feature_fraction": 0.6,
            "bagging_fraction": 0.7,
            "bagging_freq": 3,
            "lambda_l2": 1.0,
            "max_bin": 127,
            "num_threads": 1,
            "deterministic": True,
            "force_row_wise": True,
            "seed": seed,
            "verbosity": -1,
        }
        boosters.append(lgb.train(params, data, num_boost_round=size.trees))
    return boosters


def predict_trees(boosters: Sequence[lgb.Booster], rows: F32) -> NDArray[np.float64]:
    """[n, 3] by LightGBM itself: the reference that the graph is compared with."""
    return np.stack([np.asarray(each.predict(rows, num_threads=1)) for each in boosters], axis=1)


def add_trees(graph: GraphBuilder, boosters: Sequence[lgb.Booster], rows: str) -> str:
    """[H, 3] of all boosters in one node; every branch falls as in LightGBM.

    Thresholds are rounded DOWN to float32: for a float32 feature x, x <= t holds exactly when x <= floor32(t).
    Rounding to nearest sends a value that lies on a threshold down the other branch.
    """
    nodes = _Nodes()
    for output, booster in enumerate(boosters):
        for tree in booster.dump_model()["tree_info"]:
            nodes.add_tree(tree["tree_structure"], output)
    return graph.op(
        "TreeEnsembleRegressor",
        rows,
        domain="ai.onnx.ml",
        n_targets=len(boosters),
        post_transform="NONE",
        aggregate_function="SUM",
        **nodes.attributes(),
    )


class _Nodes:
    def __init__(self) -> None:
        self._tree = 0
        self._rows: list[tuple[int, int, int, str, float, int, int, int]] = []
        self._leaves: list[tuple[int, int, int, float]] = []

    def add_tree(self, root: dict[str, Any], output: int) -> None:
        self._next = 0
        self._add(root, output)
        self._tree += 1

    def _add(self, node: dict[str, Any], output: int) -> int:
        mine = self._next
        self._next += 1
        if "split_feature" not in node:
            self._rows.append((self._tree, mine, 0, "LEAF", 0.0, 0, 0, 0))
            self._leaves.append((self._tree, mine, output, float(node["leaf_value"])))
            return mine
        if node["decision_type"] != "<=":
            raise ValueError(
                f"decision {node['decision_type']!r}: only numeric splits can be translated exactly"
            )
        threshold = _floor32(float(node["threshold"]))
        # A feature without a gap in training has no missing branch: LightGBM then reads NaN as zero.
        left = node["default_left"] if node["missing_type"] == "NaN" else threshold >= 0.0
        place = len(self._rows)
        feature = int(node["split_feature"])
        self._rows.append((self._tree, mine, feature, "BRANCH_LEQ", threshold, 0, 0, int(left)))
        yes = self._add(node["left_child"], output)
        no = self._add(node["right_child"], output)
        self._rows[place] = (self._tree, mine, feature, "BRANCH_LEQ", threshold, yes, no, int(left))
        return mine

    def attributes(self) -> dict[str, Any]:
        tree, node, feature, mode, value, yes, no, missing = (
            list(each) for each in zip(*self._rows, strict=True)
        )
        leaf_tree, leaf_node, output, weight = (list(each) for each in zip(*self._leaves, strict=True))
        return {
            "nodes_treeids": tree,
            "nodes_nodeids": node,
            "nodes_featureids": feature,
            "nodes_modes": mode,
            "nodes_values": value,
            "nodes_truenodeids": yes,
            "nodes_falsenodeids": no,
            "nodes_missing_value_tracks_true": missing,
            "target_treeids": leaf_tree,
            "target_nodeids": leaf_node,
            "target_ids": output,
            "target_weights": weight,
        }


def _floor32(value: float) -> float:
    # LightGBM writes 1e300 for 'every number goes left, only a gap goes right'.
    rounded = np.float32(np.clip(value, -FLOAT32_MAX, FLOAT32_MAX))
    if float(rounded) > value:
        rounded = np.nextafter(rounded, np.float32(-np.inf))
    return float(rounded)
