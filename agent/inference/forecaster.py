"""One target's forecaster: the model while it earns it, the naive rule the same minute it does not.

Everything here is a function of its arguments: the daemon owns clock, storage and logging. A `Forecaster` holds
what outlives a call: past forecasts that wait for their truth, and the scores that decide who steers.
"""

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from agent.inference.calendar import calendar_columns, day_types
from agent.inference.checks import check_history
from agent.inference.conformal import applied, shifts
from agent.inference.contract import Contract
from agent.inference.model import Model, ModelRefusedError
from agent.inference.naive import LOOK_BACK_DAYS, naive_robust
from agent.inference.record import MIXES, RATIO_DAYS, Record, Scores
from agent.inference.series import Series, window

Array = NDArray[np.float64]

# A model that alone is that much worse than the naive rule has drifted.
LOSES_AT = 1.10
# What is issued is a mix of model and naive rule. The file's own trial counts like that many forecasts on site.
TRIAL_WEIGHT = 10.0
# A trial of so many days says half of what is believed of a share; the rest is what holds without a trial: the model
# is no better than the naive rule, and their mean 7 % better than either, since they err differently.
TRIAL_DAYS = 14.0
MEAN_GAINS = 0.28
# Another mix must be that much better, as a share of the naive rule's loss: no swinging to and fro.
MIX_GAIN = 0.003
MIN_JUDGED = 6
# A file whose own trial did not beat the naive rule by this starts on the bench: with five weeks of data most
# models lose. It gets its chance when the gateway's own scores say so.
TRIAL_RATIO = 0.97
# Past its use-by a model stays only while it still beats the naive rule.
STALE_RATIO = 1.00
SLOW_RUN_S = 0.5
# A known column is missing when less of it reaches over the horizon.
MIN_KNOWN_AHEAD = 0.5
# Reasons that somebody should look into; the others are the ordinary course of things.
ALARMS = frozenset(
    {
        "drift",
        "known_missing",
        "output_crossing",
        "output_not_finite",
        "output_out_of_range",
        "past_use_by",
        "run_failed",
        "slow_run",
        "wrong_schema",
    }
)
OUTSIDE_WIDENING = 1.3
GAP_WIDENING = 1.15


@dataclass(frozen=True)
class TargetSpec:
    """What the site says about a target; `limit_*` are finite physical limits in `unit`."""

    target: str
    unit: str
    step_s: int
    horizon: int
    tz: str
    limit_low: float
    limit_high: float
    holidays: frozenset[date] = frozenset()

    def __post_init__(self) -> None:
        if not (np.isfinite([self.limit_low, self.limit_high]).all() and self.limit_low < self.limit_high):
            raise ValueError(f"limits of {self.target} must be finite and in order")


