"""A saving with its interval, and the refusal to give one."""

from __future__ import annotations

from typing import NamedTuple

CONFIDENCE = 0.95


class Saving(NamedTuple):
    """Energy that was not used, [kWh]; negative where more was used. The interval holds with `confidence`."""

    saved_kwh: float
    low_kwh: float
    high_kwh: float
    baseline_kwh: float
    actual_kwh: float
    confidence: float = CONFIDENCE

    @property
    def share(self) -> float:
        """Of the baseline's energy."""
        return self.saved_kwh / self.baseline_kwh

    @property
    def share_interval(self) -> tuple[float, float]:
        """The interval's ends, of the baseline's energy."""
        return self.low_kwh / self.baseline_kwh, self.high_kwh / self.baseline_kwh


class Unsupported(NamedTuple):
    """A figure that the data do not support: why, and what would help."""

    why: str
    fix: str
