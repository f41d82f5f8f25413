"""One HTML page of a back-test: the table, fan charts of a few days, calibration by horizon. No script, no network."""

import base64
import html
import io
import json
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

from agent.errors import DataError

COLUMNS = {
    "pinball": "pinball",
    "wql": "WQL",
    "wape": "WAPE",
    "mase": "MASE",
    "coverage_80": "inside the band",
    "bias": "bias",
    "width": "band's width",
}
STYLE = (
    "body{font:15px/1.5 system-ui;max-width:62rem;margin:2rem auto;padding:0 1rem}table{border-collapse:collapse}"
    "td,th{padding:.3rem .7rem;border-bottom:1px solid #ccc;text-align:right}td:first-child,th:first-child"
    "{text-align:left}img{max-width:100%}.best td{font-weight:600}"
)


def write_report(scores_path: Path, predictions_path: Path, truth_csv: "pd.Series[float]", out: Path) -> None:
    """`truth_csv` is the target by UTC stamp. Raises DataError when the back-test's files cannot be read."""
    mpl.use("Agg")
    try:
        scores = json.loads(scores_path.read_text())
        predictions = pd.read_csv(predictions_path, parse_dates=["origin", "timestamp"])
    except (OSError, ValueError) as error:
        raise DataError(
            f"cannot read the back-test: {error}", where=str(scores_path), fix="run trimload-train backtest"
        ) from error
    models: dict[str, dict[str, Any]] = scores["models"]
    body = [
        f"<h1>Forecast of {html.escape(scores['target'])}</h1>",
        (
            f"<p>{scores['origins']} origins, horizon {scores['horizon']} steps of {scores['step_s']} s, "
            f"trained before {html.escape(scores['train_end'])}. Smaller pinball is better; the band should cover 80 %.</p>"
        ),
        _table(models),
        f"<h2>Some days of {html.escape(list(models)[-1])}</h2><p>Times are UTC.</p>",
        _image(_fan(predictions, truth_csv, list(models)[-1], scores.get("unit") or "")),
        "<h2>Error by distance</h2>",
        _image(_blocks(models)),
    ]
    page = f"<!doctype html><meta charset=utf-8><title>Forecast report</title><style>{STYLE}</style>{''.join(body)}"
    out.write_text(page)


def _table(models: dict[str, dict[str, Any]]) -> str:
    head = "".join(f"<th>{name}</th>" for name in ("model", *COLUMNS.values()))
    known = [values["pinball"] for values in models.values() if values["pinball"] is not None]
    rows = []
    for name, values in models.items():
        best = ' class="best"' if known and values["pinball"] == min(known) else ""
        cells = "".join(f"<td>{_figure_text(column, values[column])}</td>" for column in COLUMNS)
        rows.append(f"<tr{best}><td>{html.escape(name)}</td>{cells}</tr>")
    return f"<table><tr>{head}</tr>{''.join(rows)}</table>"


def _figure_text(column: str, value: float | None) -> str:
    if value is None:  # such as MASE of a series that never changes
        return "–"
    return f"{value:.1%}" if column == "coverage_80" else f"{value:.4g}"


def _fan(predictions: pd.DataFrame, truth: "pd.Series[float]", model: str, unit: str) -> Figure:
    of_model = predictions[predictions["model"] == model]
    origins = sorted(of_model["origin"].unique())
    shown = origins[:: max(1, len(origins) // 4)][:4]
    figure = Figure(figsize=(11, 2.6 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 1, squeeze=False)[:, 0]
    for axis, origin in zip(axes, shown, strict=True):
        part = of_model[of_model["origin"] == origin]
        stamps = part["timestamp"]
        axis.fill_between(stamps, part["p10"], part["p90"], alpha=0.3, label=f"{model} P10-P90")
        axis.plot(stamps, part["p50"], label="P50")
        axis.plot(stamps, truth.reindex(pd.DatetimeIndex(stamps)).to_numpy(), "k", lw=0.8, label="measured")
        axis.set_title(f"from {pd.Timestamp(origin):%a %Y-%m-%d %H:%M}", fontsize=9)
        axis.set_ylabel(unit)
    axes[0].legend(fontsize=8)
    return figure


def _blocks(models: dict[str, dict[str, Any]]) -> Figure:
    figure = Figure(figsize=(11, 3), layout="constrained")
    axis = figure.subplots()
    for name, values in models.items():
        blocks = [float("nan") if each is None else each for each in values["pinball_by_block"]]
        axis.plot(range(len(blocks)), blocks, marker="o", label=name)
    count = max(len(values["pinball_by_block"]) for values in models.values())
    axis.set_xticks(range(count), [f"{6 * block}-{6 * block + 6} h" for block in range(count)])
    axis.set_xlabel("ahead")
    axis.set_ylim(bottom=0)
    axis.set_ylabel("pinball")
    axis.legend(fontsize=8)
    return figure


def _image(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=80)
    return (
        f'<p><img src="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}" alt="plot"></p>'
    )
