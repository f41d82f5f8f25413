"""Rolling-origin back-test: every method at the same origins, training before one date, edge calibration in order."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

import numpy as np
from numpy.typing import NDArray

from agent.errors import DataError
from agent.inference.calendar import calendar_columns
from agent.inference.forecaster import Forecaster, TargetSpec
from agent.inference.model import Model, load_model
from agent.inference.series import Series, window
from training import metrics
from training.clean import learnable
from training.dataset import Frame
from training.export import export
from training.fit import fit, make_contract
from training.fitted import Fitted
from training.origins import Plan, with_replays
from training.references import Answer, Tick, limits_of, naive, seasonal, statistical
from training.windows import Windows

Array = NDArray[np.float64]

MODELS = ("daily", "weekly", "naive", "mstl", "autoets", "lgbm", "ensemble")
HISTORY_DAYS = 62


@dataclass(frozen=True)
class Result:
    """Quantiles [origins, H, 3] of one method and what was said on the way."""

    model: str
    quantiles: Array
    notes: Mapping[str, object]


def run_backtest(
    frame: Frame, plan: Plan, models: Sequence[str], *, tick: Tick = lambda _: None
) -> list[Result]:
    """Forecasts of each method at each origin. The learned ones see a history that ends at its origin."""
    unknown = [name for name in models if name not in MODELS]
    if unknown:
        raise DataError(
            f"no model {', '.join(unknown)}", where="--models", fix=f"name some of {', '.join(MODELS)}"
        )
    # Trees and ensemble come from one fit: the trees are the same either way.
    parts = ("trees", "others") if "ensemble" in models else ("trees",)
    learn = cache(lambda: _trained(frame, plan, parts, tick))
    methods: dict[str, Callable[[Frame, Plan, Tick], Answer]] = {
        "daily": lambda f, p, t: seasonal(f, p, 1, t),
        "weekly": lambda f, p, t: seasonal(f, p, 7, t),
        "naive": naive,
        "mstl": lambda f, p, t: statistical(f, p, "mstl", t),
        "autoets": lambda f, p, t: statistical(f, p, "autoets", t),
        "lgbm": lambda f, p, t: _learned(f, p, learn, t, edge=False),
        "ensemble": lambda f, p, t: _learned(f, p, learn, t, edge=True),
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


Trained = tuple[Fitted, Windows, Frame]


def _learned(
    frame: Frame, plan: Plan, learn: Callable[[], Trained | str], tick: Tick, *, edge: bool
) -> Answer:
    """The model trained once before the end of training; with `edge` run as the gateway would, in time order.

    Without `edge` it is the trees alone, their offsets static. Too little to learn from is no error: the naive rule
    forecasts, as on a gateway, and the notes say why.
    """
    trained = learn()
    if isinstance(trained, str):
        quantiles, said = _as_on_a_gateway(frame, plan, None, tick) if edge else naive(frame, plan, tick)
        return quantiles, {"untrained": trained, **said}
    fitted, windows, learned_from = trained
    model_bytes = export(
        fitted if edge else fitted.trees_alone(),
        windows,
        learned_from,
        end_row=plan.train_end_row,
        seed=plan.seed,
        holidays=plan.holidays,
    )
    model = load_model(model_bytes)
    notes: dict[str, object] = {"fit": dict(fitted.metrics), "model_bytes": len(model_bytes)}
    if edge:
        quantiles, said = _as_on_a_gateway(frame, plan, model, tick)
        return quantiles, notes | said
    out = []
    for origin in plan.origins:
        history, known = _seen_from(frame, plan, origin)
        out.append(model.run(*_contract_inputs(history, known, frame.at(origin), model.contract.hist, plan)))
        tick("back-test")
    return np.stack(out), notes


def _trained(frame: Frame, plan: Plan, parts: Collection[str], tick: Tick) -> Trained | str:
    """What a fit on the rows before the end of training leaves, or why there can be none."""
    try:
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
        frame = learnable(frame, plan.target, plan.train_end_row)
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
    except DataError as error:
        return error.what
    return fitted, windows, frame


def _as_on_a_gateway(frame: Frame, plan: Plan, model: Model | None, tick: Tick) -> Answer:
    """The forecasts issued at the plan's origins, after all those that a gateway would have issued before."""
    limits = limits_of(frame, plan)
    spec = TargetSpec(
        plan.target, plan.unit, frame.step_s, plan.horizon, plan.tz, *limits, holidays=plan.holidays
    )
    forecaster = Forecaster(spec, model)
    wanted = set(plan.origins)
    out = []
    sources: dict[str, int] = {}
    reasons: dict[str, int] = {}
    for row in with_replays(plan, frame.step_s):
        origin = int(row)
        history, known = _seen_from(frame, plan, origin)
        answer = forecaster.forecast(history, known, frame.at(origin))
        if origin not in wanted:
            continue
        out.append(answer.quantiles)
        source = answer.source.split(":")[0]
        sources[source] = sources.get(source, 0) + 1
        for reason in answer.reasons:
            reasons[reason] = reasons.get(reason, 0) + 1
        tick("back-test")
    return np.stack(out), {"sources": sources, "reasons": reasons}


def _seen_from(frame: Frame, plan: Plan, origin: int) -> tuple[Series, Series | None]:
    """History that ends at the origin, so nothing after it can leak, and what is known ahead."""
    first = max(0, origin - HISTORY_DAYS * 86_400 // frame.step_s)
    history = Series(frame.at(first), frame.step_s, frame.columns[plan.target][first:origin])
    if not plan.known:
        return history, None
    values = np.full((origin - first + plan.horizon, len(plan.known)), np.nan)
    for place, name in enumerate(plan.known):
        part = frame.columns[name][first : origin + plan.horizon]
        values[: len(part), place] = part
    return history, Series(frame.at(first), frame.step_s, values)


def _contract_inputs(
    history: Series, known: Series | None, at: datetime, hist: int, plan: Plan
) -> tuple[Array, Array | None, NDArray[np.float32]]:
    step_s = history.step_s
    end_at = at + timedelta(seconds=plan.horizon * step_s)
    start_at = at - timedelta(seconds=hist * step_s)
    cal = calendar_columns(start_at, step_s, hist + plan.horizon, tz=plan.tz, holidays=plan.holidays)
    ahead = window(known, end_at, hist + plan.horizon) if known is not None else None
    return window(history, at, hist), ahead, cal
