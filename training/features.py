"""The features, written once as ONNX nodes: training runs this same graph, so nothing can skew.

No calendar logic in here beyond the type of day: time zones and holidays stay in agent.inference.calendar.
"""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto

from agent.inference.contract import Contract
from training.graph import GraphBuilder

# The share a day loses per day of age when days are averaged.
RECENT = 0.9


@dataclass(frozen=True)
class Scales:
    """Robust location and scale of the target and of each known column over the training span."""

    y_mean: float
    y_scale: float
    known_mean: tuple[float, ...]
    known_scale: tuple[float, ...]


@dataclass(frozen=True)
class FeatureNodes:
    """Value names: `rows` [H, R] for trees and network; `base` [H, 1], the scaled profile the network corrects."""

    rows: str
    row_names: tuple[str, ...]
    base: str


def add_inputs(graph: GraphBuilder, contract: Contract) -> dict[str, str]:
    """The contract's inputs, without `cqr`."""
    total = contract.hist + contract.horizon
    names = {"y_hist": graph.input("y_hist", [contract.hist])}
    if contract.known:
        names["known"] = graph.input("known", [total, len(contract.known)])
    names["cal"] = graph.input("cal", [total, 4])
    return names


def add_features(
    graph: GraphBuilder, contract: Contract, inputs: dict[str, str], scales: Scales
) -> FeatureNodes:
    """Nodes for every feature. Needs at least two days of history in the contract."""
    day, hist, horizon = contract.steps_per_day, contract.hist, contract.horizon
    per_hour = max(1, 3600 // contract.step_s)
    y = inputs["y_hist"]
    zero = graph.const(0.0)

    # Rows of the last day and of the horizon; a row's column k is the same time of day, k+1 (or more) days back.
    steps = np.arange(-day, horizon)
    extra = np.maximum(steps // day, 0)
    days = hist // day - 1 - int(extra.max())
    if days < 1:
        raise ValueError(
            f"history of {hist} steps is too short for a horizon of {horizon} and a day of {day}"
        )
    index = hist + steps[:, None] - (np.arange(1, days + 1)[None] + extra[:, None]) * day

    minute, weekday, holiday = (graph.gather(inputs["cal"], column, axis=1) for column in (0, 1, 3))
    kind_by_weekday = graph.op("Max", graph.sub(weekday, graph.const(4.0)), zero)
    kind = graph.op("Where", graph.op("Greater", holiday, zero), graph.const(2.0), kind_by_weekday)
    lagged = graph.gather(y, index)
    valid = graph.known(lagged)
    filled = graph.finite_or(lagged, zero)
    kind_rows = graph.reshape(graph.gather(kind, hist + steps), [len(steps), 1])
    same = graph.op("Cast", graph.op("Equal", graph.gather(kind, index), kind_rows), to=TensorProto.FLOAT)
    recent = graph.const(RECENT ** np.arange(days)[None])
    same_weight = graph.mul(graph.mul(valid, same), recent)
    alike = graph.weighted_mean(filled, same_weight, 1)
    anyday = graph.weighted_mean(filled, graph.mul(valid, recent), 1)
    base = graph.op("Where", graph.op("IsNaN", alike), anyday, alike)
    latest = graph.weighted_mean(
        filled, graph.mul(graph.mul(valid, same), graph.const(1e-3 ** np.arange(days)[None])), 1
    )
    square = graph.weighted_mean(graph.mul(filled, filled), same_weight, 1)
    spread = graph.op("Sqrt", graph.op("Max", graph.sub(square, graph.mul(alike, alike)), zero))

    ahead = np.arange(day, day + horizon)
    columns: list[tuple[str, str]] = []

    def row(name: str, value: str) -> None:
        columns.append((name, graph.reshape(value, [horizon, 1])))

    def scalar(name: str, value: str) -> None:
        spread_out = graph.op("Expand", graph.reshape(value, [1, 1]), graph.ints([horizon, 1]))
        columns.append((name, spread_out))

    row("step", graph.const(np.arange(horizon, dtype=np.float32)))
    row("minute", graph.gather(minute, hist + np.arange(horizon)))
    row("weekday", graph.gather(weekday, hist + np.arange(horizon)))
    row("kind", graph.gather(kind, hist + np.arange(horizon)))
    # The evening before a day off and the morning after one differ from the middle of a week.
    row("kind_plus", graph.gather(kind, np.minimum(hist + np.arange(horizon) + day // 2, hist + horizon - 1)))
    row("kind_minus", graph.gather(kind, hist + np.arange(horizon) - day // 2))
    # A network sees no order in minute 1439 and 0, nor a step between Friday and Saturday, unless told.
    angle = graph.mul(graph.gather(minute, hist + np.arange(horizon)), graph.const(2 * np.pi / 1440))
    for name, value in (("day", angle), ("half_day", graph.mul(angle, graph.const(2.0)))):
        row(f"{name}_sin", graph.op("Sin", value))
        row(f"{name}_cos", graph.op("Cos", value))
    row("off", graph.op("Min", graph.gather(kind, hist + np.arange(horizon)), graph.const(1.0)))
    for lag in (1, 2, 3, 7, 14):
        if lag <= days:
            row(f"lag_{lag}d", graph.gather(graph.gather(lagged, lag - 1, axis=1), ahead))
    for name, value in (("alike", alike), ("anyday", anyday), ("latest", latest), ("spread", spread)):
        row(name, graph.gather(value, ahead))
    weekly = np.arange(6, days, 7)
    if len(weekly) > 1:
        mean = graph.weighted_mean(
            graph.gather(filled, weekly, axis=1), graph.gather(valid, weekly, axis=1), 1
        )
        row("weekday_mean", graph.gather(mean, ahead))
    near = np.clip(ahead[:, None] + np.arange(-per_hour, per_hour + 1), 0, len(steps) - 1)
    row(
        "alike_smooth",
        graph.op("ReduceMean", graph.gather(graph.finite_or(base, zero), near), axes=[1], keepdims=0),
    )

    def recent_mean(data: str, first: int, last: int) -> str:
        part = graph.gather(data, np.arange(first, last))
        part = graph.reshape(part, [1, last - first])
        return graph.weighted_mean(graph.finite_or(part, zero), graph.known(part), 1)

    surprise = graph.sub(graph.gather(y, np.arange(hist - day, hist)), graph.gather(base, np.arange(day)))
    scalar("last", graph.gather(y, hist - 1))
    for hours in (1, 3, 8, 24):
        width = max(1, min(day, hours * per_hour))
        scalar(f"surprise_{hours}h", recent_mean(surprise, day - width, day))
        scalar(f"level_{hours}h", recent_mean(y, hist - width, hist))
    scalar(
        "change_1h",
        graph.sub(
            recent_mean(y, hist - per_hour, hist), recent_mean(y, hist - 2 * per_hour, hist - per_hour)
        ),
    )
    week = min(hist, 7 * day)
    scalar("level_7d", recent_mean(y, hist - week, hist))
    scalar("level_all", recent_mean(y, 0, hist))

    for column in range(len(contract.known)):
        name = contract.known[column].name
        series = graph.gather(inputs["known"], column, axis=1)
        targets = hist + np.arange(horizon)
        row(f"{name}", graph.gather(series, targets))
        smooth: dict[int, str] = {}
        # Running sums: means over a day around each step would otherwise be gathered value by value.
        recently = graph.gather(series, hist + np.arange(-2 * day, horizon))
        centred = graph.sub(recently, graph.const(scales.known_mean[column]))
        sums = graph.op("CumSum", graph.finite_or(centred, zero), graph.ints([0]))
        counts = graph.op("CumSum", graph.known(recently), graph.ints([0]))
        for hours in (3, 24):
            width = min(hours * per_hour, day)
            last = 2 * day + steps
            count, total = (
                graph.sub(graph.gather(each, last), graph.gather(each, last - width))
                for each in (counts, sums)
            )
            mean = graph.op("Div", total, graph.op("Max", count, graph.const(1.0)))
            smooth[hours] = graph.op(
                "Where",
                graph.op("Greater", count, zero),
                graph.add(mean, graph.const(scales.known_mean[column])),
                graph.const(float("nan")),
            )
            row(f"{name}_mean_{hours}h", graph.gather(smooth[hours], ahead))
        row(
            f"{name}_change_1d",
            graph.sub(graph.gather(series, targets), graph.gather(series, index[ahead, 0])),
        )
        # Days on which this column looked the same, whatever the weekday: the analogue forecast.
        scale = max(scales.known_scale[column], 1e-9)
        then, now = (
            graph.gather(series, index),
            graph.reshape(graph.gather(series, hist + steps), [len(steps), 1]),
        )
        gap = graph.mul(graph.sub(then, now), graph.const(1.0 / (0.3 * scale)))
        gap = graph.finite_or(gap, graph.const(3.0))
        close = graph.op("Exp", graph.op("Neg", graph.op("Min", graph.mul(gap, gap), graph.const(20.0))))
        soft = graph.add(graph.mul(same, graph.const(0.8)), graph.const(0.2))
        analogue = graph.weighted_mean(filled, graph.mul(graph.mul(graph.mul(valid, close), soft), recent), 1)
        row(f"{name}_analogue", graph.gather(analogue, ahead))
        apart = graph.sub(
            graph.gather(y, np.arange(hist - day, hist)), graph.gather(analogue, np.arange(day))
        )
        scalar(f"{name}_surprise_8h", recent_mean(apart, day - min(day, 8 * per_hour), day))

    def scaled_y(value: str) -> str:
        inner = graph.mul(graph.sub(value, graph.const(scales.y_mean)), graph.const(1.0 / scales.y_scale))
        return graph.op("Clip", graph.finite_or(inner, zero), graph.const(-6.0), graph.const(6.0))

    net_base = graph.reshape(scaled_y(graph.gather(base, ahead)), [horizon, 1])
    return FeatureNodes(
        rows=graph.concat([value for _, value in columns], axis=1),
        row_names=tuple(name for name, _ in columns),
        base=net_base,
    )
