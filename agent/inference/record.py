"""What was forecast and what came true: the memory behind calibration, scores and the choice of who steers."""

from collections import deque
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import numpy as np
from numpy.typing import NDArray

from agent.inference.conformal import KEEP_DAYS_MOST, PastForecast
from agent.inference.contract import QUANTILES
from agent.inference.series import Series, window

Array = NDArray[np.float64]
F32 = NDArray[np.float32]

RATIO_DAYS = 14
# Where few plans are made a day, two weeks hold too few to judge by: then the last ones count, up to that age.
RATIO_ORIGINS = 12
RATIO_DAYS_MOST = 60
# Forecasts a quarter of an hour apart share nearly all their errors: one an hour is kept, 15 days of them.
KEEP_EVERY_S = 3600
# The shares of the model in what is issued; the rest is the naive rule's.
MIXES = (0.0, 0.25, 0.5, 0.75, 1.0)
KEEP_MOST = 360


@dataclass(frozen=True)
class Scores:
    """Rolling quality of the last weeks; NaN where nothing could be judged yet."""

    judged: int
    pinball: float
    pinball_naive: float
    pinball_model: float
    coverage: float
    bias: float
    # Pinball of each of MIXES over the naive rule's, and how many forecasts that is of.
    mix_ratios: tuple[float, ...] = ()
    mix_judged: int = 0

    @property
    def ratio(self) -> float:
        """Model over naive; NaN until both were judged."""
        return self.pinball_model / self.pinball_naive if self.pinball_naive > 0 else float("nan")


@dataclass
class _Entry:
    first_at: datetime
    issued: F32
    naive_raw: F32
    naive: F32
    model_raw: F32 | None
    model: F32 | None
    # The scores once the last step of the truth is in: they do not change any more.
    final: tuple[float, ...] | None = None


@dataclass
class Record:
    """Past forecasts of one target, [H, 3] each. `version` changes with every change of what is kept."""

    step_s: int
    horizon: int
    version: int = 0
    _entries: deque[_Entry] = field(default_factory=lambda: deque(maxlen=KEEP_MOST))

    def add(
        self,
        first_at: datetime,
        issued: Array,
        naive_raw: Array,
        naive: Array,
        model_raw: Array | None,
        model: Array | None,
    ) -> None:
        """Keep a forecast, unless one of the same hour is kept already."""
        if self._entries and (first_at - self._entries[-1].first_at).total_seconds() < KEEP_EVERY_S:
            return
        issued32, raw32, naive32 = (each.astype(np.float32) for each in (issued, naive_raw, naive))
        model_raw32, model32 = (
            None if each is None else each.astype(np.float32) for each in (model_raw, model)
        )
        self._entries.append(_Entry(first_at, issued32, raw32, naive32, model_raw32, model32))
        self.version += 1

    def forget(self) -> None:
        """Drop everything."""
        self._entries.clear()
        self.version += 1

    def forget_model(self) -> None:
        """Drop what the model said: another one takes its place."""
        for each in self._entries:
            each.model_raw = each.model = each.final = None
        self.version += 1

    def past(self, history: Series, at: datetime, *, of_model: bool) -> list[PastForecast]:
        """The raw forecasts of model or naive rule with the truth known at `at`."""
        out = []
        for each in self._entries:
            raw = each.model_raw if of_model else each.naive_raw
            age_d = (at - each.first_at).total_seconds() / 86_400
            if raw is None or not 0 < age_d <= KEEP_DAYS_MOST:
                continue
            truth = self._truth(history, each.first_at, at)
            if np.isfinite(truth).any():
                out.append(PastForecast(age_d, raw.astype(np.float64), truth))
        return out

    def scores(self, history: Series, at: datetime, days: float = RATIO_DAYS) -> Scores:
        """Pinball, coverage and bias of what was issued in the last `days`, against the truth known at `at`.

        Fewer than RATIO_ORIGINS judged forecasts in that time are filled up with older ones.
        """
        rows: list[tuple[float, ...]] = []
        for each in reversed(self._entries):
            age_s = (at - each.first_at).total_seconds()
            age_d = age_s / 86_400
            if age_d > RATIO_DAYS_MOST or (age_d > days and len(rows) >= RATIO_ORIGINS):
                break
            row = each.final
            if row is None:
                row = _row(each, self._truth(history, each.first_at, at))
                if age_s >= self.horizon * self.step_s:
                    each.final = row
            if row:
                rows.append(row)
        if not rows:
            return Scores(0, *(float("nan"),) * 5)
        table = np.array(rows)
        both = np.isfinite(table[:, 2])
        pinball_model = float(table[both, 2].mean()) if both.any() else float("nan")
        pinball_naive = float(table[both, 1].mean()) if both.any() else float(table[:, 1].mean())
        return Scores(
            len(rows),
            float(table[:, 0].mean()),
            pinball_naive,
            pinball_model,
            float(table[:, 3].mean()),
            float(table[:, 4].mean()),
            *_mixed(table[both, 5:]),
        )

    def _truth(self, history: Series, first_at: datetime, now_at: datetime) -> Array:
        horizon = self.horizon
        end_at = first_at + timedelta(seconds=horizon * self.step_s)
        truth = window(history, end_at, horizon)
        future = max(0, int((end_at - now_at).total_seconds() // self.step_s))
        if future:
            truth[max(0, horizon - future) :] = np.nan
        return truth


def _mixed(losses: Array) -> tuple[tuple[float, ...], int]:
    """Each mix's loss [n, mixes] over that of the naive rule alone, and n; empty where nothing was judged."""
    total = losses.sum(axis=0)
    if not len(losses) or not total[0] > 0:
        return (), 0
    return tuple(float(each) for each in total / total[0]), len(losses)


def _row(entry: _Entry, truth: Array) -> tuple[float, ...]:
    """Pinball of what was issued, naive rule and model, coverage, bias, pinball of each mix; empty with hardly any truth."""
    known = np.isfinite(truth)
    if known.mean() < 0.25:
        return ()
    mixes = [float("nan")] * len(MIXES)
    if entry.model is not None:
        mixes = [_pinball(truth, share * entry.model + (1 - share) * entry.naive) for share in MIXES]
    inside = (truth >= entry.issued[:, 0]) & (truth <= entry.issued[:, 2])
    return (
        _pinball(truth, entry.issued),
        _pinball(truth, entry.naive),
        mixes[-1],
        float(inside[known].mean()),
        float((entry.issued[:, 1] - truth)[known].mean()),
        *mixes,
    )


def _pinball(truth: Array, quantiles: F32) -> float:
    levels = np.asarray(QUANTILES)
    error = truth[:, None] - quantiles
    loss = np.maximum(levels * error, (levels - 1) * error)
    return float(loss[np.isfinite(truth)].mean())
