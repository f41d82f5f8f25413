"""Rolling-origin back-test: every method at the same origins, training before one date, edge calibration in order."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError
from agent.inference.calendar import calendar_columns, day_types
from agent.inference.contract import QUANTILES
from agent.inference.forecaster import Forecaster, TargetSpec
from agent.inference.model import load_model
from agent.inference.naive import LOOK_BACK_DAYS, naive_robust
from agent.inference.series import Series, window
from training import metrics
from training.dataset import Frame
from training.export import export
from training.fit import fit, make_contract

Array = NDArray[np.float64]
Tick = Callable[[str], None]

MODELS = ("daily", "weekly", "naive", "mstl", "autoets", "lgbm", "ensemble")
HISTORY_DAYS = 62


@dataclass(frozen=True)
class Plan:
    """What is forecast, from where. `known` are columns given ahead; `origins` are rows of the frame."""

    target: str
    horizon: int
    known: tuple[str, ...]
    tz: str
    train_end_row: int
    origins: tuple[int, ...]
    unit: str = ""
    limits: tuple[float, float] | None = None
    holidays: frozenset[date] = frozenset()
    hist_days: int | None = None
    seed: int = 1
    quick: bool = False


@dataclass(frozen=True)
class Result:
    """Quantiles [origins, H, 3] of one method and what was said on the way."""

    model: str
    quantiles: Array
    notes: Mapping[str, object]


def default_origins(
    frame: Frame, *, horizon: int, train_end_row: int, target: str, count: int = 40
) -> tuple[int, ...]:
    """`count` origins spread from the end of training to a horizon before the end, where the truth is there."""
    last = frame.rows - horizon
    if last < train_end_row:
        raise DataError(
            "no whole horizon after the end of training", where=target, fix="move --train-end back"
        )
    y = frame.columns[target]
    spread = np.unique(np.linspace(train_end_row, last, count).astype(int))
    return tuple(int(o) for o in spread if np.isfinite(y[o : o + horizon]).mean() > 0.5)


def origins_from_file(path: Path, frame: Frame) -> tuple[int, ...]:
    """Rows of a JSON list of ISO stamps. Raises DataError for what cannot be read or lies outside the data."""
    try:
        stamps = [datetime.fromisoformat(text) for text in json.loads(path.read_text())]
    except (OSError, ValueError, TypeError) as error:
        raise DataError(
            f"cannot read the origins: {error}", where=str(path), fix="give a JSON list of ISO 8601 stamps"
        ) from error
    rows = [frame.row_of(each if each.tzinfo else each.replace(tzinfo=UTC)) for each in stamps]
    for stamp, row in zip(stamps, rows, strict=True):
        if not 0 < row <= frame.rows:
            raise DataError(
                f"origin {stamp.isoformat()} lies outside the data", where=str(path), fix="remove it"
            )
    return tuple(sorted(rows))


def run_backtest(
    frame: Frame, plan: Plan, models: Sequence[str], *, tick: Tick = lambda _: None
) -> list[Result]:
    """Forecasts of each method at each origin. The learned ones see a history that ends at its origin."""
    unknown = [name for name in models if name not in MODELS]
    if unknown:
        raise DataError(
            f"no model {', '.join(unknown)}", where="--models", fix=f"name some of {', '.join(MODELS)}"
        )
    methods: dict[str, Callable[[Frame, Plan, Tick], tuple[Array, dict[str, object]]]] = {
        "daily": lambda f, p, t: _seasonal(f, p, 1, t),
        "weekly": lambda f, p, t: _seasonal(f, p, 7, t),
        "naive": _naive,
        "mstl": lambda f, p, t: _statistical(f, p, "mstl", t),
        "autoets": lambda f, p, t: _statistical(f, p, "autoets", t),
        "lgbm": lambda f, p, t: _learned(f, p, ("trees",), t, edge=False),
        "ensemble": lambda f, p, t: _learned(f, p, ("trees", "network"), t, edge=True),
    }
    return [Result(name, *methods[name](frame, plan, tick)) for name in models]


def truth_of(frame: Frame, plan: Plan) -> Array:
    """[origins, H], NaN beyond the end."""
    padded = np.concatenate([frame.columns[plan.target], np.full(plan.horizon, np.nan)])
    return np.stack([padded[o : o + plan.horizon] for o in plan.origins])


def score(frame: Frame, plan: Plan, results: Sequence[Result]) -> dict[str, dict[str, object]]:
    """Scores by method: overall, by six-hour block of the horizon and by weekday."""
    truth = truth_of(frame, plan)
    per_day = 86_400 // frame.step_s
    block = max(1, per_day // 4)
    first_at = frame.at(0)
    local = calendar_columns(first_at, frame.step_s, frame.rows + plan.horizon, tz=plan.tz)[:, 1]
    weekday = np.stack([local[o : o + plan.horizon] for o in plan.origins])
    out: dict[str, dict[str, object]] = {}
    for result in results:
        quantiles = result.quantiles
        each = metrics.pinball_each(truth, quantiles)
        out[result.model] = {
            "pinball": metrics.pinball(truth, quantiles),
            "wql": metrics.wql(truth, quantiles),
            "wape": metrics.wape(truth, quantiles),
            "mase": metrics.mase(truth, quantiles, frame.columns[plan.target][: plan.train_end_row], per_day),
            "coverage_80": metrics.coverage(truth, quantiles),
            "bias": metrics.bias(truth, quantiles),
            "width": metrics.width(quantiles),
            "pinball_by_block": [
                metrics.pinball(truth[:, lo : lo + block], quantiles[:, lo : lo + block])
                for lo in range(0, plan.horizon, block)
            ],
            "pinball_by_weekday": [
                float(each[(weekday == day) & np.isfinite(each)].mean())
                if ((weekday == day) & np.isfinite(each)).any()
                else None
                for day in range(7)
            ],
            **result.notes,
        }
    return out


def limits_of(frame: Frame, plan: Plan) -> tuple[float, float]:
    """The plan's limits, or the same default that a fit takes from the training span."""
    if plan.limits is not None:
        return plan.limits
    contract = make_contract(
        frame,
        target=plan.target,
        unit=plan.unit,
        horizon=plan.horizon,
        tz=plan.tz,
        end_row=plan.train_end_row,
    )
    return contract.limit_low, contract.limit_high


