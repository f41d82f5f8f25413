"""A fitted model to its one file: graph, metadata, golden vector; and the native model it must equal."""

import hashlib
import json
import platform
from collections.abc import Collection
from datetime import date
from functools import reduce

import lightgbm as lgb
import numpy as np
from numpy.typing import NDArray

from agent.inference.checks import longest_flat_run
from agent.inference.contract import Contract
from agent.inference.forecaster import TRIAL_RATIO
from agent.inference.model import load_model, pack
from agent.inference.runtime import Session
from training.dataset import Frame
from training.features import add_features, add_inputs
from training.fitted import Fitted, mixed
from training.graph import GraphBuilder
from training.network import add_networks
from training.trees import add_trees
from training.windows import FeatureSet, Windows

Array = NDArray[np.float64]


def export(
    fitted: Fitted,
    windows: Windows,
    frame: Frame,
    *,
    end_row: int,
    seed: int,
    holidays: Collection[date] = (),
) -> bytes:
    """The file: one graph, its metadata and a golden vector computed by the graph itself."""
    contract = fitted.contract
    values = frame.columns[contract.target][:end_row]
    known_values = values[np.isfinite(values)]
    meta = contract.to_meta() | {
        "fc.id": f"{contract.target}-{frame.at(end_row):%Y%m%dT%H%MZ}-s{seed}",
        "fc.scale": repr(fitted.scales.y_scale),
        "fc.train": json.dumps(
            {
                "from": frame.first_at.isoformat(),
                "to": frame.at(end_row).isoformat(),
                "rows": end_row,
                "missing_share": round(1 - len(known_values) / end_row, 6),
                "data_sha256": data_sha256(frame, contract, end_row),
            }
        ),
        "fc.min_hist": json.dumps(
            {
                "seen_low": float(known_values.min()),
                "seen_high": float(known_values.max()),
                "max_flat_steps": longest_flat_run(values),
                "gap_proof": fitted.metrics["ratio_naive_blind"] <= TRIAL_RATIO,
                "known_proof": fitted.metrics["ratio_naive_unknown"] <= TRIAL_RATIO,
            }
        ),
        "fc.metrics": json.dumps({name: round(value, 6) for name, value in fitted.metrics.items()}),
        "fc.max_age_d": "90",
        "fc.holidays": json.dumps(sorted(each.isoformat() for each in holidays)),
        "fc.min_agent": "0.1",
        "fc.made_by": json.dumps(
            {
                "python": platform.python_version(),
                "lightgbm": lgb.__version__,
                "numpy": np.__version__,
                "seed": seed,
            }
        ),
    }
    origin = end_row
    example = windows.inputs(origin)
    bare = build_graph(fitted, meta)
    zero = {"cqr": np.zeros((contract.horizon, 3), dtype=np.float32)}
    answer = Session(bare).run(example | zero)[0]
    golden = {name: pack(array) for name, array in example.items()} | {"quantiles": pack(answer)}
    model_bytes = build_graph(fitted, meta | {"fc.golden": json.dumps(golden)})
    load_model(model_bytes)  # the gateway's own checks, before anyone else sees the file
    return model_bytes


def build_graph(fitted: Fitted, meta: dict[str, str]) -> bytes:
    """Features, trees, network, their mean, offsets, order and limits as one graph."""
    contract, scales = fitted.contract, fitted.scales
    graph = GraphBuilder()
    inputs = add_inputs(graph, contract)
    cqr = graph.input("cqr", [contract.horizon, 3])
    nodes = add_features(graph, contract, inputs, scales)
    members, weights = fitted.members, fitted.weights
    parts = []
    if weights[0] > 0:
        parts.append((weights[0], add_trees(graph, members.trees, nodes.rows)))
    if weights[1] > 0:
        base = graph.add(graph.mul(nodes.base, graph.const(scales.y_scale)), graph.const(scales.y_mean))
        parts.append((weights[1], graph.add(add_trees(graph, members.residual_trees, nodes.rows), base)))
    if weights[2] > 0:
        networks = add_networks(
            graph, members.networks, nodes.rows, nodes.base, scales.y_mean, scales.y_scale
        )
        parts.append((weights[2], networks))
    weighted = [graph.mul(part, graph.const(weight)) for weight, part in parts]
    value = reduce(graph.add, weighted)
    value = graph.add(_sorted(graph, value), graph.const(fitted.offsets))
    value = _sorted(graph, graph.add(_sorted(graph, value), cqr))
    value = graph.op("Clip", value, graph.const(contract.limit_low), graph.const(contract.limit_high))
    return graph.build({"quantiles": (value, (contract.horizon, 3))}, meta)


def _sorted(graph: GraphBuilder, quantiles: str) -> str:
    """Three columns in rising order by minimum and maximum: exact, and no TopK needed."""
    a, b, c = (graph.gather(quantiles, [place], axis=1) for place in range(3))
    low, high = graph.op("Min", a, b), graph.op("Max", a, b)
    low, rest = graph.op("Min", low, c), graph.op("Max", low, c)
    return graph.concat([low, graph.op("Min", high, rest), graph.op("Max", high, rest)], axis=1)


def native_predict(fitted: Fitted, features: FeatureSet) -> Array:
    """[n, H, 3] by LightGBM and numpy themselves: what the graph must reproduce."""
    value = mixed(fitted.members, fitted.weights, features, fitted.scales)
    value = np.sort(value + fitted.offsets, axis=2)
    return np.clip(value, fitted.contract.limit_low, fitted.contract.limit_high)


def data_sha256(frame: Frame, contract: Contract, end_row: int) -> str:
    """Hash of exactly the numbers that were learned from."""
    digest = hashlib.sha256(f"{frame.first_at.isoformat()}/{frame.step_s}".encode())
    for name in (contract.target, *(each.name for each in contract.known)):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(frame.columns[name][:end_row], dtype="<f8").tobytes())
    return digest.hexdigest()
