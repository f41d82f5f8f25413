from dataclasses import replace

import numpy as np
import onnx
import pytest

from agent.errors import DataError
from agent.inference.model import load_model
from agent.inference.runtime import Session
from tests.training.plants import frame
from training.export import build_graph, native_predict
from training.fit import fit, fit_target, make_contract, split_origins
from training.graph import IR_VERSION, ML_OPSET, OPSET, GraphBuilder
from training.members import USUAL, add_others
from training.trees import TreeSize, add_trees, predict_trees, train_trees
from training.windows import compute_features


def test_every_branch_falls_as_in_lightgbm_also_on_thresholds_and_gaps():
    rng = np.random.default_rng(2)
    # Values on a coarse grid lie on LightGBM's thresholds all the time; one column never has a gap.
    rows = np.round(rng.normal(0, 2, (4000, 6)), 1).astype(np.float32)
    rows[:, :5][rng.random((4000, 5)) < 0.05] = np.nan
    target = (np.nansum(rows, axis=1) + rng.normal(0, 0.5, 4000)).astype(np.float32)
    boosters = train_trees(rows, target, TreeSize(40, 8, 0.005), seed=1)
    graph = GraphBuilder()
    name = graph.input("rows", [4000, 6])
    session = Session(graph.build({"out": (add_trees(graph, boosters, name), [4000, 3])}, {}))
    rows[:, 5][:50] = np.nan

    got = session.run({"rows": rows})[0]

    native = predict_trees(boosters, rows)
    assert np.abs(got - native).max() <= 1e-4 * np.abs(native).max()


@pytest.mark.parametrize("horizon", [24, 36])
def test_the_graph_equals_the_native_model_over_the_whole_back_test(horizon):
    data = frame(40, missing=0.03)
    end_row = 32 * 24
    contract = make_contract(
        data, target="load", unit="kW", horizon=horizon, tz="Europe/Berlin", end_row=end_row, known=["temp"]
    )
    fitted, learned = fit(data, contract, end_row=end_row, seed=3, quick=True)
    # Whatever this trial chose: all three members are in the graph that is compared.
    learn, _ = split_origins(data, contract, end_row, quick=True)
    features = compute_features(learned, fitted.scales, learn, seed=3)
    members = add_others(fitted.members, features, fitted.scales, seed=3, quick=True)
    fitted = replace(fitted, members=members, weights=USUAL)
    session = Session(build_graph(fitted, {}))
    from training.windows import make_windows

    windows = make_windows(data, contract)
    origins = np.arange(end_row, data.rows - horizon)
    zeros = np.zeros((horizon, 3), dtype=np.float32)

    got = np.stack([session.run(windows.inputs(int(o)) | {"cqr": zeros})[0] for o in origins])

    native = native_predict(fitted, compute_features(windows, fitted.scales, origins, seed=0))
    assert np.abs(got - native).max() <= 1e-4 * np.abs(native).max()
    assert (np.diff(got, axis=2) >= 0).all()


def test_the_file_is_pinned_to_what_old_runtimes_read():
    model = onnx.load_from_string(_quick())

    versions = {each.domain: each.version for each in model.opset_import}
    assert versions == {"": OPSET, "ai.onnx.ml": ML_OPSET} == {"": 17, "ai.onnx.ml": 3}
    assert model.ir_version == IR_VERSION == 8
    shapes = [dim for value in model.graph.input for dim in value.type.tensor_type.shape.dim]
    assert all(dim.dim_value > 0 for dim in shapes)


def test_the_same_seed_and_data_give_the_same_bytes():
    assert _quick() == _quick()


def test_a_day_sized_horizon_with_quarter_hours_and_one_week_of_history_fits():
    data = frame(14, step_s=900)

    model = load_model(
        fit_target(
            data, target="load", unit="kW", step_s=900, horizon=96, tz="UTC", seed=1, quick=True, hist_days=7
        )
    )

    assert model.contract.hist == 7 * 96
    assert model.contract.known == ()


def test_too_little_data_says_what_is_needed():
    with pytest.raises(DataError, match="at least 6 days"):
        fit_target(frame(4), target="load", unit="kW", step_s=3600, horizon=24, tz="UTC", seed=1)


def _quick() -> bytes:
    return fit_target(
        frame(24), target="load", unit="kW", step_s=3600, horizon=24, tz="UTC", seed=1, quick=True
    )