@dataclass(frozen=True)
class QuantileForecast:
    """P10/P50/P90 of one target: row i of `quantiles` [H, 3] holds for [first_at + i*step_s, ...)."""

    target: str
    unit: str
    issued_at: datetime
    first_at: datetime
    step_s: int
    quantiles: Array
    source: str
    reasons: tuple[str, ...]

    def at(self, when: datetime) -> tuple[float, float, float] | None:
        """The quantiles of the interval that contains `when`, None outside the horizon."""
        row = int((when - self.first_at).total_seconds() // self.step_s)
        if not 0 <= row < len(self.quantiles):
            return None
        low, middle, high = (float(each) for each in self.quantiles[row])
        return low, middle, high


@dataclass(frozen=True)
class _ModelSays:
    """The model's own quantiles [H, 3], or `why` there are none; the history as its checks left it; what it bears."""

    raw: Array | None = None
    checked: Array | None = None
    why: str | None = None
    notes: tuple[str, ...] = ()


@dataclass
class Forecaster:
    """`forecast` is pure apart from the memory kept here. `elapsed` gives seconds and serves the slow-run check."""

    spec: TargetSpec
    model: Model | None = None
    elapsed: Callable[[], float] | None = None
    shadow: bool = False
    _record: Record = field(init=False)
    _share: float = 0.0
    # Shifts of naive rule and model, and the scores, for one version of the record: made anew when it changes.
    _judged: tuple[int, Array, Array, Scores] | None = None

    def __post_init__(self) -> None:
        self._record = Record(self.spec.step_s, self.spec.horizon)
        self._share = _share_by_trial(self.model)

    @property
    def share(self) -> float:
        """The model's share in what is issued, one of MIXES."""
        return self._share

    def replace_model(self, model: Model | None) -> None:
        """Swap the model. The old one's errors say nothing about the new one, so its record is dropped."""
        self.model = model
        self._share = _share_by_trial(model)
        self._record.forget_model()

    def reset(self) -> None:
        """Forget all errors: after a change of plan or plant they describe another site."""
        self._record.forget()
        self._share = _share_by_trial(self.model)

    def forecast(self, history: Series, known: Series | None, at: datetime) -> QuantileForecast:
        """The forecast at `at`, from history before it. `known` [n, K] covers history and horizon, NaN = missing.

        Never raises for what the world sends and never holds NaN. Raises ValueError when `history` has another
        step than the target, which is a program error.
        """
        spec = self.spec
        if history.step_s != spec.step_s:
            raise ValueError(f"{spec.target}: history has steps of {history.step_s} s, not {spec.step_s} s")
        first_at = history.first_at + timedelta(seconds=history.index_of(at) * history.step_s)
        per_day = 86_400 // spec.step_s
        reasons: list[str] = []
        naive_hist = window(history, first_at, (LOOK_BACK_DAYS + 2) * per_day)

        said = self._ask_model(history, known, first_at)
        model_raw = said.raw
        naive_hist = _with_bad_tail(naive_hist, said.checked)
        types = day_types(self._calendar(first_at, len(naive_hist)))
        naive = naive_robust(
            naive_hist,
            types,
            step_s=spec.step_s,
            horizon=spec.horizon,
            limits=(spec.limit_low, spec.limit_high),
        )
        floor = 1e-4 * (spec.limit_high - spec.limit_low)
        shift_naive, shift_model, scores = self._judge(history, first_at, floor)
        naive_done = self._bounded(naive.quantiles + applied(shift_naive, naive.quantiles, floor=floor))
        model_done = None
        if model_raw is not None:
            model_done = self._bounded(model_raw + applied(shift_model, model_raw, floor=floor))
        steers, verdict = self._who(model_done, said.why, scores, first_at)
        reasons.extend(verdict)
        chosen = naive_done
        if steers and model_done is not None:
            chosen = self._bounded(self._share * model_done + (1 - self._share) * naive_done)
            if self._share < 1.0:
                reasons.append("mixed_with_naive")
        source = (
            f"model:{self.model.meta.get('fc.id', self.model.sha256[:12])}"
            if steers and self.model
            else f"naive:{naive.rule}"
        )
        if steers and said.notes:
            middle = chosen[:, 1:2]
            chosen = self._bounded(middle + GAP_WIDENING * (chosen - middle))
            reasons.extend(said.notes)
        if steers and self._extrapolating(known, first_at):
            middle = chosen[:, 1:2]
            chosen = self._bounded(middle + OUTSIDE_WIDENING * (chosen - middle))
            reasons.append("known_out_of_training_range")
        self._record.add(first_at, chosen, naive.quantiles, naive_done, model_raw, model_done)
        return QuantileForecast(
            spec.target, spec.unit, at, first_at, spec.step_s, chosen, source, tuple(reasons)
        )

    def scores(self, history: Series, at: datetime, days: float = RATIO_DAYS) -> Scores:
        """Pinball, coverage and bias of what was issued in the last `days`, against the truth known at `at`."""
        return self._record.scores(history, at, days)

    def _judge(self, history: Series, at: datetime, floor: float) -> tuple[Array, Array, Scores]:
        """Shifts of the naive rule's and the model's quantiles in half-widths, and the scores."""
        if self._judged is None or self._judged[0] != self._record.version:
            horizon, step_s = self.spec.horizon, self.spec.step_s
            naive, model = (
                shifts(self._record.past(history, at, of_model=of_model), horizon, step_s=step_s, floor=floor)
                for of_model in (False, True)
            )
            self._judged = (self._record.version, naive, model, self._record.scores(history, at))
        return self._judged[1:]

    def _ask_model(self, history: Series, known: Series | None, first_at: datetime) -> _ModelSays:
        model = self.model
        if model is None:
            return _ModelSays(why="no_model")
        contract, spec = model.contract, self.spec
        if (contract.step_s, contract.horizon, contract.tz) != (spec.step_s, spec.horizon, spec.tz) or (
            contract.target != spec.target or contract.unit != spec.unit
        ):
            return _ModelSays(why="wrong_schema")
        checked = check_history(window(history, first_at, contract.hist), model.limits, step_s=spec.step_s)
        if checked.reason is not None:
            return _ModelSays(checked=checked.values, why=checked.reason)
        notes = [] if checked.note is None else [checked.note]
        known_window = None
        if contract.known:
            known_window = self._known_window(contract, known, first_at)
            if np.isfinite(known_window[contract.hist :]).mean(axis=0).min() < MIN_KNOWN_AHEAD:
                if not model.limits.known_proof:
                    return _ModelSays(checked=checked.values, why="known_missing")
                notes.append("known_missing")
        started = self.elapsed() if self.elapsed else 0.0
        try:
            raw = model.run(checked.values, known_window, self._calendar(first_at, contract.hist))
        except ModelRefusedError as refused:
            return _ModelSays(checked=checked.values, why=refused.code)
        if self.elapsed and self.elapsed() - started > SLOW_RUN_S:
            return _ModelSays(checked=checked.values, why="slow_run")
        return _ModelSays(raw, checked.values, None, tuple(notes))

    def _known_window(self, contract: Contract, known: Series | None, first_at: datetime) -> Array:
        """The known columns over history and horizon, NaN throughout where they are not what the model asks for."""
        total = contract.hist + contract.horizon
        if known is None or known.values.ndim != 2 or known.values.shape[1] != len(contract.known):
            return np.full((total, len(contract.known)), np.nan)
        end_at = first_at + timedelta(seconds=contract.horizon * contract.step_s)
        return window(known, end_at, total)

    def _who(
        self, model: Array | None, why: str | None, scores: Scores, at: datetime
    ) -> tuple[bool, list[str]]:
        """Does the model steer, and the reasons that telemetry gets."""
        if model is None or self.model is None:
            return False, [why or "no_model"]
        if self.shadow:
            return False, ["shadow"]
        judged = scores.judged >= MIN_JUDGED and np.isfinite(scores.ratio)
        said = []
        if judged and scores.ratio > LOSES_AT:
            # The trial no longer describes this site: only what was seen here speaks for a share of the model.
            best = int(np.argmin(scores.mix_ratios))
            self._share = MIXES[best] if scores.mix_ratios[best] <= TRIAL_RATIO else 0.0
            said.append("drift")
        elif scores.mix_judged:
            self._share = _share_by_record(self._share, _believed(self.model), scores)
        if self._share == 0.0:
            return False, said or ["lost_its_trial"]
        age_d = (at - self.model.trained_to_at).total_seconds() / 86_400
        if age_d > self.model.max_age_d:
            if not judged or scores.ratio >= STALE_RATIO:
                return False, ["past_use_by"]
            said.append("past_use_by_but_better")
        return True, said

    def _calendar(self, first_at: datetime, hist: int) -> NDArray[np.float32]:
        start_at = first_at - timedelta(seconds=hist * self.spec.step_s)
        holidays: Collection[date] = self.spec.holidays
        if self.model is not None:
            holidays = self.spec.holidays | self.model.holidays
        return calendar_columns(
            start_at, self.spec.step_s, hist + self.spec.horizon, tz=self.spec.tz, holidays=holidays
        )

    def _bounded(self, quantiles: Array) -> Array:
        return np.clip(np.sort(quantiles, axis=1), self.spec.limit_low, self.spec.limit_high)

    def _extrapolating(self, known: Series | None, first_at: datetime) -> bool:
        if self.model is None or known is None or not self.model.contract.known:
            return False
        end_at = first_at + timedelta(seconds=self.spec.horizon * self.spec.step_s)
        ahead = window(known, end_at, self.spec.horizon)
        for place, column in enumerate(self.model.contract.known):
            span = max(column.high - column.low, 1e-9)
            values = ahead[:, place]
            outside = (values < column.low - 0.1 * span) | (values > column.high + 0.1 * span)
            if outside.mean() > 0.1:
                return True
        return False


def trial_ratios(model: Model) -> tuple[float, ...]:
    """Pinball of each of MIXES over the naive rule's in the file's own trial.

    A file without mixes lies on the line between its ends; one without any figure counts as tried elsewhere.
    """
    metrics = json.loads(model.meta.get("fc.metrics", "{}"))
    alone = float(metrics.get("ratio_naive", TRIAL_RATIO))
    line = [1.0 + share * (alone - 1.0) for share in MIXES]
    return tuple(
        float(metrics.get(f"ratio_mix_{round(100 * share)}", straight))
        for share, straight in zip(MIXES, line, strict=True)
    )


def _share_by_trial(model: Model | None) -> float:
    """The model's share to begin with: none, unless it or a mix beat the naive rule clearly."""
    if model is None or min(trial_ratios(model)) > TRIAL_RATIO:
        return 0.0
    return MIXES[int(np.argmin(_believed(model)))]


def _believed(model: Model) -> Array:
    """What to expect of each of MIXES on site: the trial's ratio as far as its days go."""
    days = float(json.loads(model.meta.get("fc.metrics", "{}")).get("judge_days", np.inf))
    share = np.array(MIXES)
    without_trial = 1.0 - MEAN_GAINS * share * (1.0 - share)
    trust = 1.0 / (1.0 + TRIAL_DAYS / days)
    return np.asarray(trust * np.array(trial_ratios(model)) + (1.0 - trust) * without_trial)


def _share_by_record(share: float, trial: Array, scores: Scores) -> float:
    """The share that the trial and the last weeks on site together speak for."""
    weight = scores.mix_judged / (scores.mix_judged + TRIAL_WEIGHT)
    losses = weight * np.array(scores.mix_ratios) + (1 - weight) * trial
    best = int(np.argmin(losses))
    return MIXES[best] if losses[best] < losses[MIXES.index(share)] - MIX_GAIN else share


def _with_bad_tail(naive_hist: Array, checked: Array | None) -> Array:
    """The naive rule's history without the values that the model's input checks found bad."""
    if checked is None:
        return naive_hist
    out = naive_hist.copy()
    count = min(len(checked), len(out))
    out[len(out) - count :][~np.isfinite(checked[len(checked) - count :])] = np.nan
    return out
