"""A small quantile network in plain numpy on the trees' own features: two hidden layers, Adam, a few members.

It is smooth where trees are steps and errs differently, so the mean of both is better than either on most series.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from agent.inference.contract import QUANTILES
from training.graph import GraphBuilder

F32 = NDArray[np.float32]
# softplus(-1) = 0.31: a band of about a third of the target's scale to start from.
BAND_START = -1.0
# Features are clipped to that many standard deviations: a network extrapolates, and should not.
CLIP = 5.0


@dataclass(frozen=True)
class Network:
    """Weights [R, 1st], [1st], [1st, 2nd], [2nd], [2nd, 3], [3]; `centre` and `scale` [R] of the features."""

    weights: tuple[F32, ...]
    centre: F32
    scale: F32


@dataclass(frozen=True)
class NetworkSize:
    hidden: int = 64
    epochs: int = 8
    batch: int = 512
    rate: float = 1.5e-3
    decay: float = 2e-3
    dropout: float = 0.15
    least_steps: int = 600


def forward(network: Network, rows: F32, base: F32) -> F32:
    """[n, 3] scaled quantiles from features [n, R], NaN = missing, and base profiles [n]."""
    w1, b1, w2, b2, w3, b3 = network.weights
    value = _prepared(rows, network.centre, network.scale)
    first = np.maximum(value @ w1 + b1, 0)
    second = np.maximum(first @ w2 + b2, 0)
    out = second @ w3 + b3
    middle = base + out[:, 0]
    return np.stack([middle - _softplus(out[:, 1]), middle, middle + _softplus(out[:, 2])], axis=1)


def _prepared(rows: F32, centre: F32, scale: F32) -> F32:
    filled = np.where(np.isfinite(rows), (rows - centre) / scale, 0)
    return np.clip(filled, -CLIP, CLIP).astype(np.float32)


def scaling(rows: F32) -> tuple[F32, F32]:
    """Mean and standard deviation of each feature, NaN left out: the members of a mean share them."""
    counts = np.maximum(np.isfinite(rows).sum(axis=0), 1)
    centre = (np.where(np.isfinite(rows), rows, 0).sum(axis=0) / counts).astype(np.float32)
    spread = np.where(np.isfinite(rows), rows - centre, 0)
    return centre, np.maximum(np.sqrt((spread**2).sum(axis=0) / counts), 1e-6).astype(np.float32)


def train_network(
    rows: F32,
    base: F32,
    target: F32,
    size: NetworkSize,
    *,
    seed: int,
    scaled_by: tuple[F32, F32] | None = None,
    tick: Callable[[], None] = lambda: None,
) -> Network:
    """Minimise the pinball loss over features [n, R], NaN = missing; `base` and `target` [n] are scaled and finite.

    The same seed gives the same bits.
    """
    rng = np.random.default_rng(seed)
    centre, scale = scaling(rows) if scaled_by is None else scaled_by
    vector = _prepared(rows, centre, scale)
    base, target = base[:, None], target[:, None]
    horizon = 1
    shapes = [(vector.shape[1], size.hidden), (size.hidden, size.hidden), (size.hidden, 3 * horizon)]
    weights: list[F32] = []
    for place, (fan_in, fan_out) in enumerate(shapes):
        gain = 0.1 if place == 2 else np.sqrt(2.0)
        weights.append((rng.standard_normal((fan_in, fan_out)) * gain / np.sqrt(fan_in)).astype(np.float32))
        weights.append(np.zeros(fan_out, dtype=np.float32))
    weights[5][horizon:] = BAND_START
    first_moment = [np.zeros_like(each) for each in weights]
    second_moment = [np.zeros_like(each) for each in weights]
    known = np.isfinite(target)
    filled = np.where(known, target, 0).astype(np.float32)
    per_epoch = -(-len(vector) // size.batch)
    # A small data set gets more passes: below a few hundred steps the band has not even found its width.
    epochs = max(size.epochs, -(-size.least_steps // per_epoch))
    steps_total = epochs * per_epoch
    step = 0
    average: list[F32] = [each.copy() for each in weights]
    for _ in range(epochs):
        order = rng.permutation(len(vector))
        for lo in range(0, len(order), size.batch):
            pick = order[lo : lo + size.batch]
            gradients = _gradients(
                weights, vector[pick], base[pick], filled[pick], known[pick], size.dropout, rng
            )
            step += 1
            rate = size.rate * 0.5 * (1 + np.cos(np.pi * step / steps_total)) + 1e-5
            for place, gradient in enumerate(gradients):
                first_moment[place] += 0.1 * (gradient - first_moment[place])
                second_moment[place] += 0.001 * (gradient * gradient - second_moment[place])
                move = (first_moment[place] / (1 - 0.9**step)) / (
                    np.sqrt(second_moment[place] / (1 - 0.999**step)) + 1e-8
                )
                if place % 2 == 0:
                    move = move + size.decay * 10 * weights[place]
                weights[place] = (weights[place] - np.float32(rate) * move).astype(np.float32)
            # The mean of the last third of the way is a better network than its end.
            if step >= 0.66 * steps_total:
                share = np.float32(1.0 / (step - int(0.66 * steps_total) + 1))
                average = [old + share * (new - old) for old, new in zip(average, weights, strict=True)]
            else:
                average = [each.copy() for each in weights] if step % 50 == 0 else average
        tick()
    return Network(tuple(average), centre, scale)


def _gradients(
    weights: list[F32],
    vector: F32,
    base: F32,
    target: F32,
    known: NDArray[np.bool_],
    dropout: float,
    rng: np.random.Generator,
) -> list[F32]:
    w1, b1, w2, b2, w3, b3 = weights
    count, horizon = base.shape
    keep = np.float32(1 / (1 - dropout))
    mask1 = (rng.random((count, w1.shape[1]), dtype=np.float32) >= dropout) * keep
    mask2 = (rng.random((count, w2.shape[1]), dtype=np.float32) >= dropout) * keep
    first = np.maximum(vector @ w1 + b1, 0) * mask1
    second = np.maximum(first @ w2 + b2, 0) * mask2
    out = second @ w3 + b3
    middle = base + out[:, :horizon]
    low_raw, high_raw = out[:, horizon : 2 * horizon], out[:, 2 * horizon :]
    slopes = []
    for quantile, value in zip(
        QUANTILES, (middle - _softplus(low_raw), middle, middle + _softplus(high_raw)), strict=True
    ):
        slope = np.where(target > value, -quantile, 1 - quantile).astype(np.float32)
        slopes.append(np.where(known, slope, 0) / np.float32(count * horizon) * 100)
    low, mid, high = slopes
    grad_out = np.concatenate([low + mid + high, -low * _sigmoid(low_raw), high * _sigmoid(high_raw)], axis=1)
    grad_second = (grad_out @ w3.T) * mask2 * (second > 0)
    grad_first = (grad_second @ w2.T) * mask1 * (first > 0)
    return [
        vector.T @ grad_first,
        grad_first.sum(axis=0),
        first.T @ grad_second,
        grad_second.sum(axis=0),
        second.T @ grad_out,
        grad_out.sum(axis=0),
    ]


def add_networks(
    graph: GraphBuilder, networks: Sequence[Network], rows: str, base: str, y_mean: float, y_scale: float
) -> str:
    """[H, 3] in the target's unit, the mean of all members; `rows` [H, R] and `base` [H, 1] are the feature graph's.

    The members are one batch: three products of matrices whatever their number. They share centre and scale.
    """
    first = networks[0]
    value = graph.op("Div", graph.sub(rows, graph.const(first.centre)), graph.const(first.scale))
    value = graph.finite_or(value, graph.const(0.0))
    value = graph.op("Clip", value, graph.const(-CLIP), graph.const(CLIP))
    for place in (0, 2, 4):
        matrices = np.stack([each.weights[place] for each in networks])
        shifts = np.stack([each.weights[place + 1][None] for each in networks])
        value = graph.add(graph.op("MatMul", value, graph.const(matrices)), graph.const(shifts))
        if place < 4:
            value = graph.op("Relu", value)
    middle = graph.add(base, graph.gather(value, [0], axis=2))
    below = graph.op("Softplus", graph.gather(value, [1], axis=2))
    above = graph.op("Softplus", graph.gather(value, [2], axis=2))
    scaled = graph.concat([graph.sub(middle, below), middle, graph.add(middle, above)], axis=2)
    mean = graph.op("ReduceMean", scaled, axes=[0], keepdims=0)
    return graph.add(graph.mul(mean, graph.const(y_scale)), graph.const(y_mean))


def _softplus(value: F32) -> F32:
    return np.logaddexp(value, np.float32(0)).astype(np.float32)


def _sigmoid(value: F32) -> F32:
    return (1 / (1 + np.exp(-np.clip(value, -30, 30)))).astype(np.float32)
