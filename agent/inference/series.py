"""A measured series on a regular UTC grid; NaN is a missing value."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Series:
    """`values[i]` holds for [first_at + i*step_s, first_at + (i+1)*step_s): a time stamp is the interval's START.

    `values` is [n] or [n, columns]; `first_at` is UTC and a multiple of the step.
    """

    first_at: datetime
    step_s: int
    values: Values

    def __post_init__(self) -> None:
        if self.first_at.utcoffset() != timedelta(0):
            raise ValueError(f"first_at must be UTC, got {self.first_at!r}")
        if self.step_s <= 0 or 86_400 % self.step_s:
            raise ValueError(f"step_s must divide a day, got {self.step_s}")

    @property
    def end_at(self) -> datetime:
        """The first instant after the last interval."""
        return self.first_at + timedelta(seconds=self.step_s * len(self.values))

    def index_of(self, at: datetime) -> int:
        """Index of the interval that contains `at`; may lie outside the series."""
        return int((at - self.first_at).total_seconds() // self.step_s)


def window(series: Series, end_at: datetime, length: int) -> Values:
    """The `length` values before `end_at`, NaN where the series has none. Values at or after `end_at` never enter."""
    end = series.index_of(end_at)
    first = end - length
    out = np.full((length, *series.values.shape[1:]), np.nan)
    lo, hi = max(first, 0), min(end, len(series.values))
    if lo < hi:
        out[lo - first : hi - first] = series.values[lo:hi]
    return out


def regular(stamps_s: NDArray[np.float64], values: Values, step_s: int) -> Series:
    """Irregular samples as means of regular intervals; an interval without a finite sample is NaN.

    `stamps_s` are seconds since 1970 UTC, any order. Raises ValueError when nothing finite is given.
    """
    finite = np.isfinite(values) & np.isfinite(stamps_s)
    if not finite.any():
        raise ValueError("no finite sample to build a series from")
    slot = np.floor(stamps_s[finite] / step_s).astype(np.int64)
    first = int(slot.min())
    length = int(slot.max()) - first + 1
    total = np.bincount(slot - first, weights=values[finite], minlength=length)
    count = np.bincount(slot - first, minlength=length)
    mean = np.divide(total, count, out=np.full(length, np.nan), where=count > 0)
    return Series(datetime.fromtimestamp(first * step_s, UTC), step_s, mean)