def _seasonal(frame: Frame, plan: Plan, days: int, tick: Tick) -> tuple[Array, dict[str, object]]:
    """The value of the same time `days` ago (or a multiple, for long horizons) and its training residuals."""
    y = frame.columns[plan.target]
    lag = days * 86_400 // frame.step_s
    spread = _residual_quantiles(y[: plan.train_end_row], lag)
    level = float(np.nanmean(y[: plan.train_end_row]))
    out = []
    for origin in plan.origins:
        steps = np.arange(plan.horizon)
        index = origin + steps - lag * (1 + steps // lag)
        middle = np.where(index >= 0, y[np.maximum(index, 0)], np.nan)
        middle = np.where(np.isfinite(middle), middle, level)
        out.append(np.sort(middle[:, None] + spread, axis=1))
        tick("seasonal naive")
    return np.stack(out), {}


def _residual_quantiles(train: Array, lag: int) -> Array:
    residual = train[lag:] - train[:-lag]
    residual = residual[np.isfinite(residual)]
    low, _, high = np.quantile(residual, QUANTILES) if len(residual) else (0.0, 0.0, 0.0)
    return np.array([low, 0.0, high])


def _naive(frame: Frame, plan: Plan, tick: Tick) -> tuple[Array, dict[str, object]]:
    per_day = 86_400 // frame.step_s
    hist = (LOOK_BACK_DAYS + 2) * per_day
    series = Series(frame.first_at, frame.step_s, frame.columns[plan.target])
    limits = limits_of(frame, plan)
    out = []
    rules: dict[str, int] = {}
    for origin in plan.origins:
        at = frame.at(origin)
        start_at = at - timedelta(seconds=hist * frame.step_s)
        cal = calendar_columns(
            start_at, frame.step_s, hist + plan.horizon, tz=plan.tz, holidays=plan.holidays
        )
        answer = naive_robust(
            window(series, at, hist), day_types(cal), step_s=frame.step_s, horizon=plan.horizon, limits=limits
        )
        out.append(answer.quantiles)
        rules[answer.rule] = rules.get(answer.rule, 0) + 1
        tick("naive")
    return np.stack(out), {"rules": rules}


def _learned(
    frame: Frame, plan: Plan, parts: Collection[str], tick: Tick, *, edge: bool
) -> tuple[Array, dict[str, object]]:
    """Train once before the end of training; with `edge` run it as the gateway would, in time order."""
    contract = make_contract(
        frame,
        target=plan.target,
        unit=plan.unit,
        horizon=plan.horizon,
        tz=plan.tz,
        known=plan.known,
        hist_days=plan.hist_days,
        limits=plan.limits,
        end_row=plan.train_end_row,
    )
    fitted, windows = fit(
        frame,
        contract,
        end_row=plan.train_end_row,
        seed=plan.seed,
        quick=plan.quick,
        holidays=plan.holidays,
        parts=parts,
        tick=tick,
    )
    model_bytes = export(fitted, windows, frame, end_row=plan.train_end_row, seed=plan.seed)
    model = load_model(model_bytes)
    spec = TargetSpec(
        plan.target,
        plan.unit,
        frame.step_s,
        plan.horizon,
        plan.tz,
        contract.limit_low,
        contract.limit_high,
        plan.holidays,
    )
    forecaster = Forecaster(spec, model)
    hist_rows = HISTORY_DAYS * 86_400 // frame.step_s
    y = frame.columns[plan.target]
    out = []
    sources: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for origin in plan.origins:
        at = frame.at(origin)
        first = max(0, origin - hist_rows)
        # The history that is handed over ends at the origin: what comes after cannot leak.
        history = Series(frame.at(first), frame.step_s, y[first:origin])
        known_values = np.full((origin - first + plan.horizon, len(plan.known)), np.nan)
        for place, name in enumerate(plan.known):
            part = frame.columns[name][first : origin + plan.horizon]
            known_values[: len(part), place] = part
        known = Series(frame.at(first), frame.step_s, known_values) if plan.known else None
        if edge:
            answer = forecaster.forecast(history, known, at)
            out.append(answer.quantiles)
            source = answer.source.split(":")[0]
            sources[source] = sources.get(source, 0) + 1
            for reason in answer.reasons:
                reasons[reason] = reasons.get(reason, 0) + 1
        else:
            inputs = _contract_inputs(history, known, at, model.contract.hist, plan, frame)
            out.append(model.run(*inputs))
        tick("back-test")
    notes: dict[str, object] = {
        "fit": dict(fitted.metrics),
        "model_bytes": len(model_bytes),
        "sources": sources,
        "reasons": reasons,
    }
    return np.stack(out), notes


def _contract_inputs(
    history: Series, known: Series | None, at: datetime, hist: int, plan: Plan, frame: Frame
) -> tuple[Array, Array | None, NDArray[np.float32]]:
    end_at = at + timedelta(seconds=plan.horizon * frame.step_s)
    start_at = at - timedelta(seconds=hist * frame.step_s)
    cal = calendar_columns(start_at, frame.step_s, hist + plan.horizon, tz=plan.tz, holidays=plan.holidays)
    ahead = window(known, end_at, hist + plan.horizon) if known is not None else None
    return window(history, at, hist), ahead, cal


def _statistical(frame: Frame, plan: Plan, kind: str, tick: Tick) -> tuple[Array, dict[str, object]]:
    """Statsforecast's MSTL (daily and weekly season, ETS trend) or AutoETS (daily season), fitted at each origin."""
    from statsforecast.models import MSTL, AutoETS  # slow to import, and only for comparison

    per_day = 86_400 // frame.step_s
    y = frame.columns[plan.target]
    out = []
    for origin in plan.origins:
        history = y[max(0, origin - 28 * per_day) : origin]
        filled = _filled(history, per_day)
        if kind == "mstl":
            seasons = [per_day, 7 * per_day] if len(filled) >= 15 * per_day else [per_day]
            model: MSTL | AutoETS = MSTL(season_length=seasons, trend_forecaster=AutoETS(model="ZZN"))
        else:
            model = AutoETS(season_length=per_day if per_day <= 24 else 1)
        answer = model.forecast(y=filled, h=plan.horizon, level=[80])
        out.append(np.sort(np.stack([answer["lo-80"], answer["mean"], answer["hi-80"]], axis=1), axis=1))
        tick(kind)
    return np.stack(out), {}


def _filled(values: Array, per_day: int) -> Array:
    """Gaps filled from the day before, else by interpolation: these models cannot take a gap."""
    out = values.copy()
    for place in np.flatnonzero(~np.isfinite(out)):
        if place >= per_day and np.isfinite(out[place - per_day]):
            out[place] = out[place - per_day]
    good = np.isfinite(out)
    if not good.any():
        return np.zeros_like(out)
    return np.interp(np.arange(len(out)), np.flatnonzero(good), out[good])
